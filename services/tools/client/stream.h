// Streams that go on until they are interrupted: a broken one is opened again where it was.
#pragma once

#include <functional>
#include <memory>

#include "absl/time/clock.h"
#include "services/common/base/backoff.h"
#include "services/tools/client/context.h"

namespace stockalert::client {

// A stream is taken up again after this at the latest.
inline constexpr absl::Duration kStreamTime = absl::Hours(12);

// Whether a stream that ended so is to be opened again; waits a while then.
bool TakeUpAgain(const CommandContext& context, const absl::Status& status, base::Backoff& backoff);

// Reads streams that `open` opens, one after another. `take` handles a response, and says whether that is enough. What
// ends the first stream before its first response is an error at once, for there may be nobody at all; unless one had
// `answered` before, in an earlier run.
template <typename Response>
absl::Status Watch(
    CommandContext& context,
    const std::function<std::unique_ptr<::grpc::ClientReaderInterface<Response>>(::grpc::ClientContext&)>& open,
    const std::function<bool(const Response&)>& take, bool answered = false) {
  base::Backoff backoff({.initial = absl::Milliseconds(200), .maximum = absl::Seconds(5)});
  for (;;) {
    ::grpc::ClientContext call;
    context.connection->Prepare(call, absl::Now() + kStreamTime);
    const auto stream = open(call);
    Response response;
    while (stream->Read(&response)) {
      answered = true;
      backoff.Reset();
      if (take(response) || !context.terminal.out.good()) {
        call.TryCancel();
        stream->Finish();
        return absl::OkStatus();
      }
    }
    absl::Status status = rpc::FromGrpc(stream->Finish());
    if (!answered && !status.ok()) return status;
    if (!TakeUpAgain(context, status, backoff)) return status;
  }
}

}  // namespace stockalert::client
