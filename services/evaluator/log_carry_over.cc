#include "services/evaluator/log_carry_over.h"

#include <algorithm>
#include <map>
#include <string>

#include "services/common/base/status_macros.h"
#include "services/domain/fold/fold.h"

namespace stockalert::evaluator {
namespace {

// An id whose alert the checkpoint does not know. Nobody evaluates it: its definition only has to be one.
fold::SavedAlert EndedId(const record::Trigger& trigger) {
  fold::SavedAlert alert;
  alert.id = trigger.alert_id;
  alert.symbol = trigger.symbol;
  alert.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, trigger.price_micros};
  alert.ended = true;
  alert.residence = fold::Residence::kOut;
  return alert;
}

// As a fold has a symbol of which it has seen nothing.
fold::SavedSymbol UnseenSymbol(const std::string& name) {
  record::AlertChange change;
  change.symbol = name;
  change.revision = change.armed_revision = 1;
  change.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, 1};
  fold::Fold fold;
  fold::Outcome nothing;
  fold.Apply(change, {0, 0}, &nothing);
  return fold.Snapshot().symbols.at(0);
}

}  // namespace

absl::Status CarrySplitsOver(fold::FoldState& state, const std::vector<RecordedSplit>& splits) {
  if (splits.empty()) return absl::OkStatus();
  STOCKALERT_ASSIGN_OR_RETURN(fold::Fold fold, fold::Fold::Restore(state));
  fold::Outcome told;  // By the rows that the splits are of, and those of triggers.
  for (const RecordedSplit& stored : splits) fold.Apply(stored.split, {stored.offset, state.log_time_us}, &told);
  state = fold.Snapshot();
  return absl::OkStatus();
}

void CarryOver(fold::FoldState& state, const std::vector<StoredTrigger>& triggers) {
  std::map<std::string, fold::SavedAlert> alerts;
  for (fold::SavedAlert& alert : state.alerts) alerts.emplace(alert.id, std::move(alert));
  for (const StoredTrigger& stored : triggers) {
    const record::Trigger& trigger = stored.trigger;
    const bool deleted =
        std::any_of(state.tombstones.begin(), state.tombstones.end(),
                    [&](const fold::SavedTombstone& tombstone) { return tombstone.id == trigger.alert_id; });
    if (deleted) continue;
    auto [found, added] = alerts.try_emplace(trigger.alert_id, EndedId(trigger));
    fold::SavedAlert& alert = found->second;
    alert.trigger_number = std::max(alert.trigger_number, trigger.trigger_number);
    if (trigger.ends_alert && trigger.revision >= alert.armed_revision) {
      // Known at least at this revision: a republished change of it does not arm again.
      alert.revision = std::max(alert.revision, trigger.revision);
      if (added) alert.armed_revision = trigger.revision;
      alert.ended = true;
      alert.residence = fold::Residence::kOut;
    } else if (!alert.ended) {
      alert.last_trigger_time_us =
          std::max(alert.last_trigger_time_us.value_or(trigger.event_time_us), trigger.event_time_us);
      for (fold::SavedLeg& leg : alert.legs) leg.ready = false;
    }
  }
  // Nothing triggers while a symbol is held: what settled it was in the lost log. Its records would be evaluated again,
  // as new ones; the changes among them are published again.
  for (fold::SavedSymbol& symbol : state.symbols) {
    if (!symbol.held_records.has_value()) continue;
    const bool settled = std::any_of(triggers.begin(), triggers.end(), [&](const StoredTrigger& stored) {
      return stored.trigger.symbol == symbol.symbol;
    });
    if (settled) symbol.held_records.reset();
  }
  state.alerts.clear();
  for (auto& [id, alert] : alerts) {
    const auto at =
        std::lower_bound(state.symbols.begin(), state.symbols.end(), alert.symbol,
                         [](const fold::SavedSymbol& symbol, const std::string& name) { return symbol.symbol < name; });
    if (at == state.symbols.end() || at->symbol != alert.symbol) {
      state.symbols.insert(at, UnseenSymbol(alert.symbol));
    }
    state.alerts.push_back(std::move(alert));
  }
}

}  // namespace stockalert::evaluator
