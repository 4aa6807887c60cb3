// The alerts and triggers of the alert service, for its calls.
//
// The store has no rules of its own: the functions passed to it decide what happens to an alert, and it calls them
// inside its transaction (they are in alert_rules.h). OutboxStore (what has to go to Kafka) and EventStore (what came
// from there) are two more interfaces to the same tables. The Postgres stores share one schema;
// tests/support/alert_store implements all three in memory, and one suite in tests/contract checks both.
//
// Thread-safe. Every call is one transaction, or a single statement, and bounded in time and rows. All calls may answer
// UNAVAILABLE (DATABASE_UNAVAILABLE: nothing was done, or, said in the message, the outcome is unknown); other statuses
// stand beside each call.
//
// An alert's definition is kept with the number of the split that its prices allow for, and read as after all splits of
// its symbol that are known (BringForward): the two are one value, so that no order of a split and a call scales twice
// or not at all. What is written is what was read, or what the caller says of a new alert.
//
// An alert whose `record.revision` has not been confirmed by the evaluator has an *open change*: creating or changing
// it opens one in the same transaction.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/alert/alert_types.h"

namespace stockalert::alert {

struct ListFilter {
  std::optional<std::string> user_id;  // None: everybody's.
  std::string symbol;                  // Empty: any.
  std::vector<ShownState> states;      // Empty: any.
};

// The place of an alert in ListAlerts: newest first, the larger id first among equals.
struct ListPlace {
  int64_t create_time_us = 0;
  std::string alert_id;
};

struct TriggerFilter {
  std::string user_id;
  std::optional<std::string> alert_id;
};

// The place of a trigger in ListTriggers: newest first.
struct TriggerPlace {
  int64_t create_time_us = 0;
  std::string alert_id;
  int64_t number = 0;
};

// The windows of the user's other alerts on these symbols. Queries within the transaction and locks the owner until its
// end, so that nobody else adds one meanwhile. Only valid during the call that it is passed to.
using OtherWindows = std::function<WindowLengths(const std::vector<std::string>& symbols)>;

// Whether the user may have the new alerts beside the others. Pure apart from OtherWindows; called at most once a
// transaction. Its error ends the call.
using Admission = std::function<absl::Status(const OtherWindows& others)>;

// Computes the changed alert from the present one. Pure apart from OtherWindows: it may be called more than once. Its
// error ends the call. An alert whose revision it did not raise is not written.
using Mutation = std::function<absl::StatusOr<StoredAlert>(const ShownAlert& present, const OtherWindows& others)>;

// The new alerts of one call.
struct Creation {
  std::string user_id;
  const std::vector<StoredAlert>* alerts;  // All of this user; must outlive the call that it is passed to.
};

class AlertStore {
 public:
  virtual ~AlertStore() = default;

  // Adds new alerts (revision 1) of one user, all or none, counts them against the quota and opens their changes.
  // RESOURCE_EXHAUSTED (ALERT_QUOTA). NOT_FOUND (USER_NOT_FOUND): the user was deleted. ALREADY_EXISTS
  // (REQUEST_ID_TAKEN): one of the request ids is taken. Safe to run again with the same ids.
  virtual absl::Status Create(const std::string& user_id, const std::vector<StoredAlert>& alerts, int64_t quota,
                              int64_t now_us, const Admission& admission) = 0;
  // Does what Create does for many calls in one transaction. Answers for each whether its alerts, all or none of them,
  // were added. Those that were not change nothing for the others; Create says why, which may be: the user is over the
  // quota, or would be with all of the user's that are in the group; was deleted; has never had an alert; or is being
  // changed by another transaction, for which this one does not wait. An error is about all: nothing was added, or,
  // UNAVAILABLE, as it says. ALREADY_EXISTS: one of the ids or request ids is taken. Safe to run again with the same
  // ids, as with Create.
  virtual absl::StatusOr<std::vector<bool>> CreateGroup(const std::vector<Creation>& group, int64_t quota,
                                                        int64_t now_us) = 0;
  // The user's alerts that were created with these request ids, tombstones included, in no order.
  virtual absl::StatusOr<std::vector<StoredAlert>> FindByRequestIds(const std::string& user_id,
                                                                    const std::vector<std::string>& request_ids) = 0;
  // None: no such alert of this user, or deleted.
  virtual absl::StatusOr<std::optional<ShownAlert>> Find(const std::string& user_id, const std::string& alert_id) = 0;
  // Those of these alerts of the user that exist, in no particular order.
  virtual absl::StatusOr<std::vector<ShownAlert>> FindAll(const std::string& user_id,
                                                          const std::vector<std::string>& alert_ids) = 0;
  // Replaces the alert by the result of `mutation`, while nobody else changes it, and opens the change. A mutation that
  // sets record.deleted leaves a tombstone and frees its place in the quota. NOT_FOUND (ALERT_NOT_FOUND).
  virtual absl::StatusOr<ShownAlert> Change(const std::string& user_id, const std::string& alert_id, int64_t now_us,
                                            const Mutation& mutation) = 0;
  virtual absl::StatusOr<std::vector<ShownAlert>> List(const ListFilter& filter, const std::optional<ListPlace>& after,
                                                       int64_t now_us, int limit) = 0;
  virtual absl::StatusOr<std::vector<RecordedTrigger>> ListTriggers(const TriggerFilter& filter,
                                                                    const std::optional<TriggerPlace>& after,
                                                                    int limit) = 0;
  // The number of each symbol's last split that is known with all before it; 0: none is. What a price named now allows
  // for.
  virtual absl::StatusOr<std::map<std::string, int64_t>> FindSplitNumbers(const std::vector<std::string>& symbols) = 0;
  // The number of alerts in any state on a symbol; an empty symbol: on all.
  virtual absl::StatusOr<int64_t> Count(const std::string& symbol) = 0;

  virtual absl::Status Ready() = 0;
};

}  // namespace stockalert::alert
