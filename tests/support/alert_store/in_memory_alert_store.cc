#include "tests/support/alert_store/in_memory_alert_store.h"

#include <algorithm>
#include <utility>

#include "services/alert/alert_errors.h"
#include "services/alert/alert_rules.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"

namespace stockalert::alert {

void InMemoryAlertStore::FailWith(absl::Status status) {
  std::lock_guard lock(mutex_);
  failure_ = std::move(status);
}

ShownAlert InMemoryAlertStore::ViewOf(const StoredAlert& alert) const {
  ShownAlert view;
  view.alert = alert;
  if (const auto trigger = tables_.triggers.find({alert.id, alert.last_trigger_number});
      trigger != tables_.triggers.end())
    view.last_trigger = trigger->second;
  view.status.symbol = alert.symbol;
  if (const auto status = tables_.statuses.find(alert.symbol); status != tables_.statuses.end())
    view.status = status->second;
  return view;
}

void InMemoryAlertStore::AddOpenChange(const StoredAlert& alert, int64_t now_us) {
  tables_.changes[alert.id] = {alert.record.revision, now_us, now_us + kFirstSweepUs, 0};
}

bool InMemoryAlertStore::HasTakenId(const std::vector<StoredAlert>& alerts) const {
  return std::any_of(alerts.begin(), alerts.end(),
                     [&](const StoredAlert& alert) { return tables_.alerts.count(alert.id) > 0; });
}

bool InMemoryAlertStore::HasTakenRequestId(const std::string& user_id, const std::vector<StoredAlert>& alerts) const {
  for (const StoredAlert& alert : alerts) {
    for (const auto& [id, present] : tables_.alerts) {
      if (!alert.request_id.empty() && present.user_id == user_id && present.request_id == alert.request_id)
        return true;
    }
  }
  return false;
}

void InMemoryAlertStore::Insert(const std::string& user_id, const std::vector<StoredAlert>& alerts, int64_t now_us) {
  tables_.owners[user_id].alert_count += static_cast<int64_t>(alerts.size());
  for (StoredAlert alert : alerts) {
    alert.create_time_us = now_us;
    alert.update_time_us = now_us;
    BringForward(tables_.SplitsOf(alert.symbol), alert);
    AddOpenChange(alert, now_us);
    tables_.alerts.emplace(alert.id, std::move(alert));
  }
}

absl::Status InMemoryAlertStore::Create(const std::string& user_id, const std::vector<StoredAlert>& alerts,
                                        int64_t quota, int64_t now_us, const Admission& admission) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  if (HasTakenId(alerts)) return absl::OkStatus();
  const auto owner = tables_.owners.find(user_id);
  if (owner != tables_.owners.end() && owner->second.deleted)
    return base::NotFound(kReasonUserNotFound, "the user was deleted");
  const int64_t count = owner == tables_.owners.end() ? 0 : owner->second.alert_count;
  if (count + static_cast<int64_t>(alerts.size()) > quota)
    return base::ResourceExhausted(kReasonAlertQuota, "over the quota");
  if (HasTakenRequestId(user_id, alerts)) {
    return base::AlreadyExists(kReasonRequestIdTaken, "the request id was used before");
  }
  std::set<std::string> ids;
  for (const StoredAlert& alert : alerts) ids.insert(alert.id);
  STOCKALERT_RETURN_IF_ERROR(
      admission([&](const std::vector<std::string>& symbols) { return OtherWindowsOf(user_id, ids, symbols); }));
  Insert(user_id, alerts, now_us);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<bool>> InMemoryAlertStore::CreateGroup(const std::vector<Creation>& group, int64_t quota,
                                                                  int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::map<std::string, int64_t> added;
  for (const Creation& creation : group) added[creation.user_id] += static_cast<int64_t>(creation.alerts->size());
  std::vector<bool> created;
  for (const Creation& creation : group) {
    const auto owner = tables_.owners.find(creation.user_id);
    created.push_back(owner != tables_.owners.end() && !owner->second.deleted &&
                      owner->second.alert_count + added[creation.user_id] <= quota);
  }
  for (size_t i = 0; i < group.size(); ++i) {
    if (!created[i]) continue;
    if (HasTakenId(*group[i].alerts) || HasTakenRequestId(group[i].user_id, *group[i].alerts)) {
      return base::AlreadyExists(kReasonRequestIdTaken, "an id or a request id of the group was used before");
    }
  }
  for (size_t i = 0; i < group.size(); ++i) {
    if (created[i]) Insert(group[i].user_id, *group[i].alerts, now_us);
  }
  return created;
}

WindowLengths InMemoryAlertStore::OtherWindowsOf(const std::string& user_id, const std::set<std::string>& alert_ids,
                                                 const std::vector<std::string>& symbols) const {
  WindowLengths lengths;
  for (const auto& [id, alert] : tables_.alerts) {
    if (alert.user_id != user_id || alert.record.deleted || alert_ids.count(id) > 0) continue;
    if (std::find(symbols.begin(), symbols.end(), alert.symbol) == symbols.end()) continue;
    const auto* change = std::get_if<condition::PercentChange>(&alert.record.definition.condition);
    if (change != nullptr && change->window_us > 0) lengths[alert.symbol].insert(change->window_us);
  }
  return lengths;
}

absl::StatusOr<std::vector<StoredAlert>> InMemoryAlertStore::FindByRequestIds(
    const std::string& user_id, const std::vector<std::string>& request_ids) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<StoredAlert> found;
  for (const auto& [id, alert] : tables_.alerts) {
    if (alert.user_id == user_id && !alert.request_id.empty() &&
        std::find(request_ids.begin(), request_ids.end(), alert.request_id) != request_ids.end()) {
      found.push_back(alert);
    }
  }
  return found;
}

