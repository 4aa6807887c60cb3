#include "services/common/http/admin_server.h"

#include <arpa/inet.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <latch>
#include <list>
#include <thread>

#include "services/common/metrics/metrics.h"
#include "services/common/process/liveness.h"
#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::http {
namespace {

TEST_CASE("metrics, health and readiness over HTTP") {
  std::atomic<bool> ready{false};
  auto server = AdminServer::Start({.address = "127.0.0.1:0", .not_ready_reasons = [&ready] {
                                      return ready ? std::vector<std::string>{}
                                                   : std::vector<std::string>{"the database does not answer"};
                                    }});
  REQUIRE(server.ok());
  REQUIRE((*server)->port() > 0);
  metrics::GetCounter("stockalert_test_http_total", "For the test").Increment();
  httplib::Client client("127.0.0.1", (*server)->port());

  const auto health = client.Get("/healthz");
  REQUIRE(health);
  CHECK(health->status == 200);

  auto readiness = client.Get("/readyz");
  REQUIRE(readiness);
  CHECK(readiness->status == 503);
  CHECK(readiness->body == "not ready: the database does not answer\n");
  ready = true;
  readiness = client.Get("/readyz");
  REQUIRE(readiness);
  CHECK(readiness->status == 200);

  const auto exposition = client.Get("/metrics");
  REQUIRE(exposition);
  CHECK(exposition->body.find("stockalert_test_http_total 1") != std::string::npos);
  const auto other = client.Get("/other");
  REQUIRE(other);
  CHECK(other->status == 404);
}

TEST_CASE("/healthz fails while a loop is stuck and names it, and the gauge shows it") {
  testing::FakeMonotonicClock clock;
  process::Liveness liveness(clock);
  process::Heartbeat heartbeat("test_loop", absl::Seconds(60), liveness);
  auto server = AdminServer::Start({.address = "127.0.0.1:0", .liveness = &liveness});
  REQUIRE(server.ok());
  httplib::Client client("127.0.0.1", (*server)->port());
  const auto get = [&client](const char* path) {
    const auto answer = client.Get(path);
    REQUIRE(answer);
    return std::pair(answer->status, answer->body);
  };
  heartbeat.Beat();
  CHECK(get("/healthz") == std::pair(200, std::string("alive\n")));
  for (int i = 0; i < 61; ++i) {
    clock.Advance(absl::Seconds(1));
    liveness.Sample();
  }
  CHECK(get("/healthz") == std::pair(503, std::string("not alive: test_loop has not turned for 61 s (bound 60 s)\n")));
  CHECK(get("/metrics").second.find("stockalert_loop_last_turn_age_seconds{loop=\"test_loop\"} 61") !=
        std::string::npos);
  CHECK(get("/metrics").second.find("stockalert_loop_stuck{loop=\"test_loop\"} 1") != std::string::npos);
  heartbeat.Beat();
  CHECK(get("/healthz").first == 200);
  CHECK(get("/metrics").second.find("stockalert_loop_stuck{loop=\"test_loop\"} 0") != std::string::npos);
  heartbeat.End();
  CHECK(get("/metrics").second.find("test_loop") == std::string::npos);
}

// A connection that does as it is told, byte by byte.
class RawConnection {
 public:
  explicit RawConnection(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  }
  ~RawConnection() { ::close(socket_); }
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;
  // False: the other side has closed.
  bool Send(const std::string& text) const {
    return ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }

