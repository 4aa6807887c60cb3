// The queue of deliveries on a real Postgres: what the intake's transaction makes, workers side by side, and what
// taking costs.
#include <soci/soci.h>

#include <catch2/catch.hpp>

#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "services/common/base/ids.h"
#include "services/common/postgres/transaction.h"
#include "services/notifier/delivery/postgres_delivery_store.h"
#include "services/notifier/delivery/postgres_destination_store.h"
#include "services/notifier/postgres_notification_store.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::notifier {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;
constexpr int64_t kSecond = 1'000'000;

std::string NewId() { return base::SystemIdSource().NewUuid(); }

struct World {
  World() {
    testing::PostgresUrlOrSkip();
    database.Migrate("notifier");
  }

  static NewNotification Trigger(const std::string& user, bool throttled = false) {
    NewNotification trigger;
    trigger.id = NewId();
    trigger.user_id = user;
    trigger.alert_id = NewId();
    trigger.trigger_number = 1;
    trigger.symbol = "AAPL";
    trigger.price_micros = 1;
    trigger.throttled = throttled;
    return trigger;
  }
  Destination Create(const std::string& user, DestinationState state, bool is_default = true) {
    Destination destination;
    destination.id = NewId();
    destination.user_id = user;
    destination.state = state;
    destination.is_default = is_default;
    destination.target_hash = destination.id;
    destination.host = "example.com:443";
    destination.create_time_us = destination.update_time_us = kNow;
    const auto created =
        destinations.Create(destination, NewDelivery{NewId(), DeliveryKind::kVerification, "c"}, {}, 1000, kNow);
    REQUIRE(created.ok());
    REQUIRE(*destinations.Cancel(user, destination.id, kNow) == 1);  // What is queued are notifications alone.
    return created->destination;
  }
  int64_t Count(const std::string& table, const std::string& user) {
    return database.Count(
        absl::StrCat("SELECT count(*) FROM stockalert_notifier.", table, " WHERE user_id = '", user, "'"));
  }
  std::vector<Delivery> Queued(const std::string& user) {
    return *destinations.ListDeliveries(user, {.state = DeliveryState::kQueued}, kBeforeAny, 1000);
  }

  testing::TestDatabase database;
  std::unique_ptr<postgres::Pool> pool = database.NewPool(8);
  PostgresNotificationStore notifications{*pool};
  PostgresDestinationStore destinations{*pool};
  PostgresDeliveryStore queue{*pool};
};

TEST_CASE("storing a trigger queues it once for every active default destination") {
  World world;
  const std::string user = NewId();
  const std::string other = NewId();
  const Destination one = world.Create(user, DestinationState::kActive);
  const Destination two = world.Create(user, DestinationState::kActive);
  world.Create(user, DestinationState::kActive, /*is_default=*/false);
  world.Create(user, DestinationState::kUnverified);
  world.Create(user, DestinationState::kDisabled);
  const Destination gone = world.Create(user, DestinationState::kActive);
  REQUIRE(world.destinations
              .Change(
                  user, gone.id,
                  [](Destination& destination) {
                    destination.delete_time_us = kNow;
                    return DestinationEffects();
                  },
                  kNow)
              .ok());
  world.Create(other, DestinationState::kActive);
  const NewNotification first = World::Trigger(user);
  const NewNotification second = World::Trigger(user);
  const auto taken = world.notifications.StoreBatch({{first, second}, {}}, kNow + 1);
  REQUIRE(taken.ok());
  CHECK(taken->deliveries == 4);
  auto queued = world.Queued(user);
  REQUIRE(queued.size() == 4);
  std::set<std::pair<std::string, std::string>> pairs;
  for (const Delivery& delivery : queued) {
    pairs.insert({delivery.notification_id, delivery.destination_id});
    CHECK(delivery.kind == DeliveryKind::kNotification);
    CHECK(delivery.create_time_us == kNow + 1);
    CHECK(delivery.next_attempt_time_us == kNow + 1);
    CHECK(base::IsUuid(delivery.id));
  }
  CHECK(pairs == std::set<std::pair<std::string, std::string>>{
                     {first.id, one.id}, {first.id, two.id}, {second.id, one.id}, {second.id, two.id}});
  // In the order of the notifications: what came first is attempted first.
  CHECK(queued[3].notification_id == first.id);
  CHECK(queued[0].notification_id == second.id);
  CHECK(world.Queued(other).empty());
  // Read again, it is stored before.
  const auto again = world.notifications.StoreBatch({{first, second}, {}}, kNow + 2);
  REQUIRE(again.ok());
  CHECK(again->repeated == 2);
  CHECK(again->deliveries == 0);
  CHECK(world.Queued(user).size() == 4);
}

