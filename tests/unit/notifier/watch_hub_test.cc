#include "services/notifier/watch_hub.h"

#include <catch2/catch.hpp>
#include <condition_variable>
#include <deque>
#include <functional>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/bounded_executor.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/postgres/store_failure.h"
#include "tests/support/notification_store/in_memory_notification_store.h"

namespace stockalert::notifier {
namespace {

constexpr char kUser[] = "11111111-1111-4111-8111-111111111111";
constexpr char kOther[] = "22222222-2222-4222-8222-222222222222";

class Client final : public WatchClient {
 public:
  bool HasRoom() override {
    std::lock_guard lock(mutex_);
    return room_ > 0;
  }
  // What happens while a page is on its way.
  std::function<void()> meanwhile;
  bool Send(const std::vector<StoredNotification>& notifications) override {
    if (meanwhile) meanwhile();
    std::lock_guard lock(mutex_);
    if (ended_) return false;
    --room_;
    pages_.push_back(notifications.size());
    for (const StoredNotification& notification : notifications) seen_.push_back(notification.sequence);
    changed_.notify_all();
    return true;
  }
  void SetRoom(int room) {
    std::lock_guard lock(mutex_);
    room_ = room;
  }
  void End() {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  bool AwaitCount(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return seen_.size() >= count; });
  }
  std::vector<int64_t> seen() {
    std::lock_guard lock(mutex_);
    return seen_;
  }
  std::vector<size_t> pages() {
    std::lock_guard lock(mutex_);
    return pages_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int room_ = 1'000'000;
  bool ended_ = false;
  std::vector<int64_t> seen_;
  std::vector<size_t> pages_;
};

// Runs work when the test says so.
struct Queue {
  Submit submit() {
    return [this](std::function<void()> run, std::function<void()> drop) {
      if (refuse) return false;
      work.push_back({std::move(run), std::move(drop)});
      return true;
    };
  }
  void RunOne() {
    const auto next = std::move(work.front());
    work.pop_front();
    next.first();
  }
  void RunAll() {
    while (!work.empty()) RunOne();
  }
  bool refuse = false;
  std::deque<std::pair<std::function<void()>, std::function<void()>>> work;
};

void Store(NotificationStore& store, const std::string& user, int count) {
  base::SystemIdSource ids;
  IntakeBatch batch;
  for (int i = 0; i < count; ++i) {
    NewNotification notification;
    notification.id = ids.NewUuid();
    notification.user_id = user;
    notification.alert_id = ids.NewUuid();
    notification.trigger_number = 1;
    batch.notifications.push_back(notification);
  }
  REQUIRE(store.StoreBatch(batch, 1).ok());
}

std::vector<int64_t> From(int64_t first, int64_t last) {
  std::vector<int64_t> numbers;
  for (int64_t i = first; i <= last; ++i) numbers.push_back(i);
  return numbers;
}

TEST_CASE("a woken stream sends everything after its position, page by page") {
  testing::InMemoryNotificationStore store;
  Store(store, kUser, 250);
  Queue queue;
  const auto client = std::make_shared<Client>();
  const auto watch = std::make_shared<UserWatch>(kUser, 10, client, store, queue.submit());
  watch->Wake();
  watch->Wake();
  CHECK(queue.work.size() == 1);
  queue.RunAll();
  CHECK(client->seen() == From(11, 250));
  CHECK(client->pages() == std::vector<size_t>{100, 100, 40});
  CHECK(watch->position() == 250);
  watch->Wake();
  queue.RunAll();
  CHECK(client->seen().size() == 240);
}

TEST_CASE("notifications stored while a page is sent are sent without another wake-up") {
  testing::InMemoryNotificationStore store;
  Store(store, kUser, 1);
  Queue queue;
  const auto client = std::make_shared<Client>();
  const auto watch = std::make_shared<UserWatch>(kUser, 0, client, store, queue.submit());
  bool first = true;
  client->meanwhile = [&] {
    if (!std::exchange(first, false)) return;
    Store(store, kUser, 1);
    watch->Wake();
  };
  watch->Wake();
  queue.RunAll();
  CHECK(client->seen() == From(1, 2));
}

TEST_CASE("a stream that always has more lets others run in between") {
  testing::InMemoryNotificationStore store;
  Store(store, kUser, 2000);
  Queue queue;
  const auto client = std::make_shared<Client>();
  const auto watch = std::make_shared<UserWatch>(kUser, 0, client, store, queue.submit());
  watch->Wake();
  queue.RunOne();
  CHECK(client->pages().size() == 8);
  CHECK(queue.work.size() == 1);
  queue.RunAll();
  CHECK(client->seen() == From(1, 2000));
}

TEST_CASE("without room nothing is read; with room the stream continues at its position") {
  testing::InMemoryNotificationStore store;
  Store(store, kUser, 150);
  Queue queue;
  const auto client = std::make_shared<Client>();
  const auto watch = std::make_shared<UserWatch>(kUser, 0, client, store, queue.submit());
  client->SetRoom(1);
  watch->Wake();
  queue.RunAll();
  CHECK(client->seen() == From(1, 100));
  watch->Wake();
  queue.RunAll();
  CHECK(client->seen().size() == 100);
  client->SetRoom(1);
  watch->Wake();
  queue.RunAll();
  CHECK(client->seen() == From(1, 150));
}

TEST_CASE("after a failed read and a refused or dropped task the next wake-up sends everything") {
  testing::InMemoryNotificationStore store;
  Store(store, kUser, 3);
  Queue queue;
  const auto client = std::make_shared<Client>();
  const auto watch = std::make_shared<UserWatch>(kUser, 0, client, store, queue.submit());
  store.Fail(base::Unavailable(postgres::kReasonDatabaseUnavailable, "down"));
  watch->Wake();
  queue.RunAll();
  CHECK(client->seen().empty());
  store.Fail(absl::OkStatus());
  queue.refuse = true;
  watch->Wake();
  queue.refuse = false;
  watch->Wake();
  REQUIRE(queue.work.size() == 1);
  queue.work.front().second();
  queue.work.clear();
  watch->Wake();
  queue.RunAll();
  CHECK(client->seen() == From(1, 3));
}

TEST_CASE("an ended stream keeps its position") {
  testing::InMemoryNotificationStore store;
  Store(store, kUser, 3);
  Queue queue;
  const auto client = std::make_shared<Client>();
  const auto watch = std::make_shared<UserWatch>(kUser, 0, client, store, queue.submit());
  client->End();
  watch->Wake();
  queue.RunAll();
  CHECK(watch->position() == 0);
  CHECK(queue.work.empty());
}

TEST_CASE("a hub without streams beats its heartbeat") {
  testing::InMemoryNotificationStore store;
  const WatchHub hub(store, absl::Milliseconds(1));
  // Time that passed since its last turn; it shrinks with each turn only.
  const auto age = [] {
    const auto ages = process::Liveness::OfProcess().Ages();
    const auto found = ages.find("notifier_watch_poll");
    return found == ages.end() ? absl::ZeroDuration() : found->second.age;
  };
  const absl::Time give_up = absl::Now() + absl::Seconds(20);
  bool turned = false;
  for (absl::Duration last = age(); !turned && absl::Now() < give_up;) {
    const absl::Duration now = age();
    turned = now < last;
    last = now;
    absl::SleepFor(absl::Milliseconds(1));
  }
  CHECK(turned);
}

TEST_CASE("the hub wakes the streams of given users, and its poll finds what other instances stored") {
  testing::InMemoryNotificationStore store;
  base::BoundedExecutor executor("watch", 2, 100);
  const Submit submit = [&](std::function<void()> run, std::function<void()> drop) {
    return executor.TrySubmit(std::move(run), std::move(drop));
  };
  const auto mine = std::make_shared<Client>();
  const auto again = std::make_shared<Client>();
  const auto others = std::make_shared<Client>();
  {
    WatchHub hub(store, absl::Milliseconds(5));
    const auto first = std::make_shared<UserWatch>(kUser, 0, mine, store, submit);
    const auto second = std::make_shared<UserWatch>(kUser, 0, again, store, submit);
    const auto third = std::make_shared<UserWatch>(kOther, 0, others, store, submit);
    hub.Add(first);
    hub.Add(second);
    hub.Add(third);
    for (int round = 1; round <= 20; ++round) {
      Store(store, kUser, 10);
      if (round % 2 == 0) hub.Wake({kUser});
      REQUIRE(mine->AwaitCount(static_cast<size_t>(round) * 10));
    }
    REQUIRE(again->AwaitCount(200));
    CHECK(others->seen().empty());
    hub.Remove(second);
    hub.Remove(second);
    Store(store, kUser, 1);
    REQUIRE(mine->AwaitCount(201));
    hub.Stop();
  }
  CHECK(executor.Stop(absl::Now() + absl::Seconds(10)));
  CHECK(mine->seen() == From(1, 201));
  // What was on its way to a stream when it was removed may still reach it, in order; more does not.
  const std::vector<int64_t> seen = again->seen();
  CHECK((seen == From(1, 200) || seen == From(1, 201)));
}

TEST_CASE("a stream passes by what is not for streams, once it is known to be there") {
  testing::InMemoryNotificationStore store;
  Store(store, kUser, 2);
  IntakeBatch batch;
  batch.notifications.emplace_back();
  batch.notifications[0].kind = Kind::kDigest;
  batch.notifications[0].id = "d";
  batch.notifications[0].user_id = kUser;
  REQUIRE(store.StoreBatch(batch, 1).ok());
  Queue queue;
  const auto client = std::make_shared<Client>();
  const auto watch = std::make_shared<UserWatch>(kUser, 0, client, store, queue.submit());
  watch->Wake();
  queue.RunAll();
  CHECK(client->seen() == From(1, 2));
  CHECK(watch->position() == 2);
  watch->Wake(3);
  queue.RunAll();
  CHECK(watch->position() == 3);
  Store(store, kUser, 1);
  watch->Wake(4);
  queue.RunAll();
  CHECK(client->seen() == std::vector<int64_t>{1, 2, 4});
}

}  // namespace
}  // namespace stockalert::notifier
