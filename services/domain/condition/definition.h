// What an alert watches for: its condition and policies, as plain data in exact units. docs/semantics.md says what each
// means.
//
// The alert service validates and stores a Definition, the log carries it, the evaluator folds it: one type for all
// three. Plain values, no I/O; thread-safe as any const value is.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "absl/status/status.h"

namespace stockalert::condition {

enum class TargetOp : uint8_t { kAtOrAbove, kAtOrBelow, kCrosses };
enum class PercentOp : uint8_t { kUp, kDown, kEither };
enum class PercentReference : uint8_t { kArming, kPreviousClose, kDayOpen, kGiven, kWindow };
enum class TrailingOp : uint8_t { kFallsFromHigh, kRisesFromLow };
enum class ChannelOp : uint8_t { kEnters, kLeaves };
enum class TriggerPolicy : uint8_t { kOnce, kRepeat, kOnceADay };
enum class CreationPolicy : uint8_t { kFireIfMet, kWaitForCross, kRejectIfMet };
// Which quotes count: REGULAR alone, or PRE and POST too.
enum class Sessions : uint8_t { kRegular, kExtended };

struct PriceTarget {
  TargetOp op = TargetOp::kAtOrAbove;
  int64_t price_micros = 0;
  bool operator==(const PriceTarget&) const = default;
};

struct PercentChange {
  PercentOp op = PercentOp::kUp;
  int64_t percent_e4 = 0;
  PercentReference reference = PercentReference::kArming;
  int64_t given_price_micros = 0;  // Only for kGiven.
  int64_t window_us = 0;           // Only for kWindow.
  bool operator==(const PercentChange&) const = default;
};

struct TrailingChange {
  TrailingOp op = TrailingOp::kFallsFromHigh;
  // Exactly one of the two is above zero.
  int64_t amount_micros = 0;
  int64_t percent_e4 = 0;
  std::optional<int64_t> activation_price_micros;
  bool operator==(const TrailingChange&) const = default;
};

struct Channel {
  ChannelOp op = ChannelOp::kEnters;
  int64_t low_micros = 0;
  int64_t high_micros = 0;
  bool operator==(const Channel&) const = default;
};

using Condition = std::variant<PriceTarget, PercentChange, TrailingChange, Channel>;

struct Definition {
  Condition condition;
  TriggerPolicy trigger_policy = TriggerPolicy::kOnce;
  int64_t cooldown_us = 0;
  int64_t hysteresis_micros = 0;
  CreationPolicy creation_policy = CreationPolicy::kFireIfMet;
  Sessions sessions = Sessions::kRegular;
  std::optional<int64_t> expire_time_us;  // Event time, µs since 1970 UTC.
  bool operator==(const Definition&) const = default;

  // True where going from this definition to `other` arms the alert anew: anything but the expiry differs.
  bool ArmsWhenChangedTo(const Definition& other) const;
};

// One field of a definition that breaks a rule: `field` as the public API spells it ("condition.price_target.price").
struct Violation {
  const char* field;
  const char* description;
};

// The rules of docs/semantics.md that need no clock and no market: std::nullopt where the definition keeps them all.
// An expiry that is not in the future is the caller's to refuse, who has the clock.
std::optional<Violation> FindViolation(const Definition& definition);
// Likewise of a definition that may have been through splits, whose rounding may have brought bounds together.
std::optional<Violation> FindViolationAfterSplits(const Definition& definition);

}  // namespace stockalert::condition
