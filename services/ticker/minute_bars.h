// A symbol's prices by the minute of their event time, made of the accepted quotes that count (PRE, REGULAR, POST).
//
// Pure: no clock, no I/O. Merging is a union: the order in which quotes come, quotes that come twice, and how they are
// split between those who merge change nothing. So whoever reads the log again, or reads it beside others, may merge
// what it made into what is there. Not thread-safe (PriceBoard guards UnsavedBars).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "services/domain/price/split_ratio.h"
#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::ticker {

inline constexpr int64_t kMinuteUs = 60'000'000;

// The quote that opens or closes a bar. Quotes are ordered by event time, and those of one time by their publisher:
// within a symbol's history that is the order of the log, whichever log they are read from.
struct BarEdge {
  int64_t price_micros = 0;
  int64_t event_time_us = 0;
  int64_t publisher_epoch = 0;
  int64_t sequence = 0;

  bool operator==(const BarEdge&) const = default;
};

struct MinuteBar {
  int64_t start_us = 0;  // The beginning of the minute.
  BarEdge open;
  int64_t high_micros = 0;
  int64_t low_micros = 0;
  BarEdge close;

  bool operator==(const MinuteBar&) const = default;
};

// The beginning of the minute that a time is in.
int64_t MinuteOf(int64_t event_time_us);
// The bar of one quote.
MinuteBar BarOf(const internal::v1::QuoteRecord& quote);
// Both are bars of one minute.
void MergeBar(const MinuteBar& from, MinuteBar& into);

// As after a split.
void ScaleBar(price::SplitRatio ratio, MinuteBar& bar);

// What has to be stored of one symbol.
struct SymbolBars {
  std::string symbol;
  // The symbol's history began anew: first, the stored bars from this minute on are forgotten. `bars` has all that were
  // made since.
  std::optional<int64_t> forget_from_us;
  std::vector<MinuteBar> bars;  // By minute.
  size_t splits_seen = 0;       // How many of the symbol's splits UnsavedBars had been told of.

  bool operator==(const SymbolBars&) const = default;
};

// The bars that changed since they were last taken.
class UnsavedBars {
 public:
  // The quote is the first one of a new history of its symbol. What was before it stays as far as it is of earlier
  // minutes.
  void BeginHistory(const std::string& symbol, int64_t event_time_us);
  void Add(const internal::v1::QuoteRecord& quote);
  // What another one made of later records of the symbol.
  void Append(const SymbolBars& later);
  // Removes and returns those of one symbol.
  SymbolBars TakeOf(const std::string& symbol);
  // How many bars of the symbol there are.
  size_t SizeOf(const std::string& symbol) const;
  // A split of the symbol that was not known: scales the bars, and those that are put back later.
  void ApplySplit(const std::string& symbol, price::SplitRatio ratio);

  // How many bars there are.
  size_t size() const { return size_; }
  // Removes and returns all, by symbol.
  std::vector<SymbolBars> Take();
  // What was taken could not be stored: it is taken again, with what has come since.
  void PutBack(const std::vector<SymbolBars>& taken);

 private:
  struct Unsaved {
    std::optional<int64_t> forget_from_us;
    std::map<int64_t, MinuteBar> bars;
  };
  void Merge(const MinuteBar& bar, Unsaved& into);

  std::unordered_map<std::string, Unsaved> symbols_;
  std::unordered_map<std::string, std::vector<price::SplitRatio>> splits_;  // Of this process's time: few.
  size_t size_ = 0;
};

}  // namespace stockalert::ticker