TEST_CASE("throttled triggers are delivered only by the notification that stands for them") {
  World world;
  const std::string user = NewId();
  world.Create(user, DestinationState::kActive);
  const std::string fold = NewId();
  const auto taken = world.notifications.StoreBatch(
      {{World::Trigger(user, true), World::Trigger(user, true)}, {}, {{user, fold}}}, kNow + 1);
  REQUIRE(taken.ok());
  CHECK(taken->stored.size() == 3);
  CHECK(taken->deliveries == 1);
  REQUIRE(world.Queued(user).size() == 1);
  CHECK(world.Queued(user)[0].notification_id == fold);
}

TEST_CASE("a transaction that fails leaves neither a notification nor a delivery") {
  World world;
  const std::string user = NewId();
  world.Create(user, DestinationState::kActive);
  world.database.Execute("ALTER TABLE stockalert_notifier.deliveries ADD CONSTRAINT none_now CHECK (kind <> 1)");
  CHECK(!world.notifications.StoreBatch({{World::Trigger(user)}, {}}, kNow + 1).ok());
  CHECK(world.Count("notifications", user) == 0);
  CHECK(world.database.Count("SELECT count(*) FROM stockalert_notifier.deliveries WHERE kind = 1") == 0);
}

TEST_CASE("deleting a user deletes their destinations and deliveries") {
  World world;
  const std::string user = NewId();
  const std::string other = NewId();
  world.Create(user, DestinationState::kActive);
  world.Create(other, DestinationState::kActive);
  REQUIRE(world.notifications.StoreBatch({{World::Trigger(user), World::Trigger(other)}, {}}, kNow + 1).ok());
  const auto lanes = world.queue.LeaseLanes({{"me", 1}, kNow + 60 * kSecond, 10, 10, 10}, kNow + 2);
  REQUIRE(lanes->size() == 2);
  SettleRequest settle;
  for (const LeasedLane& lane : *lanes) {
    SettledAttempt attempt;
    attempt.lease = lane.lease;
    attempt.delivery_id = lane.due.at(0).delivery.id;
    attempt.attempt.start_time_us = kNow + 2;
    attempt.outcome = AttemptOutcome::kRetry;
    attempt.next_attempt_time_us = kNow + 3;
    settle.attempts.push_back(attempt);
  }
  REQUIRE(world.queue.Settle(settle).ok());
  REQUIRE(world.database.Count("SELECT count(*) FROM stockalert_notifier.delivery_attempts") == 2);
  REQUIRE(world.notifications.StoreBatch({{World::Trigger(user)}, {{user, kNow + 3}}}, kNow + 3).ok());
  for (const char* table : {"destinations", "deliveries", "delivery_lanes"}) {
    CHECK(world.Count(table, user) == 0);
    CHECK(world.Count(table, other) >= 1);
  }
  CHECK(world.database.Count("SELECT count(*) FROM stockalert_notifier.delivery_attempts") == 1);
  // What was under way is of nobody any more, and nothing can be made for them.
  CHECK(world.queue.Settle(settle)->applied == 1);
  Destination late;
  late.id = NewId();
  late.user_id = user;
  CHECK(!world.destinations.Create(late, NewDelivery{NewId(), DeliveryKind::kVerification, "c"}, {}, 10, kNow).ok());
}

