#include "tests/support/auditor/auditor.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <variant>

namespace stockalert::auditor {

using condition::Channel;
using condition::ChannelOp;
using condition::CreationPolicy;
using condition::Definition;
using condition::PercentChange;
using condition::PercentOp;
using condition::PercentReference;
using condition::PriceTarget;
using condition::Sessions;
using condition::TargetOp;
using condition::TrailingChange;
using condition::TrailingOp;
using condition::TriggerPolicy;
using market::Session;
using record::AlertChange;
using record::Event;
using record::Quote;
using record::Restart;
using record::Rules;
using record::Split;
using record::SplitDismissed;
using record::SplitSuspected;
using record::Trigger;

namespace {

using Wide = __int128;

constexpr int64_t kHighestPriceMicros = 1'000'000'000'000'000'000;  // 1e12 units.
constexpr int64_t kWhole = 1'000'000;                               // 100 % in 1e-4 of a percent.

bool IsPrice(int64_t micros) { return micros > 0 && micros <= kHighestPriceMicros; }

// A value that no price could have is dropped; the quote stays.
std::optional<int64_t> Sensible(std::optional<int64_t> micros) {
  return micros.has_value() && IsPrice(*micros) ? micros : std::nullopt;
}

bool TradesRoundTheClock(const std::string& symbol) {
  for (const char* exchange :
       {"BINANCE", "BINANCEUS", "BITFINEX", "BITMEX", "BITTREX", "BYBIT", "COINBASE", "FXCM", "GEMINI", "HITBTC",
        "HUOBI", "KRAKEN", "KUCOIN", "OANDA", "OKEX", "OKX", "POLONIEX", "ZB"}) {
    const std::string prefix = std::string(exchange) + ":";
    if (symbol.size() > prefix.size() && symbol.compare(0, prefix.size(), prefix) == 0) return true;
  }
  return false;
}

bool Counts(Sessions sessions, Session session) {
  if (session == Session::kClosed) return false;
  return session == Session::kRegular || sessions == Sessions::kExtended;
}

// CROSSES, ENTERS and LEAVES: a move from one price to the next, which takes no creation policy.
bool IsMove(const Definition& definition) {
  const PriceTarget* target = std::get_if<PriceTarget>(&definition.condition);
  return std::holds_alternative<Channel>(definition.condition) ||
         (target != nullptr && target->op == TargetOp::kCrosses);
}

int SideOf(int64_t price, int64_t target) { return price < target ? -1 : price > target ? 1 : 0; }

bool IsUpBy(int64_t price, int64_t reference, int64_t percent_e4) {
  return Wide{price} * kWhole >= Wide{reference} * (kWhole + percent_e4);
}

bool IsDownBy(int64_t price, int64_t reference, int64_t percent_e4) {
  return Wide{price} * kWhole <= Wide{reference} * (kWhole - percent_e4);
}

int64_t LowestIn(const std::vector<PricePoint>& window) {
  int64_t lowest = window.front().price_micros;
  for (const PricePoint& point : window) lowest = std::min(lowest, point.price_micros);
  return lowest;
}

int64_t HighestIn(const std::vector<PricePoint>& window) {
  int64_t highest = window.front().price_micros;
  for (const PricePoint& point : window) highest = std::max(highest, point.price_micros);
  return highest;
}

const std::string& SymbolNamedBy(const Event& event) {
  return std::visit([](const auto& of) -> const std::string& { return of.symbol; }, event);
}

// What a publisher has sent before does not count again. Both zero: it has no publisher.
bool IsNew(std::pair<int64_t, int64_t> sent, std::pair<int64_t, int64_t> highest_seen) {
  return sent == std::pair<int64_t, int64_t>{0, 0} || sent > highest_seen;
}

// Zero stands for an amount or a price that the definition does not have: it stays so.
void Scale(int64_t& micros, const Split& split) {
  if (micros != 0) micros = ScaledBySplit(micros, split);
}

void Scale(std::optional<int64_t>& micros, const Split& split) {
  if (micros.has_value()) micros = ScaledBySplit(*micros, split);
}

void Scale(std::optional<PricePoint>& point, const Split& split) {
  if (point.has_value()) point->price_micros = ScaledBySplit(point->price_micros, split);
}

}  // namespace

int64_t ScaledBySplit(int64_t micros, const Split& split) {
  const Wide product = Wide{micros} * split.ratio.denominator;
  Wide scaled = product / split.ratio.numerator;
  const Wide twice_the_rest = product % split.ratio.numerator * 2;
  const bool is_odd = scaled % 2 != 0;
  if (twice_the_rest > split.ratio.numerator || (twice_the_rest == split.ratio.numerator && is_odd)) ++scaled;
  return static_cast<int64_t>(std::clamp(scaled, Wide{1}, Wide{kHighestPriceMicros}));
}

Auditor::Auditor(const std::string& time_zone) {
  if (!absl::LoadTimeZone(time_zone, &time_zone_)) {
    std::fprintf(stderr, "time zone %s is not installed: install the package tzdata\n", time_zone.c_str());
    std::abort();
  }
}

absl::CivilDay Auditor::DateOf(const Quote& quote) const {
  const bool is_utc = quote.rules == Rules::kWithGaps && TradesRoundTheClock(quote.symbol);
  return absl::ToCivilDay(absl::FromUnixMicros(quote.event_time_us), is_utc ? absl::UTCTimeZone() : time_zone_);
}

// Before the open a quote carries none of the date's figures: its source's may still be yesterday's.
bool Auditor::CarriesFigures(const Quote& quote) const {
  if (quote.session == Session::kPre) return false;
  if (quote.rules == Rules::kFirst || TradesRoundTheClock(quote.symbol)) return true;
  const absl::CivilDay date = DateOf(quote);
  const absl::CivilSecond open(date.year(), date.month(), date.day(), 9, 30, 0);
  return absl::ToCivilSecond(absl::FromUnixMicros(quote.event_time_us), time_zone_) >= open;
}

std::vector<Trigger> Auditor::Apply(int64_t offset, const Event& event) {
  if (IsKept(event)) {
    held_[SymbolNamedBy(event)].push_back(event);
    return {};
  }
  if (const Quote* quote = std::get_if<Quote>(&event)) return ApplyQuote(offset, *quote);
  if (const AlertChange* change = std::get_if<AlertChange>(&event)) ApplyChange(*change);
  if (const Restart* restart = std::get_if<Restart>(&event)) ApplyRestart(restart->symbol);
  if (const SplitSuspected* suspected = std::get_if<SplitSuspected>(&event)) ApplySuspicion(*suspected);
  if (const SplitDismissed* dismissed = std::get_if<SplitDismissed>(&event)) {
    // Of what is held nothing has been seen yet: the last that was is the suspicion, or a quote before it.
    const bool is_new = IsNew({dismissed->publisher_epoch, dismissed->sequence}, symbols_[dismissed->symbol].publisher);
    if (is_new) return Release(offset, dismissed->symbol);
  }
  if (const Split* split = std::get_if<Split>(&event)) {
    if (ApplySplit(*split)) return Release(offset, split->symbol);
  }
  return {};
}

// ---- Quotes ----

std::vector<Trigger> Auditor::ApplyQuote(int64_t offset, const Quote& quote) {
  // Refused, repeated and late quotes change no state; a late one has been seen all the same, should it be sent again.
  if (!IsPrice(quote.price_micros)) return {};
  Symbol& symbol = symbols_[quote.symbol];
  const std::pair<int64_t, int64_t> publisher{quote.publisher_epoch, quote.sequence};
  if (!IsNew(publisher, symbol.publisher)) return {};
  symbol.publisher = std::max(symbol.publisher, publisher);
  if (symbol.last_event_time_us.has_value() && quote.event_time_us < *symbol.last_event_time_us) return {};

  const std::optional<int64_t> quote_before_us = symbol.last_event_time_us;
  const Gap gap = TakeIntoDate(symbol, quote);
  symbol.last_event_time_us = quote.event_time_us;
  symbol.last_with_gaps = quote.rules == Rules::kWithGaps;

  std::vector<Trigger> triggers;
  for (auto& [id, alert] : alerts_) {
    if (alert.symbol != quote.symbol || alert.deleted || alert.triggered) continue;
    // Dates go on, and their values are taken, in whatever session and in a pause too.
    TakeValueOfDate(alert, symbol);
    std::optional<Trigger> trigger = TakeQuote(alert, *symbol.date, quote, gap);
    alert.armed.watched_since_quote = !alert.paused;
    if (!trigger.has_value()) continue;
    trigger->alert_id = id;
    trigger->symbol = alert.symbol;
    trigger->revision = alert.revision;
    trigger->trigger_number = alert.trigger_number;
    trigger->event_time_us = quote.event_time_us;
    trigger->offset = offset;
    if (trigger->late) trigger->late_from_us = quote_before_us;
    trigger->ends_alert = alert.triggered;
    triggers.push_back(*trigger);
  }

  const PricePoint point{quote.price_micros, quote.event_time_us};
  if (Counts(Sessions::kRegular, quote.session)) symbol.last_regular = point;
  if (Counts(Sessions::kExtended, quote.session)) symbol.last_extended = point;
  return triggers;
}

Auditor::Gap Auditor::TakeIntoDate(Symbol& symbol, const Quote& quote) const {
  const bool with_gaps = quote.rules == Rules::kWithGaps;
  const absl::CivilDay date = DateOf(quote);
  if (symbol.date != date) {
    symbol.date = date;
    symbol.previous_close = symbol.day_open = symbol.highest = symbol.lowest = std::nullopt;
    symbol.date_began_with_gaps = with_gaps;
  }
  std::optional<int64_t> high;
  std::optional<int64_t> low;
  if (CarriesFigures(quote)) {
    if (const auto value = Sensible(quote.previous_close_micros)) symbol.previous_close = value;
    if (const auto value = Sensible(quote.day_open_micros)) symbol.day_open = value;
    if (with_gaps) high = Sensible(quote.day_high_micros);
    if (with_gaps) low = Sensible(quote.day_low_micros);
  }

  const int64_t highest = std::max(quote.price_micros, symbol.highest.value_or(quote.price_micros));
  const int64_t lowest = std::min(quote.price_micros, symbol.lowest.value_or(quote.price_micros));
  // Without a quote before there is no time that a gap could speak of. In a log whose rules change in the middle of a
  // date, the rest of the date has none either: what the first rules left unsaid is no news.
  Gap gap;
  const bool has_quote_before = symbol.last_event_time_us.has_value();
  if (with_gaps && has_quote_before && symbol.last_with_gaps && symbol.date_began_with_gaps) {
    if (high.has_value() && *high > highest) gap.high = high;
    if (low.has_value() && *low < lowest) gap.low = low;
  }
  symbol.highest = std::max(highest, high.value_or(highest));
  symbol.lowest = std::min(lowest, low.value_or(lowest));
  return gap;
}

std::optional<Trigger> Auditor::TakeQuote(Alert& alert, const absl::CivilDay& date, const Quote& quote,
                                          const Gap& gap) {
  if (alert.paused || IsExpiredBy(alert, quote.event_time_us)) return std::nullopt;
  const PricePoint own{quote.price_micros, quote.event_time_us};
  const bool counts = Counts(alert.definition.sessions, quote.session);
  const std::optional<int64_t> before = alert.armed.before;
  std::optional<PricePoint> late;
  std::optional<int64_t> measured_against;
  if (IsTestedInGaps(alert)) {
    late = FirstEdgeOf(alert, gap, quote.event_time_us, date);
    if (late.has_value()) {
      const std::optional<Leg> leg = SpendEdges(alert, *late, date);
      MakeReady(alert, late->price_micros);
      measured_against = TriggerAt(alert, leg.value(), *late, date);
    } else {
      if (gap.high.has_value()) TakeGapPrice(alert, {*gap.high, quote.event_time_us}, true, date);
      if (gap.low.has_value()) TakeGapPrice(alert, {*gap.low, quote.event_time_us}, false, date);
    }
  }
  if (counts) {
    if (late.has_value()) {
      TakePriceAfterLateTrigger(alert, own);
    } else {
      measured_against = Evaluate(alert, own, date);
    }
    alert.armed.before = own.price_micros;
  }
  if (!measured_against.has_value()) return std::nullopt;
  Trigger trigger;
  trigger.price_micros = late.value_or(own).price_micros;
  // The price before is the arming price to begin with, which is this price where it is the first.
  trigger.price_before_micros = before.value_or(own.price_micros);
  trigger.reference_micros = measured_against;
  trigger.late = late.has_value();
  return trigger;
}

std::optional<int64_t> Auditor::Evaluate(Alert& alert, const PricePoint& point, const absl::CivilDay& date) {
  const int64_t price = point.price_micros;
  // Until the date's own value is known nothing of the alert is evaluated.
  if (NeedsValueOfDate(alert) && !alert.armed.reference.has_value()) return std::nullopt;

  if (!alert.armed.begun) {
    // The first price that counts and finds the reference known: it serves as the arming price.
    alert.armed.begun = true;
    if (!alert.armed.before.has_value()) alert.armed.before = price;
    TakeArmingPrice(alert, point);
    for (Leg leg : LegsOf(alert)) ReadyOf(alert, leg) = BeginsReady(alert, leg, price);
    if (IsMove(alert.definition) || alert.definition.creation_policy != CreationPolicy::kFireIfMet) return std::nullopt;
  } else {
    TakeCountedPrice(alert, point);
  }

  // In this order: the price that makes ready does not itself trigger.
  const std::optional<Leg> triggering = SpendEdges(alert, point, date);
  MakeReady(alert, price);
  // A crossing is seen against the side before this price.
  TakeSide(alert, price);
  if (!triggering.has_value()) return std::nullopt;
  return TriggerAt(alert, *triggering, point, date);
}

std::optional<Auditor::Leg> Auditor::SpendEdges(Alert& alert, const PricePoint& point, const absl::CivilDay& date) {
  std::optional<Leg> triggering;
  for (Leg leg : LegsOf(alert)) {
    bool& ready = ReadyOf(alert, leg);
    if (!ready || !IsLevel(alert, leg, point.price_micros)) continue;
    ready = false;
    if (!triggering.has_value() && !IsSwallowed(alert, point.event_time_us, date)) triggering = leg;
  }
  return triggering;
}

// Called for the price of an edge too: that of a crossing may make ready at once for the next one. No other kind
// becomes ready at a price at which its level is true.
void Auditor::MakeReady(Alert& alert, int64_t price) {
  for (Leg leg : LegsOf(alert)) {
    if (!ReadyOf(alert, leg)) ReadyOf(alert, leg) = BecomesReady(alert, leg, price);
  }
}

int64_t Auditor::TriggerAt(Alert& alert, Leg leg, const PricePoint& point, const absl::CivilDay& date) {
  const int64_t measured_against = MeasuredAgainst(alert, leg, point.price_micros);
  ++alert.trigger_number;
  alert.armed.last_trigger_us = point.event_time_us;
  alert.armed.last_trigger_date = date;
  if (alert.definition.trigger_policy == TriggerPolicy::kOnce) alert.triggered = true;
  if (const PercentChange* change = std::get_if<PercentChange>(&alert.definition.condition)) {
    // The triggering price is the new reference, both ways.
    if (change->reference == PercentReference::kWindow) {
      alert.armed.window = {point};
    } else {
      alert.armed.reference = point.price_micros;
    }
    alert.armed.ready = alert.armed.ready_down = true;
  }
  if (std::holds_alternative<TrailingChange>(alert.definition.condition)) {
    alert.armed.extreme = point.price_micros;
    alert.armed.ready = true;
  }
  return measured_against;
}

bool Auditor::IsSwallowed(const Alert& alert, int64_t event_time_us, const absl::CivilDay& date) {
  switch (alert.definition.trigger_policy) {
    case TriggerPolicy::kOnce:
      return false;
    case TriggerPolicy::kRepeat:
      return alert.armed.last_trigger_us.has_value() &&
             Wide{event_time_us} < Wide{*alert.armed.last_trigger_us} + alert.definition.cooldown_us;
    case TriggerPolicy::kOnceADay:
      return alert.armed.last_trigger_date == date;
  }
  std::abort();
}

// ---- Gaps ----

bool Auditor::IsTestedInGaps(const Alert& alert) {
  if (!alert.armed.begun || !alert.armed.watched_since_quote) return false;
  if (NeedsValueOfDate(alert) && !alert.armed.reference.has_value()) return false;
  const PercentChange* change = std::get_if<PercentChange>(&alert.definition.condition);
  return change == nullptr || change->reference != PercentReference::kWindow;
}

bool Auditor::IsEdge(Alert& alert, const PricePoint& point, const absl::CivilDay& date) {
  if (IsSwallowed(alert, point.event_time_us, date)) return false;
  for (Leg leg : LegsOf(alert)) {
    if (ReadyOf(alert, leg) && IsLevel(alert, leg, point.price_micros)) return true;
  }
  return false;
}

// Both are held against the state before the quote: which of them came first is not known.
std::optional<PricePoint> Auditor::FirstEdgeOf(Alert& alert, const Gap& gap, int64_t event_time_us,
                                               const absl::CivilDay& date) {
  for (const std::optional<int64_t>& price : {gap.high, gap.low}) {
    if (!price.has_value()) continue;
    const PricePoint point{*price, event_time_us};
    if (IsEdge(alert, point, date)) return point;
  }
  return std::nullopt;
}

// Takes in the high or the low of a gap that has not triggered. It is no side and no price before.
void Auditor::TakeGapPrice(Alert& alert, const PricePoint& point, bool is_high, const absl::CivilDay& date) {
  if (const TrailingChange* trailing = std::get_if<TrailingChange>(&alert.definition.condition)) {
    if (is_high == (trailing->op == TrailingOp::kFallsFromHigh)) TakeIntoExtreme(alert, point.price_micros);
  }
  // An edge that is none against the state before the quote (the high has changed it since) is left to the quote's own
  // price; only a swallowed one is spent.
  if (IsSwallowed(alert, point.event_time_us, date)) SpendEdges(alert, point, date);
  MakeReady(alert, point.price_micros);
}

// The quote's own price, once its high or low has triggered, triggers nothing itself.
void Auditor::TakePriceAfterLateTrigger(Alert& alert, const PricePoint& point) {
  TakeCountedPrice(alert, point);
  MakeReady(alert, point.price_micros);
  TakeSide(alert, point.price_micros);
}

// ---- Conditions ----

std::vector<Auditor::Leg> Auditor::LegsOf(const Alert& alert) {
  const PercentChange* change = std::get_if<PercentChange>(&alert.definition.condition);
  if (change != nullptr && change->op == PercentOp::kEither) return {Leg::kUp, Leg::kDown};
  return {Leg::kOnly};
}

bool& Auditor::ReadyOf(Alert& alert, Leg leg) { return leg == Leg::kDown ? alert.armed.ready_down : alert.armed.ready; }

// Whether the level is true at a price that has been taken into extreme and window; of CROSSES: whether this price is a
// crossing.
bool Auditor::IsLevel(const Alert& alert, Leg leg, int64_t price) {
  const Armed& armed = alert.armed;
  if (const PriceTarget* target = std::get_if<PriceTarget>(&alert.definition.condition)) {
    const int64_t t = target->price_micros;
    switch (target->op) {
      case TargetOp::kAtOrAbove:
        return price >= t;
      case TargetOp::kAtOrBelow:
        return price <= t;
      case TargetOp::kCrosses:
        if (!armed.before.has_value() || *armed.before == t) return false;
        return price == t || SideOf(price, t) == -armed.side;
    }
  }
  if (const PercentChange* change = std::get_if<PercentChange>(&alert.definition.condition)) {
    const bool up = change->op == PercentOp::kUp || leg == Leg::kUp;
    int64_t reference = 0;
    if (change->reference == PercentReference::kWindow) {
      reference = up ? LowestIn(armed.window) : HighestIn(armed.window);
    } else {
      reference = armed.reference.value();
    }
    return up ? IsUpBy(price, reference, change->percent_e4) : IsDownBy(price, reference, change->percent_e4);
  }
  if (const TrailingChange* trailing = std::get_if<TrailingChange>(&alert.definition.condition)) {
    if (!armed.extreme.has_value()) return false;  // Not activated.
    const bool falls = trailing->op == TrailingOp::kFallsFromHigh;
    if (trailing->percent_e4 > 0) {
      return falls ? IsDownBy(price, *armed.extreme, trailing->percent_e4)
                   : IsUpBy(price, *armed.extreme, trailing->percent_e4);
    }
    const int64_t distance = falls ? *armed.extreme - price : price - *armed.extreme;
    return distance >= trailing->amount_micros;
  }
  const Channel& channel = std::get<Channel>(alert.definition.condition);
  const bool inside = channel.low_micros <= price && price <= channel.high_micros;
  return channel.op == ChannelOp::kEnters ? inside : !inside;
}

// Whether an alert that is not ready becomes so at a counted price.
bool Auditor::BecomesReady(const Alert& alert, Leg leg, int64_t price) {
  const Wide h = alert.definition.hysteresis_micros;
  if (const PriceTarget* target = std::get_if<PriceTarget>(&alert.definition.condition)) {
    const int64_t t = target->price_micros;
    switch (target->op) {
      case TargetOp::kAtOrAbove:
        return price < t && price <= t - h;
      case TargetOp::kAtOrBelow:
        return price > t && price >= t + h;
      case TargetOp::kCrosses:
        return (price > t ? price - t : t - price) >= h;
    }
  }
  if (const Channel* channel = std::get_if<Channel>(&alert.definition.condition)) {
    const int64_t low = channel->low_micros;
    const int64_t high = channel->high_micros;
    if (channel->op == ChannelOp::kEnters) {
      return (price < low && low - price >= h) || (price > high && price - high >= h);
    }
    return low <= price && price <= high && price - low >= h && high - price >= h;
  }
  return !IsLevel(alert, leg, price);
}

// Whether an alert is ready once it has begun with this arming price. Hysteresis takes no part.
bool Auditor::BeginsReady(const Alert& alert, Leg leg, int64_t arming_price) {
  if (const PriceTarget* target = std::get_if<PriceTarget>(&alert.definition.condition)) {
    if (target->op == TargetOp::kCrosses) return true;
  }
  if (std::holds_alternative<Channel>(alert.definition.condition)) return !IsLevel(alert, leg, arming_price);
  if (alert.definition.creation_policy == CreationPolicy::kFireIfMet) return true;
  return !IsLevel(alert, leg, arming_price);
}

int64_t Auditor::MeasuredAgainst(const Alert& alert, Leg leg, int64_t price) {
  if (const PriceTarget* target = std::get_if<PriceTarget>(&alert.definition.condition)) return target->price_micros;
  if (const PercentChange* change = std::get_if<PercentChange>(&alert.definition.condition)) {
    if (change->reference != PercentReference::kWindow) return alert.armed.reference.value();
    const bool up = change->op == PercentOp::kUp || leg == Leg::kUp;
    return up ? LowestIn(alert.armed.window) : HighestIn(alert.armed.window);
  }
  if (std::holds_alternative<TrailingChange>(alert.definition.condition)) return alert.armed.extreme.value();
  // The border that was passed: seen from outside on entering, from inside on leaving.
  const Channel& channel = std::get<Channel>(alert.definition.condition);
  const int64_t outside = channel.op == ChannelOp::kEnters ? alert.armed.before.value_or(price) : price;
  return outside < channel.low_micros ? channel.low_micros : channel.high_micros;
}

// ---- Arming ----

bool Auditor::NeedsValueOfDate(const Alert& alert) {
  const PercentChange* change = std::get_if<PercentChange>(&alert.definition.condition);
  return change != nullptr &&
         (change->reference == PercentReference::kPreviousClose || change->reference == PercentReference::kDayOpen);
}

std::optional<int64_t> Auditor::ValueOfDate(const Alert& alert, const Symbol& symbol) {
  const PercentChange& change = std::get<PercentChange>(alert.definition.condition);
  return change.reference == PercentReference::kPreviousClose ? symbol.previous_close : symbol.day_open;
}

// Called after each accepted quote has entered the symbol's date and values, before it is evaluated.
void Auditor::TakeValueOfDate(Alert& alert, const Symbol& symbol) {
  if (!NeedsValueOfDate(alert)) return;
  if (alert.armed.date != symbol.date) {
    alert.armed.date = symbol.date;
    alert.armed.reference = std::nullopt;
  }
  if (alert.armed.reference.has_value()) return;  // Kept for the date.
  alert.armed.reference = ValueOfDate(alert, symbol);
  if (alert.armed.reference.has_value() && alert.armed.begun) alert.armed.ready = alert.armed.ready_down = true;
}

void Auditor::Arm(Alert& alert, const Symbol& symbol) {
  alert.armed = Armed{};
  alert.triggered = false;
  if (NeedsValueOfDate(alert)) {
    alert.armed.date = symbol.date;
    alert.armed.reference = ValueOfDate(alert, symbol);
  }
  const PercentChange* change = std::get_if<PercentChange>(&alert.definition.condition);
  if (change != nullptr && change->reference == PercentReference::kGiven)
    alert.armed.reference = change->given_price_micros;

  const std::optional<PricePoint>& arming =
      alert.definition.sessions == Sessions::kRegular ? symbol.last_regular : symbol.last_extended;
  if (!arming.has_value()) return;
  alert.armed.before = arming->price_micros;
  if (NeedsValueOfDate(alert) && !alert.armed.reference.has_value()) return;
  alert.armed.begun = true;
  TakeArmingPrice(alert, *arming);
  for (Leg leg : LegsOf(alert)) ReadyOf(alert, leg) = BeginsReady(alert, leg, arming->price_micros);
}

// The arming price gives the first side, reference, extreme and window entry.
void Auditor::TakeArmingPrice(Alert& alert, const PricePoint& arming) {
  const PercentChange* change = std::get_if<PercentChange>(&alert.definition.condition);
  if (change != nullptr && change->reference == PercentReference::kArming) alert.armed.reference = arming.price_micros;
  TakeCountedPrice(alert, arming);
  TakeSide(alert, arming.price_micros);
}

// A price that counts enters the extreme and the window before it is evaluated: both include the present price.
void Auditor::TakeCountedPrice(Alert& alert, const PricePoint& point) {
  TakeIntoExtreme(alert, point.price_micros);
  const PercentChange* change = std::get_if<PercentChange>(&alert.definition.condition);
  if (change == nullptr || change->reference != PercentReference::kWindow) return;
  std::vector<PricePoint>& window = alert.armed.window;
  window.push_back(point);
  const auto too_old = [&](const PricePoint& entry) {
    return Wide{entry.event_time_us} < Wide{point.event_time_us} - change->window_us;
  };
  window.erase(std::remove_if(window.begin(), window.end(), too_old), window.end());
}

// The extreme of a trailing change, which begins at its activation.
void Auditor::TakeIntoExtreme(Alert& alert, int64_t price) {
  const TrailingChange* trailing = std::get_if<TrailingChange>(&alert.definition.condition);
  if (trailing == nullptr) return;
  const bool falls = trailing->op == TrailingOp::kFallsFromHigh;
  std::optional<int64_t>& extreme = alert.armed.extreme;
  if (extreme.has_value()) {
    extreme = falls ? std::max(*extreme, price) : std::min(*extreme, price);
    return;
  }
  const std::optional<int64_t>& activation = trailing->activation_price_micros;
  const bool active = !activation.has_value() || (falls ? price >= *activation : price <= *activation);
  if (active) extreme = price;
}

// The side is that of the last counted price that was not the target.
void Auditor::TakeSide(Alert& alert, int64_t price) {
  const PriceTarget* target = std::get_if<PriceTarget>(&alert.definition.condition);
  if (target != nullptr && price != target->price_micros) alert.armed.side = SideOf(price, target->price_micros);
}

// ---- Alert changes, restarts, splits and suspected ones ----

void Auditor::ApplyChange(const AlertChange& change) {
  Alert& alert = alerts_[change.alert_id];
  // A change that is not newer is known already; a deleted alert stays deleted.
  if (change.revision <= alert.revision || alert.deleted) return;
  // An alert never changes its symbol: another alert is meant, which does not exist.
  if (alert.revision > 0 && alert.symbol != change.symbol) return;
  Symbol& symbol = symbols_[change.symbol];
  const bool moves_expiry_of_expired = alert.revision > 0 && !alert.triggered &&
                                       IsExpiredBy(alert, symbol.last_event_time_us) &&
                                       alert.definition.expire_time_us != change.definition.expire_time_us;
  const bool arms = change.armed_revision > alert.armed_revision || moves_expiry_of_expired;
  alert.symbol = change.symbol;
  alert.definition = change.definition;
  alert.splits_applied = change.splits_applied;
  for (const Split& split : symbol.splits) ScaleDefinition(alert, split);
  alert.revision = change.revision;
  alert.armed_revision = std::max(alert.armed_revision, change.armed_revision);
  alert.paused = change.paused;
  alert.deleted = change.deleted;
  if (arms && !alert.deleted) Arm(alert, symbol);
  if (alert.paused) alert.armed.watched_since_quote = false;
}

void Auditor::ApplyRestart(const std::string& symbol_name) {
  // What its publisher has sent stays known: a quote sent again is skipped on either side of a restart. So do its
  // splits: changes are stated by their numbers.
  Symbol begun_anew;
  begun_anew.publisher = symbols_[symbol_name].publisher;
  begun_anew.splits = symbols_[symbol_name].splits;
  symbols_[symbol_name] = begun_anew;
  for (auto& [id, alert] : alerts_) {
    if (alert.symbol == symbol_name && !alert.deleted && !alert.triggered) Arm(alert, begun_anew);
  }
}

bool Auditor::ApplySplit(const Split& split) {
  if (split.ratio.numerator <= 0 || split.ratio.denominator <= 0)
    return false;  // No ratio: refused, like a price that is none.
  Symbol& symbol = symbols_[split.symbol];
  for (const Split& known : symbol.splits) {
    const bool is_same = !split.split_id.empty() && split.split_id == known.split_id;
    if (is_same || split.number <= known.number) return false;
  }
  symbol.splits.push_back(split);
  Scale(symbol.last_regular, split);
  Scale(symbol.last_extended, split);
  Scale(symbol.previous_close, split);
  Scale(symbol.day_open, split);
  Scale(symbol.highest, split);
  Scale(symbol.lowest, split);
  for (auto& [id, alert] : alerts_) {
    if (alert.symbol != split.symbol || alert.deleted) continue;
    ScaleDefinition(alert, split);
    ScaleArmed(alert.armed, split);
  }
  return true;
}

void Auditor::ApplySuspicion(const SplitSuspected& suspected) {
  if (IsHeld(suspected.symbol)) return;
  Symbol& symbol = symbols_[suspected.symbol];
  const std::pair<int64_t, int64_t> publisher{suspected.publisher_epoch, suspected.sequence};
  if (!IsNew(publisher, symbol.publisher)) return;
  symbol.publisher = std::max(symbol.publisher, publisher);
  held_[suspected.symbol] = {};
}

// A quote that is refused needs no keeping: it changes nothing, whenever it is looked at.
bool Auditor::IsKept(const Event& event) const {
  if (!IsHeld(SymbolNamedBy(event))) return false;
  if (const Quote* quote = std::get_if<Quote>(&event)) return IsPrice(quote->price_micros);
  if (const AlertChange* change = std::get_if<AlertChange>(&event)) {
    const auto known = alerts_.find(change->alert_id);
    return known == alerts_.end() || known->second.symbol == change->symbol;
  }
  return std::holds_alternative<Restart>(event);
}

std::vector<Trigger> Auditor::Release(int64_t offset, const std::string& symbol_name) {
  const auto held = held_.find(symbol_name);
  if (held == held_.end()) return {};
  const std::vector<Event> kept = held->second;
  held_.erase(held);
  std::vector<Trigger> triggers;
  for (const Event& event : kept) {
    for (const Trigger& trigger : Apply(offset, event)) triggers.push_back(trigger);
  }
  return triggers;
}

// Scales the definition by a split that it does not allow for yet.
void Auditor::ScaleDefinition(Alert& alert, const Split& split) {
  if (split.number <= alert.splits_applied) return;
  alert.splits_applied = split.number;
  Definition& definition = alert.definition;
  Scale(definition.hysteresis_micros, split);
  if (PriceTarget* target = std::get_if<PriceTarget>(&definition.condition)) Scale(target->price_micros, split);
  if (PercentChange* change = std::get_if<PercentChange>(&definition.condition)) {
    Scale(change->given_price_micros, split);
  }
  if (TrailingChange* trailing = std::get_if<TrailingChange>(&definition.condition)) {
    Scale(trailing->amount_micros, split);
    Scale(trailing->activation_price_micros, split);
  }
  if (Channel* channel = std::get_if<Channel>(&definition.condition)) {
    Scale(channel->low_micros, split);
    Scale(channel->high_micros, split);
  }
}

// Prices are seen from the target as before, so the side of CROSSES stays the side that it was.
void Auditor::ScaleArmed(Armed& armed, const Split& split) {
  Scale(armed.before, split);
  Scale(armed.reference, split);
  Scale(armed.extreme, split);
  for (PricePoint& point : armed.window) point.price_micros = ScaledBySplit(point.price_micros, split);
}

// ---- What is shown ----

bool Auditor::IsExpiredBy(const Alert& alert, std::optional<int64_t> time_us) {
  return time_us.has_value() && alert.definition.expire_time_us.has_value() &&
         *time_us >= *alert.definition.expire_time_us;
}

std::optional<Shown> Auditor::StateOf(const std::string& alert_id, std::optional<int64_t> wall_clock_us) const {
  const auto found = alerts_.find(alert_id);
  if (found == alerts_.end() || found->second.deleted || found->second.revision == 0) return std::nullopt;
  const Alert& alert = found->second;
  if (alert.triggered) return Shown::kTriggered;
  if (IsExpiredBy(alert, wall_clock_us) || IsExpiredBy(alert, LastEventTime(alert.symbol))) return Shown::kExpired;
  if (alert.paused) return Shown::kPaused;
  if (IsHeld(alert.symbol)) return Shown::kHeld;
  if (NeedsValueOfDate(alert) && !alert.armed.reference.has_value()) return Shown::kWaiting;
  return Shown::kActive;
}

int64_t Auditor::ArmedRevisionOf(const std::string& alert_id) const {
  const auto found = alerts_.find(alert_id);
  return found == alerts_.end() ? 0 : found->second.armed_revision;
}

std::vector<std::string> Auditor::AlertIds() const {
  std::vector<std::string> ids;
  for (const auto& [id, alert] : alerts_) {
    if (!alert.deleted && alert.revision > 0) ids.push_back(id);
  }
  return ids;
}

std::optional<int64_t> Auditor::LastEventTime(const std::string& symbol) const {
  const auto found = symbols_.find(symbol);
  return found == symbols_.end() ? std::nullopt : found->second.last_event_time_us;
}

bool Auditor::IsHeld(const std::string& symbol) const { return held_.count(symbol) > 0; }

bool Auditor::IsMetAtArming(const std::string& symbol_name, const Definition& definition) const {
  const auto found = symbols_.find(symbol_name);
  if (found == symbols_.end()) return false;
  Alert alert;
  alert.symbol = symbol_name;
  alert.definition = definition;
  Arm(alert, found->second);
  if (!alert.armed.begun) return false;
  if (IsMove(definition)) return false;  // The creation policy is for the other kinds.
  const std::vector<Leg> legs = LegsOf(alert);
  return std::any_of(legs.begin(), legs.end(),
                     [&](Leg leg) { return IsLevel(alert, leg, alert.armed.before.value()); });
}

}  // namespace stockalert::auditor
