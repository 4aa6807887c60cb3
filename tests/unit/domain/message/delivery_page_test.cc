// The bodies that docs/delivery.md shows are those that are sent.
#include <catch2/catch.hpp>

#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/domain/message/webhook_message.h"
#include "services/domain/price/decimal.h"

namespace stockalert::message {
namespace {

using Json = nlohmann::ordered_json;

const std::map<std::string, Type> kTypes = {{"alert.triggered", Type::kTriggered},
                                            {"alerts.throttled", Type::kThrottled},
                                            {"notification.test", Type::kTest},
                                            {"notifications.digest", Type::kDigest},
                                            {"ticker.split", Type::kSplit},
                                            {"destination.disabled", Type::kDestination},
                                            {"destination.verification", Type::kVerification}};

std::vector<std::string> BlocksOf(const std::string& path) {
  std::ifstream in(path);
  const std::string page{std::istreambuf_iterator<char>(in), {}};
  const std::string begin = "```json\n";
  std::vector<std::string> blocks;
  for (size_t at = page.find(begin); at != std::string::npos; at = page.find(begin, at + 1)) {
    blocks.push_back(page.substr(at + begin.size(), page.find("```", at + begin.size()) - at - begin.size()));
  }
  return blocks;
}

std::string TextAt(const Json& data, const std::string& name) {
  return data.contains(name) ? data[name].get<std::string>() : "";
}

std::string LastOf(const std::string& name) { return name.substr(name.rfind('/') + 1); }

int64_t TimeAt(const Json& data, const std::string& name) {
  absl::Time time;
  std::string error;
  if (!data.contains(name)) return 0;
  REQUIRE(absl::ParseTime(absl::RFC3339_full, TextAt(data, name), &time, &error));
  return absl::ToUnixMicros(time);
}

std::optional<int64_t> PriceAt(const Json& data, const std::string& name) {
  if (!data.contains(name)) return std::nullopt;
  return price::ParsePrice(TextAt(data, name)).value();
}

// What must have been told for a body to be this one.
Notice NoticeOf(const Json& body) {
  const Json& data = body["data"];
  Notice notice;
  notice.type = kTypes.at(body["type"].get<std::string>());
  const std::string notification = TextAt(data, "notification");
  if (!notification.empty()) notice.user_id = notification.substr(6, notification.find('/', 6) - 6);
  notice.notification_id = LastOf(notification);
  notice.alert_id = LastOf(TextAt(data, "alert"));
  if (data.contains("trigger")) notice.trigger_number = std::stoll(LastOf(TextAt(data, "trigger")));
  notice.symbol = TextAt(data, "symbol");
  notice.price_micros = PriceAt(data, "price").value_or(0);
  notice.price_before_micros = PriceAt(data, "price_before");
  notice.reference_micros = PriceAt(data, "reference");
  notice.late = data.value("late", false);
  notice.critical = data.value("critical", false);
  if (data.contains("split")) {
    notice.split = {std::stoll(LastOf(TextAt(data, "split"))),
                    {data["numerator"].get<int64_t>(), data["denominator"].get<int64_t>()},
                    TimeAt(data, "effective_time"),
                    data["alert_count"].get<int64_t>()};
  }
  notice.rerouted = data.value("rerouted", false);
  notice.destination_id = LastOf(TextAt(data, "destination"));
  notice.destination_disabled = body["type"] == "destination.disabled";
  notice.event_time_us = TimeAt(data, "event_time");
  notice.create_time_us = TimeAt(data, "create_time");
  notice.folded_count = data.value("folded_count", 0);
  notice.summary = TextAt(data, "summary");
  notice.note = TextAt(data, "note");
  notice.challenge = TextAt(data, "challenge");
  return notice;
}

TEST_CASE("docs/delivery.md shows the body of each type as it is sent") {
  std::map<std::string, int> shown;
  for (const std::string& block : BlocksOf(STOCKALERT_DELIVERY_PAGE)) {
    CAPTURE(block);
    const Json body = Json::parse(block);
    ++shown[body["type"].get<std::string>()];
    CHECK(WebhookMessage(NoticeOf(body)) == body.dump());
  }
  CHECK(shown == std::map<std::string, int>{{"alert.triggered", 1},
                                            {"alerts.throttled", 1},
                                            {"destination.disabled", 1},
                                            {"destination.verification", 1},
                                            {"notification.test", 1},
                                            {"notifications.digest", 1},
                                            {"ticker.split", 1}});
}

}  // namespace
}  // namespace stockalert::message