TEST_CASE("two workers never hold the same lane, and everything is delivered once") {
  World world;
  constexpr int kLanes = 40;
  constexpr int kTriggers = 5;
  IntakeBatch batch;
  for (int lane = 0; lane < kLanes; ++lane) {
    const std::string user = NewId();
    world.Create(user, DestinationState::kActive);
    for (int i = 0; i < kTriggers; ++i) batch.notifications.push_back(World::Trigger(user));
  }
  REQUIRE(world.notifications.StoreBatch(batch, kNow + 1)->deliveries == kLanes * kTriggers);
  std::mutex mutex;
  std::map<std::string, int> held;  // By lane.
  std::map<std::string, int> attempted;
  int overlaps = 0;
  int failures = 0;
  const auto work = [&](const std::string& name) {
    for (int idle = 0; idle < 20;) {
      const auto lanes = world.queue.LeaseLanes({{name, 1}, kNow + 60 * kSecond, 3, 3, 2}, kNow + 2);
      if (!lanes.ok() || lanes->empty()) {
        failures += lanes.ok() ? 0 : 1;
        ++idle;
        continue;
      }
      SettleRequest settle;
      {
        std::lock_guard lock(mutex);
        for (const LeasedLane& lane : *lanes) overlaps += held[lane.lease.destination_id]++ == 0 ? 0 : 1;
      }
      for (const LeasedLane& lane : *lanes) {
        for (const DueDelivery& due : lane.due) {
          SettledAttempt attempt;
          attempt.lease = lane.lease;
          attempt.delivery_id = due.delivery.id;
          attempt.attempt.start_time_us = kNow + 2;
          attempt.outcome = AttemptOutcome::kSucceeded;
          settle.attempts.push_back(attempt);
        }
        settle.releases.push_back(lane.lease);
      }
      {
        std::lock_guard lock(mutex);
        for (const SettledAttempt& attempt : settle.attempts) ++attempted[attempt.delivery_id];
        for (const LeasedLane& lane : *lanes) --held[lane.lease.destination_id];
      }
      if (!world.queue.Settle(settle).ok()) ++failures;
    }
  };
  std::thread one(work, "one");
  std::thread two(work, "two");
  one.join();
  two.join();
  CHECK(overlaps == 0);
  CHECK(failures == 0);
  CHECK(attempted.size() == kLanes * kTriggers);
  for (const auto& [id, times] : attempted) CHECK(times == 1);
  CHECK(world.database.Count("SELECT count(*) FROM stockalert_notifier.deliveries WHERE state = 2") ==
        kLanes * kTriggers);
}

TEST_CASE("an intake, a worker and a user working on one destination do not deadlock") {
  World world;
  const std::string user = NewId();
  const Destination destination = world.Create(user, DestinationState::kActive);
  int failures = 0;
  std::thread worker([&] {
    for (int i = 0; i < 60; ++i) {
      const auto lanes = world.queue.LeaseLanes({{"w", 1}, kNow + i, 3, 3, 5}, kNow + i);
      if (!lanes.ok()) {
        ++failures;
        continue;
      }
      SettleRequest settle;
      for (const LeasedLane& lane : *lanes) {
        for (const DueDelivery& due : lane.due) {
          SettledAttempt attempt;
          attempt.lease = lane.lease;
          attempt.delivery_id = due.delivery.id;
          attempt.attempt.start_time_us = kNow + i;
          attempt.outcome = i % 2 == 0 ? AttemptOutcome::kSucceeded : AttemptOutcome::kRetry;
          attempt.next_attempt_time_us = kNow + i + 1;
          settle.attempts.push_back(attempt);
        }
        settle.releases.push_back(lane.lease);
      }
      if (!world.queue.Settle(settle).ok()) ++failures;
    }
  });
  std::thread person([&] {
    for (int i = 0; i < 30; ++i) {
      if (!world.destinations.Cancel(user, destination.id, kNow + i).ok()) ++failures;
      const auto change = [](Destination& row) {
        row.display_name += "x";
        return DestinationEffects();
      };
      if (!world.destinations.Change(user, destination.id, change, kNow).ok()) ++failures;
    }
  });
  for (int i = 0; i < 60; ++i) REQUIRE(world.notifications.StoreBatch({{World::Trigger(user)}, {}}, kNow + i).ok());
  worker.join();
  person.join();
  CHECK(failures == 0);
}

