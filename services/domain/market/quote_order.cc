#include "services/domain/market/quote_order.h"

#include <utility>

namespace stockalert::market {

Arrival QuoteOrder::RecordArrival(int64_t quote_epoch, int64_t quote_sequence, int64_t event_time_us) {
  if (!RecordOther(quote_epoch, quote_sequence)) return Arrival::kRepeated;
  if (last_event_time_us.has_value() && event_time_us < *last_event_time_us) return Arrival::kLate;
  last_event_time_us = event_time_us;
  return Arrival::kInOrder;
}

bool QuoteOrder::IsNew(int64_t record_epoch, int64_t record_sequence) const {
  const std::pair record(record_epoch, record_sequence);
  return record == std::pair<int64_t, int64_t>(0, 0) || record > std::pair(publisher_epoch, sequence);
}

bool QuoteOrder::RecordOther(int64_t record_epoch, int64_t record_sequence) {
  if (!IsNew(record_epoch, record_sequence)) return false;
  if (record_epoch == 0 && record_sequence == 0) return true;
  publisher_epoch = record_epoch;
  sequence = record_sequence;
  return true;
}

}  // namespace stockalert::market
