// The rules that a quote must satisfy to enter the log. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::fetcher {

// A time further ahead of the clock would make every later quote late.
inline constexpr absl::Duration kAheadMax = absl::Seconds(5);

enum class Refusal { kSymbol, kPrice, kEventTimeMissing, kEventTimeAhead, kSession, kSessionOfMarket };

// For a metric's label, a log line and a violation's field.
const char* NameOf(Refusal refusal);
const char* FieldOf(Refusal refusal);
const char* DescriptionOf(Refusal refusal);

// None: the quote may be published.
std::optional<Refusal> FindRefusal(const internal::v1::QuoteRecord& quote, int64_t now_us);

// Removes day figures that cannot be right but keeps the quote: all of a PRE quote and of one before 9:30 in New
// York (they may still be yesterday's),
// values that are not possible prices, a high below the price, a low above it, an open outside of low and high. Returns
// how many were removed.
int DropNonsense(internal::v1::QuoteRecord& quote);

}  // namespace stockalert::fetcher
