// An HTTP/1.1 server of one thread, bounded whoever connects: connections (beyond them the one that has brought no
// whole request for longest goes), the size of a request, the time for the whole of it and for the whole of its answer.
//
// It knows no paths: a handler answers. Thread-safe, apart from Start and Stop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/net/port_claim.h"

namespace stockalert::http {

struct ServedRequest {
  std::string method;  // "GET"
  std::string target;  // The path, perhaps with a query.
  std::string content_type;
  std::string body;
};

struct ServedAnswer {
  int status = 200;
  std::string body = {};
  std::string content_type = "text/plain";
  std::vector<std::pair<std::string, std::string>> headers = {};  // Besides those that every answer has.
};

struct HttpServerOptions {
  std::string address = {};  // "127.0.0.1:11051"; port 0 takes any free one.
  std::string name = {};     // Of its thread, at most 15 characters, and of its heartbeat.
  size_t connections_max = 256;
  uint64_t body_bytes_max = 1024;
  int requests_per_connection_max = 100;
  // A request, from the connection (or the answer before) to its last byte, and an answer to its last byte: whatever
  // comes in between.
  absl::Duration request_time_max = absl::Seconds(5);
  absl::Duration answer_time_max = absl::Seconds(10);
  absl::Duration port_patience = net::kPortPatience;
};

class HttpServer {
 public:
  // Sends the answer: once, on any thread, at once or later. An answer after Stop is not sent.
  using Respond = std::function<void(ServedAnswer)>;
  // Called on the server's thread; must be quick: what may wait for something is made elsewhere.
  using Handler = std::function<void(ServedRequest, Respond)>;

  HttpServer(HttpServerOptions options, Handler handler);
  // Stops it. What still holds a Respond must have gone.
  ~HttpServer();

  // INVALID_ARGUMENT: not an address; UNAVAILABLE: it cannot be listened on; says who has it.
  absl::Status Start();
  // No handler is called and nothing is sent any more once it has returned. May be called again.
  void Stop();
  // Once it has started.
  int port() const;
  // Calls it on the server's thread, unless the server has stopped.
  void Post(std::function<void()> work);

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace stockalert::http
