#include "services/tools/client/values.h"

#include <cctype>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "services/common/grpc/time_convert.h"

namespace stockalert::client {

namespace pb = ::stockalert::alert::v1;

absl::StatusOr<google::protobuf::Duration> ParseDuration(const std::string& text) {
  absl::Duration total = absl::ZeroDuration();
  absl::Status wrong =
      absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is no duration: write 90s, 5m, 1h30m or 7d"));
  size_t at = 0;
  while (at < text.size()) {
    const size_t begin = at;
    while (at < text.size() && (std::isdigit(static_cast<unsigned char>(text[at])) || text[at] == '.')) ++at;
    size_t unit_end = at;
    while (unit_end < text.size() && std::isalpha(static_cast<unsigned char>(text[unit_end]))) ++unit_end;
    const std::string number = text.substr(begin, at - begin);
    const std::string unit = text.substr(at, unit_end - at);
    if (number.empty() || number.size() > 12 || unit.empty()) return wrong;
    absl::Duration part;
    // Abseil knows no days.
    if (!absl::ParseDuration(number + (unit == "d" ? "h" : unit), &part)) return wrong;
    total += unit == "d" ? part * 24 : part;
    at = unit_end;
  }
  if (text.empty() || total > absl::Hours(24 * 36'500)) return wrong;
  return rpc::DurationFromUs(absl::ToInt64Microseconds(total));
}

absl::StatusOr<google::protobuf::Timestamp> ParseTime(const std::string& text, absl::Time now) {
  if (!text.empty() && text.front() == '+') {
    const auto after = ParseDuration(text.substr(1));
    if (!after.ok()) return after.status();
    return rpc::TimestampFromUs(absl::ToUnixMicros(now) + after->seconds() * 1'000'000 + after->nanos() / 1'000);
  }
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is no time: write 2026-12-31T21:00:00Z, or +7d for seven days from now"));
  }
  return rpc::TimestampFromUs(absl::ToUnixMicros(time));
}

std::string FormatTime(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0 && time.nanos() == 0) return "";
  const absl::Time moment = absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
  return absl::FormatTime("%Y-%m-%d %H:%M:%E*SZ", moment, absl::UTCTimeZone());
}

std::string FormatDuration(const google::protobuf::Duration& duration) {
  return absl::FormatDuration(absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos()));
}

std::string FormatCondition(const pb::Condition& condition) {
  switch (condition.kind_case()) {
    case pb::Condition::kPriceTarget: {
      const pb::PriceTarget& target = condition.price_target();
      switch (target.comparison()) {
        case pb::PriceTarget::COMPARISON_AT_OR_ABOVE:
          return absl::StrCat("at or above ", target.price());
        case pb::PriceTarget::COMPARISON_AT_OR_BELOW:
          return absl::StrCat("at or below ", target.price());
        case pb::PriceTarget::COMPARISON_CROSSES:
          return absl::StrCat("crosses ", target.price());
        default:
          return "?";
      }
    }
    case pb::Condition::kPercentChange: {
      const pb::PercentChange& change = condition.percent_change();
      std::string text = change.direction() == pb::PercentChange::DIRECTION_UP     ? "up "
                         : change.direction() == pb::PercentChange::DIRECTION_DOWN ? "down "
                                                                                   : "up or down ";
      absl::StrAppend(&text, change.percent(), "%");
      switch (change.reference()) {
        case pb::PercentChange::REFERENCE_PREVIOUS_CLOSE:
          return text + " from the previous close";
        case pb::PercentChange::REFERENCE_DAY_OPEN:
          return text + " from the day's open";
        case pb::PercentChange::REFERENCE_GIVEN:
          return absl::StrCat(text, " from ", change.given_price());
        case pb::PercentChange::REFERENCE_WINDOW:
          return absl::StrCat(text, " within ", FormatDuration(change.window()));
        default:
          return text + " from arming";
      }
    }
    case pb::Condition::kTrailingChange: {
      const pb::TrailingChange& trailing = condition.trailing_change();
      const std::string distance =
          trailing.distance_case() == pb::TrailingChange::kPercent ? trailing.percent() + "%" : trailing.amount();
      const bool falls = trailing.direction() == pb::TrailingChange::DIRECTION_FALLS_FROM_HIGH;
      std::string text = falls ? absl::StrCat("falls ", distance, " from its high")
                               : absl::StrCat("rises ", distance, " from its low");
      if (!trailing.activation_price().empty()) absl::StrAppend(&text, " once at ", trailing.activation_price());
      return text;
    }
    case pb::Condition::kChannel: {
      const pb::Channel& channel = condition.channel();
      const bool enters = channel.transition() == pb::Channel::TRANSITION_ENTERS;
      return absl::StrCat(enters ? "enters " : "leaves ", channel.low(), " to ", channel.high());
    }
    case pb::Condition::KIND_NOT_SET:
      return "?";
  }
  return "?";
}

std::string FormatState(pb::Alert::State state) {
  return std::string(absl::StripPrefix(pb::Alert::State_Name(state), "STATE_"));
}

std::string FormatPolicy(const pb::Alert& alert) {
  std::string text = absl::AsciiStrToLower(
      absl::StripPrefix(pb::Alert::TriggerPolicy_Name(alert.trigger_policy()), "TRIGGER_POLICY_"));
  for (char& c : text) c = c == '_' ? ' ' : c;
  if (alert.has_cooldown() && (alert.cooldown().seconds() != 0 || alert.cooldown().nanos() != 0)) {
    absl::StrAppend(&text, ", ", FormatDuration(alert.cooldown()), " apart");
  }
  return text;
}

std::string FormatSession(quote::v1::Session session) {
  return std::string(absl::StripPrefix(quote::v1::Session_Name(session), "SESSION_"));
}

std::string IdOf(const std::string& name) { return name.substr(name.rfind('/') + 1); }

std::string NameOf(const std::string& id, const std::string& collection) {
  return id.find('/') == std::string::npos ? absl::StrCat("users/me/", collection, "/", id) : id;
}

std::string UserNameOf(const std::string& user) { return user.find('/') == std::string::npos ? "users/" + user : user; }

std::string TickerNameOf(const std::string& symbol) {
  return symbol.find('/') == std::string::npos ? absl::StrCat("tickers/", absl::AsciiStrToUpper(symbol)) : symbol;
}

}  // namespace stockalert::client
