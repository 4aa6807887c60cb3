// A message to a user as plain data, independent of the way it is sent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "services/domain/message/split_news.h"

namespace stockalert::message {

enum class Type : uint8_t {
  kTriggered,     // One trigger of an alert.
  kThrottled,     // `folded_count` triggers that were not passed on one by one.
  kVerification,  // The check that a destination belongs to its user.
  kTest,          // A test that the user requested.
  kDestination,   // One of the user's destinations was verified or disabled.
  kDigest,        // `folded_count` notifications that were held for this destination.
  kSplit,         // The shares of a symbol that alerts of the user are on were split: `split`.
};

// How people want to read prices and times.
struct TextStyle {
  absl::TimeZone time_zone = absl::UTCTimeZone();
  // 0 to 6, rounded half to even. None: all that a price has, at least two.
  std::optional<int> price_decimals = {};
};

// Ids are UUIDs, prices micros, times Unix microseconds.
struct Notice {
  Type type = Type::kTriggered;
  std::string user_id;
  std::string notification_id;  // Of kTriggered, kThrottled, kDestination, kDigest and kSplit.
  std::string alert_id;         // Of kTriggered, as what follows up to `late`.
  int64_t trigger_number = 0;
  int64_t price_micros = 0;
  std::optional<int64_t> price_before_micros;
  std::optional<int64_t> reference_micros;
  bool late = false;          // Found afterwards, from the day's high or low.
  std::string symbol;         // Of kThrottled: empty if the triggers have several symbols.
  int64_t event_time_us = 0;  // Of kTriggered, kThrottled, kDestination, kDigest and kSplit.
  int64_t create_time_us = 0;
  int64_t sent_time_us = 0;  // Of this attempt; 0: not told.
  int64_t folded_count = 0;  // Of kThrottled and kDigest.
  std::string summary;       // "AAPL at or above 150".
  std::string note;          // The user's own words.
  std::string challenge;     // Of kVerification: what the answer must contain; or empty, and there is a code.
  std::string code;          // Of kVerification: what the user passes to VerifyDestination.
  // The alert, or one of the throttled ones, is marked as critical: sent with high priority where that is known.
  bool critical = false;
  bool rerouted = false;  // None of the destinations that the alert names existed any more; `summary` says so.
  // Of kDestination: which one; `summary` says what has become of it. Of kDigest: the one that it is sent to.
  std::string destination_id;
  bool destination_disabled = false;
  SplitNews split = {};  // Of kSplit.
  TextStyle style = {};  // Of texts for people.
  // What stands in place of the usual title and text; empty: nothing does.
  std::string own_title;
  std::string own_text;
};

}  // namespace stockalert::message
