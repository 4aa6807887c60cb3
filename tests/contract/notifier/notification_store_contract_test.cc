// What a NotificationStore promises, held against the in-memory store and, where STOCKALERT_TEST_POSTGRES names a
// server, against Postgres.
#include <soci/soci.h>
#include <catch2/catch.hpp>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <thread>

#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/postgres/transaction.h"
#include "services/notifier/postgres_notification_store.h"
#include "tests/support/notification_store/in_memory_notification_store.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::notifier {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;

void ForEachStore(const std::function<void(NotificationStore&)>& test) {
  SECTION("in memory") {
    testing::InMemoryNotificationStore store;
    test(store);
  }
  if (std::getenv("STOCKALERT_TEST_POSTGRES") == nullptr) {
    std::cerr << "STOCKALERT_TEST_POSTGRES is not set: only the in-memory store is held to the contract\n";
    return;
  }
  SECTION("postgres") {
    const testing::TestDatabase database;
    database.Migrate("notifier");
    const auto pool = database.NewPool(8);
    PostgresNotificationStore store(*pool);
    test(store);
  }
}

std::string NewId() { return base::SystemIdSource().NewUuid(); }

NewNotification Make(const std::string& user_id, const std::string& alert_id, int64_t number) {
  NewNotification notification;
  notification.id = NewId();
  notification.user_id = user_id;
  notification.alert_id = alert_id;
  notification.trigger_number = number;
  notification.key = TriggerKey(notification);
  notification.symbol = "AAPL";
  notification.price_micros = 150'250'000;
  notification.event_time_us = kNow - 5;
  notification.price_before_micros = 149'990'000;
  notification.reference_micros = 150'000'000;
  notification.summary = "AAPL at or above 150";
  notification.note = "sell \"half\", {now} \\ today's";
  notification.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  return notification;
}

std::vector<int64_t> Sequences(const std::vector<StoredNotification>& rows) {
  std::vector<int64_t> sequences;
  sequences.reserve(rows.size());
  for (const StoredNotification& row : rows) sequences.push_back(row.sequence);
  return sequences;
}

TEST_CASE("stored notifications are listed with every field, present or absent") {
  ForEachStore([](NotificationStore& store) {
    const std::string user = NewId();
    const std::string alert = NewId();
    NewNotification bare = Make(user, alert, 2);
    bare.price_before_micros.reset();
    bare.reference_micros.reset();
    bare.late = true;
    bare.note.clear();
    bare.summary.clear();
    bare.traceparent.clear();
    bare.event_time_us = 0;
    const NewNotification full = Make(user, alert, 1);
    const auto taken = store.StoreBatch({{full, bare}, {}}, kNow);
    REQUIRE(taken.ok());
    REQUIRE(taken->stored.size() == 2);
    const auto rows = store.ListAfter(user, 0, 10);
    REQUIRE(rows.ok());
    REQUIRE(*rows == taken->stored);
    CHECK(static_cast<const NewNotification&>((*rows)[0]) == full);
    CHECK(static_cast<const NewNotification&>((*rows)[1]) == bare);
    CHECK(Sequences(*rows) == std::vector<int64_t>{1, 2});
    CHECK((*rows)[0].create_time_us == kNow);
    CHECK(!(*rows)[0].acknowledge_time_us);
    CHECK(store.StoreBatch({}, kNow).ok());
  });
}

NewNotification MakeSplit(const std::string& user_id, int64_t number) {
  NewNotification notification;
  notification.kind = Kind::kSplit;
  notification.id = NewId();
  notification.user_id = user_id;
  notification.symbol = "AAPL";
  notification.key = SplitKey(notification.symbol, number);
  notification.event_time_us = kNow - 5;
  notification.split = message::SplitNews{number, {3, 2}, kNow - 5, 7};
  notification.summary = "AAPL split 3-for-2";
  return notification;
}

