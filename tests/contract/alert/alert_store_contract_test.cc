// What an AlertStore, an OutboxStore and an EventStore promise together, held against the in-memory store and, where
// STOCKALERT_TEST_POSTGRES names a server, against Postgres. Each case has users, alerts and symbols of its own, so
// that the cases share one database.
#include <soci/soci.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/alert/alert_errors.h"
#include "services/alert/alert_rules.h"
#include "services/alert/creation_groups.h"
#include "services/alert/event_rules.h"
#include "services/alert/postgres_alert_rows.h"
#include "services/alert/postgres_alert_store.h"
#include "services/alert/postgres_event_store.h"
#include "services/alert/postgres_outbox_store.h"
#include "services/common/base/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/postgres/transaction.h"
#include "stockalert/internal/v1/events.pb.h"
#include "tests/support/alert_store/in_memory_alert_store.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::alert {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;
constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kQuota = 1000;

postgres::Pool* TestPool() {
  const char* url = std::getenv("STOCKALERT_TEST_POSTGRES");
  if (url == nullptr || *url == '\0') {
    std::cerr << "STOCKALERT_TEST_POSTGRES is not set: only the in-memory store is held to the contract\n";
    return nullptr;
  }
  static const testing::TestDatabase database;
  static const std::unique_ptr<postgres::Pool> pool = [] {
    database.Migrate("alert");
    return database.NewPool(12);
  }();
  return pool.get();
}

// The three faces of one database, with the rules that go with them.
struct Stores {
  AlertStore& alerts;
  OutboxStore& outboxes;
  EventStore& events;

  absl::Status Create(const std::string& user_id, const std::vector<StoredAlert>& created, int64_t quota,
                      int64_t now_us) {
    return alerts.Create(user_id, created, quota, now_us,
                         [&](const OtherWindows& others) { return AdmitWindows(created, others); });
  }
  absl::StatusOr<ShownAlert> Change(const std::string& user_id, const std::string& alert_id, int64_t now_us,
                                    const std::function<absl::StatusOr<StoredAlert>(const ShownAlert&)>& rule) {
    return alerts.Change(user_id, alert_id, now_us, [&](const ShownAlert& present, const OtherWindows& others) {
      return AdmitChange(present.alert, rule(present), others);
    });
  }
  absl::StatusOr<std::vector<StoredAlert>> DeleteUser(const std::string& user_id, int64_t now_us, int limit) {
    return events.DeleteUser(user_id, now_us, limit,
                             [&](const StoredAlert& present) { return ApplyDelete(present, now_us); });
  }
};

// Runs the case against each store that there is.
void ForEachStore(const std::function<void(Stores&)>& test) {
  SECTION("in memory") {
    InMemoryAlertStore store;
    Stores stores{store, store, store};
    test(stores);
  }
  SECTION("postgres") {
    if (postgres::Pool* pool = TestPool()) {
      PostgresAlertStore alerts(*pool);
      PostgresOutboxStore outboxes(*pool);
      PostgresEventStore events(*pool);
      Stores stores{alerts, outboxes, events};
      test(stores);
    }
  }
}

std::string NewId() {
  static base::SystemIdSource ids;
  return ids.NewUuid();
}

std::string NewSymbol() { return absl::StrCat("T", NewId().substr(0, 8)); }

StoredAlert NewAlert(const std::string& user_id, const std::string& symbol, int64_t target = 150'000'000) {
  StoredAlert alert;
  alert.id = NewId();
  alert.user_id = user_id;
  alert.symbol = symbol;
  alert.record.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, target};
  alert.note = "note of the user: \"quoted\", {braces}, \\ and ü";
  alert.create_time_us = kNow;
  alert.update_time_us = kNow;
  return alert;
}

TriggerEvent TriggerOf(const StoredAlert& alert, int64_t number, int64_t revision, bool ends = true) {
  TriggerEvent event;
  event.trigger.alert_id = alert.id;
  event.trigger.symbol = alert.symbol;
  event.trigger.number = number;
  event.trigger.revision = revision;
  event.trigger.price_micros = 151'000'000;
  event.trigger.event_time_us = kNow - kSecond;
  event.trigger.price_before_micros = 149'000'000;
  event.trigger.reference_micros = 150'000'000;
  event.trigger.ends_alert = ends;
  event.trigger.partition = 7;
  event.trigger.offset = 1234;
  event.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  return event;
}

std::function<absl::StatusOr<StoredAlert>(const ShownAlert&)> Mutate(
    absl::StatusOr<StoredAlert> (*apply)(const ShownAlert&, int64_t)) {
  return [apply](const ShownAlert& present) { return apply(present, kNow); };
}

absl::StatusOr<StoredAlert> DeleteNow(const ShownAlert& present) { return ApplyDelete(present.alert, kNow); }

std::vector<std::string> IdsOf(const std::vector<ShownAlert>& views) {
  std::vector<std::string> ids;
  ids.reserve(views.size());
  for (const ShownAlert& view : views) ids.push_back(view.alert.id);
  return ids;
}

// The open changes of these alerts, claimed at a time when all are due.
std::vector<StoredAlert> ClaimOf(Stores& store, const std::vector<std::string>& ids, int64_t now_us) {
  const auto claimed = store.outboxes.ClaimOpenChanges(now_us, 100'000);
  REQUIRE(claimed.ok());
  std::vector<StoredAlert> own;
  for (const StoredAlert& alert : *claimed) {
    if (std::find(ids.begin(), ids.end(), alert.id) != ids.end()) own.push_back(alert);
  }
  return own;
}

}  // namespace

TEST_CASE("a created alert is found as it was, by its owner only") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    StoredAlert alert = NewAlert(user, NewSymbol());
    alert.record.definition.condition = condition::PercentChange{
        condition::PercentOp::kEither, 25'000, condition::PercentReference::kWindow, 0, 3'600'000'000};
    alert.record.definition.trigger_policy = condition::TriggerPolicy::kRepeat;
    alert.record.definition.cooldown_us = 1;
    alert.record.definition.creation_policy = condition::CreationPolicy::kRejectIfMet;
    alert.record.definition.sessions = condition::Sessions::kExtended;
    alert.record.definition.expire_time_us = kNow + kSecond;
    REQUIRE(store.Create(user, {alert}, kQuota, kNow).ok());
    const auto view = store.alerts.Find(user, alert.id);
    REQUIRE(view.ok());
    REQUIRE(view->has_value());
    CHECK((*view)->alert == alert);
    CHECK(!(*view)->last_trigger.has_value());
    CHECK(store.alerts.Find(NewId(), alert.id)->has_value() == false);
    CHECK(store.alerts.Find(user, NewId())->has_value() == false);
  });
}

TEST_CASE("every kind of condition comes back exactly") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const std::vector<condition::Condition> conditions = {
        condition::PriceTarget{condition::TargetOp::kCrosses, 1},
        condition::PriceTarget{condition::TargetOp::kAtOrBelow, 1'000'000'000'000'000'000},
        condition::PercentChange{condition::PercentOp::kDown, 999'999, condition::PercentReference::kGiven, 123'456'789,
                                 0},
        condition::PercentChange{condition::PercentOp::kUp, 1, condition::PercentReference::kPreviousClose, 0, 0},
        condition::TrailingChange{condition::TrailingOp::kRisesFromLow, 0, 12'345, 99'000'001},
        condition::TrailingChange{condition::TrailingOp::kFallsFromHigh, 7, 0, std::nullopt},
        condition::Channel{condition::ChannelOp::kLeaves, 1'000'000, 3'000'000}};
    for (const condition::Condition& condition : conditions) {
      StoredAlert alert = NewAlert(user, NewSymbol());
      alert.record.definition.condition = condition;
      REQUIRE(store.Create(user, {alert}, kQuota, kNow).ok());
      CHECK((*store.alerts.Find(user, alert.id))->alert == alert);
    }
  });
}

TEST_CASE("a definition with fields of a version to come is read as far as it is known") {
  postgres::Pool* pool = TestPool();
  if (pool == nullptr) return;
  PostgresAlertStore store(*pool);
  const std::string user = NewId();
  const StoredAlert alert = NewAlert(user, NewSymbol());
  const Admission all = [](const OtherWindows&) { return absl::OkStatus(); };
  REQUIRE(store.Create(user, {alert}, kQuota, kNow, all).ok());
  REQUIRE(postgres::Transact(*pool, "test.update", postgres::Idempotency::kNotIdempotent,
                             [&](postgres::Connection& connection) -> absl::Status {
                               connection.sql() << "UPDATE stockalert_alert.alerts SET definition = definition || "
                                                   "'{\"ofAVersionToCome\": 1}' WHERE id = CAST(:id AS uuid)",
                                   soci::use(alert.id);
                               return absl::OkStatus();
                             })
              .ok());
  const auto view = store.Find(user, alert.id);
  REQUIRE(view.ok());
  CHECK((*view)->alert == alert);
}

