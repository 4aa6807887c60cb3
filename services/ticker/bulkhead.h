// Limits how many callers may wait for one resource at once, in total and by user, so that the remaining threads stay
// free for calls that do not need it.
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <utility>

#include "services/common/base/mutex.h"

namespace stockalert::ticker {

class Bulkhead {
 public:
  Bulkhead(size_t callers_max, size_t callers_per_user_max)
      : callers_max_(callers_max), callers_per_user_max_(callers_per_user_max) {}

  // A place, given back when it is destroyed; false where none was free.
  class Place {
   public:
    Place(Place&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), user_(std::move(other.user_)) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (owner_ != nullptr) owner_->Leave(user_);
    }
    explicit operator bool() const { return owner_ != nullptr; }

   private:
    friend class Bulkhead;
    Place(Bulkhead* owner, std::string user) : owner_(owner), user_(std::move(user)) {}
    Bulkhead* owner_;
    std::string user_;
  };
  // The empty user ("") has only the total limit.
  [[nodiscard]] Place Enter(const std::string& user) {
    base::MutexLock lock(mutex_);
    const auto of_user = callers_of_user_.find(user);
    const bool too_many =
        !user.empty() && of_user != callers_of_user_.end() && of_user->second >= callers_per_user_max_;
    if (callers_ >= callers_max_ || too_many) return Place(nullptr, "");
    ++callers_;
    ++callers_of_user_[user];
    return Place(this, user);
  }

 private:
  void Leave(const std::string& user) {
    base::MutexLock lock(mutex_);
    --callers_;
    const auto of_user = callers_of_user_.find(user);
    if (--of_user->second == 0) callers_of_user_.erase(of_user);
  }

  const size_t callers_max_;
  const size_t callers_per_user_max_;
  base::Mutex mutex_;
  size_t callers_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unordered_map<std::string, size_t> callers_of_user_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace stockalert::ticker
