#include "services/evaluator/semantics/stream_replay.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

namespace stockalert::evaluator {
namespace {

constexpr char kCreate[] =
    R"({"op":"create","id":"a","symbol":"AAPL","condition":{"kind":"target","op":"AT_OR_ABOVE","price":"100"},)"
    R"("policy":"REPEAT","creation":"FIRE_IF_MET","sessions":"REGULAR","expire_time":null})";

std::string QuoteOf(const std::string& price, int64_t time_us) {
  return R"({"op":"quote","symbol":"AAPL","price":")" + price + R"(","time":)" + std::to_string(time_us) +
         R"(,"session":"REGULAR","offset":)" + std::to_string(time_us) + "}";
}

std::string Run(const std::vector<std::string>& lines) {
  StreamReplay replay;
  std::string out;
  for (const std::string& line : lines) {
    CAPTURE(line);
    const absl::Status status = replay.ApplyLine(line, &out);
    CAPTURE(std::string(status.message()));
    REQUIRE(status.ok());
  }
  replay.PrintStates(&out);
  return out;
}

TEST_CASE("a stream is replayed, and its triggers and states are printed") {
  CHECK(Run({kCreate, "", QuoteOf("99.5", 1), QuoteOf("100.000", 2)}) ==
        "{\"trigger\":\"a\",\"n\":1,\"revision\":1,\"price\":\"100\",\"time\":2,\"before\":\"99.5\",\"offset\":2,"
        "\"late\":false}\n"
        "{\"state\":\"a\",\"is\":\"ACTIVE\"}\n");
}

TEST_CASE("refused quotes change nothing") {
  for (const char* price : {"0", "-1", "1000000000000.5", "100.1234567", "NaN", "inf", "", "abc"}) {
    CAPTURE(price);
    CHECK(Run({kCreate, QuoteOf(price, 1)}) == "{\"state\":\"a\",\"is\":\"ACTIVE\"}\n");
  }
}

TEST_CASE("an alert that was deleted does not live again in a hold") {
  const std::string again =
      R"({"op":"alert","id":"a","symbol":"AAPL","revision":5,"armed_revision":5,"paused":false,"deleted":false,)"
      R"("condition":{"kind":"target","op":"AT_OR_ABOVE","price":"100"},"policy":"REPEAT","cooldown_us":0,)"
      R"("hysteresis":"0","creation":"FIRE_IF_MET","sessions":"REGULAR","expire_time":null})";
  const std::string suspected = R"({"op":"split_suspected","symbol":"AAPL"})";
  const std::string deleted = R"({"op":"delete","id":"a"})";
  CHECK(Run({kCreate, deleted, suspected, again}).empty());
  CHECK(Run({kCreate, suspected, deleted, again, R"({"op":"split_dismissed","symbol":"AAPL"})"}).empty());
}

TEST_CASE("commands follow the rules of an alert's life") {
  const std::string out =
      Run({kCreate, kCreate, R"({"op":"pause","id":"a"})", R"({"op":"pause","id":"nobody"})", QuoteOf("101", 1),
           R"({"op":"update","id":"a","condition":{"kind":"target","op":"AT_OR_BELOW","price":"0"}})",
           R"({"op":"update","id":"a","policy":"ONCE"})", R"({"op":"resume","id":"a"})", QuoteOf("101", 2),
           R"({"op":"pause","id":"a"})"});
  CHECK(out.find(R"("rejected":"a","code":"ALREADY_EXISTS")") != std::string::npos);
  CHECK(out.find(R"("rejected":"nobody","code":"NOT_FOUND")") != std::string::npos);
  CHECK(out.find(R"("rejected":"a","code":"INVALID_ARGUMENT")") != std::string::npos);
  CHECK(out.find(R"("trigger":"a","n":1,"revision":4)") != std::string::npos);
  CHECK(out.find(R"("rejected":"a","code":"FAILED_PRECONDITION")") != std::string::npos);
  CHECK(out.find(R"({"state":"a","is":"TRIGGERED"})") != std::string::npos);
}

TEST_CASE("a deleted id never lives again") {
  const std::string out =
      Run({kCreate, QuoteOf("100", 1), R"({"op":"delete","id":"a"})", kCreate, QuoteOf("99", 2), QuoteOf("101", 3)});
  CHECK(out.find(R"("rejected":"a","code":"ALREADY_EXISTS")") != std::string::npos);
  CHECK(out.find(R"("n":2)") == std::string::npos);
  CHECK(out.find(R"("state")") == std::string::npos);
}

TEST_CASE("a log's change that moves an expiry which the clock has passed arms the alert") {
  const auto change = [](int revision, const std::string& expire_time) {
    return R"({"op":"alert","id":"a","symbol":"AAPL","revision":)" + std::to_string(revision) +
           R"(,"armed_revision":1,"paused":false,"deleted":false,"condition":{"kind":"target","op":"AT_OR_ABOVE","price":"100"},)"
           R"("policy":"REPEAT","cooldown_us":1000,"creation":"FIRE_IF_MET","sessions":"REGULAR","expire_time":)" +
           expire_time + "}";
  };
  const std::string clock = R"({"op":"clock","time":50})";
  // Armed anew it is ready, and there is no cooldown.
  CHECK(Run({change(1, "40"), clock, QuoteOf("100", 1), change(2, "null"), QuoteOf("101", 2)})
            .find(R"("n":2,"revision":2)") != std::string::npos);
  // Neither the same expiry nor one that has not passed arms.
  CHECK(Run({change(1, "40"), clock, QuoteOf("100", 1), change(2, "40"), QuoteOf("101", 2)}).find(R"("n":2)") ==
        std::string::npos);
  CHECK(Run({change(1, "60"), clock, QuoteOf("100", 1), change(2, "null"), QuoteOf("101", 2)}).find(R"("n":2)") ==
        std::string::npos);
}

TEST_CASE("an expiry by the clock, and by a quote") {
  const std::string expire = R"({"op":"update","id":"a","expire_time":10})";
  CHECK(Run({kCreate, expire, R"({"op":"clock","time":9})"}) == "{\"state\":\"a\",\"is\":\"ACTIVE\"}\n");
  CHECK(Run({kCreate, expire, R"({"op":"clock","time":10})"}) == "{\"state\":\"a\",\"is\":\"EXPIRED\"}\n");
  CHECK(Run({kCreate, expire, QuoteOf("50", 10)}) == "{\"state\":\"a\",\"is\":\"EXPIRED\"}\n");
  // A quote from before it that arrives afterwards still triggers.
  CHECK(Run({kCreate, expire, R"({"op":"clock","time":10})", QuoteOf("100", 9)}).find("trigger") != std::string::npos);
}

TEST_CASE("a change as the log carries it") {
  const auto change = [](int64_t revision, int64_t armed, bool paused, bool deleted) {
    return R"({"op":"alert","id":"a","symbol":"AAPL","revision":)" + std::to_string(revision) +
           R"(,"armed_revision":)" + std::to_string(armed) + R"(,"paused":)" + (paused ? "true" : "false") +
           R"(,"deleted":)" + (deleted ? "true" : "false") +
           R"(,"condition":{"kind":"target","op":"AT_OR_ABOVE","price":"100"},"policy":"ONCE","creation":"FIRE_IF_MET",)"
           R"("sessions":"REGULAR","expire_time":null})";
  };
  CHECK(Run({change(3, 3, true, false), QuoteOf("100", 1)}) == "{\"state\":\"a\",\"is\":\"PAUSED\"}\n");
  CHECK(Run({change(3, 3, true, false), change(2, 2, false, false)}) == "{\"state\":\"a\",\"is\":\"PAUSED\"}\n");
  CHECK(Run({change(3, 3, false, false), QuoteOf("100", 1), change(4, 3, true, false)}).find("TRIGGERED") !=
        std::string::npos);
  CHECK(Run({change(3, 3, false, false), change(4, 3, false, true)}).empty());
}

TEST_CASE("a record that cannot be understood is an error and changes nothing") {
  StreamReplay replay;
  std::string out;
  REQUIRE(replay.ApplyLine(kCreate, &out).ok());
  for (
      const char* line :
      {"{",
       "[]",
       "7",
       "{}",
       R"({"op":"dance"})",
       R"({"op":"quote","symbol":"AAPL"})",
       R"({"op":"quote","symbol":"AAPL","price":101,"time":1,"session":"REGULAR","offset":1})",
       R"({"op":"quote","symbol":"AAPL","price":"101","time":1.5,"session":"REGULAR","offset":1})",
       R"({"op":"quote","symbol":"AAPL","price":"101","time":1,"session":"LUNCH","offset":1})",
       R"({"op":"quote","symbol":"AAPL","price":"101","time":99999999999999999999,"session":"REGULAR","offset":1})",
       R"({"op":"quote","symbol":"AAPL","price":"101","time":1,"session":"REGULAR","offset":1,"rules":3})",
       R"({"op":"split","symbol":"AAPL","ratio":"4","time":1})",
       R"({"op":"split","symbol":"AAPL","ratio":"4/0","time":1})",
       R"({"op":"split","symbol":"AAPL","ratio":"4/1/1","time":1})",
       R"({"op":"split","symbol":"AAPL","ratio":"1000001/1","time":1})",
       R"({"op":"split","symbol":"AAPL","ratio":"4/1"})",
       R"({"op":"split_suspected"})",
       R"({"op":"split_suspected","symbol":"AAPL","epoch":1,"sequence":-1})",
       R"({"op":"split_dismissed","symbol":"AAPL","epoch":-1})",
       R"({"op":"create","id":"b","symbol":"AAPL"})",
       R"({"op":"create","id":"b","symbol":"AAPL","condition":{"kind":"moon"}})",
       R"({"op":"alert","id":"b","symbol":"AAPL","revision":1,"armed_revision":1,"condition":{"kind":"target","op":"CROSSES","price":"0"}})",
       R"({"op":"update","id":7})",
       R"({"op":"clock"})"}) {
    CAPTURE(line);
    CHECK(replay.ApplyLine(line, &out).code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK(out.empty());
  CHECK(replay.fold().counters().quotes_accepted == 0);
  CHECK(replay.fold().alert_count() == 1);
}

}  // namespace
}  // namespace stockalert::evaluator
