// NotificationStore in memory. Thread-safe. It can be made to fail.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "services/notifier/notification_store.h"

namespace stockalert::testing {

class InMemoryNotificationStore final : public notifier::NotificationStore {
 public:
  absl::StatusOr<notifier::IntakeResult> StoreBatch(const notifier::IntakeBatch& batch, int64_t now_us) override;
  absl::StatusOr<std::map<std::string, int64_t>> LastSequences(const std::vector<std::string>& user_ids) override;
  absl::StatusOr<std::vector<notifier::StoredNotification>> ListAfter(const std::string& user_id, int64_t sequence,
                                                                      int limit) override;
  absl::StatusOr<std::vector<notifier::StoredNotification>> ListNewest(const std::string& user_id,
                                                                       const notifier::NotificationFilter& filter,
                                                                       int64_t before_sequence, int limit) override;
  absl::StatusOr<notifier::StoredNotification> Acknowledge(const std::string& user_id, const std::string& id,
                                                           int64_t now_us) override;

  std::map<std::string, notifier::NewCodeMail> code_mails();
  // What every later call answers; OK ends that.
  void Fail(absl::Status status);

 private:
  struct Recipient {
    int64_t last_sequence = 0;
    bool deleted = false;
  };
  std::mutex mutex_;
  absl::Status failure_;  // Guarded by mutex_, as what follows.
  std::map<std::string, Recipient> recipients_;
  std::map<std::string, notifier::NewCodeMail> code_mails_;  // By user.
  std::vector<notifier::StoredNotification> notifications_;  // In the order of storing.
};

}  // namespace stockalert::testing
