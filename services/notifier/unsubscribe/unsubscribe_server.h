// The HTTP port that the links in mails lead to, behind the edge.
//
// Thread-safe. One thread serves the connections, answers are made on two others. Everything is bounded: connections
// (beyond them the oldest that has brought no request goes), the size of a request, the time for it and for its answer,
// requests that wait for an answer (503), and requests a second (429). No pages but the handler's.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/net/port_claim.h"
#include "services/notifier/unsubscribe/unsubscribe_handler.h"

namespace stockalert::notifier {

struct UnsubscribeServerOptions {
  std::string address = {};  // "127.0.0.1:13054"; port 0 takes any free one.
  // Called on threads of the server's; bounded.
  std::function<PageAnswer(const PageRequest&)> handle = {};
  size_t connections_max = 256;
  int requests_per_s_max = 100;
  // A request, from the connection (or the answer before) to its last byte, and an answer to its last byte.
  absl::Duration request_time_max = absl::Seconds(10);
  absl::Duration answer_time_max = absl::Seconds(10);
  absl::Duration port_patience = net::kPortPatience;
};

class UnsubscribeServer {
 public:
  // INVALID_ARGUMENT: not an address; UNAVAILABLE: it cannot be listened on; says who has it.
  static absl::StatusOr<std::unique_ptr<UnsubscribeServer>> Start(const UnsubscribeServerOptions& options);
  // Stops it; what is being answered ends before it returns.
  ~UnsubscribeServer();

  int port() const { return port_; }

 private:
  struct Impl;
  UnsubscribeServer(std::unique_ptr<Impl> impl, int port);

  std::unique_ptr<Impl> impl_;
  const int port_;
};

}  // namespace stockalert::notifier
