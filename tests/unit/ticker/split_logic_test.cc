// Declaring splits: one number and one record a request, whatever fails between.
#include "services/ticker/split_logic.h"

#include <catch2/catch.hpp>

#include <functional>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/ticker/split_sweeper.h"
#include "tests/support/eventually/eventually.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/ticker_store/in_memory_split_store.h"

namespace stockalert::ticker {
namespace {

constexpr int64_t kTime = 1'767'366'000'000'000;

struct Publisher final : SplitPublisher {
  absl::StatusOr<LogPlace> PublishSplit(const record::Split& split, const trace::Context&, absl::Time) override {
    std::lock_guard lock(mutex);
    published.push_back(split);
    if (!answer.ok()) return answer;
    if (split.symbol == refused) return absl::InvalidArgumentError("not this one");
    if (on_published) on_published(split);
    return LogPlace{0, static_cast<int64_t>(published.size())};
  }
  std::vector<record::Split> seen() {
    std::lock_guard lock(mutex);
    return published;
  }
  std::mutex mutex;
  std::vector<record::Split> published;
  absl::Status answer;
  std::string refused;
  std::function<void(const record::Split&)> on_published;
};

struct Bench {
  Bench() {
    store.Register("AAPL");
    // Published, read back and noted.
    publisher.on_published = [this](const record::Split& split) {
      store.NoteInLog(split.symbol, split.number);
      BoardRecord record;
      record.kind = BoardRecord::Kind::kSplit;
      record.place = {0, static_cast<int64_t>(publisher.published.size())};
      record.split = split;
      board.Apply({record});
    };
  }
  absl::StatusOr<SplitRow> Declare(const std::string& request_id, price::SplitRatio ratio = {4, 1},
                                   const std::string& symbol = "AAPL") {
    return logic.Declare(symbol, ratio, kTime, request_id, trace::NewRoot(), absl::Now() + absl::Seconds(30));
  }

  std::vector<SplitRow> Rows() { return logic.List("", {}, 10).value(); }

