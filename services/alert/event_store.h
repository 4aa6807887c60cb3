// Stores the events of the evaluator and the user service.
//
// The store offers the steps and event_rules.h combines them: the store has no rules of its own. As AlertStore:
// thread-safe, bounded, UNAVAILABLE where the database does not answer.
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

// The steps of one transaction, valid while it lasts. A step that fails ends the transaction by an exception, which the
// store itself catches: callers of the steps need not care.
class EventTransaction {
 public:
  virtual ~EventTransaction() = default;

  // Raises the confirmed revision of each alert (by id), and closes its changes up to that revision.
  virtual void ConfirmRevisions(const std::map<std::string, int64_t>& revisions) = 0;

  // Those of the alerts that exist, tombstones included. Until the end of the transaction nobody else changes them or
  // records their triggers.
  virtual absl::StatusOr<std::map<std::string, StoredAlert>> LockAlerts(const std::set<std::string>& alert_ids) = 0;
  // Those of the triggers that are recorded already.
  virtual std::set<TriggerId> FindRecorded(const std::set<TriggerId>& triggers) = 0;
  // Adds to users' trigger counts by minute; returns the counts before.
  virtual std::map<UserMinute, int64_t> AddToMinutes(const std::map<UserMinute, int64_t>& added, int64_t now_us) = 0;
  // Records triggers. Preconditions: their alerts are locked, and they are not recorded yet.
  virtual void RecordTriggers(const std::vector<RecordedTrigger>& triggers) = 0;
  // Saves of these locked alerts what triggers change, and nothing else.
  virtual void SaveTriggered(const std::vector<StoredAlert>& alerts) = 0;
  // Which of the alerts have triggers in the outbox.
  virtual std::vector<std::string> FindAlertsInOutbox(const std::set<std::string>& alert_ids) = 0;
  virtual void AddToOutbox(const std::vector<PassedTrigger>& triggers, int64_t claimed_until_us) = 0;

  // At most one per symbol. A status replaces a stored one only if its place in the log is higher.
  virtual void SaveStatuses(const std::vector<StoredSymbolStatus>& statuses) = 0;
  // Splits that are not known yet, by symbol and number; those that are stay as they are. Every alert of the symbols is
  // read as after them from the end of the transaction on, and their users are to be told (SplitNoticeStore). Returns
  // how many were new.
  virtual int64_t SaveSplits(const std::vector<StoredSplit>& splits, int64_t now_us) = 0;
};

// Turns an alert of a deleted user into its tombstone. Pure.
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
