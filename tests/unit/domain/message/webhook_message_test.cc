#include "services/domain/message/webhook_message.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "services/domain/message/notification_text.h"

namespace stockalert::message {
namespace {

using Json = nlohmann::json;

constexpr char kUser[] = "00000000-0000-4000-8000-000000000001";
constexpr char kAlert[] = "00000000-0000-4000-8000-000000000002";
constexpr char kNotification[] = "00000000-0000-4000-8000-000000000003";

Notice Triggered() {
  Notice notice;
  notice.type = Type::kTriggered;
  notice.user_id = kUser;
  notice.notification_id = kNotification;
  notice.alert_id = kAlert;
  notice.trigger_number = 3;
  notice.symbol = "AAPL";
  notice.price_micros = 150'250'000;
  notice.price_before_micros = 149'900'000;
  notice.reference_micros = 150'000'000;
  notice.event_time_us = 1'795'444'200'123'400;
  notice.create_time_us = 1'795'444'200'150'000;
  notice.summary = "AAPL at or above 150";
  notice.note = "Sell half";
  return notice;
}

Notice Throttled() {
  Notice notice;
  notice.type = Type::kThrottled;
  notice.user_id = kUser;
  notice.notification_id = kNotification;
  notice.symbol = "AAPL";
  notice.event_time_us = 1'795'444'200'000'000;
  notice.create_time_us = 1'795'444'201'000'000;
  notice.folded_count = 12;
  notice.summary = "AAPL: 12 triggers throttled";
  return notice;
}

Notice Plain(Type type) {
  Notice notice;
  notice.type = type;
  notice.user_id = kUser;
  notice.create_time_us = 1'795'444'200'500'000;
  notice.challenge = "c2VjcmV0";
  return notice;
}

TEST_CASE("a trigger's body, byte for byte") {
  CHECK(
      WebhookMessage(Triggered()) ==
      R"({"type":"alert.triggered","timestamp":"2026-11-23T14:30:00.1234Z","data":{)"
      R"("title":"AAPL at 150.25","text":"AAPL at or above 150.\nSell half",)"
      R"("notification":"users/00000000-0000-4000-8000-000000000001/notifications/00000000-0000-4000-8000-000000000003",)"
      R"("alert":"users/00000000-0000-4000-8000-000000000001/alerts/00000000-0000-4000-8000-000000000002",)"
      R"("trigger":"users/00000000-0000-4000-8000-000000000001/alerts/00000000-0000-4000-8000-000000000002/triggers/3",)"
      R"("symbol":"AAPL","price":"150.25","price_before":"149.9","reference":"150","late":false,)"
      R"("critical":false,"rerouted":false,"note":"Sell half",)"
      R"("summary":"AAPL at or above 150","event_time":"2026-11-23T14:30:00.1234Z",)"
      R"("create_time":"2026-11-23T14:30:00.15Z"}})");
}

TEST_CASE("the body of throttled triggers, byte for byte") {
  CHECK(
      WebhookMessage(Throttled()) ==
      R"({"type":"alerts.throttled","timestamp":"2026-11-23T14:30:00Z","data":{)"
      R"("title":"AAPL: 12 triggers throttled","text":"More of your alerts triggered within a minute than are sent )"
      R"(one by one. The list of your notifications has all of them.",)"
      R"("notification":"users/00000000-0000-4000-8000-000000000001/notifications/00000000-0000-4000-8000-000000000003",)"
      R"("symbol":"AAPL","folded_count":12,"critical":false,"summary":"AAPL: 12 triggers throttled",)"
      R"("event_time":"2026-11-23T14:30:00Z","create_time":"2026-11-23T14:30:01Z"}})");
  Notice several = Throttled();
  several.symbol = "";
  CHECK_FALSE(Json::parse(WebhookMessage(several))["data"].contains("symbol"));
}

TEST_CASE("the body of a verification and of a test, byte for byte") {
  CHECK(
      WebhookMessage(Plain(Type::kVerification)) ==
      R"({"type":"destination.verification","timestamp":"2026-11-23T14:30:00.5Z","data":{)"
      R"("title":"Is this destination yours?","text":"Somebody wants notifications of StockAlert to be sent here. )"
      R"(If it was not you, leave this unanswered.","create_time":"2026-11-23T14:30:00.5Z","challenge":"c2VjcmV0"}})");
  CHECK(
      WebhookMessage(Plain(Type::kTest)) ==
      R"({"type":"notification.test","timestamp":"2026-11-23T14:30:00.5Z","data":{"title":"Test of StockAlert",)"
      R"("text":"Notifications arrive here. This is a test, not an alert.","create_time":"2026-11-23T14:30:00.5Z"}})");
}

TEST_CASE("prices that are not there are left out, and a late trigger says so") {
  Notice notice = Triggered();
  notice.price_before_micros.reset();
  notice.reference_micros.reset();
  notice.late = true;
  notice.note = "";
  const Json data = Json::parse(WebhookMessage(notice))["data"];
  CHECK_FALSE(data.contains("price_before"));
  CHECK_FALSE(data.contains("reference"));
  CHECK(data["late"] == true);
  CHECK(data["note"] == "");
  CHECK(data["text"] == "AAPL at or above 150.\nFound after the fact, from the day's high or low.");
}

