// What the stores of destinations and deliveries promise, held against memory and, where STOCKALERT_TEST_POSTGRES names
// a server, against Postgres.
#include <soci/soci.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/postgres/transaction.h"
#include "services/notifier/delivery/postgres_delivery_store.h"
#include "services/notifier/delivery/postgres_destination_store.h"
#include "services/notifier/delivery/verification_limits.h"
#include "services/notifier/postgres_notification_store.h"
#include "tests/support/deliveries/in_memory_deliveries.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::notifier {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;
constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kFiveDays = 5 * 86'400 * kSecond;
constexpr int kQuota = 20;

std::string NewId() { return base::SystemIdSource().NewUuid(); }

StoredNotification MakeNotification(const std::string& user_id) {
  StoredNotification notification;
  notification.id = NewId();
  notification.user_id = user_id;
  notification.alert_id = NewId();
  notification.trigger_number = 1;
  notification.symbol = "AAPL";
  notification.summary = "AAPL at or above 150";
  notification.price_micros = 150'250'000;
  notification.event_time_us = kNow;
  return notification;
}

struct Stores {
  DestinationStore& destinations;
  DeliveryStore& queue;
  std::function<void(const StoredNotification&, int64_t now_us)> take_in;
  // A user's notifications of the kind DESTINATION, in their order.
  std::function<std::vector<StoredNotification>(const std::string& user)> notices;

  Destination Make(const std::string& user, int64_t now_us = kNow) const {
    Destination destination;
    destination.id = NewId();
    destination.user_id = user;
    destination.display_name = "mine, \"quoted\"";
    destination.host = "hooks.example.com:443";
    destination.target_hash = destination.id;
    destination.address_shown = "https://hooks.example.com/...";
    destination.shown_settings = "{\"url_shown\":\"https://hooks.example.com/...\"}";
    destination.public_key = "whpk_x";
    destination.sealed_settings = "sealed-settings";
    destination.sealed_secrets = "sealed-secrets";
    destination.create_time_us = destination.update_time_us = now_us;
    return destination;
  }
  // A destination and its verification's id.
  std::pair<Destination, std::string> Create(const std::string& user, int64_t now_us = kNow) const {
    Destination destination = Make(user, now_us);
    destination.verification_id = NewId();
    const auto created = destinations.Create(
        destination, NewDelivery{destination.verification_id, DeliveryKind::kVerification, "prove it"}, {}, kQuota,
        now_us);
    INFO(created.status());
    REQUIRE(created.ok());
    return {created->destination, destination.verification_id};
  }
  // One that has given its proof.
  Destination CreateActive(const std::string& user, int64_t now_us = kNow) const {
    const auto [destination, verification] = Create(user, now_us);
    const LeasedLane lane = LeaseOne(now_us);
    REQUIRE(lane.destination.id == destination.id);
    const SettleResult result = Settle({Ended(lane, verification, AttemptOutcome::kSucceeded, now_us)}, {lane.lease});
    REQUIRE(result.verified == std::vector<std::string>{destination.id});
    return *destinations.Get(user, destination.id);
  }
  std::vector<LeasedLane> Lease(int64_t now_us, int lanes = 10, int failing = 10, int deliveries = 10,
                                std::vector<LaneToRead> again = {}) const {
    auto taken =
        queue.LeaseLanes({{"me", 1}, now_us + 30 * kSecond, lanes, failing, deliveries, std::move(again)}, now_us);
    INFO(taken.status());
    REQUIRE(taken.ok());
    return *std::move(taken);
  }
  LeasedLane LeaseOne(int64_t now_us) const {
    auto lanes = Lease(now_us);
    REQUIRE(lanes.size() == 1);
    return lanes[0];
  }
  SettledAttempt Ended(const LeasedLane& lane, const std::string& delivery, AttemptOutcome outcome, int64_t start_us,
                       int64_t next_us = 0) const {
    SettledAttempt attempt;
    attempt.lease = lane.lease;
    attempt.delivery_id = delivery;
    attempt.attempt.start_time_us = start_us;
    attempt.attempt.duration_us = 5;
    attempt.attempt.http_status = outcome == AttemptOutcome::kSucceeded ? 200 : 500;
    if (outcome != AttemptOutcome::kSucceeded) attempt.attempt.error = "it answered 500";
    attempt.attempt.answer = "{\"ö\": \\}";
    attempt.outcome = outcome;
    attempt.next_attempt_time_us = next_us;
    return attempt;
  }
  SettleResult Settle(std::vector<SettledAttempt> attempts, std::vector<LaneLease> releases = {},
                      std::vector<LaneLease> renewals = {}, int64_t until_us = 0) const {
    auto result = queue.Settle({std::move(attempts), std::move(releases), std::move(renewals), until_us, kFiveDays});
    INFO(result.status());
    REQUIRE(result.ok());
    return *std::move(result);
  }
  std::vector<Delivery> All(const std::string& user, const DeliveryFilter& filter = {}) const {
    auto rows = destinations.ListDeliveries(user, filter, kBeforeAny, 1000);
    INFO(rows.status());
    REQUIRE(rows.ok());
    return *std::move(rows);
  }
  Delivery Newest(const std::string& user) const { return All(user).front(); }
};

void ForEachStore(const std::function<void(const Stores&)>& test) {
  SECTION("in memory") {
    testing::InMemoryDeliveries store;
    test({store, store,
          [&](const StoredNotification& notification, int64_t now_us) { store.Queue(notification, now_us); },
          [&](const std::string& user) { return store.Notices(user); }});
  }
  if (std::getenv("STOCKALERT_TEST_POSTGRES") == nullptr) {
    std::cerr << "STOCKALERT_TEST_POSTGRES is not set: only the in-memory store is held to the contract\n";
    return;
  }
  SECTION("postgres") {
    const testing::TestDatabase database;
    database.Migrate("notifier");
    const auto pool = database.NewPool(8);
    PostgresDestinationStore destinations(*pool);
    PostgresDeliveryStore queue(*pool);
    PostgresNotificationStore notifications(*pool);
    test({destinations, queue,
          [&](const StoredNotification& notification, int64_t now_us) {
            REQUIRE(notifications.StoreBatch({{notification}, {}}, now_us).ok());
          },
          [&](const std::string& user) {
            std::vector<StoredNotification> rows = *notifications.ListAfter(user, 0, 1000);
            std::erase_if(rows, [](const StoredNotification& row) { return row.kind != Kind::kDestination; });
            return rows;
          }});
  }
}

TEST_CASE("a destination is stored with all fields, listed oldest first, and hidden from other users") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const auto [first, verification] = s.Create(user, kNow);
    const auto [second, ignored] = s.Create(user, kNow + 1);
    CHECK(*s.destinations.Get(user, first.id) == first);
    CHECK(first.verification_id == verification);
    const auto all = s.destinations.List(user, std::nullopt, 10);
    REQUIRE(all.ok());
    REQUIRE(all->size() == 2);
    CHECK((*all)[0] == first);
    CHECK((*all)[1] == second);
    const auto rest = s.destinations.List(user, DestinationPlace{first.create_time_us, first.id}, 10);
    REQUIRE(rest->size() == 1);
    CHECK(rest->front().id == second.id);
    CHECK(s.destinations.List(user, std::nullopt, 1)->size() == 1);
    const std::string other = NewId();
    CHECK(base::ReasonOf(s.destinations.Get(other, first.id).status()) == "DESTINATION_NOT_FOUND");
    CHECK(s.destinations.List(other, std::nullopt, 10)->empty());
    CHECK(base::ReasonOf(s.destinations.Change(
                                           other, first.id, [](Destination&) { return DestinationEffects(); }, kNow)
                             .status()) == "DESTINATION_NOT_FOUND");
    CHECK(base::ReasonOf(s.destinations.Cancel(other, first.id, kNow).status()) == "DESTINATION_NOT_FOUND");
    CHECK(base::ReasonOf(s.destinations.ReplaySince(other, first.id, 0, kNow).status()) == "DESTINATION_NOT_FOUND");
    CHECK(base::ReasonOf(s.destinations.GetDelivery(other, verification).status()) == "DELIVERY_NOT_FOUND");
    CHECK(base::ReasonOf(s.destinations.Replay(other, verification, kNow).status()) == "DELIVERY_NOT_FOUND");
  });
}

