// Webhooks sent to receivers that misbehave, on the loopback device, by the real client: each attempt ends as the
// headers and docs/delivery.md say, within its time, and holds no more memory than it may.
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/base/ids.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/notifier/delivery/http_request_sender.h"
#include "tests/support/eventually/eventually.h"
#include "tests/support/hostile_receiver/hostile_receiver.h"

namespace stockalert::notifier {
namespace {

// Names that end with ".resolver.test", and their addresses: those of the first look-up, then of the second, and so on;
// the last ones stay.
struct Names {
  base::Mutex mutex;
  std::map<std::string, std::vector<std::vector<std::string>>> addresses ABSL_GUARDED_BY(mutex);
  std::map<std::string, int> asked ABSL_GUARDED_BY(mutex);
  std::string hanging_name ABSL_GUARDED_BY(mutex);
  std::function<void()> hang ABSL_GUARDED_BY(mutex);
  int hanging ABSL_GUARDED_BY(mutex) = 0;

  void Set(const std::string& name, std::vector<std::vector<std::string>> answers) {
    base::MutexLock lock(mutex);
    addresses[name] = std::move(answers);
    asked[name] = 0;
  }
  // The look-up of this name takes as long as `until`.
  void Hang(const std::string& name, std::function<void()> until) {
    base::MutexLock lock(mutex);
    hanging_name = name;
    hang = std::move(until);
  }
  int Hanging() {
    base::MutexLock lock(mutex);
    return hanging;
  }
  void AwaitTurn(const std::string& name) {
    std::function<void()> until;
    {
      base::MutexLock lock(mutex);
      if (name != hanging_name) return;
      until = hang;
      ++hanging;
    }
    until();
    base::MutexLock lock(mutex);
    --hanging;
  }
  int Asked(const std::string& name) {
    base::MutexLock lock(mutex);
    return asked[name];
  }
  std::vector<std::string> Answer(const std::string& name) {
    base::MutexLock lock(mutex);
    const auto found = addresses.find(name);
    if (found == addresses.end() || found->second.empty()) return {};
    const auto time = static_cast<size_t>(asked[name]++);
    return found->second[std::min(time, found->second.size() - 1)];
  }
};

Names& TheNames() {
  static Names names;
  return names;
}

using GetAddrInfo = int (*)(const char*, const char*, const addrinfo*, addrinfo**);

int RealGetAddrInfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
  static const auto real = reinterpret_cast<GetAddrInfo>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(node, service, hints, result);
}

}  // namespace
}  // namespace stockalert::notifier

// The resolver's double: libcurl finds this one before libc's.
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
  using stockalert::notifier::RealGetAddrInfo;
  const std::string name = node == nullptr ? "" : node;
  if (name.size() < 14 || name.compare(name.size() - 14, 14, ".resolver.test") != 0) {
    return RealGetAddrInfo(node, service, hints, result);
  }
  stockalert::notifier::TheNames().AwaitTurn(name);
  addrinfo* first = nullptr;
  addrinfo** place = &first;
  for (const std::string& address : stockalert::notifier::TheNames().Answer(name)) {
    // Each is an allocation of its own, which freeaddrinfo frees one by one.
    if (RealGetAddrInfo(address.c_str(), service, hints, place) == 0) place = &(*place)->ai_next;
  }
  *result = first;
  return first == nullptr ? EAI_NONAME : 0;
}

namespace stockalert::notifier {
namespace {

using testing::Answer;
using testing::Answers;
using testing::Eventually;
using testing::HostileReceiver;
using testing::ReceiverConnection;

constexpr char kBody[] = R"({"type":"notification.test"})";
constexpr absl::Duration kTimeout = absl::Milliseconds(900);
constexpr absl::Duration kConnectTimeout = absl::Milliseconds(400);
// libcurl counts in milliseconds.
constexpr absl::Duration kClockSlack = absl::Milliseconds(5);
// How long after its limit an attempt may end on a machine that is busy.
constexpr absl::Duration kSlack = absl::Seconds(3);

HttpRequestSenderOptions Short() {
  return {.timeout = kTimeout, .connect_timeout = kConnectTimeout, .name_cache_time = absl::ZeroDuration()};
}
HttpRequestSenderOptions Long() { return {.timeout = absl::Seconds(20), .name_cache_time = absl::ZeroDuration()}; }

EgressGuard Loopback() { return EgressGuard::Create("127.0.0.1", true).value(); }

OutgoingHttp RequestTo(const std::string& url) {
  return {.url = url, .headers = {"Content-Type: application/json", "x-secret: s"}, .body = kBody};
}

// Results as they come.
class Results {
 public:
  RequestSender::Done Take() {
    return [this](AttemptResult result) {
      base::MutexLock lock(mutex_);
      results_.push_back(std::move(result));
    };
  }
  size_t size() {
    base::MutexLock lock(mutex_);
    return results_.size();
  }
  std::vector<AttemptResult> all() {
    base::MutexLock lock(mutex_);
    return results_;
  }

