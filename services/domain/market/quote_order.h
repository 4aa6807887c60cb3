// What makes a quote late or repeated, as docs/semantics.md has it. Plain values, no I/O; thread-safe as any value is.
#pragma once

#include <cstdint>
#include <optional>

namespace stockalert::market {

enum class Arrival : uint8_t {
  kInOrder,
  kRepeated,  // Its epoch and sequence did not rise.
  kLate,      // Its event time is before that of the last one in order.
};

// How far a symbol's quotes have come.
struct QuoteOrder {
  // The publisher's, of the last record that had them; both zero before that.
  int64_t publisher_epoch = 0;
  int64_t sequence = 0;
  std::optional<int64_t> last_event_time_us;

  // Says how the quote arrives and remembers it. A quote whose epoch and sequence are both zero has no publisher to be
  // deduplicated by, so it is never kRepeated. A late quote's epoch and sequence count as seen, too.
  Arrival RecordArrival(int64_t quote_epoch, int64_t quote_sequence, int64_t event_time_us);

  // Whether a record of the symbol's publisher is a new one: both zero, or above those of the last one.
  bool IsNew(int64_t record_epoch, int64_t record_sequence) const;
  // The same of one that is no quote; where it is new, remembers it.
  bool RecordOther(int64_t record_epoch, int64_t record_sequence);

  // The symbol's history begins anew, its publisher's does not.
  void Restart() { last_event_time_us.reset(); }
};

}  // namespace stockalert::market
