#include "services/notifier/unsubscribe/unsubscribe_server.h"

#include <arpa/inet.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace stockalert::notifier {
namespace {

std::unique_ptr<UnsubscribeServer> Serve(UnsubscribeServerOptions options) {
  options.address = "127.0.0.1:0";
  if (!options.handle) {
    options.handle = [](const PageRequest& request) {
      return PageAnswer{200, request.method + " " + request.target + " " + request.content_type + " " + request.body};
    };
  }
  auto server = UnsubscribeServer::Start(options);
  INFO(server.status());
  REQUIRE(server.ok());
  return *std::move(server);
}

// A connection that says `text`, and what comes until it ends.
std::string Exchange(int port, const std::string& text) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t now = send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (now <= 0) break;
    sent += static_cast<size_t>(now);
  }
  std::string all;
  char part[4096];
  for (ssize_t n = 0; (n = read(fd, part, sizeof(part))) > 0;) all.append(part, static_cast<size_t>(n));
  close(fd);
  return all;
}

TEST_CASE("a request reaches the handler, and the page has headers that keep it to itself") {
  const auto server = Serve({});
  httplib::Client client("127.0.0.1", server->port());
  const auto posted =
      client.Post("/unsubscribe/x?y", "List-Unsubscribe=One-Click", "application/x-www-form-urlencoded");
  REQUIRE(posted);
  CHECK(posted->status == 200);
  CHECK(posted->body == "POST /unsubscribe/x?y application/x-www-form-urlencoded List-Unsubscribe=One-Click");
  CHECK(posted->get_header_value("Cache-Control") == "no-store");
  CHECK(posted->get_header_value("Referrer-Policy") == "no-referrer");
  CHECK(posted->get_header_value("Content-Security-Policy").find("frame-ancestors 'none'") != std::string::npos);
  const auto head = client.Head("/unsubscribe/x");
  REQUIRE(head);
  CHECK(head->status == 200);
  CHECK(head->body.empty());
}

TEST_CASE("a request that is too large is not read to its end") {
  const auto server = Serve({});
  CHECK(Exchange(server->port(), "POST / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n" + std::string(5000, 'x')).empty());
  CHECK(Exchange(server->port(), "GET / HTTP/1.1\r\nx: " + std::string(9000, 'x') + "\r\n\r\n").empty());
  CHECK(Exchange(server->port(), "no HTTP\r\n\r\n").empty());
}

TEST_CASE("who does not end a request is left after its time") {
  const auto server = Serve({.request_time_max = absl::Milliseconds(200)});
  CHECK(Exchange(server->port(), "GET / HTTP/1.1\r\n").empty());
}

TEST_CASE("a method that is not known hears which are") {
  const auto server = Serve({.handle = [](const PageRequest&) { return PageAnswer{405, "x"}; }});
  httplib::Client client("127.0.0.1", server->port());
  const auto refused = client.Delete("/unsubscribe/x");
  REQUIRE(refused);
  CHECK(refused->status == 405);
  CHECK(refused->get_header_value("Allow") == "GET, HEAD, POST");
  CHECK_FALSE(refused->has_header("Retry-After"));
}

TEST_CASE("a connection ends after twenty requests, and says so") {
  const auto server = Serve({});
  std::string requests;
  for (int i = 0; i < 25; ++i) requests += "GET /unsubscribe/x HTTP/1.1\r\n\r\n";
  const std::string answers = Exchange(server->port(), requests);
  const auto count = [&](const std::string& what) {
    int found = 0;
    for (size_t at = answers.find(what); at != std::string::npos; at = answers.find(what, at + 1)) ++found;
    return found;
  };
  CHECK(count("HTTP/1.1 200 OK") == 20);
  CHECK(count("Connection: close") == 1);
}

TEST_CASE("more requests a second than may be are told so") {
  std::atomic<int> handled{0};
  const auto server = Serve({.handle =
                                 [&](const PageRequest&) {
                                   ++handled;
                                   return PageAnswer{200, "x"};
                                 },
                             .requests_per_s_max = 5});
  httplib::Client client("127.0.0.1", server->port());
  client.set_keep_alive(true);
  int refused = 0;
  for (int i = 0; i < 40; ++i) {
    const auto answer = client.Get("/unsubscribe/x");
    REQUIRE(answer);
    if (answer->status != 429) continue;
    ++refused;
    CHECK(answer->get_header_value("Retry-After") == "60");
  }
  CHECK(refused > 0);
  CHECK(handled + refused == 40);
}

TEST_CASE("while answers wait for the database, more requests than may wait are refused, and the rest are answered") {
  std::latch release(1);
  const auto server = Serve({.handle =
                                 [&](const PageRequest&) {
                                   release.wait();
                                   return PageAnswer{200, "x"};
                                 },
                             .requests_per_s_max = 10'000});
  std::atomic<int> answered{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 100; ++i) {
    clients.emplace_back([&] {
      httplib::Client client("127.0.0.1", server->port());
      client.set_read_timeout(60);
      const auto answer = client.Get("/unsubscribe/x");
      if (answer && answer->status == 200) ++answered;
      if (answer && answer->status == 503 && ++refused == 1) release.count_down();
    });
  }
  for (std::thread& one : clients) one.join();
  CHECK(refused >= 1);
  CHECK(answered + refused == 100);
}

TEST_CASE("idle connections make room for others") {
  const auto server = Serve({.connections_max = 4, .request_time_max = absl::Seconds(60)});
  std::vector<int> idle;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(server->port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int i = 0; i < 20; ++i) {
    idle.push_back(socket(AF_INET, SOCK_STREAM, 0));
    REQUIRE(connect(idle.back(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  }
  httplib::Client client("127.0.0.1", server->port());
  const auto answer = client.Get("/unsubscribe/x");
  REQUIRE(answer);
  CHECK(answer->status == 200);
  for (const int fd : idle) close(fd);
}

TEST_CASE("an address that is taken or none is told") {
  const auto server = Serve({});
  UnsubscribeServerOptions options;
  options.handle = [](const PageRequest&) { return PageAnswer(); };
  options.port_patience = absl::ZeroDuration();
  options.address = "127.0.0.1:" + std::to_string(server->port());
  CHECK(absl::IsUnavailable(UnsubscribeServer::Start(options).status()));
  options.address = "nonsense";
  CHECK(absl::IsInvalidArgument(UnsubscribeServer::Start(options).status()));
}

}  // namespace
}  // namespace stockalert::notifier
