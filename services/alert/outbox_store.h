// What still has to go to Kafka: open changes of alerts, which the evaluator has not confirmed, and triggers, which the
// notifier's topic may not have. Also the regular clean-up of the tables.
//
// As AlertStore: thread-safe, each call one bounded transaction, UNAVAILABLE where the database does not answer. Rows
// are claimed, so that any number of instances may work through an outbox.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/alert/alert_types.h"

namespace stockalert::alert {

// When an open change is swept for the first time, counted from the call that made it: that call publishes it itself.
inline constexpr int64_t kFirstSweepUs = 5'000'000;
// The pauses between later sweeps of the same revision double, up to this.
inline constexpr int64_t kSweepPauseMaxUs = 300'000'000;
// How long a user's count for a minute is kept after its last change: a later trigger of that minute starts a new
// count.
inline constexpr int64_t kMinutesKeptUs = 3'600'000'000;
// How long a trigger in the outbox belongs to the instance that wrote or claimed it.
inline constexpr int64_t kTriggerClaimUs = 10'000'000;

struct ReopenedChanges {
  int64_t count = 0;
  std::string last_alert_id;  // Where the next call goes on; empty at the end.
};

struct Backlog {
  int64_t open_changes = 0;
  int64_t oldest_open_change_us = 0;  // When it was opened; 0: there is none.
  int64_t open_triggers = 0;
};

class OutboxStore {
 public:
  virtual ~OutboxStore() = default;

  // Claims up to `limit` due open changes, and returns the latest state of their alerts, tombstones included. They
  // become due again later.
  virtual absl::StatusOr<std::vector<StoredAlert>> ClaimOpenChanges(int64_t now_us, int limit) = 0;
  // Makes the open changes of these alerts due at `when_us`.
  virtual absl::Status PostponeOpenChanges(const std::vector<std::string>& alert_ids, int64_t when_us) = 0;
  // Opens a change for up to `limit` alerts (on `symbol`, where not empty) with ids above `after_alert_id`, tombstones
  // included.
  virtual absl::StatusOr<ReopenedChanges> ReopenChanges(const std::string& symbol, const std::string& after_alert_id,
                                                        int limit, int64_t now_us) = 0;
  // Makes the next StoredSymbolStatus win whatever its place: for a new log.
  virtual absl::Status ForgetSymbolPlaces(const std::string& symbol) = 0;

  // Claims for kTriggerClaimUs at most `limit` rows of the outbox that no instance has claimed, shared evenly between
  // users; returns their alerts.
  virtual absl::StatusOr<std::vector<AlertOwner>> ClaimTriggers(int64_t now_us, int limit) = 0;
  // The triggers of these alerts in the outbox, by alert and number, at most `limit` of each.
  virtual absl::StatusOr<std::vector<PassedTrigger>> LoadTriggers(const std::vector<std::string>& alert_ids,
                                                                  int limit) = 0;
  virtual absl::Status RemoveTriggers(const std::vector<TriggerId>& triggers) = 0;

  virtual absl::StatusOr<Backlog> MeasureBacklog() = 0;
  // Forgets tombstones (with their triggers) that were made before `before_us` and have no open change; returns how
  // many.
  virtual absl::StatusOr<int64_t> Purge(int64_t before_us, int limit) = 0;
  // Forgets users' minute counts that did not change for kMinutesKeptUs, a bounded number at a time.
  virtual absl::Status ForgetMinutes(int64_t now_us) = 0;
};

}  // namespace stockalert::alert
