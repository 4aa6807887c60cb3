// What the intake makes of what its consumer group brings and does.
#include "services/notifier/intake.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <functional>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/metrics/metrics.h"
#include "services/common/postgres/store_failure.h"
#include "stockalert/internal/v1/events.pb.h"
#include "tests/support/eventually/eventually.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/memory_dead_letters/memory_dead_letters.h"
#include "tests/support/notification_store/in_memory_notification_store.h"
#include "tests/support/scripted_group/scripted_group.h"

namespace stockalert::notifier {
namespace {

using testing::Eventually;

constexpr char kUser[] = "11111111-1111-4111-8111-111111111111";
constexpr char kTriggers[] = "triggers";
constexpr char kUserEvents[] = "user-events";

struct Bench {
  Bench() {
    options.triggers_topic = kTriggers;
    options.user_events_topic = kUserEvents;
  }
  void Begin() {
    intake = std::make_unique<Intake>(options, group.maker(), store, letters, clock, ids,
                                      [](const std::vector<std::string>&, int64_t) {});
  }
  void Trigger(int64_t number, int64_t log_time_us = 0) {
    internal::v1::TriggerMessage message;
    message.set_user_id(kUser);
    internal::v1::AlertTriggered& trigger = *message.mutable_trigger();
    trigger.set_alert_id("33333333-3333-4333-8333-333333333333");
    trigger.set_symbol("AAPL");
    trigger.set_trigger_number(number);
    trigger.set_price_micros(150'000'000);
    trigger.set_event_time_us(1);
    trigger.set_log_time_us(log_time_us);
    group.Produce(kTriggers, kUser, message.SerializeAsString());
  }
  size_t Stored() { return store.ListAfter(kUser, 0, 1000)->size(); }
  bool AwaitPolls(int more) {
    const int until = group.polls() + more;
    return Eventually([&] { return group.polls() >= until; });
  }

  testing::FakeClock clock;
  base::SystemIdSource ids;
  testing::InMemoryNotificationStore store;
  testing::MemoryDeadLetters letters;
  testing::ScriptedGroup group{{kTriggers, kUserEvents}};
  IntakeOptions options;
  std::unique_ptr<Intake> intake;
};

TEST_CASE("triggers are stored and committed, and the time since their quote was appended is measured") {
  const auto sum = [] {
    return metrics::GetHistogram("stockalert_end_to_end_seconds", "").Collect().histogram.sample_sum;
  };
  Bench bench;
  const double before = sum();
  bench.Trigger(1, bench.clock.NowUs() - 3'000'000);
  bench.Trigger(2);
  bench.Trigger(3, bench.clock.NowUs() + 1'000'000);
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.group.committed()[{kTriggers, 0}] == 3; }));
  CHECK(bench.Stored() == 3);
  // A clock that is behind the broker's makes no negative time.
  CHECK(sum() == Approx(before + 3));
}

std::string CodeEvent(int64_t expire_time_us) {
  internal::v1::UserEvent event;
  internal::v1::EmailVerificationRequested& asked = *event.mutable_email_verification_requested();
  asked.set_user_id(kUser);
  asked.set_email("ann@example.org");
  asked.set_code("ABC");
  asked.set_expire_time_us(expire_time_us);
  return event.SerializeAsString();
}

TEST_CASE("codes are queued to be mailed, sealed, where mail is on and while they are valid") {
  for (const bool on : {true, false}) {
    Bench bench;
    std::atomic<int> woken{0};
    if (on) bench.options.seal_code_mail = [](const CodeRequest& asked) { return asked.address + "|" + asked.code; };
    bench.options.on_code_mails = [&] { ++woken; };
    const int64_t now_us = bench.clock.NowUs();
    bench.group.Produce(kUserEvents, kUser, CodeEvent(now_us + 5));
    bench.group.Produce(kUserEvents, kUser, CodeEvent(now_us + 7));
    bench.group.Produce(kUserEvents, kUser, CodeEvent(now_us));
    bench.group.Produce(kUserEvents, kUser, CodeEvent(now_us + 7));
    bench.Begin();
    REQUIRE(Eventually([&] { return bench.group.committed()[{kUserEvents, 0}] == 4; }));
    CHECK(bench.letters.letters().empty());
    CHECK((woken > 0) == on);
    const std::map<std::string, NewCodeMail> queued = bench.store.code_mails();
    REQUIRE(queued.size() == (on ? 1 : 0));
    if (!on) continue;
    CHECK(queued.at(kUser).sealed_content == "ann@example.org|ABC");
    CHECK(queued.at(kUser).expire_time_us == now_us + 7);
  }
}