 private:
  const int socket_;
};

TEST_CASE("health is answered while 200 connections are slow and the database does not answer") {
  std::latch database(1);
  std::atomic<int> asked{0};
  testing::FakeMonotonicClock clock;
  process::Liveness liveness(clock);
  auto server = AdminServer::Start({.address = "127.0.0.1:0",
                                    .not_ready_reasons =
                                        [&] {
                                          ++asked;
                                          database.wait();
                                          return std::vector<std::string>{};
                                        },
                                    .request_time_max = absl::Minutes(10),
                                    .liveness = &liveness});
  REQUIRE(server.ok());
  std::list<RawConnection> slow;
  for (int i = 0; i < 200; ++i) REQUIRE(slow.emplace_back((*server)->port()).Send("GET /healthz HTTP/1.1\r\nHost: "));
  for (const char* path : {"/readyz", "/metrics"}) {
    for (int i = 0; i < 20; ++i)
      REQUIRE(slow.emplace_back((*server)->port()).Send(std::string("GET ") + path + " HTTP/1.1\r\nHost: x\r\n\r\n"));
  }
  while (asked < 2) std::this_thread::yield();
  httplib::Client client("127.0.0.1", (*server)->port());
  for (int i = 0; i < 20; ++i) {
    const auto health = client.Get("/healthz");
    REQUIRE(health);
    CHECK(health->status == 200);
  }
  // The many questions are one answer each, and one more for those that came meanwhile.
  database.count_down();
  const auto ready = client.Get("/readyz");
  REQUIRE(ready);
  CHECK(ready->status == 200);
  CHECK(asked <= 5);
}

TEST_CASE("more slow connections than are held give way to new ones, the oldest first") {
  testing::FakeMonotonicClock clock;
  process::Liveness liveness(clock);
  auto server =
      AdminServer::Start({.address = "127.0.0.1:0", .request_time_max = absl::Minutes(10), .liveness = &liveness});
  REQUIRE(server.ok());
  std::list<RawConnection> slow;
  for (int i = 0; i < 600; ++i) REQUIRE(slow.emplace_back((*server)->port()).Send("GET /healthz"));
  httplib::Client client("127.0.0.1", (*server)->port());
  const auto health = client.Get("/healthz");
  REQUIRE(health);
  CHECK(health->status == 200);
  CHECK(slow.back().Send(" HTTP/1.1\r\n"));
}

TEST_CASE("a request has its time as a whole, however regularly its bytes come") {
  testing::FakeMonotonicClock clock;
  process::Liveness liveness(clock);
  auto server = AdminServer::Start(
      {.address = "127.0.0.1:0", .request_time_max = absl::Milliseconds(200), .liveness = &liveness});
  REQUIRE(server.ok());
  const RawConnection slow((*server)->port());
  REQUIRE(slow.Send("GET /healthz HTTP/1.1\r\nX-Slow: "));
  const auto begun = std::chrono::steady_clock::now();
  while (slow.Send("x")) {
    REQUIRE(std::chrono::steady_clock::now() - begun < std::chrono::seconds(30));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

TEST_CASE("what is no sound request ends its connection alone") {
  testing::FakeMonotonicClock clock;
  process::Liveness liveness(clock);
  auto server = AdminServer::Start({.address = "127.0.0.1:0", .liveness = &liveness});
  REQUIRE(server.ok());
  httplib::Client client("127.0.0.1", (*server)->port());
  for (const std::string& nonsense :
       {std::string(100'000, 'x'), std::string("\0\1\2\r\n\r\n", 7), std::string("GET / HTTP/9.9\r\n\r\n"),
        "GET /healthz HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n" + std::string(20'000, 'y')}) {
    const RawConnection hostile((*server)->port());
    hostile.Send(nonsense);
    const auto health = client.Get("/healthz");
    REQUIRE(health);
    CHECK(health->status == 200);
  }
  const auto posted = client.Post("/healthz", "x", "text/plain");
  REQUIRE(posted);
  CHECK(posted->status == 405);
  const auto head = client.Head("/healthz");
  REQUIRE(head);
  CHECK(head->status == 200);
  CHECK(client.Get("/healthz?x=1")->status == 200);
}

TEST_CASE("an address that cannot be listened on is an error, not a second listener") {
  auto first = AdminServer::Start({.address = "127.0.0.1:0", .not_ready_reasons = {}});
  REQUIRE(first.ok());
  const std::string taken = "127.0.0.1:" + std::to_string((*first)->port());
  const absl::Status refused =
      AdminServer::Start({.address = taken, .port_patience = absl::Milliseconds(300)}).status();
  CHECK(refused.code() == absl::StatusCode::kUnavailable);
  CHECK(std::string(refused.message()).find("listens there") != std::string::npos);
  CHECK(AdminServer::Start({.address = "nonsense", .not_ready_reasons = {}}).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace stockalert::http
