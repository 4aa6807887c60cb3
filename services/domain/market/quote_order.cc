#include "services/domain/market/quote_order.h"

#include <utility>

namespace stockalert::market {

Arrival QuoteOrder::RecordArrival(int64_t quote_epoch, int64_t quote_sequence, int64_t event_time_us) {
  if (quote_epoch != 0 || quote_sequence != 0) {
    if (std::pair(quote_epoch, quote_sequence) <= std::pair(publisher_epoch, sequence)) return Arrival::kRepeated;
    publisher_epoch = quote_epoch;
    sequence = quote_sequence;
  }
  if (last_event_time_us.has_value() && event_time_us < *last_event_time_us) return Arrival::kLate;
  last_event_time_us = event_time_us;
  return Arrival::kInOrder;
}

}  // namespace stockalert::market