TEST_CASE("if the group's offset is no longer in the log, reading continues at the oldest record") {
  Bench bench;
  bench.Trigger(1);
  kafka::PollResult said;
  said.errors.push_back({{kTriggers, 0}, absl::OutOfRangeError("not in the log")});
  bench.group.ReturnFromNextPoll(std::move(said));
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.Stored() == 1; }));
  CHECK(bench.group.seeks() == std::vector<std::pair<kafka::TopicPartition, int64_t>>{{{kTriggers, 0}, 0}});
  CHECK(bench.group.members() == 1);
}

TEST_CASE("a group member that failed, or was refused a partition, is replaced by a new one") {
  Bench bench;
  kafka::PollResult fenced;
  fenced.fatal = absl::FailedPreconditionError("fenced");
  bench.group.ReturnFromNextPoll(std::move(fenced));
  kafka::PollResult forbidden;
  forbidden.errors.push_back({{kTriggers, 0}, absl::PermissionDeniedError("forbidden")});
  bench.group.ReturnFromNextPoll(std::move(forbidden));
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.group.members() == 3; }));
  bench.Trigger(1);
  REQUIRE(Eventually([&] { return bench.Stored() == 1; }));
  CHECK(bench.group.seeks().empty());
}

TEST_CASE(
    "if the store is down for too long the group is left and joined again, and the outage's time counts on until a "
    "batch is stored") {
  const auto& blocked = metrics::GetGauge("stockalert_consumer_blocked_seconds", "");
  Bench bench;
  bench.options.give_up_after = absl::ZeroDuration();
  bench.store.Fail(base::Unavailable(postgres::kReasonDatabaseUnavailable, "down"));
  bench.Trigger(1);
  bench.Begin();
  REQUIRE(Eventually([&] { return blocked.Value() > 0 && bench.group.members() > 1; }));
  bench.group.HoldBack(true);
  REQUIRE(bench.AwaitPolls(3));
  CHECK(blocked.Value() > 0);
  bench.store.Fail(absl::OkStatus());
  bench.group.HoldBack(false);
  REQUIRE(Eventually([&] { return bench.Stored() == 1 && blocked.Value() == 0; }));
  CHECK(bench.letters.letters().empty());
}

TEST_CASE(
    "an event of an unknown kind holds its partition, although the records fetched after it are still handed over") {
  const auto& held = metrics::GetGauge("stockalert_consumer_partitions_held", "", {{"topic", kUserEvents}});
  Bench bench;
  bench.options.poll_max = 1;
  bench.options.held.first_retry = absl::Hours(1);
  bench.group.Produce(kUserEvents, kUser, "\x9a\x06\x04news");
  internal::v1::UserEvent event;
  event.mutable_user_deleted()->set_user_id(kUser);
  bench.group.Produce(kUserEvents, kUser, event.SerializeAsString());
  bench.Begin();
  REQUIRE(Eventually([&] { return bench.group.records() == 2; }));
  REQUIRE(bench.AwaitPolls(2));
  CHECK(held.Value() == 1);
  // The user is there still: triggers are stored.
  bench.Trigger(1);
  REQUIRE(Eventually([&] { return bench.Stored() == 1; }));
  CHECK(bench.group.committed()[{kUserEvents, 0}] == 0);
  // Whoever gets the partition begins at its record.
  kafka::PollResult taken;
  taken.rebalances.push_back({kafka::RebalanceEvent::Kind::kLost, {{kUserEvents, 0}}});
  bench.group.ReturnFromNextPoll(std::move(taken));
  CHECK(Eventually([&] { return held.Value() == 0; }));
}

TEST_CASE("a stop does not wait for the next retry") {
  // If each slept until its next try, all of them took far longer than is waited.
  const absl::Time give_up = absl::Now() + absl::Seconds(10);
  Bench bench;
  bench.group.FailToMake(absl::UnavailableError("no broker"));
  int stopped = 0;
  for (; stopped < 100 && absl::Now() < give_up; ++stopped) {
    const int tries = bench.group.tries();
    bench.Begin();
    REQUIRE(Eventually([&] { return bench.group.tries() > tries; }));
    bench.intake->Stop();
  }
  CHECK(stopped == 100);
}

}  // namespace
}  // namespace stockalert::notifier
