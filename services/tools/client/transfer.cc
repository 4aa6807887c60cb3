#include "services/tools/client/transfer.h"

#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"
#include "services/tools/client/alert_flags.h"
#include "services/tools/client/usage.h"
#include "services/tools/client/values.h"

namespace stockalert::client {

namespace pb = ::stockalert::alert::v1;

namespace {

struct Column {
  const char* name;
  std::string AlertFlags::* value;
};

constexpr Column kColumns[] = {{"symbol", &AlertFlags::symbol},
                               {"at_or_above", &AlertFlags::at_or_above},
                               {"at_or_below", &AlertFlags::at_or_below},
                               {"crosses", &AlertFlags::crosses},
                               {"up", &AlertFlags::up},
                               {"down", &AlertFlags::down},
                               {"either", &AlertFlags::either},
                               {"from", &AlertFlags::from},
                               {"given", &AlertFlags::given},
                               {"window", &AlertFlags::window},
                               {"falls_from_high", &AlertFlags::falls_from_high},
                               {"rises_from_low", &AlertFlags::rises_from_low},
                               {"activation", &AlertFlags::activation},
                               {"enters", &AlertFlags::enters},
                               {"leaves", &AlertFlags::leaves},
                               {"policy", &AlertFlags::policy},
                               {"cooldown", &AlertFlags::cooldown},
                               {"hysteresis", &AlertFlags::hysteresis},
                               {"creation", &AlertFlags::creation},
                               {"sessions", &AlertFlags::sessions},
                               {"expires", &AlertFlags::expires},
                               {"note", &AlertFlags::note},
                               {"destination", &AlertFlags::destinations},
                               {"delivery", &AlertFlags::delivery},
                               {"critical", &AlertFlags::critical}};

const Column* FindColumn(const std::string& name) {
  const auto* found =
      std::find_if(std::begin(kColumns), std::end(kColumns), [&](const Column& column) { return name == column.name; });
  return found == std::end(kColumns) ? nullptr : found;
}

absl::Status WrongLine(int64_t line, std::string_view what) {
  return WrongUsage(absl::StrCat("line ", line, ": ", std::string(what)));
}

// "REFERENCE_PREVIOUS_CLOSE" → "previous_close"; what is not specified is left empty.
std::string Plain(const std::string& name, const char* prefix) {
  const std::string plain = absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
  return plain == "unspecified" ? "" : plain;
}

void TakePercent(const pb::PercentChange& change, AlertFlags& flags) {
  std::string& percent = change.direction() == pb::PercentChange::DIRECTION_UP     ? flags.up
                         : change.direction() == pb::PercentChange::DIRECTION_DOWN ? flags.down
                                                                                   : flags.either;
  percent = change.percent();
  flags.from = Plain(pb::PercentChange::Reference_Name(change.reference()), "REFERENCE_");
  flags.given = change.given_price();
  if (change.has_window()) flags.window = FormatDuration(change.window());
}

void TakeCondition(const pb::Condition& condition, AlertFlags& flags) {
  if (condition.has_price_target()) {
    const pb::PriceTarget& target = condition.price_target();
    std::string& price = target.comparison() == pb::PriceTarget::COMPARISON_AT_OR_ABOVE   ? flags.at_or_above
                         : target.comparison() == pb::PriceTarget::COMPARISON_AT_OR_BELOW ? flags.at_or_below
                                                                                          : flags.crosses;
    price = target.price();
  } else if (condition.has_percent_change()) {
    TakePercent(condition.percent_change(), flags);
  } else if (condition.has_trailing_change()) {
    const pb::TrailingChange& trailing = condition.trailing_change();
    const bool falls = trailing.direction() == pb::TrailingChange::DIRECTION_FALLS_FROM_HIGH;
    (falls ? flags.falls_from_high : flags.rises_from_low) =
        trailing.distance_case() == pb::TrailingChange::kPercent ? trailing.percent() + "%" : trailing.amount();
    flags.activation = trailing.activation_price();
  } else if (condition.has_channel()) {
    const pb::Channel& channel = condition.channel();
    const bool enters = channel.transition() == pb::Channel::TRANSITION_ENTERS;
    (enters ? flags.enters : flags.leaves) = absl::StrCat(channel.low(), ":", channel.high());
  }
}

// The flags that would make the alert.
AlertFlags FlagsOf(const pb::Alert& alert) {
  AlertFlags flags;
  flags.symbol = alert.symbol();
  TakeCondition(alert.condition(), flags);
  flags.policy = Plain(pb::Alert::TriggerPolicy_Name(alert.trigger_policy()), "TRIGGER_POLICY_");
  if (alert.cooldown().seconds() != 0 || alert.cooldown().nanos() != 0) {
    flags.cooldown = FormatDuration(alert.cooldown());
  }
  flags.hysteresis = alert.hysteresis() == "0" ? "" : alert.hysteresis();
  flags.creation = Plain(pb::Alert::CreationPolicy_Name(alert.creation_policy()), "CREATION_POLICY_");
  flags.sessions = Plain(pb::Alert::Sessions_Name(alert.sessions()), "SESSIONS_");
  if (alert.has_expire_time()) {
    const absl::Time time =
        absl::FromUnixSeconds(alert.expire_time().seconds()) + absl::Nanoseconds(alert.expire_time().nanos());
    flags.expires = absl::FormatTime(absl::RFC3339_full, time, absl::UTCTimeZone());
  }
  flags.note = alert.note();
  for (const std::string& name : alert.destinations())
    absl::StrAppend(&flags.destinations, flags.destinations.empty() ? "" : " ", IdOf(name));
  if (alert.delivery() == pb::Alert::DELIVERY_NONE) flags.delivery = "none";
  if (alert.critical()) flags.critical = "true";
  return flags;
}

// Reads characters and counts lines; a carriage return before a line's end belongs to it.
class Characters {
 public:
  Characters(std::istream& in, int64_t& line) : in_(in), line_(line) {}
  // -1: the end.
  int Next() {
    int c = in_.get();
    if (c == '\r' && in_.peek() == '\n') c = in_.get();
    if (c == std::istream::traits_type::eof()) return -1;
    if (c == '\n') ++line_;
    return c;
  }
  int Peek() { return in_.peek() == std::istream::traits_type::eof() ? -1 : in_.peek(); }

