#include "services/domain/message/notification_text.h"

#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/base/abseil.h"
#include "services/domain/price/decimal.h"

namespace stockalert::message {
namespace {

constexpr int kUsualDecimals = 2;

// "2026-11-30 15:04:05 CET".
std::string TimeForPeople(int64_t time_us, const Notice& notice) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S %Z", absl::FromUnixMicros(time_us), notice.style.time_zone);
}

std::string PriceForPeople(int64_t micros, const Notice& notice) {
  if (notice.style.price_decimals) return price::FormatMicrosRounded(micros, *notice.style.price_decimals);
  const std::string all = price::FormatMicros(micros);
  const size_t point = all.find('.');
  const bool has_usual = point != std::string::npos && all.size() - point > kUsualDecimals;
  return has_usual ? all : price::FormatMicrosRounded(micros, kUsualDecimals);
}

// When it was stored, after the alert was evaluated, and when it was sent.
void AddWay(const Notice& notice, NotificationText& text) {
  if (notice.create_time_us > 0) text.fields.push_back({"Stored", TimeForPeople(notice.create_time_us, notice)});
  if (notice.sent_time_us > 0) text.fields.push_back({"Sent", TimeForPeople(notice.sent_time_us, notice)});
}

NotificationText OfTrigger(const Notice& notice) {
  NotificationText text;
  text.title = absl::StrCat(notice.symbol, " at ", PriceForPeople(notice.price_micros, notice));
  text.text = absl::StrCat(notice.summary, ".");
  if (notice.late) absl::StrAppend(&text.text, "\nFound after the fact, from the day's high or low.");
  if (!notice.note.empty()) absl::StrAppend(&text.text, "\n", notice.note);
  text.fields.push_back({"Price", PriceForPeople(notice.price_micros, notice)});
  if (notice.price_before_micros) {
    text.fields.push_back({"Price before", PriceForPeople(*notice.price_before_micros, notice)});
  }
  if (notice.reference_micros) text.fields.push_back({"Reference", PriceForPeople(*notice.reference_micros, notice)});
  text.fields.push_back({"Time", TimeForPeople(notice.event_time_us, notice)});
  AddWay(notice, text);
  return text;
}

NotificationText OfThrottled(const Notice& notice) {
  return {notice.summary,
          "More of your alerts triggered within a minute than are sent one by one. "
          "The list of your notifications has all of them.",
          {{"Triggers", absl::StrCat(notice.folded_count)}, {"Time", TimeForPeople(notice.event_time_us, notice)}}};
}

NotificationText OfVerification(const Notice& notice) {
  const std::string title = "Is this destination yours?";
  const std::string somebody = "Somebody wants notifications of StockAlert to be sent here.";
  if (notice.code.empty()) return {title, absl::StrCat(somebody, " If it was not you, leave this unanswered."), {}};
  return {title,
          absl::StrCat(somebody, " If it was you, enter this code within 30 minutes: ", notice.code,
                       "\nIf it was not you, ignore this message."),
          {}};
}

NotificationText OfDestination(const Notice& notice) {
  return {notice.destination_disabled ? "A destination is disabled" : "A destination is verified",
          absl::StrCat(notice.summary, "."),
          {{"Time", TimeForPeople(notice.event_time_us, notice)}}};
}

NotificationText OfDigest(const Notice& notice) {
  return {
      absl::StrCat(notice.folded_count, " notifications in one"),
      absl::StrCat(notice.summary, ".\nThe list of your notifications has all of them."),
      {{"Notifications", absl::StrCat(notice.folded_count)}, {"Time", TimeForPeople(notice.event_time_us, notice)}}};
}

// "AAPL split 4-for-1", and where shares become fewer "AAPL reverse split 1-for-10".
std::string SplitTitle(std::string_view symbol, const price::SplitRatio& ratio) {
  return absl::StrCat(base::ToAbsl(symbol), ratio.numerator < ratio.denominator ? " reverse split " : " split ",
                      ratio.numerator, "-for-", ratio.denominator);
}

// "divided by 4", "multiplied by 10", "multiplied by 2/3": in lowest terms, and exact.
std::string PriceFactor(const price::SplitRatio& ratio) {
  const int64_t common = std::gcd(ratio.numerator, ratio.denominator);
  const int64_t shares = ratio.numerator / common, of_before = ratio.denominator / common;
  if (of_before == 1) return absl::StrCat("divided by ", shares);
  if (shares == 1) return absl::StrCat("multiplied by ", of_before);
  return absl::StrCat("multiplied by ", of_before, "/", shares);
}

NotificationText OfSplit(const Notice& notice) {
  NotificationText text;
  text.title = SplitTitle(notice.symbol, notice.split.ratio);
  text.text = absl::StrCat(notice.summary, ". Nothing triggers by a split.");
  text.fields.push_back({"Alerts", absl::StrCat(notice.split.alert_count)});
  if (notice.split.effective_time_us > 0)
    text.fields.push_back({"Effective", TimeForPeople(notice.split.effective_time_us, notice)});
  return text;
}

NotificationText UsualTextOf(const Notice& notice) {
  switch (notice.type) {
    case Type::kTriggered:
      return OfTrigger(notice);
    case Type::kThrottled:
      return OfThrottled(notice);
    case Type::kDestination:
      return OfDestination(notice);
    case Type::kDigest:
      return OfDigest(notice);
    case Type::kSplit:
      return OfSplit(notice);
    case Type::kVerification:
      return OfVerification(notice);
    case Type::kTest:
      return {"Test of StockAlert", "Notifications arrive here. This is a test, not an alert.", {}};
  }
  return {};
}

}  // namespace

NotificationText TextOf(const Notice& notice) {
  NotificationText text = UsualTextOf(notice);
  if (!notice.own_title.empty()) text.title = notice.own_title;
  if (notice.own_text.empty()) return text;
  text.text = notice.own_text;
  text.fields.clear();
  return text;
}

std::string SplitSummary(std::string_view symbol, const SplitNews& split) {
  return absl::StrCat(SplitTitle(symbol, split.ratio), ": ", split.alert_count,
                      split.alert_count == 1 ? " of your alerts now uses prices " : " of your alerts now use prices ",
                      PriceFactor(split.ratio));
}

std::string PlainText(const NotificationText& text) {
  std::string plain = text.text;
  for (const TextField& field : text.fields) absl::StrAppend(&plain, "\n", field.name, ": ", field.value);
  return plain;
}

}  // namespace stockalert::message