 private:
  base::Mutex mutex_;
  std::vector<AttemptResult> results_ ABSL_GUARDED_BY(mutex_);
};

AttemptResult SendBy(HttpRequestSender& sender, const OutgoingHttp& request) {
  auto results = std::make_shared<Results>();
  sender.Send(request, [results](AttemptResult result) { results->Take()(std::move(result)); });
  REQUIRE(Eventually([&] { return results->size() == 1; }, absl::Seconds(30)));
  return results->all().front();
}

AttemptResult SendOnce(const std::string& url, const HttpRequestSenderOptions& options = Long(),
                       const EgressGuard& guard = Loopback()) {
  HttpRequestSender sender(options, guard);
  return SendBy(sender, RequestTo(url));
}

AttemptResult SendTo(const HostileReceiver& receiver, const HttpRequestSenderOptions& options = Long()) {
  const AttemptResult result = SendOnce(receiver.Url("http", "127.0.0.1"), options);
  // What a user reads holds nothing of the URL.
  CHECK(result.error.find("secret") == std::string::npos);
  CHECK(result.error.find("127.0.0.1") == std::string::npos);
  return result;
}

int64_t MemoryBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t all = 0;
  int64_t resident = 0;
  file >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

TEST_CASE("a request is sent as it is, with what HTTP needs") {
  HostileReceiver receiver(Answers(Answer(204)));
  HttpRequestSender sender(Long(), Loopback());
  const AttemptResult result = SendBy(sender, RequestTo(receiver.Url("http", "127.0.0.1")));
  CHECK(result.failure == AttemptFailure::kNone);
  CHECK(result.reply.status == 204);
  CHECK(result.error.empty());
  CHECK(result.reply.body.empty());
  CHECK(result.duration > absl::ZeroDuration());
  CHECK(result.duration < absl::Seconds(10));
  REQUIRE(receiver.requests().size() == 1);
  const testing::ReceivedRequest got = receiver.requests().front();
  CHECK(got.head.find("POST /hook?token=secret HTTP/1.1\r\n") == 0);
  CHECK(got.body == kBody);
  CHECK(got.Header("content-type") == "application/json");
  CHECK(got.Header("user-agent").find("StockAlert/") == 0);
  CHECK(got.Header("user-agent").find(' ') == std::string::npos);
  CHECK(got.Header("host") == absl::StrCat("127.0.0.1:", receiver.port()));
  CHECK(got.Header("expect").empty());
  CHECK(got.Header("x-secret") == "s");
}

TEST_CASE("each method is sent as it is called, with its body") {
  HostileReceiver receiver(Answers(Answer(204)));
  HttpRequestSender sender(Long(), Loopback());
  for (const auto& [method, name] : {std::pair{http::HttpMethod::kPut, "PUT"}, {http::HttpMethod::kPatch, "PATCH"}}) {
    OutgoingHttp request = RequestTo(receiver.Url("http", "127.0.0.1"));
    request.method = method;
    CHECK(SendBy(sender, request).reply.status == 204);
    CHECK(receiver.requests().back().head.find(absl::StrCat(name, " /hook?token=secret HTTP/1.1\r\n")) == 0);
    CHECK(receiver.requests().back().body == kBody);
  }
}

TEST_CASE("an answer is passed on, whatever its status") {
  HttpRequestSender sender(Long(), Loopback());
  for (const int status : {200, 301, 400, 410, 429, 503, 599}) {
    INFO(status);
    HostileReceiver receiver(Answers(Answer(status, "RETRY-AFTER:   120  \r\n", "said")));
    const AttemptResult result = SendBy(sender, RequestTo(receiver.Url("http", "127.0.0.1")));
    CHECK(result.failure == AttemptFailure::kNone);
    CHECK(result.reply.status == status);
    CHECK(result.error.empty());
    CHECK(result.reply.headers.at("retry-after") == "120");
    CHECK(result.reply.body == "said");
  }
}

TEST_CASE("no redirect is followed, whatever its target") {
  HostileReceiver second(Answers(Answer(200)));
  for (const int status : {301, 302, 303, 307, 308}) {
    for (const char* host : {"127.0.0.1", "127.0.0.2", "localhost"}) {
      HostileReceiver first(Answers(Answer(status, absl::StrCat("Location: ", second.Url("http", host), "\r\n"))));
      CHECK(SendTo(first).reply.status == status);
    }
  }
  CHECK(second.connections() == 0);
}

TEST_CASE("headers that drip end with the attempt's time") {
  HostileReceiver receiver([](ReceiverConnection& connection) {
    connection.Read();
    connection.Write("HTTP/1.1 200 OK\r\nX: ");
    while (connection.Write("x")) absl::SleepFor(absl::Milliseconds(20));
  });
  const AttemptResult result = SendTo(receiver, Short());
  CHECK(result.failure == AttemptFailure::kTimedOut);
  CHECK(result.reply.status == 0);
  CHECK_FALSE(result.error.empty());
  CHECK(result.duration >= kTimeout - kClockSlack);
  CHECK(result.duration < kTimeout + kSlack);
}

TEST_CASE("an attempt at a silent receiver ends at its time limit") {
  HostileReceiver receiver([](ReceiverConnection& connection) {
    connection.Read();
    connection.AwaitEnd();
  });
  const AttemptResult result = SendTo(receiver, Short());
  CHECK(result.failure == AttemptFailure::kTimedOut);
  CHECK(result.duration >= kTimeout - kClockSlack);
  CHECK(result.duration < kTimeout + kSlack);
}

TEST_CASE("the kernel keeps little of what a receiver sends and nobody has read") {
  HostileReceiver receiver([](ReceiverConnection& connection) {
    connection.Read();
    connection.AwaitEnd();
  });
  Results results;  // The sender answers before it is gone.
  HttpRequestSender sender(Long(), Loopback());
  sender.Send(RequestTo(receiver.Url("http", "127.0.0.1")), results.Take());
  REQUIRE(Eventually([&] { return !receiver.requests().empty(); }));
  CHECK(receiver.PeerReceiveBufferBytes().value_or(1 << 30) <= 64 * 1024);
}

TEST_CASE("the status counts even if the body drips until the attempt's time limit") {
  for (const int status : {200, 500}) {
    HostileReceiver receiver([&](ReceiverConnection& connection) {
      connection.Read();
      connection.Write(absl::StrCat("HTTP/1.1 ", status, " Said\r\nContent-Length: 1000000\r\n\r\nbegun"));
      while (connection.Write(".")) absl::SleepFor(absl::Milliseconds(20));
    });
    const AttemptResult result = SendTo(receiver, Short());
    CHECK(result.reply.status == status);
    CHECK(result.failure == AttemptFailure::kNone);
    CHECK(result.reply.body.find("begun.") == 0);
    CHECK(result.duration >= kTimeout - kClockSlack);
    CHECK(result.duration < kTimeout + kSlack);
  }
}

// Writes until the peer has enough.
void WriteForEver(ReceiverConnection& connection, const std::string& piece) {
  while (connection.Write(piece)) {
  }
}

TEST_CASE("an endless body and one of 100 MB are cut quickly and in little memory, and the status counts") {
  const std::string head = "HTTP/1.1 200 OK\r\n";
  const std::string piece(64 * 1024, 'x');
  const HostileReceiver::Behaviour endless = [&](ReceiverConnection& connection) {
    connection.Read();
    connection.Write(head + "\r\n");
    WriteForEver(connection, piece);
  };
  const HostileReceiver::Behaviour chunked = [&](ReceiverConnection& connection) {
    connection.Read();
    connection.Write(head + "Transfer-Encoding: chunked\r\n\r\n");
    WriteForEver(connection, "10000\r\n" + piece + "\r\n");
  };
  const HostileReceiver::Behaviour large = [&](ReceiverConnection& connection) {
    connection.Read();
    connection.Write(head + "Content-Length: 104857600\r\n\r\n");
    for (int i = 0; i < 1600 && connection.Write(piece); ++i) {
    }
  };
  for (const HostileReceiver::Behaviour& behaviour : {endless, chunked, large}) {
    HostileReceiver receiver(behaviour);
    HttpRequestSender sender(Long(), Loopback());
    Results results;
    const int64_t before = MemoryBytes();
    constexpr size_t kAtOnce = 32;
    for (size_t i = 0; i < kAtOnce; ++i) sender.Send(RequestTo(receiver.Url("http", "127.0.0.1")), results.Take());
    REQUIRE(Eventually([&] { return results.size() == kAtOnce; }));
    CHECK(MemoryBytes() - before < 48 * 1024 * 1024);
    for (const AttemptResult& result : results.all()) {
      CHECK(result.failure == AttemptFailure::kNone);
      CHECK(result.reply.status == 200);
      CHECK(result.reply.body == std::string(16 * 1024, 'x'));
      CHECK(result.duration < absl::Seconds(15));
    }
    // What the kernel's buffers took is more than what the sender read.
    CHECK(receiver.bytes_written() < static_cast<int64_t>(kAtOnce) * 16 * 1024 * 1024);
  }
}

TEST_CASE("endless headers, also of interim answers, are cut and count as no answer") {
  const HostileReceiver::Behaviour line = [](ReceiverConnection& connection) {
    connection.Read();
    connection.Write("HTTP/1.1 200 OK\r\nX: ");
    WriteForEver(connection, std::string(64 * 1024, 'x'));
  };
  const HostileReceiver::Behaviour lines = [](ReceiverConnection& connection) {
    connection.Read();
    connection.Write("HTTP/1.1 200 OK\r\n");
    for (int i = 0; connection.Write(absl::StrCat("X-", i, ": y\r\n")); ++i) {
    }
  };
  const HostileReceiver::Behaviour interim = [](ReceiverConnection& connection) {
    connection.Read();
    WriteForEver(connection, "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n");
  };
  for (const HostileReceiver::Behaviour& behaviour : {line, lines, interim}) {
    HostileReceiver receiver(behaviour);
    const AttemptResult result = SendTo(receiver);
    CHECK(result.failure == AttemptFailure::kNoAnswer);
    CHECK(result.reply.status == 0);
    CHECK_FALSE(result.error.empty());
    CHECK(result.duration < absl::Seconds(15));
  }
}

TEST_CASE("an interim answer is skipped, and the final one counts") {
  HostileReceiver receiver(
      Answers("HTTP/1.1 103 Early Hints\r\nRetry-After: 7\r\n\r\n" + Answer(429, "Retry-After: 8\r\n")));
  const AttemptResult result = SendTo(receiver);
  CHECK(result.reply.status == 429);
  CHECK(result.reply.headers.at("retry-after") == "8");
  // And where none comes, there was no answer.
  HostileReceiver silent([](ReceiverConnection& connection) {
    connection.Read();
    connection.Write("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n");
    connection.AwaitEnd();
  });
  CHECK(SendTo(silent, Short()).failure == AttemptFailure::kTimedOut);
}

TEST_CASE("a connection that breaks before the headers are complete counts as no answer") {
  const std::vector<std::string> said = {"", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nX: y\r\n"};
  for (const std::string& answer : said) {
    for (const bool reset : {true, false}) {
      INFO(answer << (reset ? " reset" : " closed"));
      HostileReceiver receiver([&](ReceiverConnection& connection) {
        connection.Read();
        connection.Write(answer);
        if (reset) connection.Reset();
      });
      const AttemptResult result = SendTo(receiver);
      CHECK(result.failure == AttemptFailure::kNoAnswer);
      CHECK(result.reply.status == 0);
      CHECK_FALSE(result.error.empty());
    }
  }
}

TEST_CASE("if the connection breaks within the body the status counts") {
  for (const bool reset : {true, false}) {
    HostileReceiver receiver([&](ReceiverConnection& connection) {
      connection.Read();
      connection.Write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
      if (reset) connection.Reset();
    });
    CHECK(SendTo(receiver).failure == AttemptFailure::kNone);
  }
}

TEST_CASE("an HTTP/1.0 answer counts, and anything that is not HTTP is no answer") {
  HostileReceiver old([](ReceiverConnection& connection) {
    connection.Read();
    connection.Write("HTTP/1.0 200 OK\r\n\r\nold");
  });
  const AttemptResult result = SendTo(old);
  CHECK(result.failure == AttemptFailure::kNone);
  CHECK(result.reply.body == "old");
  for (const char* said : {"hello\r\n\r\n", "220 mail.example.com ESMTP\r\n", "-ERR unknown command 'POST'\r\n",
                           "<html>HTTP/0.9</html>", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n"}) {
    INFO(said);
    HostileReceiver other([&](ReceiverConnection& connection) {
      connection.Read();
      connection.Write(said);
    });
    CHECK(SendTo(other).failure == AttemptFailure::kNoAnswer);
  }
}

TEST_CASE("a refused connection and an unknown host count as no answer") {
  int port = 0;
  {
    HostileReceiver gone(Answers(Answer(200)));
    port = gone.port();
  }
  CHECK(SendOnce(absl::StrCat("http://127.0.0.1:", port, "/")).failure == AttemptFailure::kNoAnswer);
  TheNames().Set("unknown.resolver.test", {});
  const AttemptResult unknown = SendOnce("http://unknown.resolver.test:8080/");
  CHECK(unknown.failure == AttemptFailure::kNoAnswer);
  CHECK(unknown.error == "the host's name cannot be resolved");
}

// A port whose queue of connections is full: what is sent to it is not answered, as by a host behind a firewall.
class FullPort {
 public:
  FullPort() {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    files_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(bind(files_[0], reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(listen(files_[0], 0) == 0);
    REQUIRE(getsockname(files_[0], reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    for (int i = 0; i < 4; ++i) {
      files_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      connect(files_.back(), reinterpret_cast<sockaddr*>(&address), size);
    }
  }
  ~FullPort() {
    for (const int file : files_) close(file);
  }
  FullPort(const FullPort&) = delete;
  FullPort& operator=(const FullPort&) = delete;
  int port() const { return port_; }

 private:
  std::vector<int> files_;
  int port_ = 0;
};

TEST_CASE("hanging DNS, TCP and TLS end at the connection's time limit and delay no other attempt") {
  const FullPort full;
  HostileReceiver silent([](ReceiverConnection& connection) { connection.AwaitEnd(); });
  HostileReceiver good(Answers(Answer(200)));
  std::atomic<bool> go{false};
  TheNames().Set("hanging.resolver.test", {{"127.0.0.1"}});
  TheNames().Hang("hanging.resolver.test", [&] { Eventually([&] { return go.load(); }); });
  HttpRequestSenderOptions options = Long();
  options.connect_timeout = kConnectTimeout;
  const absl::Duration begin = base::MonotonicNow();
  {
    HttpRequestSender sender(options, Loopback());
    for (const std::string& url : {absl::StrCat("http://127.0.0.1:", full.port(), "/"),
                                   silent.Url("https", "127.0.0.1"), good.Url("http", "hanging.resolver.test")}) {
      INFO(url);
      Results results;
      sender.Send(RequestTo(url), results.Take());
      const AttemptResult other = SendBy(sender, RequestTo(good.Url("http", "127.0.0.1")));
      CHECK(other.failure == AttemptFailure::kNone);
      CHECK(other.duration < kSlack);
      REQUIRE(Eventually([&] { return results.size() == 1; }));
      const AttemptResult result = results.all().front();
      CHECK(result.failure == AttemptFailure::kTimedOut);
      CHECK(result.duration >= kConnectTimeout - kClockSlack);
      CHECK(result.duration < kConnectTimeout + kSlack);
    }
  }
  // Neither the attempt nor the sender's end waits for the resolver.
  CHECK(base::MonotonicNow() - begin < absl::Seconds(15));
  go = true;
  REQUIRE(Eventually([] { return TheNames().Hanging() == 0; }));
}

class AuthorityFile {
 public:
  explicit AuthorityFile(const testing::Authority& authority)
      : path_("/tmp/stockalert_authority_" + base::SystemIdSource().NewUuid()) {
    std::ofstream(path_) << authority.certificate();
  }
  ~AuthorityFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

TEST_CASE("TLS requires a valid certificate of the host from a known authority") {
  const testing::Authority authority("authority");
  const testing::Authority stranger("stranger");
  const AuthorityFile file(authority);
  HttpRequestSenderOptions options = Long();
  options.authorities_file = file.path();
  TheNames().Set("hook.resolver.test", {{"127.0.0.1"}});
  const testing::Wanted good{.dns_names = {"hook.resolver.test"}, .ip_addresses = {}};
  const auto attempt = [&](const testing::Identity& identity) {
    HostileReceiver receiver(Answers(Answer(200)), identity);
    const AttemptResult result = SendOnce(receiver.Url("https", "hook.resolver.test"), options);
    CHECK(receiver.connections() == 1);
    CHECK(receiver.requests().size() == (result.failure == AttemptFailure::kNone ? 1 : 0));
    return result;
  };
  CHECK(attempt(authority.Issue(good)).reply.status == 200);

  testing::Wanted expired = good;
  expired.end = absl::Now() - absl::Minutes(1);
  testing::Wanted early = good;
  early.begin = absl::Now() + absl::Hours(1);
  for (const testing::Identity& identity :
       {authority.Issue({.dns_names = {"other.resolver.test"}, .ip_addresses = {"127.0.0.1"}}), stranger.Issue(good),
        authority.Issue(expired), authority.Issue(early)}) {
    const AttemptResult result = attempt(identity);
    CHECK(result.failure == AttemptFailure::kNoAnswer);
    CHECK(result.error.find("certificate") != std::string::npos);
  }

  // Neither speaks the other's language.
  HostileReceiver plain([](ReceiverConnection& connection) { connection.Write(Answer(200)); });
  CHECK(SendOnce(plain.Url("https", "hook.resolver.test"), options).failure == AttemptFailure::kNoAnswer);
  HostileReceiver tls(Answers(Answer(200)), authority.Issue(good));
  CHECK(SendOnce(tls.Url("http", "hook.resolver.test"), options).failure == AttemptFailure::kNoAnswer);
}

TEST_CASE("a host that resolves to a forbidden address later is refused at the connection") {
  HostileReceiver receiver([](ReceiverConnection& connection) {
    connection.Read();
    connection.Write(Answer(200, "Connection: close\r\n"));
  });
  TheNames().Set("rebound.resolver.test", {{"127.0.0.1"}, {"127.0.0.2"}});
  HttpRequestSender sender(Long(), Loopback());
  const OutgoingHttp request = RequestTo(receiver.Url("http", "rebound.resolver.test"));
  CHECK(SendBy(sender, request).failure == AttemptFailure::kNone);
  const AttemptResult second = SendBy(sender, request);
  CHECK(TheNames().Asked("rebound.resolver.test") == 2);
  CHECK(second.failure == AttemptFailure::kAddressRefused);
  CHECK(second.reply.status == 0);
  CHECK_FALSE(second.error.empty());
  CHECK(receiver.connections() == 1);
}

TEST_CASE("forbidden addresses of a host are skipped, and the attempt is refused if all are forbidden") {
  HostileReceiver receiver(Answers(Answer(200)));
  TheNames().Set("mixed.resolver.test", {{"127.0.0.2", "::1", "127.0.0.1"}});
  TheNames().Set("refused.resolver.test", {{"127.0.0.2", "::1", "169.254.169.254", "10.0.0.1"}});
  CHECK(SendOnce(receiver.Url("http", "mixed.resolver.test")).failure == AttemptFailure::kNone);
  CHECK(receiver.connections() == 1);
  CHECK(SendOnce(receiver.Url("http", "refused.resolver.test")).failure == AttemptFailure::kAddressRefused);
  CHECK(receiver.connections() == 1);
  // One that is let through and takes no connection is what the attempt failed for.
  int port = 0;
  {
    HostileReceiver gone(Answers(Answer(200)));
    port = gone.port();
  }
  CHECK(SendOnce(absl::StrCat("http://mixed.resolver.test:", port, "/")).failure == AttemptFailure::kNoAnswer);
}

TEST_CASE("unless allowed, no host name and no number leads to this machine") {
  HostileReceiver receiver(Answers(Answer(200)));
  const EgressGuard guard = EgressGuard::Create("", true).value();
  TheNames().Set("here.resolver.test", {{"127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"}});
  for (const char* host : {"here.resolver.test", "localhost", "127.0.0.1", "0x7f.1", "2130706433", "0", "[::1]",
                           "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "127.0.0.1."}) {
    INFO(host);
    CHECK(SendOnce(receiver.Url("http", host), Long(), guard).failure == AttemptFailure::kAddressRefused);
  }
  CHECK(receiver.connections() == 0);
}

TEST_CASE("nothing is sent to a URL that is no longer allowed") {
  HostileReceiver receiver(Answers(Answer(200)));
  const EgressGuard guard = EgressGuard::Create("127.0.0.1", false).value();
  const AttemptResult result = SendOnce(receiver.Url("http", "127.0.0.1"), Long(), guard);
  CHECK(result.failure == AttemptFailure::kAddressRefused);
  CHECK(result.error == "the URL must begin with https://");
  CHECK(receiver.connections() == 0);
}

TEST_CASE("the proxy of the environment is not used") {
  HostileReceiver proxy(Answers(Answer(200)));
  HostileReceiver receiver(Answers(Answer(204)));
  const std::string url = absl::StrCat("http://127.0.0.1:", proxy.port());
  for (const char* name : {"http_proxy", "https_proxy", "all_proxy"}) setenv(name, url.c_str(), 1);
  CHECK(SendTo(receiver).reply.status == 204);
  for (const char* name : {"http_proxy", "https_proxy", "all_proxy"}) unsetenv(name);
  CHECK(proxy.connections() == 0);
}

TEST_CASE("a connection is reused for the next attempt unless its answer was cut") {
  HostileReceiver receiver(Answers(Answer(200, "", std::string(10'000, 'x'))));
  HttpRequestSender sender(Long(), Loopback());
  const OutgoingHttp request = RequestTo(receiver.Url("http", "127.0.0.1"));
  for (int i = 0; i < 5; ++i) CHECK(SendBy(sender, request).failure == AttemptFailure::kNone);
  CHECK(receiver.connections() == 1);

  HostileReceiver large(Answers(Answer(200, "", std::string(20'000, 'x'))));
  const OutgoingHttp to_large = RequestTo(large.Url("http", "127.0.0.1"));
  for (int i = 0; i < 3; ++i) CHECK(SendBy(sender, to_large).failure == AttemptFailure::kNone);
  CHECK(large.connections() == 3);
}

// Debian's HAProxy, which speaks HTTP/2 over TLS, before a receiver that does not.
class Http2Front {
 public:
  Http2Front(const testing::Identity& identity, int receiver_port) {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);  // Inherited.
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    REQUIRE(bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(listen(listener, 128) == 0);
    REQUIRE(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    std::ofstream(path_ + ".pem") << identity.certificate << identity.key;
    std::ofstream(path_ + ".cfg") << "global\n  nbthread 1\ndefaults\n  mode http\n  timeout connect 5s\n"
                                     "  timeout client 60s\n  timeout server 60s\n  retries 0\n"
                                  << "frontend front\n  bind fd@" << listener << " ssl crt " << path_
                                  << ".pem alpn h2\n  http-request set-header x-version %[req.ver]\n"
                                     "  http-request set-header x-connection %[src_port]\n  default_backend receiver\n"
                                  << "backend receiver\n  server receiver 127.0.0.1:" << receiver_port << "\n";
    process_ = fork();
    if (process_ == 0) {
      execlp("haproxy", "haproxy", "-q", "-db", "-f", (path_ + ".cfg").c_str(), nullptr);
      _exit(127);
    }
    close(listener);
  }
  ~Http2Front() {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
    for (const char* end : {".pem", ".cfg"}) std::remove((path_ + end).c_str());
  }
  Http2Front(const Http2Front&) = delete;
  Http2Front& operator=(const Http2Front&) = delete;

  std::string Url() const { return absl::StrCat("https://hook.resolver.test:", port_, "/hook"); }

 private:
  const std::string path_ = "/tmp/stockalert_front_" + base::SystemIdSource().NewUuid();
  int port_ = 0;
  pid_t process_ = -1;
};

TEST_CASE("HTTP/2 is used if offered, and cutting an endless answer ends no other") {
  const testing::Authority authority("authority");
  const AuthorityFile file(authority);
  HttpRequestSenderOptions options = Long();
  options.authorities_file = file.path();
  TheNames().Set("hook.resolver.test", {{"127.0.0.1"}});
  const std::string piece(64 * 1024, 'x');
  // Of ten answers one has no end.
  std::atomic<int> count{0};
  HostileReceiver receiver([&](ReceiverConnection& connection) {
    while (connection.Read()) {
      const int number = count++ % 10;
      if (number == 3) {
        connection.Write("HTTP/1.1 200 OK\r\n\r\n");
        return WriteForEver(connection, piece);
      }
      if (!connection.Write(Answer(200, "", "taken"))) return;
    }
  });
  Http2Front front(authority.Issue({.dns_names = {"hook.resolver.test"}, .ip_addresses = {}}), receiver.port());
  HttpRequestSender sender(options, Loopback());
  // There is a connection that the others can go on.
  CHECK(SendBy(sender, RequestTo(front.Url())).reply.body == "taken");
  count = 0;
  Results results;
  const int64_t before = MemoryBytes();
  constexpr size_t kAtOnce = 50;
  for (size_t i = 0; i < kAtOnce; ++i) sender.Send(RequestTo(front.Url()), results.Take());
  REQUIRE(Eventually([&] { return results.size() == kAtOnce; }, absl::Seconds(30)));
  CHECK(MemoryBytes() - before < 64 * 1024 * 1024);
  std::map<std::string, int> answers;
  for (const AttemptResult& result : results.all())
    ++answers[absl::StrCat(result.reply.status, result.reply.body.substr(0, 5))];
  for (const auto& [answer, times] : answers) UNSCOPED_INFO(answer << ": " << times);
  CHECK(answers == std::map<std::string, int>{{"200taken", 45}, {"200xxxxx", 5}});
  std::set<std::string> connections;
  for (const testing::ReceivedRequest& request : receiver.requests()) {
    CHECK(request.Header("x-version") == "2.0");
    CHECK(request.body == kBody);
    connections.insert(request.Header("x-connection"));
  }
  CHECK(connections.size() < kAtOnce / 2);
}

TEST_CASE("attempts in flight and waiting are limited, and a finished one makes room") {
  std::atomic<bool> go{false};
  HostileReceiver receiver([&](ReceiverConnection& connection) {
    connection.Read();
    Eventually([&] { return go.load(); });
    connection.Write(Answer(200, "Connection: close\r\n"));
  });
  HttpRequestSenderOptions options = Long();
  options.in_flight_max = 2;
  options.waiting_max = 3;
  std::atomic<int> turns{0};
  options.on_turn = [&] { ++turns; };
  HttpRequestSender sender(options, Loopback());
  const OutgoingHttp request = RequestTo(receiver.Url("http", "127.0.0.1"));
  Results results;
  for (int i = 0; i < 2; ++i) sender.Send(request, results.Take());
  REQUIRE(Eventually([&] { return receiver.requests().size() == 2; }));
  for (int i = 0; i < 3; ++i) sender.Send(request, results.Take());
  // The loop has seen them, and lets them wait.
  const int turn = turns;
  REQUIRE(Eventually([&] { return turns >= turn + 3; }));
  CHECK(receiver.connections() == 2);
  // For two more there is no room, at once.
  for (int i = 0; i < 2; ++i) sender.Send(request, results.Take());
  REQUIRE(results.size() == 2);
  for (const AttemptResult& result : results.all()) CHECK(result.failure == AttemptFailure::kNotAttempted);
  CHECK(receiver.connections() == 2);
  go = true;
  REQUIRE(Eventually([&] { return results.size() == 7; }));
  CHECK(receiver.connections() == 5);
}

TEST_CASE("a silent receiver delays no other, and the sender's destructor answers every attempt") {
  HostileReceiver silent([](ReceiverConnection& connection) { connection.AwaitEnd(); });
  HostileReceiver good(Answers(Answer(200)));
  Results stuck;
  {
    HttpRequestSender sender(Long(), Loopback());
    for (int i = 0; i < 50; ++i) sender.Send(RequestTo(silent.Url("http", "127.0.0.1")), stuck.Take());
    const AttemptResult result = SendBy(sender, RequestTo(good.Url("http", "127.0.0.1")));
    CHECK(result.failure == AttemptFailure::kNone);
    CHECK(result.duration < absl::Seconds(5));
    CHECK(stuck.size() == 0);
  }
  CHECK(stuck.size() == 50);
  for (const AttemptResult& result : stuck.all()) CHECK(result.failure == AttemptFailure::kNotAttempted);
}

TEST_CASE("only what is for the operator's own server passes the guard, and nothing else uses its connections") {
  HostileReceiver receiver(Answers(Answer(200)));
  // By a name that leads inside; a user's URL may have the same one.
  TheNames().Set("apprise.resolver.test", {{"127.0.0.1"}});
  const std::string url = receiver.Url("http", "apprise.resolver.test");
  HttpRequestSenderOptions options = Long();
  options.has_operator_server = true;
  OutgoingHttp trusted = RequestTo(url);
  trusted.trusted_by_operator = true;
  HttpRequestSender sender(options, EgressGuard::Create("", true).value());
  CHECK(SendBy(sender, trusted).reply.status == 200);
  CHECK(SendBy(sender, RequestTo(url)).failure == AttemptFailure::kAddressRefused);
  CHECK(SendBy(sender, RequestTo(receiver.Url("http", "127.0.0.1"))).failure == AttemptFailure::kAddressRefused);
  CHECK(SendBy(sender, trusted).reply.status == 200);
  // Without such a server nothing is trusted.
  HttpRequestSender guarded(Long(), EgressGuard::Create("", true).value());
  CHECK(SendBy(guarded, trusted).failure == AttemptFailure::kAddressRefused);
}

}  // namespace
}  // namespace stockalert::notifier