TEST_CASE("the quota holds for one, for many at once, and is freed by a deletion") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const std::string symbol = NewSymbol();
    const StoredAlert first = NewAlert(user, symbol);
    REQUIRE(store.Create(user, {first, NewAlert(user, symbol)}, 3, kNow).ok());
    const absl::Status over = store.Create(user, {NewAlert(user, symbol), NewAlert(user, symbol)}, 3, kNow);
    CHECK(over.code() == absl::StatusCode::kResourceExhausted);
    CHECK(base::ReasonOf(over) == kReasonAlertQuota);
    CHECK(*store.alerts.Count(symbol) == 2);
    REQUIRE(store.Create(user, {NewAlert(user, symbol)}, 3, kNow).ok());
    CHECK(!store.Create(user, {NewAlert(user, symbol)}, 3, kNow).ok());
    REQUIRE(store.Change(user, first.id, kNow, DeleteNow).ok());
    CHECK(store.Create(user, {NewAlert(user, symbol)}, 3, kNow).ok());
    // A new user's first batch is held to it too.
    const std::string other = NewId();
    CHECK(!store
               .Create(
                   other,
                   {NewAlert(other, symbol), NewAlert(other, symbol), NewAlert(other, symbol), NewAlert(other, symbol)},
                   3, kNow)
               .ok());
  });
}

TEST_CASE("a creation that is not admitted leaves nothing: no alert, no request id, no place in the quota") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const std::string symbol = NewSymbol();
    StoredAlert alert = NewAlert(user, symbol);
    alert.request_id = "r-1";
    // As AlertLogic validates.
    const absl::Status refusal =
        base::MakeError(absl::StatusCode::kCancelled, "validated, and rolled back", base::ErrorDetails());
    for (int i = 0; i < 3; ++i) {
      CHECK(store.alerts.Create(user, {alert}, 1, kNow, [&](const OtherWindows&) { return refusal; }) == refusal);
    }
    CHECK(*store.alerts.Count(symbol) == 0);
    CHECK(store.alerts.FindByRequestIds(user, {"r-1"})->empty());
    CHECK(store.Create(user, {alert}, 1, kNow).ok());
    // Over the quota it is not even asked.
    CHECK(base::ReasonOf(store.alerts.Create(user, {NewAlert(user, symbol)}, 1, kNow,
                                             [&](const OtherWindows&) { return refusal; })) == kReasonAlertQuota);
  });
}

TEST_CASE("callers who create at once do not pass the quota together") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const std::string symbol = NewSymbol();
    std::vector<absl::Status> results(24);
    std::vector<std::thread> callers;
    callers.reserve(8);
    for (size_t i = 0; i < 8; ++i) {
      callers.emplace_back([&, i] {
        for (size_t n = 0; n < 3; ++n) results[i * 3 + n] = store.Create(user, {NewAlert(user, symbol)}, 10, kNow);
      });
    }
    for (std::thread& caller : callers) caller.join();
    CHECK(std::count_if(results.begin(), results.end(), [](const absl::Status& status) { return status.ok(); }) == 10);
    CHECK(std::count_if(results.begin(), results.end(),
                        [](const absl::Status& status) { return base::ReasonOf(status) == kReasonAlertQuota; }) == 14);
    CHECK(*store.alerts.Count(symbol) == 10);
  });
}

TEST_CASE("a group is stored in one go, as each of its alerts would be alone, and opens their changes") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId(), other = NewId();
    const std::string symbol = NewSymbol();
    for (const std::string& id : {user, other}) REQUIRE(store.Create(id, {NewAlert(id, symbol)}, kQuota, kNow).ok());
    StoredAlert full = NewAlert(user, symbol);
    full.record.definition.condition = condition::Channel{condition::ChannelOp::kLeaves, 1'000'000, 3'000'000};
    full.record.definition.expire_time_us = kNow + kSecond;
    full.routing = {message::Route::kNamed, {NewId(), NewId()}, true};
    full.request_id = "r-1";
    full.request_fingerprint = "f-1";
    const std::vector<StoredAlert> one = {full}, two = {NewAlert(other, symbol), NewAlert(other, symbol)},
                                   three = {NewAlert(user, symbol)};
    const int64_t open_before = store.outboxes.MeasureBacklog()->open_changes;
    const auto created = store.alerts.CreateGroup({{user, &one}, {other, &two}, {user, &three}}, kQuota, kNow);
    REQUIRE(created.ok());
    CHECK(*created == std::vector<bool>{true, true, true});
    for (const std::vector<StoredAlert>* alerts : {&one, &two, &three}) {
      for (const StoredAlert& alert : *alerts) {
        const auto view = store.alerts.Find(alert.user_id, alert.id);
        REQUIRE(view.ok());
        REQUIRE(view->has_value());
        CHECK((*view)->alert == alert);
      }
    }
    CHECK(*store.alerts.Count(symbol) == 6);
    CHECK(store.outboxes.MeasureBacklog()->open_changes == open_before + 4);
    CHECK(store.alerts.FindByRequestIds(user, {"r-1"})->size() == 1);
    CHECK(store.alerts.CreateGroup({}, kQuota, kNow)->empty());
  });
}

TEST_CASE("of a group each user has all or none, by the quota that is left, and the others do not notice") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId(), full = NewId(), gone = NewId(), unknown = NewId();
    for (const std::string& id : {user, full, gone}) {
      REQUIRE(store.Create(id, {NewAlert(id, NewSymbol())}, 3, kNow).ok());
    }
    REQUIRE(store.DeleteUser(gone, kNow, 100).ok());
    const auto alerts_of = [](const std::string& id, size_t count) {
      std::vector<StoredAlert> alerts;
      while (alerts.size() < count) alerts.push_back(NewAlert(id, NewSymbol()));
      return alerts;
    };
    const auto exact = alerts_of(user, 2), first = alerts_of(full, 2), second = alerts_of(full, 1),
               of_gone = alerts_of(gone, 1), of_unknown = alerts_of(unknown, 1);
    const auto created = store.alerts.CreateGroup(
        {{user, &exact}, {full, &first}, {gone, &of_gone}, {full, &second}, {unknown, &of_unknown}}, 3, kNow);
    REQUIRE(created.ok());
    CHECK(*created == std::vector<bool>{true, false, false, false, false});
    CHECK(!store.alerts.Find(full, first[0].id)->has_value());
    CHECK(!store.alerts.Find(unknown, of_unknown[0].id)->has_value());
    // Nothing of those that were left out counts; alone each gets what it may.
    CHECK(base::ReasonOf(store.Create(user, alerts_of(user, 1), 3, kNow)) == kReasonAlertQuota);
    CHECK(store.Create(full, first, 3, kNow).ok());
    CHECK(base::ReasonOf(store.Create(full, second, 3, kNow)) == kReasonAlertQuota);
    CHECK(base::ReasonOf(store.Create(gone, of_gone, 3, kNow)) == kReasonUserNotFound);
    CHECK(store.Create(unknown, of_unknown, 3, kNow).ok());
  });
}

TEST_CASE("a taken request id undoes a group, and takes no place in any quota") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId(), other = NewId();
    StoredAlert present = NewAlert(user, NewSymbol());
    present.request_id = "r-1";
    REQUIRE(store.Create(user, {present}, 2, kNow).ok());
    REQUIRE(store.Create(other, {NewAlert(other, NewSymbol())}, 2, kNow).ok());
    StoredAlert again = NewAlert(user, NewSymbol());
    again.request_id = "r-1";
    const std::vector<StoredAlert> taken = {again}, fine = {NewAlert(other, NewSymbol())};
    CHECK(absl::IsAlreadyExists(store.alerts.CreateGroup({{other, &fine}, {user, &taken}}, 2, kNow).status()));
    CHECK(!store.alerts.Find(other, fine[0].id)->has_value());
    CHECK(store.Create(other, fine, 2, kNow).ok());
    CHECK(base::ReasonOf(store.Create(user, taken, 2, kNow)) == kReasonRequestIdTaken);
    CHECK(store.Create(user, {NewAlert(user, NewSymbol())}, 2, kNow).ok());
    // A group that was stored without being answered: each finds its own, also at the limit.
    CHECK(absl::IsAlreadyExists(store.alerts.CreateGroup({{other, &fine}}, 3, kNow).status()));
    CHECK(store.Create(other, fine, 2, kNow).ok());
    CHECK(store.Create(other, fine, 3, kNow).ok());
    CHECK(base::ReasonOf(store.Create(other, {NewAlert(other, NewSymbol())}, 2, kNow)) == kReasonAlertQuota);
  });
}

