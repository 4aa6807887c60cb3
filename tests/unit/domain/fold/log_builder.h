// A log of one symbol, written as it reads: prices in whole units, times in seconds, and what each record made happen.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "services/domain/fold/fold.h"

namespace stockalert::fold {

inline constexpr int64_t kUnit = 1'000'000;
inline constexpr int64_t kSecondUs = 1'000'000;
// 2025-03-06 10:00 in New York, a Thursday.
inline constexpr int64_t kOpenUs = int64_t{1741273200} * kSecondUs;
inline constexpr int64_t kDayUs = int64_t{86400} * kSecondUs;

class LogBuilder {
 public:
  Fold fold;
  Outcome outcome;  // Of the last record.

  LogBuilder& At(int64_t time_us) {
    time_us_ = time_us;
    return *this;
  }

  // A regular quote a second after the last, unless At was called in between; gives "id#number" of its triggers.
  std::vector<std::string> Price(double units, market::Session session = market::Session::kRegular,
                                 std::optional<int64_t> previous_close_units = std::nullopt,
                                 std::optional<int64_t> day_open_units = std::nullopt) {
    record::Quote quote;
    quote.symbol = "AAPL";
    quote.price_micros = static_cast<int64_t>(units * kUnit + (units < 0 ? -0.5 : 0.5));
    quote.event_time_us = time_us_;
    quote.session = session;
    if (previous_close_units.has_value()) quote.previous_close_micros = *previous_close_units * kUnit;
    if (day_open_units.has_value()) quote.day_open_micros = *day_open_units * kUnit;
    time_us_ += kSecondUs;
    return Send(quote);
  }

  std::vector<std::string> Send(const record::Event& event) {
    outcome = Outcome{};
    ++place_.offset;
    fold.Apply(event, place_, &outcome);
    std::vector<std::string> fired;
    fired.reserve(outcome.triggers.size());
    for (const record::Trigger& trigger : outcome.triggers) {
      fired.push_back(trigger.alert_id + "#" + std::to_string(trigger.trigger_number));
    }
    return fired;
  }

  void Create(const std::string& id, const condition::Definition& definition, bool paused = false) {
    record::AlertChange change;
    change.alert_id = id;
    change.symbol = "AAPL";
    change.revision = change.armed_revision = 1;
    change.paused = paused;
    change.definition = definition;
    changes_[id] = change;
    Send(change);
  }

  // The alert's next revision, as `edit` leaves it.
  template <typename Edit>
  void Change(const std::string& id, Edit edit) {
    record::AlertChange& change = changes_[id];
    ++change.revision;
    edit(change);
    Send(change);
  }

  void Pause(const std::string& id) {
    Change(id, [](record::AlertChange& change) { change.paused = true; });
  }
  void Resume(const std::string& id) {
    Change(id, [](record::AlertChange& change) { change.paused = false; });
  }
  void Rearm(const std::string& id) {
    Change(id, [](record::AlertChange& change) { change.armed_revision = change.revision; });
  }
  void Delete(const std::string& id) {
    Change(id, [](record::AlertChange& change) { change.deleted = true; });
  }

  const record::AlertChange& Last(const std::string& id) { return changes_[id]; }
  record::Place& place() { return place_; }
  int64_t time_us() const { return time_us_; }

 private:
  std::map<std::string, record::AlertChange> changes_;
  record::Place place_;
  int64_t time_us_ = kOpenUs;
};

inline condition::Definition Of(const condition::Condition& condition,
                                condition::TriggerPolicy policy = condition::TriggerPolicy::kRepeat,
                                int64_t cooldown_us = 0) {
  condition::Definition definition;
  definition.condition = condition;
  definition.trigger_policy = policy;
  definition.cooldown_us = cooldown_us;
  return definition;
}

inline condition::PriceTarget Above(int64_t units) { return {condition::TargetOp::kAtOrAbove, units * kUnit}; }
inline condition::PriceTarget Below(int64_t units) { return {condition::TargetOp::kAtOrBelow, units * kUnit}; }
inline condition::PriceTarget Crosses(int64_t units) { return {condition::TargetOp::kCrosses, units * kUnit}; }
inline condition::PercentChange Percent(condition::PercentOp op, int64_t percent, condition::PercentReference reference,
                                        int64_t given_units = 0, int64_t window_us = 0) {
  return {op, percent * 10'000, reference, given_units * kUnit, window_us};
}
inline condition::TrailingChange Falls(int64_t percent, std::optional<int64_t> activation_units = std::nullopt) {
  return {condition::TrailingOp::kFallsFromHigh, 0, percent * 10'000,
          activation_units.has_value() ? std::optional(*activation_units * kUnit) : std::nullopt};
}
inline condition::Channel Enters(int64_t low, int64_t high) {
  return {condition::ChannelOp::kEnters, low * kUnit, high * kUnit};
}
inline condition::Channel Leaves(int64_t low, int64_t high) {
  return {condition::ChannelOp::kLeaves, low * kUnit, high * kUnit};
}

}  // namespace stockalert::fold
