// SettingsStore in memory. Thread-safe. It can be made to fail.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>

#include "services/notifier/settings/settings_store.h"

namespace stockalert::testing {

class InMemorySettingsStore final : public notifier::SettingsStore {
 public:
  absl::StatusOr<notifier::NotificationSettings> Get(const std::string& user_id) override;
  absl::StatusOr<notifier::NotificationSettings> Change(const std::string& user_id,
                                                        const notifier::SettingsChange& change,
                                                        int64_t now_us) override;

  // The user is gone.
  void DeleteUser(const std::string& user_id);
  // What every later call answers; OK ends that.
  void Fail(absl::Status status);

 private:
  std::mutex mutex_;
  absl::Status failure_;  // Guarded by mutex_, as what follows.
  std::map<std::string, notifier::NotificationSettings> settings_;
  std::set<std::string> deleted_;
};

}  // namespace stockalert::testing
