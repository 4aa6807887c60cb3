// Sends requests over HTTP, to addresses that the guard allows, bounded in time and memory.
//
// The status decides as soon as it has arrived: a body that is too long, too slow or breaks off does not matter, it is
// cut. Redirects are not followed. Nothing is sent to a URL that the guard no longer allows. What is for a server that
// the operator has configured (OutgoingHttp::trusted_by_operator) passes the guard, on connections that nothing else
// uses. Thread-safe; a thread of its own, or two.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "services/common/http/http_client.h"
#include "services/notifier/delivery/egress_guard.h"
#include "services/notifier/delivery/request_sender.h"

namespace stockalert::notifier {

struct HttpRequestSenderOptions {
  // Time limits of an attempt in total, and of its connection (name, TCP, TLS).
  absl::Duration timeout = absl::Seconds(20);
  absl::Duration connect_timeout = absl::Seconds(10);
  // Attempts in flight, and waiting for that; more are not attempted.
  size_t in_flight_max = 256;
  size_t waiting_max = 256;
  // How long a resolved address is used.
  absl::Duration name_cache_time = absl::Seconds(60);
  // PEM; empty: the system's authorities.
  std::string authorities_file = {};
  // Called on the sender's thread in each round, at least once a second; must be quick.
  std::function<void()> on_turn = {};
  // Whether there is a server of the operator's.
  bool has_operator_server = false;
};

class HttpRequestSender final : public RequestSender {
 public:
  HttpRequestSender(const HttpRequestSenderOptions& options, EgressGuard guard);
  // Every request is answered before it returns.
  ~HttpRequestSender() override;

  void Send(const OutgoingRequest& request, Done done) override;

 private:
  void SendHttp(const OutgoingHttp& request, Done done);
  static void SendBy(http::HttpClient& client, const OutgoingHttp& request, std::string url, Done done);

  const EgressGuard guard_;
  std::unique_ptr<http::HttpClient> client_;           // Its callbacks use what is above.
  std::unique_ptr<http::HttpClient> operator_client_;  // None: there is no server of the operator's.
};

}  // namespace stockalert::notifier
