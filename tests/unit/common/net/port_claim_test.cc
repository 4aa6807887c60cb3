#include "services/common/net/port_claim.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/net/port_holder.h"

namespace stockalert::net {
namespace {

// A socket of IPv4's loopback, as whoever is not the service has it.
class Socket {
 public:
  Socket() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  ~Socket() { Close(); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  bool Bind(int port, bool reuse = false) {
    const int on = reuse ? 1 : 0;
    setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    const sockaddr_in at = Loopback(port);
    return bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) == 0;
  }
  bool Listen() { return listen(fd_, 8) == 0; }
  bool Connect(int port) {
    const sockaddr_in at = Loopback(port);
    return connect(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) == 0;
  }
  int port() const {
    sockaddr_in at{};
    socklen_t length = sizeof(at);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &length);
    return ntohs(at.sin_port);
  }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  static sockaddr_in Loopback(int port) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons(static_cast<uint16_t>(port));
    return at;
  }
  int fd_;
};

std::string AddressOf(int port) { return absl::StrCat("127.0.0.1:", port); }

std::string Self() { return absl::StrCat("process ", getpid(), " (unit_common_net)"); }

// Without claims nobody has these.
int FreePort() {
  Socket socket;
  REQUIRE(socket.Bind(0));
  return socket.port();
}

TEST_CASE("a claimed port is given to no outgoing connection, refuses connections, and is free for its server") {
  const int port = FreePort();
  auto claims = PortClaims::Claim({AddressOf(port), "127.0.0.1:0", ""});
  REQUIRE(claims.ok());
  // As the kernel binds what connects outwards: without leave to share it.
  CHECK_FALSE(Socket().Bind(port));
  CHECK_FALSE(Socket().Connect(port));

  Socket server;
  REQUIRE(server.Bind(port, /*reuse=*/true));
  REQUIRE(server.Listen());
  claims->Release();
  Socket client;
  CHECK(client.Connect(port));
}

TEST_CASE("claims end with the object that holds them") {
  const int port = FreePort();
  {
    auto claims = PortClaims::Claim({AddressOf(port)});
    REQUIRE(claims.ok());
    const PortClaims moved = std::move(*claims);
    CHECK_FALSE(Socket().Bind(port));
  }
  CHECK(Socket().Bind(port));
}

TEST_CASE("a port that is taken for a while is had after it") {
  Socket other;
  REQUIRE(other.Bind(0));
  REQUIRE(other.Listen());
  const std::string address = AddressOf(other.port());
  std::thread ends([&other] {
    absl::SleepFor(absl::Milliseconds(1000));
    other.Close();
  });
  const absl::Time began = absl::Now();
  const auto claims = PortClaims::Claim({address});
  CHECK(absl::Now() - began < absl::Seconds(5));
  ends.join();
  CHECK(claims.ok());
}

TEST_CASE("for a port that stays taken the listening process is named") {
  Socket other;
  REQUIRE(other.Bind(0));
  REQUIRE(other.Listen());
  for (const std::string host : {"127.0.0.1", "0.0.0.0", "localhost"}) {
    const std::string address = absl::StrCat(host, ":", other.port());
    const absl::Status status = PortClaims::Claim({address}, absl::Milliseconds(300)).status();
    INFO(status);
    CHECK(status.code() == absl::StatusCode::kUnavailable);
    CHECK(absl::StrContains(status.message(), address));
    CHECK(absl::StrContains(status.message(), absl::StrCat(Self(), " listens there")));
  }
}

TEST_CASE("for a port held by a connection its process and remote end are named") {
  Socket server;
  REQUIRE(server.Bind(0));
  REQUIRE(server.Listen());
  Socket client;
  REQUIRE(client.Connect(server.port()));
  const absl::Status status = PortClaims::Claim({AddressOf(client.port())}, absl::ZeroDuration()).status();
  INFO(status);
  CHECK(absl::StrContains(status.message(),
                          absl::StrCat(Self(), " has a connection from there to ", AddressOf(server.port()))));
}

TEST_CASE("no process is named for a port that is free") {
  CHECK(DescribeHolder({"127.0.0.1", FreePort()}) == "nobody who can be seen has it");
  // Another address of the machine's is in nobody's way.
  Socket other;
  REQUIRE(other.Bind(0));
  REQUIRE(other.Listen());
  CHECK(DescribeHolder({"127.0.0.2", other.port()}) == "nobody who can be seen has it");
}

TEST_CASE("a text that is not an address is refused") {
  CHECK(PortClaims::Claim({"nonsense"}).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("only a port that is taken is tried again") {
  int tries = 0;
  CHECK(RetryWhileTaken("127.0.0.1:1", absl::Seconds(5), [&] {
          ++tries;
          return absl::InternalError("broken");
        }).code() == absl::StatusCode::kInternal);
  CHECK(tries == 1);
  tries = 0;
  CHECK(RetryWhileTaken("127.0.0.1:1", absl::Seconds(5), [&] {
          return ++tries < 3 ? absl::UnavailableError("taken") : absl::OkStatus();
        }).ok());
  CHECK(tries == 3);
}

}  // namespace
}  // namespace stockalert::net
