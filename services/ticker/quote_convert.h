// stockalert.quote.v1.Quote to and from the log's QuoteRecord. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ticker/latest_prices.h"
#include "stockalert/internal/v1/log.pb.h"
#include "stockalert/quote/v1/quote.pb.h"
#include "stockalert/ticker/v1/ticker.pb.h"

namespace stockalert::ticker {

inline constexpr int kPublishedQuotesMax = 1000;
// How far ahead of the local clock an event time may be.
inline constexpr int64_t kEventTimeAheadMaxUs = 5'000'000;

quote::v1::Quote ToQuote(const internal::v1::QuoteRecord& record);
// `outcome` none: it was not seen.
v1::QuoteOutcome ToQuoteOutcome(const std::optional<QuoteOutcome>& outcome);

// Records without source, epoch and sequence, which are the publisher's to set; a session of UNSPECIFIED stays so.
// INVALID_ARGUMENT names every field that is wrong, as in "quotes[3].price", up to a bound.
absl::StatusOr<std::vector<internal::v1::QuoteRecord>> FromQuotes(
    const google::protobuf::RepeatedPtrField<quote::v1::Quote>& quotes, int64_t now_us);

}  // namespace stockalert::ticker
