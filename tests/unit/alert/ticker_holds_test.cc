// Which tickers are asked about again, and what one question serves.
#include "services/alert/ticker_holds.h"

#include <catch2/catch.hpp>

#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::alert {
namespace {

using Symbols = std::vector<std::string>;

class HoldingUpstream final : public Upstream {
 public:
  absl::Status CheckUser(const std::string&, const rpc::CallContext&) override { return absl::OkStatus(); }
  absl::StatusOr<RegisteredTicker> RegisterTicker(const std::string& symbol, absl::Duration hold,
                                                  const rpc::CallContext&) override {
    std::lock_guard lock(mutex_);
    registered.push_back(symbol);
    last_hold = hold;
    if (symbol == "NONE") return base::InvalidField("symbol", "is known to no source", "UNKNOWN_SYMBOL");
    return RegisteredTicker{"N:" + symbol, 1};
  }
  absl::StatusOr<RegisteredTicker> CheckTicker(const std::string& symbol, const rpc::CallContext&) override {
    return RegisteredTicker{symbol};
  }
  absl::StatusOr<std::map<std::string, int64_t>> GetSplitNumbers(const std::vector<std::string>& symbols,
                                                                 const rpc::CallContext& call) override {
    std::unique_lock lock(mutex_);
    questions.push_back(symbols);
    last_deadline = call.deadline;
    came_.notify_all();
    let_.wait(lock, [&] { return !closed; });
    if (!failure.ok()) return failure;
    std::map<std::string, int64_t> numbers;
    for (const std::string& symbol : symbols) {
      if (symbol != "N:MUTE") numbers[symbol] = 7;
    }
    return numbers;
  }
  absl::StatusOr<std::map<std::string, LastPrices>> GetLastPrices(const std::vector<std::string>&,
                                                                  const rpc::CallContext&) override {
    return std::map<std::string, LastPrices>();
  }
  absl::StatusOr<std::set<std::string>> FindDestinations(const std::string&, const std::set<std::string>&,
                                                         const rpc::CallContext&) override {
    return std::set<std::string>();
  }
  void AwaitQuestions(size_t count) {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [&] { return questions.size() >= count; });
  }
  void Open() {
    std::lock_guard lock(mutex_);
    closed = false;
    let_.notify_all();
  }

  Symbols registered;
  absl::Duration last_hold;
  std::vector<Symbols> questions;
  absl::Time last_deadline;
  absl::Status failure;
  bool closed = false;

 private:
  std::mutex mutex_;
  std::condition_variable came_, let_;
};

struct Bench {
  static rpc::CallContext Within(absl::Duration time) {
    rpc::CallContext call;
    call.deadline = absl::Now() + time;
    return call;
  }

  testing::FakeMonotonicClock clock;
  HoldingUpstream upstream;
  TickerHolds holds{upstream, clock};
};

}  // namespace

TEST_CASE("a ticker is registered again only for a call that ends after its hold") {
  Bench bench;
  REQUIRE(bench.holds.Register({"A"}, Bench::Within(absl::Seconds(10))).at(0)->symbol == "N:A");
  CHECK(bench.upstream.last_hold > absl::Seconds(14));
  CHECK(bench.upstream.last_hold <= absl::Seconds(15));
  CHECK(bench.upstream.questions.empty());

  bench.clock.Advance(absl::Seconds(4));
  const auto held = bench.holds.Register({"A"}, Bench::Within(absl::Seconds(10)));
  CHECK(held.at(0)->symbol == "N:A");
  CHECK(held.at(0)->split_number == 7);
  CHECK(bench.upstream.registered == Symbols{"A"});

  // A call that ends after the hold, though it is not over yet.
  bench.clock.Advance(absl::Seconds(2));
  REQUIRE(bench.holds.Register({"A"}, Bench::Within(absl::Seconds(10))).at(0).ok());
  CHECK(bench.upstream.registered == Symbols{"A", "A"});
  // One with less time left is within the first hold and the second.
  REQUIRE(bench.holds.Register({"A"}, Bench::Within(absl::Seconds(2))).at(0).ok());
  CHECK(bench.upstream.registered.size() == 2);
  bench.clock.Advance(absl::Seconds(16));
  REQUIRE(bench.holds.Register({"A"}, Bench::Within(absl::Seconds(1))).at(0).ok());
  CHECK(bench.upstream.registered.size() == 3);
}

