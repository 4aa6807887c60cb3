#include "services/alert/explanation_convert.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/alert/alert_convert.h"
#include "services/common/base/error.h"
#include "services/common/grpc/time_convert.h"
#include "services/domain/price/decimal.h"
#include "services/domain/record/definition_codec.h"

namespace stockalert::alert {
namespace {

namespace ipb = ::stockalert::internal::v1;
using Explanation = v1::AlertExplanation;

static_assert(static_cast<int>(ipb::FOLDED_READINESS_READY) == static_cast<int>(Explanation::READINESS_READY));
static_assert(static_cast<int>(ipb::FOLDED_READINESS_EXPIRED) == static_cast<int>(Explanation::READINESS_EXPIRED));

Explanation::Readiness ToMessage(ipb::FoldedReadiness readiness) {
  return static_cast<Explanation::Readiness>(static_cast<int>(readiness));
}

Explanation::CountedPrice ToMessage(const ipb::FoldedPrice& price) {
  Explanation::CountedPrice message;
  message.set_price(price::FormatMicros(price.price_micros()));
  if (price.has_event_time_us()) *message.mutable_event_time() = rpc::TimestampFromUs(price.event_time_us());
  return message;
}

Explanation::PriceRange ToMessage(const ipb::FoldedRange& range, const std::optional<int64_t>& last_micros) {
  Explanation::PriceRange message;
  if (range.has_low_micros()) message.set_low(price::FormatMicros(range.low_micros()));
  if (range.has_high_micros()) message.set_high(price::FormatMicros(range.high_micros()));
  if (!last_micros) return message;
  int64_t nearest = *last_micros;
  if (range.has_low_micros()) nearest = std::max(nearest, range.low_micros());
  if (range.has_high_micros()) nearest = std::min(nearest, range.high_micros());
  message.set_distance(price::FormatMicros(nearest - *last_micros));
  message.set_distance_percent(price::FormatPercentE4(PercentOf(nearest - *last_micros, *last_micros)));
  return message;
}

Explanation::Side ToMessage(const ipb::FoldedSide& side, const std::optional<int64_t>& last_micros) {
  Explanation::Side message;
  message.set_readiness(ToMessage(side.readiness()));
  if (side.has_reference_micros()) message.set_reference(price::FormatMicros(side.reference_micros()));
  for (const ipb::FoldedRange& range : side.trigger_ranges()) {
    *message.add_trigger_ranges() = ToMessage(range, last_micros);
  }
  for (const ipb::FoldedRange& range : side.ready_ranges()) *message.add_ready_ranges() = ToMessage(range, last_micros);
  for (const ipb::FoldedPrice& price : side.window_prices()) *message.add_window_prices() = ToMessage(price);
  message.set_window_price_count(side.window_price_count());
  return message;
}

std::string Text(const Explanation::PriceRange& range) {
  if (range.low().empty() && range.high().empty()) return "at any price";
  if (range.low().empty()) return absl::StrCat("at or below ", range.high());
  if (range.high().empty()) return absl::StrCat("at or above ", range.low());
  return absl::StrCat("from ", range.low(), " to ", range.high());
}

std::string Text(const google::protobuf::RepeatedPtrField<Explanation::PriceRange>& ranges) {
  std::vector<std::string> texts;
  for (const Explanation::PriceRange& range : ranges) texts.push_back(Text(range));
  return absl::StrJoin(texts, " or ");
}

std::string DetailOf(const Explanation::Side& side) {
  const std::string triggers = Text(side.trigger_ranges());
  const std::string ready = Text(side.ready_ranges());
  switch (side.readiness()) {
    case Explanation::READINESS_READY:
      return triggers.empty() ? "ready, but the next price cannot trigger it: it becomes the reference itself"
                              : absl::StrCat("ready: the next price ", triggers, " triggers it");
    case Explanation::READINESS_MET_SINCE_ARMING:
      return absl::StrCat("not ready: the condition has been met since it was armed; ready again ", ready);
    case Explanation::READINESS_MET_SINCE_EDGE:
      return absl::StrCat("not ready: the condition has been met since its last edge; ready again ", ready);
    case Explanation::READINESS_WITHIN_HYSTERESIS:
      return absl::StrCat("not ready: the price has not come back by the hysteresis yet; ready again ", ready);
    case Explanation::READINESS_ON_TARGET:
      return "the last price is the target itself: the next one tells the side, and the one after may cross";
    case Explanation::READINESS_AWAITING_PRICE:
      return absl::StrCat("not begun: the first price that counts becomes its arming price",
                          triggers.empty() ? "" : absl::StrCat("; it triggers at once ", triggers));
    case Explanation::READINESS_AWAITING_ACTIVATION:
      return absl::StrCat("not active yet: the extreme is measured from the first price ", ready);
    case Explanation::READINESS_AWAITING_PREVIOUS_CLOSE:
      return "waiting: no price has brought the date's previous close yet";
    case Explanation::READINESS_AWAITING_DAY_OPEN:
      return "waiting: no price has brought the date's open yet";
    case Explanation::READINESS_PAUSED:
      return "paused: prices count for nothing until it is resumed";
    case Explanation::READINESS_HELD:
      return "held: a split of its symbol is suspected, and prices are evaluated once that is settled";
    default:
      return "";
  }
}

std::string DetailOf(const Explanation& explanation) {
  if (explanation.readiness() == Explanation::READINESS_ENDED) return "ended by its trigger: RearmAlert begins anew";
  if (explanation.readiness() == Explanation::READINESS_EXPIRED) return "expired: a new expire_time begins anew";
  std::vector<std::string> details;
  for (const Explanation::Side& side : explanation.sides()) {
    std::string detail = DetailOf(side);
    if (details.empty() || details.back() != detail) details.push_back(std::move(detail));
  }
  if (explanation.has_cooldown_end_time()) details.emplace_back("edges before cooldown_end_time are ignored");
  return absl::StrJoin(details, "; ");
}

}  // namespace

int64_t PercentOf(int64_t distance_micros, int64_t price_micros) {
  const __int128 scaled =
      static_cast<__int128>(distance_micros < 0 ? -distance_micros : distance_micros) * price::kHundredPercentE4;
  __int128 percent_e4 = scaled / price_micros;
  const __int128 twice = (scaled % price_micros) * 2;
  if (twice > price_micros || (twice == price_micros && percent_e4 % 2 == 1)) ++percent_e4;
  const auto bounded = static_cast<int64_t>(std::min<__int128>(percent_e4, std::numeric_limits<int64_t>::max()));
  return distance_micros < 0 ? -bounded : bounded;
}

absl::StatusOr<Explanation> ToMessage(const std::string& name, const std::string& symbol,
                                      const ipb::FoldedAlert& folded) {
  const absl::StatusOr<condition::Definition> definition = record::DecodeDefinition(folded.definition());
  if (!definition.ok()) return base::Internal("the evaluator watches a condition that this version does not know");
  std::optional<int64_t> last_micros;
  if (folded.has_last_price()) last_micros = folded.last_price().price_micros();
  Explanation message;
  message.set_name(name);
  message.set_symbol(symbol);
  message.set_readiness(ToMessage(folded.readiness()));
  WriteCondition(definition->condition, *message.mutable_condition());
  if (definition->hysteresis_micros > 0) message.set_hysteresis(price::FormatMicros(definition->hysteresis_micros));
  message.set_revision(folded.revision());
  message.set_armed_revision(folded.armed_revision());
  message.set_trigger_number(folded.trigger_number());
  if (folded.has_last_price()) *message.mutable_last_price() = ToMessage(folded.last_price());
  if (folded.has_last_event_time_us()) {
    *message.mutable_last_event_time() = rpc::TimestampFromUs(folded.last_event_time_us());
  }
  for (const ipb::FoldedSide& side : folded.sides()) *message.add_sides() = ToMessage(side, last_micros);
  if (folded.has_cooldown_end_us()) {
    *message.mutable_cooldown_end_time() = rpc::TimestampFromUs(folded.cooldown_end_us());
  }
  if (definition->expire_time_us) *message.mutable_expire_time() = rpc::TimestampFromUs(*definition->expire_time_us);
  for (const ipb::FoldedSplit& split : folded.splits()) {
    Explanation::Split& one = *message.add_splits();
    one.set_split_id(split.split_id());
    one.set_numerator(split.numerator());
    one.set_denominator(split.denominator());
  }
  message.set_partition(folded.partition());
  message.set_next_offset(folded.next_offset());
  message.set_detail(DetailOf(message));
  return message;
}

}  // namespace stockalert::alert
