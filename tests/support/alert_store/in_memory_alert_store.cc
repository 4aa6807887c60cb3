#include "tests/support/alert_store/in_memory_alert_store.h"

#include <algorithm>
#include <utility>

#include "services/alert/alert_logic.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"

namespace stockalert::alert {

void InMemoryAlertStore::FailWith(absl::Status status) {
  std::lock_guard lock(mutex_);
  failure_ = std::move(status);
}

AlertView InMemoryAlertStore::ViewOf(const StoredAlert& alert) const {
  AlertView view;
  view.alert = alert;
  if (const auto trigger = triggers_.find({alert.id, alert.last_trigger_number}); trigger != triggers_.end())
    view.last_trigger = trigger->second;
  view.status.symbol = alert.symbol;
  if (const auto status = statuses_.find(alert.symbol); status != statuses_.end()) view.status = status->second;
  return view;
}

void InMemoryAlertStore::OpenChangeOf(const StoredAlert& alert, int64_t now_us) {
  changes_[alert.id] = {alert.record.revision, now_us, now_us + kFirstSweepUs, 0};
}

absl::Status InMemoryAlertStore::Create(const std::string& user_id, const std::vector<StoredAlert>& alerts,
                                        int64_t quota, int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  if (std::any_of(alerts.begin(), alerts.end(), [&](const StoredAlert& alert) { return alerts_.count(alert.id) > 0; }))
    return absl::OkStatus();
  const auto owner = owners_.find(user_id);
  if (owner != owners_.end() && owner->second.deleted)
    return base::NotFound(kReasonUserNotFound, "the user was deleted");
  const int64_t count = owner == owners_.end() ? 0 : owner->second.alert_count;
  if (count + static_cast<int64_t>(alerts.size()) > quota)
    return base::ResourceExhausted(kReasonAlertQuota, "over the quota");
  for (const StoredAlert& alert : alerts) {
    for (const auto& [id, present] : alerts_) {
      if (!alert.request_id.empty() && present.user_id == user_id && present.request_id == alert.request_id) {
        return base::AlreadyExists(kReasonRequestIdTaken, "the request id was used before");
      }
    }
  }
  STOCKALERT_RETURN_IF_ERROR(CheckWindows(user_id, alerts));
  owners_[user_id].alert_count = count + static_cast<int64_t>(alerts.size());
  for (StoredAlert alert : alerts) {
    alert.create_time_us = now_us;
    alert.update_time_us = now_us;
    OpenChangeOf(alert, now_us);
    alerts_.emplace(alert.id, std::move(alert));
  }
  return absl::OkStatus();
}

absl::Status InMemoryAlertStore::CheckWindows(const std::string& user_id,
                                              const std::vector<StoredAlert>& alerts) const {
  std::vector<StoredAlert> others;
  for (const auto& [id, alert] : alerts_) {
    const bool is_other =
        std::none_of(alerts.begin(), alerts.end(), [&id = id](const StoredAlert& one) { return one.id == id; });
    if (is_other && alert.user_id == user_id && !alert.record.deleted) others.push_back(alert);
  }
  return CheckWindowLengths(WindowLengths(others), WindowLengths(alerts));
}

absl::StatusOr<std::vector<StoredAlert>> InMemoryAlertStore::FindByRequestIds(
    const std::string& user_id, const std::vector<std::string>& request_ids) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<StoredAlert> found;
  for (const auto& [id, alert] : alerts_) {
    if (alert.user_id == user_id && !alert.request_id.empty() &&
        std::find(request_ids.begin(), request_ids.end(), alert.request_id) != request_ids.end()) {
      found.push_back(alert);
    }
  }
  return found;
}

absl::StatusOr<std::optional<AlertView>> InMemoryAlertStore::Find(const std::string& user_id,
                                                                  const std::string& alert_id) {
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<AlertView> views, FindAll(user_id, {alert_id}));
  if (views.empty()) return std::optional<AlertView>();
  return std::optional<AlertView>(std::move(views.front()));
}

absl::StatusOr<std::vector<AlertView>> InMemoryAlertStore::FindAll(const std::string& user_id,
                                                                   const std::vector<std::string>& alert_ids) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<AlertView> views;
  for (const std::string& id : alert_ids) {
    const auto found = alerts_.find(id);
    if (found != alerts_.end() && found->second.user_id == user_id && !found->second.record.deleted)
      views.push_back(ViewOf(found->second));
  }
  return views;
}