TEST_CASE("groups and single creations at once do not pass the quota together") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId(), symbol = NewSymbol();
    REQUIRE(store.Create(user, {NewAlert(user, symbol)}, 20, kNow).ok());
    std::atomic<int> created{0}, refused{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < 32; ++i) {
      callers.emplace_back([&, i] {
        const std::vector<StoredAlert> one = {NewAlert(user, symbol)}, two = {NewAlert(user, symbol)};
        if (i % 2 == 0) {
          const auto group = store.alerts.CreateGroup({{user, &one}, {user, &two}}, 20, kNow);
          if (group.ok() && group->at(0) && group->at(1)) created += 2;
        } else {
          const absl::Status status = store.Create(user, one, 20, kNow);
          if (status.ok()) ++created;
          if (base::ReasonOf(status) == kReasonAlertQuota) ++refused;
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
    CHECK(*store.alerts.Count(symbol) == created + 1);
    CHECK(created <= 19);
    // What is left of the quota is there for whoever comes, and no more.
    while (created < 19) {
      REQUIRE(store.Create(user, {NewAlert(user, symbol)}, 20, kNow).ok());
      ++created;
    }
    CHECK(base::ReasonOf(store.Create(user, {NewAlert(user, symbol)}, 20, kNow)) == kReasonAlertQuota);
  });
}

TEST_CASE("a group waits for nobody who changes one of its users, and leaves that one out") {
  postgres::Pool* pool = TestPool();
  if (pool == nullptr) return;
  PostgresAlertStore store(*pool);
  const Admission all = [](const OtherWindows&) { return absl::OkStatus(); };
  const std::string busy = NewId(), other = NewId();
  for (const std::string& id : {busy, other}) {
    REQUIRE(store.Create(id, {NewAlert(id, NewSymbol())}, kQuota, kNow, all).ok());
  }
  const std::vector<StoredAlert> of_busy = {NewAlert(busy, NewSymbol())}, of_other = {NewAlert(other, NewSymbol())};
  const auto locked = postgres::Transact(
      *pool, "test.lock", postgres::Idempotency::kNotIdempotent,
      [&](postgres::Connection& connection) -> absl::StatusOr<std::vector<bool>> {
        connection.sql() << "UPDATE stockalert_alert.owners SET alert_count = alert_count WHERE user_id = CAST(:user "
                            "AS uuid)",
            soci::use(busy);
        return store.CreateGroup({{busy, &of_busy}, {other, &of_other}}, kQuota, kNow);
      });
  REQUIRE(locked.ok());
  CHECK(*locked == std::vector<bool>{false, true});
  CHECK(!store.Find(busy, of_busy[0].id)->has_value());
  CHECK(store.CreateGroup({{busy, &of_busy}}, kQuota, kNow)->at(0));
}

TEST_CASE("of 32 callers whose creations are stored together exactly the limit is created, and nobody else notices") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId(), other = NewId(), symbol = NewSymbol(), others_symbol = NewSymbol();
    for (const std::string& id : {user, other}) REQUIRE(store.Create(id, {NewAlert(id, NewSymbol())}, 20, kNow).ok());
    const base::SystemClock clock;
    // Two instances on one database.
    CreationGroups first(store.alerts, clock, {.quota = 20}), second(store.alerts, clock, {.quota = 20});
    std::atomic<int> created{0}, refused{0}, others{0}, repeated{0}, wrong{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < 32; ++i) {
      callers.emplace_back([&, i] {
        CreationGroups& groups = i % 4 == 0 ? second : first;
        const absl::Time deadline = absl::Now() + absl::Seconds(60);
        const absl::Status status = groups.Create(user, {NewAlert(user, symbol)}, deadline);
        ++(status.ok() ? created : base::ReasonOf(status) == kReasonAlertQuota ? refused : wrong);
        if (i >= 8) return;
        StoredAlert same = NewAlert(other, others_symbol);
        same.request_id = "r-1";
        const absl::Status once = groups.Create(other, {same}, deadline);
        ++(once.ok() ? others : base::ReasonOf(once) == kReasonRequestIdTaken ? repeated : wrong);
      });
    }
    for (std::thread& caller : callers) caller.join();
    CHECK(created == 19);
    CHECK(refused == 13);
    CHECK(others == 1);
    CHECK(repeated == 7);
    CHECK(wrong == 0);
    CHECK(*store.alerts.Count(symbol) == 19);
    CHECK(*store.alerts.Count(others_symbol) == 1);
  });
}

TEST_CASE("a request id is taken once a user, and all or none are created") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const std::string symbol = NewSymbol();
    StoredAlert alert = NewAlert(user, symbol);
    alert.request_id = "r-1";
    alert.request_fingerprint = "f";
    REQUIRE(store.Create(user, {alert}, kQuota, kNow).ok());
    // The same alert again is a retry of a commit that went unanswered.
    CHECK(store.Create(user, {alert}, kQuota, kNow).ok());
    StoredAlert other = NewAlert(user, symbol);
    other.request_id = "r-1";
    const absl::Status taken = store.Create(user, {NewAlert(user, symbol), other}, kQuota, kNow);
    CHECK(taken.code() == absl::StatusCode::kAlreadyExists);
    CHECK(base::ReasonOf(taken) == kReasonRequestIdTaken);
    CHECK(*store.alerts.Count(symbol) == 1);
    const auto found = store.alerts.FindByRequestIds(user, {"r-1", "r-2"});
    REQUIRE(found.ok());
    REQUIRE(found->size() == 1);
    CHECK(found->front() == alert);
    // Another user's request ids are its own.
    const std::string stranger = NewId();
    CHECK(store.alerts.FindByRequestIds(stranger, {"r-1"})->empty());
    other.user_id = stranger;
    CHECK(store.Create(stranger, {other}, kQuota, kNow).ok());
    // A failed batch has taken nothing of the quota.
    CHECK(store.Create(user, {NewAlert(user, symbol)}, 2, kNow).ok());
  });
}

TEST_CASE("where notifications go is kept with the alert, and a trigger's step reads it") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId(), symbol = NewSymbol();
    std::vector<StoredAlert> alerts = {NewAlert(user, symbol), NewAlert(user, symbol), NewAlert(user, symbol)};
    alerts[0].routing = {message::Route::kNamed, {NewId(), NewId(), NewId()}, true};
    alerts[1].routing.route = message::Route::kNone;
    REQUIRE(store.Create(user, alerts, kQuota, kNow).ok());
    for (const StoredAlert& alert : alerts) CHECK((*store.alerts.Find(user, alert.id))->alert == alert);
    const auto applied = ApplyEvents(store.events, {{}, {TriggerOf(alerts[0], 1, 1)}, {}}, kNow);
    REQUIRE(applied.ok());
    internal::v1::TriggerMessage message;
    REQUIRE(message.ParseFromString(applied->passed.at(0).message));
    CHECK(message.delivery() == internal::v1::TriggerMessage::DELIVERY_NAMED);
    CHECK(std::vector<std::string>(message.destination_ids().begin(), message.destination_ids().end()) ==
          alerts[0].routing.destination_ids);
    CHECK(message.critical());
    // The trigger changes nothing of it; a deletion leaves nothing.
    CHECK((*store.alerts.Find(user, alerts[0].id))->alert.routing == alerts[0].routing);
    CHECK(store.Change(user, alerts[0].id, kNow, DeleteNow)->alert.routing == message::Routing());
  });
}

EventBatch SplitsOf(const std::vector<StoredSplit>& splits) {
  EventBatch batch;
  batch.splits = splits;
  return batch;
}

int64_t PriceOf(const StoredAlert& alert) {
  return std::get<condition::PriceTarget>(alert.record.definition.condition).price_micros;
}

