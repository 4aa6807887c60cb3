#include "services/alert/event_rules.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "services/alert/alert_rules.h"
#include "services/alert/outbox_store.h"
#include "services/common/base/status_macros.h"

namespace stockalert::alert {
namespace {

TriggerId IdOf(const RecordedTrigger& trigger) { return {trigger.alert_id, trigger.number}; }

// The triggers of one batch, from what was told to what is recorded and passed on.
class TriggerSteps {
 public:
  TriggerSteps(EventTransaction& transaction, const EventBatch& batch, int64_t now_us, AppliedEvents& applied)
      : transaction_(transaction), batch_(batch), now_us_(now_us), applied_(applied) {}

  absl::Status Run() {
    STOCKALERT_RETURN_IF_ERROR(LockAlerts());
    FindCandidates();
    DropRecorded();
    if (candidates_.empty()) return absl::OkStatus();
    ThrottleCandidates();
    transaction_.RecordTriggers(candidates_);
    MoveAlerts();
    AddToOutbox();
    return absl::OkStatus();
  }

 private:
  absl::Status LockAlerts() {
    std::set<std::string> ids;
    for (const TriggerEvent& event : batch_.triggers) ids.insert(event.trigger.alert_id);
    STOCKALERT_ASSIGN_OR_RETURN(alerts_, transaction_.LockAlerts(ids));
    return absl::OkStatus();
  }

  // All that could be new, as the alerts stand now; what a batch repeats within itself is judged once.
  void FindCandidates() {
    for (const TriggerEvent& event : batch_.triggers) {
      const auto alert = alerts_.find(event.trigger.alert_id);
      if (alert == alerts_.end()) {
        ++applied_.triggers_unknown;
        continue;
      }
      if (!sources_.emplace(IdOf(event.trigger), &event).second) {
        ++applied_.triggers_repeated;
        continue;
      }
      RecordedTrigger trigger = event.trigger;
      trigger.user_id = alert->second.user_id;
      trigger.create_time_us = now_us_;
      trigger.withheld = JudgeTrigger(alert->second, trigger).withheld;
      candidates_.push_back(std::move(trigger));
    }
  }

  // Under the alerts' locks nobody else records a trigger of theirs: what is new here stays so.
  void DropRecorded() {
    if (candidates_.empty()) return;
    std::set<TriggerId> ids;
    for (const RecordedTrigger& trigger : candidates_) ids.insert(IdOf(trigger));
    const std::set<TriggerId> recorded = transaction_.FindRecorded(ids);
    applied_.triggers_repeated += static_cast<int64_t>(
        std::erase_if(candidates_, [&](const RecordedTrigger& trigger) { return recorded.count(IdOf(trigger)) > 0; }));
  }

  void ThrottleCandidates() {
    std::map<UserMinute, int64_t> added;
    for (const RecordedTrigger& trigger : candidates_) {
      if (trigger.withheld == Withheld::kNo) ++added[{trigger.user_id, MinuteOf(trigger.event_time_us)}];
    }
    if (added.empty()) return;
    std::map<UserMinute, int64_t> counts = transaction_.AddToMinutes(added, now_us_);
    Throttle(candidates_, batch_.triggers_per_minute, counts);
  }

  void MoveAlerts() {
    std::set<std::string> touched;
    for (const RecordedTrigger& trigger : candidates_) {
      StoredAlert& alert = alerts_.at(trigger.alert_id);
      alert = JudgeTrigger(alert, trigger).alert;
      touched.insert(alert.id);
      ++applied_.triggers_recorded;
      if (trigger.withheld != Withheld::kNo) {
        ++applied_.triggers_withheld;
        continue;
      }
      const TriggerEvent& source = *sources_.at(IdOf(trigger));
      applied_.passed.push_back({trigger.alert_id, trigger.number, alert.user_id,
                                 MakeTriggerMessage(alert, trigger, source.log_time_us).SerializeAsString(),
                                 source.traceparent, trigger.throttled});
      if (trigger.throttled) ++applied_.triggers_throttled;
    }
    std::vector<StoredAlert> moved;
    moved.reserve(touched.size());
    for (const std::string& id : touched) moved.push_back(alerts_.at(id));
    transaction_.SaveTriggered(moved);
  }

  void AddToOutbox() {
    if (applied_.passed.empty()) return;
    std::set<std::string> ids;
    for (const PassedTrigger& passed : applied_.passed) ids.insert(passed.alert_id);
    applied_.alerts_with_older = transaction_.FindAlertsInOutbox(ids);
    transaction_.AddToOutbox(applied_.passed, now_us_ + kTriggerClaimUs);
  }

  EventTransaction& transaction_;
  const EventBatch& batch_;
  const int64_t now_us_;
  AppliedEvents& applied_;
  std::map<std::string, StoredAlert> alerts_;  // Locked.
  std::vector<RecordedTrigger> candidates_;    // What may be new, and is, after DropRecorded.
  std::map<TriggerId, const TriggerEvent*> sources_;
};

// The highest of an alert.
std::map<std::string, int64_t> RevisionsOf(const std::vector<ConfirmedRevision>& confirmations) {
  std::map<std::string, int64_t> revisions;
  for (const ConfirmedRevision& confirmation : confirmations) {
    int64_t& revision = revisions[confirmation.alert_id];
    revision = std::max(revision, confirmation.revision);
  }
  return revisions;
}

// Each once, by symbol and number, so that two batches write in one order.
std::vector<StoredSplit> InOrder(const std::vector<StoredSplit>& splits) {
  std::map<std::pair<std::string, int64_t>, StoredSplit> by_number;
  for (const StoredSplit& split : splits) by_number.try_emplace({split.symbol, split.number}, split);
  std::vector<StoredSplit> ordered;
  ordered.reserve(by_number.size());
  for (auto& [number, split] : by_number) ordered.push_back(std::move(split));
  return ordered;
}

// The one of the newest place of each symbol, by symbol, so that two batches lock in one order.
std::vector<StoredSymbolStatus> NewestOf(const std::vector<StoredSymbolStatus>& statuses) {
  std::map<std::string, const StoredSymbolStatus*> newest;
  for (const StoredSymbolStatus& status : statuses) {
    const StoredSymbolStatus*& slot = newest[status.symbol];
    if (slot == nullptr || std::pair(status.partition, status.offset) >= std::pair(slot->partition, slot->offset))
      slot = &status;
  }
  std::vector<StoredSymbolStatus> chosen;
  chosen.reserve(newest.size());
  for (const auto& [symbol, status] : newest) chosen.push_back(*status);
  return chosen;
}

}  // namespace

absl::StatusOr<AppliedEvents> ApplyEvents(EventStore& store, const EventBatch& batch, int64_t now_us) {
  AppliedEvents applied;
  const absl::Status status = store.Transact([&](EventTransaction& transaction) -> absl::Status {
    applied = AppliedEvents();
    if (!batch.splits.empty()) applied.splits_recorded = transaction.SaveSplits(InOrder(batch.splits), now_us);
    if (!batch.confirmations.empty()) transaction.ConfirmRevisions(RevisionsOf(batch.confirmations));
    if (!batch.triggers.empty()) {
      STOCKALERT_RETURN_IF_ERROR(TriggerSteps(transaction, batch, now_us, applied).Run());
    }
    if (!batch.statuses.empty()) transaction.SaveStatuses(NewestOf(batch.statuses));
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return applied;
}

}  // namespace stockalert::alert
