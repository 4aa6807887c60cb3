// Bars, and what a list of them asks for, to and from messages. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "services/ticker/minute_bars.h"
#include "stockalert/internal/v1/ticker_internal.pb.h"
#include "stockalert/ticker/v1/ticker.pb.h"

namespace stockalert::ticker {

inline constexpr int kBarsPageDefault = 500;

v1::Bar ToBar(const MinuteBar& bar);
internal::v1::PriceBar ToPriceBar(const MinuteBar& bar);

// A page that ListBars asks for: the last `page_size` bars that begin in [start_us, end_us).
struct BarPage {
  int64_t start_us = 0;
  int64_t end_us = 0;
  int page_size = 0;
  std::string scope;  // What its page tokens are bound to.
};
// INVALID_ARGUMENT names each field that is wrong: page_size, page_token, start_time, end_time. `symbol` in its normal
// form.
absl::StatusOr<BarPage> ReadBarPage(const v1::ListBarsRequest& request, const std::string& symbol);
// The token of the page behind the bar.
std::string NextPageToken(const BarPage& page, const MinuteBar& last);

}  // namespace stockalert::ticker