TEST_CASE("an alert is read as after its symbol's splits, each once, in whatever order they come") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId(), symbol = NewSymbol(), other = NewSymbol();
    const StoredSplit first{symbol, 1, {4, 1}, kNow}, second{symbol, 2, {1, 2}, kNow};
    StoredAlert before = NewAlert(user, symbol, 400'000'000), elsewhere = NewAlert(user, other, 400'000'000);
    before.record.definition.hysteresis_micros = 1'000'000;
    REQUIRE(store.Create(user, {before, elsewhere}, kQuota, kNow).ok());
    const auto read = [&](const StoredAlert& alert) { return (*store.alerts.Find(user, alert.id))->alert; };

    CHECK(store.alerts.FindSplitNumbers({symbol, other})->empty());
    CHECK(ApplyEvents(store.events, SplitsOf({first}), kNow)->splits_recorded == 1);
    CHECK(ApplyEvents(store.events, SplitsOf({first, first}), kNow)->splits_recorded == 0);
    CHECK(PriceOf(read(before)) == 100'000'000);
    CHECK(read(before).record.definition.hysteresis_micros == 250'000);
    CHECK(read(before).splits_applied == 1);
    CHECK(read(before).record.revision == 1);
    CHECK(PriceOf(read(elsewhere)) == 400'000'000);
    CHECK(*store.alerts.FindSplitNumbers({symbol, other}) == std::map<std::string, int64_t>{{symbol, 1}});

    // Created by who knows of it, by who does not yet, and by who has heard of the next one already.
    StoredAlert after = NewAlert(user, symbol, 400'000'000), racing = after, ahead = after;
    racing.id = NewId();
    ahead.id = NewId();
    after.splits_applied = 1;
    ahead.splits_applied = 2;
    REQUIRE(store.Create(user, {after, racing, ahead}, kQuota, kNow).ok());
    CHECK(PriceOf(read(after)) == 400'000'000);
    CHECK(PriceOf(read(racing)) == 100'000'000);
    CHECK(PriceOf(read(ahead)) == 400'000'000);

    // All that reads an alert reads it so: lists, what a trigger says, what is published again.
    const auto listed = store.alerts.List({user, symbol, {}}, {}, kNow, 100);
    REQUIRE(listed.ok());
    for (const ShownAlert& view : *listed) {
      const bool scaled = view.alert.id == before.id || view.alert.id == racing.id;
      CHECK(PriceOf(view.alert) == (scaled ? 100'000'000 : 400'000'000));
    }
    const auto applied = ApplyEvents(store.events, {{}, {TriggerOf(racing, 1, 1, false)}, {}}, kNow);
    internal::v1::TriggerMessage message;
    REQUIRE(message.ParseFromString(applied->passed.at(0).message));
    CHECK(message.summary() == symbol + " at or above 100");
    const auto open = store.outboxes.ClaimOpenChanges(kNow + 1'000 * kSecond, 100'000);
    REQUIRE(open.ok());
    const auto claimed = std::find_if(open->begin(), open->end(), [&](const auto& one) { return one.id == racing.id; });
    REQUIRE(claimed != open->end());
    CHECK(PriceOf(*claimed) == 100'000'000);
    CHECK(MakeLogRecord(*claimed).alert_change().splits_applied() == 1);

    // A change is made of what was read, and keeps the number with it.
    const auto noted =
        store.Change(user, before.id, kNow, [&](const ShownAlert& present) -> absl::StatusOr<StoredAlert> {
          StoredAlert changed = present.alert;
          changed.note = "another";
          ++changed.record.revision;
          return changed;
        });
    REQUIRE(noted.ok());
    CHECK(PriceOf(noted->alert) == 100'000'000);
    CHECK(noted->alert.splits_applied == 1);

    // The third is told of before the second: nothing is skipped.
    const StoredSplit third{symbol, 3, {10, 1}, kNow};
    CHECK(ApplyEvents(store.events, SplitsOf({third}), kNow)->splits_recorded == 1);
    CHECK(PriceOf(read(before)) == 100'000'000);
    CHECK(read(before).splits_applied == 1);
    CHECK(store.alerts.FindSplitNumbers({symbol})->at(symbol) == 1);
    CHECK(ApplyEvents(store.events, SplitsOf({second}), kNow)->splits_recorded == 1);
    CHECK(PriceOf(read(before)) == 20'000'000);
    CHECK(PriceOf(read(after)) == 80'000'000);
    CHECK(PriceOf(read(ahead)) == 40'000'000);
    CHECK(read(ahead).splits_applied == 3);
    CHECK(store.alerts.FindSplitNumbers({symbol})->at(symbol) == 3);

    // A deleted one, too, says what it is stated at.
    REQUIRE(store.Change(user, after.id, kNow, DeleteNow).ok());
    CHECK(store.DeleteUser(user, kNow, 100)->size() == 4);
  });
}

TEST_CASE("changes and splits at once scale each alert once") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId(), symbol = NewSymbol();
    constexpr int kAlerts = 24;
    std::vector<StoredAlert> alerts;
    for (int i = 0; i < kAlerts; ++i) alerts.push_back(NewAlert(user, symbol, 800'000'000));
    const auto note = [&](const ShownAlert& present) -> absl::StatusOr<StoredAlert> {
      StoredAlert changed = present.alert;
      ++changed.record.revision;
      return changed;
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < kAlerts; ++i) {
      threads.emplace_back([&, i] {
        const StoredAlert& alert = alerts[static_cast<size_t>(i)];
        (void)store.Create(user, {alert}, kQuota, kNow);
        for (int round = 0; round < 5; ++round) (void)store.Change(user, alert.id, kNow, note);
      });
    }
    for (int64_t number = 1; number <= 3; ++number)
      (void)ApplyEvents(store.events, SplitsOf({{symbol, number, {2, 1}, kNow}}), kNow);
    for (std::thread& thread : threads) thread.join();
    for (const StoredAlert& alert : alerts) {
      const StoredAlert read = (*store.alerts.Find(user, alert.id))->alert;
      CHECK(PriceOf(read) == 100'000'000);
      CHECK(read.splits_applied == 3);
    }
  });
}

TEST_CASE("alerts of the version before, and those that it adds beside this one, go to the defaults") {
  postgres::Pool* pool = TestPool();
  if (pool == nullptr) return;
  const StoredAlert alert = NewAlert(NewId(), NewSymbol());
  // As that version inserts it: without a word of delivery.
  REQUIRE(postgres::Transact(*pool, "test.insert", postgres::Idempotency::kNotIdempotent,
                             [&](postgres::Connection& connection) -> absl::Status {
                               const std::string definition = EncodeDefinitionJson(alert.record.definition);
                               connection.sql() << "INSERT INTO stockalert_alert.alerts (id, user_id, symbol, "
                                                   "definition, reference, note, revision, armed_revision, "
                                                   "create_time_us, update_time_us) VALUES (CAST(:id AS uuid), "
                                                   "CAST(:user AS uuid), :symbol, CAST(:definition AS jsonb), 0, '', "
                                                   "1, 1, 1, 1)",
                                   soci::use(alert.id, "id"), soci::use(alert.user_id, "user"),
                                   soci::use(alert.symbol, "symbol"), soci::use(definition, "definition");
                               return absl::OkStatus();
                             })
              .ok());
  PostgresAlertStore store(*pool);
  const auto found = store.Find(alert.user_id, alert.id);
  REQUIRE(found.ok());
  CHECK((*found)->alert.routing == message::Routing());
}

TEST_CASE("a change is written once its revision rises, and only then") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const StoredAlert alert = NewAlert(user, NewSymbol());
    REQUIRE(store.Create(user, {alert}, kQuota, kNow).ok());
    const auto paused = store.Change(user, alert.id, kNow + 5, Mutate(ApplyPause));
    REQUIRE(paused.ok());
    CHECK(paused->alert.record.paused);
    CHECK(paused->alert.record.revision == 2);
    CHECK((*store.alerts.Find(user, alert.id))->alert.record.revision == 2);
    CHECK((*store.alerts.Find(user, alert.id))->alert.record.armed_revision == 1);
    const auto again = store.Change(user, alert.id, kNow + 9, Mutate(ApplyPause));
    REQUIRE(again.ok());
    CHECK(again->alert.record.revision == 2);
    CHECK((*store.alerts.Find(user, alert.id))->alert.update_time_us == kNow + 5);
    const auto refused = store.Change(user, alert.id, kNow, [](const ShownAlert&) -> absl::StatusOr<StoredAlert> {
      return base::FailedPrecondition("SOME_REASON", "no");
    });
    CHECK(base::ReasonOf(refused.status()) == "SOME_REASON");
    CHECK(base::ReasonOf(store.Change(user, NewId(), kNow, Mutate(ApplyPause)).status()) == kReasonAlertNotFound);
    CHECK(base::ReasonOf(store.Change(NewId(), alert.id, kNow, Mutate(ApplyPause)).status()) == kReasonAlertNotFound);
    // An update of all that can change.
    const auto updated = store.Change(user, alert.id, kNow + 10, [](const ShownAlert& present) {
      condition::Definition wanted = present.alert.record.definition;
      wanted.condition =
          condition::PercentChange{condition::PercentOp::kUp, 10'000, condition::PercentReference::kDayOpen, 0, 0};
      wanted.expire_time_us = kNow + kSecond;
      return ApplyUpdate(
          present,
          {"", wanted, "another note", {message::Route::kNamed, {present.alert.id, present.alert.user_id}, true}},
          kNow);
    });
    REQUIRE(updated.ok());
    const auto view = store.alerts.Find(user, alert.id);
    CHECK((*view)->alert == updated->alert);
    CHECK((*view)->alert.record.armed_revision == 3);
    CHECK((*view)->alert.note == "another note");
    CHECK((*view)->alert.routing.destination_ids == std::vector<std::string>{alert.id, user});
  });
}

TEST_CASE("a deleted alert is gone for its user and stays as a tombstone for the log") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const StoredAlert alert = NewAlert(user, NewSymbol());
    REQUIRE(store.Create(user, {alert}, kQuota, kNow).ok());
    const auto deleted = store.Change(user, alert.id, kNow, DeleteNow);
    REQUIRE(deleted.ok());
    CHECK(deleted->alert.record.deleted);
    CHECK(deleted->alert.record.revision == 2);
    CHECK(deleted->alert.note.empty());
    CHECK(!store.alerts.Find(user, alert.id)->has_value());
    CHECK(store.alerts.List({user, "", {}}, std::nullopt, kNow, 10)->empty());
    CHECK(*store.alerts.Count(alert.symbol) == 0);
    CHECK(base::ReasonOf(store.Change(user, alert.id, kNow, DeleteNow).status()) == kReasonAlertNotFound);
    const std::vector<StoredAlert> open = ClaimOf(store, {alert.id}, kNow + 10 * kSecond);
    REQUIRE(open.size() == 1);
    CHECK(open.front().record.deleted);
    CHECK(open.front().record.revision == 2);
  });
}

