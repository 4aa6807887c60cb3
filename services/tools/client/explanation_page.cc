#include "services/tools/client/explanation_page.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "services/domain/price/decimal.h"
#include "services/tools/client/values.h"

namespace stockalert::client {

namespace pb = ::stockalert::alert::v1;

namespace {

using Explanation = pb::AlertExplanation;
using PriceRange = Explanation::PriceRange;

constexpr size_t kColumnsMin = 20, kColumnsMax = 72;

// "READINESS_MET_SINCE_ARMING" → "MET SINCE ARMING".
std::string Words(Explanation::Readiness readiness) {
  std::string text(absl::StripPrefix(Explanation::Readiness_Name(readiness), "READINESS_"));
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

Colour ColourOf(Explanation::Readiness readiness) {
  switch (readiness) {
    case Explanation::READINESS_READY:
      return Colour::kGreen;
    case Explanation::READINESS_ENDED:
      return Colour::kCyan;
    case Explanation::READINESS_EXPIRED:
      return Colour::kDim;
    default:
      return Colour::kYellow;
  }
}

std::string Age(const google::protobuf::Timestamp& time, absl::Time now) {
  const absl::Duration age = now - absl::FromUnixSeconds(time.seconds());
  return absl::StrCat(FormatTime(time),
                      age < absl::ZeroDuration()
                          ? ""
                          : absl::StrCat(", ", absl::FormatDuration(absl::Trunc(age, absl::Seconds(1))), " ago"));
}

std::string Distance(const PriceRange& range) {
  if (range.distance().empty()) return "";
  if (range.distance() == "0") return "here";
  const auto signed_text = [](const std::string& text) { return absl::StrCat(text.front() == '-' ? "" : "+", text); };
  return absl::StrCat(signed_text(range.distance()), ", ", signed_text(range.distance_percent()), "%");
}

std::string Text(const PriceRange& range) {
  std::string text = range.low().empty() && range.high().empty() ? "at any price"
                     : range.low().empty()                       ? absl::StrCat("at or below ", range.high())
                     : range.high().empty()                      ? absl::StrCat("at or above ", range.low())
                                            : absl::StrCat("from ", range.low(), " to ", range.high());
  if (const std::string distance = Distance(range); !distance.empty()) absl::StrAppend(&text, " (", distance, ")");
  return text;
}

std::string Text(const google::protobuf::RepeatedPtrField<PriceRange>& ranges) {
  std::vector<std::string> texts;
  for (const PriceRange& range : ranges) texts.push_back(Text(range));
  return absl::StrJoin(texts, " or ");
}

std::optional<int64_t> Micros(const std::string& text) {
  const auto micros = price::ParsePrice(text);
  return micros.ok() ? std::optional(*micros) : std::nullopt;
}

// A price on the line.
struct Mark {
  int64_t micros = 0;
  const char* symbol = "";
  Colour colour = Colour::kNone;
  std::string text;
};

// The end of the range that is nearest to the last price, where it has one.
std::optional<int64_t> NearestEnd(const PriceRange& range, const std::optional<int64_t>& last) {
  const std::optional<int64_t> low = Micros(range.low()), high = Micros(range.high());
  if (!low || !high) return low ? low : high;
  return last && *last >= *high ? high : low;
}

void AddRanges(const google::protobuf::RepeatedPtrField<PriceRange>& ranges, const char* what, bool triggers,
               const std::optional<int64_t>& last, std::vector<Mark>* marks) {
  for (const PriceRange& range : ranges) {
    const std::optional<int64_t> end = NearestEnd(range, last);
    if (!end) continue;
    const bool above = !last || *end >= *last;
    const char* symbol = triggers ? (above ? "▲" : "▼") : (above ? "△" : "▽");
    marks->push_back({*end, symbol, triggers ? Colour::kGreen : Colour::kYellow, absl::StrCat(what, Text(range))});
  }
}

// In the order in which they give way: the last one stands where two share a place.
std::vector<Mark> MarksOf(const Explanation& explanation) {
  std::optional<int64_t> last;
  if (explanation.has_last_price()) last = Micros(explanation.last_price().price());
  std::vector<Mark> marks;
  for (const Explanation::Side& side : explanation.sides()) {
    if (const auto reference = Micros(side.reference()); reference) {
      marks.push_back({*reference, "◆", Colour::kDim, absl::StrCat("measured from ", side.reference())});
    }
    AddRanges(side.ready_ranges(), "ready again ", false, last, &marks);
    AddRanges(side.trigger_ranges(), "triggers ", true, last, &marks);
  }
  if (last) marks.push_back({*last, "●", Colour::kBold, absl::StrCat("last price ", explanation.last_price().price())});
  return marks;
}

bool Triggers(const Explanation& explanation, int64_t micros) {
  for (const Explanation::Side& side : explanation.sides()) {
    for (const PriceRange& range : side.trigger_ranges()) {
      if (Micros(range.low()).value_or(micros) <= micros && micros <= Micros(range.high()).value_or(micros))
        return true;
    }
  }
  return false;
}

}  // namespace

std::vector<std::pair<std::string, Cell>> PageOf(const Explanation& explanation, absl::Time now) {
  std::vector<std::pair<std::string, Cell>> page;
  const auto say = [&](const char* what, Cell cell) {
    if (!cell.text.empty()) page.emplace_back(what, std::move(cell));
  };
  say("alert", Cell(IdOf(explanation.name()), Colour::kBold));
  say("symbol", Cell(explanation.symbol(), Colour::kBold));
  say("condition", FormatCondition(explanation.condition()));
  say("readiness", Cell(Words(explanation.readiness()), ColourOf(explanation.readiness())));
  say("", explanation.detail());
  if (explanation.has_last_price()) {
    const auto& last = explanation.last_price();
    say("last price", absl::StrCat(last.price(), last.has_event_time() ? " at " + Age(last.event_time(), now) : ""));
  } else {
    say("last price", "none has counted yet");
  }
  say("last quote", explanation.has_last_event_time() ? Age(explanation.last_event_time(), now) : "none");
  for (const Explanation::Side& side : explanation.sides()) {
    say("measured from", side.reference());
    say("triggers", Text(side.trigger_ranges()));
    say("ready again", Text(side.ready_ranges()));
    std::vector<std::string> prices;
    for (const auto& price : side.window_prices()) {
      prices.push_back(absl::StrCat(price.price(), " at ", FormatTime(price.event_time())));
    }
    if (side.window_price_count() > side.window_prices_size()) {
      prices.push_back(absl::StrCat("and ", side.window_price_count() - side.window_prices_size(), " more"));
    }
    say("window", absl::StrJoin(prices, "; "));
  }
  say("hysteresis", explanation.hysteresis());
  say("cooldown until", FormatTime(explanation.cooldown_end_time()));
  say("expires", explanation.has_expire_time() ? FormatTime(explanation.expire_time()) : "never");
  say("armed", absl::StrCat("revision ", explanation.armed_revision(), ", now ", explanation.revision()));
  say("triggered", absl::StrCat(explanation.trigger_number()));
  std::vector<std::string> splits;
  for (const auto& split : explanation.splits()) {
    splits.push_back(absl::StrCat(split.numerator(), " for ", split.denominator(), " (", split.split_id(), ")"));
  }
  say("splits", absl::StrJoin(splits, ", "));
  say("log", absl::StrCat("partition ", explanation.partition(), ", read up to offset ", explanation.next_offset()));
  return page;
}

std::string ExplanationPicture(const Terminal& terminal, const Explanation& explanation) {
  const std::vector<Mark> marks = MarksOf(explanation);
  if (marks.empty()) return "";
  const auto [lowest, highest] = std::ranges::minmax(marks, {}, [](const Mark& mark) { return mark.micros; });
  const size_t columns = terminal.columns == 0 ? kColumnsMax : std::clamp(terminal.columns, kColumnsMin, kColumnsMax);
  // A picture: a double will do. A tenth on either side, so that the ends show what is beyond.
  const double span = std::max(static_cast<double>(highest.micros - lowest.micros), 1.0);
  const double begin = static_cast<double>(lowest.micros) - span / 10;
  const double step = span * 1.2 / static_cast<double>(columns - 1);
  const auto column_of = [&](int64_t micros) {
    return std::min(static_cast<size_t>((static_cast<double>(micros) - begin) / step + 0.5), columns - 1);
  };
  std::string line;
  for (size_t column = 0; column < columns; ++column) {
    const Mark* here = nullptr;
    for (const Mark& mark : marks) {
      if (column_of(mark.micros) == column) here = &mark;
    }
    if (here != nullptr) {
      line += terminal.Paint(here->symbol, here->colour);
      continue;
    }
    const bool heavy = Triggers(explanation, static_cast<int64_t>(begin + step * static_cast<double>(column)));
    line += terminal.Paint(heavy ? "━" : "─", heavy ? Colour::kGreen : Colour::kDim);
  }
  std::string picture = line + "\n";
  std::vector<Mark> legend = marks;
  std::ranges::stable_sort(legend, {}, [](const Mark& mark) { return mark.micros; });
  for (const Mark& mark : legend) {
    absl::StrAppend(&picture, terminal.Paint(mark.symbol, mark.colour), " ", mark.text, "\n");
  }
  return picture;
}

}  // namespace stockalert::client
