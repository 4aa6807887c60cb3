// Who is told of a split, on the real tables: each user once, whatever ends in between. The broker is in memory.
#include <soci/soci.h>
#include <catch2/catch.hpp>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/alert/alert_rules.h"
#include "services/alert/event_rules.h"
#include "services/alert/postgres_alert_store.h"
#include "services/alert/postgres_event_store.h"
#include "services/alert/postgres_split_notice_store.h"
#include "services/alert/split_notice_relay.h"
#include "services/common/base/ids.h"
#include "services/common/postgres/transaction.h"
#include "stockalert/internal/v1/events.pb.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/memory_producer/memory_producer.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::alert {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;
constexpr int64_t kSecond = 1'000'000;

struct World {
  World() { database.Migrate("alert"); }

  std::string NewUser() { return ids.NewUuid(); }

  StoredAlert Create(const std::string& user, const std::string& symbol, int64_t splits = 0,
                     std::optional<int64_t> expire_time_us = {}) {
    StoredAlert alert;
    alert.id = ids.NewUuid();
    alert.user_id = user;
    alert.symbol = symbol;
    alert.record.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, 150'000'000};
    alert.record.definition.expire_time_us = expire_time_us;
    alert.splits_applied = splits;
    // Several have one creation time.
    const int64_t created_us = kNow - 100 * kSecond + created++ / 3;
    REQUIRE(alerts
                .Create(user, {alert}, 1000, created_us,
                        [&](const OtherWindows& others) { return AdmitWindows({alert}, others); })
                .ok());
    return alert;
  }

  void Change(const StoredAlert& alert, const std::string& assignments) {
    REQUIRE(postgres::Transact(*pool, "change", postgres::Idempotency::kIdempotent,
                               [&](postgres::Connection& connection) -> absl::Status {
                                 connection.sql() << absl::StrCat("UPDATE stockalert_alert.alerts SET ", assignments,
                                                                  " WHERE id = '", alert.id, "'");
                                 return absl::OkStatus();
                               })
                .ok());
  }

  int64_t Apply(const std::string& symbol, int64_t number, price::SplitRatio ratio = {4, 1}) {
    EventBatch batch;
    batch.splits = {{symbol, number, ratio, kNow - kSecond, absl::StrCat("split-", number)}};
    const auto applied = ApplyEvents(events, batch, kNow);
    REQUIRE(applied.ok());
    return applied->splits_recorded;
  }

  // As a process that was just started, with small batches. False: after `rounds_max` rounds it was not at its end.
  bool Run(int rounds_max, int alerts_max = 4, int notices_max = 2) {
    SplitNoticeRelay relay(store, producer, clock,
                           {.settle = settle,
                            .alerts_max = alerts_max,
                            .notices_max = notices_max,
                            .publish_timeout = absl::Milliseconds(50)});
    for (int i = 0; i < rounds_max; ++i) {
      if (!relay.RunOnce()) return true;
    }
    return false;
  }

  // By user: the alerts that each message names.
  std::map<std::string, std::vector<int64_t>> Told(const std::string& symbol, int64_t number) const {
    std::map<std::string, std::vector<int64_t>> told;
    for (const auto& record : producer.records()) {
      internal::v1::TriggerMessage message;
      REQUIRE(message.ParseFromString(record.value));
      REQUIRE(message.has_split());
      if (message.split().symbol() != symbol || message.split().number() != number) continue;
      CHECK(record.key == message.user_id());
      told[message.user_id()].push_back(message.split().alert_count());
    }
    return told;
  }

  testing::TestDatabase database;
  std::unique_ptr<postgres::Pool> pool = database.NewPool(4);
  base::SystemIdSource ids;
  PostgresAlertStore alerts{*pool};
  PostgresEventStore events{*pool};
  PostgresSplitNoticeStore store{*pool};
  testing::MemoryProducer producer;
  testing::FakeClock clock{kNow};
  absl::Duration settle = absl::ZeroDuration();
  int64_t created = 0;
};