TEST_CASE("a request id creates one destination, and the quota limits existing ones") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const DestinationRequestTag tag{"r-1", "f"};
    const auto made =
        s.destinations.Create(s.Make(user), NewDelivery{NewId(), DeliveryKind::kVerification, "c"}, tag, 2, kNow);
    REQUIRE(made.ok());
    CHECK(!made->repeated);
    const auto again =
        s.destinations.Create(s.Make(user), NewDelivery{NewId(), DeliveryKind::kVerification, "c"}, tag, 2, kNow);
    REQUIRE(again.ok());
    CHECK(again->repeated);
    CHECK(again->destination == made->destination);
    CHECK(s.All(user).size() == 1);
    CHECK(base::ReasonOf(
              s.destinations
                  .Create(s.Make(user), NewDelivery{NewId(), DeliveryKind::kVerification, "c"}, {"r-1", "g"}, 2, kNow)
                  .status()) == "REQUEST_ID_REUSED");
    REQUIRE(
        s.destinations.Create(s.Make(user), NewDelivery{NewId(), DeliveryKind::kVerification, "c"}, {}, 2, kNow).ok());
    CHECK(base::ReasonOf(
              s.destinations.Create(s.Make(user), NewDelivery{NewId(), DeliveryKind::kVerification, "c"}, {}, 2, kNow)
                  .status()) == "DESTINATION_QUOTA");
    const auto gone = s.destinations.Change(
        user, made->destination.id,
        [](Destination& destination) {
          destination.delete_time_us = kNow;
          return DestinationEffects{.queue = std::nullopt, .cancel_verifications = false, .cancel_queued = true};
        },
        kNow);
    REQUIRE(gone.ok());
    CHECK(base::ReasonOf(s.destinations.Get(user, made->destination.id).status()) == "DESTINATION_NOT_FOUND");
    CHECK(
        s.destinations.Create(s.Make(user), NewDelivery{NewId(), DeliveryKind::kVerification, "c"}, {}, 2, kNow).ok());
    // Its history stays.
    const auto left = s.All(user, {.destination_id = made->destination.id});
    REQUIRE(left.size() == 1);
    CHECK(left[0].state == DeliveryState::kCancelled);
  });
}

TEST_CASE("a change writes every field, and a refused one writes none") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const auto [made, verification] = s.Create(user);
    Destination wanted = made;
    wanted.display_name = "other";
    wanted.is_default = false;
    wanted.state = DestinationState::kDisabled;
    wanted.disable_reason = DisableReason::kGone;
    wanted.host = "h";
    wanted.address_shown = "a";
    wanted.shown_settings = "u";
    wanted.spacing_us = 1500;
    wanted.sealed_code = "sc";
    wanted.template_title = "{{symbol}} \"é\"";
    wanted.template_text = "{{#note}}\n{{note}}{{/note}}";
    wanted.wrong_codes = 3;
    wanted.public_key = "p";
    wanted.sealed_settings = "su";
    wanted.sealed_secrets = "ss";
    wanted.sealed_previous_secrets = "sp";
    wanted.previous_secret_expire_time_us = kNow + 1;
    wanted.verification_id.clear();
    wanted.verify_time_us = kNow + 2;
    wanted.disable_time_us = kNow + 3;
    wanted.last_success_time_us = kNow + 4;
    wanted.failing_since_time_us = kNow + 5;
    wanted.update_time_us = kNow + 6;
    wanted.version = 7;
    wanted.verify_ask_time_us = kNow + 7;
    wanted.verify_window = {kNow + 8, 9};
    wanted.test_window = {kNow + 9, 10};
    const auto changed = s.destinations.Change(
        user, made.id,
        [&](Destination& destination) {
          destination = wanted;
          return DestinationEffects();
        },
        kNow);
    REQUIRE(changed.ok());
    CHECK(*s.destinations.Get(user, made.id) == wanted);
    const auto refused = s.destinations.Change(
        user, made.id,
        [](Destination& destination) -> absl::StatusOr<DestinationEffects> {
          destination.display_name = "never";
          return base::EtagMismatch();
        },
        kNow);
    CHECK(base::ReasonOf(refused.status()) == "ETAG_MISMATCH");
    CHECK(*s.destinations.Get(user, made.id) == wanted);
  });
}

TEST_CASE("an unverified destination gets only its verification, and the rest once it is verified") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    Destination active = s.CreateActive(user);
    s.take_in(MakeNotification(user), kNow + 1);
    const std::string proof = NewId();
    // Another address: what is queued waits for the proof.
    REQUIRE(s.destinations
                .Change(
                    user, active.id,
                    [&](Destination& destination) {
                      destination.state = DestinationState::kUnverified;
                      destination.verification_id = proof;
                      return DestinationEffects{.queue = NewDelivery{proof, DeliveryKind::kVerification, "again"},
                                                .cancel_verifications = true,
                                                .cancel_queued = false};
                    },
                    kNow + 2)
                .ok());
    s.take_in(MakeNotification(user), kNow + 3);  // Makes no delivery now.
    LeasedLane lane = s.LeaseOne(kNow + 4);
    REQUIRE(lane.due.size() == 1);
    CHECK(lane.due[0].delivery.id == proof);
    CHECK(lane.due[0].delivery.challenge == "again");
    CHECK(s.Settle({s.Ended(lane, proof, AttemptOutcome::kSucceeded, kNow + 5)}, {lane.lease}).verified.size() == 1);
    CHECK(s.destinations.Get(user, active.id)->state == DestinationState::kActive);
    CHECK(s.destinations.Get(user, active.id)->verify_time_us == kNow + 10);
    lane = s.LeaseOne(kNow + 6);
    REQUIRE(lane.due.size() == 1);
    CHECK(lane.due[0].delivery.kind == DeliveryKind::kNotification);
    REQUIRE(lane.due[0].notification);
    CHECK(lane.due[0].notification->summary == "AAPL at or above 150");
  });
}

TEST_CASE("an answer from a URL that was changed since does not verify the destination") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const auto [made, old_proof] = s.Create(user);
    const LeasedLane lane = s.LeaseOne(kNow);
    const std::string proof = NewId();
    REQUIRE(s.destinations
                .Change(
                    user, made.id,
                    [&](Destination& destination) {
                      destination.verification_id = proof;
                      return DestinationEffects{.queue = NewDelivery{proof, DeliveryKind::kVerification, "again"},
                                                .cancel_verifications = true,
                                                .cancel_queued = false};
                    },
                    kNow + 1)
                .ok());
    CHECK(s.Settle({s.Ended(lane, old_proof, AttemptOutcome::kSucceeded, kNow)}, {lane.lease}).verified.empty());
    CHECK(s.destinations.Get(user, made.id)->state == DestinationState::kUnverified);
    CHECK(s.LeaseOne(kNow + 2).due.at(0).delivery.id == proof);
  });
}