TEST_CASE("each split is stored once a user, and listed with what it is") {
  ForEachStore([](NotificationStore& store) {
    const std::string user = NewId(), other = NewId(), alert = NewId();
    const NewNotification first = MakeSplit(user, 1);
    const auto taken =
        store.StoreBatch({{first, MakeSplit(user, 1), MakeSplit(other, 1), Make(user, alert, 1)}, {}}, kNow);
    REQUIRE(taken.ok());
    CHECK(taken->stored.size() == 3);
    CHECK(taken->repeated == 1);
    const auto again = store.StoreBatch({{MakeSplit(user, 1), MakeSplit(user, 2)}, {}}, kNow + 1);
    REQUIRE(again.ok());
    CHECK(again->repeated == 1);
    CHECK(Sequences(again->stored) == std::vector<int64_t>{3});
    const auto rows = store.ListAfter(user, 0, 10);
    REQUIRE(rows.ok());
    REQUIRE(Sequences(*rows) == std::vector<int64_t>{1, 2, 3});
    CHECK(static_cast<const NewNotification&>((*rows)[0]) == first);
    CHECK(!(*rows)[1].split);
    CHECK(store.ListNewest(user, {.symbol = "AAPL"}, kBeforeAny, 10)->size() == 3);
    CHECK(store.ListNewest(user, {.alert_id = alert}, kBeforeAny, 10)->size() == 1);
    CHECK(store.StoreBatch({{}, {{user, kNow}}}, kNow)->deleted == 3);
    CHECK(store.StoreBatch({{MakeSplit(user, 3)}, {}}, kNow)->of_deleted_users == 1);
  });
}

TEST_CASE("a trigger stored again makes no second notification and no gap") {
  ForEachStore([](NotificationStore& store) {
    const std::string user = NewId();
    const std::string alert = NewId();
    REQUIRE(store.StoreBatch({{Make(user, alert, 1), Make(user, alert, 1), Make(user, alert, 2)}, {}}, kNow)
                ->stored.size() == 2);
    const auto again =
        store.StoreBatch({{Make(user, alert, 2), Make(user, alert, 1), Make(user, alert, 3)}, {}}, kNow + 1);
    REQUIRE(again.ok());
    CHECK(again->repeated == 2);
    CHECK(Sequences(again->stored) == std::vector<int64_t>{3});
    CHECK(Sequences(*store.ListAfter(user, 0, 10)) == std::vector<int64_t>{1, 2, 3});
  });
}

TEST_CASE("each user has a sequence of their own, and pages continue after a number of it") {
  ForEachStore([](NotificationStore& store) {
    const std::string one = NewId();
    const std::string two = NewId();
    const std::string alert_one = NewId();
    const std::string alert_two = NewId();
    IntakeBatch batch;
    for (int64_t number = 1; number <= 5; ++number) {
      batch.notifications.push_back(Make(one, alert_one, number));
      batch.notifications.push_back(Make(two, alert_two, number));
    }
    REQUIRE(store.StoreBatch(batch, kNow).ok());
    CHECK(Sequences(*store.ListAfter(one, 0, 3)) == std::vector<int64_t>{1, 2, 3});
    CHECK(Sequences(*store.ListAfter(one, 3, 3)) == std::vector<int64_t>{4, 5});
    CHECK(store.ListAfter(one, 5, 3)->empty());
    const std::string nobody = NewId();
    const auto last = store.LastSequences({one, two, nobody});
    REQUIRE(last.ok());
    CHECK(*last == std::map<std::string, int64_t>{{one, 5}, {two, 5}, {nobody, 0}});
    CHECK(store.LastSequences({})->empty());
  });
}