absl::StatusOr<std::optional<ShownAlert>> InMemoryAlertStore::Find(const std::string& user_id,
                                                                   const std::string& alert_id) {
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<ShownAlert> views, FindAll(user_id, {alert_id}));
  if (views.empty()) return std::optional<ShownAlert>();
  return std::optional<ShownAlert>(std::move(views.front()));
}

absl::StatusOr<std::vector<ShownAlert>> InMemoryAlertStore::FindAll(const std::string& user_id,
                                                                    const std::vector<std::string>& alert_ids) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<ShownAlert> views;
  for (const std::string& id : alert_ids) {
    const auto found = tables_.alerts.find(id);
    if (found != tables_.alerts.end() && found->second.user_id == user_id && !found->second.record.deleted)
      views.push_back(ViewOf(found->second));
  }
  return views;
}

absl::StatusOr<ShownAlert> InMemoryAlertStore::Change(const std::string& user_id, const std::string& alert_id,
                                                      int64_t now_us, const Mutation& mutation) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const auto found = tables_.alerts.find(alert_id);
  if (found == tables_.alerts.end() || found->second.user_id != user_id || found->second.record.deleted) {
    return base::NotFound(kReasonAlertNotFound, "no such alert");
  }
  ShownAlert view = ViewOf(found->second);
  const int64_t revision = view.alert.record.revision;
  STOCKALERT_ASSIGN_OR_RETURN(view.alert, mutation(view, [&](const std::vector<std::string>& symbols) {
                                return OtherWindowsOf(user_id, {alert_id}, symbols);
                              }));
  if (view.alert.record.revision == revision) return view;
  view.alert.update_time_us = now_us;
  found->second = view.alert;
  AddOpenChange(view.alert, now_us);
  if (view.alert.record.deleted) --tables_.owners[user_id].alert_count;
  return view;
}

absl::StatusOr<std::vector<ShownAlert>> InMemoryAlertStore::List(const ListFilter& filter,
                                                                 const std::optional<ListPlace>& after, int64_t now_us,
                                                                 int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<ShownAlert> views;
  for (const auto& [id, alert] : tables_.alerts) {
    if (alert.record.deleted || (filter.user_id && alert.user_id != *filter.user_id)) continue;
    if (!filter.symbol.empty() && alert.symbol != filter.symbol) continue;
    if (after && !(std::pair(alert.create_time_us, alert.id) < std::pair(after->create_time_us, after->alert_id)))
      continue;
    ShownAlert view = ViewOf(alert);
    if (!filter.states.empty() &&
        std::find(filter.states.begin(), filter.states.end(), StateOf(view, now_us)) == filter.states.end())
      continue;
    views.push_back(std::move(view));
  }
  std::sort(views.begin(), views.end(), [](const ShownAlert& a, const ShownAlert& b) {
    return std::pair(a.alert.create_time_us, a.alert.id) > std::pair(b.alert.create_time_us, b.alert.id);
  });
  if (views.size() > static_cast<size_t>(limit)) views.resize(static_cast<size_t>(limit));
  return views;
}