absl::StatusOr<AlertView> InMemoryAlertStore::Change(const std::string& user_id, const std::string& alert_id,
                                                     int64_t now_us, const Mutation& mutation) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const auto found = alerts_.find(alert_id);
  if (found == alerts_.end() || found->second.user_id != user_id || found->second.record.deleted) {
    return base::NotFound(kReasonAlertNotFound, "no such alert");
  }
  AlertView view = ViewOf(found->second);
  const int64_t revision = view.alert.record.revision;
  const std::map<std::string, std::set<int64_t>> windows = WindowLengths({view.alert});
  STOCKALERT_ASSIGN_OR_RETURN(view.alert, mutation(view));
  if (view.alert.record.revision == revision) return view;
  if (!view.alert.record.deleted && WindowLengths({view.alert}) != windows) {
    STOCKALERT_RETURN_IF_ERROR(CheckWindows(user_id, {view.alert}));
  }
  view.alert.update_time_us = now_us;
  found->second = view.alert;
  OpenChangeOf(view.alert, now_us);
  if (view.alert.record.deleted) --owners_[user_id].alert_count;
  return view;
}

absl::StatusOr<std::vector<AlertView>> InMemoryAlertStore::List(const ListFilter& filter,
                                                                const std::optional<ListPlace>& after, int64_t now_us,
                                                                int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<AlertView> views;
  for (const auto& [id, alert] : alerts_) {
    if (alert.record.deleted || (filter.user_id && alert.user_id != *filter.user_id)) continue;
    if (!filter.symbol.empty() && alert.symbol != filter.symbol) continue;
    if (after && !(std::pair(alert.create_time_us, alert.id) < std::pair(after->create_time_us, after->alert_id)))
      continue;
    AlertView view = ViewOf(alert);
    if (!filter.states.empty() &&
        std::find(filter.states.begin(), filter.states.end(), StateOf(view, now_us)) == filter.states.end())
      continue;
    views.push_back(std::move(view));
  }
  std::sort(views.begin(), views.end(), [](const AlertView& a, const AlertView& b) {
    return std::pair(a.alert.create_time_us, a.alert.id) > std::pair(b.alert.create_time_us, b.alert.id);
  });
  if (views.size() > static_cast<size_t>(limit)) views.resize(static_cast<size_t>(limit));
  return views;
}

absl::StatusOr<std::vector<StoredTrigger>> InMemoryAlertStore::ListTriggers(const TriggerFilter& filter,
                                                                            const std::optional<TriggerPlace>& after,
                                                                            int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const auto place = [&](const StoredTrigger& trigger) {
    // An alert's own are ordered by their numbers alone.
    return std::tuple(filter.alert_id ? 0 : trigger.create_time_us, filter.alert_id ? "" : trigger.alert_id,
                      trigger.number);
  };
  std::vector<StoredTrigger> triggers;
  for (const auto& [id, trigger] : triggers_) {
    if (trigger.user_id != filter.user_id || (filter.alert_id && trigger.alert_id != *filter.alert_id)) continue;
    if (alerts_.at(trigger.alert_id).record.deleted) continue;
    StoredTrigger border;
    if (after) {
      border.create_time_us = after->create_time_us;
      border.alert_id = after->alert_id;
      border.number = after->number;
      if (!(place(trigger) < place(border))) continue;
    }
    triggers.push_back(trigger);
  }
  std::sort(triggers.begin(), triggers.end(),
            [&](const StoredTrigger& a, const StoredTrigger& b) { return place(a) > place(b); });
  if (triggers.size() > static_cast<size_t>(limit)) triggers.resize(static_cast<size_t>(limit));
  return triggers;
}

absl::StatusOr<int64_t> InMemoryAlertStore::Count(const std::string& symbol) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  return static_cast<int64_t>(std::count_if(alerts_.begin(), alerts_.end(), [&](const auto& entry) {
    return !entry.second.record.deleted && (symbol.empty() || entry.second.symbol == symbol);
  }));
}

absl::StatusOr<std::vector<StoredAlert>> InMemoryAlertStore::ClaimOpenChanges(int64_t now_us, int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<std::pair<int64_t, std::string>> due;
  for (const auto& [id, change] : changes_) {
    if (change.next_attempt_us <= now_us) due.emplace_back(change.next_attempt_us, id);
  }
  std::sort(due.begin(), due.end());
  if (due.size() > static_cast<size_t>(limit)) due.resize(static_cast<size_t>(limit));
  std::vector<StoredAlert> claimed;
  for (const auto& [when, id] : due) {
    OpenChange& change = changes_.at(id);
    change.next_attempt_us = now_us + std::min(kSweepPauseMaxUs, kFirstSweepUs << std::min(change.attempts, 10));
    ++change.attempts;
    claimed.push_back(alerts_.at(id));
  }
  return claimed;
}

