#include "services/domain/fold/fold.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <tuple>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "services/domain/fold/alert_directory.h"
#include "services/domain/fold/alert_id.h"
#include "services/domain/fold/frozen_alerts.h"
#include "services/domain/fold/symbol_fold.h"
#include "services/domain/fold/symbol_table.h"
#include "services/domain/price/decimal.h"

namespace stockalert::fold {
namespace {

constexpr int64_t kTombstoneLifeUs = int64_t{7} * 24 * 3600 * 1'000'000;
// Tombstones forgotten with one record at most, so that a mass deletion a week ago holds up none.
constexpr int kForgetPerRecord = 64;
// A symbol with more alerts is copied packed first.
constexpr size_t kSavedAtOnce = 1'000;

struct SnapshotUnderWay {
  FoldState state;
  size_t symbols = 0;  // As many of the first ones are in it.
  size_t next = 0;
  std::vector<FrozenAlerts> frozen;  // Still to be saved.
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
    return symbols_.At(found->symbol).ViewOf(found->slot);
  }

  std::optional<SymbolView> FindSymbol(std::string_view symbol) const {
    const SymbolFold* const found = symbols_.Find(symbol);
    if (found == nullptr) return std::nullopt;
    return found->View();
  }

  std::optional<Explanation> Explain(std::string_view id) const {
    const std::optional<AlertPlace> found = alerts_.Find(AlertId(id));
    if (!found.has_value()) return std::nullopt;
    return symbols_.At(found->symbol).Explain(found->slot);
  }

  int64_t alert_count() const { return static_cast<int64_t>(alerts_.size()); }
  int64_t symbol_count() const { return static_cast<int64_t>(symbols_.size()); }

  int64_t held_symbol_count() const { return held_symbols_; }
  int64_t held_record_count() const { return held_records_; }

  int64_t index_steps() const {
    int64_t steps = 0;
    for (size_t i = 0; i < symbols_.size(); ++i) steps += symbols_.Lasting(i).index_steps();
    return steps;
  }

