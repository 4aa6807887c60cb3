#include "services/domain/fold/fold.h"

#include <algorithm>
#include <deque>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/abseil.h"
#include "services/domain/fold/symbol_fold.h"
#include "services/domain/price/decimal.h"

namespace stockalert::fold {
namespace {

constexpr int64_t kTombstoneLifeUs = int64_t{7} * 24 * 3600 * 1'000'000;
// Tombstones forgotten with one record at most, so that a mass deletion a week ago holds up none.
constexpr int kForgetPerRecord = 64;

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
    const auto found = alerts_.find(base::ToAbsl(id));
    if (found == alerts_.end()) return std::nullopt;
    return found->second.symbol->ViewOf(found->second.slot);
  }

  std::optional<SymbolView> FindSymbol(std::string_view symbol) const {
    const auto found = symbols_.find(base::ToAbsl(symbol));
    if (found == symbols_.end()) return std::nullopt;
    return found->second->View();
  }

  int64_t alert_count() const { return static_cast<int64_t>(alerts_.size()); }
  int64_t symbol_count() const { return static_cast<int64_t>(symbols_.size()); }

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
      state.symbols.push_back(symbol->Save());
      symbol->SaveAlerts(&state.alerts);
    }
    std::sort(state.symbols.begin(), state.symbols.end(),
              [](const SavedSymbol& a, const SavedSymbol& b) { return a.symbol < b.symbol; });
    std::sort(state.alerts.begin(), state.alerts.end(),
              [](const SavedAlert& a, const SavedAlert& b) { return a.id < b.id; });
    state.tombstones.reserve(tombstones_in_order_.size());
    for (const std::string& id : tombstones_in_order_) {
      const Tombstone& tombstone = tombstones_.find(id)->second;
      state.tombstones.push_back({id, tombstone.revision, tombstone.log_time_us});
    }
    state.log_time_us = log_time_us_;
    state.counters = counters_;
    return state;
  }

  absl::Status Load(const FoldState& state) {
    for (const SavedSymbol& saved : state.symbols) {
      auto [entry, added] = symbols_.try_emplace(saved.symbol);
      if (!added) return absl::InvalidArgumentError(absl::StrCat("symbol ", saved.symbol, " is there twice"));
      entry->second = std::make_unique<SymbolFold>(saved.symbol);
      if (absl::Status status = entry->second->Load(saved); !status.ok()) return status;
    }
    for (const SavedAlert& saved : state.alerts) {
      const auto symbol = symbols_.find(saved.symbol);
      if (symbol == symbols_.end()) {
        return absl::InvalidArgumentError(absl::StrCat("alert ", saved.id, " has no symbol"));
      }
      const absl::StatusOr<Slot> slot = symbol->second->LoadAlert(saved);
      if (!slot.ok()) return slot.status();
      if (!alerts_.try_emplace(saved.id, KnownAlert{symbol->second.get(), *slot}).second) {
        return absl::InvalidArgumentError(absl::StrCat("alert ", saved.id, " is there twice"));
      }
    }
    for (const SavedTombstone& saved : state.tombstones) {
      if (!tombstones_.try_emplace(saved.id, Tombstone{saved.revision, saved.log_time_us}).second) {
        return absl::InvalidArgumentError(absl::StrCat("tombstone ", saved.id, " is there twice"));
      }
      tombstones_in_order_.push_back(saved.id);
    }
    log_time_us_ = state.log_time_us;
    counters_ = state.counters;
    return absl::OkStatus();
  }

 private:
  struct KnownAlert {
    SymbolFold* symbol = nullptr;
    Slot slot = 0;
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

  static Shown ShownOf(const SymbolFold& symbol) { return {symbol.previous_close_known(), symbol.day_open_known()}; }

  static void EmitStatus(const SymbolFold& symbol, record::Place place, Outcome* outcome) {
    outcome->statuses.push_back({symbol.symbol(), symbol.previous_close_known(), symbol.day_open_known(),
                                 symbol.last_event_time_us().value_or(0), place.offset});
  }

  SymbolFold& SymbolOf(const std::string& name) {
    std::unique_ptr<SymbolFold>& symbol = symbols_[name];
    if (symbol == nullptr) symbol = std::make_unique<SymbolFold>(name);
    return *symbol;
  }

  void ApplyRecord(const record::Quote& quote, record::Place place, Outcome* outcome) {
    if (!price::IsValidPriceMicros(quote.price_micros)) {
      // It leaves no trace, not even that its symbol was heard of.
      ++counters_.quotes_refused;
      return;
    }
    SymbolFold& symbol = SymbolOf(quote.symbol);
    const Shown before = ShownOf(symbol);
    symbol.ApplyQuote(quote, place.offset, &counters_, outcome);
    const bool expiry_reached = symbol.TakeExpiryReached();
    if (expiry_reached || before != ShownOf(symbol)) EmitStatus(symbol, place, outcome);
  }

  void ApplyRecord(const record::Restart& restart, record::Place place, Outcome* outcome) {
    const auto found = symbols_.find(restart.symbol);
    if (found == symbols_.end()) return;
    found->second->ApplyRestart();
    found->second->TakeExpiryReached();
    EmitStatus(*found->second, place, outcome);
  }

  void ApplyRecord(const record::AlertChange& change, record::Place place, Outcome* outcome) {
    record::Confirmation confirmation;
    confirmation.alert_id = change.alert_id;
    confirmation.offset = place.offset;
    confirmation.revision = ApplyChange(change, place, outcome);
    outcome->confirmations.push_back(std::move(confirmation));
  }

  // Gives the revision known afterwards.
  int64_t ApplyChange(const record::AlertChange& change, record::Place place, Outcome* outcome) {
    if (const auto tombstone = tombstones_.find(change.alert_id); tombstone != tombstones_.end()) {
      // Deleted for good: nothing that is published afterwards brings it back.
      ++counters_.changes_skipped;
      tombstone->second.revision = std::max(tombstone->second.revision, change.revision);
      return tombstone->second.revision;
    }
    const auto known = alerts_.find(change.alert_id);
    if (known != alerts_.end()) {
      const int64_t known_revision = known->second.symbol->RevisionOf(known->second.slot);
      // An alert's symbol never changes: what says otherwise is not about this alert.
      if (change.revision <= known_revision || change.symbol != known->second.symbol->symbol()) {
        ++counters_.changes_skipped;
        return known_revision;
      }
    }
    ++counters_.changes_applied;
    if (change.deleted) {
      if (known != alerts_.end()) {
        known->second.symbol->Remove(known->second.slot);
        alerts_.erase(known);
      }
      tombstones_.emplace(change.alert_id, Tombstone{change.revision, log_time_us_});
      tombstones_in_order_.push_back(change.alert_id);
      return change.revision;
    }
    SymbolFold& symbol = SymbolOf(change.symbol);
    if (known != alerts_.end()) {
      symbol.Change(known->second.slot, change);
    } else {
      alerts_.emplace(change.alert_id, KnownAlert{&symbol, symbol.Add(change)});
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

  absl::flat_hash_map<std::string, std::unique_ptr<SymbolFold>> symbols_;
  absl::flat_hash_map<std::string, KnownAlert> alerts_;
  absl::flat_hash_map<std::string, Tombstone> tombstones_;
  std::deque<std::string> tombstones_in_order_;
  int64_t log_time_us_ = 0;
  Counters counters_;
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

std::optional<SymbolView> Fold::FindSymbol(std::string_view symbol) const { return state_->FindSymbol(symbol); }

int64_t Fold::alert_count() const { return state_->alert_count(); }
int64_t Fold::symbol_count() const { return state_->symbol_count(); }
int64_t Fold::index_steps() const { return state_->index_steps(); }

FoldState Fold::Snapshot() const { return state_->Snapshot(); }

absl::StatusOr<Fold> Fold::Restore(const FoldState& state) {
  Fold fold;
  if (absl::Status status = fold.state_->Load(state); !status.ok()) return status;
  return fold;
}

}  // namespace stockalert::fold
