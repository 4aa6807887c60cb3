#include "services/ticker/quote_fetcher.h"

#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::ticker {
namespace {

constexpr char kReasonNoQuoteYet[] = "NO_QUOTE_YET";

}  // namespace

QuoteFetcher::~QuoteFetcher() {
  std::unique_lock lock(mutex_);
  landed_.wait(lock, [this] { return flights_.empty(); });
}

absl::StatusOr<std::vector<std::optional<internal::v1::QuoteRecord>>> QuoteFetcher::Fetch(const std::vector<std::string>& symbols,
                                                                                           const trace::Context& trace,
                                                                                           absl::Time deadline) {
  static auto& shared = metrics::GetCounter("stockalert_ticker_fetches_shared_total", "Symbols whose fetch was under way already");
  std::vector<std::shared_ptr<Flight>> flights;
  std::shared_ptr<Flight> mine;
  {
    std::lock_guard lock(mutex_);
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
    fetcher_.FetchAsync(mine->symbols, trace, absl::Now() + fetch_timeout_,
                        [this, mine](absl::StatusOr<std::vector<internal::v1::QuoteRecord>> fetched) { Land(mine, std::move(fetched)); });
  }
  std::vector<std::optional<internal::v1::QuoteRecord>> quotes;
  std::unique_lock lock(mutex_);
  for (size_t i = 0; i < symbols.size(); ++i) {
    const std::shared_ptr<Flight>& flight = flights[i];
    if (!landed_.wait_until(lock, absl::ToChronoTime(deadline), [&] { return flight->done; })) {
      return base::DeadlineExceeded("FETCH_TIMED_OUT", "the source did not answer in time; try again");
    }
    if (!flight->status.ok()) return flight->status;
    const auto quote = flight->quotes.find(symbols[i]);
    quotes.push_back(quote == flight->quotes.end() ? std::nullopt : std::optional(quote->second));
  }
  return quotes;
}

void QuoteFetcher::Land(const std::shared_ptr<Flight>& flight, absl::StatusOr<std::vector<internal::v1::QuoteRecord>> fetched) {
  std::lock_guard lock(mutex_);
  if (fetched.ok()) {
    for (internal::v1::QuoteRecord& quote : *fetched) flight->quotes[quote.symbol()] = std::move(quote);
  } else if (base::ReasonOf(fetched.status()) != kReasonNoQuoteYet) {
    flight->status = fetched.status();
  }
  flight->done = true;
  for (const std::string& symbol : flight->symbols) flights_.erase(symbol);
  landed_.notify_all();
}

}  // namespace stockalert::ticker