absl::StatusOr<std::vector<RecordedTrigger>> InMemoryAlertStore::ListTriggers(const TriggerFilter& filter,
                                                                              const std::optional<TriggerPlace>& after,
                                                                              int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const auto place = [&](const RecordedTrigger& trigger) {
    // An alert's own are ordered by their numbers alone.
    return std::tuple(filter.alert_id ? 0 : trigger.create_time_us, filter.alert_id ? "" : trigger.alert_id,
                      trigger.number);
  };
  std::vector<RecordedTrigger> triggers;
  for (const auto& [id, trigger] : tables_.triggers) {
    if (trigger.user_id != filter.user_id || (filter.alert_id && trigger.alert_id != *filter.alert_id)) continue;
    if (tables_.alerts.at(trigger.alert_id).record.deleted) continue;
    RecordedTrigger border;
    if (after) {
      border.create_time_us = after->create_time_us;
      border.alert_id = after->alert_id;
      border.number = after->number;
      if (!(place(trigger) < place(border))) continue;
    }
    triggers.push_back(trigger);
  }
  std::sort(triggers.begin(), triggers.end(),
            [&](const RecordedTrigger& a, const RecordedTrigger& b) { return place(a) > place(b); });
  if (triggers.size() > static_cast<size_t>(limit)) triggers.resize(static_cast<size_t>(limit));
  return triggers;
}

std::vector<StoredSplit> InMemoryAlertStore::Tables::SplitsOf(const std::string& symbol) const {
  std::vector<StoredSplit> of_symbol;
  const auto found = splits.find(symbol);
  if (found == splits.end()) return of_symbol;
  for (const auto& [number, split] : found->second) of_symbol.push_back(split);
  return of_symbol;
}

absl::StatusOr<std::map<std::string, int64_t>> InMemoryAlertStore::FindSplitNumbers(
    const std::vector<std::string>& symbols) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::map<std::string, int64_t> numbers;
  for (const std::string& symbol : symbols) {
    for (const StoredSplit& split : tables_.SplitsOf(symbol)) {
      int64_t& last = numbers[symbol];
      if (split.number == last + 1) last = split.number;
    }
  }
  return numbers;
}

absl::StatusOr<int64_t> InMemoryAlertStore::Count(const std::string& symbol) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  return static_cast<int64_t>(std::count_if(tables_.alerts.begin(), tables_.alerts.end(), [&](const auto& entry) {
    return !entry.second.record.deleted && (symbol.empty() || entry.second.symbol == symbol);
  }));
}

absl::StatusOr<std::vector<StoredAlert>> InMemoryAlertStore::ClaimOpenChanges(int64_t now_us, int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<std::pair<int64_t, std::string>> due;
  for (const auto& [id, change] : tables_.changes) {
    if (change.next_attempt_us <= now_us) due.emplace_back(change.next_attempt_us, id);
  }
  std::sort(due.begin(), due.end());
  if (due.size() > static_cast<size_t>(limit)) due.resize(static_cast<size_t>(limit));
  std::vector<StoredAlert> claimed;
  for (const auto& [when, id] : due) {
    OpenChange& change = tables_.changes.at(id);
    change.next_attempt_us = now_us + std::min(kSweepPauseMaxUs, kFirstSweepUs << std::min(change.attempts, 10));
    ++change.attempts;
    claimed.push_back(tables_.alerts.at(id));
  }
  return claimed;
}

absl::Status InMemoryAlertStore::PostponeOpenChanges(const std::vector<std::string>& alert_ids, int64_t when_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  for (const std::string& id : alert_ids) {
    if (const auto found = tables_.changes.find(id); found != tables_.changes.end())
      found->second.next_attempt_us = when_us;
  }
  return absl::OkStatus();
}

