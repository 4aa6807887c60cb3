// New alerts of concurrent calls, stored together: each call's answer is its own, quotas are exact, and what one asks
// for wrongly harms nobody else.
#include "services/alert/creation_groups.h"

#include <catch2/catch.hpp>

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "absl/time/clock.h"
#include "services/alert/alert_errors.h"
#include "services/common/base/error.h"
#include "tests/support/alert_store/in_memory_alert_store.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/fake_ids/fake_ids.h"

namespace stockalert::alert {
namespace {

using testing::FakeIds;

const std::string kFirst = FakeIds::Uuid(0xa1);
const std::string kSecond = FakeIds::Uuid(0xa2);

// The store in memory, whose groups wait at a gate, and fail where a case says so.
class GatedStore final : public AlertStore {
 public:
  explicit GatedStore(InMemoryAlertStore& store) : store_(store) {}

  absl::Status Create(const std::string& user_id, const std::vector<StoredAlert>& alerts, int64_t quota, int64_t now_us,
                      const Admission& admission) override {
    ++alone;
    return store_.Create(user_id, alerts, quota, now_us, admission);
  }
  absl::StatusOr<std::vector<bool>> CreateGroup(const std::vector<Creation>& group, int64_t quota,
                                                int64_t now_us) override {
    std::unique_lock lock(mutex_);
    sizes.push_back(group.size());
    came_.notify_all();
    let_.wait(lock, [&] { return open_; });
    if (!group_failure.ok()) return group_failure;
    return store_.CreateGroup(group, quota, now_us);
  }
  absl::StatusOr<std::vector<StoredAlert>> FindByRequestIds(const std::string& user_id,
                                                            const std::vector<std::string>& request_ids) override {
    return store_.FindByRequestIds(user_id, request_ids);
  }
  absl::StatusOr<std::optional<ShownAlert>> Find(const std::string& user_id, const std::string& alert_id) override {
    return store_.Find(user_id, alert_id);
  }
  absl::StatusOr<std::vector<ShownAlert>> FindAll(const std::string& user_id,
                                                  const std::vector<std::string>& alert_ids) override {
    return store_.FindAll(user_id, alert_ids);
  }
  absl::StatusOr<ShownAlert> Change(const std::string& user_id, const std::string& alert_id, int64_t now_us,
                                    const Mutation& mutation) override {
    return store_.Change(user_id, alert_id, now_us, mutation);
  }
  absl::StatusOr<std::vector<ShownAlert>> List(const ListFilter& filter, const std::optional<ListPlace>& after,
                                               int64_t now_us, int limit) override {
    return store_.List(filter, after, now_us, limit);
  }
  absl::StatusOr<std::vector<RecordedTrigger>> ListTriggers(const TriggerFilter& filter,
                                                            const std::optional<TriggerPlace>& after,
                                                            int limit) override {
    return store_.ListTriggers(filter, after, limit);
  }
  absl::StatusOr<std::map<std::string, int64_t>> FindSplitNumbers(const std::vector<std::string>& symbols) override {
    return store_.FindSplitNumbers(symbols);
  }
  absl::StatusOr<int64_t> Count(const std::string& symbol) override { return store_.Count(symbol); }
  absl::Status Ready() override { return store_.Ready(); }

  void AwaitGroups(size_t count) {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [&] { return sizes.size() >= count; });
  }
  void Open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    let_.notify_all();
  }

  absl::Status group_failure;  // Set it before the first call.
  std::vector<size_t> sizes;   // Of the groups; read it after the last call.
  std::atomic<int> alone{0};

 private:
  InMemoryAlertStore& store_;
  std::mutex mutex_;
  std::condition_variable came_, let_;
  bool open_ = false;
};