absl::Status InMemoryAlertStore::PostponeOpenChanges(const std::vector<std::string>& alert_ids, int64_t when_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  for (const std::string& id : alert_ids) {
    if (const auto found = changes_.find(id); found != changes_.end()) found->second.next_attempt_us = when_us;
  }
  return absl::OkStatus();
}

absl::StatusOr<ReopenedChanges> InMemoryAlertStore::ReopenChanges(const std::string& symbol,
                                                                  const std::string& after_alert_id, int limit,
                                                                  int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  ReopenedChanges reopened;
  for (auto it = alerts_.upper_bound(after_alert_id); it != alerts_.end(); ++it) {
    if (!symbol.empty() && it->second.symbol != symbol) continue;
    OpenChange& change =
        changes_.try_emplace(it->first, OpenChange{it->second.record.revision, now_us, now_us, 0}).first->second;
    change.next_attempt_us = now_us;
    change.attempts = 0;
    if (++reopened.count == limit) {
      reopened.last_alert_id = it->first;
      break;
    }
  }
  return reopened;
}

absl::Status InMemoryAlertStore::ForgetSymbolPlaces(const std::string& symbol) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  for (auto& [name, status] : statuses_) {
    if (!symbol.empty() && name != symbol) continue;
    status.partition = 0;
    status.offset = -1;
  }
  return absl::OkStatus();
}

absl::StatusOr<AppliedEvents> InMemoryAlertStore::ApplyEvents(const EventBatch& batch, int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  AppliedEvents applied;
  for (const Confirmation& confirmation : batch.confirmations) {
    if (const auto alert = alerts_.find(confirmation.alert_id); alert != alerts_.end()) {
      alert->second.applied_revision =
          std::max(alert->second.applied_revision, std::min(confirmation.revision, alert->second.record.revision));
    }
    const auto change = changes_.find(confirmation.alert_id);
    if (change != changes_.end() && change->second.revision <= confirmation.revision) changes_.erase(change);
  }
  const auto waiting_before = open_triggers_;
  std::set<std::string> passed_alerts;
  for (const TriggerEvent& event : batch.triggers) {
    StoredTrigger trigger = event.trigger;
    const auto alert = alerts_.find(trigger.alert_id);
    if (alert == alerts_.end()) {
      ++applied.triggers_unknown;
      continue;
    }
    const TriggerId id{trigger.alert_id, trigger.number};
    if (triggers_.count(id) > 0) {
      ++applied.triggers_repeated;
      continue;
    }
    trigger.user_id = alert->second.user_id;
    trigger.create_time_us = now_us;
    trigger.withheld = JudgeTrigger(alert->second, trigger).withheld;
    const UserMinute place{trigger.user_id, MinuteOf(trigger.event_time_us)};
    std::map<UserMinute, int64_t> counts{{place, minutes_[place].count}};
    std::vector<StoredTrigger> judged{trigger};
    Throttle(judged, batch.triggers_per_minute, counts);
    trigger = judged.front();
    minutes_[place] = {counts[place], now_us};
    TriggerVerdict verdict = JudgeTrigger(alert->second, trigger);
    alert->second = std::move(verdict.alert);
    triggers_.emplace(id, trigger);
    ++applied.triggers_recorded;
    if (trigger.withheld != Withheld::kNo) {
      ++applied.triggers_withheld;
      continue;
    }
    PassedTrigger passed{
        trigger.alert_id,  trigger.number,
        trigger.user_id,   MakeTriggerMessage(alert->second, trigger, event.log_time_us).SerializeAsString(),
        event.traceparent, trigger.throttled};
    if (trigger.throttled) ++applied.triggers_throttled;
    open_triggers_.emplace(id, OpenTrigger{passed, now_us + kTriggerClaimUs});
    passed_alerts.insert(passed.alert_id);
    applied.passed.push_back(std::move(passed));
  }
  for (const std::string& id : passed_alerts) {
    const auto older = waiting_before.lower_bound({id, 0});
    if (older != waiting_before.end() && older->first.alert_id == id) applied.alerts_with_older.push_back(id);
  }
  for (const SymbolStatus& status : batch.statuses) {
    const auto [slot, is_new] = statuses_.try_emplace(status.symbol, status);
    if (!is_new && std::pair(status.partition, status.offset) > std::pair(slot->second.partition, slot->second.offset))
      slot->second = status;
  }
  return applied;
}