absl::StatusOr<ReopenedChanges> InMemoryAlertStore::ReopenChanges(const std::string& symbol,
                                                                  const std::string& after_alert_id, int limit,
                                                                  int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  ReopenedChanges reopened;
  for (auto it = tables_.alerts.upper_bound(after_alert_id); it != tables_.alerts.end(); ++it) {
    if (!symbol.empty() && it->second.symbol != symbol) continue;
    OpenChange& change =
        tables_.changes.try_emplace(it->first, OpenChange{it->second.record.revision, now_us, now_us, 0}).first->second;
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
  for (auto& [name, status] : tables_.statuses) {
    if (!symbol.empty() && name != symbol) continue;
    status.partition = 0;
    status.offset = -1;
  }
  return absl::OkStatus();
}

class InMemoryAlertStore::Transaction final : public EventTransaction {
 public:
  explicit Transaction(Tables& tables) : tables_(tables) {}

  void ConfirmRevisions(const std::map<std::string, int64_t>& revisions) override {
    for (const auto& [id, revision] : revisions) {
      if (const auto alert = tables_.alerts.find(id); alert != tables_.alerts.end()) {
        alert->second.applied_revision =
            std::max(alert->second.applied_revision, std::min(revision, alert->second.record.revision));
      }
      const auto change = tables_.changes.find(id);
      if (change != tables_.changes.end() && change->second.revision <= revision) tables_.changes.erase(change);
    }
  }

  absl::StatusOr<std::map<std::string, StoredAlert>> LockAlerts(const std::set<std::string>& alert_ids) override {
    std::map<std::string, StoredAlert> found;
    for (const std::string& id : alert_ids) {
      if (const auto alert = tables_.alerts.find(id); alert != tables_.alerts.end()) found.insert(*alert);
    }
    return found;
  }

  std::set<TriggerId> FindRecorded(const std::set<TriggerId>& triggers) override {
    std::set<TriggerId> recorded;
    for (const TriggerId& id : triggers) {
      if (tables_.triggers.count(id) > 0) recorded.insert(id);
    }
    return recorded;
  }

  std::map<UserMinute, int64_t> AddToMinutes(const std::map<UserMinute, int64_t>& added, int64_t now_us) override {
    std::map<UserMinute, int64_t> before;
    for (const auto& [place, count] : added) {
      Minute& minute = tables_.minutes[place];
      before[place] = minute.count;
      minute = {minute.count + count, now_us};
    }
    return before;
  }

  void RecordTriggers(const std::vector<RecordedTrigger>& triggers) override {
    for (const RecordedTrigger& trigger : triggers)
      tables_.triggers.insert_or_assign({trigger.alert_id, trigger.number}, trigger);
  }

  void SaveTriggered(const std::vector<StoredAlert>& alerts) override {
    for (const StoredAlert& alert : alerts) {
      StoredAlert& kept = tables_.alerts.at(alert.id);
      kept.trigger_count = alert.trigger_count;
      kept.last_trigger_number = alert.last_trigger_number;
      kept.record.triggered = alert.record.triggered;
      kept.throttled_count = alert.throttled_count;
      kept.throttle_end_us = alert.throttle_end_us;
    }
  }

  std::vector<std::string> FindAlertsInOutbox(const std::set<std::string>& alert_ids) override {
    std::vector<std::string> waiting;
    for (const std::string& id : alert_ids) {
      const auto first = tables_.open_triggers.lower_bound({id, 0});
      if (first != tables_.open_triggers.end() && first->first.alert_id == id) waiting.push_back(id);
    }
    return waiting;
  }

  void AddToOutbox(const std::vector<PassedTrigger>& triggers, int64_t claimed_until_us) override {
    for (const PassedTrigger& trigger : triggers)
      tables_.open_triggers.emplace(TriggerId{trigger.alert_id, trigger.number},
                                    OpenTrigger{trigger, claimed_until_us});
  }

  void SaveStatuses(const std::vector<StoredSymbolStatus>& statuses) override {
    for (const StoredSymbolStatus& status : statuses) {
      const auto [slot, is_new] = tables_.statuses.try_emplace(status.symbol, status);
      StoredSymbolStatus& kept = slot->second;
      if (!is_new && std::pair(status.partition, status.offset) > std::pair(kept.partition, kept.offset)) kept = status;
    }
  }

  int64_t SaveSplits(const std::vector<StoredSplit>& splits, int64_t) override {
    int64_t added = 0;
    for (const StoredSplit& split : splits) {
      added += tables_.splits[split.symbol].emplace(split.number, split).second ? 1 : 0;
      for (auto& [id, alert] : tables_.alerts) {
        if (alert.symbol == split.symbol) BringForward(tables_.SplitsOf(split.symbol), alert);
      }
    }
    return added;
  }

 private:
  Tables& tables_;
};

absl::Status InMemoryAlertStore::Transact(const std::function<absl::Status(EventTransaction&)>& steps) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  Tables changed = tables_;
  Transaction transaction(changed);
  STOCKALERT_RETURN_IF_ERROR(steps(transaction));
  tables_ = std::move(changed);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<AlertOwner>> InMemoryAlertStore::FindOwners(const std::vector<std::string>& alert_ids) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<AlertOwner> owners;
  for (const std::string& id : alert_ids) {
    if (const auto found = tables_.alerts.find(id); found != tables_.alerts.end())
      owners.push_back({id, found->second.user_id});
  }
  return owners;
}