struct Bench {
  std::vector<StoredAlert> Alerts(const std::string& user_id, size_t count = 1, const std::string& request_id = "") {
    std::vector<StoredAlert> alerts(count);
    for (StoredAlert& alert : alerts) {
      alert.id = ids.NewUuid();
      alert.user_id = user_id;
      alert.symbol = "AAPL";
      alert.record.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, 150'000'000};
      alert.request_id = request_id;
    }
    return alerts;
  }
  // The user's first alert; from then on the user is known to the store.
  void Know(const std::string& user_id) { REQUIRE(memory.Create(user_id, Alerts(user_id), 100, 0).ok()); }

  using Answer = std::future<absl::Status>;
  // The answers come once the gate is open.
  Answer Start(const std::string& user_id, std::vector<StoredAlert> alerts) {
    const size_t before = started++;
    Answer answer = std::async(std::launch::async, [this, user_id, alerts = std::move(alerts)] {
      return groups.Create(user_id, alerts, absl::Now() + absl::Seconds(30));
    });
    // The first stands at the gate, the others behind it.
    if (before == 0) {
      store.AwaitGroups(1);
    } else {
      while (groups.waiting() < before) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return answer;
  }

  testing::FakeClock clock;
  testing::FakeIds ids;
  InMemoryAlertStore memory;
  GatedStore store{memory};
  CreationGroups groups{store, clock, {.quota = 10, .waiting_max = 100, .alerts_max = 100}};
  size_t started = 0;
};

}  // namespace

TEST_CASE("the calls that wait at a moment are stored in one transaction") {
  Bench bench;
  bench.Know(kFirst);
  bench.Know(kSecond);
  auto first = bench.Start(kFirst, bench.Alerts(kFirst));
  auto second = bench.Start(kFirst, bench.Alerts(kFirst, 3));
  auto third = bench.Start(kSecond, bench.Alerts(kSecond));
  bench.store.Open();
  CHECK(first.get().ok());
  CHECK(second.get().ok());
  CHECK(third.get().ok());
  CHECK(bench.store.sizes == std::vector<size_t>{1, 2});
  CHECK(bench.store.alone == 0);
  CHECK(*bench.memory.Count("") == 7);
}

TEST_CASE("who has never had an alert is stored alone, and from then on with the others") {
  Bench bench;
  bench.store.Open();
  CHECK(bench.groups.Create(kFirst, bench.Alerts(kFirst), absl::Now() + absl::Seconds(30)).ok());
  CHECK(bench.store.alone == 1);
  CHECK(bench.groups.Create(kFirst, bench.Alerts(kFirst), absl::Now() + absl::Seconds(30)).ok());
  CHECK(bench.store.alone == 1);
  CHECK(*bench.memory.Count("") == 2);
}

TEST_CASE("a user over the quota is refused, as many as fit are created, and others do not notice") {
  Bench bench;
  bench.Know(kFirst);
  bench.Know(kSecond);
  auto first = bench.Start(kSecond, bench.Alerts(kSecond));
  // Nine are left; either of these fits, both do not.
  auto large = bench.Start(kFirst, bench.Alerts(kFirst, 6));
  auto other_large = bench.Start(kFirst, bench.Alerts(kFirst, 6));
  auto other = bench.Start(kSecond, bench.Alerts(kSecond));
  bench.store.Open();
  CHECK(first.get().ok());
  CHECK(other.get().ok());
  const absl::Status one = large.get(), two = other_large.get();
  CHECK(one.ok() != two.ok());
  CHECK(base::ReasonOf(one.ok() ? two : one) == kReasonAlertQuota);
  CHECK(bench.store.alone == 2);
  CHECK(*bench.memory.Count("") == 2 + 2 + 6);
}

TEST_CASE("two calls with one request id in a group make one alert, and their neighbour is not asked twice") {
  Bench bench;
  bench.Know(kFirst);
  bench.Know(kSecond);
  auto first = bench.Start(kSecond, bench.Alerts(kSecond));
  auto one = bench.Start(kFirst, bench.Alerts(kFirst, 1, "r-1"));
  auto same = bench.Start(kFirst, bench.Alerts(kFirst, 1, "r-1"));
  // Another user's request id is another one.
  auto other = bench.Start(kSecond, bench.Alerts(kSecond, 1, "r-1"));
  bench.store.Open();
  CHECK(first.get().ok());
  CHECK(other.get().ok());
  CHECK(one.get().ok());
  CHECK(base::ReasonOf(same.get()) == kReasonRequestIdTaken);
  CHECK(bench.store.sizes == std::vector<size_t>{1, 2});
  CHECK(bench.store.alone == 1);
  CHECK(*bench.memory.Count("") == 5);
}

