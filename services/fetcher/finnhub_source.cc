#include "services/fetcher/finnhub_source.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;
using Priority = RateLimiter::Priority;

// After an error that waiting mends: polls are spaced by the limiter, this is for a source that is away.
constexpr absl::Duration kPauseAfterError = absl::Seconds(2);
constexpr absl::Duration kPauseAfterRefusedKey = absl::Seconds(60);
// A longer pause is taken in parts, so that the loop shows that it turns.
constexpr std::chrono::seconds kPauseMax{5};
// A ticker that was registered just now need not wait for polling's turn, but a thousand of them must not use up what
// users wait for.
constexpr int64_t kFirstPollSpacingUs = 900'000;

void CountUseless(const char* what) {
  metrics::GetCounter("stockalert_fetcher_finnhub_useless_total", "What Finnhub sent without a price in it",
                      {{"what", what}})
      .Increment();
}

}  // namespace

void PollOrder::SetSymbols(const std::set<std::string>& symbols) {
  for (auto it = symbols_.begin(); it != symbols_.end();)
    it = symbols.count(it->first) > 0 ? std::next(it) : symbols_.erase(it);
  for (const std::string& symbol : symbols) symbols_.try_emplace(symbol);
}

std::optional<std::string> PollOrder::Next() const {
  const auto due = [](const Times& times) {
    return times.polled_us == 0
               ? 0
               : std::max(times.polled_us, std::min(times.streamed_us, times.polled_us + kStreamedCreditUs));
  };
  const auto oldest = std::min_element(symbols_.begin(), symbols_.end(),
                                       [&](const auto& a, const auto& b) { return due(a.second) < due(b.second); });
  return oldest == symbols_.end() ? std::nullopt : std::optional<std::string>(oldest->first);
}

bool PollOrder::WasPolled(const std::string& symbol) const {
  const auto found = symbols_.find(symbol);
  return found != symbols_.end() && found->second.polled_us != 0;
}

void PollOrder::Polled(const std::string& symbol, int64_t now_us) {
  if (const auto found = symbols_.find(symbol); found != symbols_.end()) found->second.polled_us = now_us;
}

void PollOrder::Streamed(const std::string& symbol, int64_t now_us) {
  if (const auto found = symbols_.find(symbol); found != symbols_.end()) found->second.streamed_us = now_us;
}

FinnhubSource::FinnhubSource(const FinnhubSourceOptions& options, Publisher& publisher, const base::Clock& clock)
    : options_(options),
      publisher_(publisher),
      clock_(clock),
      limiter_(clock, options.calls_per_minute, options.calls_per_second),
      rest_(options.rest, limiter_),
      stream_(options.stream, [this](const StreamTrade& trade) { OnTrade(trade); }) {}

FinnhubSource::~FinnhubSource() { Stop(); }

void FinnhubSource::Start() {
  poll_turns_.Beat();
  polls_ = std::thread([this] { RunPolls(); });
  if (options_.with_stream) stream_.Start();
}

void FinnhubSource::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  stream_.Stop();
  if (polls_.joinable()) polls_.join();
  poll_turns_.End();
}

void FinnhubSource::SetSymbols(const std::set<std::string>& symbols) {
  stream_.SetSymbols(symbols);
  {
    std::lock_guard lock(mutex_);
    symbols_ = symbols;
    order_.SetSymbols(symbols);
    ++symbols_version_;
  }
  changed_.notify_all();
}

std::optional<pb::QuoteRecord> FinnhubSource::MakeQuote(const std::string& symbol, const RestQuote& reply) {
  std::lock_guard lock(mutex_);
  std::optional<pb::QuoteRecord> quote = live_.FromRest(symbol, reply);
  // Zeros happen to good symbols too, so nothing follows from them.
  if (!quote) CountUseless(reply.looks_unknown ? "rest_unknown_symbol" : "rest_no_price");
  return quote;
}

void FinnhubSource::OnTrade(const StreamTrade& trade) {
  std::optional<pb::QuoteRecord> quote;
  {
    std::lock_guard lock(mutex_);
    // What was unsubscribed a moment ago, or is nobody's.
    if (symbols_.count(trade.symbol) == 0) return;
    quote = live_.FromStream(trade);
    if (quote) order_.Streamed(trade.symbol, clock_.NowUs());
  }
  if (!quote) {
    CountUseless("stream_no_price");
    return;
  }
  publisher_.OfferLive(*std::move(quote));
}

