// Stores the records of the topics `triggers` and `user-events`, as a member of the notifier's consumer group in which
// users take turns.
//
// A batch is one transaction; storing a record twice changes nothing. A record that can never be understood or stored
// goes to the dead letters. A user event of a kind that this version does not know holds its partition until the
// notifier is upgraded. See kafka::GroupWorker and dead_letter::SettlingHandler for outages and rebalances.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/common/base/ids.h"
#include "services/common/dead_letter/settling_handler.h"
#include "services/common/kafka/group_worker.h"
#include "services/notifier/intake_decode.h"
#include "services/notifier/notification_store.h"

namespace stockalert::notifier {

struct IntakeOptions {
  std::string triggers_topic;
  std::string user_events_topic;
  size_t poll_max = 5'000;      // Records read at once.
  size_t waiting_max = 50'000;  // Records that wait in memory; beyond it reading waits.
  size_t records_max = 500;     // Records stored at once: what comes meanwhile waits for them.
  // How long a batch is tried before the group is left. Below the consumer's poll_interval_max.
  absl::Duration give_up_after = absl::Minutes(2);
  dead_letter::HeldOptions held = {};
  // Encrypts what a mail with a code says (SealCodeMail). Empty: mail is off, and such mails are passed over.
  std::function<std::string(const CodeRequest& request)> seal_code_mail = {};
  std::function<void()> on_code_mails = {};  // Some were queued. Must be quick.
  // Another process has this one's name in the group.
  std::function<void(const std::string& why)> on_fenced;
};

class Intake final : private dead_letter::RecordApplier {
 public:
  // Called with the users who have new notifications, and the number of deliveries queued for these, before the offsets
  // are committed. Must be quick.
  using OnStored = std::function<void(const std::vector<std::string>& user_ids, int64_t deliveries)>;

  // Begins at once. `store`, `dead_letters`, `clock` and `ids` must outlive it.
  Intake(const IntakeOptions& options, kafka::GroupWorker::MakeConsumer make_consumer, NotificationStore& store,
         dead_letter::DeadLetterStore& dead_letters, const base::Clock& clock, base::IdSource& ids, OnStored on_stored);
  // Stop.
  ~Intake() override = default;

  // Finishes the batch at hand, leaves the group and joins the thread.
  void Stop() { worker_.Stop(); }

 private:
  // The content of a record that is to be stored.
  struct Decoded {
    std::optional<NewNotification> notification;
    std::optional<UserDeletion> deletion;
    std::optional<NewCodeMail> code_mail;
  };
  absl::StatusOr<std::vector<std::string>> FindLanes(const std::vector<kafka::Message>& messages) override;
  std::vector<dead_letter::Reading> Read(const std::vector<kafka::QueuedRecord>& records) override;
  absl::Status Apply(const std::vector<size_t>& indices) override;

  // False: it is passed over.
  bool TakeUserNews(UserNews news, Decoded& decoded);
  dead_letter::Reading Decode(const kafka::QueuedRecord& record, Decoded& decoded);
  absl::Status StoreBatch(const IntakeBatch& batch);

  const std::string user_events_topic_;
  const std::function<std::string(const CodeRequest& request)> seal_code_mail_;
  const std::function<void()> on_code_mails_;
  NotificationStore& store_;
  const base::Clock& clock_;
  base::IdSource& ids_;
  const OnStored on_stored_;
  std::vector<Decoded> decoded_;  // Of the records that were read last; the worker's thread's own.
  dead_letter::SettlingHandler handler_;
  kafka::GroupWorker worker_;
};

}  // namespace stockalert::notifier