TEST_CASE("only the latest verification verifies a destination") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const Destination active = s.CreateActive(user);
    const std::string proof = NewId();
    REQUIRE(s.destinations
                .Change(
                    user, active.id,
                    [&](Destination& destination) {
                      destination.verification_id = proof;
                      return DestinationEffects{.queue = NewDelivery{proof, DeliveryKind::kVerification, "again"},
                                                .cancel_verifications = true,
                                                .cancel_queued = false};
                    },
                    kNow + 1)
                .ok());
    s.take_in(MakeNotification(user), kNow + 2);
    const LeasedLane lane = s.LeaseOne(kNow + 3);
    REQUIRE(lane.due.size() == 2);
    REQUIRE(lane.due[1].delivery.kind == DeliveryKind::kNotification);
    CHECK(s.Settle({s.Ended(lane, lane.due[1].delivery.id, AttemptOutcome::kSucceeded, kNow + 4)}).verified.empty());
    CHECK(s.destinations.Get(user, active.id)->verification_id == proof);
    CHECK(s.destinations.Get(user, active.id)->verify_time_us == active.verify_time_us);
    CHECK(s.Settle({s.Ended(lane, proof, AttemptOutcome::kSucceeded, kNow + 5)}).verified.size() == 1);
    CHECK(s.destinations.Get(user, active.id)->verify_time_us == kNow + 10);
  });
}

TEST_CASE("the delivery of a code is no proof; the code is, and what is queued then goes") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    Destination destination = s.Make(user);
    destination.kind = KindId::kSlack;
    destination.spacing_us = kSecond;
    destination.verification_id = NewId();
    destination.sealed_code = "sealed-code";
    REQUIRE(s.destinations
                .Create(destination, NewDelivery{destination.verification_id, DeliveryKind::kVerification, ""}, {},
                        kQuota, kNow)
                .ok());
    CHECK(*s.destinations.Get(user, destination.id) == destination);
    const LeasedLane lane = s.LeaseOne(kNow);
    CHECK(lane.destination == destination);
    CHECK(s.Settle({s.Ended(lane, destination.verification_id, AttemptOutcome::kSucceeded, kNow)}, {lane.lease})
              .verified.empty());
    CHECK(s.destinations.Get(user, destination.id)->state == DestinationState::kUnverified);
    const auto verified = s.destinations.Change(
        user, destination.id,
        [&](Destination& present) {
          present.state = DestinationState::kActive;
          present.verification_id.clear();
          present.sealed_code.clear();
          return DestinationEffects{.queue = std::nullopt, .cancel_verifications = true, .cancel_queued = false};
        },
        kNow + 1);
    REQUIRE(verified.ok());
    s.take_in(MakeNotification(user), kNow + 2);
    CHECK(s.LeaseOne(kNow + 3).due.at(0).delivery.kind == DeliveryKind::kNotification);
  });
}

TEST_CASE("wrong codes that are tried at the same time are all counted") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const Destination destination = s.Create(user).first;
    constexpr int kThreads = 4;
    constexpr int kTimes = 5;
    std::atomic<int> failures{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < kTimes; ++j) {
          const auto changed = s.destinations.Change(
              user, destination.id,
              [](Destination& present) {
                ++present.wrong_codes;
                return DestinationEffects();
              },
              kNow + 1);
          if (!changed.ok()) ++failures;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(failures == 0);
    CHECK(s.destinations.Get(user, destination.id)->wrong_codes == kThreads * kTimes);
  });
}

absl::Status CreateFor(const Stores& s, const std::string& user, const std::string& target, int64_t now_us) {
  Destination destination = s.Make(user, now_us);
  destination.target_hash = target;
  return s.destinations.Create(destination, NewDelivery{NewId(), DeliveryKind::kVerification, "c"}, {}, 1000, now_us)
      .status();
}

TEST_CASE("one user's verifications are limited, those of deleted destinations too") {
  ForEachStore([](const Stores& s) {
    constexpr int64_t kHour = 3'600 * kSecond;
    const std::string user = NewId();
    int made = 0;
    const auto create = [&](int64_t now_us) {
      const auto created = s.destinations.Create(
          s.Make(user, now_us), NewDelivery{NewId(), DeliveryKind::kVerification, "c"}, {}, kQuota, now_us);
      if (!created.ok()) return created.status();
      ++made;
      return s.destinations
          .Change(
              user, created->destination.id,
              [&](Destination& present) {
                present.delete_time_us = now_us;
                return DestinationEffects();
              },
              now_us)
          .status();
    };
    for (int hour = 0; hour < 4; ++hour) {
      for (int i = 0; i < kUserVerificationsPerHourMax; ++i) (void)create(kNow + hour * kHour);
      const absl::Status refused = create(kNow + hour * kHour + 60 * kSecond);
      CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
      CHECK(base::ReasonOf(refused) == "DESTINATION_VERIFICATION_RATE");
      const absl::Duration retry_delay = *base::FindErrorDetails(refused)->retry_delay;
      CHECK(retry_delay == (hour < 2 ? absl::Minutes(59) : absl::Hours(24 - hour) - absl::Minutes(1)));
    }
    CHECK(made == kUserVerificationsPerDayMax);
    CHECK(s.All(user).size() == static_cast<size_t>(made));
    CHECK(create(kNow + 24 * kHour).ok());
    CHECK(CreateFor(s, NewId(), "another", kNow).ok());
  });
}

