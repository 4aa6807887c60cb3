#include "services/common/http/http_client.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <optional>
#include <string>

#include "services/common/base/mutex.h"
#include "tests/support/eventually/eventually.h"
#include "tests/support/hostile_receiver/hostile_receiver.h"

namespace stockalert::http {
namespace {

TEST_CASE("whatever has a meaning in a URL is escaped") {
  CHECK(EscapeForUrl("a b") == "a%20b");
  CHECK(EscapeForUrl("BRK.B-1_~") == "BRK.B-1_~");
  CHECK(EscapeForUrl("a&b=c?d#e/f:g@h%i+j") == "a%26b%3Dc%3Fd%23e%2Ff%3Ag%40h%25i%2Bj");
  CHECK(EscapeForUrl("\xe2\x82\xac\r\n") == "%E2%82%AC%0D%0A");
  CHECK(EscapeForUrl("") == "");
}

using testing::Answer;
using testing::Answers;
using testing::HostileReceiver;
using testing::ReceiverConnection;

absl::StatusOr<HttpReply> SendBy(HttpClient& client, const HttpRequest& request) {
  struct Outcome {
    base::Mutex mutex;
    std::optional<absl::StatusOr<HttpReply>> reply ABSL_GUARDED_BY(mutex);
  };
  auto outcome = std::make_shared<Outcome>();
  client.Send(request, [outcome](absl::StatusOr<HttpReply> reply) {
    base::MutexLock lock(outcome->mutex);
    outcome->reply = std::move(reply);
  });
  REQUIRE(testing::Eventually([&] {
    base::MutexLock lock(outcome->mutex);
    return outcome->reply.has_value();
  }));
  base::MutexLock lock(outcome->mutex);
  return *outcome->reply;
}

absl::StatusOr<HttpReply> GetOnce(const HostileReceiver& receiver, const HttpClientOptions& options) {
  HttpClient client(options);
  return SendBy(client, {.url = receiver.Url("http", "127.0.0.1")});
}

TEST_CASE("method, headers and body are sent as they are given") {
  HostileReceiver receiver(Answers(Answer(200, "X-Answer: yes\r\n", "body")));
  HttpClient client(HttpClientOptions{.headers = {"X-All: 1"}});
  const std::string body("a\0b", 3);
  const absl::StatusOr<HttpReply> reply = SendBy(
      client,
      {.method = HttpMethod::kPost, .url = receiver.Url("http", "127.0.0.1"), .headers = {"X-One: 2"}, .body = body});
  REQUIRE(reply.ok());
  CHECK(reply->status == 200);
  CHECK(reply->body == "body");
  CHECK(reply->headers.at("x-answer") == "yes");
  CHECK_FALSE(reply->cut);
  CHECK(SendBy(client, {.url = receiver.Url("http", "127.0.0.1"), .lane = 1}).ok());
  const std::vector<testing::ReceivedRequest> requests = receiver.requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].head.find("POST /hook?token=secret HTTP/1.1\r\n") == 0);
  CHECK(requests[0].body == body);
  CHECK(requests[0].Header("x-all") == "1");
  CHECK(requests[0].Header("x-one") == "2");
  CHECK(requests[1].head.find("GET /hook?token=secret HTTP/1.1\r\n") == 0);
  CHECK(requests[1].Header("x-all") == "1");
  CHECK(requests[1].Header("x-one").empty());
  CHECK(requests[1].body.empty());
}

TEST_CASE("a body of just as many bytes as may be is whole; one more is refused, or cut to the byte") {
  HostileReceiver receiver(Answers(Answer(200, "", "0123456789")));
  for (const bool cut : {false, true}) {
    const absl::StatusOr<HttpReply> whole = GetOnce(receiver, {.reply_bytes_max = 10, .cut_replies = cut});
    REQUIRE(whole.ok());
    CHECK(whole->body == "0123456789");
    CHECK_FALSE(whole->cut);
  }
  CHECK(absl::IsUnavailable(GetOnce(receiver, {.reply_bytes_max = 9}).status()));
  const absl::StatusOr<HttpReply> cut = GetOnce(receiver, {.reply_bytes_max = 9, .cut_replies = true});
  REQUIRE(cut.ok());
  CHECK(cut->status == 200);
  CHECK(cut->body == "012345678");
  CHECK(cut->cut);
}

