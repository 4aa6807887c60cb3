// Stores the latest prices over restarts, and the bars, with the places of the log up to which they are.
//
// Several instances write the same rows: a row, and a place, only ever moves forward, and bars are merged. Thread-safe;
// calls block, bounded by the store's own timeouts; errors are those of base/error.h.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/ticker/latest_prices.h"
#include "services/ticker/minute_bars.h"

namespace stockalert::ticker {

// A split that the log has.
struct LoggedSplit {
  record::Split split;
  LogPlace place;
};

struct KeptPrices {
  std::vector<SymbolPrices> symbols;
  // By partition. Every record before it is counted in. Not beyond the suspicion of a symbol that is held.
  std::map<int32_t, int64_t> next_offsets;
  std::vector<SymbolBars> bars;          // To be saved, of some of `symbols`; none where it is loaded.
  std::vector<LoggedSplit> splits = {};  // As `bars`.
};

class PriceStore {
 public:
  virtual ~PriceStore() = default;
  virtual absl::StatusOr<KeptPrices> Load() = 0;
  // In one transaction. Symbols whose kept place is not below theirs, and partitions whose kept place is above, stay as
  // they are; bars are merged into those that are kept, and stay as they are where their symbol's kept place is above:
  // another instance has made them already. Splits are noted as in the log, and by them bars are brought forward that
  // others are merged into.
  virtual absl::Status Save(const KeptPrices& prices) = 0;
  // The last `limit` bars that begin in [start_us, end_us), newest first, in prices of after all splits.
  virtual absl::StatusOr<std::vector<MinuteBar>> LastBars(const std::string& symbol, int64_t start_us, int64_t end_us,
                                                          int limit) = 0;
  // Records that the log is this cluster's. If another cluster's was recorded, forgets all places, also those in the
  // symbols' rows (prices stay), takes all splits that were in it for lost (SplitStore), and returns true.
  virtual absl::StatusOr<bool> AdoptLog(const std::string& cluster_id) = 0;
  // Forgets the places of one partition, which will be read from its beginning, and takes its splits for lost.
  virtual absl::Status ForgetPlaces(int32_t partition) = 0;
};

}  // namespace stockalert::ticker