TEST_CASE("lists are newest first, filtered, and continue below a sequence number") {
  ForEachStore([](NotificationStore& store) {
    const std::string user = NewId();
    const std::string alert = NewId();
    const std::string other = NewId();
    IntakeBatch batch;
    for (int64_t number = 1; number <= 3; ++number) {
      batch.notifications.push_back(Make(user, alert, number));
      batch.notifications.push_back(Make(user, other, number));
      batch.notifications.back().symbol = "MSFT";
    }
    REQUIRE(store.StoreBatch(batch, kNow).ok());
    CHECK(Sequences(*store.ListNewest(user, {}, kBeforeAny, 4)) == std::vector<int64_t>{6, 5, 4, 3});
    CHECK(Sequences(*store.ListNewest(user, {}, 3, 4)) == std::vector<int64_t>{2, 1});
    CHECK(Sequences(*store.ListNewest(user, {.alert_id = alert}, kBeforeAny, 9)) == std::vector<int64_t>{5, 3, 1});
    CHECK(Sequences(*store.ListNewest(user, {.symbol = "MSFT"}, 6, 9)) == std::vector<int64_t>{4, 2});
    CHECK(store.ListNewest(user, {.alert_id = alert, .symbol = "MSFT"}, kBeforeAny, 9)->empty());
    const auto rows = store.ListAfter(user, 4, 1);
    REQUIRE(store.Acknowledge(user, rows->front().id, kNow + 7).ok());
    CHECK(Sequences(*store.ListNewest(user, {.unacknowledged_only = true, .alert_id = alert}, kBeforeAny, 9)) ==
          std::vector<int64_t>{3, 1});
    CHECK(store.ListNewest(NewId(), {}, kBeforeAny, 9)->empty());
  });
}

TEST_CASE("an acknowledgement keeps its first time, and only the user can make it") {
  ForEachStore([](NotificationStore& store) {
    const std::string user = NewId();
    const NewNotification notification = Make(user, NewId(), 1);
    REQUIRE(store.StoreBatch({{notification}, {}}, kNow).ok());
    CHECK(base::ReasonOf(store.Acknowledge(NewId(), notification.id, kNow).status()) == kReasonNotificationNotFound);
    CHECK(base::ReasonOf(store.Acknowledge(user, NewId(), kNow).status()) == kReasonNotificationNotFound);
    CHECK(store.Acknowledge(user, notification.id, kNow + 1)->acknowledge_time_us == kNow + 1);
    CHECK(store.Acknowledge(user, notification.id, kNow + 2)->acknowledge_time_us == kNow + 1);
    CHECK(store.ListAfter(user, 0, 1)->front().acknowledge_time_us == kNow + 1);
  });
}

TEST_CASE("a deleted user's notifications are deleted, and later triggers are dropped for ever") {
  ForEachStore([](NotificationStore& store) {
    const std::string user = NewId();
    const std::string other = NewId();
    const std::string alert = NewId();
    REQUIRE(store.StoreBatch({{Make(user, alert, 1), Make(user, alert, 2), Make(other, NewId(), 1)}, {}}, kNow).ok());
    const auto gone = store.StoreBatch({{Make(user, alert, 3)}, {{user, kNow}, {NewId(), kNow}}}, kNow);
    REQUIRE(gone.ok());
    CHECK(gone->deleted == 2);
    CHECK(gone->of_deleted_users == 1);
    CHECK(gone->stored.empty());
    CHECK(store.ListAfter(user, 0, 9)->empty());
    CHECK(store.ListAfter(other, 0, 9)->size() == 1);
    CHECK(store.StoreBatch({{Make(user, alert, 1)}, {{user, kNow + 1}}}, kNow)->of_deleted_users == 1);
    CHECK(store.StoreBatch({{Make(user, NewId(), 1)}, {}}, kNow)->of_deleted_users == 1);
    CHECK(store.ListAfter(user, 0, 9)->empty());
  });
}

