// Holding and digests on a real Postgres: what the intake holds, what becomes of it, and who may interfere.
#include <catch2/catch.hpp>

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/notifier/delivery/postgres_delivery_store.h"
#include "services/notifier/delivery/postgres_destination_store.h"
#include "services/notifier/digest/postgres_digest_store.h"
#include "services/notifier/postgres_notification_store.h"
#include "services/notifier/settings/postgres_settings_store.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::notifier {
namespace {

// 2026-01-02T15:00:00Z.
constexpr int64_t kNow = 1'767'366'000'000'000;
constexpr int64_t kMinute = 60'000'000;
constexpr int64_t kHour = 60 * kMinute;
constexpr char kDeliveries[] = "stockalert_notifier.deliveries";

std::string NewId() { return base::SystemIdSource().NewUuid(); }

struct World {
  World() {
    testing::PostgresUrlOrSkip();
    database.Migrate("notifier");
  }

  Destination Create(const std::string& user, int per_minute_max = 60,
                     DestinationState state = DestinationState::kActive) {
    Destination destination;
    destination.id = NewId();
    destination.user_id = user;
    destination.state = state;
    destination.target_hash = destination.id;
    destination.host = "example.com:443";
    destination.per_minute_max = per_minute_max;
    destination.create_time_us = destination.update_time_us = kNow;
    const auto created =
        destinations.Create(destination, NewDelivery{NewId(), DeliveryKind::kVerification, "c"}, {}, 1000, kNow);
    REQUIRE(created.ok());
    REQUIRE(*destinations.Cancel(user, destination.id, kNow) == 1);  // What is left are notifications alone.
    return created->destination;
  }
  // Quiet from 14:00 to 16:00 UTC; `zone`: in which that is meant.
  void SetQuiet(const std::string& user, int64_t now_us = kNow, const std::string& zone = "UTC") {
    REQUIRE(settings
                .Change(
                    user,
                    [&](NotificationSettings& changed) {
                      changed.time_zone = zone;
                      changed.quiet_hours = {{.days = {}, .start_minute = 14 * 60, .end_minute = 16 * 60}};
                      return absl::OkStatus();
                    },
                    now_us)
                .ok());
  }
  void EndQuiet(const std::string& user, int64_t now_us) {
    REQUIRE(settings
                .Change(
                    user,
                    [](NotificationSettings& changed) {
                      changed.quiet_hours.clear();
                      return absl::OkStatus();
                    },
                    now_us)
                .ok());
  }
  IntakeResult Trigger(const std::string& user, int count, int64_t now_us,
                       const std::string& summary = "AAPL above 150", bool critical = false) {
    IntakeBatch batch;
    for (int i = 0; i < count; ++i) {
      NewNotification& trigger = batch.notifications.emplace_back();
      trigger.id = NewId();
      trigger.user_id = user;
      trigger.alert_id = NewId();
      trigger.trigger_number = 1;
      trigger.symbol = "AAPL";
      trigger.summary = summary;
      trigger.price_micros = 1;
      trigger.routing.critical = critical;
    }
    const auto taken = notifications.StoreBatch(batch, now_us);
    INFO(taken.status());
    REQUIRE(taken.ok());
    return *taken;
  }
  DigestResult Digest(int64_t now_us, const DigestBounds& bounds = {}) {
    const auto made = digests.MakeDigests(bounds, now_us);
    INFO(made.status());
    REQUIRE(made.ok());
    return *made;
  }
  std::vector<Delivery> In(const std::string& user, DeliveryState state) {
    std::vector<Delivery> rows = *destinations.ListDeliveries(user, {.state = state}, kBeforeAny, 1000);
    std::erase_if(rows, [](const Delivery& row) { return row.kind != DeliveryKind::kNotification; });
    return rows;
  }
  size_t Count(const std::string& user, DeliveryState state) { return In(user, state).size(); }
  // The user's digests, newest first.
  std::vector<StoredNotification> Digests(const std::string& user) {
    std::vector<StoredNotification> rows = *notifications.ListNewest(user, {}, kBeforeAny, 1000);
    std::erase_if(rows, [](const StoredNotification& row) { return row.kind != Kind::kDigest; });
    return rows;
  }
  // When what is held for it comes; -1: nothing is.
  int64_t DigestDue(const std::string& destination) {
    return database.Count(
        absl::StrCat("SELECT COALESCE(digest_due_us, -1) FROM stockalert_notifier.delivery_lanes "
                     "WHERE destination_id = '",
                     destination, "'"));
  }