  FoldState Snapshot() const {
    FoldState state;
    state.symbols.reserve(symbols_.size());
    state.alerts.reserve(alerts_.size());
    for (size_t i = 0; i < symbols_.size(); ++i) {
      SymbolFold& symbol = symbols_.At(i);
      symbol.CatchUp();
      state.symbols.push_back(symbol.Save());
      symbol.SaveAlerts(&state.alerts);
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
    const size_t enough = copied() + static_cast<size_t>(std::max<int64_t>(alerts_max, 1));
    std::vector<FrozenAlerts>& frozen = snapshot_->frozen;
    while (copied() < enough) {
      if (!frozen.empty()) {
        if (frozen.back().SaveNext(enough - copied(), &snapshot_->state.alerts)) frozen.pop_back();
      } else if (snapshot_->next < snapshot_->symbols) {
        CopyFirst(symbols_.At(snapshot_->next++));
        if (!frozen.empty()) break;  // That was enough for now.
      } else {
        break;
      }
    }
    return snapshot_->next == snapshot_->symbols && frozen.empty();
  }

  FoldState TakeSnapshot() {
    FoldState state = std::move(snapshot_->state);
    snapshot_.reset();
    return state;
  }

  absl::Status Load(const FoldState& state) {
    symbols_.Reserve(state.symbols.size());
    alerts_.Reserve(state.alerts.size());
    for (const SavedSymbol& saved : state.symbols) {
      if (symbols_.Find(saved.symbol) != nullptr) {
        return absl::InvalidArgumentError(absl::StrCat("symbol ", saved.symbol, " is there twice"));
      }
      if (absl::Status status = symbols_.Add(saved.symbol).Load(saved); !status.ok()) return status;
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
      SymbolFold* const symbol = symbols_.Find(saved.symbol);
      if (symbol == nullptr) {
        return absl::InvalidArgumentError(absl::StrCat("alert ", saved.id, " has no symbol"));
      }
      const absl::StatusOr<Slot> slot = symbol->LoadAlert(saved);
      if (!slot.ok()) return slot.status();
      if (!alerts_.Insert({symbol->number(), *slot})) {
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
  struct IdOf {
    const PartitionState* state;
    const AlertId& operator()(AlertPlace place) const { return state->symbols_.Lasting(place.symbol).IdOf(place.slot); }
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
    if (symbol.alert_count() <= kSavedAtOnce) {
      symbol.SaveAlerts(&snapshot_->state.alerts);
    } else {
      snapshot_->frozen.push_back(symbol.FreezeAlerts());
    }
  }

  static Shown ShownOf(const SymbolFold& symbol) { return {symbol.previous_close_known(), symbol.day_open_known()}; }

  static void EmitStatus(const SymbolFold& symbol, record::Place place, Outcome* outcome) {
    outcome->statuses.push_back({symbol.symbol(), symbol.previous_close_known(), symbol.day_open_known(),
                                 symbol.last_event_time_us().value_or(0), place.offset, symbol.hold != nullptr});
  }

  SymbolFold& SymbolOf(const std::string& name) {
    SymbolFold* const known = symbols_.Find(name);
    return known != nullptr ? *known : AddSymbol(name);
  }

  SymbolFold& AddSymbol(const std::string& name) {
    SymbolFold& symbol = symbols_.Add(name);
    symbol.snapshot_number = snapshot_number_;  // One that is under way is of before.
    return symbol;
  }

  void ApplyRecord(const record::Quote& quote, record::Place place, Outcome* outcome) {
    if (!price::IsValidPriceMicros(quote.price_micros)) {
      // It leaves no trace, not even that its symbol was heard of.
      ++counters_.quotes_refused;
      return;
    }
    const std::optional<uint32_t> known = symbols_.NumberOf(quote.symbol);
    if (known.has_value() && symbols_.QuietAt(*known).Take(quote, snapshot_number_)) {
      ++counters_.quotes_accepted;
      return;
    }
    SymbolFold& symbol = known.has_value() ? symbols_.At(*known) : AddSymbol(quote.symbol);
    CopyFirst(symbol);
    if (symbol.hold != nullptr) return Keep(symbol, quote);
    const Shown before = ShownOf(symbol);
    symbol.ApplyQuote(quote, place.offset, &counters_, outcome);
    const bool expiry_reached = symbol.TakeExpiryReached();
    if (expiry_reached || before != ShownOf(symbol)) EmitStatus(symbol, place, outcome);
    symbol.BeginQuiet(quote.session, snapshot_number_, &symbols_.QuietAt(symbol.number()));
  }

  void ApplyRecord(const record::Restart& restart, record::Place place, Outcome* outcome) {
    SymbolFold* const symbol = symbols_.Find(restart.symbol);
    if (symbol == nullptr) return;
    CopyFirst(*symbol);
    if (symbol->hold != nullptr) return Keep(*symbol, restart);
    symbol->ApplyRestart();
    symbol->TakeExpiryReached();
    EmitStatus(*symbol, place, outcome);
  }

  // The symbol remembers it though nothing else is known of it, for changes that are stated in prices of before.
  void ApplyRecord(const record::Split& split, record::Place place, Outcome* outcome) {
    SymbolFold& symbol = SymbolOf(split.symbol);
    CopyFirst(symbol);
    const SplitEffect effect = symbol.ApplySplit(split);
    if (effect == SplitEffect::kSkipped) return;
    outcome->splits.push_back(split);
    if (effect == SplitEffect::kApplied && symbol.hold != nullptr) Settle(symbol, place, outcome);
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
    SymbolFold* const symbol = symbols_.Find(dismissed.symbol);
    if (symbol == nullptr || symbol->hold == nullptr || !symbol->IsNew(dismissed)) return;
    CopyFirst(*symbol);
    Settle(*symbol, place, outcome);
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
    SymbolFold* const symbol = symbols_.Find(change.symbol);
    if (symbol == nullptr || symbol->hold == nullptr) return nullptr;
    const std::optional<AlertPlace> known = alerts_.Find(AlertId(change.alert_id));
    return !known.has_value() || known->symbol == symbol->number() ? symbol : nullptr;
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
    // It may have been quiet meanwhile.
    EmitStatus(symbols_.At(symbol.number()), place, outcome);
  }

  // Known of the alert, be it deleted; 0 where nothing is.
  int64_t RevisionOf(const AlertId& id) const {
    if (const auto tombstone = tombstones_.find(id); tombstone != tombstones_.end()) return tombstone->second.revision;
    const std::optional<AlertPlace> known = alerts_.Find(id);
    return known.has_value() ? symbols_.At(known->symbol).RevisionOf(known->slot) : 0;
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
      const SymbolFold& symbol = symbols_.At(known->symbol);
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
        SymbolFold& symbol = symbols_.At(known->symbol);
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
    if (known.has_value()) {
      symbol.Change(known->slot, change);
    } else {
      alerts_.Insert({symbol.number(), symbol.Add(id, change)});
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

  SymbolTable symbols_;
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
