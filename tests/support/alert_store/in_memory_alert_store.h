// AlertStore, OutboxStore and EventStore in memory, for tests: they promise what the Postgres stores promise, and are
// held to the same contract suite.
//
// Thread-safe by one mutex. FailWith makes every later call answer an error, as a database that is down does.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "services/alert/alert_store.h"
#include "services/alert/event_store.h"
#include "services/alert/outbox_store.h"

namespace stockalert::alert {

class InMemoryAlertStore final : public AlertStore, public OutboxStore, public EventStore {
 public:
  absl::Status Create(const std::string& user_id, const std::vector<StoredAlert>& alerts, int64_t quota, int64_t now_us,
                      const Admission& admission) override;
  // Unlike Postgres' it finds nobody's row locked.
  absl::StatusOr<std::vector<bool>> CreateGroup(const std::vector<Creation>& group, int64_t quota,
                                                int64_t now_us) override;
  absl::StatusOr<std::vector<StoredAlert>> FindByRequestIds(const std::string& user_id,
                                                            const std::vector<std::string>& request_ids) override;
  absl::StatusOr<std::optional<ShownAlert>> Find(const std::string& user_id, const std::string& alert_id) override;
  absl::StatusOr<std::vector<ShownAlert>> FindAll(const std::string& user_id,
                                                  const std::vector<std::string>& alert_ids) override;
  absl::StatusOr<ShownAlert> Change(const std::string& user_id, const std::string& alert_id, int64_t now_us,
                                    const Mutation& mutation) override;
  absl::StatusOr<std::vector<ShownAlert>> List(const ListFilter& filter, const std::optional<ListPlace>& after,
                                               int64_t now_us, int limit) override;
  absl::StatusOr<std::vector<RecordedTrigger>> ListTriggers(const TriggerFilter& filter,
                                                            const std::optional<TriggerPlace>& after,
                                                            int limit) override;
  absl::StatusOr<std::map<std::string, int64_t>> FindSplitNumbers(const std::vector<std::string>& symbols) override;
  absl::StatusOr<int64_t> Count(const std::string& symbol) override;
  absl::Status Ready() override;

  absl::StatusOr<std::vector<StoredAlert>> ClaimOpenChanges(int64_t now_us, int limit) override;
  absl::Status PostponeOpenChanges(const std::vector<std::string>& alert_ids, int64_t when_us) override;
  absl::StatusOr<ReopenedChanges> ReopenChanges(const std::string& symbol, const std::string& after_alert_id, int limit,
                                                int64_t now_us) override;
  absl::Status ForgetSymbolPlaces(const std::string& symbol) override;
  absl::StatusOr<std::vector<AlertOwner>> ClaimTriggers(int64_t now_us, int limit) override;
  absl::StatusOr<std::vector<PassedTrigger>> LoadTriggers(const std::vector<std::string>& alert_ids,
                                                          int limit) override;
  absl::Status RemoveTriggers(const std::vector<TriggerId>& triggers) override;
  absl::StatusOr<Backlog> MeasureBacklog() override;
  absl::StatusOr<int64_t> Purge(int64_t before_us, int limit) override;
  absl::Status ForgetMinutes(int64_t now_us) override;

  absl::Status Transact(const std::function<absl::Status(EventTransaction&)>& steps) override;
  absl::StatusOr<std::vector<AlertOwner>> FindOwners(const std::vector<std::string>& alert_ids) override;
  absl::StatusOr<std::vector<StoredAlert>> DeleteUser(const std::string& user_id, int64_t now_us, int limit,
                                                      const Burial& burial) override;

  // Any windows are admitted.
  absl::Status Create(const std::string& user_id, const std::vector<StoredAlert>& alerts, int64_t quota,
                      int64_t now_us) {
    return Create(user_id, alerts, quota, now_us, [](const OtherWindows&) { return absl::OkStatus(); });
  }

  // OK ends the failing.
  void FailWith(absl::Status status);

 private:
  struct Owner {
    int64_t alert_count = 0;
    bool deleted = false;
  };
  struct OpenChange {
    int64_t revision = 0;
    int64_t open_time_us = 0;
    int64_t next_attempt_us = 0;
    int attempts = 0;
  };
  struct OpenTrigger {
    PassedTrigger trigger;
    int64_t claimed_until_us = 0;
  };
  struct Minute {
    int64_t count = 0;
    int64_t update_time_us = 0;
  };
  struct Tables {
    std::map<std::string, Owner> owners;
    std::map<std::string, StoredAlert> alerts;
    std::map<std::string, OpenChange> changes;
    std::map<TriggerId, RecordedTrigger> triggers;
    std::map<TriggerId, OpenTrigger> open_triggers;
    std::map<std::string, StoredSymbolStatus> statuses;
    std::map<UserMinute, Minute> minutes;
    // By symbol and number. The alerts of a symbol are kept as after those that are known.
    std::map<std::string, std::map<int64_t, StoredSplit>> splits;

    std::vector<StoredSplit> SplitsOf(const std::string& symbol) const;
  };
  class Transaction;
  ShownAlert ViewOf(const StoredAlert& alert) const;
  // Of alerts that may be created.
  void Insert(const std::string& user_id, const std::vector<StoredAlert>& alerts, int64_t now_us);
  bool HasTakenId(const std::vector<StoredAlert>& alerts) const;
  bool HasTakenRequestId(const std::string& user_id, const std::vector<StoredAlert>& alerts) const;
  void AddOpenChange(const StoredAlert& alert, int64_t now_us);
  // The windows of the user's alerts on the symbols, but for those of `alert_ids`.
  WindowLengths OtherWindowsOf(const std::string& user_id, const std::set<std::string>& alert_ids,
                               const std::vector<std::string>& symbols) const;

  std::mutex mutex_;  // Guards all.
  absl::Status failure_;
  Tables tables_;
};

}  // namespace stockalert::alert
