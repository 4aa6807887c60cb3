#include "services/domain/fold/fold.h"

#include <algorithm>
#include <array>
#include <deque>
#include <iterator>
#include <tuple>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/abseil.h"
#include "services/domain/fold/alert_directory.h"
#include "services/domain/fold/alert_id.h"
#include "services/domain/fold/symbol_fold.h"
#include "services/domain/price/decimal.h"

namespace stockalert::fold {
namespace {

constexpr int64_t kTombstoneLifeUs = int64_t{7} * 24 * 3600 * 1'000'000;
// Tombstones forgotten with one record at most, so that a mass deletion a week ago holds up none.
constexpr int kForgetPerRecord = 64;

struct SnapshotUnderWay {
  FoldState state;
  size_t symbols = 0;  // As many of the first ones are in it.
  size_t next = 0;
};

}  // namespace

class PartitionState {
 public:
  void Apply(const record::Event& event, record::Place place, Outcome* outcome) {
    log_time_us_ = std::max(log_time_us_, place.log_time_us);
    ForgetTombstones();
    std::visit([&](const auto& record) { ApplyRecord(record, place, outcome); }, event);
  }

  const Counters& counters() const { return counters_; }

  std::optional<AlertView> FindAlert(std::string_view id) const {
    const std::optional<AlertPlace> found = alerts_.Find(AlertId(id));
    if (!found.has_value()) return std::nullopt;
    return SymbolAt(found->symbol).ViewOf(found->slot);
  }

  std::optional<SymbolView> FindSymbol(std::string_view symbol) const {
    const auto found = symbols_.find(base::ToAbsl(symbol));
    if (found == symbols_.end()) return std::nullopt;
    return found->second->View();
  }

  std::optional<Explanation> Explain(std::string_view id) const {
    const std::optional<AlertPlace> found = alerts_.Find(AlertId(id));
    if (!found.has_value()) return std::nullopt;
    return SymbolAt(found->symbol).Explain(found->slot);
  }

  int64_t alert_count() const { return static_cast<int64_t>(alerts_.size()); }
  int64_t symbol_count() const { return static_cast<int64_t>(symbols_.size()); }

  int64_t held_symbol_count() const { return held_symbols_; }
  int64_t held_record_count() const { return held_records_; }

  int64_t index_steps() const {
    int64_t steps = 0;
    for (const auto& [name, symbol] : symbols_) steps += symbol->index_steps();
    return steps;
  }

  FoldState Snapshot() const {
    FoldState state;
    state.symbols.reserve(symbols_.size());
    state.alerts.reserve(alerts_.size());
    for (const auto& [name, symbol] : symbols_) {
      symbol->CatchUp();
      state.symbols.push_back(symbol->Save());
      symbol->SaveAlerts(&state.alerts);
    }
    SaveRest(&state);
    PutInOrder(&state);
    return state;
  }

  void BeginSnapshot() {
    ++snapshot_number_;
    snapshot_.emplace();
    snapshot_->state.symbols.reserve(symbols_.size());
    snapshot_->state.alerts.reserve(alerts_.size());
    snapshot_->symbols = symbols_.size();
    SaveRest(&snapshot_->state);
  }

  bool ContinueSnapshot(int64_t alerts_max) {
    const auto copied = [this] { return snapshot_->state.alerts.size() + snapshot_->state.symbols.size(); };
    const size_t enough = copied() + static_cast<size_t>(alerts_max);
    while (snapshot_->next < snapshot_->symbols) {
      const size_t next = snapshot_->next++;
      CopyFirst(SymbolAt(next));
      if (copied() >= enough) break;
    }
    return snapshot_->next == snapshot_->symbols;
  }

  FoldState TakeSnapshot() {
    FoldState state = std::move(snapshot_->state);
    snapshot_.reset();
    return state;
  }

