// Prices from Finnhub: the stream for as many symbols as the key may stream, polling for all in turn, and fetching on
// request, all under the key's one budget.
//
// Thread-safe. Polling takes the symbol whose price is the oldest; streamed ones too, more seldom, for the day's
// figures and for trades that the stream does not see.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "services/common/base/clock.h"
#include "services/common/process/liveness.h"
#include "services/fetcher/finnhub_rest.h"
#include "services/fetcher/finnhub_stream.h"
#include "services/fetcher/live_quotes.h"
#include "services/fetcher/publisher.h"
#include "services/fetcher/rate_limiter.h"
#include "services/fetcher/source.h"

namespace stockalert::fetcher {

struct FinnhubSourceOptions {
  FinnhubRestOptions rest;
  FinnhubStreamOptions stream;
  bool with_stream = true;
  int calls_per_minute = 60;
  int calls_per_second = 30;
};

// Which symbol to poll next: the one whose price is the oldest. Not thread-safe. Pure.
class PollOrder {
 public:
  // A streamed price makes a poll wait at most this much longer.
  static constexpr int64_t kStreamedCreditUs = int64_t{180} * 1'000'000;

  void SetSymbols(const std::set<std::string>& symbols);
  // None where there are no symbols. A symbol that was never polled comes first.
  std::optional<std::string> Next() const;
  bool WasPolled(const std::string& symbol) const;
  void Polled(const std::string& symbol, int64_t now_us);
  void Streamed(const std::string& symbol, int64_t now_us);

 private:
  struct Times {
    int64_t polled_us = 0;
    int64_t streamed_us = 0;
  };
  std::map<std::string, Times> symbols_;
};

class FinnhubSource final : public QuoteSource {
 public:
  // Both must outlive it.
  FinnhubSource(const FinnhubSourceOptions& options, Publisher& publisher, const base::Clock& clock);
  ~FinnhubSource() override;

  void Start() override;
  void Stop() override;
  void SetSymbols(const std::set<std::string>& symbols) override;
  Knowledge Lookup(const std::string& symbol, absl::Time deadline) override;
  absl::StatusOr<std::vector<internal::v1::QuoteRecord>> Fetch(const std::vector<std::string>& symbols,
                                                               const trace::Context& trace,
                                                               absl::Time deadline) override;

 private:
  void RunPolls();
  void OnTrade(const StreamTrade& trade);
  // The quote of a reply, if it has a price.
  std::optional<internal::v1::QuoteRecord> MakeQuote(const std::string& symbol, const RestQuote& reply);

  const FinnhubSourceOptions options_;
  Publisher& publisher_;
  const base::Clock& clock_;
  RateLimiter limiter_;
  FinnhubRest rest_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;  // Guarded by mutex_, as what follows.
  PollOrder order_;
  LiveQuotes live_;
  std::set<std::string> symbols_;
  uint64_t symbols_version_ = 0;
  int64_t next_first_poll_us_ = 0;
  FinnhubStream stream_;  // Its thread uses what is above.
  process::Heartbeat poll_turns_{"fetcher_finnhub_polls"};
  std::thread polls_;
};

}  // namespace stockalert::fetcher
