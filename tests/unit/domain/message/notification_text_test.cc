#include "services/domain/message/notification_text.h"

#include <catch2/catch.hpp>

#include "services/domain/message/webhook_message.h"

namespace stockalert::message {
namespace {

constexpr int64_t kSecond = 1'000'000;

// 2026-11-30T14:04:05Z.
constexpr int64_t kEventTime = 1'796'047'445 * kSecond;

absl::TimeZone Zone(const char* name) {
  absl::TimeZone zone;
  REQUIRE(absl::LoadTimeZone(name, &zone));
  return zone;
}

Notice Triggered() {
  Notice notice;
  notice.symbol = "AAPL";
  notice.price_micros = 150'125'000;
  notice.price_before_micros = 149'000'000;
  notice.reference_micros = 150'500'000;
  notice.event_time_us = kEventTime;
  notice.create_time_us = kEventTime + 2 * kSecond;
  notice.sent_time_us = kEventTime + 3 * kSecond;
  notice.summary = "AAPL at or above 150";
  notice.note = "Sell half";
  return notice;
}

TEST_CASE("a trigger's text has what happened, what was asked, the note, and the way it took") {
  Notice notice = Triggered();
  notice.late = true;
  notice.style.time_zone = Zone("Europe/Berlin");
  const NotificationText text = TextOf(notice);
  CHECK(text.title == "AAPL at 150.125");
  CHECK(text.text == "AAPL at or above 150.\nFound after the fact, from the day's high or low.\nSell half");
  CHECK(text.fields == std::vector<TextField>{{"Price", "150.125"},
                                              {"Price before", "149.00"},
                                              {"Reference", "150.50"},
                                              {"Time", "2026-11-30 15:04:05 CET"},
                                              {"Stored", "2026-11-30 15:04:07 CET"},
                                              {"Sent", "2026-11-30 15:04:08 CET"}});
}

TEST_CASE("prices have as many decimals as the user wants, rounded half to even") {
  struct Case {
    int64_t micros;
    std::optional<int> decimals;
    const char* text;
  };
  const Case cases[] = {
      {150'125'000, std::nullopt, "150.125"},
      {150'000'001, std::nullopt, "150.000001"},
      {96'000'000, std::nullopt, "96.00"},
      {96'500'000, std::nullopt, "96.50"},
      {150'125'000, 2, "150.12"},
      {150'135'000, 2, "150.14"},
      {150'125'001, 2, "150.13"},
      {150'500'000, 0, "150"},
      {151'500'000, 0, "152"},
      {150'125'000, 6, "150.125000"},
      {999'999'999, 2, "1000.00"},
      {4'999, 2, "0.00"},
      {5'000, 2, "0.00"},
      {15'000, 2, "0.02"},
  };
  for (const Case& one : cases) {
    Notice notice = Triggered();
    notice.price_micros = one.micros;
    notice.style.price_decimals = one.decimals;
    CHECK(TextOf(notice).fields[0] == TextField{"Price", one.text});
    CHECK(TextOf(notice).title == std::string("AAPL at ") + one.text);
  }
}

TEST_CASE("a digest's text says what it stands for") {
  Notice notice;
  notice.type = Type::kDigest;
  notice.folded_count = 12;
  notice.event_time_us = kEventTime;
  notice.summary = "12 notifications held in quiet hours: AAPL at or above 150 (12 times)";
  notice.style.time_zone = Zone("America/New_York");
  const NotificationText text = TextOf(notice);
  CHECK(text.title == "12 notifications in one");
  CHECK(text.text == notice.summary + ".\nThe list of your notifications has all of them.");
  CHECK(text.fields == std::vector<TextField>{{"Notifications", "12"}, {"Time", "2026-11-30 09:04:05 EST"}});
}

TEST_CASE("a split is told by its ratio and by what becomes of prices") {
  struct Case {
    price::SplitRatio ratio;
    int64_t alerts;
    const char* summary;
  };
  const Case cases[] = {
      {{4, 1}, 3, "AAPL split 4-for-1: 3 of your alerts now use prices divided by 4"},
      {{4, 1}, 1, "AAPL split 4-for-1: 1 of your alerts now uses prices divided by 4"},
      {{3, 2}, 2, "AAPL split 3-for-2: 2 of your alerts now use prices multiplied by 2/3"},
      {{20, 10}, 2, "AAPL split 20-for-10: 2 of your alerts now use prices divided by 2"},
      {{1, 10}, 2, "AAPL reverse split 1-for-10: 2 of your alerts now use prices multiplied by 10"},
      {{2, 3}, 2, "AAPL reverse split 2-for-3: 2 of your alerts now use prices multiplied by 3/2"},
  };
  for (const Case& one : cases) CHECK(SplitSummary("AAPL", {1, one.ratio, 0, one.alerts}) == one.summary);
  Notice notice;
  notice.type = Type::kSplit;
  notice.symbol = "AAPL";
  notice.split = {3, {4, 1}, kEventTime, 2};
  notice.summary = SplitSummary("AAPL", notice.split);
  notice.style.time_zone = Zone("America/New_York");
  NotificationText text = TextOf(notice);
  CHECK(text.title == "AAPL split 4-for-1");
  CHECK(text.text == notice.summary + ". Nothing triggers by a split.");
  CHECK(text.fields == std::vector<TextField>{{"Alerts", "2"}, {"Effective", "2026-11-30 09:04:05 EST"}});
  notice.split.effective_time_us = 0;
  CHECK(TextOf(notice).fields == std::vector<TextField>{{"Alerts", "2"}});
}

TEST_CASE("webhooks have exact prices, UTC, and the same bytes whoever gets them and whenever") {
  Notice styled = Triggered();
  styled.style = {Zone("Asia/Tokyo"), 0};
  styled.sent_time_us += kSecond;
  CHECK(WebhookMessage(styled) == WebhookMessage(Triggered()));
}

}  // namespace
}  // namespace stockalert::message
