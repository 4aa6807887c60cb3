// Each symbol's latest prices by the log: applies the rules of docs/semantics.md for which quotes are accepted, and
// what a restart or a new date clears.
//
// While a split of a symbol is suspected (a hold), its prices are those of before the suspicion. Which of the quotes
// since are accepted does not depend on what settles it, so these are not kept one by one: beside the prices shown is
// what they will be after a dismissal, and what is known from the records since alone. After a split, what only the
// former knows is from before, and is scaled. So a hold takes no more memory the longer it lasts.
//
// Pure: no clock, no I/O; records in, prices out. Not thread-safe (PriceBoard guards it). Cannot fail: a quote that
// must not count is dropped, and the result says so.
#pragma once

#include <cstdint>
#include <memory>
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

// A split of the symbol is suspected.
struct SymbolHold {
  int64_t start_time_us = 0;  // When the log got the suspicion.
  // Quotes since that are accepted once it is settled. Not stored: the log is read again from the suspicion on.
  int64_t kept_quotes = 0;

  bool operator==(const SymbolHold&) const = default;
};

// One symbol. Prices are micros.
struct SymbolPrices {
  std::string symbol;
  int64_t publisher_epoch = 0;
  int64_t sequence = 0;
  // The last accepted quote since the last restart, without day values that are not possible prices. Its epoch,
  // sequence and rules are not kept.
  std::optional<internal::v1::QuoteRecord> latest;
  std::optional<int64_t> last_event_time_us;  // Of `latest`: LatestPrices' own, that nobody else sets.
  std::optional<int64_t> regular_price_micros;
  std::optional<int64_t> extended_price_micros;
  // The latest known of the date of `latest`.
  std::optional<int64_t> previous_close_micros;
  std::optional<int64_t> day_open_micros;
  // The number of the symbol's last split; all prices here are those of after it. Restarts forget none.
  int64_t split_number = 0;
  // While it is held, all here is as at the suspicion, `offset` is its place, and epoch and sequence count it as seen.
  std::optional<SymbolHold> hold;
  // The last record that is included here; -1: none of this log.
  int32_t partition = 0;
  int64_t offset = -1;
};

enum class QuoteVerdict {
  kAccepted,
  kRefused,   // No price could be so.
  kRepeated,  // Its epoch and sequence did not rise, or its place in the log has been counted in.
  kLate,      // Its event time is before that of the last accepted one.
  kHeld,      // It is accepted once the symbol's hold is settled.
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
  // Of a held symbol, repeated and late ones are known at once; the others are kHeld.
  QuoteVerdict ApplyQuote(const internal::v1::QuoteRecord& quote, LogPlace place);
  void ApplyRestart(const std::string& symbol, LogPlace place);
  // Scales what is from before it, or from before the suspicion that it settles. False where the split, or its place,
  // is known.
  bool ApplySplit(const record::Split& split, LogPlace place);
  // False where the symbol is held already, or the suspicion, or its place, is known.
  bool ApplySuspicion(const record::SplitSuspected& suspected, LogPlace place, int64_t log_time_us);
  // False where the symbol is not held, or the dismissal is of an earlier suspicion.
  bool ApplyDismissal(const record::SplitDismissed& dismissed, LogPlace place);

  // Null where the log has said nothing.
  const SymbolPrices* Find(const std::string& symbol) const;
  // The same, of a held symbol as after a dismissal: all of its records that were read are in there.
  const SymbolPrices* FindRead(const std::string& symbol) const;
  size_t size() const { return symbols_.size(); }
  size_t held_count() const { return held_.size(); }
  // From where on the partition must be read again, for what came of held symbols is not stored; none where none is
  // held.
  std::optional<int64_t> ReadAgainFrom(int32_t partition) const;
  // The highest epoch that any quote had; 0 where none had one.
  int64_t highest_epoch() const { return highest_epoch_; }

  // Replaces what is known of these symbols by what was stored. The log is to be read from ReadAgainFrom on at least.
  void Load(const std::vector<SymbolPrices>& kept);
  // The partition will be read from the beginning: forgets which of its records are included. Quotes that come again
  // are known by their epoch and sequence, and restarts by the quotes after them. What is held stays held.
  void ForgetPlaces(int32_t partition);

  // The symbols that changed since the last call, by symbol.
  std::vector<SymbolPrices> TakeChanged();
  // These could not be stored: the next TakeChanged returns them again, in their state at that time.
  void PutBackChanged(const std::vector<SymbolPrices>& changed);

 private:
  // What is known of a symbol, by some of its records.
  struct State {
    SymbolPrices prices;
    market::DateFigures figures;  // Of the date of `prices.latest`.
    // Records that were included may come again; nothing new has come yet.
    bool read_again = false;
    // Of the symbol, where a restart has come since: if a quote shows that it came again, it has forgotten nothing.
    std::optional<SymbolPrices> before_restart;

    QuoteVerdict Take(const internal::v1::QuoteRecord& quote, LogPlace place);
    void Restart(LogPlace place);
    void LearnKeptFigures();
  };
  // The records since a suspicion: after a dismissal, and without anything from before it but the order of quotes.
  struct Since {
    State dismissed;
    State alone;
  };
  struct Entry {
    State shown;
    std::unique_ptr<Since> since;  // While the symbol is held.

    // Of all records that were read.
    State& read() { return since ? since->dismissed : shown; }
  };

  Entry& EntryOf(const std::string& symbol);
  void BeginSince(Entry& entry);
  void EndHold(const std::string& symbol, Entry& entry, LogPlace place);
  void NoteEpoch(int64_t epoch);

  std::unordered_map<std::string, Entry> symbols_;
  int64_t highest_epoch_ = 0;
  std::unordered_set<std::string> changed_;
  std::unordered_set<std::string> held_;
};

}  // namespace stockalert::ticker