void FinnhubSource::RunPolls() {
  for (;;) {
    std::string symbol;
    Priority priority = Priority::kPoll;
    uint64_t version = 0;
    {
      std::unique_lock lock(mutex_);
      poll_turns_.Beat();
      while (!changed_.wait_for(lock, kPauseMax, [&] { return stopped_ || order_.Next().has_value(); })) poll_turns_.Beat();
      if (stopped_) return;
      symbol = *order_.Next();
      version = symbols_version_;
      const int64_t now_us = clock_.NowUs();
      if (!order_.WasPolled(symbol) && now_us >= next_first_poll_us_) {
        priority = Priority::kUser;
        next_first_poll_us_ = now_us + kFirstPollSpacingUs;
      }
    }
    const absl::StatusOr<RestQuote> reply = rest_.Quote(symbol, priority);
    absl::Duration pause = absl::ZeroDuration();
    if (reply.ok()) {
      if (auto quote = MakeQuote(symbol, *reply)) publisher_.OfferLive(*std::move(quote));
    } else if (absl::IsResourceExhausted(reply.status())) {
      const auto details = base::FindErrorDetails(reply.status());
      pause = details && details->retry_delay ? *details->retry_delay : kPauseAfterError;
    } else {
      pause = absl::IsUnauthenticated(reply.status()) ? kPauseAfterRefusedKey : kPauseAfterError;
      static log::Limiter limiter(absl::Seconds(30));
      if (const auto suppressed = limiter.Allow()) {
        log::Warning("a price could not be polled",
                     {{"symbol", symbol}, {"status", reply.status()}, {"suppressed", *suppressed}});
      }
    }
    std::unique_lock lock(mutex_);
    // One that failed takes its turn again after the others; one that was never asked for keeps it.
    if (!absl::IsResourceExhausted(reply.status())) order_.Polled(symbol, clock_.NowUs());
    if (pause > absl::ZeroDuration()) {
      pause = std::max(pause, absl::Milliseconds(1));
      const auto until = std::chrono::steady_clock::now() + absl::ToChronoMicroseconds(pause);
      const auto over = [&] { return stopped_ || symbols_version_ != version || std::chrono::steady_clock::now() >= until; };
      while (!over()) {
        poll_turns_.Beat();
        changed_.wait_until(lock, std::min(until, std::chrono::steady_clock::now() + kPauseMax), over);
      }
    }
    if (stopped_) return;
  }
}

Knowledge FinnhubSource::Lookup(const std::string& symbol, absl::Time) {
  const absl::StatusOr<RestQuote> quote = rest_.Quote(symbol, Priority::kUser);
  if (!quote.ok()) return Knowledge::kCannotTell;
  if (quote->current_micros) return Knowledge::kKnown;
  const absl::StatusOr<std::vector<std::string>> found = rest_.Search(symbol, Priority::kUser);
  if (!found.ok()) return Knowledge::kCannotTell;
  if (std::find(found->begin(), found->end(), symbol) != found->end()) return Knowledge::kKnown;
  return quote->looks_unknown ? Knowledge::kUnknown : Knowledge::kCannotTell;
}

absl::StatusOr<std::vector<pb::QuoteRecord>> FinnhubSource::Fetch(const std::vector<std::string>& symbols,
                                                                  const trace::Context& trace, absl::Time deadline) {
  std::vector<pb::QuoteRecord> quotes;
  absl::Status failure;
  bool any_answer = false;
  for (const std::string& symbol : symbols) {
    std::optional<pb::QuoteRecord> quote;
    // Once the budget is used up or the source is away, the others get the last price that is known.
    if (failure.ok() && absl::Now() < deadline) {
      const absl::StatusOr<RestQuote> reply = rest_.Quote(symbol, Priority::kUser);
      failure = reply.status();
      if (reply.ok()) {
        any_answer = true;
        quote = MakeQuote(symbol, *reply);
        std::lock_guard lock(mutex_);
        order_.Polled(symbol, clock_.NowUs());
      }
    }
    std::optional<pb::QuoteRecord> last = publisher_.LastPublished(symbol);
    if (quote && (!last || last->event_time_us() <= quote->event_time_us())) {
      // Answered when the log has it, so that alerts see what the caller sees.
      struct Answer {
        std::mutex mutex;
        std::condition_variable changed;
        std::optional<absl::Status> status;
      };
      auto answer = std::make_shared<Answer>();
      const absl::Status sent =
          publisher_.Publish(*quote, trace.Child().Traceparent(), {}, [answer](const absl::Status& status) {
            std::lock_guard lock(answer->mutex);
            answer->status = status;
            answer->changed.notify_all();
          });
      if (absl::IsInvalidArgument(sent)) {
        quote = last;
      } else if (!sent.ok()) {
        return base::Unavailable("LOG_UNAVAILABLE",
                                 "the price was fetched, but the log does not take it; try again in a moment");
      } else {
        std::unique_lock lock(answer->mutex);
        const auto patience = absl::ToChronoMicroseconds(std::max(deadline - absl::Now(), absl::ZeroDuration()));
        if (!answer->changed.wait_for(lock, patience, [&] { return answer->status.has_value(); }) ||
            !answer->status->ok()) {
          return base::Unavailable("LOG_UNAVAILABLE",
                                   "the price was fetched, but the log has not acknowledged it; try again in a moment");
        }
      }
    } else {
      quote = last;
    }
    if (quote) quotes.push_back(*std::move(quote));
  }
  if (!any_answer && !failure.ok()) {
    // The key is the operator's affair, not the caller's.
    if (absl::IsUnauthenticated(failure))
      return base::Unavailable("SOURCE_UNAVAILABLE", "the price source does not take the mesh's key");
    return failure;
  }
  return quotes;
}

}  // namespace stockalert::fetcher
