// What a TickerStore promises, held against the in-memory store and, where STOCKALERT_TEST_POSTGRES names a server,
// against Postgres.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <set>
#include <thread>

#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/ticker/postgres_ticker_store.h"
#include "tests/support/test_environment/test_environment.h"
#include "tests/support/ticker_store/in_memory_ticker_store.h"

namespace stockalert::ticker {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;
constexpr int64_t kSecond = 1'000'000;

void ForEachStore(const std::function<void(TickerStore&)>& test) {
  SECTION("in memory") {
    testing::InMemoryTickerStore store;
    test(store);
  }
  if (std::getenv("STOCKALERT_TEST_POSTGRES") == nullptr) {
    std::cerr << "STOCKALERT_TEST_POSTGRES is not set: only the in-memory store is held to the contract\n";
    return;
  }
  SECTION("postgres") {
    const testing::TestDatabase database;
    database.Migrate("ticker");
    const auto pool = database.NewPool(8);
    PostgresTickerStore store(*pool);
    test(store);
  }
}

std::string NewToken() { return base::SystemIdSource().NewUuid(); }

std::vector<std::string> Symbols(const std::vector<TickerRow>& rows) {
  std::vector<std::string> symbols;
  symbols.reserve(rows.size());
  for (const TickerRow& row : rows) symbols.push_back(row.symbol);
  return symbols;
}

TEST_CASE("tickers are their first user's, and unused until they are seen in use") {
  ForEachStore([](TickerStore& store) {
    const std::string ann = NewToken();
    const std::string bob = NewToken();
    REQUIRE(store.Register({"A", "B"}, kNow, 0, ann).ok());
    REQUIRE(store.Register({"C"}, kNow + kSecond, 0, ann).ok());
    REQUIRE(store.Register({"B", "D"}, kNow, 0, bob).ok());
    REQUIRE(store.Register({"E"}, kNow, kNow + kSecond, "").ok());
    CHECK(*store.FindUnused(ann, 10) == std::vector<std::string>{"A", "B", "C"});
    CHECK(*store.FindUnused(ann, 2) == std::vector<std::string>{"A", "B"});
    CHECK(*store.FindUnused(bob, 10) == std::vector<std::string>{"D"});
    CHECK(*store.CountRegistered(ann, kNow - 1) == 3);
    CHECK(*store.CountRegistered(ann, kNow) == 1);
    REQUIRE(store.MarkUseChecked({"A", "D"}, true, kNow + 2 * kSecond).ok());
    REQUIRE(store.MarkUseChecked({"B", "nothing"}, false, kNow + 2 * kSecond).ok());
    CHECK(*store.FindUnused(ann, 10) == std::vector<std::string>{"B", "C"});
    CHECK(store.FindUnused(bob, 10)->empty());
    // Looked at again later, those longest ago first; held ones and new ones are let be.
    CHECK(*store.FindDueForUseCheck(kNow, kNow, 10) == std::vector<std::string>{});
    CHECK(*store.FindDueForUseCheck(kNow, kNow + kSecond, 10) == std::vector<std::string>{"E"});
    CHECK(*store.FindDueForUseCheck(kNow + kSecond, kNow + kSecond, 10) == std::vector<std::string>{"C", "E"});
    CHECK(*store.FindDueForUseCheck(kNow + 2 * kSecond, kNow + 2 * kSecond, 3) ==
          std::vector<std::string>{"C", "E", "A"});
    // In use once is in use once: not seen in use later changes nothing of that.
    REQUIRE(store.MarkUseChecked({"A"}, false, kNow + 3 * kSecond).ok());
    CHECK(*store.FindUnused(ann, 10) == std::vector<std::string>{"B", "C"});
  });
}

TEST_CASE("registering is idempotent and keeps the first time") {
  ForEachStore([](TickerStore& store) {
    const auto first = store.Register({"BRK.B", "AAPL"}, kNow, 0, "");
    REQUIRE(first.ok());
    CHECK(*first == std::vector<TickerRow>{{"AAPL", kNow}, {"BRK.B", kNow}});
    const auto again = store.Register({"AAPL", "MSFT"}, kNow + kSecond, 0, "");
    REQUIRE(again.ok());
    CHECK(*again == std::vector<TickerRow>{{"AAPL", kNow}, {"MSFT", kNow + kSecond}});
    const auto found = store.Find({"MSFT", "TSLA", "AAPL"});
    REQUIRE(found.ok());
    CHECK(Symbols(*found) == std::vector<std::string>{"AAPL", "MSFT"});
    CHECK(store.Find({})->empty());
  });
}

TEST_CASE("tickers are listed by symbol, from a place on, bytewise") {
  ForEachStore([](TickerStore& store) {
    REQUIRE(store.Register({"B", "A", "A.B", "A-B", "AB", "1"}, kNow, 0, "").ok());
    CHECK(Symbols(*store.List("", 100)) == std::vector<std::string>{"1", "A", "A-B", "A.B", "AB", "B"});
    CHECK(Symbols(*store.List("A", 2)) == std::vector<std::string>{"A-B", "A.B"});
    CHECK(store.List("B", 2)->empty());
  });
}

TEST_CASE("the version of the symbols rises with each change of the set, and only then") {
  ForEachStore([](TickerStore& store) {
    const auto empty = store.ListSymbols(0, "", 1000);
    REQUIRE(empty.ok());
    CHECK(!empty->unchanged);
    CHECK(empty->symbols.empty());
    CHECK(empty->version > 0);
    REQUIRE(store.Register({"AAPL", "MSFT"}, kNow, 0, "").ok());
    const auto two = store.ListSymbols(empty->version, "", 1000);
    CHECK(two->version > empty->version);
    CHECK(two->symbols == std::vector<std::string>{"AAPL", "MSFT"});
    REQUIRE(store.Register({"AAPL"}, kNow, kNow + kSecond, "").ok());
    const auto same = store.ListSymbols(two->version, "", 1000);
    CHECK(same->unchanged);
    CHECK(same->symbols.empty());
    const std::string token = NewToken();
    REQUIRE(store.MarkDeleting("MSFT", token, kNow, kNow + kSecond).ok());
    CHECK(store.ListSymbols(two->version, "", 1000)->unchanged);
    REQUIRE(*store.DeleteMarked("MSFT", token));
    const auto one = store.ListSymbols(two->version, "", 1000);
    CHECK(one->version > two->version);
    CHECK(one->symbols == std::vector<std::string>{"AAPL"});
  });
}

TEST_CASE("symbols are listed in pages, and counted") {
  ForEachStore([](TickerStore& store) {
    REQUIRE(store.Register({"B", "A", "A.B", "A-B", "AB", "1"}, kNow, 0, "").ok());
    const auto first = store.ListSymbols(0, "", 4);
    REQUIRE(first.ok());
    CHECK(first->symbols == std::vector<std::string>{"1", "A", "A-B", "A.B"});
    CHECK(first->more);
    // A later page is never unchanged.
    const auto second = store.ListSymbols(first->version, "A.B", 4);
    CHECK(second->symbols == std::vector<std::string>{"AB", "B"});
    CHECK_FALSE(second->more);
    CHECK_FALSE(second->unchanged);
    CHECK_FALSE(store.ListSymbols(0, "", 6)->more);
    CHECK(store.ListSymbols(0, "B", 6)->symbols.empty());
    CHECK(*store.CountTickers() == 6);
  });
}

TEST_CASE("only renewals of the highest epoch count, its release is seen, and only one publisher follows it") {
  ForEachStore([](TickerStore& store) {
    const int64_t first = *store.NextPublisherEpoch(0, 0);
    const auto renewed = store.RenewPublisher(first, false);
    REQUIRE(renewed.ok());
    CHECK(renewed->highest_epoch == first);
    CHECK_FALSE(renewed->released);
    CHECK(store.RenewPublisher(first, false)->renewals == renewed->renewals + 1);
    CHECK(base::ReasonOf(store.NextPublisherEpoch(0, first + 5).status()) == kReasonPublisherChanged);
    const int64_t second = *store.NextPublisherEpoch(0, first);
    CHECK(second > first);
    CHECK(store.NextPublisherEpoch(0, first).status().code() == absl::StatusCode::kAborted);
    // The older one's renewals, and its release, are no renewals.
    const auto heard = store.RenewPublisher(first, true);
    CHECK(heard->highest_epoch == second);
    CHECK(heard->renewals == renewed->renewals + 1);
    CHECK_FALSE(heard->released);
    CHECK(store.RenewPublisher(second, true)->released);
    CHECK(store.RenewPublisher(first, false)->released);
    // Above what the log has; and whoever follows has released nothing.
    const int64_t third = *store.NextPublisherEpoch(1'000, second);
    CHECK(third == 1'001);
    CHECK_FALSE(store.RenewPublisher(third, false)->released);
  });
}

TEST_CASE("a held ticker is not marked") {
  ForEachStore([](TickerStore& store) {
    REQUIRE(store.Register({"AAPL"}, kNow, kNow + 10 * kSecond, "").ok());
    // A shorter hold does not end a longer one.
    REQUIRE(store.Register({"AAPL"}, kNow, kNow + kSecond, "").ok());
    const absl::Status held = store.MarkDeleting("AAPL", NewToken(), kNow + 9 * kSecond, kNow + 20 * kSecond);
    CHECK(held.code() == absl::StatusCode::kFailedPrecondition);
    CHECK(base::ReasonOf(held) == kReasonTickerInUse);
    CHECK(store.MarkDeleting("AAPL", NewToken(), kNow + 10 * kSecond, kNow + 20 * kSecond).ok());
    CHECK(base::ReasonOf(store.MarkDeleting("TSLA", NewToken(), kNow, kNow + kSecond)) == kReasonTickerNotFound);
  });
}

TEST_CASE("a marked ticker takes no registrations until it is unmarked") {
  ForEachStore([](TickerStore& store) {
    REQUIRE(store.Register({"AAPL"}, kNow, 0, "").ok());
    const std::string token = NewToken();
    REQUIRE(store.MarkDeleting("AAPL", token, kNow, kNow + 10 * kSecond).ok());
    const auto refused = store.Register({"AAPL", "MSFT"}, kNow + kSecond, kNow + 5 * kSecond, "");
    CHECK(refused.status().code() == absl::StatusCode::kUnavailable);
    CHECK(base::ReasonOf(refused.status()) == kReasonTickerBeingDeleted);
    CHECK(store.Find({"MSFT"})->empty());
    CHECK(store.Register({"AAPL"}, kNow + kSecond, 0, "").status().code() == absl::StatusCode::kUnavailable);
    const absl::Status another = store.MarkDeleting("AAPL", NewToken(), kNow + kSecond, kNow + 10 * kSecond);
    CHECK(another.code() == absl::StatusCode::kAborted);

    REQUIRE(store.Unmark("AAPL", NewToken()).ok());
    CHECK(!store.Register({"AAPL"}, kNow + kSecond, 0, "").ok());
    REQUIRE(store.Unmark("AAPL", token).ok());
    CHECK(store.Register({"AAPL"}, kNow + kSecond, 0, "").ok());
    CHECK(*store.DeleteMarked("AAPL", token) == false);
  });
}

TEST_CASE("a mark that has run out counts for nothing, and its deletion comes too late once somebody registered") {
  ForEachStore([](TickerStore& store) {
    REQUIRE(store.Register({"AAPL", "MSFT"}, kNow, 0, "").ok());
    const std::string token = NewToken();
    REQUIRE(store.MarkDeleting("AAPL", token, kNow, kNow + 10 * kSecond).ok());
    REQUIRE(store.MarkDeleting("MSFT", token, kNow, kNow + 10 * kSecond).ok());
    REQUIRE(store.Register({"AAPL"}, kNow + 10 * kSecond, kNow + 20 * kSecond, "").ok());
    CHECK(*store.DeleteMarked("AAPL", token) == false);
    CHECK(store.Find({"AAPL"})->size() == 1);
    // Nobody came: the deletion holds, however late.
    CHECK(*store.DeleteMarked("MSFT", token) == true);
    CHECK(store.Find({"MSFT"})->empty());
    CHECK(*store.DeleteMarked("MSFT", token) == false);
    REQUIRE(store.Register({"MSFT"}, kNow, 0, "").ok());
    // Without a hold nobody counts on it: the deletion goes on.
    REQUIRE(store.MarkDeleting("MSFT", token, kNow, kNow + 10 * kSecond).ok());
    REQUIRE(store.Register({"MSFT"}, kNow + 10 * kSecond, 0, "").ok());
    CHECK(*store.DeleteMarked("MSFT", token) == true);
    REQUIRE(store.Register({"MSFT"}, kNow, 0, "").ok());
    // Another deletion may take over a mark that has run out.
    REQUIRE(store.MarkDeleting("MSFT", NewToken(), kNow, kNow + kSecond).ok());
    CHECK(store.MarkDeleting("MSFT", NewToken(), kNow + kSecond, kNow + 2 * kSecond).ok());
  });
}

TEST_CASE("publisher epochs rise, whoever asks") {
  ForEachStore([](TickerStore& store) {
    constexpr size_t kThreads = 4;
    constexpr size_t kEach = 25;
    std::vector<std::vector<int64_t>> epochs(kThreads);
    std::vector<std::thread> threads;
    threads.reserve(kThreads);
    for (std::vector<int64_t>& mine : epochs) {
      threads.emplace_back([&store, &mine] {
        for (size_t i = 0; i < kEach; ++i) mine.push_back(store.NextPublisherEpoch(0, 0).value_or(0));
      });
    }
    for (std::thread& thread : threads) thread.join();
    std::set<int64_t> all;
    for (const std::vector<int64_t>& mine : epochs) {
      CHECK(std::is_sorted(mine.begin(), mine.end()));
      all.insert(mine.begin(), mine.end());
    }
    CHECK(all.size() == kThreads * kEach);
    CHECK(*all.begin() > 0);
  });
}

TEST_CASE("a deletion and registrations at the same time leave no hold without a ticker") {
  ForEachStore([](TickerStore& store) {
    for (int64_t round = 0; round < 20; ++round) {
      const int64_t now = kNow + round * 100 * kSecond;
      REQUIRE(store.Register({"AAPL"}, now, 0, "").ok());
      bool held = false;
      bool deleted = false;
      std::thread holder([&] { held = store.Register({"AAPL"}, now, now + 10 * kSecond, "").ok(); });
      std::thread deleter([&] {
        const std::string token = NewToken();
        if (!store.MarkDeleting("AAPL", token, now, now + 10 * kSecond).ok()) return;
        deleted = store.DeleteMarked("AAPL", token).value_or(false);
      });
      holder.join();
      deleter.join();
      // Held after a deletion means registered anew; held before it means not deleted.
      CHECK(store.Find({"AAPL"})->size() == (held || !deleted ? 1u : 0u));
    }
  });
}

}  // namespace
}  // namespace stockalert::ticker