TEST_CASE("verifications of one target are limited over all users, and the answer is the same as for one's own") {
  ForEachStore([](const Stores& s) {
    for (int i = 0; i < kTargetVerificationsPerHourMax; ++i) REQUIRE(CreateFor(s, NewId(), "mailbox", kNow + i).ok());
    const std::string user = NewId();
    const absl::Status refused = CreateFor(s, user, "mailbox", kNow + 1'800 * kSecond);
    CHECK(base::ReasonOf(refused) == "DESTINATION_VERIFICATION_RATE");
    CHECK(refused.message() == VerificationRate(absl::Hours(1)).message());
    CHECK(*base::FindErrorDetails(refused)->retry_delay == absl::Hours(1));
    CHECK(s.All(user).empty());
    CHECK(s.destinations.List(user, std::nullopt, 10)->empty());
    // What was refused counts for nobody; other targets are free, and later this one, too.
    for (int i = 0; i < kUserVerificationsPerHourMax; ++i) CHECK(CreateFor(s, user, NewId(), kNow).ok());
    CHECK(CreateFor(s, NewId(), "mailbox", kNow + 3'600 * kSecond).ok());
    // A change that asks again is counted for the new target.
    const auto [destination, verification] = s.Create(NewId(), kNow + 3'600 * kSecond);
    const auto move = [&] {
      return s.destinations.Change(
          destination.user_id, destination.id,
          [](Destination& present) {
            present.target_hash = "mailbox";
            return DestinationEffects{.queue = NewDelivery{NewId(), DeliveryKind::kVerification, "c"},
                                      .cancel_verifications = true,
                                      .cancel_queued = false};
          },
          kNow + 3'600 * kSecond);
    };
    for (int i = 1; i < kTargetVerificationsPerHourMax; ++i) CHECK(move().ok());
    CHECK(base::ReasonOf(move().status()) == "DESTINATION_VERIFICATION_RATE");
    CHECK(s.All(destination.user_id).size() == static_cast<size_t>(kTargetVerificationsPerHourMax));
  });
}

TEST_CASE("verifications that are requested at the same time are all counted, in whatever order") {
  ForEachStore([](const Stores& s) {
    constexpr int kThreads = 6;
    const std::string user = NewId();
    std::atomic<int> of_user{0}, of_target{0}, others{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        for (int j = 0; j < 4; ++j) {
          // Whoever is first may have the latest time.
          const int64_t now_us = kNow - (i * 4 + j) * kSecond;
          for (const auto& [status, made] : {std::pair{CreateFor(s, user, NewId(), now_us), &of_user},
                                             std::pair{CreateFor(s, NewId(), "mailbox", now_us), &of_target}}) {
            if (status.ok()) {
              ++*made;
            } else if (base::ReasonOf(status) != "DESTINATION_VERIFICATION_RATE") {
              ++others;
            }
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(of_user == kUserVerificationsPerHourMax);
    CHECK(of_target == kTargetVerificationsPerHourMax);
    CHECK(others == 0);
  });
}

TEST_CASE("counts of verifications go a day after their last request, and with their user") {
  if (std::getenv("STOCKALERT_TEST_POSTGRES") == nullptr) return;
  const testing::TestDatabase database;
  database.Migrate("notifier");
  const auto pool = database.NewPool(2);
  PostgresDestinationStore destinations(*pool);
  PostgresNotificationStore notifications(*pool);
  const auto create = [&](const std::string& user, int64_t now_us) {
    Destination destination;
    destination.id = NewId();
    destination.user_id = user;
    destination.target_hash = destination.id;
    destination.create_time_us = now_us;
    REQUIRE(destinations.Create(destination, NewDelivery{NewId(), DeliveryKind::kVerification, "c"}, {}, kQuota, now_us)
                .ok());
  };
  const auto rows = [&] {
    const auto counted =
        postgres::Read(*pool, "test.count", [](postgres::Connection& connection) -> absl::StatusOr<int> {
          int count = 0;
          connection.sql() << "SELECT CAST(count(*) AS int) FROM stockalert_notifier.verification_counts",
              soci::into(count);
          return count;
        });
    return *counted;
  };
  for (int i = 0; i < 20; ++i) create(NewId(), kNow + i);
  CHECK(rows() == 40);
  const std::string user = NewId();
  for (int i = 0; i < 10; ++i) create(user, kNow + 86'401 * kSecond);
  CHECK(rows() == 11);
  REQUIRE(notifications.StoreBatch({{}, {{user, kNow}}}, kNow + 86'402 * kSecond).ok());
  CHECK(rows() == 10);
}

TEST_CASE("what the settings before are answered does not disable those that are to be verified") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const Destination destination = s.CreateActive(user);
    s.take_in(MakeNotification(user), kNow + 1);
    const LeasedLane lane = s.LeaseOne(kNow + 2);
    const std::string verification = NewId();
    REQUIRE(s.destinations
                .Change(
                    user, destination.id,
                    [&](Destination& present) {
                      present.state = DestinationState::kUnverified;
                      present.sealed_settings = "others";
                      present.verification_id = verification;
                      return DestinationEffects{.queue = NewDelivery{verification, DeliveryKind::kVerification, "c"},
                                                .cancel_verifications = true,
                                                .cancel_queued = false};
                    },
                    kNow + 3)
                .ok());
    SettledAttempt gone = s.Ended(lane, lane.due.at(0).delivery.id, AttemptOutcome::kFailed, kNow + 2);
    gone.disable_reason = DisableReason::kGone;
    const SettleResult result = s.Settle({gone}, {lane.lease});
    CHECK(result.applied == 1);
    CHECK(result.disabled.empty());
    const Destination after = *s.destinations.Get(user, destination.id);
    CHECK(after.state == DestinationState::kUnverified);
    CHECK_FALSE(after.failing_since_time_us);
    // Its own verification speaks for it.
    const LeasedLane again = s.LeaseOne(kNow + 4);
    SettledAttempt refused = s.Ended(again, verification, AttemptOutcome::kFailed, kNow + 4);
    refused.disable_reason = DisableReason::kGone;
    CHECK(s.Settle({refused}, {again.lease}).disabled.size() == 1);
  });
}

TEST_CASE("a pause after a success holds all of the lane, too") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    s.CreateActive(user);
    s.take_in(MakeNotification(user), kNow + 1);
    const LeasedLane lane = s.LeaseOne(kNow + 2);
    SettledAttempt done = s.Ended(lane, lane.due[0].delivery.id, AttemptOutcome::kSucceeded, kNow + 2);
    done.hold_until_us = kNow + kSecond;
    s.Settle({done}, {lane.lease});
    s.take_in(MakeNotification(user), kNow + 3);
    CHECK(s.Lease(kNow + kSecond - 1).empty());
    CHECK(s.LeaseOne(kNow + kSecond).due.size() == 1);
  });
}

TEST_CASE("a lane is leased by one worker, longest due first, and again when the lease ends") {
  ForEachStore([](const Stores& s) {
    std::vector<std::string> ids;
    for (int i = 0; i < 5; ++i) ids.push_back(s.Create(NewId(), kNow + 5 - i).first.id);
    const auto first = s.Lease(kNow + 10, 2);
    REQUIRE(first.size() == 2);
    CHECK(std::set<std::string>{first[0].lease.destination_id, first[1].lease.destination_id} ==
          std::set<std::string>{ids[4], ids[3]});
    const auto rest = s.Lease(kNow + 10, 10);
    CHECK(rest.size() == 3);
    CHECK(s.Lease(kNow + 10, 10).empty());
    const auto after = s.Lease(kNow + 10 + 31 * kSecond, 10);
    CHECK(after.size() == 5);
    for (const LeasedLane& lane : after) CHECK(lane.lease.number == 2);
  });
}

TEST_CASE("a renewed lease continues, and a lost one is reported") {
  ForEachStore([](const Stores& s) {
    s.Create(NewId());
    const LeasedLane lane = s.LeaseOne(kNow);
    CHECK(s.Settle({}, {}, {lane.lease}, kNow + 60 * kSecond).lost.empty());
    CHECK(s.Lease(kNow + 45 * kSecond).empty());
    const LeasedLane taken = s.LeaseOne(kNow + 61 * kSecond);
    CHECK(s.Settle({}, {}, {lane.lease}, kNow + 120 * kSecond).lost == std::vector<LaneLease>{lane.lease});
    CHECK(s.Settle({}, {lane.lease}).lost == std::vector<LaneLease>{lane.lease});
    CHECK(s.Lease(kNow + 62 * kSecond).empty());  // Still the other's.
    CHECK(s.Settle({}, {taken.lease}).lost.empty());
    CHECK(s.Lease(kNow + 63 * kSecond).size() == 1);
  });
}

TEST_CASE("a process ends the leases of earlier processes of its instance, and no others") {
  ForEachStore([](const Stores& s) {
    const auto lease = [&](const LeaseOwner& owner, int64_t until_us) {
      const std::string user = NewId();
      s.Create(user);
      const auto lanes = s.queue.LeaseLanes({owner, until_us, 1, 0, 10}, kNow);
      REQUIRE(lanes.ok());
      REQUIRE(lanes->size() == 1);
      return lanes->front();
    };
    const LeasedLane earlier = lease({"one", 10}, kNow + 30 * kSecond);
    const LeasedLane succeeded = lease({"one", 11}, kNow + 30 * kSecond);
    const LeasedLane own = lease({"one", 12}, kNow + 30 * kSecond);
    const LeasedLane later = lease({"one", 13}, kNow + 30 * kSecond);
    const LeasedLane foreign = lease({"one more", 10}, kNow + 30 * kSecond);
    lease({"one", 10}, kNow + 1 * kSecond);
    CHECK(*s.queue.EndEarlierLeases({"none", 100}, kNow + 2 * kSecond) == 0);
    CHECK(*s.queue.EndEarlierLeases({"one", 12}, kNow + 2 * kSecond) == 2);
    CHECK(*s.queue.EndEarlierLeases({"one", 12}, kNow + 2 * kSecond) == 0);
    // Neither prolongs the earlier process its lease, nor counts a failure that it reports; a success does.
    CHECK(s.Settle({}, {}, {earlier.lease}, kNow + 60 * kSecond).lost == std::vector<LaneLease>{earlier.lease});
    const auto end = [&](const LeasedLane& lane, AttemptOutcome outcome) {
      return s.Settle({s.Ended(lane, lane.due.at(0).delivery.id, outcome, kNow, kNow + 60 * kSecond)}).applied;
    };
    CHECK(end(earlier, AttemptOutcome::kRetry) == 0);
    CHECK(end(succeeded, AttemptOutcome::kSucceeded) == 1);
    std::map<std::string, int64_t> numbers;
    for (const LeasedLane& lane : s.Lease(kNow + 2 * kSecond)) numbers[lane.lease.destination_id] = lane.lease.number;
    CHECK(numbers.at(earlier.lease.destination_id) > earlier.lease.number + 1);
    for (const LeasedLane& lane : {own, later, foreign}) CHECK(!numbers.contains(lane.lease.destination_id));
    CHECK(s.Settle({}, {}, {own.lease, later.lease, foreign.lease}, kNow + 60 * kSecond).lost.empty());
  });
}

TEST_CASE("a late result counts only if it is a success") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const Destination destination = s.CreateActive(user);
    s.take_in(MakeNotification(user), kNow + 1);
    s.take_in(MakeNotification(user), kNow + 2);
    const LeasedLane old = s.LeaseOne(kNow + 3);
    REQUIRE(old.due.size() == 2);
    const int64_t later = kNow + 40 * kSecond;
    const LeasedLane present = s.LeaseOne(later);
    REQUIRE(present.due.size() == 2);
    const std::string first = old.due[0].delivery.id;
    const std::string second = old.due[1].delivery.id;
    // Late failures change nothing, before and after the other's word.
    CHECK(s.Settle({s.Ended(old, first, AttemptOutcome::kFailed, kNow + 4)}).applied == 0);
    CHECK(s.destinations.GetDelivery(user, first)->delivery.state == DeliveryState::kQueued);
    CHECK(s.Settle({s.Ended(present, first, AttemptOutcome::kSucceeded, later)}).applied == 1);
    CHECK(s.Settle({s.Ended(old, first, AttemptOutcome::kFailed, kNow + 4)}).applied == 0);
    CHECK(s.Settle({s.Ended(old, first, AttemptOutcome::kRetry, kNow + 4, later + 1)}).applied == 0);
    CHECK(s.destinations.GetDelivery(user, first)->delivery.state == DeliveryState::kSucceeded);
    CHECK(s.destinations.GetDelivery(user, first)->attempts.size() == 1);
    CHECK(!s.destinations.Get(user, destination.id)->failing_since_time_us);
    // A late success spares the other its attempt; what that says afterwards is too late itself.
    CHECK(s.Settle({s.Ended(old, second, AttemptOutcome::kSucceeded, kNow + 5)}).applied == 1);
    CHECK(s.Settle({s.Ended(present, second, AttemptOutcome::kRetry, later, later + 1)}).applied == 0);
    CHECK(s.destinations.GetDelivery(user, second)->delivery.state == DeliveryState::kSucceeded);
  });
}

TEST_CASE("a delivery keeps its latest attempts, newest first") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    s.CreateActive(user);
    s.take_in(MakeNotification(user), kNow + 1);
    const std::string id = s.Newest(user).id;
    for (int i = 1; i <= kAttemptsKept + 2; ++i) {
      const int64_t now = kNow + i * kSecond;
      const LeasedLane lane = s.LeaseOne(now);
      s.Settle({s.Ended(lane, id, AttemptOutcome::kRetry, now, now + 1)}, {lane.lease});
    }
    const auto found = s.destinations.GetDelivery(user, id);
    REQUIRE(found.ok());
    CHECK(found->delivery.attempt_count == kAttemptsKept + 2);
    CHECK(found->delivery.schedule_count == kAttemptsKept + 2);
    CHECK(found->delivery.last_error == "it answered 500");
    CHECK(found->delivery.next_attempt_time_us == kNow + (kAttemptsKept + 2) * kSecond + 1);
    REQUIRE(found->attempts.size() == kAttemptsKept);
    const DeliveryAttempt newest{kAttemptsKept + 2, kNow + (kAttemptsKept + 2) * kSecond, 5, 500, "it answered 500",
                                 "{\"ö\": \\}"};
    CHECK(found->attempts.front() == newest);
    CHECK(found->attempts.back().number == 3);
  });
}

