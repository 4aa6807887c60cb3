// What a group's worker makes of what its handler answers, and of what its group brings and does.
#include "services/common/kafka/group_worker.h"

#include <catch2/catch.hpp>

#include <mutex>

#include "tests/support/eventually/eventually.h"
#include "tests/support/scripted_group/scripted_group.h"

namespace stockalert::kafka {
namespace {

using testing::Eventually;

constexpr char kTopic[] = "events";
constexpr char kOther[] = "others";
const TopicPartition kEvents{kTopic, 0};
const TopicPartition kOthers{kOther, 0};

// Keeps what it is given; fails and holds as it is told. Thread-safe.
class FakeHandler final : public GroupHandler {
 public:
  absl::StatusOr<std::vector<std::string>> FindLanes(const std::vector<Message>& messages) override {
    std::vector<std::string> lanes;
    for (const Message& message : messages) lanes.emplace_back(message.key());
    return lanes;
  }
  void Read(const std::vector<QueuedRecord>&) override {
    std::lock_guard lock(mutex_);
    ++reads_;
  }
  absl::StatusOr<std::map<TopicPartition, int64_t>> Settle(GroupConsumer&, const std::vector<QueuedRecord>& records,
                                                           const std::function<void()>& beat) override {
    beat();
    std::lock_guard lock(mutex_);
    ++tries_;
    if (!failure_.ok()) return failure_;
    std::map<TopicPartition, int64_t> held;
    for (const QueuedRecord& record : records) {
      if (record.value == held_) {
        held.emplace(record.partition, record.offset);
      } else if (held.count(record.partition) == 0) {
        done_.push_back(record.value);
      }
    }
    return held;
  }
  void OnFailed() override {
    std::lock_guard lock(mutex_);
    failed_ = true;
  }
  void OnSettled() override {
    std::lock_guard lock(mutex_);
    failed_ = false;
  }
  void BeforePoll(GroupConsumer&) override {}
  void AfterPoll(PollResult&) override {}
  void OnMoved(const TopicPartition& partition) override {
    std::lock_guard lock(mutex_);
    moved_.push_back(partition);
  }
  void OnJoining() override {
    std::lock_guard lock(mutex_);
    ++joins_;
  }

  void FailWith(absl::Status status) {
    std::lock_guard lock(mutex_);
    failure_ = std::move(status);
  }
  void HoldAt(const std::string& value) {
    std::lock_guard lock(mutex_);
    held_ = value;
  }
  std::vector<std::string> done() const {
    std::lock_guard lock(mutex_);
    return done_;
  }
  std::vector<TopicPartition> moved() const {
    std::lock_guard lock(mutex_);
    return moved_;
  }
  int reads() const {
    std::lock_guard lock(mutex_);
    return reads_;
  }
  int tries() const {
    std::lock_guard lock(mutex_);
    return tries_;
  }
  int joins() const {
    std::lock_guard lock(mutex_);
    return joins_;
  }
  bool failed() const {
    std::lock_guard lock(mutex_);
    return failed_;
  }

 private:
  mutable std::mutex mutex_;
  absl::Status failure_;  // Guarded by mutex_, as what follows.
  std::string held_ = "nothing is this";
  std::vector<std::string> done_;
  std::vector<TopicPartition> moved_;
  int reads_ = 0, tries_ = 0, joins_ = 0;
  bool failed_ = false;
};

struct Bench {
  Bench() {
    options.name = "worker_under_test";
    options.on_fenced = [this](const std::string&) { ++fenced; };
  }
  void Begin() {
    worker = std::make_unique<GroupWorker>(group.maker(), handler, options);
    worker->Start();
  }
  void FailNextPoll(absl::Status fatal) {
    PollResult said;
    said.fatal = std::move(fatal);
    group.ReturnFromNextPoll(std::move(said));
  }
  void FailNextPoll(const TopicPartition& partition, absl::Status error) {
    PollResult said;
    said.errors.push_back({partition, std::move(error)});
    group.ReturnFromNextPoll(std::move(said));
  }
  bool AwaitDone(const std::vector<std::string>& values) {
    return Eventually([&] { return handler.done() == values; });
  }

  std::atomic<int> fenced{0};
  FakeHandler handler;
  testing::ScriptedGroup group{{kTopic, kOther}};
  GroupWorkerOptions options;
  std::unique_ptr<GroupWorker> worker;
};

}  // namespace

TEST_CASE("lanes take turns, and an offset is committed once all before it are done") {
  Bench bench;
  bench.options.batch_max = 2;
  for (const char* value : {"a1", "a2", "a3", "b1"}) bench.group.Produce(kTopic, std::string(1, value[0]), value);
  bench.Begin();
  REQUIRE(bench.AwaitDone({"a1", "b1", "a2", "a3"}));
  CHECK(Eventually([&] { return bench.group.committed()[kEvents] == 4; }));
  CHECK(bench.handler.reads() == 2);
  CHECK(bench.group.members() == 1);
}

TEST_CASE("a batch that fails is retried unchanged, and nothing is committed meanwhile") {
  Bench bench;
  bench.handler.FailWith(absl::UnavailableError("down"));
  bench.group.Produce(kTopic, "a", "a1");
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.handler.tries() > 2; }));
  CHECK(bench.handler.failed());
  CHECK(bench.handler.reads() == 1);
  CHECK(bench.group.committed().empty());
  bench.handler.FailWith(absl::OkStatus());
  REQUIRE(bench.AwaitDone({"a1"}));
  CHECK(Eventually([&] { return bench.group.committed()[kEvents] == 1 && !bench.handler.failed(); }));
  CHECK(bench.group.members() == 1);
}