 private:
  std::istream& in_;
  int64_t& line_;
};

// What follows the opening quote. INVALID_ARGUMENT: there is no closing one.
absl::Status ReadQuoted(Characters& characters, int64_t begun, std::string& field) {
  for (;;) {
    const int c = characters.Next();
    if (c < 0) return WrongLine(begun, "a quote is never closed");
    if (c == '"') {
      if (characters.Peek() != '"') return absl::OkStatus();
      characters.Next();
    }
    field += static_cast<char>(c);
  }
}

}  // namespace

absl::StatusOr<std::optional<std::vector<std::string>>> ReadCsvRecord(std::istream& in, int64_t& line) {
  Characters characters(in, line);
  if (characters.Peek() < 0) return std::optional<std::vector<std::string>>();
  const int64_t begun = line + 1;
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (;;) {
    const int c = characters.Next();
    // The last line may lack its end.
    if (c < 0) ++line;
    if (c < 0 || c == '\n') return std::optional(std::move(fields));
    if (c == ',') {
      fields.emplace_back();
      quoted = false;
    } else if (c == '"') {
      if (quoted || !fields.back().empty()) return WrongLine(begun, "a quote stands inside of a field");
      quoted = true;
      STOCKALERT_RETURN_IF_ERROR(ReadQuoted(characters, begun, fields.back()));
    } else {
      if (quoted) return WrongLine(begun, "something follows a closing quote");
      fields.back() += static_cast<char>(c);
    }
  }
}

void WriteCsvRecord(std::ostream& out, const std::vector<std::string>& fields) {
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) out << ',';
    if (fields[i].find_first_of(",\"\r\n") == std::string::npos) {
      out << fields[i];
      continue;
    }
    out << '"';
    for (const char c : fields[i]) out << (c == '"' ? "\"\"" : std::string(1, c));
    out << '"';
  }
  out << '\n';
}

absl::StatusOr<std::optional<ReadAlert>> AlertReader::Next() {
  return format_ == TransferFormat::kCsv ? NextOfCsv() : NextOfJson();
}