TEST_CASE("a lane is due with its earliest delivery, and its deliveries are read in order") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    s.CreateActive(user);
    for (int i = 0; i < 4; ++i) s.take_in(MakeNotification(user), kNow + 1);
    LeasedLane lane = s.LeaseOne(kNow + 1);
    REQUIRE(lane.due.size() == 4);
    for (size_t i = 1; i < 4; ++i) CHECK(lane.due[i - 1].delivery.number < lane.due[i].delivery.number);
    s.Settle({s.Ended(lane, lane.due[0].delivery.id, AttemptOutcome::kRetry, kNow + 1, kNow + 5 * kSecond),
              s.Ended(lane, lane.due[1].delivery.id, AttemptOutcome::kSucceeded, kNow + 2),
              s.Ended(lane, lane.due[2].delivery.id, AttemptOutcome::kFailed, kNow + 3),
              s.Ended(lane, lane.due[3].delivery.id, AttemptOutcome::kRetry, kNow + 4, kNow + 4 * kSecond)},
             {lane.lease});
    CHECK(s.Lease(kNow + 3 * kSecond).empty());
    CHECK(s.Lease(kNow + 6 * kSecond, /*lanes=*/10, /*failing=*/0).empty());  // It is one of those that fail.
    const LeasedLane again = s.LeaseOne(kNow + 6 * kSecond);
    CHECK(again.failing);
    REQUIRE(again.due.size() == 2);
    CHECK(again.due[0].delivery.id == lane.due[3].delivery.id);
    CHECK(again.due[1].delivery.id == lane.due[0].delivery.id);
    CHECK(s.All(user, {.state = DeliveryState::kFailed}).size() == 1);
    CHECK(s.All(user, {.state = DeliveryState::kQueued}).size() == 2);
    s.Settle({s.Ended(again, again.due[0].delivery.id, AttemptOutcome::kSucceeded, kNow + 7 * kSecond)}, {again.lease});
    CHECK(!s.LeaseOne(kNow + 8 * kSecond).failing);
  });
}

TEST_CASE("a leased lane can be read again, deliveries in flight included, until it is lost") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    s.CreateActive(user);
    s.take_in(MakeNotification(user), kNow + 1);
    const LeasedLane lane = s.LeaseOne(kNow + 1);
    s.take_in(MakeNotification(user), kNow + 2);
    const auto again = s.Lease(kNow + 3, 10, 10, 10, {{lane.lease, 10}});
    REQUIRE(again.size() == 1);
    CHECK(again[0].lease == lane.lease);
    CHECK(again[0].due.size() == 2);
    CHECK(s.Lease(kNow + 3, 10, 10, 10, {{lane.lease, 1}}).at(0).due.size() == 1);
    REQUIRE(s.LeaseOne(kNow + 60 * kSecond).lease.number != lane.lease.number);
    CHECK(s.Lease(kNow + 60 * kSecond, 10, 10, 10, {{lane.lease, 10}}).empty());
  });
}

TEST_CASE("a 410 disables a destination, and its queued deliveries are cancelled") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const Destination destination = s.CreateActive(user);
    for (int i = 0; i < 3; ++i) s.take_in(MakeNotification(user), kNow + 1 + i);
    const LeasedLane lane = s.LeaseOne(kNow + 5);
    SettledAttempt gone = s.Ended(lane, lane.due[0].delivery.id, AttemptOutcome::kFailed, kNow + 6);
    gone.disable_reason = DisableReason::kGone;
    const SettleResult result = s.Settle({gone}, {lane.lease});
    REQUIRE(result.disabled.size() == 1);
    CHECK(result.disabled[0].id == destination.id);
    CHECK(result.disabled[0].user_id == user);
    CHECK(result.disabled[0].reason == DisableReason::kGone);
    const Destination now = *s.destinations.Get(user, destination.id);
    CHECK(now.state == DestinationState::kDisabled);
    CHECK(now.disable_reason == DisableReason::kGone);
    CHECK(now.disable_time_us == kNow + 11);
    s.take_in(MakeNotification(user), kNow + 7);  // Nothing more is queued for it.
    const LeasedLane left = s.LeaseOne(kNow + 8);
    CHECK(left.due.empty());
    CHECK(*s.queue.CancelForInactive({destination.id}, kNow + 9) == 2);
    s.Settle({}, {left.lease});
    CHECK(s.Lease(kNow + 60 * kSecond).empty());
    const auto cancelled = s.All(user, {.state = DeliveryState::kCancelled});
    REQUIRE(cancelled.size() == 2);
    CHECK(cancelled[0].end_time_us == kNow + 9);
    CHECK(!cancelled[0].last_error.empty());
    CHECK(s.queue.QueryState(kNow + 10)->disabled_destinations == 1);
    CHECK(base::ReasonOf(s.destinations.Replay(user, cancelled[0].id, kNow).status()) == "DESTINATION_NOT_ACTIVE");
    CHECK(base::ReasonOf(s.destinations.ReplaySince(user, destination.id, 0, kNow).status()) ==
          "DESTINATION_NOT_ACTIVE");
  });
}