  testing::FakeClock clock;
  testing::InMemorySplitStore store;
  PriceBoard board{clock, clock.monotonic()};
  Publisher publisher;
  SplitLogic logic{{.read_timeout = absl::Milliseconds(200)}, store, board, publisher, clock};
};

}  // namespace

TEST_CASE("a split is declared once a request, under rising numbers") {
  Bench bench;
  const auto first = bench.Declare("r1");
  REQUIRE(first.ok());
  CHECK(first->in_log);
  CHECK(first->split.number == 1);
  CHECK(base::IsUuid(first->split.split_id));
  const auto again = bench.Declare("r1");
  REQUIRE(again.ok());
  CHECK(again->split == first->split);
  CHECK(bench.publisher.seen().size() == 1);
  CHECK(base::ReasonOf(bench.Declare("r1", {5, 1}).status()) == kReasonSplitRequestReused);
  CHECK(bench.Declare("r2", {1, 10})->split.number == 2);
  CHECK(base::ReasonOf(bench.Declare("r3", {4, 1}, "NOBODY").status()) == "TICKER_NOT_FOUND");
  CHECK(bench.board.Get({"AAPL"})[0].split_number == 2);
}

TEST_CASE("what could not be published is pending, is published later, and comes before the next one") {
  Bench bench;
  bench.publisher.answer = base::Unavailable(kReasonFetcherUnavailable, "away");
  CHECK(base::ReasonOf(bench.Declare("r1").status()) == kReasonFetcherUnavailable);
  REQUIRE(bench.logic.List("", {}, 10)->size() == 1);
  CHECK_FALSE(bench.logic.List("", {}, 10)->at(0).in_log);
  CHECK(base::ReasonOf(bench.Declare("r2").status()) == kReasonSplitPending);
  // Not due yet, then tried in vain, then published.
  CHECK(*bench.logic.PublishPending(trace::NewRoot(), absl::Now() + absl::Seconds(5)) == 0);
  bench.clock.Advance(absl::Microseconds(kSplitAttemptPauseUs));
  CHECK_FALSE(bench.logic.PublishPending(trace::NewRoot(), absl::Now() + absl::Seconds(5)).ok());
  bench.publisher.answer = absl::OkStatus();
  SECTION("by the sweeper") {
    bench.clock.Advance(absl::Microseconds(kSplitAttemptPauseUs));
    SplitSweeper sweeper(bench.logic, absl::Milliseconds(5));
    CHECK(testing::Eventually([&] { return bench.logic.List("", {}, 10)->at(0).in_log; }, absl::Seconds(20)));
  }
  SECTION("by the same request") {
    const auto row = bench.Declare("r1");
    REQUIRE(row.ok());
    CHECK(row->in_log);
  }
  const auto seen = bench.publisher.seen();
  for (const record::Split& split : seen) CHECK(split == seen.front());
  CHECK(bench.Declare("r2")->split.number == 2);
}

TEST_CASE(
    "where the log is another one, all splits are published again, in the order of their numbers, before the next") {
  Bench bench;
  bench.store.Register("MSFT");
  REQUIRE(bench.Declare("r1").ok());
  REQUIRE(bench.Declare("r2").ok());
  REQUIRE(bench.Declare("m1", {3, 1}, "MSFT").ok());
  // One that was on its way when the log was lost: its second attempt is due.
  bench.publisher.answer = base::Unavailable(kReasonFetcherUnavailable, "away");
  CHECK_FALSE(bench.Declare("r3").ok());
  bench.clock.Advance(absl::Microseconds(kSplitAttemptPauseUs));
  bench.store.LoseLog();
  bench.publisher.published.clear();

  const auto publish = [&] { return bench.logic.PublishPending(trace::NewRoot(), absl::Now() + absl::Seconds(30)); };
  const auto numbers = [&](const std::string& symbol) {
    std::vector<int64_t> found;
    for (const record::Split& split : bench.publisher.seen()) {
      if (split.symbol == symbol) found.push_back(split.number);
    }
    return found;
  };
  CHECK_FALSE(publish().ok());
  // Neither a new one nor one that is asked for again goes before them.
  CHECK(base::ReasonOf(bench.Declare("r3").status()) == kReasonSplitPending);
  CHECK(base::ReasonOf(bench.Declare("m2", {2, 1}, "MSFT").status()) == kReasonSplitPending);
  for (const SplitRow& row : bench.Rows()) CHECK(row.lost == row.in_log);
  CHECK(bench.publisher.seen().size() == 1);
  bench.publisher.published.clear();
  bench.publisher.answer = absl::OkStatus();
  bench.clock.Advance(absl::Microseconds(kSplitAttemptPauseUs));
  CHECK(*publish() == 4);
  CHECK(numbers("AAPL") == std::vector<int64_t>{1, 2, 3});
  CHECK(numbers("MSFT") == std::vector<int64_t>{1});
  for (const SplitRow& row : bench.Rows()) CHECK((row.in_log && !row.lost));
  // Once is enough.
  bench.clock.Advance(absl::Microseconds(2 * kSplitAttemptPauseUs));
  CHECK(*publish() == 0);
  CHECK(bench.Declare("r4")->split.number == 4);
}

TEST_CASE("a lost split that is refused holds up its own symbol alone") {
  Bench bench;
  bench.store.Register("MSFT");
  for (const char* symbol : {"AAPL", "MSFT"}) {
    for (const char* request : {"1", "2"}) REQUIRE(bench.Declare(std::string(symbol) + request, {4, 1}, symbol).ok());
  }
  bench.store.LoseLog();
  bench.publisher.published.clear();
  bench.publisher.refused = "AAPL";
  const auto published = bench.logic.PublishPending(trace::NewRoot(), absl::Now() + absl::Seconds(30));
  CHECK(absl::IsInvalidArgument(published.status()));
  CHECK(std::string(published.status().message()).find("tickers/AAPL/splits/1") != std::string::npos);
  for (const SplitRow& row : bench.Rows()) CHECK(row.lost == (row.split.symbol == "AAPL"));
}

TEST_CASE("more lost splits than one round may publish are published in the next") {
  Bench bench;
  for (int number = 1; number <= 3; ++number) REQUIRE(bench.Declare("r" + std::to_string(number)).ok());
  bench.store.LoseLog();
  bench.publisher.published.clear();
  CHECK(*bench.logic.PublishPending(trace::NewRoot(), absl::InfinitePast()) == 0);
  CHECK(*bench.logic.PublishPending(trace::NewRoot(), absl::Now() + absl::Seconds(30)) == 3);
}

TEST_CASE("a request that the database has forgotten, and the log has not, declares nothing again") {
  Bench bench;
  const auto first = bench.Declare("r1");
  REQUIRE(first.ok());
  bench.store.ForgetRequests();
  const auto again = bench.Declare("r1");
  REQUIRE(again.ok());
  CHECK(again->split == first->split);
  CHECK(bench.publisher.seen().size() == 1);
  CHECK(base::ReasonOf(bench.Declare("r1", {5, 1}).status()) == kReasonSplitRequestReused);
  CHECK(bench.Declare("r2")->split.split_id != first->split.split_id);
}

TEST_CASE("a log that takes no splits leaves none behind") {
  Bench bench;
  bench.publisher.answer = base::FailedPrecondition("LOG_FORMAT_TOO_OLD", "raise it");
  CHECK(base::ReasonOf(bench.Declare("r1").status()) == "LOG_FORMAT_TOO_OLD");
  CHECK(bench.logic.List("", {}, 10)->empty());
  // One that may be in the log stays.
  bench.publisher.answer = base::Unavailable(kReasonFetcherUnavailable, "away");
  CHECK_FALSE(bench.Declare("r2").ok());
  bench.publisher.answer = base::FailedPrecondition("LOG_FORMAT_TOO_OLD", "raise it");
  const auto refused = bench.Declare("r2");
  CHECK(base::ReasonOf(refused.status()) == "LOG_FORMAT_TOO_OLD");
  CHECK(std::string(refused.status().message()).find("tickers/AAPL/splits/1 is kept") != std::string::npos);
  CHECK(bench.logic.List("", {}, 10)->size() == 1);
}

TEST_CASE("a split that the log's reader has not noted in time is answered as pending") {
  Bench bench;
  bench.publisher.on_published = nullptr;
  const auto row = bench.Declare("r1");
  REQUIRE(row.ok());
  CHECK_FALSE(row->in_log);
}

}  // namespace stockalert::ticker
