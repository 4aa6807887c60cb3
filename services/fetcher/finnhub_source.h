// Prices from Finnhub: the stream for as many symbols as the key may stream, polling for all in turn, and fetching on
// request, all under the key's one budget.
//
// Thread-safe. Polling takes the symbol whose price is the oldest; streamed symbols too, but less often, for the day's
// figures and for trades that the stream misses. Polls do not wait for each other, nor for calls of users. A symbol
// that gets no answer, or that the key's plan does not include, is set aside, and all users are told why. Only if no
// symbol gets an answer is it taken for a fault of the source or the key, and all polling slows down.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/common/process/liveness.h"
#include "services/fetcher/finnhub_rest.h"
#include "services/fetcher/finnhub_stream.h"
#include "services/fetcher/live_quotes.h"
#include "services/fetcher/poll_order.h"
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
  // Polls that are under way at once.
  size_t polls_in_flight_max = 16;
  // A price that was published less than this ago answers a call.
  absl::Duration fresh = absl::Seconds(2);
};

// Shows in the metrics how many symbols have no price, and why. Other sources report none.
void CountSymbolsAside(size_t denied, size_t failed);

class FinnhubSource final : public QuoteSource {
 public:
  // `publisher` must outlive it.
  FinnhubSource(const FinnhubSourceOptions& options, Publisher& publisher);
  ~FinnhubSource() override;

  void Start() override;
  void Stop() override;
  void SetSymbols(const std::set<std::string>& symbols) override;
  LookedUp Lookup(const std::string& symbol, const std::string& user, absl::Time deadline) override;
  absl::StatusOr<FetchedQuotes> Fetch(const std::vector<std::string>& symbols, const std::string& user,
                                      const trace::Context& trace, absl::Time deadline) override;

 private:
  class Fetching;
  struct Looked {
    Knowledge knowledge = Knowledge::kAskLater;
    int64_t until_us = 0;
  };
  void RunPolls();
  // The symbol to poll next, marked as under way. None: try again after `pause`.
  std::optional<std::string> BeginPoll(absl::Duration& pause) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnPolled(const std::string& symbol, const absl::StatusOr<RestQuote>& reply);
  // Records what a call's outcome says about the symbol and about the source as a whole. `polled`: the call was a poll.
  void RecordOutcome(const std::string& symbol, const absl::Status& status, bool polled);
  void UpdateAsideGauges();
  // Whether the source denies everything, as it does for a useless key.
  bool IsKeyInDoubt();
  void OnTrade(const StreamTrade& trade);
  // The quote of a reply, if it has a price.
  std::optional<internal::v1::QuoteRecord> MakeQuote(const std::string& symbol, const RestQuote& reply);
  // Whether the symbol is set aside at present, and why.
  std::optional<PollOrder::Aside> AsideOf(const std::string& symbol);
  LookedUp LookUpAtSource(const std::string& symbol, const std::string& user, absl::Time deadline);
  void Remember(const std::string& symbol, Knowledge knowledge);

  const FinnhubSourceOptions options_;
  Publisher& publisher_;
  const base::SystemMonotonicClock clock_;
  RateLimiter limiter_;
  base::Mutex mutex_;
  base::ConditionVariable changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  PollOrder order_ ABSL_GUARDED_BY(mutex_);
  LiveQuotes live_ ABSL_GUARDED_BY(mutex_);
  size_t polls_in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t paused_until_us_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t last_poll_us_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t last_answer_us_ ABSL_GUARDED_BY(mutex_) = 0;
  // Registered symbols that failed, and all symbols that were denied, since the source last answered anything.
  std::set<std::string> failed_in_a_row_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> denied_in_a_row_ ABSL_GUARDED_BY(mutex_);
  bool away_ ABSL_GUARDED_BY(mutex_) = false;
  std::unordered_map<std::string, Looked> looked_up_ ABSL_GUARDED_BY(mutex_);
  process::Heartbeat poll_turns_{"fetcher_finnhub_polls"};
  process::Heartbeat call_turns_{"fetcher_finnhub_calls"};
  FinnhubRest rest_;      // Its loop uses what is above.
  FinnhubStream stream_;  // As does its thread.
  std::thread polls_;
};

}  // namespace stockalert::fetcher