// What the tables' indexes and scans gave since the beginning.
struct Reads {
  int64_t by_index = 0;
  int64_t by_scan = 0;
};
Reads ReadsOf(postgres::Pool& pool, const std::string& table) {
  auto lease = pool.Acquire();
  REQUIRE(lease.ok());
  Reads reads;
  std::string flushed;
  lease->sql() << "SELECT CAST(pg_stat_force_next_flush() AS text)", soci::into(flushed);
  long long by_index = 0, by_scan = 0;
  lease->sql() << "SELECT COALESCE(idx_tup_fetch, 0), COALESCE(seq_tup_read, 0) FROM pg_stat_user_tables "
                  "WHERE schemaname = 'stockalert_notifier' AND relname = :name",
      soci::use(table, "name"), soci::into(by_index), soci::into(by_scan);
  reads.by_index = by_index;
  reads.by_scan = by_scan;
  return reads;
}

TEST_CASE("leasing and settling do not cost more if a dead destination has a long queue") {
  World world;
  const std::string dead_user = NewId();
  const Destination dead = world.Create(dead_user, DestinationState::kActive);
  const std::string unverified_user = NewId();
  const Destination unverified = world.Create(unverified_user, DestinationState::kUnverified);
  // One that fails, with 30,000 that wait, half of them due; and as many that wait for a proof.
  for (const Destination& destination : {dead, unverified}) {
    world.database.Execute(absl::StrCat(
        "INSERT INTO stockalert_notifier.deliveries (id, user_id, destination_id, kind, state, next_attempt_time_us, "
        "create_time_us) SELECT gen_random_uuid(), '",
        destination.user_id, "', '", destination.id, "', 1, 1, ", kNow, " + CASE WHEN n % 2 = 0 THEN -n ELSE ",
        3600 * kSecond, " + n END, ", kNow, " FROM generate_series(1, 30000) n"));
  }
  world.database.Execute(absl::StrCat("UPDATE stockalert_notifier.delivery_lanes SET failing = true, due_us = ",
                                      kNow - 30'000, " WHERE destination_id = '", dead.id, "'"));
  std::vector<std::string> users;
  for (int i = 0; i < 20; ++i) {
    users.push_back(NewId());
    world.Create(users.back(), DestinationState::kActive);
  }
  world.database.Execute("ANALYZE");
  const auto pool = world.database.NewPool(1);
  PostgresDeliveryStore queue(*pool);
  PostgresNotificationStore notifications(*pool);
  IntakeBatch batch;
  for (const std::string& user : users) batch.notifications.push_back(World::Trigger(user));
  const Reads deliveries_before = ReadsOf(*pool, "deliveries");
  REQUIRE(notifications.StoreBatch(batch, kNow + 1)->deliveries == 20);
  const auto lanes = queue.LeaseLanes({{"me", 1}, kNow + 60 * kSecond, 50, 5, 10}, kNow + 2);
  REQUIRE(lanes.ok());
  REQUIRE(lanes->size() == 21);
  SettleRequest settle;
  int due_count = 0;
  for (const LeasedLane& lane : *lanes) {
    due_count += static_cast<int>(lane.due.size());
    for (const DueDelivery& due : lane.due) {
      SettledAttempt attempt;
      attempt.lease = lane.lease;
      attempt.delivery_id = due.delivery.id;
      attempt.attempt.start_time_us = kNow + 2;
      attempt.outcome = lane.lease.destination_id == dead.id ? AttemptOutcome::kRetry : AttemptOutcome::kSucceeded;
      attempt.next_attempt_time_us = kNow + 7200 * kSecond;
      settle.attempts.push_back(attempt);
    }
    settle.releases.push_back(lane.lease);
  }
  CHECK(due_count == 30);  // Ten of the dead one's, no more; nothing for the one without a proof.
  REQUIRE(queue.Settle(settle)->applied == 30);
  const Reads deliveries_after = ReadsOf(*pool, "deliveries");
  CHECK(deliveries_after.by_scan == deliveries_before.by_scan);
  // What was taken is read a few times; a walk through the queues would be 30,000 and more.
  CHECK(deliveries_after.by_index - deliveries_before.by_index < 1000);
}

}  // namespace
}  // namespace stockalert::notifier