TEST_CASE("open changes are claimed when they are due, by one at a time, later and later, until they are confirmed") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const StoredAlert alert = NewAlert(user, NewSymbol());
    const int64_t now = kNow + 3600 * kSecond;
    REQUIRE(store.Create(user, {alert}, kQuota, now).ok());
    CHECK(ClaimOf(store, {alert.id}, now + kFirstSweepUs - 1).empty());
    CHECK(ClaimOf(store, {alert.id}, now + kFirstSweepUs).size() == 1);
    CHECK(ClaimOf(store, {alert.id}, now + kFirstSweepUs).empty());
    CHECK(ClaimOf(store, {alert.id}, now + 2 * kFirstSweepUs).size() == 1);
    CHECK(ClaimOf(store, {alert.id}, now + 4 * kFirstSweepUs - 1).empty());
    CHECK(ClaimOf(store, {alert.id}, now + 4 * kFirstSweepUs).size() == 1);
    REQUIRE(store.outboxes.PostponeOpenChanges({alert.id}, now + 5 * kFirstSweepUs).ok());
    CHECK(ClaimOf(store, {alert.id}, now + 5 * kFirstSweepUs).size() == 1);
    // A confirmation of a revision closes the change of that revision, not of a later one.
    REQUIRE(store.Change(user, alert.id, now + 5 * kFirstSweepUs, Mutate(ApplyPause)).ok());
    REQUIRE(ApplyEvents(store.events, {{{alert.id, 1}}, {}, {}}, now).ok());
    CHECK((*store.alerts.Find(user, alert.id))->alert.applied_revision == 1);
    const std::vector<StoredAlert> open = ClaimOf(store, {alert.id}, now + 6 * kFirstSweepUs);
    REQUIRE(open.size() == 1);
    CHECK(open.front().record.revision == 2);
    REQUIRE(ApplyEvents(store.events, {{{alert.id, 2}, {alert.id, 1}}, {}, {}}, now).ok());
    CHECK((*store.alerts.Find(user, alert.id))->alert.applied_revision == 2);
    CHECK(ClaimOf(store, {alert.id}, now + 1000 * kFirstSweepUs).empty());
    // Never lower again, and never above what there is.
    REQUIRE(ApplyEvents(store.events, {{{alert.id, 1}}, {}, {}}, now).ok());
    CHECK((*store.alerts.Find(user, alert.id))->alert.applied_revision == 2);
    REQUIRE(ApplyEvents(store.events, {{{alert.id, 9}}, {}, {}}, now).ok());
    CHECK((*store.alerts.Find(user, alert.id))->alert.applied_revision == 2);
    // Unknown alerts do no harm.
    CHECK(ApplyEvents(store.events, {{{NewId(), 1}}, {}, {}}, now).ok());
  });
}

TEST_CASE("a trigger is recorded once, ends its alert and goes into the outbox") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const StoredAlert alert = NewAlert(user, NewSymbol());
    REQUIRE(store.Create(user, {alert}, kQuota, kNow).ok());
    TriggerEvent event = TriggerOf(alert, 1, 1);
    event.trigger.late = true;
    event.trigger.late_from_us = kNow - 7;
    event.log_time_us = kNow - 5;
    auto applied = ApplyEvents(store.events, {{}, {event, event}, {}}, kNow);
    REQUIRE(applied.ok());
    CHECK(applied->triggers_recorded == 1);
    CHECK(applied->triggers_repeated == 1);
    REQUIRE(applied->passed.size() == 1);
    CHECK(applied->alerts_with_older.empty());
    const PassedTrigger passed = applied->passed.front();
    CHECK(passed.user_id == user);
    CHECK(passed.traceparent == event.traceparent);
    internal::v1::TriggerMessage message;
    REQUIRE(message.ParseFromString(passed.message));
    CHECK(message.user_id() == user);
    CHECK(message.note() == alert.note);
    CHECK(message.summary() == alert.symbol + " at or above 150");
    CHECK(message.trigger().trigger_number() == 1);
    CHECK(message.trigger().price_micros() == 151'000'000);
    CHECK(message.trigger().log_time_us() == kNow - 5);
    CHECK(message.trigger().late_from_us() == kNow - 7);

    const auto view = store.alerts.Find(user, alert.id);
    CHECK((*view)->alert.record.triggered);
    CHECK((*view)->alert.trigger_count == 1);
    // As it was told, with what the store finds of it.
    RecordedTrigger recorded = event.trigger;
    recorded.user_id = user;
    recorded.create_time_us = kNow;
    CHECK((*view)->last_trigger == recorded);
    CHECK(*store.alerts.ListTriggers({user, alert.id}, std::nullopt, 10) == std::vector<RecordedTrigger>{recorded});

    applied = ApplyEvents(store.events, {{}, {event}, {}}, kNow);
    REQUIRE(applied.ok());
    CHECK(applied->triggers_recorded == 0);
    CHECK(applied->passed.empty());
    CHECK((*store.alerts.Find(user, alert.id))->alert.trigger_count == 1);

    CHECK(*store.outboxes.LoadTriggers({alert.id}, 10) == std::vector<PassedTrigger>{passed});
    REQUIRE(store.outboxes.RemoveTriggers({{alert.id, 1}}).ok());
    CHECK(store.outboxes.LoadTriggers({alert.id}, 10)->empty());
    // Told again after it was passed on: still known.
    CHECK(ApplyEvents(store.events, {{}, {event}, {}}, kNow)->passed.empty());
  });
}

TEST_CASE("a trigger meets edits, pauses and deletions that it did not see") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    SECTION("of an earlier arming: recorded and passed on, the state stays") {
      const StoredAlert alert = NewAlert(user, NewSymbol());
      REQUIRE(store.Create(user, {alert}, kQuota, kNow).ok());
      REQUIRE(store.Change(user, alert.id, kNow, Mutate(ApplyRearm)).ok());
      const auto applied = ApplyEvents(store.events, {{}, {TriggerOf(alert, 1, 1)}, {}}, kNow);
      CHECK(applied->passed.size() == 1);
      const auto view = store.alerts.Find(user, alert.id);
      CHECK(!(*view)->alert.record.triggered);
      CHECK((*view)->alert.trigger_count == 1);
    }
    SECTION("a pause of the same arming: TRIGGERED beats it, and the user is not told") {
      const StoredAlert alert = NewAlert(user, NewSymbol());
      REQUIRE(store.Create(user, {alert}, kQuota, kNow).ok());
      REQUIRE(store.Change(user, alert.id, kNow, Mutate(ApplyPause)).ok());
      const auto applied = ApplyEvents(store.events, {{}, {TriggerOf(alert, 1, 1)}, {}}, kNow);
      CHECK(applied->passed.empty());
      CHECK(applied->triggers_withheld == 1);
      const auto view = store.alerts.Find(user, alert.id);
      CHECK((*view)->alert.record.triggered);
      REQUIRE((*view)->last_trigger.has_value());
      CHECK((*view)->last_trigger->withheld == Withheld::kPaused);
      CHECK(store.outboxes.LoadTriggers({alert.id}, 10)->empty());
    }
    SECTION("a deletion: recorded, and the user is not told") {
      const StoredAlert alert = NewAlert(user, NewSymbol());
      REQUIRE(store.Create(user, {alert}, kQuota, kNow).ok());
      REQUIRE(store.Change(user, alert.id, kNow, DeleteNow).ok());
      const auto applied = ApplyEvents(store.events, {{}, {TriggerOf(alert, 1, 1)}, {}}, kNow);
      CHECK(applied->triggers_recorded == 1);
      CHECK(applied->triggers_withheld == 1);
      CHECK(applied->passed.empty());
      CHECK(!store.alerts.Find(user, alert.id)->has_value());
      CHECK(store.alerts.ListTriggers({user, std::nullopt}, std::nullopt, 10)->empty());
    }
    SECTION("an alert that nobody knows") {
      const auto applied = ApplyEvents(store.events, {{}, {TriggerOf(NewAlert(user, NewSymbol()), 1, 1)}, {}}, kNow);
      REQUIRE(applied.ok());
      CHECK(applied->triggers_unknown == 1);
      CHECK(applied->triggers_recorded == 0);
    }
    SECTION("a repeating alert stays active") {
      const StoredAlert alert = NewAlert(user, NewSymbol());
      REQUIRE(store.Create(user, {alert}, kQuota, kNow).ok());
      const auto applied =
          ApplyEvents(store.events, {{}, {TriggerOf(alert, 1, 1, false), TriggerOf(alert, 2, 1, false)}, {}}, kNow);
      CHECK(applied->passed.size() == 2);
      const auto view = store.alerts.Find(user, alert.id);
      CHECK(!(*view)->alert.record.triggered);
      CHECK((*view)->alert.trigger_count == 2);
      CHECK((*view)->alert.last_trigger_number == 2);
    }
  });
}