TEST_CASE("five days of nothing but failures disable a destination, and a success restarts the count") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const Destination destination = s.CreateActive(user);
    s.take_in(MakeNotification(user), kNow + 1);
    const std::string id = s.Newest(user).id;
    int64_t now = kNow + kSecond;
    const auto attempt = [&](AttemptOutcome outcome) {
      const LeasedLane lane = s.LeaseOne(now);
      return s.Settle({s.Ended(lane, id, outcome, now, now + 1)}, {lane.lease});
    };
    CHECK(attempt(AttemptOutcome::kRetry).disabled.empty());
    CHECK(s.destinations.Get(user, destination.id)->failing_since_time_us == now);
    const int64_t failing_since = now;
    now += kFiveDays - kSecond;
    CHECK(attempt(AttemptOutcome::kRetry).disabled.empty());
    CHECK(s.destinations.Get(user, destination.id)->failing_since_time_us == failing_since);
    SECTION("another failure after the five days") {
      now = failing_since + kFiveDays;
      const SettleResult result = attempt(AttemptOutcome::kRetry);
      REQUIRE(result.disabled.size() == 1);
      CHECK(result.disabled[0].reason == DisableReason::kFailing);
    }
    SECTION("a success") {
      now = failing_since + kFiveDays;
      CHECK(attempt(AttemptOutcome::kSucceeded).disabled.empty());
      const Destination present = *s.destinations.Get(user, destination.id);
      CHECK(!present.failing_since_time_us);
      CHECK(present.last_success_time_us == now + 5);
    }
  });
}

TEST_CASE("what the attempts of one write mean is written for each destination, and releases their lanes") {
  ForEachStore([](const Stores& stores) {
    // Of four users: one would be told of what becomes of the others.
    std::vector<Destination> made;
    for (int i = 0; i < 4; ++i) made.push_back(stores.CreateActive(NewId(), kNow + i * kSecond));
    const int64_t now_us = kNow + 10 * kSecond;
    for (const Destination& destination : made) stores.take_in(MakeNotification(destination.user_id), now_us);
    std::vector<LeasedLane> lanes = stores.Lease(now_us);
    REQUIRE(lanes.size() == 4);
    // The first succeeds, the second fails, the third is gone, the fourth's attempt is not over.
    std::vector<SettledAttempt> attempts;
    std::vector<LaneLease> releases;
    for (const LeasedLane& lane : lanes) {
      REQUIRE(lane.due.size() == 1);
      const std::string& delivery = lane.due[0].delivery.id;
      releases.push_back(lane.lease);
      if (lane.destination.id == made[0].id)
        attempts.push_back(stores.Ended(lane, delivery, AttemptOutcome::kSucceeded, now_us));
      if (lane.destination.id == made[1].id)
        attempts.push_back(stores.Ended(lane, delivery, AttemptOutcome::kRetry, now_us, now_us + 5 * kSecond));
      if (lane.destination.id == made[2].id) {
        attempts.push_back(stores.Ended(lane, delivery, AttemptOutcome::kFailed, now_us));
        attempts.back().disable_reason = DisableReason::kGone;
      }
    }
    const SettleResult result = stores.Settle(attempts, releases);
    CHECK(result.applied == 3);
    CHECK(result.lost.empty());
    REQUIRE(result.disabled.size() == 1);
    CHECK(result.disabled[0].id == made[2].id);
    std::vector<Destination> after;
    for (const Destination& destination : made)
      after.push_back(*stores.destinations.Get(destination.user_id, destination.id));
    Destination wanted = made[0];
    wanted.last_success_time_us = now_us + 5;
    CHECK(after[0] == wanted);
    wanted = made[1];
    wanted.failing_since_time_us = now_us;
    CHECK(after[1] == wanted);
    CHECK(after[2].state == DestinationState::kDisabled);
    CHECK(after[2].disable_reason == DisableReason::kGone);
    CHECK(after[3] == made[3]);
    // All are released, and due when their deliveries are.
    std::set<std::string> due;
    for (const LeasedLane& lane : stores.Lease(now_us + kSecond)) due.insert(lane.destination.id);
    CHECK(due == std::set<std::string>{made[3].id});
    due.clear();
    for (const LeasedLane& lane : stores.Lease(now_us + 6 * kSecond)) due.insert(lane.destination.id);
    CHECK(due == std::set<std::string>{made[1].id});
  });
}

TEST_CASE("Retry-After delays all deliveries of the lane") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    s.CreateActive(user);
    s.take_in(MakeNotification(user), kNow + 1);
    const LeasedLane lane = s.LeaseOne(kNow + 2);
    SettledAttempt slow = s.Ended(lane, lane.due[0].delivery.id, AttemptOutcome::kRetry, kNow + 2, kNow + 5 * kSecond);
    slow.hold_until_us = kNow + 100 * kSecond;
    s.Settle({slow}, {lane.lease});
    s.take_in(MakeNotification(user), kNow + 3);
    CHECK(s.Lease(kNow + 99 * kSecond).empty());
    CHECK(s.LeaseOne(kNow + 100 * kSecond).due.size() == 2);
  });
}

TEST_CASE("an attempt that was postponed changes nothing but that its lane is held") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const Destination before = s.CreateActive(user);
    s.take_in(MakeNotification(user), kNow);
    const LeasedLane lane = s.LeaseOne(kNow);
    const Delivery delivery = lane.due.at(0).delivery;
    SettledAttempt postponed = s.Ended(lane, delivery.id, AttemptOutcome::kPostponed, kNow);
    postponed.hold_until_us = kNow + 60 * kSecond;
    CHECK(s.Settle({postponed}, {lane.lease}).applied == 1);
    CHECK(*s.destinations.Get(user, before.id) == before);
    const auto after = s.destinations.GetDelivery(user, delivery.id);
    REQUIRE(after.ok());
    CHECK(after->delivery == delivery);
    CHECK(after->attempts.empty());
    CHECK(s.Lease(kNow + 59 * kSecond).empty());
    const LeasedLane again = s.LeaseOne(kNow + 60 * kSecond);
    CHECK_FALSE(again.failing);
    CHECK(again.due.at(0).delivery == delivery);
    // Beside one that was made.
    s.take_in(MakeNotification(user), kNow + 60 * kSecond);
    const LeasedLane both = s.Lease(kNow + 61 * kSecond, 0, 0, 10, {{again.lease, 10}}).at(0);
    REQUIRE(both.due.size() == 2);
    SettledAttempt late = s.Ended(both, both.due[0].delivery.id, AttemptOutcome::kPostponed, kNow + 61 * kSecond);
    late.hold_until_us = kNow + 90 * kSecond;
    s.Settle({late, s.Ended(both, both.due[1].delivery.id, AttemptOutcome::kSucceeded, kNow + 61 * kSecond)},
             {both.lease});
    CHECK(s.destinations.GetDelivery(user, both.due[0].delivery.id)->delivery.attempt_count == 0);
    CHECK(s.destinations.GetDelivery(user, both.due[1].delivery.id)->delivery.state == DeliveryState::kSucceeded);
  });
}

