#include "services/domain/message/webhook_message.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/base/text.h"
#include "services/domain/message/notification_text.h"
#include "services/domain/price/decimal.h"

namespace stockalert::message {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kSymbolBytesMax = 64;
constexpr size_t kIdBytesMax = 128;

const char* NameOf(const Notice& notice) {
  switch (notice.type) {
    case Type::kTriggered:
      return "alert.triggered";
    case Type::kThrottled:
      return "alerts.throttled";
    case Type::kVerification:
      return "destination.verification";
    case Type::kTest:
      return "notification.test";
    case Type::kDestination:
      return notice.destination_disabled ? "destination.disabled" : "destination.verified";
    case Type::kDigest:
      return "notifications.digest";
    case Type::kSplit:
      return "ticker.split";
  }
  return "";
}

std::string TimeText(int64_t time_us) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", absl::FromUnixMicros(time_us), absl::UTCTimeZone());
}

// With words of at most so many bytes.
Notice Shortened(const Notice& notice, size_t words_bytes_max) {
  Notice shorter = notice;
  // Programs get exact prices and UTC.
  shorter.style = {};
  for (std::string* id : {&shorter.user_id, &shorter.notification_id, &shorter.alert_id, &shorter.challenge,
                          &shorter.code, &shorter.destination_id}) {
    *id = base::StorableText(*id, kIdBytesMax);
  }
  shorter.symbol = base::StorableText(notice.symbol, kSymbolBytesMax);
  shorter.summary = base::StorableText(notice.summary, words_bytes_max);
  shorter.note = base::StorableText(notice.note, words_bytes_max);
  return shorter;
}

void AddTrigger(const Notice& notice, Json& data) {
  const std::string alert = absl::StrCat("users/", notice.user_id, "/alerts/", notice.alert_id);
  data["alert"] = alert;
  data["trigger"] = absl::StrCat(alert, "/triggers/", notice.trigger_number);
  data["symbol"] = notice.symbol;
  data["price"] = price::FormatMicros(notice.price_micros);
  if (notice.price_before_micros) data["price_before"] = price::FormatMicros(*notice.price_before_micros);
  if (notice.reference_micros) data["reference"] = price::FormatMicros(*notice.reference_micros);
  data["late"] = notice.late;
  data["critical"] = notice.critical;
  data["rerouted"] = notice.rerouted;
  data["note"] = notice.note;
}

void AddThrottled(const Notice& notice, Json& data) {
  if (!notice.symbol.empty()) data["symbol"] = notice.symbol;
  data["folded_count"] = notice.folded_count;
  data["critical"] = notice.critical;
}

void AddSplit(const Notice& notice, Json& data) {
  data["symbol"] = notice.symbol;
  data["split"] = absl::StrCat("tickers/", notice.symbol, "/splits/", notice.split.number);
  data["numerator"] = notice.split.ratio.numerator;
  data["denominator"] = notice.split.ratio.denominator;
  if (notice.split.effective_time_us > 0) data["effective_time"] = TimeText(notice.split.effective_time_us);
  data["alert_count"] = notice.split.alert_count;
}

std::string BodyOf(const Notice& notice) {
  const bool stored = notice.type == Type::kTriggered || notice.type == Type::kThrottled ||
                      notice.type == Type::kDestination || notice.type == Type::kDigest || notice.type == Type::kSplit;
  const NotificationText text = TextOf(notice);
  Json data;
  data["title"] = text.title;
  data["text"] = text.text;
  if (stored) {
    data["notification"] = absl::StrCat("users/", notice.user_id, "/notifications/", notice.notification_id);
    if (notice.type == Type::kTriggered) AddTrigger(notice, data);
    if (notice.type == Type::kThrottled) AddThrottled(notice, data);
    if (notice.type == Type::kSplit) AddSplit(notice, data);
    if (notice.type == Type::kDigest) data["folded_count"] = notice.folded_count;
    if (notice.type == Type::kDestination || notice.type == Type::kDigest)
      data["destination"] = absl::StrCat("users/", notice.user_id, "/destinations/", notice.destination_id);
    data["summary"] = notice.summary;
    data["event_time"] = TimeText(notice.event_time_us);
  }
  data["create_time"] = TimeText(notice.create_time_us);
  if (notice.type == Type::kVerification && notice.code.empty()) data["challenge"] = notice.challenge;
  if (!notice.code.empty()) data["code"] = notice.code;
  Json body;
  body["type"] = NameOf(notice);
  body["timestamp"] = TimeText(stored ? notice.event_time_us : notice.create_time_us);
  body["data"] = std::move(data);
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string WebhookMessage(const Notice& notice) {
  // A control character takes six bytes, and the words stand there twice: the last length fits whatever they are.
  std::string body;
  for (const size_t words_bytes_max : {2048, 1024, 512, 256}) {
    body = BodyOf(Shortened(notice, words_bytes_max));
    if (body.size() <= kWebhookBodyBytesMax) break;
  }
  return body;
}

}  // namespace stockalert::message
