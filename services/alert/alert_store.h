// Where alerts, their outbox, their triggers and what is known of symbols live: the truth of the alert service.
//
// PostgresAlertStore keeps it in Postgres; tests/support/alert_store has one in memory, and tests/contract holds both
// to one suite. Thread-safe. Every call is one transaction, or a single statement, and bounded in time and rows. All
// calls may answer UNAVAILABLE (DATABASE_UNAVAILABLE: nothing was done, or, said in the message, the outcome is
// unknown); other statuses stand beside each call.
//
// An alert whose `record.revision` has not been confirmed by the evaluator has an *open change*: creating or changing
// it opens one in the same transaction, ApplyEvents closes it. ClaimOpenChanges hands open ones that are due to one
// caller at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/alert/alert_types.h"

namespace stockalert::alert {

// An open change is first swept so long after the call that made it, which publishes it itself.
inline constexpr int64_t kFirstSweepUs = 5'000'000;
// Later sweeps of the same revision are twice as far apart each, up to this.
inline constexpr int64_t kSweepPauseMaxUs = 300'000'000;
// How long a user's count of a minute is kept after it was last written: what comes later begins a new count.
inline constexpr int64_t kMinutesKeptUs = 3'600'000'000;
// How long a passed trigger is the business of the instance that wrote or claimed it.
inline constexpr int64_t kTriggerClaimUs = 10'000'000;

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

struct AppliedEvents {
  // The triggers that the outbox got now, an alert's in order.
  std::vector<PassedTrigger> passed;
  // The alerts among them that have older triggers in the outbox, which must go first.
  std::vector<std::string> alerts_with_older;
  int64_t triggers_recorded = 0;  // New ones, withheld ones included.
  int64_t triggers_repeated = 0;  // Known already.
  int64_t triggers_withheld = 0;
  int64_t triggers_throttled = 0;  // New ones that are passed on after the others.
  int64_t triggers_unknown = 0;    // Of alerts that this store has never heard of, or has forgotten.
};

struct ReopenedChanges {
  int64_t count = 0;
  std::string last_alert_id;  // Where the next call goes on; empty at the end.
};

struct Backlog {
  int64_t open_changes = 0;
  int64_t oldest_open_change_us = 0;  // When it was opened; 0: there is none.
  int64_t open_triggers = 0;
};

// Computes the changed alert from the present one. Pure: it may be called more than once. An error ends the call with
// it. An alert whose revision it did not raise is not written.
using Mutation = std::function<absl::StatusOr<StoredAlert>(const AlertView& present)>;

class AlertStore {
 public:
  virtual ~AlertStore() = default;

  // Adds new alerts (revision 1) of one user, all or none, counts them against the quota and opens their changes.
  // RESOURCE_EXHAUSTED (ALERT_QUOTA, WINDOW_QUOTA). NOT_FOUND (USER_NOT_FOUND): the user was deleted. ALREADY_EXISTS
  // (REQUEST_ID_TAKEN): one of the request ids is taken. Safe to run again with the same ids.
  virtual absl::Status Create(const std::string& user_id, const std::vector<StoredAlert>& alerts, int64_t quota,
                              int64_t now_us) = 0;
  // The user's alerts that were created with these request ids, tombstones included, in no order.
  virtual absl::StatusOr<std::vector<StoredAlert>> FindByRequestIds(const std::string& user_id,
                                                                    const std::vector<std::string>& request_ids) = 0;
  // None: no such alert of this user, or deleted.
  virtual absl::StatusOr<std::optional<AlertView>> Find(const std::string& user_id, const std::string& alert_id) = 0;
  // Of these alerts of the user those that are there, in no order.
  virtual absl::StatusOr<std::vector<AlertView>> FindAll(const std::string& user_id,
                                                         const std::vector<std::string>& alert_ids) = 0;
  // Replaces the alert by what `mutation` makes of it, while nobody else changes it, and opens the change. A mutation
  // that sets record.deleted leaves a tombstone and frees its place in the quota. NOT_FOUND (ALERT_NOT_FOUND).
  // RESOURCE_EXHAUSTED (WINDOW_QUOTA).
  virtual absl::StatusOr<AlertView> Change(const std::string& user_id, const std::string& alert_id, int64_t now_us,
                                           const Mutation& mutation) = 0;
  virtual absl::StatusOr<std::vector<AlertView>> List(const ListFilter& filter, const std::optional<ListPlace>& after,
                                                      int64_t now_us, int limit) = 0;
  virtual absl::StatusOr<std::vector<StoredTrigger>> ListTriggers(const TriggerFilter& filter,
                                                                  const std::optional<TriggerPlace>& after,
                                                                  int limit) = 0;
  // Alerts of any state on a symbol; an empty symbol: on all.
  virtual absl::StatusOr<int64_t> Count(const std::string& symbol) = 0;