TEST_CASE("a batch that fails for too long has the group left and joined anew, and nothing is lost") {
  Bench bench;
  bench.options.give_up_after = absl::ZeroDuration();
  bench.handler.FailWith(absl::UnavailableError("down"));
  bench.group.Produce(kTopic, "a", "a1");
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.group.members() > 2; }));
  CHECK(bench.group.committed().empty());
  bench.handler.FailWith(absl::OkStatus());
  REQUIRE(bench.AwaitDone({"a1"}));
  CHECK(bench.handler.joins() == bench.group.members());
  CHECK(bench.fenced == 0);
}

TEST_CASE("what waits when partitions change hands is not handled, and what is in hand is committed") {
  Bench bench;
  bench.options.batch_max = 1;
  bench.handler.FailWith(absl::UnavailableError("down"));
  for (const char* value : {"a1", "a2", "a3"}) bench.group.Produce(kTopic, "a", value);
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.handler.tries() > 0; }));
  // The first is in hand.
  PollResult taken;
  taken.rebalances.push_back({RebalanceEvent::Kind::kLost, {kEvents}});
  bench.group.ReturnFromNextPoll(std::move(taken));
  bench.handler.FailWith(absl::OkStatus());
  bench.group.Produce(kOther, "b", "b1");
  REQUIRE(bench.AwaitDone({"a1", "b1"}));
  CHECK(bench.group.committed()[kEvents] == 1);
}

TEST_CASE("a partition that is held stands still before its record, and no other does") {
  Bench bench;
  bench.handler.HoldAt("a2");
  for (const char* value : {"a1", "a2", "a3"}) bench.group.Produce(kTopic, "a", value);
  bench.group.Produce(kOther, "b", "b1");
  bench.Begin();
  REQUIRE(Eventually(
      [&] { return bench.group.committed() == std::map<TopicPartition, int64_t>{{kEvents, 1}, {kOthers, 1}}; }));
  CHECK(bench.handler.done() == std::vector<std::string>{"a1", "b1"});
}

TEST_CASE("a place that the log has no more is left for the oldest record") {
  Bench bench;
  bench.FailNextPoll(kEvents, absl::OutOfRangeError("not in the log"));
  bench.group.Produce(kTopic, "a", "a1");
  bench.Begin();
  REQUIRE(bench.AwaitDone({"a1"}));
  CHECK(bench.group.seeks() == std::vector<std::pair<TopicPartition, int64_t>>{{kEvents, 0}});
  CHECK(bench.handler.moved() == std::vector<TopicPartition>{kEvents});
  CHECK(bench.group.members() == 1);
}

TEST_CASE("a partition that cannot be read holds up no other, and is tried again by a new member") {
  Bench bench;
  bench.FailNextPoll(kOthers, absl::PermissionDeniedError("forbidden"));
  bench.group.Produce(kTopic, "a", "a1");
  bench.Begin();
  REQUIRE(bench.AwaitDone({"a1"}));
  CHECK(bench.group.members() == 1);
  REQUIRE(Eventually([&] { return bench.group.members() == 2; }));
  bench.group.Produce(kOther, "b", "b1");
  CHECK(bench.AwaitDone({"a1", "b1"}));
  CHECK(bench.fenced == 0);
}

TEST_CASE("a consumer that is fenced is followed by another at once, and if that is fenced too, the worker ends") {
  Bench bench;
  bench.FailNextPoll(absl::FailedPreconditionError("fenced"));
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.group.members() == 2; }));
  bench.group.Produce(kTopic, "a", "a1");
  REQUIRE(bench.AwaitDone({"a1"}));
  CHECK(bench.fenced == 0);
  bench.FailNextPoll(absl::FailedPreconditionError("fenced"));
  REQUIRE(Eventually([&] { return bench.fenced == 1; }));
  CHECK(bench.group.members() == 2);
  // Nobody waits for its turns any more.
  CHECK(Eventually([] { return process::Liveness::OfProcess().Ages().count("worker_under_test") == 0; }));
}

TEST_CASE("consumers that end because files were swapped are followed by others, however many") {
  Bench bench;
  for (int i = 0; i < 3; ++i) bench.FailNextPoll(absl::AbortedError("the TLS files were swapped"));
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.group.members() == 4; }));
  bench.group.Produce(kTopic, "a", "a1");
  CHECK(bench.AwaitDone({"a1"}));
  CHECK(bench.fenced == 0);
}

TEST_CASE("a stop waits neither for a store nor for a broker") {
  Bench bench;
  bench.options.give_up_after = absl::Hours(1);
  bench.handler.FailWith(absl::UnavailableError("down"));
  bench.group.Produce(kTopic, "a", "a1");
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.handler.tries() > 0; }));
  bench.worker->Stop();
  CHECK(bench.group.committed().empty());
  bench.group.FailToMake(absl::UnavailableError("no broker"));
  const int tries = bench.group.tries();
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.group.tries() > tries; }));
  bench.worker->Stop();
}

}  // namespace stockalert::kafka