TEST_CASE("a replay queues a delivery again, with the same id and a new schedule") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const Destination destination = s.CreateActive(user);
    for (int i = 0; i < 3; ++i) s.take_in(MakeNotification(user), kNow + 1 + i);
    const LeasedLane lane = s.LeaseOne(kNow + 5);
    REQUIRE(lane.due.size() == 3);
    const std::string first = lane.due[0].delivery.id;
    CHECK(base::ReasonOf(s.destinations.Replay(user, first, kNow + 6).status()) == "DELIVERY_QUEUED");
    s.Settle({s.Ended(lane, first, AttemptOutcome::kFailed, kNow + 6),
              s.Ended(lane, lane.due[1].delivery.id, AttemptOutcome::kFailed, kNow + 7),
              s.Ended(lane, lane.due[2].delivery.id, AttemptOutcome::kSucceeded, kNow + 8)},
             {lane.lease});
    const auto replayed = s.destinations.Replay(user, first, kNow + 10);
    REQUIRE(replayed.ok());
    CHECK(replayed->state == DeliveryState::kQueued);
    CHECK(replayed->attempt_count == 1);
    CHECK(replayed->schedule_count == 0);
    CHECK(replayed->replay_count == 1);
    CHECK(replayed->next_attempt_time_us == kNow + 10);
    CHECK(!replayed->end_time_us);
    // What was under way before the replay is of another round.
    CHECK(s.Settle({s.Ended(lane, first, AttemptOutcome::kSucceeded, kNow + 6)}).applied == 0);
    const LeasedLane again = s.LeaseOne(kNow + 11);
    REQUIRE(again.due.size() == 1);
    CHECK(again.due[0].delivery.id == first);
    SettledAttempt ended = s.Ended(again, first, AttemptOutcome::kFailed, kNow + 12);
    ended.replay_count = 1;
    CHECK(s.Settle({ended}, {again.lease}).applied == 1);
    CHECK(s.destinations.GetDelivery(user, first)->attempts.at(0).number == 2);
    // All that failed, from a time on.
    CHECK(*s.destinations.ReplaySince(user, destination.id, kNow + 2, kNow + 20) == 1);
    CHECK(*s.destinations.ReplaySince(user, destination.id, 0, kNow + 20) == 1);
    CHECK(*s.destinations.ReplaySince(user, destination.id, 0, kNow + 20) == 0);
    CHECK(s.LeaseOne(kNow + 21).due.size() == 2);
  });
}

TEST_CASE("after a user cancelled queued deliveries, results of attempts in flight do not count") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const Destination destination = s.CreateActive(user);
    for (int i = 0; i < 2; ++i) s.take_in(MakeNotification(user), kNow + 1 + i);
    const LeasedLane lane = s.LeaseOne(kNow + 5);
    CHECK(*s.destinations.Cancel(user, destination.id, kNow + 6) == 2);
    CHECK(*s.destinations.Cancel(user, destination.id, kNow + 6) == 0);
    CHECK(s.Settle({s.Ended(lane, lane.due[0].delivery.id, AttemptOutcome::kRetry, kNow + 6, kNow + 7)}, {lane.lease})
              .applied == 0);
    CHECK(s.Lease(kNow + 60 * kSecond).empty());
    CHECK(s.All(user, {.state = DeliveryState::kCancelled}).size() == 2);
    CHECK(s.destinations.Replay(user, lane.due[0].delivery.id, kNow + 8).ok());
  });
}

TEST_CASE("deliveries are listed newest first, by destination, notification and state") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const Destination one = s.CreateActive(user);
    const Destination two = s.CreateActive(user);
    const StoredNotification notification = MakeNotification(user);
    s.take_in(notification, kNow + 1);
    s.take_in(MakeNotification(user), kNow + 2);
    const auto all = s.All(user);
    REQUIRE(all.size() == 7);  // That `two` was verified went to `one`.
    for (size_t i = 1; i < all.size(); ++i) CHECK(all[i - 1].number > all[i].number);
    CHECK(s.All(user, {.destination_id = one.id}).size() == 4);
    const auto of_one = s.All(user, {.notification_id = notification.id});
    REQUIRE(of_one.size() == 2);
    CHECK(of_one[0].kind == DeliveryKind::kNotification);
    CHECK(of_one[0].create_time_us == kNow + 1);
    CHECK(s.All(user, {.destination_id = two.id, .notification_id = notification.id}).size() == 1);
    CHECK(s.All(user, {.state = DeliveryState::kSucceeded}).size() == 2);
    CHECK(s.destinations.ListDeliveries(user, {}, all[1].number, 2)->at(0) == all[2]);
    CHECK(s.destinations.ListDeliveries(user, {}, kBeforeAny, 2)->size() == 2);
    CHECK(s.All(NewId()).empty());
  });
}

TEST_CASE("the state of the queue does not count the age of failing lanes") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    s.CreateActive(user);
    CHECK(s.queue.QueryState(kNow + 1)->queued == 0);
    CHECK(!s.queue.QueryState(kNow + 1)->oldest_due_us);
    s.take_in(MakeNotification(user), kNow + 5);
    s.take_in(MakeNotification(user), kNow + 6);
    CHECK(s.queue.QueryState(kNow + 7)->queued == 2);
    CHECK(s.queue.QueryState(kNow + 7)->oldest_due_us == kNow + 5);
    const LeasedLane lane = s.LeaseOne(kNow + 8);
    s.Settle({s.Ended(lane, lane.due[0].delivery.id, AttemptOutcome::kRetry, kNow + 8, kNow + 9)}, {lane.lease});
    CHECK(s.queue.QueryState(kNow + 10)->queued == 2);
    CHECK(!s.queue.QueryState(kNow + 10)->oldest_due_us);
  });
}

// The deliveries of notifications to a destination.
std::vector<Delivery> SentTo(const Stores& s, const Destination& destination) {
  std::vector<Delivery> rows = s.All(destination.user_id, {.destination_id = destination.id});
  std::erase_if(rows, [](const Delivery& row) { return row.kind != DeliveryKind::kNotification; });
  return rows;
}

// Leases all that is due and ends it well.
void DeliverAll(const Stores& s, int64_t now_us) {
  for (const LeasedLane& lane : s.Lease(now_us)) {
    std::vector<SettledAttempt> attempts;
    for (const DueDelivery& due : lane.due)
      attempts.push_back(s.Ended(lane, due.delivery.id, AttemptOutcome::kSucceeded, now_us));
    s.Settle(attempts, {lane.lease});
  }
}

TEST_CASE("a notification goes to those that its alert names, to the defaults, or nowhere") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const Destination first = s.CreateActive(user);
    const Destination second = s.CreateActive(user);
    DeliverAll(s, kNow + 10);
    REQUIRE(s.destinations
                .Change(
                    user, second.id,
                    [](Destination& destination) {
                      destination.is_default = false;
                      return DestinationEffects();
                    },
                    kNow + 12)
                .ok());
    const size_t before = SentTo(s, first).size();
    const auto take_in = [&](const message::Routing& routing) {
      StoredNotification notification = MakeNotification(user);
      notification.routing = routing;
      s.take_in(notification, kNow + 13);
      return notification.id;
    };
    const std::string named = take_in({message::Route::kNamed, {second.id, NewId()}, true});
    CHECK(SentTo(s, first).size() == before);
    REQUIRE(SentTo(s, second).size() == 1);
    CHECK(SentTo(s, second)[0].notification_id == named);
    take_in({message::Route::kNone, {}, false});
    const std::string usual = take_in({});
    const std::string rerouted = take_in({message::Route::kNamed, {NewId()}, false});
    CHECK(SentTo(s, second).size() == 1);
    REQUIRE(SentTo(s, first).size() == before + 2);
    CHECK(SentTo(s, first)[0].notification_id == rerouted);
    CHECK(SentTo(s, first)[1].notification_id == usual);
    // Both lanes are due; what is to be sent says what it is.
    const std::vector<LeasedLane> lanes = s.Lease(kNow + 14);
    REQUIRE(lanes.size() == 2);
    for (const LeasedLane& lane : lanes) {
      for (const DueDelivery& due : lane.due) {
        REQUIRE(due.notification);
        CHECK(due.notification->routing.critical == (due.notification->id == named));
        CHECK(due.notification->rerouted == (due.notification->id == rerouted));
      }
    }
  });
}