TEST_CASE("words come through JSON as they are, and what is no UTF-8 is left out") {
  Notice notice = Triggered();
  notice.note = "\"quoted\" \\ \n\t </script> \xe2\x82\xac\xf0\x9f\x93\x88 \x01";
  CHECK(Json::parse(WebhookMessage(notice))["data"]["note"] == notice.note);
  notice.note = std::string("a\xff\0\xc3(b", 6);
  CHECK(Json::parse(WebhookMessage(notice))["data"]["note"] == "a(b");
}

TEST_CASE("no body is larger than 20 kB, whatever is in it") {
  for (const std::string& filler :
       {std::string("x"), std::string("\x01"), std::string("\""), std::string("\xf0\x9f\x93\x88")}) {
    for (const size_t count : {600, 2048, 5000, 100'000}) {
      std::string words;
      for (size_t i = 0; i < count; ++i) words += filler;
      for (Notice notice : {Triggered(), Throttled(), Plain(Type::kVerification), Plain(Type::kTest)}) {
        for (std::string* text : {&notice.user_id, &notice.notification_id, &notice.alert_id, &notice.symbol,
                                  &notice.summary, &notice.note, &notice.challenge}) {
          *text = words;
        }
        notice.price_micros = notice.trigger_number = notice.folded_count = INT64_MAX;
        notice.price_before_micros = notice.reference_micros = INT64_MIN;
        const std::string body = WebhookMessage(notice);
        INFO(body.substr(0, 40) << " of " << count);
        CHECK(body.size() <= kWebhookBodyBytesMax);
        CHECK(Json::accept(body));
      }
    }
  }
}

TEST_CASE("a note of the longest that an alert takes is whole") {
  Notice notice = Triggered();
  notice.note.clear();
  for (int i = 0; i < 500; ++i) notice.note += "\xf0\x9f\x93\x88";
  CHECK(Json::parse(WebhookMessage(notice))["data"]["note"] == notice.note);
}

TEST_CASE("the words of each type, with what is worth a line of its own") {
  const NotificationText text = TextOf(Triggered());
  CHECK(text.title == "AAPL at 150.25");
  CHECK(text.fields == std::vector<TextField>{{"Price", "150.25"},
                                              {"Price before", "149.90"},
                                              {"Reference", "150.00"},
                                              {"Time", "2026-11-23 14:30:00 UTC"},
                                              {"Stored", "2026-11-23 14:30:00 UTC"}});
  CHECK(TextOf(Throttled()).fields == std::vector<TextField>{{"Triggers", "12"}, {"Time", "2026-11-23 14:30:00 UTC"}});
  std::set<std::string> titles;
  for (const Notice& notice : {Triggered(), Throttled(), Plain(Type::kVerification), Plain(Type::kTest)}) {
    titles.insert(TextOf(notice).title);
    CHECK_FALSE(TextOf(notice).text.empty());
  }
  CHECK(titles.size() == 4);
}

TEST_CASE("a verification by code has its code, and no challenge") {
  Notice notice = Plain(Type::kVerification);
  notice.challenge.clear();
  notice.code = "ABCD2345";
  const nlohmann::json data = nlohmann::json::parse(WebhookMessage(notice))["data"];
  CHECK(data["code"] == "ABCD2345");
  CHECK_FALSE(data.contains("challenge"));
  CHECK(TextOf(notice).text.find(": ABCD2345\n") != std::string::npos);
}

TEST_CASE("a split's message has the ratio, and neither alert nor price") {
  Notice notice;
  notice.type = Type::kSplit;
  notice.user_id = "u";
  notice.notification_id = "n";
  notice.symbol = "AAPL";
  notice.split = {3, {4, 1}, 1'767'366'000'000'000, 2};
  notice.event_time_us = notice.create_time_us = 1'767'366'000'000'000;
  notice.summary = "summary";
  const auto message = nlohmann::json::parse(WebhookMessage(notice));
  CHECK(message["type"] == "ticker.split");
  CHECK(message["timestamp"] == "2026-01-02T15:00:00Z");
  const auto& data = message["data"];
  CHECK(data["notification"] == "users/u/notifications/n");
  CHECK(data["symbol"] == "AAPL");
  CHECK(data["split"] == "tickers/AAPL/splits/3");
  CHECK(data["numerator"] == 4);
  CHECK(data["denominator"] == 1);
  CHECK(data["effective_time"] == "2026-01-02T15:00:00Z");
  CHECK(data["alert_count"] == 2);
  CHECK(data["summary"] == "summary");
  for (const char* absent : {"alert", "trigger", "price", "folded_count", "destination", "late"})
    CHECK(!data.contains(absent));
}

}  // namespace
}  // namespace stockalert::message
