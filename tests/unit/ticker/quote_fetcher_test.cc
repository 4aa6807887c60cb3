#include "services/ticker/quote_fetcher.h"

#include <catch2/catch.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "absl/time/clock.h"
#include "tests/unit/ticker/fakes.h"

namespace stockalert::ticker {
namespace {

const absl::Time kSoon = absl::Now() + absl::Seconds(30);

TEST_CASE("prices come in the order asked, without those that have none") {
  MemoryFetcher source;
  source.SetQuote("AAPL", 1);
  source.SetQuote("MSFT", 2);
  QuoteFetcher fetcher(source, absl::Seconds(5));
  const auto quotes = fetcher.Fetch({"MSFT", "TSLA", "AAPL"}, "u", trace::NewRoot(), kSoon);
  REQUIRE(quotes.ok());
  CHECK((*quotes)[0].quote->price_micros() == 2);
  CHECK(!(*quotes)[1].quote);
  CHECK((*quotes)[2].quote->price_micros() == 1);
}

TEST_CASE("callers at the same time share a fetch") {
  MemoryFetcher source;
  source.SetQuote("AAPL", 1);
  source.SetQuote("MSFT", 2);
  source.hold = true;
  QuoteFetcher fetcher(source, absl::Seconds(5));
  std::vector<std::thread> callers;
  std::vector<int64_t> prices(5);
  callers.emplace_back(
      [&] { prices[0] = (*fetcher.Fetch({"AAPL"}, "u", trace::NewRoot(), kSoon))[0].quote->price_micros(); });
  source.AwaitFetches(1);
  for (size_t i = 1; i < 4; ++i) {
    callers.emplace_back(
        [&, i] { prices[i] = (*fetcher.Fetch({"AAPL"}, "u", trace::NewRoot(), kSoon))[0].quote->price_micros(); });
  }
  callers.emplace_back(
      [&] { prices[4] = (*fetcher.Fetch({"AAPL", "MSFT"}, "u", trace::NewRoot(), kSoon))[1].quote->price_micros(); });
  source.AwaitFetches(2);
  source.Release();
  for (std::thread& caller : callers) caller.join();
  CHECK(prices == std::vector<int64_t>{1, 1, 1, 1, 2});
  CHECK(source.fetches[0] == std::vector<std::string>{"AAPL"});
  CHECK(source.fetches[1] == std::vector<std::string>{"MSFT"});
}

TEST_CASE("a caller without time gives up; the fetch goes on for others") {
  MemoryFetcher source;
  source.SetQuote("AAPL", 1);
  source.hold = true;
  QuoteFetcher fetcher(source, absl::Seconds(5));
  CHECK(fetcher.Fetch({"AAPL"}, "u", trace::NewRoot(), absl::Now() + absl::Milliseconds(20)).status().code() ==
        absl::StatusCode::kDeadlineExceeded);
  int64_t price = 0;
  std::thread other([&] { price = (*fetcher.Fetch({"AAPL"}, "u", trace::NewRoot(), kSoon))[0].quote->price_micros(); });
  source.Release();
  other.join();
  CHECK(price == 1);
}

TEST_CASE("a failure reaches all waiting callers, and the next call fetches again") {
  MemoryFetcher source;
  source.failure = base::Unavailable(kReasonFetcherUnavailable, "down");
  QuoteFetcher fetcher(source, absl::Seconds(5));
  CHECK(fetcher.Fetch({"AAPL"}, "u", trace::NewRoot(), kSoon).status().code() == absl::StatusCode::kUnavailable);
  source.failure = base::NotFound("NO_QUOTE_YET", "none");
  CHECK(!fetcher.Fetch({"AAPL"}, "u", trace::NewRoot(), kSoon)->front().quote);
  source.failure = absl::OkStatus();
  source.SetQuote("AAPL", 1);
  CHECK(fetcher.Fetch({"AAPL"}, "u", trace::NewRoot(), kSoon)->front().quote->price_micros() == 1);
  CHECK(source.fetches.size() == 3);
}

TEST_CASE("a user's used-up share does not affect others who joined its fetch") {
  MemoryFetcher source;
  source.SetQuote("AAPL", 1);
  source.hold = true;
  source.failure = base::ResourceExhausted("USER_SHARE_USED", "used up", absl::Seconds(9));
  QuoteFetcher fetcher(source, absl::Seconds(5));
  absl::StatusCode first = absl::StatusCode::kOk;
  int64_t price = 0;
  std::thread greedy([&] { first = fetcher.Fetch({"AAPL"}, "greedy", trace::NewRoot(), kSoon).status().code(); });
  source.AwaitFetches(1);
  std::thread other([&] {
    const auto answers = fetcher.Fetch({"AAPL"}, "other", trace::NewRoot(), kSoon);
    if (answers.ok()) price = answers->front().quote->price_micros();
  });
  while (fetcher.waiting() < 2) std::this_thread::yield();
  std::thread mend([&] {
    source.AwaitFetches(2);
    {
      std::lock_guard lock(source.mutex);
      source.failure = absl::OkStatus();
    }
    source.Release();
  });
  source.EndHeld();
  greedy.join();
  other.join();
  mend.join();
  CHECK(first == absl::StatusCode::kResourceExhausted);
  CHECK(price == 1);
  CHECK(source.users == std::vector<std::string>{"greedy", "other"});
}

// Answers each fetch when the test says so, by its number; those beyond what the test expects at once.
class FetcherByHand final : public Fetcher {
 public:
  explicit FetcherByHand(size_t expected) : expected_(expected) {}
  absl::StatusOr<LookedUp> Lookup(const std::string&, const std::string&, const trace::Context&, absl::Time) override {
    return LookedUp();
  }
  absl::StatusOr<std::vector<LogPlace>> Publish(const std::vector<internal::v1::QuoteRecord>&, const trace::Context&,
                                                absl::Time) override {
    return std::vector<LogPlace>();
  }
  void FetchAsync(const std::vector<std::string>& symbols, const std::string&, const trace::Context&, absl::Time,
                  Fetched done) override {
    std::unique_lock lock(mutex_);
    fetches_.push_back({symbols, done});
    begun_.notify_all();
    const bool more = fetches_.size() > expected_;
    lock.unlock();
    if (more) done(FetchedQuotes());
  }
  std::vector<std::string> AwaitFetch(size_t number) {
    std::unique_lock lock(mutex_);
    begun_.wait(lock, [&] { return fetches_.size() > number; });
    return fetches_[number].first;
  }
  void End(size_t number, const absl::StatusOr<FetchedQuotes>& answer) {
    (void)AwaitFetch(number);
    std::unique_lock lock(mutex_);
    const Fetched done = fetches_[number].second;
    lock.unlock();
    done(answer);
  }
  size_t count() {
    std::lock_guard lock(mutex_);
    return fetches_.size();
  }

