#include "services/ticker/quote_fetcher.h"

#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::ticker {
namespace {

constexpr char kReasonNoQuoteYet[] = "NO_QUOTE_YET";
// Where the fetches that were joined came to nothing for want of another user's share.
constexpr int kTriesMax = 3;

}  // namespace

size_t QuoteFetcher::waiting() const {
  base::MutexLock lock(mutex_);
  return waiting_;
}

QuoteFetcher::~QuoteFetcher() {
  base::MutexLock lock(mutex_);
  landed_.Wait(lock, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return flights_.empty(); });
}

absl::StatusOr<std::vector<QuoteFetcher::Answer>> QuoteFetcher::Fetch(const std::vector<std::string>& symbols,
                                                                      const std::string& user,
                                                                      const trace::Context& trace,
                                                                      absl::Time deadline) {
  for (int tries = 1;; ++tries) {
    bool others_share = false;
    absl::StatusOr<std::vector<Answer>> answers = FetchOnce(symbols, user, trace, deadline, &others_share);
    if (!others_share || tries >= kTriesMax) return answers;
  }
}

absl::StatusOr<std::vector<QuoteFetcher::Answer>> QuoteFetcher::FetchOnce(const std::vector<std::string>& symbols,
                                                                          const std::string& user,
                                                                          const trace::Context& trace,
                                                                          absl::Time deadline, bool* others_share) {
  static auto& shared =
      metrics::GetCounter("stockalert_ticker_fetches_shared_total", "Symbols whose fetch was under way already");
  std::vector<std::shared_ptr<Flight>> flights;
  std::shared_ptr<Flight> mine;
  {
    base::MutexLock lock(mutex_);
    for (const std::string& symbol : symbols) {
      auto [flight, is_new] = flights_.try_emplace(symbol);
      if (is_new) {
        if (!mine) mine = std::make_shared<Flight>();
        mine->symbols.push_back(symbol);
        flight->second = mine;
      } else if (flight->second != mine) {
        shared.Increment();
      }
      flights.push_back(flight->second);
    }
  }
  if (mine) {
    fetcher_.FetchAsync(mine->symbols, user, trace, absl::Now() + fetch_timeout_,
                        [this, mine](absl::StatusOr<FetchedQuotes> fetched) { Land(mine, std::move(fetched)); });
  }
  std::vector<Answer> answers;
  base::MutexLock lock(mutex_);
  struct Waiting {
    explicit Waiting(size_t& the_count) : count(the_count) { ++count; }
    ~Waiting() { --count; }
    size_t& count;
  } const one(waiting_);
  for (size_t i = 0; i < symbols.size(); ++i) {
    const std::shared_ptr<Flight>& flight = flights[i];
    if (!landed_.WaitUntil(lock, deadline, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return flight->done; })) {
      return base::DeadlineExceeded("FETCH_TIMED_OUT", "the source did not answer in time; try again");
    }
    if (!flight->status.ok()) {
      // The caller who began the fetch had used up its share, or had too many calls: that does not concern the others.
      *others_share = flight != mine && absl::IsResourceExhausted(flight->status);
      return flight->status;
    }
    const auto answer = flight->answers.find(symbols[i]);
    answers.push_back(answer == flight->answers.end() ? Answer{} : answer->second);
  }
  return answers;
}

void QuoteFetcher::Land(const std::shared_ptr<Flight>& flight, absl::StatusOr<FetchedQuotes> fetched) {
  base::MutexLock lock(mutex_);
  if (fetched.ok()) {
    for (internal::v1::QuoteRecord& quote : fetched->quotes) flight->answers[quote.symbol()].quote = std::move(quote);
    for (SymbolProblem& problem : fetched->problems) flight->answers[problem.symbol].problem = std::move(problem);
  } else if (base::ReasonOf(fetched.status()) != kReasonNoQuoteYet) {
    flight->status = fetched.status();
  }
  flight->done = true;
  for (const std::string& symbol : flight->symbols) flights_.erase(symbol);
  landed_.NotifyAll();
}

}  // namespace stockalert::ticker
