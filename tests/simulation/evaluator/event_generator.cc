#include "tests/simulation/evaluator/event_generator.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "services/domain/condition/split.h"

namespace stockalert::simulation {

using condition::Channel;
using condition::ChannelOp;
using condition::Condition;
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

namespace {

constexpr int64_t kUnit = 1'000'000;
constexpr int64_t kHalf = kUnit / 2;
constexpr int64_t kTick = kUnit / 100;
constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kDayUs = 86'400 * kSecondUs;
constexpr int64_t kStartUs =
    1'741'271'460 * kSecondUs;  // 6 March 2025, 09:31 in New York; summer time begins three days later.
constexpr size_t kRecentMax = 12;
constexpr size_t kHistoryMax = 30;

}  // namespace

EventGenerator::EventGenerator(Random random) : random_(std::move(random)) {
  symbols_ = {"AAPL"};
  if (random_.Chance(0.4)) symbols_.push_back("MSFT");
  if (random_.Chance(0.1)) symbols_.push_back("BRK.B");
  if (random_.Chance(0.1)) symbols_.push_back("BINANCE:BTCUSDT");
  for (const std::string& symbol : symbols_) {
    markets_[symbol].price_micros = 100 * kUnit;
    markets_[symbol].time_us = kStartUs + random_.Between(0, 2);
  }
  quote_share_ = random_.Pick({0.5, 0.7, 0.85});
  figures_share_ = random_.Pick({0.0, 0.05, 0.4});
  restart_share_ = random_.Pick({0.0, 0.01, 0.04});
  day_share_ = random_.Pick({0.0, 0.03, 0.15});
  late_share_ = random_.Pick({0.0, 0.05});
  range_share_ = random_.Pick({0.0, 0.1, 0.5});
  split_share_ = random_.Pick({0.0, 0.0, 0.005, 0.03});
  suspicion_share_ = random_.Pick({0.0, 0.0, 0.01, 0.05});
  settlement_share_ = random_.Pick({0.01, 0.05, 0.2});
  mixes_rules_ = random_.Chance(0.15);
  if (random_.Chance(0.1)) rules_ = record::Rules::kFirst;
  with_publisher_ = random_.Chance(0.5);
  with_sessions_ = random_.Chance(0.5);
  single_kind_ = random_.Chance(0.4);
  kind_ = random_.Between(0, 3);
  alerts_max_ = random_.Pick({2, 8, 40, 150});
  half_grid_steps_ = random_.Pick({4, 12, 20});
  if (with_publisher_) epoch_ = 1;
  calm_ = random_.Chance(0.35);
  if (calm_) quote_share_ = random_.Pick({0.9, 0.97});
}

PlacedEvent EventGenerator::Next() {
  place_.offset += random_.Chance(0.2) ? random_.Between(2, 5) : 1;
  place_.log_time_us += random_.Between(0, kSecondUs);
  PlacedEvent placed{place_, Restart{random_.Pick(symbols_)}};
  if (random_.Chance(restart_share_)) {
    Market& market = markets_[std::get<Restart>(placed.event).symbol];
    if (random_.Chance(0.7)) market.time_us -= random_.Between(0, 2 * kDayUs);
    return placed;
  }
  if (random_.Chance(split_share_)) {
    placed.event = NextSplit(random_.Pick(symbols_));
    return placed;
  }
  if (random_.Chance(suspicion_share_)) {
    const std::string symbol = random_.Pick(symbols_);
    placed.event = random_.Chance(0.9) ? NextSuspicion(symbol) : NextDismissal(symbol);
    return placed;
  }
  if (const std::string symbol = random_.Pick(symbols_);
      markets_[symbol].may_be_held && random_.Chance(settlement_share_)) {
    placed.event = NextSettlement(symbol);
    return placed;
  }
  placed.event = alerts_.empty() || !random_.Chance(quote_share_) ? NextChange() : NextQuote();
  return placed;
}

int64_t EventGenerator::GridPrice(const std::string& symbol) {
  const int64_t base = markets_[symbol].base_micros;
  return std::max<int64_t>(1, base + random_.Between(-half_grid_steps_, half_grid_steps_) * (base / 200));
}

price::SplitRatio EventGenerator::RandomRatio(const Market& market) {
  // Not ever further from where it began.
  const bool dear = market.base_micros > 100 * kUnit;
  return dear ? random_.Pick<price::SplitRatio>({{2, 1}, {4, 1}, {3, 2}, {7, 3}})
              : random_.Pick<price::SplitRatio>({{1, 2}, {1, 3}, {2, 3}, {1, 10}});
}

void EventGenerator::ScalePrices(price::SplitRatio ratio, Market& market) {
  const auto scale = [&](int64_t& micros) { micros = price::ScaleMicros(micros, ratio); };
  scale(market.price_micros);
  scale(market.base_micros);
  for (int64_t& micros : market.recent) scale(micros);
}

Event EventGenerator::NextSplit(const std::string& symbol) {
  Market& market = markets_[symbol];
  if (!market.splits.empty() && random_.Chance(0.1)) return random_.Pick(market.splits);  // Written again.
  record::Split split;
  split.symbol = symbol;
  split.number = static_cast<int64_t>(market.splits.size()) + 1;
  split.split_id = "s" + std::to_string(split.number);
  split.ratio = market.foreseen.value_or(RandomRatio(market));
  split.effective_time_us = market.time_us;
  if (!market.foreseen.has_value()) ScalePrices(split.ratio, market);
  market.foreseen.reset();
  market.may_be_held = false;
  market.splits.push_back(split);
  return split;
}

std::pair<int64_t, int64_t> EventGenerator::NextPublished(Market& market) {
  if (!with_publisher_ || random_.Chance(0.2)) return {0, 0};
  if (random_.Chance(0.15)) return {epoch_, random_.Between(0, market.sequence)};
  if (epoch_ > 1 && random_.Chance(0.05)) return {epoch_ - 1, market.sequence + random_.Between(0, 100)};
  return {epoch_, ++market.sequence};
}

Event EventGenerator::NextSuspicion(const std::string& symbol) {
  Market& market = markets_[symbol];
  if (!market.may_be_held && random_.Chance(0.5)) {
    market.foreseen = RandomRatio(market);
    ScalePrices(*market.foreseen, market);
  }
  market.may_be_held = true;
  const auto [epoch, sequence] = NextPublished(market);
  return record::SplitSuspected{symbol, epoch, sequence};
}

Event EventGenerator::NextDismissal(const std::string& symbol) {
  Market& market = markets_[symbol];
  const auto [epoch, sequence] = NextPublished(market);
  if (epoch == 0 && sequence == 0) market.may_be_held = false;
  market.foreseen.reset();
  return record::SplitDismissed{symbol, epoch, sequence};
}

Event EventGenerator::NextSettlement(const std::string& symbol) {
  if (random_.Chance(0.1)) return NextSuspicion(symbol);  // Another reader of the prices has seen it, too.
  return random_.Chance(0.5) ? NextSplit(symbol) : NextDismissal(symbol);
}

// A price at which an alert of the symbol could just change its mind.
int64_t EventGenerator::InterestingPrice(const std::string& symbol) {
  const Market& market = markets_[symbol];
  int64_t price = GridPrice(symbol);
  const std::string& id = random_.Pick(ids_);
  const AlertChange& latest = alerts_[id].latest;
  Definition definition = latest.definition;
  for (const record::Split& split : markets_[latest.symbol].splits) {
    if (split.number > latest.splits_applied) condition::ScaleDefinition(split.ratio, &definition);
  }
  const int64_t h = definition.hysteresis_micros;
  const int64_t from = market.recent.empty() || random_.Chance(0.2) ? GridPrice(symbol) : random_.Pick(market.recent);
  const auto moved = [&](int64_t percent_e4, bool up) {
    const __int128 exact = static_cast<__int128>(from) * (up ? kUnit + percent_e4 : kUnit - percent_e4);
    return static_cast<int64_t>(up ? (exact + kUnit - 1) / kUnit : exact / kUnit);
  };
  if (const auto* target = std::get_if<PriceTarget>(&definition.condition)) {
    price = target->price_micros + random_.Pick<int64_t>({0, 0, h, -h});
  } else if (const auto* channel = std::get_if<Channel>(&definition.condition)) {
    price = (random_.Chance(0.5) ? channel->low_micros : channel->high_micros) + random_.Pick<int64_t>({0, 0, h, -h});
  } else if (const auto* change = std::get_if<PercentChange>(&definition.condition)) {
    price = moved(change->percent_e4,
                  change->op == PercentOp::kUp || (change->op == PercentOp::kEither && random_.Chance(0.5)));
  } else if (const auto* trailing = std::get_if<TrailingChange>(&definition.condition)) {
    const bool up = trailing->op == TrailingOp::kRisesFromLow;
    if (trailing->activation_price_micros.has_value() && random_.Chance(0.4)) {
      price = *trailing->activation_price_micros;
    } else if (trailing->percent_e4 > 0) {
      price = moved(trailing->percent_e4, up);
    } else {
      price = up ? from + trailing->amount_micros : from - trailing->amount_micros;
    }
  }
  if (random_.Chance(0.3)) price += random_.Pick({-1, 1});
  return std::clamp<int64_t>(price, 1, 1000 * kUnit);
}

void EventGenerator::StepTime(Market& market) {
  if (random_.Chance(day_share_)) {
    // Overnight the price may go far, so that even a day's low is beyond what was its high.
    if (random_.Chance(0.3)) {
      market.price_micros = std::max<int64_t>(
          1, market.price_micros + random_.Between(-20, 20) * std::max<int64_t>(1, market.base_micros / 100));
    }
    market.time_us += random_.Chance(0.8) ? random_.Between(kDayUs / 3, kDayUs) : random_.Between(kDayUs, 3 * kDayUs);
    return;
  }
  market.time_us += random_.Pick<int64_t>({0, 0, 1, kSecondUs, 10 * kSecondUs, 10 * kSecondUs, 20 * kSecondUs,
                                           30 * kSecondUs, 30 * kSecondUs + 1, 60 * kSecondUs});
}

void EventGenerator::AddRange(Quote& quote) {
  if (mixes_rules_ && random_.Chance(0.1)) {
    rules_ = rules_ == record::Rules::kFirst ? record::kNewestRules : record::Rules::kFirst;
  }
  quote.rules = rules_;
  const auto bound = [&]() -> std::optional<int64_t> {
    if (!random_.Chance(range_share_)) return std::nullopt;
    if (random_.Chance(0.05)) return random_.Pick<int64_t>({0, -1});
    return random_.Chance(0.6) ? InterestingPrice(quote.symbol) : GridPrice(quote.symbol);
  };
  quote.day_high_micros = bound();
  quote.day_low_micros = bound();
}

Event EventGenerator::NextQuote() {
  const std::string symbol = random_.Pick(symbols_);
  Market& market = markets_[symbol];
  if (!market.history.empty() && random_.Chance(0.03)) return random_.Pick(market.history);  // Sent again.

  Quote quote;
  quote.symbol = symbol;
  StepTime(market);
  quote.event_time_us = market.time_us;
  if (random_.Chance(late_share_)) quote.event_time_us -= random_.Pick<int64_t>({1, kSecondUs, kDayUs});
  if (random_.Chance(calm_ ? 0.01 : 0.35)) {
    market.price_micros = InterestingPrice(symbol);
  } else if (random_.Chance(calm_ ? 0.01 : 0.25)) {
    market.price_micros = GridPrice(symbol);
  } else if (calm_) {
    market.price_micros += random_.Between(-3, 3) * kTick;
  } else {
    market.price_micros += random_.Pick<int64_t>({0, 0, kHalf, -kHalf, kUnit, -kUnit, 3 * kHalf, -3 * kHalf});
  }
  market.price_micros = std::max<int64_t>(market.price_micros, 1);
  quote.price_micros = market.price_micros;
  if (random_.Chance(0.02)) quote.price_micros = random_.Pick<int64_t>({0, -kUnit, 1'000'000'000'000'000'001});

  if (with_sessions_ && random_.Chance(0.2)) {
    session_ = random_.Pick({Session::kPre, Session::kRegular, Session::kRegular, Session::kPost, Session::kClosed});
  }
  quote.session = session_;
  const auto figure = [&]() -> std::optional<int64_t> {
    if (!random_.Chance(figures_share_)) return std::nullopt;
    return random_.Chance(0.05) ? random_.Pick<int64_t>({0, -1}) : GridPrice(symbol);
  };
  quote.previous_close_micros = figure();
  quote.day_open_micros = figure();
  AddRange(quote);
  if (with_publisher_) {
    if (random_.Chance(0.01)) {
      ++epoch_;
      for (auto& [name, each] : markets_) each.sequence = 0;
    }
    quote.publisher_epoch = epoch_;
    quote.sequence = ++market.sequence;
    // A publisher that has been replaced and does not know it yet.
    if (epoch_ > 1 && random_.Chance(0.01)) {
      quote.publisher_epoch = epoch_ - 1;
      quote.sequence += random_.Between(0, 100);
    }
  }
  market.recent.push_back(market.price_micros);
  if (market.recent.size() > kRecentMax) market.recent.erase(market.recent.begin());
  market.history.push_back(quote);
  if (market.history.size() > kHistoryMax) market.history.erase(market.history.begin());
  return quote;
}

Condition EventGenerator::RandomCondition(const std::string& symbol) {
  const Market& market = markets_[symbol];
  const auto near_price = [&] {
    return std::max<int64_t>(
        1, random_.Chance(0.5) ? GridPrice(symbol) : market.price_micros + random_.Between(-4, 4) * kHalf);
  };
  const auto percent = [&] {
    return random_.Pick<int64_t>({5'000, 10'000, 20'000, 25'000, 30'000, 50'000, 100'000, 3'333});
  };
  switch (single_kind_ ? kind_ : random_.Between(0, 3)) {
    case 0:
      return PriceTarget{random_.Pick({TargetOp::kAtOrAbove, TargetOp::kAtOrBelow, TargetOp::kCrosses}), near_price()};
    case 1: {
      PercentChange change;
      change.op = random_.Pick({PercentOp::kUp, PercentOp::kDown, PercentOp::kEither});
      change.percent_e4 = percent();
      change.reference =
          random_.Pick({PercentReference::kArming, PercentReference::kGiven, PercentReference::kPreviousClose,
                        PercentReference::kDayOpen, PercentReference::kWindow, PercentReference::kWindow,
                        PercentReference::kWindow});
      if (change.reference == PercentReference::kGiven) change.given_price_micros = near_price();
      if (change.reference == PercentReference::kWindow) {
        change.window_us =
            random_.Pick<int64_t>({1, 10 * kSecondUs, 30 * kSecondUs, 60 * kSecondUs, 60 * kSecondUs, 600 * kSecondUs});
      }
      return change;
    }
    case 2: {
      TrailingChange trailing;
      trailing.op = random_.Pick({TrailingOp::kFallsFromHigh, TrailingOp::kRisesFromLow});
      if (random_.Chance(0.5)) {
        trailing.percent_e4 = percent();
      } else {
        trailing.amount_micros = random_.Pick<int64_t>({kHalf, kUnit, kUnit, 2 * kUnit, 3 * kUnit, 5 * kUnit, 1});
      }
      if (random_.Chance(0.4)) trailing.activation_price_micros = near_price();
      return trailing;
    }
    default: {
      const int64_t low = near_price();
      return Channel{random_.Pick({ChannelOp::kEnters, ChannelOp::kLeaves}), low,
                     low + random_.Pick<int64_t>({1, kHalf, kUnit, 2 * kUnit, 5 * kUnit})};
    }
  }
}

Definition EventGenerator::RandomDefinition(const std::string& symbol) {
  for (int attempt = 0; attempt < 1000; ++attempt) {
    Definition definition;
    definition.condition = RandomCondition(symbol);
    definition.trigger_policy = random_.Pick({TriggerPolicy::kOnce, TriggerPolicy::kRepeat, TriggerPolicy::kRepeat,
                                              TriggerPolicy::kRepeat, TriggerPolicy::kOnceADay});
    if (definition.trigger_policy == TriggerPolicy::kRepeat && random_.Chance(0.6)) {
      definition.cooldown_us =
          random_.Pick<int64_t>({1, 10 * kSecondUs, 30 * kSecondUs, 60 * kSecondUs, 300 * kSecondUs, kDayUs});
    }
    if (random_.Chance(0.4)) definition.hysteresis_micros = random_.Pick<int64_t>({1, kHalf, kUnit, 2 * kUnit});
    definition.creation_policy =
        random_.Pick({CreationPolicy::kFireIfMet, CreationPolicy::kWaitForCross, CreationPolicy::kRejectIfMet});
    definition.sessions = with_sessions_ && random_.Chance(0.5) ? Sessions::kExtended : Sessions::kRegular;
    if (random_.Chance(0.15)) {
      definition.expire_time_us =
          markets_[symbol].time_us +
          random_.Pick<int64_t>({0, 1, 30 * kSecondUs, 120 * kSecondUs, 600 * kSecondUs, 2 * kDayUs});
    }
    if (!FindViolation(definition).has_value()) return definition;
    definition.hysteresis_micros = 0;
    if (!FindViolation(definition).has_value()) return definition;
  }
  std::abort();  // Every condition that is made above is valid without a hysteresis.
}

Event EventGenerator::NextChange() {
  if (ids_.empty() || (static_cast<int64_t>(ids_.size()) < alerts_max_ && random_.Chance(0.4))) {
    AlertChange change;
    change.alert_id = "a" + std::to_string(ids_.size() + 1);
    change.symbol = random_.Pick(symbols_);
    change.revision = change.armed_revision = 1;
    change.paused = random_.Chance(0.03);
    change.definition = RandomDefinition(change.symbol);
    change.splits_applied = static_cast<int64_t>(markets_[change.symbol].splits.size());
    ids_.push_back(change.alert_id);
    alerts_[change.alert_id] = Known{change, {change}};
    return change;
  }
  Known& known = alerts_[random_.Pick(ids_)];
  if (known.latest.deleted || random_.Chance(0.05))
    return random_.Pick(known.published);  // Published again, or overtaken.
  if (random_.Chance(0.01) && !markets_[known.latest.symbol].may_be_held) {
    // About an alert of another symbol, which there is none of.
    AlertChange stray = known.latest;
    stray.symbol = random_.Pick(symbols_);
    if (stray.symbol != known.latest.symbol) {
      ++stray.revision;
      return stray;
    }
  }
  AlertChange& change = known.latest;
  change.revision += random_.Chance(0.1) ? 2 : 1;
  const int64_t what = random_.Between(0, 99);
  if (what < 20) {
    change.paused = true;
  } else if (what < 55) {
    change.paused = false;
  } else if (what < 70) {
    change.paused = false;
    change.armed_revision = change.revision;
  } else if (what < 85) {
    change.definition = RandomDefinition(change.symbol);
    change.splits_applied = static_cast<int64_t>(markets_[change.symbol].splits.size());
    change.armed_revision = change.revision;
  } else if (what < 92) {
    const Definition other = RandomDefinition(change.symbol);
    if (other.creation_policy != change.definition.creation_policy || other.sessions != change.definition.sessions) {
      change.armed_revision = change.revision;
    }
    change.definition.creation_policy = other.creation_policy;
    change.definition.sessions = other.sessions;
  } else if (what < 97) {
    // An expiry moved or taken away arms nothing by itself.
    const int64_t now = markets_[change.symbol].time_us;
    change.definition.expire_time_us = std::nullopt;
    if (random_.Chance(0.7)) change.definition.expire_time_us = now + random_.Between(-5, 300) * kSecondUs;
  } else {
    change.deleted = true;
  }
  known.published.push_back(change);
  return change;
}

}  // namespace stockalert::simulation