TEST_CASE("throttled triggers have rows of their own, followed by one with their number") {
  ForEachStore([](NotificationStore& store) {
    const std::string user = NewId();
    const std::string other = NewId();
    const std::string alert = NewId();
    const auto throttled = [&](int64_t number) {
      NewNotification notification = Make(user, alert, number);
      notification.throttled = true;
      return notification;
    };
    const std::string first_fold = NewId();
    const auto taken =
        store.StoreBatch({{Make(user, alert, 1), throttled(2), throttled(3), Make(other, NewId(), 1), throttled(3)},
                          {},
                          {{user, first_fold}}},
                         kNow);
    REQUIRE(taken.ok());
    CHECK(taken->repeated == 1);
    CHECK(taken->stored.size() == 5);
    // Again, with one that is new: it alone is counted.
    NewNotification elsewhere = throttled(5);
    elsewhere.symbol = "MSFT";
    REQUIRE(store.StoreBatch({{throttled(2), throttled(3), throttled(4), elsewhere}, {}, {{user, NewId()}}}, kNow + 1)
                .ok());
    CHECK(store.StoreBatch({{throttled(2), throttled(4)}, {}, {{user, NewId()}}}, kNow + 1)->stored.empty());

    const auto streamed = store.ListAfter(user, 0, 10);
    REQUIRE(streamed.ok());
    REQUIRE(streamed->size() == 3);
    CHECK(Sequences(*streamed) == std::vector<int64_t>{1, 4, 7});
    const StoredNotification& fold = (*streamed)[1];
    CHECK(fold.id == first_fold);
    CHECK(fold.kind == Kind::kThrottled);
    CHECK(fold.folded_count == 2);
    CHECK(fold.key == alert + "/3");
    CHECK(fold.alert_id.empty());
    CHECK(fold.trigger_number == 0);
    CHECK(fold.symbol == "AAPL");
    CHECK(fold.summary == "AAPL: 2 triggers throttled");
    CHECK(!fold.throttled);
    CHECK((*streamed)[2].folded_count == 2);
    CHECK((*streamed)[2].symbol.empty());
    // A user's newest is never a throttled one: a stream that has it has all.
    CHECK(store.LastSequences({user})->at(user) == 7);
    CHECK(store.ListAfter(user, 7, 10)->empty());

    const auto listed = store.ListNewest(user, {}, kBeforeAny, 100);
    CHECK(Sequences(*listed) == std::vector<int64_t>{7, 6, 5, 4, 3, 2, 1});
    CHECK((*listed)[4].throttled);
    CHECK((*listed)[4].kind == Kind::kTrigger);
    int64_t marked = 0;
    int64_t folded = 0;
    for (const StoredNotification& row : *listed) {
      marked += row.throttled ? 1 : 0;
      folded += row.folded_count;
    }
    CHECK(marked == 4);
    CHECK(folded == marked);
    CHECK(store.ListNewest(user, {.alert_id = alert}, kBeforeAny, 100)->size() == 5);
    CHECK(store.Acknowledge(user, fold.id, kNow + 2)->folded_count == 2);
  });
}

TEST_CASE("whether an alert is critical is kept with its notification, and with that which stands for throttled ones") {
  ForEachStore([](NotificationStore& store) {
    const std::string user = NewId(), alert = NewId();
    NewNotification critical = Make(user, alert, 1), throttled = Make(user, alert, 2);
    critical.routing.critical = throttled.routing.critical = throttled.throttled = true;
    const auto taken = store.StoreBatch({{critical, throttled, Make(user, alert, 3)}, {}, {{user, NewId()}}}, kNow);
    REQUIRE(taken.ok());
    const auto rows = store.ListNewest(user, {}, kBeforeAny, 10);
    REQUIRE(rows.ok());
    std::map<int64_t, bool> shown;
    for (const StoredNotification& row : *rows) shown[row.sequence] = row.routing.critical;
    CHECK(shown == std::map<int64_t, bool>{{1, true}, {2, true}, {3, false}, {4, true}});
  });
}