TEST_CASE("those that exist are found, whatever their state, and nobody else's") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const auto [unverified, verification] = s.Create(user);
    const Destination other = s.Create(NewId()).first;
    const auto find = [&](const std::vector<std::string>& ids) { return *s.destinations.FindExisting(user, ids); };
    CHECK(find({unverified.id, other.id, NewId()}) == std::vector<std::string>{unverified.id});
    CHECK(find({}).empty());
    REQUIRE(s.destinations
                .Change(
                    user, unverified.id,
                    [](Destination& destination) {
                      destination.delete_time_us = kNow;
                      return DestinationEffects();
                    },
                    kNow)
                .ok());
    CHECK(find({unverified.id}).empty());
  });
}

TEST_CASE("a user is told of a destination that is verified or disabled, at all others that are ACTIVE, once") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const Destination phone = s.CreateActive(user);
    REQUIRE(s.notices(user).size() == 1);
    CHECK(s.notices(user)[0].destination_id == phone.id);
    CHECK(!s.notices(user)[0].destination_disabled);
    CHECK(SentTo(s, phone).empty());  // It is told of the others alone.
    // Not a default one, and told all the same.
    const Destination desk = s.CreateActive(user, kNow + 1);
    REQUIRE(SentTo(s, phone).size() == 1);
    CHECK(SentTo(s, desk).empty());
    REQUIRE(s.destinations
                .Change(
                    user, desk.id,
                    [](Destination& destination) {
                      destination.is_default = false;
                      return DestinationEffects();
                    },
                    kNow + 11)
                .ok());
    s.Create(user, kNow + 20);  // Not verified.
    DeliverAll(s, kNow + 10);

    s.take_in(MakeNotification(user), kNow + 30);
    const std::vector<LeasedLane> lanes = s.Lease(kNow + 30);
    const auto lane =
        std::find_if(lanes.begin(), lanes.end(), [&](const LeasedLane& one) { return one.destination.id == phone.id; });
    REQUIRE(lane != lanes.end());
    REQUIRE(lane->due.size() == 1);
    SettledAttempt gone = s.Ended(*lane, lane->due[0].delivery.id, AttemptOutcome::kFailed, kNow + 35);
    gone.disable_reason = DisableReason::kGone;
    const SettleResult result = s.Settle({gone}, {lane->lease});
    CHECK(result.applied == 1);
    CHECK(result.told == std::vector<std::string>{user});
    CHECK(s.destinations.Get(user, phone.id)->state == DestinationState::kDisabled);
    const std::vector<StoredNotification> notices = s.notices(user);
    REQUIRE(notices.size() == 3);
    const StoredNotification& notice = notices.back();
    CHECK(notice.destination_id == phone.id);
    CHECK(notice.destination_disabled);
    CHECK(notice.kind == Kind::kDestination);
    CHECK(notice.summary == "Destination mine, \"quoted\" is disabled: it answered that it wants no more messages");
    CHECK(notice.event_time_us == kNow + 40);
    CHECK(notice.alert_id.empty());
    // The one that is left has it, at once; the disabled and the unverified one have not.
    REQUIRE(SentTo(s, desk).size() == 1);
    CHECK(SentTo(s, desk)[0].notification_id == notice.id);
    CHECK(s.All(user, {.notification_id = notice.id}).size() == 1);
    const LeasedLane told = [&] {
      for (const LeasedLane& one : s.Lease(kNow + 50)) {
        if (one.destination.id == desk.id) return one;
      }
      return LeasedLane();
    }();
    REQUIRE(told.due.size() == 1);
    CHECK(told.due[0].notification == notice);
    // Told once: what is late, or comes again, tells nothing.
    CHECK(s.Settle({gone}, {lane->lease}).told.empty());
    CHECK(s.notices(user).size() == 3);
  });
}

TEST_CASE("a change that makes a destination ACTIVE is told in the same transaction") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const Destination phone = s.CreateActive(user);
    const auto [desk, verification] = s.Create(user, kNow + 1);
    const auto verify = [&](int64_t now_us) {
      REQUIRE(s.destinations
                  .Change(
                      user, desk.id,
                      [](Destination& destination) {
                        destination.state = DestinationState::kActive;
                        return DestinationEffects();
                      },
                      now_us)
                  .ok());
    };
    verify(kNow + 2);
    REQUIRE(s.notices(user).size() == 2);
    CHECK(s.notices(user)[1].destination_id == desk.id);
    CHECK(!s.notices(user)[1].destination_disabled);
    REQUIRE(SentTo(s, phone).size() == 1);
    CHECK(SentTo(s, desk).empty());
    verify(kNow + 3);
    CHECK(s.notices(user).size() == 2);
  });
}

TEST_CASE("a destination that is ACTIVE from the start has no verification, and the others are told of it") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const Destination phone = s.CreateActive(user);
    Destination desk = s.Make(user, kNow + 1);
    desk.state = DestinationState::kActive;
    desk.verify_time_us = kNow + 1;
    desk.template_text = "mine";
    const auto made = s.destinations.Create(desk, std::nullopt, {"r-1", "f"}, kQuota, kNow + 1);
    REQUIRE(made.ok());
    CHECK(*s.destinations.Get(user, desk.id) == desk);
    CHECK(s.All(user, {.destination_id = desk.id}).empty());
    REQUIRE(s.notices(user).size() == 2);
    CHECK(s.notices(user)[1].destination_id == desk.id);
    CHECK(!s.notices(user)[1].destination_disabled);
    CHECK(SentTo(s, phone).size() == 1);
    // It gets what comes from now on.
    s.take_in(MakeNotification(user), kNow + 2);
    CHECK(SentTo(s, desk).size() == 1);
    CHECK(s.destinations.Create(desk, std::nullopt, {"r-1", "f"}, kQuota, kNow + 1)->repeated);
    CHECK(s.notices(user).size() == 2);
    // No verification was counted.
    for (int i = 0; i < kUserVerificationsPerHourMax - 1; ++i) s.Create(user, kNow + 3);
  });
}

TEST_CASE("a change that makes a destination DISABLED is told in the same transaction, and cancels what is queued") {
  ForEachStore([](const Stores& s) {
    const std::string user = NewId();
    const Destination phone = s.CreateActive(user);
    const Destination desk = s.CreateActive(user, kNow + 1);
    DeliverAll(s, kNow + 2);
    s.take_in(MakeNotification(user), kNow + 3);
    const auto disable = [&](int64_t now_us) {
      REQUIRE(s.destinations
                  .Change(
                      user, desk.id,
                      [&](Destination& destination) {
                        destination.state = DestinationState::kDisabled;
                        destination.disable_reason = DisableReason::kUnsubscribed;
                        return DestinationEffects{
                            .queue = std::nullopt, .cancel_verifications = false, .cancel_queued = true};
                      },
                      now_us)
                  .ok());
    };
    const size_t before = s.notices(user).size();
    const size_t sent = SentTo(s, phone).size();
    disable(kNow + 4);
    REQUIRE(s.notices(user).size() == before + 1);
    CHECK(s.notices(user).back().destination_id == desk.id);
    CHECK(s.notices(user).back().destination_disabled);
    CHECK(s.notices(user).back().summary ==
          "Destination mine, \"quoted\" is disabled: its reader unsubscribed by the link of a mail");
    CHECK(SentTo(s, phone).size() == sent + 1);
    CHECK(s.destinations.Get(user, desk.id)->disable_reason == DisableReason::kUnsubscribed);
    CHECK(s.All(user, {.destination_id = desk.id, .state = DeliveryState::kQueued}).empty());
    disable(kNow + 5);
    CHECK(s.notices(user).size() == before + 1);
  });
}

}  // namespace
}  // namespace stockalert::notifier
