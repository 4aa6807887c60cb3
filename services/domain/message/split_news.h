// What a user is told of a split. A plain value.
#pragma once

#include <cstdint>

#include "services/domain/price/split_ratio.h"

namespace stockalert::message {

struct SplitNews {
  int64_t number = 0;  // Among the symbol's splits, from 1.
  price::SplitRatio ratio;
  int64_t effective_time_us = 0;  // At the exchange, as it was declared; 0: not known.
  int64_t alert_count = 0;        // Of the user's alerts on the symbol, those that are in new prices now.
  bool operator==(const SplitNews&) const = default;
};

}  // namespace stockalert::message