 private:
  const size_t expected_;
  std::mutex mutex_;
  std::condition_variable begun_;
  std::deque<std::pair<std::vector<std::string>, Fetched>> fetches_;  // Guarded by mutex_.
};

TEST_CASE("who joins fetches that come to nothing, one after the other, is told so in the end") {
  FetcherByHand source(5);
  QuoteFetcher fetcher(source, absl::Seconds(5));
  const absl::Status used_up = base::ResourceExhausted("USER_SHARE_USED", "used up", absl::Seconds(9));
  std::vector<std::thread> greedy;
  for (size_t i = 0; i < 3; ++i) {
    greedy.emplace_back([&, i] {
      (void)fetcher.Fetch({std::string(1, static_cast<char>('A' + i))}, "greedy", trace::NewRoot(), kSoon);
    });
    (void)source.AwaitFetch(i);
  }
  absl::Status told;
  std::thread other([&] { told = fetcher.Fetch({"A", "B", "C"}, "other", trace::NewRoot(), kSoon).status(); });
  while (fetcher.waiting() < 4) std::this_thread::yield();
  // Each try joins one fetch less, and the last one's failure is its own.
  source.End(0, used_up);
  CHECK(source.AwaitFetch(3) == std::vector<std::string>{"A"});
  source.End(3, FetchedQuotes());
  source.End(1, used_up);
  CHECK(source.AwaitFetch(4) == std::vector<std::string>{"A", "B"});
  source.End(4, FetchedQuotes());
  source.End(2, used_up);
  other.join();
  for (std::thread& thread : greedy) thread.join();
  CHECK(told.code() == absl::StatusCode::kResourceExhausted);
  CHECK(source.count() == 5);
}

}  // namespace
}  // namespace stockalert::ticker
