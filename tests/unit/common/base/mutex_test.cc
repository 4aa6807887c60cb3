#include "services/common/base/mutex.h"

#include <atomic>
#include <optional>
#include <thread>

#include <catch2/catch.hpp>

#include "absl/time/clock.h"

namespace stockalert::base {
namespace {

struct Counter {
  Mutex mutex;
  ConditionVariable changed;
  int count ABSL_GUARDED_BY(mutex) = 0;
};

TEST_CASE("only one thread at a time holds a mutex") {
  Counter counter;
  const auto add = [&counter] {
    for (int i = 0; i < 10'000; ++i) {
      MutexLock lock(counter.mutex);
      ++counter.count;
    }
  };
  std::thread other(add);
  add();
  other.join();
  MutexLock lock(counter.mutex);
  CHECK(counter.count == 20'000);
}

TEST_CASE("a lock that is given up lets others in, and is taken again") {
  Counter counter;
  MutexLock lock(counter.mutex);
  lock.Unlock();
  std::thread([&counter] {
    MutexLock inner(counter.mutex);
    counter.count = 1;
  }).join();
  lock.Lock();
  CHECK(counter.count == 1);
}

TEST_CASE("a wait ends when the predicate has come true") {
  Counter counter;
  std::thread other([&counter] {
    MutexLock lock(counter.mutex);
    counter.count = 1;
    counter.changed.NotifyAll();
  });
  const auto changed = [&counter]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(counter.mutex) { return counter.count == 1; };
  {
    MutexLock lock(counter.mutex);
    SECTION("however long") { counter.changed.Wait(lock, changed); }
    SECTION("within a time that never ends") {
      CHECK(counter.changed.WaitFor(lock, absl::InfiniteDuration(), changed));
    }
    SECTION("until a time") { CHECK(counter.changed.WaitUntil(lock, absl::Now() + absl::Minutes(10), changed)); }
    CHECK(counter.count == 1);
  }
  other.join();
}

TEST_CASE("a wait ends when the time is over") {
  Counter counter;
  const auto never = [] { return false; };
  MutexLock lock(counter.mutex);
  CHECK_FALSE(counter.changed.WaitFor(lock, absl::Milliseconds(1), never));
  CHECK_FALSE(counter.changed.WaitFor(lock, -absl::InfiniteDuration(), never));
  CHECK_FALSE(counter.changed.WaitUntil(lock, absl::Now() - absl::Seconds(1), never));
  counter.changed.WaitFor(lock, absl::ZeroDuration());
}

TEST_CASE("readers hold a shared mutex together, a writer alone") {
  SharedMutex mutex;
  std::atomic<bool> written = false;
  std::optional<std::thread> writer;
  {
    ReaderLock mine(mutex);
    std::thread([&mutex] { ReaderLock other(mutex); }).join();
    writer.emplace([&] {
      WriterLock lock(mutex);
      written = true;
    });
    CHECK_FALSE(written);
  }
  writer->join();
  CHECK(written);
}

}  // namespace
}  // namespace stockalert::base