absl::Status AlertReader::ReadHeading() {
  STOCKALERT_ASSIGN_OR_RETURN(auto heading, ReadCsvRecord(in_, line_));
  if (!heading) return WrongLine(1, "is to name the columns, as in symbol,at_or_above,note");
  // Spreadsheets write a byte order mark.
  if (absl::StartsWith(heading->front(), "\xef\xbb\xbf")) heading->front().erase(0, 3);
  for (const std::string& name : *heading) {
    if (FindColumn(name) == nullptr) {
      return WrongLine(
          1, absl::StrCat("there is no column \"", name, "\": they are named as the flags of `alert create`"));
    }
    if (std::count(heading->begin(), heading->end(), name) > 1) {
      return WrongLine(1, absl::StrCat("there are two columns ", name));
    }
  }
  columns_ = *std::move(heading);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<ReadAlert>> AlertReader::NextOfCsv() {
  if (columns_.empty()) STOCKALERT_RETURN_IF_ERROR(ReadHeading());
  ReadAlert read;
  std::optional<std::vector<std::string>> fields;
  do {
    read.line = line_ + 1;
    STOCKALERT_ASSIGN_OR_RETURN(fields, ReadCsvRecord(in_, line_));
    if (!fields) return std::optional<ReadAlert>();
  } while (fields->size() == 1 && fields->front().empty());
  if (fields->size() != columns_.size()) {
    return WrongLine(read.line, absl::StrCat("has ", fields->size(), " fields, not ", columns_.size()));
  }
  AlertFlags flags;
  for (size_t i = 0; i < columns_.size(); ++i) flags.*(FindColumn(columns_[i])->value) = (*fields)[i];
  if (!flags.expires.empty() && flags.expires.front() == '+') {
    return WrongLine(read.line,
                     "expires must be a time, as in 2026-12-31T21:00:00Z: imported again, it is to be the same");
  }
  if (flags.symbol.empty()) return WrongLine(read.line, "names no symbol");
  absl::StatusOr<pb::Alert> alert = flags.Make(absl::UnixEpoch());
  if (!alert.ok()) return WrongLine(read.line, std::string(alert.status().message()));
  read.alert = *std::move(alert);
  return std::optional(std::move(read));
}

absl::StatusOr<std::optional<ReadAlert>> AlertReader::NextOfJson() {
  std::string text;
  do {
    if (!std::getline(in_, text)) return std::optional<ReadAlert>();
    ++line_;
  } while (absl::StripAsciiWhitespace(text).empty());
  ReadAlert read;
  read.line = line_;
  pb::Alert alert;
  const auto parsed = google::protobuf::util::JsonStringToMessage(text, &alert);
  if (!parsed.ok()) {
    return WrongLine(line_, absl::StrCat("is no alert in JSON: ", std::string(parsed.message())));
  }
  read.alert = WishOf(alert);
  if (read.alert.symbol().empty()) return WrongLine(line_, "names no symbol");
  return std::optional(std::move(read));
}

void AlertWriter::Write(const pb::Alert& alert) {
  if (format_ == TransferFormat::kJsonLines) {
    std::string text;
    if (google::protobuf::util::MessageToJsonString(WishOf(alert), &text).ok()) out_ << text << '\n';
    return;
  }
  std::vector<std::string> fields;
  if (!begun_) {
    for (const Column& column : kColumns) fields.emplace_back(column.name);
    WriteCsvRecord(out_, fields);
    fields.clear();
  }
  begun_ = true;
  const AlertFlags flags = FlagsOf(alert);
  for (const Column& column : kColumns) fields.push_back(flags.*(column.value));
  WriteCsvRecord(out_, fields);
}

pb::Alert WishOf(const pb::Alert& alert) {
  pb::Alert wish = alert;
  for (const int field :
       {pb::Alert::kNameFieldNumber, pb::Alert::kStateFieldNumber, pb::Alert::kRevisionFieldNumber,
        pb::Alert::kAppliedRevisionFieldNumber, pb::Alert::kTriggerCountFieldNumber, pb::Alert::kLastTriggerFieldNumber,
        pb::Alert::kCreateTimeFieldNumber, pb::Alert::kUpdateTimeFieldNumber, pb::Alert::kEtagFieldNumber,
        pb::Alert::kThrottledCountFieldNumber, pb::Alert::kThrottleEndTimeFieldNumber}) {
    wish.GetReflection()->ClearField(&wish, pb::Alert::GetDescriptor()->FindFieldByNumber(field));
  }
  return wish;
}

std::string RequestIdOf(const pb::Alert& wish, int64_t occurrence, const std::string& import_name) {
  // No maps and no unknown fields: the same alert has the same bytes.
  const std::string bytes = absl::StrCat(import_name.size(), ":", import_name, occurrence, ":");
  return "import-" + base::HexEncode(base::Sha256(bytes + wish.SerializeAsString())).substr(0, 40);
}

}  // namespace stockalert::client