using Told = std::map<std::string, std::vector<int64_t>>;

TEST_CASE("each user with alerts that a split has scaled is told once, with their number") {
  World world;
  Told expected;
  for (int i = 0; i < 11; ++i) {
    const std::string user = world.NewUser();
    for (int n = 0; n <= i % 3; ++n) world.Create(user, "AAPL");
    world.Create(user, "MSFT");
    expected[user] = {i % 3 + 1};
  }
  CHECK(world.Apply("AAPL", 1) == 1);
  REQUIRE(world.Run(100));
  CHECK(world.Told("AAPL", 1) == expected);
  CHECK(world.producer.records().size() == expected.size());
  internal::v1::TriggerMessage message;
  REQUIRE(message.ParseFromString(world.producer.records().front().value));
  CHECK(message.split().split_id() == "split-1");
  CHECK(message.split().numerator() == 4);
  CHECK(message.split().denominator() == 1);
  CHECK(message.split().effective_time_us() == kNow - kSecond);
  CHECK(!message.has_trigger());
  CHECK(world.producer.records().front().topic == "triggers");
  CHECK(world.store.CountOpen().value() == 0);
  // Told of again by the evaluator: known.
  CHECK(world.Apply("AAPL", 1) == 0);
  REQUIRE(world.Run(100));
  CHECK(world.producer.records().size() == expected.size());
}

TEST_CASE("a creation that was under way at the split is counted, once it has ended") {
  World world;
  world.settle = absl::Seconds(20);
  CHECK(world.Apply("AAPL", 1) == 1);
  world.clock.Advance(absl::Seconds(19));
  REQUIRE(world.Run(100));
  CHECK(world.producer.records().empty());
  // Its call had asked for the split's number before there was one.
  const std::string user = world.NewUser();
  world.Create(user, "AAPL");
  world.clock.Advance(absl::Seconds(2));
  REQUIRE(world.Run(100));
  CHECK(world.Told("AAPL", 1) == Told{{user, {1}}});
}

TEST_CASE("an alert that triggers between the split and its counting counts, one that had triggered does not") {
  World world;
  const std::string earlier = world.NewUser(), later = world.NewUser();
  for (const std::string& user : {earlier, later}) {
    const StoredAlert alert = world.Create(user, "AAPL");
    world.Change(alert, "triggered = true");
    REQUIRE(postgres::Transact(*world.pool, "trigger", postgres::Idempotency::kIdempotent,
                               [&](postgres::Connection& connection) -> absl::Status {
                                 connection.sql() << absl::StrCat(
                                     "INSERT INTO stockalert_alert.triggers (alert_id, number, user_id, symbol, "
                                     "revision, price_micros, event_time_us, late, ends_alert, log_partition, "
                                     "log_offset, withheld, create_time_us) VALUES ('",
                                     alert.id, "', 1, '", user, "', 'AAPL', 1, 1, 1, false, true, 0, 0, 0, ",
                                     kNow + (user == later ? 1 : -1), ")");
                                 return absl::OkStatus();
                               })
                .ok());
  }
  CHECK(world.Apply("AAPL", 1) == 1);
  REQUIRE(world.Run(100));
  CHECK(world.Told("AAPL", 1) == Told{{later, {1}}});
}

TEST_CASE("an alert of the version before counts, though its user changes it before it is counted") {
  World world;
  const std::string user = world.NewUser();
  const StoredAlert alert = world.Create(user, "AAPL");
  world.Change(alert, "create_splits = NULL");
  CHECK(world.Apply("AAPL", 1) == 1);
  REQUIRE(world.alerts
              .Change(user, alert.id, kNow,
                      [](const ShownAlert& present, const OtherWindows&) -> absl::StatusOr<StoredAlert> {
                        StoredAlert changed = present.alert;
                        changed.note = "changed";
                        ++changed.record.revision;
                        return changed;
                      })
              .ok());
  REQUIRE(world.Run(100));
  CHECK(world.Told("AAPL", 1) == Told{{user, {1}}});
}