TEST_CASE("the trigger outbox knows which alerts have older rows, and unclaimed rows can be claimed") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const StoredAlert alert = NewAlert(user, NewSymbol());
    REQUIRE(store.Create(user, {alert}, kQuota, kNow).ok());
    CHECK(ApplyEvents(store.events, {{}, {TriggerOf(alert, 1, 1, false)}, {}}, kNow)->alerts_with_older.empty());
    CHECK(ApplyEvents(store.events, {{}, {TriggerOf(alert, 2, 1, false)}, {}}, kNow)->alerts_with_older ==
          std::vector<std::string>{alert.id});
    const auto claimed_ids = [&](int64_t now_us) {
      const auto claimed = store.outboxes.ClaimTriggers(now_us, 100'000);
      REQUIRE(claimed.ok());
      return std::count(claimed->begin(), claimed->end(), AlertOwner{alert.id, user});
    };
    CHECK(claimed_ids(kNow + kTriggerClaimUs - 1) == 0);
    CHECK(claimed_ids(kNow + kTriggerClaimUs) == 1);
    CHECK(claimed_ids(kNow + kTriggerClaimUs) == 0);
    CHECK(claimed_ids(kNow + 2 * kTriggerClaimUs) == 1);
    const auto rows = store.outboxes.LoadTriggers({alert.id, NewId()}, 10);
    REQUIRE(rows.ok());
    REQUIRE(rows->size() == 2);
    CHECK(rows->at(0).number == 1);
    CHECK(rows->at(1).number == 2);
    CHECK(store.outboxes.LoadTriggers({alert.id}, 1)->size() == 1);
    REQUIRE(store.outboxes.RemoveTriggers({{alert.id, 1}, {alert.id, 2}, {NewId(), 1}}).ok());
    CHECK(ApplyEvents(store.events, {{}, {TriggerOf(alert, 3, 1, false)}, {}}, kNow)->alerts_with_older.empty());
  });
}

TEST_CASE("triggers beyond a user's in a minute are throttled: counted once, marked, shown on their alert") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const std::string other = NewId();
    const std::string symbol = NewSymbol();
    const std::vector<StoredAlert> alerts = {NewAlert(user, symbol), NewAlert(user, symbol)};
    const StoredAlert others = NewAlert(other, symbol);
    REQUIRE(store.Create(user, alerts, kQuota, kNow).ok());
    REQUIRE(store.Create(other, {others}, kQuota, kNow).ok());
    constexpr int64_t kMinute = 60 * kSecond;
    const int64_t begin = kNow / kMinute * kMinute;
    const auto at = [&](const StoredAlert& alert, int64_t number, int64_t event_time_us) {
      TriggerEvent event = TriggerOf(alert, number, 1, false);
      event.trigger.event_time_us = event_time_us;
      return event;
    };
    const auto apply = [&](std::vector<TriggerEvent> events) {
      EventBatch batch;
      batch.triggers = std::move(events);
      batch.triggers_per_minute = 3;
      auto applied = ApplyEvents(store.events, batch, kNow);
      REQUIRE(applied.ok());
      return *applied;
    };
    const auto throttled = [](const AppliedEvents& applied) {
      std::vector<bool> marks;
      for (const PassedTrigger& passed : applied.passed) {
        internal::v1::TriggerMessage message;
        REQUIRE(message.ParseFromString(passed.message));
        CHECK(message.throttled() == passed.throttled);
        marks.push_back(passed.throttled);
      }
      return marks;
    };
    // Two of one alert, then two of the other in the same minute: the fourth is too many. Another user's are not.
    CHECK(throttled(apply({at(alerts[0], 1, begin), at(alerts[0], 2, begin + 1)})) == std::vector<bool>{false, false});
    AppliedEvents applied =
        apply({at(alerts[1], 1, begin + kMinute - 1), at(alerts[1], 2, begin + kMinute - 1), at(others, 1, begin)});
    CHECK(throttled(applied) == std::vector<bool>{false, true, false});
    CHECK(applied.triggers_throttled == 1);
    CHECK(applied.triggers_recorded == 3);
    // Told again, they are counted once: the next one is the fifth, as it would have been.
    CHECK(apply({at(alerts[1], 2, begin), at(alerts[0], 1, begin), at(alerts[0], 2, begin)}).triggers_repeated == 3);
    CHECK(throttled(apply({at(alerts[1], 3, begin)})) == std::vector<bool>{true});
    // A new minute, and one from before that comes late: each has a count of its own.
    CHECK(throttled(apply({at(alerts[1], 4, begin + kMinute), at(alerts[1], 5, begin - 1)})) ==
          std::vector<bool>{false, false});

    auto view = store.alerts.Find(user, alerts[1].id);
    CHECK((*view)->alert.throttled_count == 2);
    CHECK((*view)->alert.throttle_end_us == begin + kMinute);
    CHECK((*view)->alert.trigger_count == 5);
    CHECK((*store.alerts.Find(user, alerts[0].id))->alert.throttled_count == 0);
    CHECK((*store.alerts.Find(user, alerts[0].id))->alert.throttle_end_us == 0);
    std::vector<bool> listed;
    const auto triggers = store.alerts.ListTriggers({user, alerts[1].id}, std::nullopt, 10);
    REQUIRE(triggers.ok());
    for (const RecordedTrigger& trigger : *triggers) listed.push_back(trigger.throttled);
    CHECK(listed == std::vector<bool>{false, false, true, true, false});
    // In the outbox as they were passed.
    const auto rows = store.outboxes.LoadTriggers({alerts[1].id}, 10);
    REQUIRE(rows->size() == 5);
    CHECK(rows->at(1).throttled);
    CHECK(!rows->at(4).throttled);

    // What is withheld does not count.
    REQUIRE(store.Change(user, alerts[0].id, kNow, Mutate(ApplyPause)).ok());
    CHECK(apply({at(alerts[0], 3, begin + 2 * kMinute), at(alerts[0], 4, begin + 2 * kMinute),
                 at(alerts[0], 5, begin + 2 * kMinute), at(alerts[1], 6, begin + 2 * kMinute)})
              .triggers_throttled == 0);

    // A count that nobody has written for long is forgotten.
    REQUIRE(store.outboxes.ForgetMinutes(kNow + kMinutesKeptUs).ok());
    CHECK(throttled(apply({at(alerts[1], 7, begin)})) == std::vector<bool>{true});
    REQUIRE(store.outboxes.ForgetMinutes(kNow + kMinutesKeptUs + 1).ok());
    CHECK(throttled(apply({at(alerts[1], 8, begin)})) == std::vector<bool>{false});
  });
}

TEST_CASE("instances that record at once let a minute's number pass together, no more and no less") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    std::vector<StoredAlert> alerts;
    for (int i = 0; i < 8; ++i) alerts.push_back(NewAlert(user, NewSymbol()));
    REQUIRE(store.Create(user, alerts, kQuota, kNow).ok());
    std::vector<std::thread> threads;
    std::atomic<int64_t> throttled{0};
    std::atomic<bool> failed{false};
    for (const StoredAlert& alert : alerts) {
      threads.emplace_back([&, alert] {
        for (int64_t number = 1; number <= 20; ++number) {
          EventBatch batch;
          batch.triggers = {TriggerOf(alert, number, 1, false)};
          batch.triggers_per_minute = 50;
          const auto applied = ApplyEvents(store.events, batch, kNow);
          if (!applied.ok()) failed = true;
          if (applied.ok()) throttled += applied->triggers_throttled;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(!failed);
    CHECK(throttled == 8 * 20 - 50);
  });
}

TEST_CASE("claims are shared among users, however much one of them has") {
  ForEachStore([](Stores& store) {
    // Far in the past: no other case's rows are due then.
    const int64_t then = kNow / 2;
    const std::string noisy = NewId();
    const std::string quiet = NewId();
    std::vector<StoredAlert> many;
    EventBatch batch;
    for (int i = 0; i < 20; ++i) {
      many.push_back(NewAlert(noisy, NewSymbol()));
      for (int64_t number = 1; number <= 3; ++number)
        batch.triggers.push_back(TriggerOf(many.back(), number, 1, false));
    }
    const StoredAlert one = NewAlert(quiet, NewSymbol());
    REQUIRE(store.Create(noisy, many, kQuota, then).ok());
    REQUIRE(store.Create(quiet, {one}, kQuota, then).ok());
    REQUIRE(ApplyEvents(store.events, batch, then).ok());
    EventBatch last;
    last.triggers = {TriggerOf(one, 1, 1, false)};
    REQUIRE(ApplyEvents(store.events, last, then + 1).ok());
    const auto claimed = store.outboxes.ClaimTriggers(then + 1 + kTriggerClaimUs, 4);
    REQUIRE(claimed.ok());
    CHECK(claimed->size() <= 4);
    CHECK(std::count(claimed->begin(), claimed->end(), AlertOwner{one.id, quiet}) == 1);
    // Of each alert as many rows as are asked for.
    const auto rows = store.outboxes.LoadTriggers({many[0].id, many[1].id, one.id}, 2);
    REQUIRE(rows.ok());
    CHECK(rows->size() == 5);
    std::vector<TriggerId> all;
    for (const TriggerEvent& event : batch.triggers) all.push_back({event.trigger.alert_id, event.trigger.number});
    all.push_back({one.id, 1});
    REQUIRE(store.outboxes.RemoveTriggers(all).ok());
  });
}

TEST_CASE("alerts' owners are found, of tombstones too") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const std::vector<StoredAlert> alerts = {NewAlert(user, NewSymbol()), NewAlert(user, NewSymbol())};
    REQUIRE(store.Create(user, alerts, kQuota, kNow).ok());
    REQUIRE(store.Change(user, alerts[1].id, kNow, DeleteNow).ok());
    auto owners = store.events.FindOwners({alerts[0].id, alerts[1].id, NewId()});
    REQUIRE(owners.ok());
    std::sort(owners->begin(), owners->end());
    std::vector<AlertOwner> expected = {{alerts[0].id, user}, {alerts[1].id, user}};
    std::sort(expected.begin(), expected.end());
    CHECK(*owners == expected);
  });
}

