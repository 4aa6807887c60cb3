// Publishes recorded triggers to the topic `triggers`: from memory right after the commit, the others from the trigger
// outbox.
//
// Order: the triggers of one alert are sent one after another, each only after the broker has the one before, and
// always from the lowest number that is left in the outbox. So their first occurrences in the topic are in order, even
// if two instances publish the same ones (after a rebalance or a crash); the notifier drops repetitions. Triggers of
// different alerts are sent in parallel.
//
// Fairness: users take turns, so that nobody waits for another's backlog. Throttled triggers go last, a bounded number
// at a time. Each user has a bounded share of the memory; the rest of a backlog is read from the outbox once there is
// room again.
//
// One thread of its own; Add is thread-safe and does not block. What does not fit into memory stays in the outbox,
// which is searched regularly for rows that no instance has claimed. A row is deleted only after the broker's
// acknowledgement. A row that Kafka refuses for its content (too large) stays there with the later ones of its alert;
// it is counted, logged and tried again regularly, and other alerts do not wait for it.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "services/alert/event_rules.h"
#include "services/alert/outbox_store.h"
#include "services/common/base/clock.h"
#include "services/common/base/fair_queue.h"
#include "services/common/base/mutex.h"
#include "services/common/kafka/producer.h"
#include "services/common/process/liveness.h"

namespace stockalert::alert {

class TriggerRelay {
 public:
  struct Options {
    absl::Duration sweep_interval = absl::Seconds(1);
    absl::Duration retry_after = absl::Milliseconds(500);
    // Acknowledged rows are removed together, at the latest after this.
    absl::Duration remove_after = absl::Milliseconds(20);
    int rows_max = 1000;                   // Claimed or removed at once.
    int rows_of_alert_max = 20;            // Of one alert, read at once.
    size_t held_max = 100'000;             // Triggers in memory,
    size_t held_of_user_max = 5'000;       // and of these one user's.
    size_t in_flight_max = 10'000;         // Triggers that the broker has not acknowledged,
    size_t throttled_in_flight_max = 500;  // and of these throttled ones.
  };

  // All must outlive it.
  TriggerRelay(OutboxStore& store, kafka::Producer& producer, const base::Clock& clock, const Options& options);
  ~TriggerRelay();

  void Start();
  // Waits for the broker's answers, at most until `deadline`. The rest stays in the outbox.
  void Stop(absl::Time deadline);

  // Queues what ApplyEvents has put into the outbox.
  void Add(const AppliedEvents& applied);

 private:
  struct Queue {
    std::deque<PassedTrigger> triggers;
    bool in_flight = false;  // Its first.
    bool partial = false;    // The outbox has more than this queue: read it again once this is empty.
  };
  struct Added {
    PassedTrigger trigger;
    bool has_older = false;  // Its alert has older rows in the outbox.
  };
  struct Answer {
    std::string alert_id;
    bool acknowledged = false;
    bool refused = false;  // Kafka will never take it as it is.
  };
  // Shared with the producer's callbacks, which may outlive the relay.
  struct Shared {
    base::Mutex mutex;
    base::ConditionVariable wake;
    std::vector<Answer> answers ABSL_GUARDED_BY(mutex);
    std::vector<Added> added ABSL_GUARDED_BY(mutex);
    std::map<std::string, size_t> added_of ABSL_GUARDED_BY(mutex);  // By user.
    std::map<std::string, std::string> overflowed
        ABSL_GUARDED_BY(mutex);  // Alerts whose triggers found no room, with their users.
    bool stopping ABSL_GUARDED_BY(mutex) = false;
  };

  void Loop();
  void HandleAnswers(const std::vector<Answer>& answers);
  void HandleAdded(std::vector<Added> added, const std::map<std::string, std::string>& overflowed);
  void ClaimFromOutbox();
  void LoadFromOutbox();
  void Dispatch();
  void RemoveAcknowledged();
  void MakeRunnable(const std::string& alert_id, const Queue& queue);
  void LoadLater(const std::string& alert_id, const std::string& user_id);
  bool HasRoom(const std::string& user_id) const;
  // Something can be read or sent now.
  bool HasWork() const;
  void CountHeld(const std::string& user_id);
  void CountReleased(const std::string& user_id);

  OutboxStore& store_;
  kafka::Producer& producer_;
  const base::Clock& clock_;
  const Options options_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  absl::Duration stop_by_ =
      absl::InfiniteDuration();  // By the monotonic clock, as all times here. Written before stopping is set.

  // The thread's own.
  std::map<std::string, Queue> queues_;
  // Alerts whose queue waits for its turn, by their users.
  base::FairQueue<std::string, std::string> runnable_;
  base::FairQueue<std::string, std::string> runnable_throttled_;  // Those whose first is throttled.
  std::map<std::string, std::set<std::string>>
      to_load_;                            // Alerts whose rows are to be read from the outbox, by their users.
  std::set<std::string> to_load_ids_;      // The same.
  std::string last_loaded_user_;           // Whose turn to be read it was last.
  std::map<std::string, size_t> held_of_;  // By user.
  std::vector<TriggerId> to_remove_;
  size_t held_ = 0;
  size_t in_flight_ = 0;
  size_t throttled_in_flight_ = 0;
  absl::Duration next_sweep_ = -absl::InfiniteDuration();
  absl::Duration next_remove_ = -absl::InfiniteDuration();
  absl::Duration next_try_ = -absl::InfiniteDuration();  // After a failure.
  process::Heartbeat heartbeat_{"alert_trigger_relay"};
  std::thread thread_;
};

}  // namespace stockalert::alert