TEST_CASE("what makes the store refuse a group is the error of one call alone") {
  Bench bench;
  bench.Know(kFirst);
  bench.Know(kSecond);
  REQUIRE(bench.memory.Create(kFirst, bench.Alerts(kFirst, 1, "r-1"), 100, 0).ok());
  auto first = bench.Start(kSecond, bench.Alerts(kSecond));
  auto taken = bench.Start(kFirst, bench.Alerts(kFirst, 1, "r-1"));
  auto other = bench.Start(kSecond, bench.Alerts(kSecond));
  bench.store.Open();
  CHECK(first.get().ok());
  CHECK(base::ReasonOf(taken.get()) == kReasonRequestIdTaken);
  CHECK(other.get().ok());
  CHECK(bench.store.alone == 2);
  CHECK(*bench.memory.Count("") == 5);
}

TEST_CASE("a database that is away is the error of all, and nobody asks it again") {
  Bench bench;
  bench.Know(kFirst);
  bench.store.group_failure = base::Unavailable("DATABASE_UNAVAILABLE", "the database does not answer");
  auto first = bench.Start(kFirst, bench.Alerts(kFirst));
  auto second = bench.Start(kFirst, bench.Alerts(kFirst));
  bench.store.Open();
  CHECK(base::ReasonOf(first.get()) == "DATABASE_UNAVAILABLE");
  CHECK(base::ReasonOf(second.get()) == "DATABASE_UNAVAILABLE");
  CHECK(bench.store.alone == 0);
  CHECK(*bench.memory.Count("") == 1);
}

TEST_CASE("a database that takes too long over a group is asked by each alone") {
  Bench bench;
  bench.Know(kFirst);
  bench.store.group_failure = absl::DeadlineExceededError("the database took too long");
  auto first = bench.Start(kFirst, bench.Alerts(kFirst));
  bench.store.Open();
  CHECK(first.get().ok());
  CHECK(bench.store.alone == 1);
}

TEST_CASE("a call whose deadline passes before its group begins leaves nothing behind") {
  Bench bench;
  bench.Know(kFirst);
  auto first = bench.Start(kFirst, bench.Alerts(kFirst));
  const absl::Status late = bench.groups.Create(kFirst, bench.Alerts(kFirst), absl::Now() + absl::Milliseconds(20));
  CHECK(absl::IsDeadlineExceeded(late));
  bench.store.Open();
  CHECK(first.get().ok());
  CHECK(*bench.memory.Count("") == 2);
}

TEST_CASE("a call whose deadline passes while its group fails is not stored alone afterwards") {
  Bench bench;
  bench.Know(kFirst);
  bench.store.group_failure = absl::DeadlineExceededError("the database took too long");
  const std::vector<StoredAlert> alerts = bench.Alerts(kFirst);
  auto late = std::async(std::launch::async,
                         [&] { return bench.groups.Create(kFirst, alerts, absl::Now() + absl::Milliseconds(200)); });
  bench.store.AwaitGroups(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(250));
  bench.store.Open();
  CHECK(base::ReasonOf(late.get()) == "DEADLINE_EXCEEDED");
  CHECK(bench.store.alone == 0);
  CHECK(*bench.memory.Count("") == 1);
}

TEST_CASE("of 32 callers at the limit exactly the limit is created") {
  Bench bench;
  bench.Know(kFirst);
  bench.store.Open();
  std::atomic<int> created{0}, refused{0}, wrong{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 32; ++i) {
    std::vector<StoredAlert> alerts = bench.Alerts(kFirst);
    callers.emplace_back([&, alerts] {
      const absl::Status status = bench.groups.Create(kFirst, alerts, absl::Now() + absl::Seconds(30));
      ++(status.ok() ? created : base::ReasonOf(status) == kReasonAlertQuota ? refused : wrong);
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(created == 9);
  CHECK(refused == 23);
  CHECK(wrong == 0);
  CHECK(*bench.memory.Count("") == 10);
}

}  // namespace stockalert::alert
