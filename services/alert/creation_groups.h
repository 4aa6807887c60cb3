// Stores the new alerts of concurrent calls together: one transaction for all calls that wait at a moment.
//
// Each call has its own answer, and none has another's error: what the group's transaction does not admit, and all of a
// group whose transaction the database refuses, is stored by a transaction a call, which says what is wrong. A call
// alone waits for nothing but its own transaction.
//
// Thread-safe. Calls block on the store; a call whose group has not begun gives up at its deadline.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/alert/alert_store.h"
#include "services/alert/coalescer.h"
#include "services/common/base/clock.h"

namespace stockalert::alert {

class CreationGroups {
 public:
  struct Options {
    int64_t quota = 1000;       // Alerts a user.
    size_t waiting_max = 1024;  // Calls that wait for their group to begin.
    size_t alerts_max = 500;    // Of a group.
  };

  // `store` and `clock` must outlive it.
  CreationGroups(AlertStore& store, const base::Clock& clock, const Options& options);

  // As AlertStore::Create, for alerts that need no Admission. RESOURCE_EXHAUSTED (OVERLOADED): too many calls wait.
  // DEADLINE_EXCEEDED: nothing was done.
  absl::Status Create(const std::string& user_id, const std::vector<StoredAlert>& alerts, absl::Time deadline);

  // Calls whose group has not begun.
  size_t waiting() { return coalescer_.waiting(); }

 private:
  struct Outcome {
    bool created = false;  // Else see status: OK means that nothing was done, and that it has to be created alone.
    absl::Status status;
  };
  std::vector<Outcome> CreateGroup(const std::vector<Creation>& group);

  AlertStore& store_;
  const base::Clock& clock_;
  const Options options_;
  Coalescer<Creation, Outcome> coalescer_;
};

}  // namespace stockalert::alert
