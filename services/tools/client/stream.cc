#include "services/tools/client/stream.h"

namespace stockalert::client {

bool TakeUpAgain(const CommandContext& context, const absl::Status& status, base::Backoff& backoff) {
  // What a broken connection, a restarting service or the far deadline of a stream looks like.
  const bool passes = status.ok() || absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
                      // What a server that shuts down makes of the streams that it still has.
                      absl::IsCancelled(status);
  if (!passes) return false;
  const Terminal& terminal = context.terminal;
  if (!terminal.out.good()) return false;
  if (!terminal.json) terminal.err << terminal.Paint("the stream was interrupted; going on...", Colour::kDim) << '\n';
  absl::SleepFor(backoff.Next());
  return true;
}

}  // namespace stockalert::client
