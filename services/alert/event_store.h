// What the evaluator and the user service have told, on its way into the tables.
//
// The store offers the steps, event_rules.h puts them together: the store knows no rules. As AlertStore: thread-safe,
// bounded, UNAVAILABLE where the database does not answer.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/alert/alert_types.h"

namespace stockalert::alert {

// The steps of one transaction, valid while it lasts. A step that fails ends the whole of it by an exception, which the
// store itself catches: who takes the steps sees none of that.
class EventTransaction {
 public:
  virtual ~EventTransaction() = default;

  // Raises what the evaluator has confirmed of these alerts, and closes changes up to it. By alert id: a revision.
  virtual void Confirm(const std::map<std::string, int64_t>& revisions) = 0;

  // Those of the alerts that are there, tombstones included. Nobody else changes them, or records a trigger of theirs,
  // before the end of the transaction.
  virtual absl::StatusOr<std::map<std::string, StoredAlert>> LockAlerts(const std::set<std::string>& alert_ids) = 0;
  // Which of them are recorded.
  virtual std::set<TriggerId> FindRecorded(const std::set<TriggerId>& triggers) = 0;
  // Adds to users' counts of minutes; answers what they were before.
  virtual std::map<UserMinute, int64_t> AddToMinutes(const std::map<UserMinute, int64_t>& added, int64_t now_us) = 0;
  // Triggers of locked alerts that are not recorded.
  virtual void Record(const std::vector<RecordedTrigger>& triggers) = 0;
  // Of locked alerts: what triggers count and change, and nothing else.
  virtual void SaveTriggered(const std::vector<StoredAlert>& alerts) = 0;
  // Which of the alerts have triggers in the outbox.
  virtual std::vector<std::string> FindWaiting(const std::set<std::string>& alert_ids) = 0;
  virtual void PassOn(const std::vector<PassedTrigger>& triggers, int64_t claimed_until_us) = 0;

  // One of a symbol at most; each wins over one of a lower place, and loses against others.
  virtual void SaveStatuses(const std::vector<StoredSymbolStatus>& statuses) = 0;
};

// What a user's alert becomes when the user is deleted. Pure.
using Burial = std::function<absl::StatusOr<StoredAlert>(const StoredAlert& present)>;

class EventStore {
 public:
  virtual ~EventStore() = default;

  // Takes the steps in one transaction, and undoes them where they do not end with OK. They may be taken more than
  // once, each time from the beginning.
  virtual absl::Status Transact(const std::function<absl::Status(EventTransaction&)>& steps) = 0;

  // Who the alerts are of, tombstones included; those that are not known are left out.
  virtual absl::StatusOr<std::vector<AlertOwner>> FindOwners(const std::vector<std::string>& alert_ids) = 0;

  // Marks the user as gone for ever and turns up to `limit` of its alerts into tombstones, which it answers, and whose
  // changes it opens; fewer than `limit`: all done.
  virtual absl::StatusOr<std::vector<StoredAlert>> DeleteUser(const std::string& user_id, int64_t now_us, int limit,
                                                              const Burial& burial) = 0;
};

}  // namespace stockalert::alert