TEST_CASE("a user's windows on one symbol have a bounded number of lengths") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const std::string symbol = NewSymbol();
    const auto window = [&](int64_t length_us, const std::string& on) {
      StoredAlert alert = NewAlert(user, on);
      alert.record.definition.condition = condition::PercentChange{condition::PercentOp::kUp, 25'000,
                                                                   condition::PercentReference::kWindow, 0, length_us};
      return alert;
    };
    std::vector<StoredAlert> alerts;
    for (size_t i = 1; i <= kWindowLengthsMax; ++i) alerts.push_back(window(static_cast<int64_t>(i) * kSecond, symbol));
    StoredAlert extra = window(1, symbol);
    SECTION("all at once: all or none") {
      std::vector<StoredAlert> more = alerts;
      more.push_back(extra);
      CHECK(base::ReasonOf(store.Create(user, more, kQuota, kNow)) == kReasonWindowQuota);
      CHECK(store.alerts.List({user, "", {}}, std::nullopt, kNow, 100)->empty());
    }
    REQUIRE(store.Create(user, alerts, kQuota, kNow).ok());
    const absl::Status refused = store.Create(user, {extra}, kQuota, kNow);
    CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
    CHECK(base::ReasonOf(refused) == kReasonWindowQuota);
    CHECK(!store.alerts.Find(user, extra.id)->has_value());
    // A length that is there, another symbol, another kind of condition: as many as the quota of alerts allows.
    CHECK(store.Create(user, {window(kSecond, symbol), window(1, NewSymbol()), NewAlert(user, symbol)}, kQuota, kNow)
              .ok());
    // An update is held to it as well.
    const StoredAlert plain = NewAlert(user, symbol);
    REQUIRE(store.Create(user, {plain}, kQuota, kNow).ok());
    const auto to = [&](int64_t length_us) {
      return [&, length_us](const ShownAlert& present) {
        condition::Definition wanted = present.alert.record.definition;
        wanted.condition = window(length_us, symbol).record.definition.condition;
        return ApplyUpdate(present, {symbol, wanted, ""}, kNow);
      };
    };
    CHECK(base::ReasonOf(store.Change(user, plain.id, kNow, to(1)).status()) == kReasonWindowQuota);
    CHECK(store.Change(user, plain.id, kNow, to(2 * kSecond)).ok());
    // The only one of its length may change it; two have that of one second.
    CHECK(store.Change(user, alerts[4].id, kNow, to(1)).ok());
    CHECK(base::ReasonOf(store.Change(user, alerts[0].id, kNow, to(2)).status()) == kReasonWindowQuota);
    // A deletion makes room.
    REQUIRE(store.Change(user, alerts[5].id, kNow, DeleteNow).ok());
    CHECK(store.Change(user, alerts[0].id, kNow, to(2)).ok());
  });
}

TEST_CASE("the newest place of a symbol's status wins") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const StoredAlert alert = NewAlert(user, NewSymbol());
    REQUIRE(store.Create(user, {alert}, kQuota, kNow).ok());
    const auto tell = [&](bool close, bool open, int64_t offset) {
      StoredSymbolStatus status{alert.symbol, close, open, kNow + offset, 3, offset};
      REQUIRE(ApplyEvents(store.events, {{}, {}, {status}}, kNow).ok());
    };
    tell(true, false, 10);
    CHECK((*store.alerts.Find(user, alert.id))->status ==
          StoredSymbolStatus{alert.symbol, true, false, kNow + 10, 3, 10});
    tell(false, false, 9);
    CHECK((*store.alerts.Find(user, alert.id))->status.previous_close_known);
    tell(true, true, 11);
    CHECK((*store.alerts.Find(user, alert.id))->status.day_open_known);
    // Two in a batch.
    REQUIRE(ApplyEvents(store.events,
                        {{}, {}, {{alert.symbol, false, true, kNow, 3, 13}, {alert.symbol, true, true, kNow, 3, 12}}},
                        kNow)
                .ok());
    CHECK(!(*store.alerts.Find(user, alert.id))->status.previous_close_known);
    // A log that began anew.
    REQUIRE(store.outboxes.ForgetSymbolPlaces(alert.symbol).ok());
    tell(true, true, 0);
    CHECK((*store.alerts.Find(user, alert.id))->status.previous_close_known);
  });
}

TEST_CASE("lists go page by page, newest first, and filter by the state that is shown") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const std::string symbol = NewSymbol();
    const std::string other_symbol = NewSymbol();
    // One in each state, a second apart; two at the same time.
    std::vector<StoredAlert> alerts;
    for (int i = 0; i < 8; ++i) {
      StoredAlert alert = NewAlert(user, i == 7 ? other_symbol : symbol);
      const int64_t time = kNow + (i == 1 ? 0 : i) * kSecond;
      alert.create_time_us = alert.update_time_us = time;
      if (i == 2) alert.record.definition.expire_time_us = kNow + 100 * kSecond;
      if (i == 3)
        alert.record.definition.condition =
            condition::PercentChange{condition::PercentOp::kUp, 1, condition::PercentReference::kPreviousClose, 0, 0};
      if (i == 4)
        alert.record.definition.condition =
            condition::PercentChange{condition::PercentOp::kUp, 1, condition::PercentReference::kDayOpen, 0, 0};
      REQUIRE(store.Create(user, {alert}, kQuota, time).ok());
      alerts.push_back(alert);
    }
    EventBatch batch;
    for (int i = 1; i < 8; ++i) batch.confirmations.push_back({alerts[i].id, 1});
    batch.triggers.push_back(TriggerOf(alerts[5], 1, 1));
    batch.statuses.push_back({symbol, true, false, kNow, 0, 1});
    REQUIRE(ApplyEvents(store.events, batch, kNow).ok());
    REQUIRE(store.Change(user, alerts[6].id, kNow, Mutate(ApplyPause)).ok());
    const int64_t now = kNow + 200 * kSecond;

    // 0 PENDING, 1 ACTIVE, 2 EXPIRED, 3 ACTIVE (its close is known), 4 WAITING, 5 TRIGGERED, 6 PAUSED, 7 ACTIVE.
    const auto in_state = [&](std::vector<ShownState> states, const std::string& on_symbol = "") {
      const auto views = store.alerts.List({user, on_symbol, std::move(states)}, std::nullopt, now, 100);
      REQUIRE(views.ok());
      return IdsOf(*views);
    };
    CHECK(in_state({ShownState::kPending}) == std::vector<std::string>{alerts[0].id});
    CHECK(in_state({ShownState::kActive}) == std::vector<std::string>{alerts[7].id, alerts[3].id, alerts[1].id});
    CHECK(in_state({ShownState::kActive}, symbol) == std::vector<std::string>{alerts[3].id, alerts[1].id});
    CHECK(in_state({ShownState::kExpired}) == std::vector<std::string>{alerts[2].id});
    CHECK(in_state({ShownState::kWaiting}) == std::vector<std::string>{alerts[4].id});
    CHECK(in_state({ShownState::kTriggered}) == std::vector<std::string>{alerts[5].id});
    CHECK(in_state({ShownState::kPaused, ShownState::kTriggered}) ==
          std::vector<std::string>{alerts[6].id, alerts[5].id});
    CHECK(in_state({}).size() == 8);
    CHECK(in_state({ShownState::kHeld}).empty());
    // A split of the symbol is suspected: what was ACTIVE or WAITING is HELD, and what was ended, paused or not applied
    // is shown as before.
    StoredSymbolStatus held{symbol, true, false, kNow, 0, 2};
    held.held = true;
    REQUIRE(ApplyEvents(store.events, {{}, {}, {held}}, kNow).ok());
    CHECK(in_state({ShownState::kHeld}) == std::vector<std::string>{alerts[4].id, alerts[3].id, alerts[1].id});
    CHECK(in_state({ShownState::kWaiting}).empty());
    CHECK(in_state({ShownState::kPending}) == std::vector<std::string>{alerts[0].id});
    CHECK(in_state({ShownState::kExpired}) == std::vector<std::string>{alerts[2].id});
    CHECK(in_state({ShownState::kPaused}) == std::vector<std::string>{alerts[6].id});
    CHECK(in_state({ShownState::kActive}) == std::vector<std::string>{alerts[7].id});
    // The filter's rule and the shown state agree.
    const auto all = store.alerts.List({user, "", {}}, std::nullopt, now, 100);
    REQUIRE(all.ok());
    for (const ShownAlert& view : *all) {
      const std::vector<std::string> same = in_state({StateOf(view, now)});
      CHECK(std::count(same.begin(), same.end(), view.alert.id) == 1);
    }

    std::vector<std::string> paged;
    std::optional<ListPlace> after;
    for (int page = 0; page < 4; ++page) {
      const auto views = store.alerts.List({user, "", {}}, after, now, 2);
      REQUIRE(views.ok());
      REQUIRE(views->size() == 2);
      for (const ShownAlert& view : *views) paged.push_back(view.alert.id);
      after = ListPlace{views->back().alert.create_time_us, views->back().alert.id};
    }
    CHECK(paged == in_state({}));
    CHECK(store.alerts.List({user, "", {}}, after, now, 2)->empty());
    // Everybody's, of one symbol.
    CHECK(IdsOf(*store.alerts.List({std::nullopt, other_symbol, {}}, std::nullopt, now, 10)) ==
          std::vector<std::string>{alerts[7].id});
  });
}

