// The fold over one partition of the log: state and record in, new state and triggers out, as docs/semantics.md has it.
//
// Deterministic: no clock, no I/O, no randomness; the same records from the same state always give the same outcome,
// whatever the batching. Owned and used by one thread; different folds are independent. It never fails: what a record's
// sender got wrong is counted and skipped. (A record that cannot be decoded never gets here.)
//
// The cost of a quote grows with the alerts that it fires or changes, and the logarithm of the rest; see symbol_fold.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/domain/condition/definition.h"
#include "services/domain/fold/explain.h"
#include "services/domain/fold/fold_state.h"
#include "services/domain/fold/outcome.h"
#include "services/domain/record/event.h"

namespace stockalert::fold {

// What the fold knows of an alert.
struct AlertView {
  std::string symbol;
  condition::Definition definition;
  int64_t revision = 0;
  int64_t armed_revision = 0;
  int64_t trigger_number = 0;  // Of the last trigger; 0 before the first.
  bool paused = false;
  bool ended = false;    // A ONCE alert that has triggered.
  bool expired = false;  // An accepted quote of the symbol was at or after its expiry, and it had not ended.
  bool waiting = false;  // Its date's previous close or day open is not known.
  bool held = false;     // Its symbol is: what has come since is not in here.
};

// What the fold knows of a symbol.
struct SymbolView {
  std::optional<int64_t> last_event_time_us;
  std::optional<int64_t> last_regular_price_micros;   // The last price that REGULAR alerts count.
  std::optional<int64_t> last_extended_price_micros;  // Likewise EXTENDED ones.
  std::optional<int64_t> previous_close_micros;       // The present date's latest.
  std::optional<int64_t> day_open_micros;
  // Records that are kept because a split is suspected; none: the symbol is not held.
  std::optional<int64_t> held_records;
};

class PartitionState;

class Fold {
 public:
  Fold();
  ~Fold();
  Fold(Fold&&) noexcept;
  Fold& operator=(Fold&&) noexcept;

  // Applies the record at `place`, the one after the last applied, and appends what it made happen to `*outcome`, which
  // it does not clear: a batch may share one.
  void Apply(const record::Event& event, record::Place place, Outcome* outcome);

  const Counters& counters() const;

  // std::nullopt: the id is unknown, or deleted.
  std::optional<AlertView> FindAlert(std::string_view alert_id) const;
  std::optional<SymbolView> FindSymbol(std::string_view symbol) const;
  // What the alert waits for now (explain.h). Copies one alert, and its window where it has one.
  std::optional<Explanation> Explain(std::string_view alert_id) const;

  // Alerts known, ended ones included, deleted ones not.
  int64_t alert_count() const;
  int64_t symbol_count() const;
  // Symbols whose split is suspected, and the records that are kept for them.
  int64_t held_symbol_count() const;
  int64_t held_record_count() const;

  // Steps taken inside the index since the fold was made: what the tests of its complexity count. Not part of the
  // state.
  int64_t index_steps() const;

  // A copy of everything that later outcomes depend on, in canonical order. The cost is linear in the size of the
  // state.
  FoldState Snapshot() const;

  // The same in small parts, with records applied in between: a copy as of BeginSnapshot. A symbol that a record is
  // about to change before its turn is copied first, packed as it is where it has many alerts; the longest that a
  // caller is held up is by that copy of the symbol with the most alerts, and by the tombstones at the beginning. A
  // second BeginSnapshot drops what the first one has copied.
  void BeginSnapshot();
  // Copies about so many alerts more (a symbol counts as one), at least one; true once all are copied. Precondition: a
  // snapshot is under way.
  bool ContinueSnapshot(int64_t alerts_max);
  // The copy, in no particular order. Precondition: ContinueSnapshot said true, and nothing was begun since.
  FoldState TakeSnapshot();

  // A fold that behaves as the one that `state` was taken from, for ever after. InvalidArgument: the state contradicts
  // itself, as no fold's does; nothing of it is kept.
  static absl::StatusOr<Fold> Restore(const FoldState& state);

 private:
  std::unique_ptr<PartitionState> state_;
};

}  // namespace stockalert::fold
