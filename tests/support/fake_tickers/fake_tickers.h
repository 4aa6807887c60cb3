// A ticker service's registration that knows what it is told, and can be away. Thread-safe.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "services/common/base/error.h"
#include "services/user/ticker_registrar.h"

namespace stockalert::testing {

class FakeTickers final : public user::TickerRegistrar {
 public:
  absl::StatusOr<std::string> Register(const std::string& symbol, const std::string& user_id, const trace::Context&,
                                       absl::Time) override {
    std::lock_guard lock(mutex_);
    if (!answer_.ok()) return answer_;
    registered_.push_back(symbol);
    users_.push_back(user_id);
    return symbol;
  }
  // What the next registrations answer; OK: they succeed.
  void Answer(absl::Status status) {
    std::lock_guard lock(mutex_);
    answer_ = std::move(status);
  }
  std::vector<std::string> registered() const {
    std::lock_guard lock(mutex_);
    return registered_;
  }

  // For whom, as long as registered().
  std::vector<std::string> users() const {
    std::lock_guard lock(mutex_);
    return users_;
  }

 private:
  mutable std::mutex mutex_;
  absl::Status answer_;                  // Guarded by mutex_.
  std::vector<std::string> registered_;  // Guarded by mutex_.
  std::vector<std::string> users_;       // Guarded by mutex_.
};

}  // namespace stockalert::testing