  absl::Status Load(const FoldState& state) {
    symbols_.reserve(state.symbols.size());
    alerts_.Reserve(state.alerts.size());
    for (const SavedSymbol& saved : state.symbols) {
      auto [entry, added] = symbols_.try_emplace(saved.symbol);
      if (!added) return absl::InvalidArgumentError(absl::StrCat("symbol ", saved.symbol, " is there twice"));
      entry->second = &MakeSymbol(saved.symbol);
      if (absl::Status status = entry->second->Load(saved); !status.ok()) return status;
      if (saved.held_records.has_value()) {
        if (!std::all_of(saved.held_records->begin(), saved.held_records->end(),
                         [&](const record::Event& event) { return MayBeHeld(event, saved.symbol); })) {
          return absl::InvalidArgumentError(absl::StrCat("symbol ", saved.symbol, " holds what is not its own"));
        }
        ++held_symbols_;
        held_records_ += static_cast<int64_t>(saved.held_records->size());
      }
    }
    for (const SavedAlert& saved : state.alerts) {
      const auto symbol = symbols_.find(saved.symbol);
      if (symbol == symbols_.end()) {
        return absl::InvalidArgumentError(absl::StrCat("alert ", saved.id, " has no symbol"));
      }
      const absl::StatusOr<Slot> slot = symbol->second->LoadAlert(saved);
      if (!slot.ok()) return slot.status();
      if (!alerts_.Insert({symbol->second->number(), *slot})) {
        return absl::InvalidArgumentError(absl::StrCat("alert ", saved.id, " is there twice"));
      }
    }
    for (const SavedTombstone& saved : state.tombstones) {
      const AlertId id(saved.id);
      if (!tombstones_.try_emplace(id, Tombstone{saved.revision, saved.log_time_us}).second) {
        return absl::InvalidArgumentError(absl::StrCat("tombstone ", saved.id, " is there twice"));
      }
      tombstones_in_order_.push_back(id);
    }
    log_time_us_ = state.log_time_us;
    counters_ = state.counters;
    return absl::OkStatus();
  }

 private:
  static constexpr size_t kSymbolsPerBlock = 64;
  using SymbolBlock = std::array<std::optional<SymbolFold>, kSymbolsPerBlock>;

  struct IdOf {
    const PartitionState* state;
    const AlertId& operator()(AlertPlace place) const { return state->SymbolAt(place.symbol).IdOf(place.slot); }
  };

  struct Tombstone {
    int64_t revision = 0;
    int64_t log_time_us = 0;
  };

  // What WAITING and EXPIRED are shown by; emitted after the record where it changed.
  struct Shown {
    bool previous_close_known = false;
    bool day_open_known = false;
    bool operator==(const Shown&) const = default;
  };

  void SaveRest(FoldState* state) const {
    state->tombstones.reserve(tombstones_in_order_.size());
    for (const AlertId& id : tombstones_in_order_) {
      const Tombstone& tombstone = tombstones_.find(id)->second;
      state->tombstones.push_back({id.Text(), tombstone.revision, tombstone.log_time_us});
    }
    state->log_time_us = log_time_us_;
    state->counters = counters_;
  }

  // Before the symbol is changed.
  void CopyFirst(SymbolFold& symbol) {
    if (!snapshot_.has_value() || symbol.snapshot_number == snapshot_number_) return;
    symbol.snapshot_number = snapshot_number_;
    symbol.CatchUp();
    snapshot_->state.symbols.push_back(symbol.Save());
    symbol.SaveAlerts(&snapshot_->state.alerts);
  }

  static Shown ShownOf(const SymbolFold& symbol) { return {symbol.previous_close_known(), symbol.day_open_known()}; }

  static void EmitStatus(const SymbolFold& symbol, record::Place place, Outcome* outcome) {
    outcome->statuses.push_back({symbol.symbol(), symbol.previous_close_known(), symbol.day_open_known(),
                                 symbol.last_event_time_us().value_or(0), place.offset, symbol.hold != nullptr});
  }

