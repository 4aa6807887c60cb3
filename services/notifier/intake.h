// Takes the topics `triggers` and `user-events` into the store: a member of the notifier's consumer group, on a thread
// of its own.
//
// A batch is one transaction, then the offsets are committed; what is read twice changes nothing. While the database is
// down the batch is tried again, and after a while the group is left and joined anew, so that nothing is lost and no
// other member waits in vain. Users take turns: what was read waits in a bounded queue, and each batch has a share of
// every user who waits. An offset is committed once it and all before it are stored. A record that can never be
// understood or stored goes to the dead letters; a user event of a kind that this version does not know holds its own
// partition until the notifier is upgraded (dead_letter::Settle).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/common/base/ids.h"
#include "services/common/base/mutex.h"
#include "services/common/dead_letter/dead_letter.h"
#include "services/common/dead_letter/held_partitions.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/record_queue.h"
#include "services/common/process/liveness.h"
#include "services/notifier/notification_store.h"

namespace stockalert::notifier {

struct IntakeOptions {
  std::string triggers_topic;
  std::string user_events_topic;
  size_t poll_max = 5'000;   // Records read at once.
  size_t held_max = 50'000;  // Records that wait in memory; beyond it reading waits.
  size_t records_max = 500;  // Records stored at once: what comes meanwhile waits for them.
  // How long a batch is tried before the group is left. Below the consumer's poll_interval_max.
  absl::Duration give_up_after = absl::Minutes(2);
  dead_letter::HeldOptions held = {};
};

class Intake {
 public:
  using MakeConsumer = std::function<absl::StatusOr<std::unique_ptr<kafka::GroupConsumer>>()>;
  // Hears of the users who have new notifications, before the offsets are committed. Must be quick.
  using OnStored = std::function<void(const std::vector<std::string>& user_ids)>;

  // Begins at once. `store`, `dead_letters`, `clock` and `ids` must outlive it.
  Intake(const IntakeOptions& options, MakeConsumer make_consumer, NotificationStore& store,
         dead_letter::DeadLetterStore& dead_letters, const base::Clock& clock, base::IdSource& ids, OnStored on_stored);
  // Stop.
  ~Intake();
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;

  // Finishes the batch at hand, leaves the group and joins the thread.
  void Stop();

 private:
  void Work();
  absl::Status ReadUntilError(kafka::GroupConsumer& consumer);
  // What a record is, and what it asks for where it is to be taken in.
  struct Decoded {
    std::optional<NewNotification> notification;
    std::optional<UserDeletion> deletion;
  };
  dead_letter::Item Decode(const kafka::QueuedRecord& record, Decoded& decoded);
  // Tries until the store takes the batch, and holds what must not be passed; the store's last error after
  // give_up_after.
  absl::Status Settle(kafka::GroupConsumer& consumer, kafka::RecordQueue& queue,
                      const std::vector<kafka::QueuedRecord>& records);
  absl::Status TakeIn(const IntakeBatch& batch);
  absl::Status GoOnAtOldest(kafka::GroupConsumer& consumer, const kafka::PartitionError& error);
  bool Wait(absl::Duration duration);
  bool stopping();

  const IntakeOptions options_;
  const MakeConsumer make_consumer_;
  NotificationStore& store_;
  const base::Clock& clock_;
  dead_letter::DeadLetterStore& dead_letters_;
  base::IdSource& ids_;
  const OnStored on_stored_;
  base::Mutex mutex_;
  base::ConditionVariable changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  process::Heartbeat heartbeat_{"notifier_intake"};
  dead_letter::HeldPartitions held_;  // The thread's own, as the next.
  dead_letter::DeadLetterGauge open_letters_;
  std::thread thread_;
};

}  // namespace stockalert::notifier