TEST_CASE("a body that breaks off or does not end in time is a reply only where replies may be cut") {
  HostileReceiver broken([](ReceiverConnection& connection) {
    connection.Read();
    connection.Write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  });
  HostileReceiver slow([](ReceiverConnection& connection) {
    connection.Read();
    connection.Write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    connection.AwaitEnd();
  });
  const absl::Duration timeout = absl::Milliseconds(300);
  CHECK(absl::IsUnavailable(GetOnce(broken, {}).status()));
  CHECK(absl::IsDeadlineExceeded(GetOnce(slow, {.timeout = timeout}).status()));
  for (const HostileReceiver* receiver : {&broken, &slow}) {
    const absl::StatusOr<HttpReply> reply = GetOnce(*receiver, {.timeout = timeout, .cut_replies = true});
    REQUIRE(reply.ok());
    CHECK(reply->body == "half");
    CHECK(reply->cut);
  }
}

TEST_CASE("the kernel keeps no more of a reply than was asked for") {
  HostileReceiver receiver([](ReceiverConnection& connection) {
    connection.Read();
    connection.AwaitEnd();
  });
  HttpClient client(HttpClientOptions{.receive_buffer_bytes = 20'000});
  client.Send({.url = receiver.Url("http", "127.0.0.1")}, [](const absl::StatusOr<HttpReply>&) {});
  REQUIRE(testing::Eventually([&] { return !receiver.requests().empty(); }));
  // Linux gives twice what is asked for.
  CHECK(receiver.PeerReceiveBufferBytes() == 40'000);
}

TEST_CASE("what waits for its turn is given up in time, and other lanes do not wait for it") {
  HostileReceiver silent([](ReceiverConnection& connection) { connection.AwaitEnd(); });
  HostileReceiver good(Answers(Answer(200)));
  HttpClient client(HttpClientOptions{.timeout = absl::Milliseconds(500), .lanes = 2, .in_flight_max = 1});
  std::atomic<int> late{0};
  for (int i = 0; i < 3; ++i) {
    client.Send({.url = silent.Url("http", "127.0.0.1")}, [&](const absl::StatusOr<HttpReply>& reply) {
      if (absl::IsDeadlineExceeded(reply.status())) ++late;
    });
  }
  CHECK(SendBy(client, {.url = good.Url("http", "127.0.0.1"), .lane = 1}).ok());
  CHECK(testing::Eventually([&] { return late == 3; }, absl::Seconds(5)));
  CHECK(silent.connections() == 1);
}

TEST_CASE("a name that leads nowhere and an address that nothing may go to are told apart") {
  HostileReceiver receiver(Answers(Answer(200)));
  std::atomic<int> asked{0};
  const absl::Status refused = GetOnce(receiver, {.may_connect =
                                                      [&](const sockaddr& peer) {
                                                        asked += peer.sa_family == AF_INET ? 1 : 100;
                                                        return false;
                                                      }})
                                   .status();
  CHECK(absl::IsPermissionDenied(refused));
  CHECK(asked == 1);
  CHECK(receiver.connections() == 0);
  HttpClient client(HttpClientOptions{});
  CHECK(absl::IsUnavailable(SendBy(client, {.url = "http://127.0.0.1:1/"}).status()));
  CHECK(absl::IsUnavailable(SendBy(client, {.url = "ftp://127.0.0.1/"}).status()));
}

TEST_CASE("a client that is destroyed has answered what it was asked") {
  int answered = 0;
  absl::Status status;
  {
    HttpClient client(HttpClientOptions{.may_connect = [](const sockaddr&) { return false; }});
    client.Send({.url = "http://127.0.0.1:1/"}, [&](const absl::StatusOr<HttpReply>& reply) {
      ++answered;
      status = reply.status();
    });
  }
  CHECK(answered == 1);
  CHECK((absl::IsCancelled(status) || absl::IsPermissionDenied(status)));
}

}  // namespace
}  // namespace stockalert::http