  SymbolFold& MakeSymbol(const std::string& name) {
    if (symbols_in_last_block_ == kSymbolsPerBlock) {
      symbol_blocks_.push_back(std::make_unique<SymbolBlock>());
      symbols_in_last_block_ = 0;
    }
    const auto number = static_cast<uint32_t>((symbol_blocks_.size() - 1) * kSymbolsPerBlock + symbols_in_last_block_);
    SymbolFold& symbol = (*symbol_blocks_.back())[symbols_in_last_block_++].emplace(name, number);
    symbol.snapshot_number = snapshot_number_;  // One that is under way is of before.
    return symbol;
  }

  SymbolFold& SymbolAt(size_t number) const {
    return *(*symbol_blocks_[number / kSymbolsPerBlock])[number % kSymbolsPerBlock];
  }

  SymbolFold& SymbolOf(const std::string& name) {
    SymbolFold*& symbol = symbols_[name];
    if (symbol == nullptr) symbol = &MakeSymbol(name);
    return *symbol;
  }

  void ApplyRecord(const record::Quote& quote, record::Place place, Outcome* outcome) {
    if (!price::IsValidPriceMicros(quote.price_micros)) {
      // It leaves no trace, not even that its symbol was heard of.
      ++counters_.quotes_refused;
      return;
    }
    SymbolFold& symbol = SymbolOf(quote.symbol);
    CopyFirst(symbol);
    if (symbol.hold != nullptr) return Keep(symbol, quote);
    const Shown before = ShownOf(symbol);
    symbol.ApplyQuote(quote, place.offset, &counters_, outcome);
    const bool expiry_reached = symbol.TakeExpiryReached();
    if (expiry_reached || before != ShownOf(symbol)) EmitStatus(symbol, place, outcome);
  }

  void ApplyRecord(const record::Restart& restart, record::Place place, Outcome* outcome) {
    const auto found = symbols_.find(restart.symbol);
    if (found == symbols_.end()) return;
    CopyFirst(*found->second);
    if (found->second->hold != nullptr) return Keep(*found->second, restart);
    found->second->ApplyRestart();
    found->second->TakeExpiryReached();
    EmitStatus(*found->second, place, outcome);
  }

  // The symbol remembers it though nothing else is known of it, for changes that are stated in prices of before.
  void ApplyRecord(const record::Split& split, record::Place place, Outcome* outcome) {
    SymbolFold& symbol = SymbolOf(split.symbol);
    CopyFirst(symbol);
    if (!symbol.ApplySplit(split)) return;
    outcome->splits.push_back(split);
    if (symbol.hold != nullptr) Settle(symbol, place, outcome);
  }

  void ApplyRecord(const record::SplitSuspected& suspected, record::Place place, Outcome* outcome) {
    SymbolFold& symbol = SymbolOf(suspected.symbol);
    CopyFirst(symbol);
    if (symbol.hold != nullptr || !symbol.RecordSuspicion(suspected)) return;
    symbol.hold = std::make_unique<Hold>();
    ++held_symbols_;
    EmitStatus(symbol, place, outcome);
  }

  void ApplyRecord(const record::SplitDismissed& dismissed, record::Place place, Outcome* outcome) {
    const auto found = symbols_.find(dismissed.symbol);
    if (found == symbols_.end() || found->second->hold == nullptr || !found->second->IsNew(dismissed)) return;
    CopyFirst(*found->second);
    Settle(*found->second, place, outcome);
  }

  void ApplyRecord(const record::AlertChange& change, record::Place place, Outcome* outcome) {
    record::Confirmation confirmation;
    confirmation.alert_id = change.alert_id;
    confirmation.offset = place.offset;
    if (SymbolFold* const held = FindHeld(change); held != nullptr) {
      CopyFirst(*held);
      // It will be applied whatever settles the suspicion: who waits for it need not wait for that.
      confirmation.revision =
          std::max({change.revision, RevisionOf(AlertId(change.alert_id)), held->hold->RevisionOf(change.alert_id)});
      Keep(*held, change);
    } else {
      confirmation.revision = ApplyChange(change, place, outcome);
    }
    outcome->confirmations.push_back(std::move(confirmation));
  }