  testing::TestDatabase database;
  std::unique_ptr<postgres::Pool> pool = database.NewPool(8);
  PostgresNotificationStore notifications{*pool};
  PostgresDestinationStore destinations{*pool};
  PostgresDeliveryStore queue{*pool};
  PostgresSettingsStore settings{*pool};
  PostgresDigestStore digests{*pool};
};

TEST_CASE("in quiet hours triggers are held, critical ones pass, and the end makes one digest") {
  World world;
  const std::string user = NewId();
  const Destination one = world.Create(user);
  const Destination two = world.Create(user);
  world.SetQuiet(user);
  IntakeResult taken = world.Trigger(user, 3, kNow);
  CHECK(taken.deliveries == 0);
  CHECK(taken.held == 6);
  world.Trigger(user, 1, kNow + 1, "TSLA below 200");
  taken = world.Trigger(user, 1, kNow + 2, "MSFT up 5%", /*critical=*/true);
  CHECK(taken.deliveries == 2);
  CHECK(world.Count(user, DeliveryState::kQueued) == 2);
  const std::vector<Delivery> held = world.In(user, DeliveryState::kHeld);
  REQUIRE(held.size() == 8);
  for (const Delivery& delivery : held) {
    CHECK(delivery.hold_reason == HoldReason::kQuietHours);
    CHECK(delivery.next_attempt_time_us == kNow + kHour);
    CHECK(!delivery.end_time_us);
  }
  CHECK(world.Digest(kNow + kHour - 1).digests == 0);
  CHECK(world.Count(user, DeliveryState::kHeld) == 8);

  const DigestResult made = world.Digest(kNow + kHour);
  CHECK(made.digests == 2);
  CHECK(made.digested == 8);
  CHECK(made.users == std::vector<std::string>{user});
  CHECK(made.oldest_due_us == kNow + kHour);
  CHECK_FALSE(made.more);
  CHECK(world.Count(user, DeliveryState::kHeld) == 0);
  const std::vector<StoredNotification> digests = world.Digests(user);
  REQUIRE(digests.size() == 2);
  for (const StoredNotification& digest : digests) {
    CHECK(digest.summary == "4 notifications held in quiet hours: AAPL above 150 (3 times); TSLA below 200");
    CHECK(digest.folded_count == 4);
    CHECK_FALSE(digest.routing.critical);
    const auto of_digest = *world.destinations.ListDeliveries(user, {.notification_id = digest.id}, kBeforeAny, 10);
    REQUIRE(of_digest.size() == 1);
    CHECK(of_digest[0].destination_id == digest.destination_id);
    CHECK(of_digest[0].state == DeliveryState::kQueued);
    CHECK(of_digest[0].next_attempt_time_us == kNow + kHour);
    int covered = 0;
    for (const Delivery& delivery : world.In(user, DeliveryState::kDigested)) {
      if (delivery.digest_id != digest.id) continue;
      CHECK(delivery.destination_id == digest.destination_id);
      CHECK(delivery.end_time_us == kNow + kHour);
      ++covered;
    }
    CHECK(covered == 4);
  }
  // Listed, numbered like others, and not for streams.
  CHECK(digests[0].sequence == 7);
  CHECK(digests[1].sequence == 6);
  CHECK(world.notifications.ListAfter(user, 0, 100)->size() == 5);
  // Once.
  CHECK(world.Digest(kNow + 2 * kHour).digests == 0);
  CHECK(world.DigestDue(one.id) == -1);
  CHECK(world.DigestDue(two.id) == -1);
  // The worker gets it.
  const auto lanes = world.queue.LeaseLanes({{"me", 1}, kNow + 2 * kHour, 10, 10, 10, {}}, kNow + kHour);
  REQUIRE(lanes.ok());
  REQUIRE(lanes->size() == 2);
  CHECK((*lanes)[0].due.size() == 2);
  CHECK((*lanes)[0].destination.text_time_zone == "UTC");
}

TEST_CASE("what is more than a minute's is held, and comes as a digest when the minute ends") {
  World world;
  const std::string user = NewId();
  const Destination destination = world.Create(user, /*per_minute_max=*/3);
  const Destination wide = world.Create(user, /*per_minute_max=*/600);
  IntakeResult taken = world.Trigger(user, 2, kNow);
  CHECK(taken.deliveries == 4);
  taken = world.Trigger(user, 5, kNow + 1);
  CHECK(taken.deliveries == 6);
  CHECK(taken.held == 4);
  CHECK(world.DigestDue(wide.id) == -1);
  // Critical ones go at once.
  CHECK(world.Trigger(user, 1, kNow + 2, "MSFT", true).deliveries == 2);
  for (const Delivery& delivery : world.In(user, DeliveryState::kHeld)) {
    CHECK(delivery.hold_reason == HoldReason::kRate);
    CHECK(delivery.destination_id == destination.id);
    CHECK(delivery.next_attempt_time_us == kNow + kMinute);
  }
  CHECK(world.Digest(kNow + kMinute - 1).digests == 0);
  CHECK(world.Digest(kNow + kMinute).digests == 1);
  CHECK(world.Digests(user).front().summary ==
        "4 notifications more than are sent one by one within a minute: AAPL above 150 (4 times)");
  // The next minute begins anew, and the digest takes no part of it.
  CHECK(world.Trigger(user, 3, kNow + kMinute + 1).held == 0);
}

TEST_CASE("a single one that is held is released as it is") {
  World world;
  const std::string user = NewId();
  const Destination destination = world.Create(user, 1);
  world.Trigger(user, 2, kNow);
  const DigestResult made = world.Digest(kNow + kMinute);
  CHECK(made.digests == 0);
  CHECK(made.released == 1);
  CHECK(made.users == std::vector<std::string>{user});
  CHECK(world.Digests(user).empty());
  const std::vector<Delivery> queued = world.In(user, DeliveryState::kQueued);
  REQUIRE(queued.size() == 2);
  CHECK(queued[0].next_attempt_time_us == kNow + kMinute);
  CHECK(queued[0].hold_reason == HoldReason::kNone);
  CHECK(world.DigestDue(destination.id) == -1);
  const auto lanes = world.queue.LeaseLanes({{"me", 1}, kNow + kHour, 10, 10, 10, {}}, kNow + kMinute);
  CHECK(lanes->front().due.size() == 2);
}

TEST_CASE("when quiet hours begin before the minute ends, or go on, all stays held until they end") {
  World world;
  const std::string user = NewId();
  const Destination destination = world.Create(user, 1);
  world.SetQuiet(user);
  const int64_t before = kNow - kHour - kMinute / 2;  // 13:59:30.
  world.Trigger(user, 3, before);
  CHECK(world.DigestDue(destination.id) == before + kMinute);
  const DigestResult postponed = world.Digest(before + kMinute);
  CHECK(postponed.postponed == 1);
  CHECK(postponed.digests == 0);
  CHECK(postponed.users.empty());
  for (const Delivery& delivery : world.In(user, DeliveryState::kHeld))
    CHECK(delivery.next_attempt_time_us == kNow + kHour);
  world.Trigger(user, 1, kNow);
  CHECK(world.Digest(kNow + kHour).digested == 3);
  CHECK(absl::StrContains(world.Digests(user).front().summary,
                          "3 notifications held in quiet hours, or more than are sent one by one"));
}

TEST_CASE("what is held comes when a change of the settings ends the quiet hours, or later when it prolongs them") {
  World world;
  const std::string user = NewId();
  const Destination destination = world.Create(user);
  world.SetQuiet(user);
  world.Trigger(user, 2, kNow);
  // In the Azores they are an hour later.
  world.SetQuiet(user, kNow + 1, "Atlantic/Azores");
  CHECK(world.DigestDue(destination.id) == kNow + 1);
  CHECK(world.Digest(kNow + 2).postponed == 1);
  CHECK(world.DigestDue(destination.id) == kNow + 2 * kHour);
  world.EndQuiet(user, kNow + 3);
  CHECK(world.Digest(kNow + 3).digested == 2);
  // What changes nothing of the time leaves it alone.
  world.SetQuiet(user, kNow + 4);
  world.Trigger(user, 2, kNow + 5);
  REQUIRE(world.settings
              .Change(
                  user,
                  [](NotificationSettings& changed) {
                    changed.price_decimals = 2;
                    return absl::OkStatus();
                  },
                  kNow + 6)
              .ok());
  CHECK(world.DigestDue(destination.id) == kNow + kHour);
}

TEST_CASE("a digest is for a bounded number, and several come until nothing is held") {
  World world;
  const std::string user = NewId();
  const Destination destination = world.Create(user);
  const std::string other = NewId();
  world.Create(other);
  world.SetQuiet(user);
  world.SetQuiet(other);
  world.Trigger(user, 25, kNow);
  world.Trigger(other, 4, kNow);
  const DigestBounds bounds{.lanes_max = 1, .deliveries_max = 10, .deliveries_total = 20};
  int64_t digested = 0;
  int digests = 0, rounds = 0;
  for (bool more = true; more; ++rounds) {
    REQUIRE(rounds < 10);
    const DigestResult made = world.Digest(kNow + kHour, bounds);
    CHECK(made.digested <= 10);
    digested += made.digested;
    digests += made.digests;
    more = made.more;
  }
  CHECK(digested == 29);
  CHECK(digests == 4);
  const std::vector<StoredNotification> of_user = world.Digests(user);
  REQUIRE(of_user.size() == 3);
  // The oldest first.
  CHECK(of_user[2].folded_count == 10);
  CHECK(of_user[0].folded_count == 5);
  CHECK(world.DigestDue(destination.id) == -1);
  // A bound of the whole call leaves the rest for the next.
  world.Trigger(user, 5, kNow);
  world.Trigger(other, 5, kNow);
  const DigestResult made = world.Digest(kNow + kHour, {.lanes_max = 10, .deliveries_max = 10, .deliveries_total = 5});
  CHECK(made.digests == 1);
  CHECK(made.more);
}

TEST_CASE("makers side by side make each digest once") {
  World world;
  std::vector<std::string> users;
  for (int i = 0; i < 20; ++i) {
    users.push_back(NewId());
    world.Create(users.back(), 1);
    world.Trigger(users.back(), 4, kNow);
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round)
        (void)world.digests.MakeDigests({.lanes_max = 3}, kNow + kMinute + round);
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (world.Digest(kNow + 2 * kMinute).digests > 0) {
  }
  for (const std::string& user : users) {
    REQUIRE(world.Digests(user).size() == 1);
    CHECK(world.Digests(user).front().folded_count == 3);
    CHECK(world.Count(user, DeliveryState::kDigested) == 3);
  }
}

TEST_CASE("what is held is cancelled by the user, with its destination, and goes with its user") {
  World world;
  const std::string user = NewId();
  world.SetQuiet(user);
  const Destination cancelled = world.Create(user);
  world.Trigger(user, 3, kNow);
  CHECK(*world.destinations.Cancel(user, cancelled.id, kNow + 1) == 3);
  CHECK(world.DigestDue(cancelled.id) == -1);
  CHECK(world.In(user, DeliveryState::kCancelled).front().last_error == "cancelled");
  world.Trigger(user, 3, kNow + 2);
  const auto change = [&](const DestinationChange& how) {
    REQUIRE(world.destinations.Change(user, cancelled.id, how, kNow + 3).ok());
  };
  // As the settling of an attempt that was answered with "gone": the rest is the maker's.
  change([](Destination& destination) {
    destination.state = DestinationState::kDisabled;
    destination.disable_reason = DisableReason::kGone;
    destination.disable_time_us = kNow + 3;
    return DestinationEffects();
  });
  CHECK(world.DigestDue(cancelled.id) == 0);
  CHECK(world.Digest(kNow + 4, {.lanes_max = 10, .deliveries_max = 10, .deliveries_total = 2}).cancelled == 2);
  CHECK(world.Digest(kNow + 4).cancelled == 1);
  CHECK(world.Count(user, DeliveryState::kHeld) == 0);
  CHECK(world.In(user, DeliveryState::kCancelled).front().last_error ==
        "cancelled, because the destination was deleted or disabled");
  CHECK(world.DigestDue(cancelled.id) == -1);

  const Destination deleted = world.Create(user);
  world.Trigger(user, 2, kNow + 5);
  REQUIRE(world.destinations
              .Change(
                  user, deleted.id,
                  [](Destination& destination) {
                    destination.delete_time_us = kNow + 6;
                    return DestinationEffects{
                        .queue = std::nullopt, .cancel_verifications = false, .cancel_queued = true};
                  },
                  kNow + 6)
              .ok());
  CHECK(world.Count(user, DeliveryState::kHeld) == 0);

  const Destination last = world.Create(user);
  world.Trigger(user, 2, kNow + 7);
  REQUIRE(world.notifications.StoreBatch({.notifications = {}, .deletions = {{user, kNow + 8}}}, kNow + 8).ok());
  CHECK(world.database.Count(absl::StrCat("SELECT count(*) FROM ", kDeliveries, " WHERE user_id = '", user, "'")) == 0);
  CHECK(world.database.Count("SELECT count(*) FROM stockalert_notifier.notification_settings") == 0);
  CHECK(world.Digest(kNow + kHour).digests == 0);
}

TEST_CASE("one that is held cannot be replayed, one that was digested can, and both are told apart") {
  World world;
  const std::string user = NewId();
  const Destination destination = world.Create(user);
  world.SetQuiet(user);
  world.Trigger(user, 2, kNow);
  const std::string id = world.In(user, DeliveryState::kHeld).front().id;
  CHECK(base::ReasonOf(world.destinations.Replay(user, id, kNow + 1).status()) == "DELIVERY_QUEUED");
  CHECK(world.destinations.GetDelivery(user, id)->delivery.state == DeliveryState::kHeld);
  world.Digest(kNow + kHour);
  const auto replayed = world.destinations.Replay(user, id, kNow + kHour + 1);
  REQUIRE(replayed.ok());
  CHECK(replayed->state == DeliveryState::kQueued);
  CHECK(replayed->next_attempt_time_us == kNow + kHour + 1);
  // It stays known which digest it was in.
  CHECK(replayed->digest_id == world.Digests(user).front().id);
  // A destination whose settings have changed gets its digest once it is verified.
  world.Trigger(user, 2, kNow + 24 * kHour);
  REQUIRE(world.destinations
              .Change(
                  user, destination.id,
                  [](Destination& changed) {
                    changed.state = DestinationState::kUnverified;
                    return DestinationEffects();
                  },
                  kNow + 24 * kHour)
              .ok());
  CHECK(world.Digest(kNow + 25 * kHour).digests == 1);
  CHECK(world.queue.LeaseLanes({{"me", 1}, kNow + 26 * kHour, 10, 10, 10, {}}, kNow + 25 * kHour)->front().due.empty());
}

TEST_CASE("the news of a destination is not held") {
  World world;
  const std::string user = NewId();
  world.Create(user, 1);
  world.SetQuiet(user);
  const Destination other = world.Create(user, 1, DestinationState::kUnverified);
  REQUIRE(world.destinations
              .Change(
                  user, other.id,
                  [](Destination& destination) {
                    destination.state = DestinationState::kActive;
                    destination.verify_time_us = kNow;
                    return DestinationEffects();
                  },
                  kNow)
              .ok());
  CHECK(world.Count(user, DeliveryState::kQueued) == 1);
  CHECK(world.Count(user, DeliveryState::kHeld) == 0);
}

}  // namespace
}  // namespace stockalert::notifier