absl::StatusOr<std::vector<AlertOwner>> InMemoryAlertStore::FindOwners(const std::vector<std::string>& alert_ids) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<AlertOwner> owners;
  for (const std::string& id : alert_ids) {
    if (const auto found = alerts_.find(id); found != alerts_.end()) owners.push_back({id, found->second.user_id});
  }
  return owners;
}

absl::StatusOr<std::vector<AlertOwner>> InMemoryAlertStore::ClaimTriggers(int64_t now_us, int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  using Due = std::tuple<bool, int64_t, TriggerId>;
  std::map<std::string, std::vector<Due>> due;
  for (const auto& [id, open] : open_triggers_) {
    if (open.claimed_until_us <= now_us)
      due[open.trigger.user_id].emplace_back(open.trigger.throttled, open.claimed_until_us, id);
  }
  // A user's first, then all users' second…
  std::multimap<size_t, TriggerId> ranked;
  for (auto& [user, rows] : due) {
    std::sort(rows.begin(), rows.end());
    for (size_t place = 0; place < rows.size(); ++place) ranked.emplace(place, std::get<TriggerId>(rows[place]));
  }
  std::set<AlertOwner> owners;
  int rows = 0;
  for (const auto& [place, id] : ranked) {
    if (rows++ == limit) break;
    OpenTrigger& open = open_triggers_.at(id);
    open.claimed_until_us = now_us + kTriggerClaimUs;
    owners.insert({id.alert_id, open.trigger.user_id});
  }
  return std::vector<AlertOwner>(owners.begin(), owners.end());
}

absl::StatusOr<std::vector<PassedTrigger>> InMemoryAlertStore::LoadTriggers(const std::vector<std::string>& alert_ids,
                                                                            int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const std::set<std::string> wanted(alert_ids.begin(), alert_ids.end());
  std::vector<PassedTrigger> loaded;
  std::map<std::string, int> counts;
  for (const auto& [id, open] : open_triggers_) {
    if (wanted.count(id.alert_id) > 0 && counts[id.alert_id]++ < limit) loaded.push_back(open.trigger);
  }
  return loaded;
}

absl::Status InMemoryAlertStore::RemoveTriggers(const std::vector<TriggerId>& triggers) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  for (const TriggerId& id : triggers) open_triggers_.erase(id);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StoredAlert>> InMemoryAlertStore::DeleteUser(const std::string& user_id, int64_t now_us,
                                                                        int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  Owner& owner = owners_[user_id];
  owner.deleted = true;
  std::vector<StoredAlert> gone;
  for (auto& [id, alert] : alerts_) {
    if (alert.user_id != user_id || alert.record.deleted || gone.size() == static_cast<size_t>(limit)) continue;
    STOCKALERT_ASSIGN_OR_RETURN(alert, ApplyDelete(alert, now_us));
    OpenChangeOf(alert, now_us);
    --owner.alert_count;
    gone.push_back(alert);
  }
  return gone;
}

absl::StatusOr<int64_t> InMemoryAlertStore::Purge(int64_t before_us, int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  int64_t purged = 0;
  for (auto it = alerts_.begin(); it != alerts_.end() && purged < limit;) {
    if (!it->second.record.deleted || it->second.update_time_us >= before_us || changes_.count(it->first) > 0) {
      ++it;
      continue;
    }
    for (auto trigger = triggers_.lower_bound({it->first, 0});
         trigger != triggers_.end() && trigger->first.alert_id == it->first;) {
      trigger = triggers_.erase(trigger);
    }
    it = alerts_.erase(it);
    ++purged;
  }
  return purged;
}

absl::Status InMemoryAlertStore::ForgetMinutes(int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::erase_if(minutes_, [&](const auto& entry) { return entry.second.update_time_us < now_us - kMinutesKeptUs; });
  return absl::OkStatus();
}

absl::StatusOr<Backlog> InMemoryAlertStore::MeasureBacklog() {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  Backlog backlog;
  backlog.open_changes = static_cast<int64_t>(changes_.size());
  backlog.open_triggers = static_cast<int64_t>(open_triggers_.size());
  for (const auto& [id, change] : changes_) {
    if (backlog.oldest_open_change_us == 0 || change.open_time_us < backlog.oldest_open_change_us) {
      backlog.oldest_open_change_us = change.open_time_us;
    }
  }
  return backlog;
}

absl::Status InMemoryAlertStore::Ready() {
  std::lock_guard lock(mutex_);
  return failure_;
}

}  // namespace stockalert::alert
