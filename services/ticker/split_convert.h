// Converts splits between the public API's messages and the service's own types. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "services/domain/price/split_ratio.h"
#include "services/ticker/split_store.h"
#include "stockalert/ticker/v1/ticker.pb.h"

namespace stockalert::ticker {

// How far ahead of now a split may take effect: it is declared when it does.
inline constexpr int64_t kSplitAheadMaxUs = int64_t{24} * 3600 * 1'000'000;

struct AskedSplit {
  price::SplitRatio ratio;
  int64_t effective_time_us = 0;
};

// What is asked for besides the parent. INVALID_ARGUMENT with every violation.
absl::StatusOr<AskedSplit> ReadSplit(const v1::DeclareSplitRequest& request, int64_t now_us);

v1::Split ToSplit(const SplitRow& row);

}  // namespace stockalert::ticker
