// GET requests, many at once, on one event loop (libcurl's multi interface), none of which can hold up another.
//
// Thread-safe. One thread of its own. One time limit covers a whole request, from Get to the last byte of its reply:
// waiting for its turn, resolving, connecting, TLS, and a reply that only trickles in. Replies and their headers are
// bounded, redirects are not followed (they would carry the headers to another host), and each request has a connection
// to itself. Requests only wait for others of their lane: up to `in_flight_max` run and `waiting_max` wait; more are
// refused.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace stockalert::fetcher {

struct HttpReply {
  int status = 0;
  std::string body;
  std::map<std::string, std::string> headers;  // Names in lower case.
};

struct HttpClientOptions {
  // Sent with each request, as "Name: value". They may hold secrets: no error shows them.
  std::vector<std::string> headers = {};
  absl::Duration timeout = absl::Seconds(5);
  size_t reply_bytes_max = size_t{1024} * 1024;
  size_t header_bytes_max = size_t{32} * 1024;
  size_t lanes = 2;
  size_t in_flight_max = 16;
  size_t waiting_max = 64;
  // Called on the loop's thread once a turn, and at least once a second; must be quick.
  std::function<void()> on_turn = {};
};

class HttpClient {
 public:
  // Called once: on the loop's thread, where it must be quick and may call Get; or on Get's own, where the request is
  // refused. RESOURCE_EXHAUSTED: refused. DEADLINE_EXCEEDED: the limit on the whole. UNAVAILABLE: no reply, or one that
  // is too big; the message says which. CANCELLED: the client is being destroyed.
  using Done = std::function<void(absl::StatusOr<HttpReply>)>;

  explicit HttpClient(const HttpClientOptions& options);
  // Every request is answered before it returns.
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // `lane` is below options.lanes.
  void Get(const std::string& url, size_t lane, Done done);

 private:
  class Loop;
  const std::unique_ptr<Loop> loop_;
};

// "a b" as "a%20b".
std::string EscapeForUrl(const std::string& text);

}  // namespace stockalert::fetcher