TEST_CASE("alerts that have ended, and those that were created after the split, do not count") {
  World world;
  const std::string ended = world.NewUser(), later = world.NewUser(), mixed = world.NewUser(), paused = world.NewUser();
  world.Change(world.Create(ended, "AAPL"), "triggered = true");
  world.Change(world.Create(ended, "AAPL"), "deleted = true");
  world.Create(ended, "AAPL", 0, kNow - 1);
  world.Create(later, "AAPL", 1);
  world.Create(mixed, "AAPL", 1);
  world.Create(mixed, "AAPL", 0, kNow + kSecond);
  // Scaled, and changed since.
  world.Change(world.Create(mixed, "AAPL"), "splits_applied = 1");
  world.Change(world.Create(paused, "AAPL"), "paused = true");
  // By the version before, which writes no create_splits.
  const std::string old = world.NewUser(), old_later = world.NewUser();
  world.Change(world.Create(old, "AAPL"), "create_splits = NULL");
  world.Change(world.Create(old_later, "AAPL", 1), "create_splits = NULL");
  world.Apply("AAPL", 1);
  REQUIRE(world.Run(100));
  CHECK(world.Told("AAPL", 1) == Told{{mixed, {2}}, {paused, {1}}, {old, {1}}});
  // Of the next one all are told.
  world.Apply("AAPL", 2, {1, 10});
  REQUIRE(world.Run(100));
  CHECK(world.Told("AAPL", 2) == Told{{mixed, {3}}, {paused, {1}}, {old, {1}}, {later, {1}}, {old_later, {1}}});
}

TEST_CASE("a process that ends at any step goes on where it was: everybody is told once, with all alerts") {
  World world;
  Told expected;
  for (int i = 0; i < 7; ++i) {
    const std::string user = world.NewUser();
    for (int n = 0; n < 3; ++n) world.Create(user, "AAPL");
    expected[user] = {3};
  }
  world.Apply("AAPL", 1);
  int processes = 1;
  // Nobody is told before all alerts are counted.
  CHECK(!world.Run(1));
  CHECK(world.producer.records().empty());
  while (!world.Run(1)) REQUIRE(++processes < 100);
  CHECK(processes > 8);
  CHECK(world.Told("AAPL", 1) == expected);
  CHECK(world.store.CountOpen().value() == 0);
}

TEST_CASE("what the broker does not acknowledge stays, and is sent again once the claim is over") {
  World world;
  Told expected;
  for (int i = 0; i < 3; ++i) {
    const std::string user = world.NewUser();
    world.Create(user, "AAPL");
    expected[user] = {1};
  }
  world.Apply("AAPL", 1);
  world.producer.Fail(absl::UnavailableError("away"));
  REQUIRE(world.Run(100, 100, 100));
  CHECK(world.producer.records().empty());
  CHECK(world.store.CountOpen().value() == 1);
  world.producer.Fail(absl::OkStatus());
  // Another instance leaves the claimed ones alone.
  REQUIRE(world.Run(100, 100, 100));
  CHECK(world.producer.records().empty());
  world.clock.Advance(absl::Microseconds(kSplitNoticeClaimUs));
  REQUIRE(world.Run(100, 100, 100));
  CHECK(world.Told("AAPL", 1) == expected);
  CHECK(world.store.CountOpen().value() == 0);
}

TEST_CASE("a split that concerns nobody is told to nobody, and forgotten") {
  World world;
  world.Create(world.NewUser(), "MSFT");
  world.Apply("AAPL", 1);
  REQUIRE(world.Run(100));
  CHECK(world.producer.records().empty());
  CHECK(world.store.CountOpen().value() == 0);
}

}  // namespace
}  // namespace stockalert::alert
