#include "services/notifier/digest/digest_loop.h"

#include <catch2/catch.hpp>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>

#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::notifier {
namespace {

// Answers what the test has put there, and then that nothing is due.
class ScriptedDigests final : public DigestStore {
 public:
  absl::StatusOr<DigestResult> MakeDigests(const DigestBounds& bounds, int64_t now_us) override {
    std::lock_guard lock(mutex_);
    asked_us = now_us;
    lanes_max = bounds.lanes_max;
    ++calls_;
    changed_.notify_all();
    if (answered_ == answers.size()) return DigestResult();
    return answers[answered_++];
  }
  bool AwaitCalls(int calls) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return calls_ >= calls; });
  }

  std::deque<absl::StatusOr<DigestResult>> answers;  // Set before the loop starts.
  int64_t asked_us = 0;
  int lanes_max = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int calls_ = 0;
  size_t answered_ = 0;
};

DigestResult Made(std::vector<std::string> users, bool more) {
  DigestResult result;
  result.digests = 1;
  result.digested = 3;
  result.users = std::move(users);
  result.more = more;
  return result;
}

TEST_CASE("a run makes what is due at the clock's time, and tells for whom something was queued") {
  ScriptedDigests store;
  testing::FakeClock clock;
  std::vector<std::string> told;
  DigestLoop loop({.bounds = {.lanes_max = 7}}, store, clock,
                  [&](const std::vector<std::string>& users) { told.insert(told.end(), users.begin(), users.end()); });
  store.answers = {Made({"a", "b"}, true), Made({}, false), absl::UnavailableError("down")};
  CHECK(loop.RunOnce());
  CHECK(store.asked_us == clock.NowUs());
  CHECK(store.lanes_max == 7);
  CHECK(told == std::vector<std::string>{"a", "b"});
  CHECK_FALSE(loop.RunOnce());
  // A failure is not the end.
  CHECK_FALSE(loop.RunOnce());
  CHECK_FALSE(loop.RunOnce());
  CHECK(told.size() == 2);
}

TEST_CASE("the loop goes on at once while there is more, then when it is woken") {
  ScriptedDigests store;
  store.answers = {Made({}, true), Made({}, true), Made({}, false)};
  testing::FakeClock clock;
  DigestLoop loop({.bounds = {}, .poll_interval = absl::Hours(1)}, store, clock, [](const auto&) {});
  loop.Start();
  REQUIRE(store.AwaitCalls(3));
  loop.Wake();
  REQUIRE(store.AwaitCalls(4));
  loop.Stop();
  loop.Stop();
}

TEST_CASE("the loop polls by itself, and survives failures") {
  ScriptedDigests store;
  store.answers = {absl::UnavailableError("down")};
  testing::FakeClock clock;
  DigestLoop loop({.bounds = {}, .poll_interval = absl::Milliseconds(1)}, store, clock, [](const auto&) {});
  loop.Start();
  CHECK(store.AwaitCalls(3));
}

}  // namespace
}  // namespace stockalert::notifier
