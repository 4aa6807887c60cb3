// Locks that clang checks: what is ABSL_GUARDED_BY(mutex_) may be touched only where mutex_ is held, a function that is
// ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) may be called only there, and the lint tier refuses what does otherwise.
//
//   base::Mutex mutex_;
//   base::ConditionVariable changed_;
//   bool ready_ ABSL_GUARDED_BY(mutex_) = false;
//
//   base::MutexLock lock(mutex_);
//   changed_.Wait(lock, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ready_; });
//
// They are the standard library's: the thread sanitizer sees races in absl::Mutex where there are none.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

namespace stockalert::base {

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

 private:
  friend class MutexLock;
  std::mutex mutex_;
};

// Holds a mutex while it lives, except between Unlock and Lock.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : lock_(mutex.mutex_) {}
  ~MutexLock() ABSL_UNLOCK_FUNCTION() = default;
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void Unlock() ABSL_UNLOCK_FUNCTION() { lock_.unlock(); }
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { lock_.lock(); }

 private:
  friend class ConditionVariable;
  std::unique_lock<std::mutex> lock_;
};

// Waits give the lock up meanwhile; the predicate is asked with the lock held. The answer: whether it came true.
class ConditionVariable {
 public:
  ConditionVariable() = default;
  ConditionVariable(const ConditionVariable&) = delete;
  ConditionVariable& operator=(const ConditionVariable&) = delete;

  void NotifyOne() { changed_.notify_one(); }
  void NotifyAll() { changed_.notify_all(); }

  template <typename Predicate>
  void Wait(MutexLock& lock, Predicate predicate) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    changed_.wait(lock.lock_, predicate);
  }
  // By the monotonic clock. For ever is a year.
  template <typename Predicate>
  bool WaitFor(MutexLock& lock, absl::Duration patience, Predicate predicate) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return changed_.wait_for(lock.lock_, Bounded(patience), predicate);
  }
  // Until somebody notifies, or for no reason, or until the time is over.
  void WaitFor(MutexLock& lock, absl::Duration patience) { changed_.wait_for(lock.lock_, Bounded(patience)); }
  // By the clock on the wall.
  template <typename Predicate>
  bool WaitUntil(MutexLock& lock, absl::Time deadline, Predicate predicate) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return changed_.wait_until(lock.lock_, absl::ToChronoTime(deadline), predicate);
  }

 private:
  // What the standard library can add to its clock.
  static std::chrono::nanoseconds Bounded(absl::Duration patience) {
    return absl::ToChronoNanoseconds(std::clamp(patience, absl::ZeroDuration(), absl::Hours(24 * 365)));
  }

  std::condition_variable changed_;
};

// Many readers or one writer.
class ABSL_LOCKABLE SharedMutex {
 public:
  SharedMutex() = default;
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;

 private:
  friend class ReaderLock;
  friend class WriterLock;
  std::shared_mutex mutex_;
};

class ABSL_SCOPED_LOCKABLE ReaderLock {
 public:
  explicit ReaderLock(SharedMutex& mutex) ABSL_SHARED_LOCK_FUNCTION(mutex) : lock_(mutex.mutex_) {}
  ~ReaderLock() ABSL_UNLOCK_FUNCTION() = default;
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  std::shared_lock<std::shared_mutex> lock_;
};

class ABSL_SCOPED_LOCKABLE WriterLock {
 public:
  explicit WriterLock(SharedMutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : lock_(mutex.mutex_) {}
  ~WriterLock() ABSL_UNLOCK_FUNCTION() = default;
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  std::unique_lock<std::shared_mutex> lock_;
};

}  // namespace stockalert::base