TEST_CASE("an alert expires by the events of its symbol too") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    StoredAlert alert = NewAlert(user, NewSymbol());
    alert.record.definition.expire_time_us = kNow + 10;
    REQUIRE(store.Create(user, {alert}, kQuota, kNow).ok());
    CHECK(store.alerts.List({user, "", {ShownState::kExpired}}, std::nullopt, kNow, 10)->empty());
    REQUIRE(ApplyEvents(store.events, {{}, {}, {{alert.symbol, false, false, kNow + 10, 0, 1}}}, kNow).ok());
    CHECK(store.alerts.List({user, "", {ShownState::kExpired}}, std::nullopt, kNow, 10)->size() == 1);
    CHECK(StateOf(**store.alerts.Find(user, alert.id), kNow) == ShownState::kExpired);
  });
}

TEST_CASE("triggers are listed newest first, of one alert or of all of a user's") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const StoredAlert a = NewAlert(user, NewSymbol());
    const StoredAlert b = NewAlert(user, NewSymbol());
    REQUIRE(store.Create(user, {a, b}, kQuota, kNow).ok());
    for (int64_t i = 1; i <= 4; ++i) {
      REQUIRE(
          ApplyEvents(store.events, {{}, {TriggerOf(i % 2 == 0 ? b : a, (i + 1) / 2, 1, false)}, {}}, kNow + i).ok());
    }
    const auto own = store.alerts.ListTriggers({user, a.id}, std::nullopt, 10);
    REQUIRE(own.ok());
    REQUIRE(own->size() == 2);
    CHECK(own->at(0).number == 2);
    CHECK(own->at(1).number == 1);
    CHECK(store.alerts.ListTriggers({user, a.id}, TriggerPlace{own->at(0).create_time_us, a.id, 2}, 10)->size() == 1);
    std::vector<TriggerId> seen;
    std::optional<TriggerPlace> after;
    for (;;) {
      const auto page = store.alerts.ListTriggers({user, std::nullopt}, after, 1);
      REQUIRE(page.ok());
      if (page->empty()) break;
      seen.push_back({page->front().alert_id, page->front().number});
      after = TriggerPlace{page->front().create_time_us, page->front().alert_id, page->front().number};
    }
    CHECK(seen == std::vector<TriggerId>{{b.id, 2}, {a.id, 2}, {b.id, 1}, {a.id, 1}});
    CHECK(store.alerts.ListTriggers({NewId(), a.id}, std::nullopt, 10)->empty());
  });
}

TEST_CASE("a deleted user's alerts go, piece by piece, and no new one comes") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const std::string symbol = NewSymbol();
    REQUIRE(store.Create(user, {NewAlert(user, symbol), NewAlert(user, symbol), NewAlert(user, symbol)}, kQuota, kNow)
                .ok());
    const auto first = store.DeleteUser(user, kNow, 2);
    REQUIRE(first.ok());
    REQUIRE(first->size() == 2);
    for (const StoredAlert& alert : *first) {
      CHECK(alert.record.deleted);
      CHECK(alert.record.revision == 2);
    }
    CHECK(store.DeleteUser(user, kNow, 2)->size() == 1);
    CHECK(store.DeleteUser(user, kNow, 2)->empty());
    CHECK(*store.alerts.Count(symbol) == 0);
    const absl::Status refused = store.Create(user, {NewAlert(user, symbol)}, kQuota, kNow);
    CHECK(refused.code() == absl::StatusCode::kNotFound);
    CHECK(base::ReasonOf(refused) == kReasonUserNotFound);
    // A user that never had an alert is remembered too.
    const std::string stranger = NewId();
    CHECK(store.DeleteUser(stranger, kNow, 2)->empty());
    CHECK(!store.Create(stranger, {NewAlert(stranger, symbol)}, kQuota, kNow).ok());
  });
}

TEST_CASE("whoever creates while the user is being deleted leaves no alert behind") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const std::string symbol = NewSymbol();
    std::vector<std::thread> callers;
    callers.reserve(6);
    for (int i = 0; i < 6; ++i) {
      callers.emplace_back([&] {
        for (int n = 0; n < 10; ++n) (void)store.Create(user, {NewAlert(user, symbol)}, kQuota, kNow);
      });
    }
    size_t last = 0;
    do {
      const auto gone = store.DeleteUser(user, kNow, 10);
      last = gone.ok() ? gone->size() : 10;
    } while (last == 10);
    for (std::thread& caller : callers) caller.join();
    CHECK(*store.alerts.Count(symbol) == 0);
  });
}

TEST_CASE("changes are opened anew for a resync, page by page") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    const std::string symbol = NewSymbol();
    std::vector<StoredAlert> alerts = {NewAlert(user, symbol), NewAlert(user, symbol), NewAlert(user, symbol)};
    REQUIRE(store.Create(user, alerts, kQuota, kNow).ok());
    std::vector<std::string> ids;
    EventBatch batch;
    for (const StoredAlert& alert : alerts) {
      ids.push_back(alert.id);
      batch.confirmations.push_back({alert.id, 1});
    }
    REQUIRE(ApplyEvents(store.events, batch, kNow).ok());
    CHECK(ClaimOf(store, ids, kNow + 1000 * kSecond).empty());
    const auto first = store.outboxes.ReopenChanges(symbol, "", 2, kNow);
    REQUIRE(first.ok());
    CHECK(first->count == 2);
    REQUIRE(!first->last_alert_id.empty());
    const auto second = store.outboxes.ReopenChanges(symbol, first->last_alert_id, 2, kNow);
    CHECK(second->count == 1);
    CHECK(second->last_alert_id.empty());
    CHECK(ClaimOf(store, ids, kNow).size() == 3);
    REQUIRE(ApplyEvents(store.events, batch, kNow).ok());
    CHECK(ClaimOf(store, ids, kNow + 1000 * kSecond).empty());
  });
}

TEST_CASE("old tombstones are forgotten once the log knows of them") {
  ForEachStore([](Stores& store) {
    const std::string user = NewId();
    StoredAlert alert = NewAlert(user, NewSymbol());
    alert.request_id = "once";
    REQUIRE(store.Create(user, {alert}, kQuota, kNow).ok());
    REQUIRE(ApplyEvents(store.events, {{}, {TriggerOf(alert, 1, 1, false)}, {}}, kNow).ok());
    REQUIRE(store.Change(user, alert.id, kNow, DeleteNow).ok());
    REQUIRE(store.outboxes.Purge(kNow + kSecond, 100'000).ok());
    CHECK(store.alerts.FindByRequestIds(user, {"once"})->size() == 1);
    REQUIRE(ApplyEvents(store.events, {{{alert.id, 2}}, {}, {}}, kNow).ok());
    REQUIRE(store.outboxes.Purge(kNow - 10 * kSecond, 100'000).ok());
    CHECK(store.alerts.FindByRequestIds(user, {"once"})->size() == 1);
    // The tombstone carries the time at which its mutation was made.
    REQUIRE(store.outboxes.Purge(kNow + kSecond, 100'000).ok());
    CHECK(store.alerts.FindByRequestIds(user, {"once"})->empty());
    CHECK(ApplyEvents(store.events, {{}, {TriggerOf(alert, 2, 1)}, {}}, kNow)->triggers_unknown == 1);
  });
}

TEST_CASE("a store that answers is ready and can tell its backlog") {
  ForEachStore([](Stores& store) {
    CHECK(store.alerts.Ready().ok());
    const std::string user = NewId();
    REQUIRE(store.Create(user, {NewAlert(user, NewSymbol())}, kQuota, kNow).ok());
    const auto backlog = store.outboxes.MeasureBacklog();
    REQUIRE(backlog.ok());
    CHECK(backlog->open_changes >= 1);
    CHECK(backlog->oldest_open_change_us > 0);
  });
}

}  // namespace stockalert::alert