  // The change's symbol, where it is held; none for a change that says another symbol than its alert has, which is not
  // about this alert.
  SymbolFold* FindHeld(const record::AlertChange& change) {
    if (held_symbols_ == 0) return nullptr;
    const auto symbol = symbols_.find(change.symbol);
    if (symbol == symbols_.end() || symbol->second->hold == nullptr) return nullptr;
    const std::optional<AlertPlace> known = alerts_.Find(AlertId(change.alert_id));
    return !known.has_value() || known->symbol == symbol->second->number() ? symbol->second : nullptr;
  }

  static bool MayBeHeld(const record::Event& event, const std::string& symbol) {
    return record::SymbolOf(event) == symbol &&
           (std::holds_alternative<record::Quote>(event) || std::holds_alternative<record::AlertChange>(event) ||
            std::holds_alternative<record::Restart>(event));
  }

  void Keep(SymbolFold& symbol, const record::Event& event) {
    symbol.hold->Keep(event);
    ++held_records_;
  }

  // The records that were kept, in their order. What they make happen is of the place of what settles.
  void Settle(SymbolFold& symbol, record::Place place, Outcome* outcome) {
    const std::unique_ptr<Hold> hold = std::move(symbol.hold);
    --held_symbols_;
    held_records_ -= static_cast<int64_t>(hold->records().size());
    Outcome kept;
    for (const record::Event& event : hold->records()) {
      std::visit([&](const auto& record) { ApplyRecord(record, place, &kept); }, event);
    }
    // Confirmed they are; of statuses the last says all.
    outcome->triggers.insert(outcome->triggers.end(), std::make_move_iterator(kept.triggers.begin()),
                             std::make_move_iterator(kept.triggers.end()));
    EmitStatus(symbol, place, outcome);
  }

  // Known of the alert, be it deleted; 0 where nothing is.
  int64_t RevisionOf(const AlertId& id) const {
    if (const auto tombstone = tombstones_.find(id); tombstone != tombstones_.end()) return tombstone->second.revision;
    const std::optional<AlertPlace> known = alerts_.Find(id);
    return known.has_value() ? SymbolAt(known->symbol).RevisionOf(known->slot) : 0;
  }

  // Gives the revision known afterwards.
  int64_t ApplyChange(const record::AlertChange& change, record::Place place, Outcome* outcome) {
    const AlertId id(change.alert_id);
    if (const auto tombstone = tombstones_.find(id); tombstone != tombstones_.end()) {
      // Deleted for good: nothing that is published afterwards brings it back.
      ++counters_.changes_skipped;
      tombstone->second.revision = std::max(tombstone->second.revision, change.revision);
      return tombstone->second.revision;
    }
    const std::optional<AlertPlace> known = alerts_.Find(id);
    if (known.has_value()) {
      const SymbolFold& symbol = SymbolAt(known->symbol);
      const int64_t known_revision = symbol.RevisionOf(known->slot);
      // An alert's symbol never changes: what says otherwise is not about this alert.
      if (change.revision <= known_revision || change.symbol != symbol.symbol()) {
        ++counters_.changes_skipped;
        return known_revision;
      }
    }
    ++counters_.changes_applied;
    if (change.deleted) {
      if (known.has_value()) {
        SymbolFold& symbol = SymbolAt(known->symbol);
        CopyFirst(symbol);
        alerts_.Erase(*known);
        symbol.Remove(known->slot);
      }
      tombstones_.emplace(id, Tombstone{change.revision, log_time_us_});
      tombstones_in_order_.push_back(id);
      return change.revision;
    }
    SymbolFold& symbol = SymbolOf(change.symbol);
    CopyFirst(symbol);
    record::AlertChange present = change;
    symbol.ScaleToPresent(change.splits_applied, &present.definition);
    if (known.has_value()) {
      symbol.Change(known->slot, present);
    } else {
      alerts_.Insert({symbol.number(), symbol.Add(present)});
    }
    if (symbol.TakeExpiryReached()) EmitStatus(symbol, place, outcome);
    return change.revision;
  }