absl::StatusOr<std::vector<AlertOwner>> InMemoryAlertStore::ClaimTriggers(int64_t now_us, int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  using Due = std::tuple<bool, int64_t, TriggerId>;
  std::map<std::string, std::vector<Due>> due;
  for (const auto& [id, open] : tables_.open_triggers) {
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
    OpenTrigger& open = tables_.open_triggers.at(id);
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
  for (const auto& [id, open] : tables_.open_triggers) {
    if (wanted.count(id.alert_id) > 0 && counts[id.alert_id]++ < limit) loaded.push_back(open.trigger);
  }
  return loaded;
}

absl::Status InMemoryAlertStore::RemoveTriggers(const std::vector<TriggerId>& triggers) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  for (const TriggerId& id : triggers) tables_.open_triggers.erase(id);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StoredAlert>> InMemoryAlertStore::DeleteUser(const std::string& user_id, int64_t now_us,
                                                                        int limit, const Burial& burial) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  Owner& owner = tables_.owners[user_id];
  owner.deleted = true;
  std::vector<StoredAlert> gone;
  for (auto& [id, alert] : tables_.alerts) {
    if (alert.user_id != user_id || alert.record.deleted || gone.size() == static_cast<size_t>(limit)) continue;
    STOCKALERT_ASSIGN_OR_RETURN(alert, burial(alert));
    AddOpenChange(alert, now_us);
    --owner.alert_count;
    gone.push_back(alert);
  }
  return gone;
}

absl::StatusOr<int64_t> InMemoryAlertStore::Purge(int64_t before_us, int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  int64_t purged = 0;
  for (auto it = tables_.alerts.begin(); it != tables_.alerts.end() && purged < limit;) {
    if (!it->second.record.deleted || it->second.update_time_us >= before_us || tables_.changes.count(it->first) > 0) {
      ++it;
      continue;
    }
    for (auto trigger = tables_.triggers.lower_bound({it->first, 0});
         trigger != tables_.triggers.end() && trigger->first.alert_id == it->first;) {
      trigger = tables_.triggers.erase(trigger);
    }
    it = tables_.alerts.erase(it);
    ++purged;
  }
  return purged;
}

absl::Status InMemoryAlertStore::ForgetMinutes(int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::erase_if(tables_.minutes,
                [&](const auto& entry) { return entry.second.update_time_us < now_us - kMinutesKeptUs; });
  return absl::OkStatus();
}

absl::StatusOr<Backlog> InMemoryAlertStore::MeasureBacklog() {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  Backlog backlog;
  backlog.open_changes = static_cast<int64_t>(tables_.changes.size());
  backlog.open_triggers = static_cast<int64_t>(tables_.open_triggers.size());
  for (const auto& [id, change] : tables_.changes) {
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