TEST_CASE("rows of the previous version are read as triggers") {
  if (std::getenv("STOCKALERT_TEST_POSTGRES") == nullptr) {
    std::cerr << "STOCKALERT_TEST_POSTGRES is not set: what the version before stored is not read\n";
    return;
  }
  const testing::TestDatabase database;
  database.Migrate("notifier");
  const auto pool = database.NewPool(2);
  PostgresNotificationStore store(*pool);
  const std::string user = NewId();
  const std::string alert = NewId();
  const std::string id = NewId();
  REQUIRE(postgres::Transact(*pool, "test.insert", postgres::Idempotency::kNotIdempotent,
                             [&](postgres::Connection& connection) -> absl::Status {
                               connection.sql() << "INSERT INTO stockalert_notifier.recipients (user_id, "
                                                   "last_sequence) VALUES (CAST(:user AS uuid), 1)",
                                   soci::use(user);
                               connection.sql()
                                   << "INSERT INTO stockalert_notifier.notifications (id, user_id, sequence, alert_id, "
                                      "trigger_number, symbol,"
                                      "  price_micros, event_time_us, late, summary, note, traceparent, create_time_us)"
                                      " VALUES (CAST(:id AS uuid), CAST(:user AS uuid), 1, CAST(:alert AS uuid), 1, "
                                      "'AAPL', 1, 1, false, '', '', '', 1)",
                                   soci::use(id, "id"), soci::use(user, "user"), soci::use(alert, "alert");
                               return absl::OkStatus();
                             })
              .ok());
  const auto rows = store.ListAfter(user, 0, 10);
  REQUIRE(rows.ok());
  REQUIRE(rows->size() == 1);
  CHECK(rows->front().kind == Kind::kTrigger);
  CHECK(rows->front().key == alert + "/1");
  CHECK(!rows->front().throttled);
  CHECK(store.StoreBatch({{Make(user, alert, 1)}, {}}, kNow)->repeated == 1);
}

TEST_CASE("several instances at once make each notification once, without gaps, visible in order") {
  ForEachStore([](NotificationStore& store) {
    constexpr int kThreads = 4;
    constexpr int64_t kEach = 40;
    const std::vector<std::string> users = {NewId(), NewId(), NewId()};
    const std::vector<std::string> alerts = {NewId(), NewId(), NewId()};
    std::vector<std::thread> threads;
    std::atomic<bool> failed{false};
    std::atomic<bool> done{false};
    // Reads on from where it is: whatever it passes must never come below it.
    std::vector<int64_t> seen;
    std::thread reader([&] {
      for (bool last = false; !last;) {
        last = done;
        const auto rows = store.ListAfter(users[0], seen.empty() ? 0 : seen.back(), 7);
        if (!rows.ok()) {
          failed = true;
          return;
        }
        for (const StoredNotification& row : *rows) seen.push_back(row.sequence);
        if (!rows->empty()) last = false;
      }
    });
    threads.reserve(threads.size() + kThreads);
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        for (int64_t number = 1; number <= kEach; ++number) {
          IntakeBatch batch;
          // The same triggers from every thread, and some of its own.
          for (size_t i = 0; i < users.size(); ++i) batch.notifications.push_back(Make(users[i], alerts[i], number));
          batch.notifications.push_back(Make(users[0], alerts[0], 1000 + thread * kEach + number));
          if (!store.StoreBatch(batch, kNow).ok()) failed = true;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    done = true;
    reader.join();
    REQUIRE(!failed);
    const auto first = store.ListAfter(users[0], 0, 10'000);
    REQUIRE(first->size() == kEach + kThreads * kEach);
    for (size_t i = 0; i < first->size(); ++i) REQUIRE((*first)[i].sequence == static_cast<int64_t>(i) + 1);
    CHECK(seen == Sequences(*first));
    CHECK(store.ListAfter(users[2], 0, 10'000)->size() == kEach);
  });
}

}  // namespace
}  // namespace stockalert::notifier