TEST_CASE("a shorter hold does not shorten a longer one, and no hold is longer than the ticker service's") {
  Bench bench;
  REQUIRE(bench.holds.Register({"A"}, Bench::Within(absl::Seconds(300))).at(0).ok());
  CHECK(bench.upstream.last_hold == TickerHolds::kHoldMax);
  bench.clock.Advance(absl::Seconds(45));
  REQUIRE(bench.holds.Register({"A"}, Bench::Within(absl::Seconds(12))).at(0).ok());
  CHECK(bench.upstream.registered.size() == 1);
  REQUIRE(bench.holds.Register({"A"}, Bench::Within(absl::Seconds(16))).at(0).ok());
  CHECK(bench.upstream.registered.size() == 2);
}

TEST_CASE("the first refusal ends it, in the order asked, and what is refused is not held") {
  Bench bench;
  const auto refused = bench.holds.Register({"A", "NONE", "B"}, Bench::Within(absl::Seconds(10)));
  REQUIRE(refused.size() == 2);
  CHECK(refused[0].ok());
  CHECK(absl::IsInvalidArgument(refused[1].status()));
  CHECK(!bench.holds.Register({"NONE"}, Bench::Within(absl::Seconds(10))).at(0).ok());
  CHECK(bench.upstream.registered == Symbols{"A", "NONE", "NONE"});
}

TEST_CASE("a ticker service that cannot tell numbers tells none, one that does not answer is an error") {
  Bench bench;
  for (const char* symbol : {"A", "MUTE"})
    REQUIRE(bench.holds.Register({symbol}, Bench::Within(absl::Seconds(9))).at(0).ok());
  const auto mixed = bench.holds.Register({"A", "MUTE"}, Bench::Within(absl::Seconds(9)));
  CHECK(mixed.at(0)->split_number == 7);
  CHECK(!mixed.at(1)->split_number);
  bench.upstream.failure = base::Unavailable("TICKER_SERVICE_UNAVAILABLE", "does not answer");
  const auto failed = bench.holds.Register({"B", "A", "C"}, Bench::Within(absl::Seconds(9)));
  REQUIRE(failed.size() == 2);
  CHECK(failed[0].ok());
  CHECK(base::ReasonOf(failed[1].status()) == "TICKER_SERVICE_UNAVAILABLE");
}

TEST_CASE("one question serves all calls that wait, by the latest of their deadlines") {
  Bench bench;
  for (const char* symbol : {"A", "B", "C"})
    REQUIRE(bench.holds.Register({symbol}, Bench::Within(absl::Seconds(30))).at(0).ok());
  bench.upstream.closed = true;
  const auto start = [&](const Symbols& symbols, absl::Duration time) {
    return std::async(std::launch::async,
                      [&bench, symbols, time] { return bench.holds.Register(symbols, Bench::Within(time)); });
  };
  auto first = start({"A"}, absl::Seconds(30));
  bench.upstream.AwaitQuestions(1);
  auto second = start({"C", "B"}, absl::Seconds(20));
  while (bench.holds.waiting() < 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  auto third = start({"B"}, absl::Seconds(25));
  while (bench.holds.waiting() < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  bench.upstream.Open();
  CHECK(first.get().at(0)->split_number == 7);
  const auto both = second.get();
  CHECK(both.at(0)->symbol == "N:C");
  CHECK(both.at(1)->symbol == "N:B");
  CHECK(third.get().at(0)->symbol == "N:B");
  CHECK(bench.upstream.questions == std::vector<Symbols>{{"N:A"}, {"N:B", "N:C"}});
  CHECK(bench.upstream.last_deadline > absl::Now() + absl::Seconds(22));
}

}  // namespace stockalert::alert
