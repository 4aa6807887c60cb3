// The errors that stores of tickers and prices answer with. Pure and thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace stockalert::ticker {

absl::Status TickerNotFound(std::string_view symbol);
absl::Status TickerHeld(std::string_view symbol);
// For a caller that registers the ticker.
absl::Status TickerBeingDeleted(std::string_view symbol);
// For a caller that deletes the ticker, too.
absl::Status TickerDeletedByAnother(std::string_view symbol);
absl::Status PublisherChanged();

}  // namespace stockalert::ticker
