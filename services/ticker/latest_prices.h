// Each symbol's latest prices by the log: applies the rules of docs/semantics.md for which quotes are accepted, and
// what a restart or a new date clears.
//
// Pure: no clock, no I/O; records in, prices out. Not thread-safe (PriceBoard guards it). Cannot fail: a quote that
// must not count is dropped, and the result says so.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "services/domain/market/date_figures.h"
#include "services/domain/record/event.h"
#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::ticker {

// One symbol. Prices are micros.
struct SymbolPrices {
  std::string symbol;
  int64_t publisher_epoch = 0;
  int64_t sequence = 0;
  // The last accepted quote since the last restart, without day values that are not possible prices. Its epoch,
  // sequence and rules are not kept.
  std::optional<internal::v1::QuoteRecord> latest;
  std::optional<int64_t> regular_price_micros;
  std::optional<int64_t> extended_price_micros;
  // The latest known of the date of `latest`.
  std::optional<int64_t> previous_close_micros;
  std::optional<int64_t> day_open_micros;
  // The number of the symbol's last split; all prices here are those of after it. Restarts forget none.
  int64_t split_number = 0;
  // The last record that is included here; -1: none of this log.
  int32_t partition = 0;
  int64_t offset = -1;
};

enum class QuoteVerdict {
  kAccepted,
  kRefused,   // No price could be so.
  kRepeated,  // Its epoch and sequence did not rise, or its place in the log has been counted in.
  kLate,      // Its event time is before that of the last accepted one.
};

// What became of a quote.
struct QuoteOutcome {
  QuoteVerdict verdict = QuoteVerdict::kAccepted;
  internal::v1::TradingSession session = internal::v1::TRADING_SESSION_UNSPECIFIED;
};

// A place of the log.
struct LogPlace {
  int32_t partition = 0;
  int64_t offset = 0;
};

class LatestPrices {
 public:
  QuoteVerdict ApplyQuote(const internal::v1::QuoteRecord& quote, LogPlace place);
  void ApplyRestart(const std::string& symbol, LogPlace place);
  // Scales what is from before it. False where the split, or its place, is known.
  bool ApplySplit(const record::Split& split, LogPlace place);

  // Null where the log has said nothing.
  const SymbolPrices* Find(const std::string& symbol) const;
  size_t size() const { return symbols_.size(); }
  // The highest epoch that any quote had; 0 where none had one.
  int64_t highest_epoch() const { return highest_epoch_; }

  // Replaces what is known of these symbols by what was stored.
  void Load(const std::vector<SymbolPrices>& kept);
  // The partition will be read from the beginning: forgets which of its records are included. Quotes that come again
  // are known by their epoch and sequence, and restarts by the quotes after them.
  void ForgetPlaces(int32_t partition);

  // The symbols that changed since the last call, by symbol.
  std::vector<SymbolPrices> TakeChanged();
  // These could not be stored: the next TakeChanged returns them again, in their state at that time.
  void PutBackChanged(const std::vector<SymbolPrices>& changed);

 private:
  struct Entry {
    SymbolPrices prices;
    market::DateFigures figures;  // Of the date of `latest`.
    // Records that were included may come again; nothing new has come yet.
    bool read_again = false;
    // Of the symbol, where a restart has come since: if a quote shows that it came again, it has forgotten nothing.
    std::optional<SymbolPrices> before_restart;
  };

  static void LearnKeptFigures(Entry& entry);
  static bool Scale(const record::Split& split, SymbolPrices& prices);

  void NoteEpoch(int64_t epoch);

  std::unordered_map<std::string, Entry> symbols_;
  int64_t highest_epoch_ = 0;
  std::unordered_set<std::string> changed_;
};

}  // namespace stockalert::ticker
