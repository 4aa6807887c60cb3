// Random records of a few symbols that meet each other's edges: few prices, short windows, pauses, corrections, dates,
// restarts, suspected splits.
#pragma once

#include <map>
#include <random>
#include <string>
#include <vector>

#include "services/domain/record/event.h"

namespace stockalert::fold {

class RandomLog {
 public:
  explicit RandomLog(uint64_t seed) : random_(seed) {}

  record::Event Next() {
    const int64_t what = UniformBelow(100);
    if (what < 58) return NextQuote();
    if (what < 60) return record::Restart{Symbol()};
    if (what < 61) return NextSplit();
    if (what < 62) return record::SplitSuspected{Symbol(), OneIn(2) ? 1 : 0, OneIn(2) ? ++sequence_ : 0};
    if (what < 64) return record::SplitDismissed{Symbol(), OneIn(2) ? 2 : 0, OneIn(2) ? ++sequence_ : 0};
    if (what < 72 || changes_.empty()) return NextAlert();
    return NextChange();
  }

 private:
  static constexpr int64_t kHalf = 500'000;
  static constexpr int64_t kSecond = 1'000'000;

  int64_t UniformBelow(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }
  bool OneIn(int64_t n) { return UniformBelow(n) == 0; }
  int64_t Price() { return (190 + UniformBelow(21)) * kHalf; }
  std::string Symbol() { return OneIn(3) ? "MSFT" : "AAPL"; }

  record::Quote NextQuote() {
    static constexpr int64_t kSteps[] = {0, 0, kSecond, kSecond, 5 * kSecond, 30 * kSecond};
    now_us_ += OneIn(60) ? 86400 * kSecond : kSteps[UniformBelow(6)];
    record::Quote quote;
    quote.symbol = Symbol();
    quote.price_micros = OneIn(40) ? 0 : Price();
    quote.event_time_us = OneIn(25) ? now_us_ - UniformBelow(3) * kSecond : now_us_;
    quote.session = OneIn(2) ? market::Session::kRegular : static_cast<market::Session>(UniformBelow(4));
    if (OneIn(3)) quote.previous_close_micros = Price();
    if (OneIn(3)) quote.day_open_micros = OneIn(9) ? 0 : Price();
    if (OneIn(3)) quote.day_high_micros = Price();
    if (OneIn(3)) quote.day_low_micros = Price();
    if (OneIn(20)) quote.rules = record::Rules::kFirst;
    if (OneIn(2)) {
      quote.publisher_epoch = 1 + UniformBelow(2);
      quote.sequence = OneIn(9) ? sequence_ : ++sequence_;
    }
    return quote;
  }

  // There and back, so that prices go on meeting.
  record::Split NextSplit() {
    record::Split split;
    split.symbol = Symbol();
    split.number = ++splits_[split.symbol];
    split.split_id = "split-" + std::to_string(split.number);
    split.ratio = split.number % 2 == 1 ? price::SplitRatio{2, 1} : price::SplitRatio{1, 2};
    return split;
  }

  condition::Definition NextDefinition() {
    condition::Definition definition;
    switch (UniformBelow(6)) {
      case 0:
      case 1:
        definition.condition = condition::PriceTarget{static_cast<condition::TargetOp>(UniformBelow(3)), Price()};
        break;
      case 2: {
        const int64_t low = Price();
        definition.condition = condition::Channel{static_cast<condition::ChannelOp>(UniformBelow(2)), low,
                                                  low + (4 + UniformBelow(8)) * kHalf};
        break;
      }
      case 3: {
        condition::TrailingChange trailing;
        trailing.op = static_cast<condition::TrailingOp>(UniformBelow(2));
        if (OneIn(2)) {
          trailing.amount_micros = (1 + UniformBelow(6)) * kHalf;
        } else {
          trailing.percent_e4 = (1 + UniformBelow(6)) * 5000;
        }
        if (OneIn(3)) trailing.activation_price_micros = Price();
        definition.condition = trailing;
        break;
      }
      default: {
        condition::PercentChange change;
        change.op = static_cast<condition::PercentOp>(UniformBelow(3));
        change.percent_e4 = (1 + UniformBelow(8)) * 5000;
        change.reference = static_cast<condition::PercentReference>(OneIn(3) ? 4 : UniformBelow(5));
        if (change.reference == condition::PercentReference::kGiven) change.given_price_micros = Price();
        if (change.reference == condition::PercentReference::kWindow)
          change.window_us = (1 + UniformBelow(40)) * kSecond;
        definition.condition = change;
      }
    }
    definition.trigger_policy = OneIn(4) ? condition::TriggerPolicy::kOnce : condition::TriggerPolicy::kRepeat;
    if (OneIn(5)) definition.trigger_policy = condition::TriggerPolicy::kOnceADay;
    if (definition.trigger_policy == condition::TriggerPolicy::kRepeat && OneIn(2)) {
      definition.cooldown_us = UniformBelow(20) * kSecond;
    }
    if (definition.condition.index() == 0 || definition.condition.index() == 3) {
      if (OneIn(3)) definition.hysteresis_micros = kHalf * (1 + UniformBelow(2));
    }
    definition.creation_policy = static_cast<condition::CreationPolicy>(UniformBelow(2));
    definition.sessions = static_cast<condition::Sessions>(UniformBelow(2));
    if (OneIn(5)) definition.expire_time_us = now_us_ + (UniformBelow(60) - 5) * kSecond;
    return definition;
  }

  record::AlertChange NextAlert() {
    record::AlertChange change;
    // A UUID, as what is held is checked on its way through a checkpoint.
    const std::string number = std::to_string(changes_.size());
    change.alert_id = "a0000000-0000-4000-8000-" + std::string(12 - number.size(), '0') + number;
    change.symbol = Symbol();
    change.revision = change.armed_revision = 1;
    change.paused = OneIn(6);
    change.definition = NextDefinition();
    change.splits_applied = OneIn(4) ? 0 : splits_[change.symbol];
    changes_.push_back(change);
    return change;
  }

  record::AlertChange NextChange() {
    record::AlertChange& change = changes_[static_cast<size_t>(UniformBelow(static_cast<int64_t>(changes_.size())))];
    const int64_t what = UniformBelow(10);
    if (what > 0) ++change.revision;  // Otherwise as it was published before.
    if (what < 6) {
      change.paused = !change.paused;
    } else if (what < 8) {
      change.armed_revision = change.revision;
      change.definition = NextDefinition();
    } else if (what < 9) {
      change.definition.expire_time_us.reset();
      if (OneIn(2)) change.definition.expire_time_us = now_us_ + (UniformBelow(60) - 5) * kSecond;
    } else if (OneIn(2)) {
      change.deleted = true;
    }
    if (change.deleted) change.definition = {};  // As it is read from the log.
    return change;
  }

  std::mt19937_64 random_;
  std::vector<record::AlertChange> changes_;
  int64_t now_us_ = int64_t{1741273200} * kSecond;
  int64_t sequence_ = 0;
  std::map<std::string, int64_t> splits_;
};

}  // namespace stockalert::fold
