// HTTP requests, many at once, on one event loop (transfer_loop.h), none of which can hold up another.
//
// Thread-safe. One thread of its own. One time limit covers a whole request, from Send to the last byte of its reply:
// waiting for its turn, resolving, connecting, TLS, and a reply that only trickles in. Replies and their headers are
// bounded, certificates are verified, redirects are not followed (they would carry the headers to another host), and no
// proxy of the environment is used. Requests only wait for others of their lane: up to `in_flight_max` run and
// `waiting_max` wait; more are refused. Connections are kept for later requests to the same host.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/http/http_method.h"

namespace stockalert::transfer {
class TransferLoop;
}

namespace stockalert::http {

struct HttpRequest {
  HttpMethod method = HttpMethod::kGet;
  std::string url = {};  // http:// or https://
  // "Name: value", beside those of the options. They and the URL may hold secrets: no error shows them.
  std::vector<std::string> headers = {};
  std::string body = {};  // Of all methods but GET.
  size_t lane = 0;        // Below options.lanes.
};

struct HttpReply {
  int status = 0;
  std::string body;
  std::map<std::string, std::string> headers;  // Names in lower case.
  bool cut = false;                            // With `cut_replies`: the body is not whole.
};

struct HttpClientOptions {
  // Sent with each request, like HttpRequest::headers.
  std::vector<std::string> headers = {};
  // Limits of the whole request, and of its connection (name, TCP, TLS), which is at most the former.
  absl::Duration timeout = absl::Seconds(5);
  absl::Duration connect_timeout = absl::InfiniteDuration();
  // A larger body is an error, or, with `cut_replies`, cut off here.
  size_t reply_bytes_max = size_t{1024} * 1024;
  size_t header_bytes_max = size_t{32} * 1024;
  // Only the status matters: once the headers are complete, a body that is too big, too slow or breaks off is cut.
  bool cut_replies = false;
  // About how much of replies that is not read yet the kernel keeps for a connection; 0: as much as it finds right,
  // some MB, which a peer that sends without end fills each time.
  int receive_buffer_bytes = 0;
  size_t lanes = 2;
  size_t in_flight_max = 16;
  size_t waiting_max = 64;
  // HTTP/2 where a TLS server offers it, with many requests on one connection. Without it each request has a
  // connection to itself while it lasts: requests that share one wait for each other's bytes.
  bool http2 = false;
  // How long a resolved address is used.
  absl::Duration name_cache_time = absl::Seconds(60);
  // PEM of the authorities that are trusted; empty: the system's.
  std::string authorities_file = {};
  // Asked before each connection, with the peer's real address, on the loop's thread: must be quick. Empty: all may.
  std::function<bool(const sockaddr&)> may_connect = {};
  // Called on the loop's thread in each round, at least once a second; must be quick.
  std::function<void()> on_turn = {};
};

class HttpClient {
 public:
  // Called once: on the loop's thread, where it must be quick and may call Send; or within Send, if the request is
  // refused. RESOURCE_EXHAUSTED: refused. DEADLINE_EXCEEDED: a time limit. PERMISSION_DENIED: `may_connect` allowed no
  // address of the host. UNAVAILABLE: no reply, or one that is too big; the message says which. CANCELLED: the client
  // is being destroyed.
  using Done = std::function<void(absl::StatusOr<HttpReply>)>;

  explicit HttpClient(const HttpClientOptions& options);
  // Every request is answered before it returns.
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void Send(HttpRequest request, Done done);

 private:
  const HttpClientOptions options_;
  const std::unique_ptr<transfer::TransferLoop> loop_;
};

// "a b" as "a%20b".
std::string EscapeForUrl(const std::string& text);

}  // namespace stockalert::http