  // Their log times rise in their order, for log_time_us_ never falls.
  void ForgetTombstones() {
    for (int i = 0; i < kForgetPerRecord && !tombstones_in_order_.empty(); ++i) {
      const auto oldest = tombstones_.find(tombstones_in_order_.front());
      if (log_time_us_ - oldest->second.log_time_us < kTombstoneLifeUs) return;
      tombstones_.erase(oldest);
      tombstones_in_order_.pop_front();
    }
  }

  // Side by side, so that quotes of many symbols touch few pages. None is ever forgotten.
  std::vector<std::unique_ptr<SymbolBlock>> symbol_blocks_;
  size_t symbols_in_last_block_ = kSymbolsPerBlock;
  absl::flat_hash_map<std::string, SymbolFold*> symbols_;
  AlertDirectory<IdOf> alerts_{IdOf{this}};
  absl::flat_hash_map<AlertId, Tombstone> tombstones_;
  std::deque<AlertId> tombstones_in_order_;
  int64_t log_time_us_ = 0;
  Counters counters_;
  int64_t held_symbols_ = 0;
  int64_t held_records_ = 0;
  int64_t snapshot_number_ = 0;
  std::optional<SnapshotUnderWay> snapshot_;
};

Fold::Fold() : state_(std::make_unique<PartitionState>()) {}
Fold::~Fold() = default;
Fold::Fold(Fold&&) noexcept = default;
Fold& Fold::operator=(Fold&&) noexcept = default;

void Fold::Apply(const record::Event& event, record::Place place, Outcome* outcome) {
  state_->Apply(event, place, outcome);
}

const Counters& Fold::counters() const { return state_->counters(); }

std::optional<AlertView> Fold::FindAlert(std::string_view alert_id) const { return state_->FindAlert(alert_id); }

std::optional<Explanation> Fold::Explain(std::string_view alert_id) const { return state_->Explain(alert_id); }
std::optional<SymbolView> Fold::FindSymbol(std::string_view symbol) const { return state_->FindSymbol(symbol); }

int64_t Fold::alert_count() const { return state_->alert_count(); }
int64_t Fold::symbol_count() const { return state_->symbol_count(); }
int64_t Fold::held_symbol_count() const { return state_->held_symbol_count(); }
int64_t Fold::held_record_count() const { return state_->held_record_count(); }
int64_t Fold::index_steps() const { return state_->index_steps(); }

FoldState Fold::Snapshot() const { return state_->Snapshot(); }
void Fold::BeginSnapshot() { state_->BeginSnapshot(); }
bool Fold::ContinueSnapshot(int64_t alerts_max) { return state_->ContinueSnapshot(alerts_max); }
FoldState Fold::TakeSnapshot() { return state_->TakeSnapshot(); }

void PutInOrder(FoldState* state) {
  std::sort(state->symbols.begin(), state->symbols.end(),
            [](const SavedSymbol& a, const SavedSymbol& b) { return a.symbol < b.symbol; });
  std::sort(state->alerts.begin(), state->alerts.end(), [](const SavedAlert& a, const SavedAlert& b) {
    return std::tie(a.symbol, a.id) < std::tie(b.symbol, b.id);
  });
}

absl::StatusOr<Fold> Fold::Restore(const FoldState& state) {
  Fold fold;
  if (absl::Status status = fold.state_->Load(state); !status.ok()) return status;
  return fold;
}

}  // namespace stockalert::fold
