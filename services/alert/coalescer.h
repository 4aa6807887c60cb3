// Does in one go what several threads want at the same time, without anybody waiting for a timer.
//
// One group is under way at a time, run by one of the calling threads. A caller that finds none under way runs its own
// at once, alone if nobody else waits; who comes meanwhile gathers for the next one, which the first of them runs. So
// a caller waits for at most the group before its own and its own, and the more callers there are the larger groups
// become.
//
//   Coalescer<Item, Answer> coalescer(options, [](const std::vector<Item>& group) { return answers; });
//   absl::StatusOr<Answer> answer = coalescer.Call(item, 1, deadline);
//
// Thread-safe; has no threads. It must outlive its calls. What `run` throws ends the process: nobody could be answered.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <deque>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "services/common/base/error.h"
#include "services/common/base/mutex.h"

namespace stockalert::alert {

template <typename Item, typename Answer>
class Coalescer {
 public:
  struct Options {
    size_t waiting_max = 1024;  // Callers that wait for their group to begin.
    size_t weight_max = 500;    // Of a group, all together; an item above it is a group of its own.
  };
  // Answers each of the items, in their order. Must be bounded in time. Called by one thread at a time.
  using Run = std::function<std::vector<Answer>(const std::vector<Item>& group)>;

  Coalescer(const Options& options, Run run) : options_(options), run_(std::move(run)) {}
  Coalescer(const Coalescer&) = delete;
  Coalescer& operator=(const Coalescer&) = delete;

  // RESOURCE_EXHAUSTED (OVERLOADED): too many wait. DEADLINE_EXCEEDED: the item's group had not begun by then, and
  // nothing was done for it. An item whose group has begun is answered, however long that takes.
  absl::StatusOr<Answer> Call(Item item, size_t weight, absl::Time deadline) {
    Caller self(std::move(item), weight, deadline);
    {
      base::MutexLock lock(mutex_);
      if (waiting_.size() >= options_.waiting_max) {
        return base::ResourceExhausted("OVERLOADED", "the service has too many calls at once: try again a little later",
                                       absl::Milliseconds(200));
      }
      waiting_.push_back(&self);
      if (under_way_) {
        self.changed.WaitFor(lock, deadline - absl::Now(),
                             [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return self.stage != Stage::kWaits; });
        if (self.stage == Stage::kWaits) {
          std::erase(waiting_, &self);
          return TooLate();
        }
        self.changed.Wait(lock, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return self.stage != Stage::kTaken; });
      } else {
        under_way_ = true;
        self.stage = Stage::kLeads;
      }
      if (self.stage == Stage::kDone) return std::move(self.answer);
    }
    Lead();
    base::MutexLock lock(mutex_);
    return std::move(self.answer);
  }

  // Callers whose group has not begun.
  size_t waiting() {
    base::MutexLock lock(mutex_);
    return waiting_.size();
  }

 private:
  enum class Stage { kWaits, kLeads, kTaken, kDone };
  struct Caller {
    Caller(Item of, size_t counts, absl::Time until) : item(std::move(of)), weight(counts), deadline(until) {}
    Item item;
    const size_t weight;
    const absl::Time deadline;
    Stage stage = Stage::kWaits;
    absl::StatusOr<Answer> answer = absl::UnknownError("the group did not run");
    base::ConditionVariable changed;
  };

  static absl::Status TooLate() {
    return base::DeadlineExceeded("DEADLINE_EXCEEDED", "the call's deadline passed before anything was done");
  }

  // The first callers that wait, the leader before all, as far as their weights allow. Who is too late is answered.
  std::vector<Caller*> TakeGroup() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::vector<Caller*> group;
    const absl::Time now = absl::Now();
    size_t weight = 0;
    while (!waiting_.empty()) {
      Caller* caller = waiting_.front();
      if (now >= caller->deadline) {
        waiting_.pop_front();
        Answered(*caller, TooLate());
        continue;
      }
      if (!group.empty() && weight + caller->weight > options_.weight_max) break;
      waiting_.pop_front();
      weight += caller->weight;
      if (caller->stage != Stage::kLeads) caller->stage = Stage::kTaken;
      group.push_back(caller);
    }
    return group;
  }

  // The caller may be gone as soon as the lock is released.
  void Answered(Caller& caller, absl::StatusOr<Answer> answer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    caller.answer = std::move(answer);
    caller.stage = Stage::kDone;
    caller.changed.NotifyOne();
  }

  // Runs one group, and makes the first of those that wait by then the next leader.
  void Lead() {
    std::vector<Caller*> group;
    {
      base::MutexLock lock(mutex_);
      group = TakeGroup();
    }
    std::vector<Answer> answers;
    if (!group.empty()) {
      std::vector<Item> items;
      items.reserve(group.size());
      for (Caller* caller : group) items.push_back(std::move(caller->item));
      answers = run_(items);
      if (answers.size() != items.size()) std::abort();  // Somebody would wait for ever.
    }
    base::MutexLock lock(mutex_);
    for (size_t i = 0; i < group.size(); ++i) Answered(*group[i], std::move(answers[i]));
    if (waiting_.empty()) {
      under_way_ = false;
      return;
    }
    waiting_.front()->stage = Stage::kLeads;
    waiting_.front()->changed.NotifyOne();
  }

  const Options options_;
  const Run run_;
  base::Mutex mutex_;
  bool under_way_ ABSL_GUARDED_BY(mutex_) = false;  // Else nobody waits.
  std::deque<Caller*> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace stockalert::alert