  // The latest state of up to `limit` alerts whose open changes are due, tombstones included; they are due again later.
  virtual absl::StatusOr<std::vector<StoredAlert>> ClaimOpenChanges(int64_t now_us, int limit) = 0;
  // The open changes of these alerts are due at `when_us`.
  virtual absl::Status PostponeOpenChanges(const std::vector<std::string>& alert_ids, int64_t when_us) = 0;
  // Opens a change for up to `limit` alerts (on `symbol`, where not empty) with ids above `after_alert_id`, tombstones
  // included.
  virtual absl::StatusOr<ReopenedChanges> ReopenChanges(const std::string& symbol, const std::string& after_alert_id,
                                                        int limit, int64_t now_us) = 0;
  // Lets the next SymbolStatus win whatever its place: for a log that began anew.
  virtual absl::Status ForgetSymbolPlaces(const std::string& symbol) = 0;

  // Takes over what the evaluator said, each part at most once for ever: confirmations close changes, triggers are
  // recorded and move the shown state and are put into the outbox unless they are withheld, statuses win by their
  // place. A trigger is throttled if batch.triggers_per_minute of its user's with an event time in the same minute were
  // recorded, and not withheld, before it.
  virtual absl::StatusOr<AppliedEvents> ApplyEvents(const EventBatch& batch, int64_t now_us) = 0;

  // Who the alerts are of, tombstones included; those that are not known are left out.
  virtual absl::StatusOr<std::vector<AlertOwner>> FindOwners(const std::vector<std::string>& alert_ids) = 0;

  // Alerts with triggers in the outbox that nobody is taking care of, at most `limit` rows' worth, as many of each
  // user's as of any other; claimed for kTriggerClaimUs.
  virtual absl::StatusOr<std::vector<AlertOwner>> ClaimTriggers(int64_t now_us, int limit) = 0;
  // What the outbox holds for these alerts, by alert and number, at most `limit` rows of each.
  virtual absl::StatusOr<std::vector<PassedTrigger>> LoadTriggers(const std::vector<std::string>& alert_ids,
                                                                  int limit) = 0;
  virtual absl::Status RemoveTriggers(const std::vector<TriggerId>& triggers) = 0;

  // Marks the user as gone for ever and turns up to `limit` of its alerts into tombstones, which it answers; fewer than
  // `limit`: all done.
  virtual absl::StatusOr<std::vector<StoredAlert>> DeleteUser(const std::string& user_id, int64_t now_us,
                                                              int limit) = 0;
  // Forgets tombstones (with their triggers) that were made before `before_us` and have no open change; answers how
  // many.
  virtual absl::StatusOr<int64_t> Purge(int64_t before_us, int limit) = 0;
  // Forgets users' counts of minutes that were not written for kMinutesKeptUs, a bounded number at a time.
  virtual absl::Status ForgetMinutes(int64_t now_us) = 0;

  virtual absl::StatusOr<Backlog> MeasureBacklog() = 0;
  virtual absl::Status Ready() = 0;
};

}  // namespace stockalert::alert
