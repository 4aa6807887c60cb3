#include "services/fetcher/finnhub_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/mutex.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;
using Priority = RateLimiter::Priority;

// Between the polls of a source that is away, and of one that does not take the key.
constexpr absl::Duration kAwayPause = absl::Seconds(2);
constexpr absl::Duration kRefusedKeyPause = absl::Seconds(60);
constexpr absl::Duration kTurn = absl::Seconds(1);
// So many symbols in a row without an answer between them, or all that there are, and it is the source that is away,
// not they; as many denials, and the key is doubted.
constexpr size_t kInARow = 5;
constexpr size_t kInARowKept = 100;
// Where all symbols are set aside, one is tried so often all the same; and that is how long nothing has to be answered
// before denials are put down to the key.
constexpr absl::Duration kProbeInterval = absl::Seconds(60);
constexpr absl::Duration kDoubtMin = absl::Minutes(2);
// What is left of a call's time for its answer to travel.
constexpr absl::Duration kAnswerMargin = absl::Milliseconds(300);
// How long an answer about a symbol holds: somebody who registers many in calls that the budget cuts off gets on.
constexpr absl::Duration kKnownLife = absl::Hours(1);
constexpr absl::Duration kUnknownLife = absl::Minutes(5);
constexpr absl::Duration kNotInPlanLife = absl::Minutes(10);
constexpr size_t kLookedUpMax = 20'000;
constexpr absl::Duration kAskLaterAfterFailure = absl::Seconds(5);
constexpr absl::Duration kAskLaterAfterNonsense = absl::Seconds(30);

void CountUseless(const char* what) {
  metrics::GetCounter("stockalert_fetcher_finnhub_useless_total", "What Finnhub sent without a price in it",
                      {{"what", what}})
      .Increment();
}

// The source refused it for the number of calls, as against a budget of our own that was used up.
bool RefusedBySource(const absl::Status& status) {
  const auto details = base::FindErrorDetails(status);
  return absl::IsResourceExhausted(status) && details && details->metadata.contains(kMetadataRefused);
}

absl::Duration RetryDelayOf(const absl::Status& status, absl::Duration otherwise) {
  const auto details = base::FindErrorDetails(status);
  return details && details->retry_delay ? *details->retry_delay : otherwise;
}

absl::Status WithRetry(absl::StatusCode code, std::string_view reason, std::string_view message,
                       absl::Duration retry_delay) {
  return base::MakeError(code, message,
                         {.reason = std::string(reason), .metadata = {}, .violations = {}, .retry_delay = retry_delay});
}

FinnhubRestOptions WithTurns(FinnhubRestOptions options, std::function<void()> on_turn) {
  options.on_turn = std::move(on_turn);
  return options;
}

// One answer from the loop of the calls, awaited on another thread, which may give up before it comes.
template <typename T>
class Awaited {
 public:
  std::function<void(absl::StatusOr<T>)> Taker() const {
    return [state = state_](absl::StatusOr<T> answer) {
      base::MutexLock lock(state->mutex);
      state->answer = std::move(answer);
      state->changed.NotifyAll();
    };
  }
  absl::StatusOr<T> Await(absl::Time deadline) const {
    base::MutexLock lock(state_->mutex);
    if (!state_->changed.WaitFor(lock, deadline - absl::Now(), [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_->mutex) {
          return state_->answer.has_value();
        })) {
      return absl::DeadlineExceededError("no answer in time");
    }
    return *state_->answer;
  }

 private:
  struct State {
    base::Mutex mutex;
    base::ConditionVariable changed;
    std::optional<absl::StatusOr<T>> answer ABSL_GUARDED_BY(mutex);
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace

FinnhubSource::FinnhubSource(const FinnhubSourceOptions& options, Publisher& publisher)
    : options_(options),
      publisher_(publisher),
      limiter_(clock_, options.calls_per_minute, options.calls_per_second),
      last_poll_us_(clock_.NowUs()),
      last_answer_us_(clock_.NowUs()),
      rest_(WithTurns(options.rest, [this] { call_turns_.Beat(); }), limiter_),
      stream_(options.stream, [this](const StreamTrade& trade) { OnTrade(trade); }) {}

FinnhubSource::~FinnhubSource() { Stop(); }

void FinnhubSource::Start() {
  UpdateAsideGauges();
  poll_turns_.Beat();
  polls_ = std::thread([this] { RunPolls(); });
  if (options_.with_stream) stream_.Start();
}

void FinnhubSource::Stop() {
  {
    base::MutexLock lock(mutex_);
    stopped_ = true;
  }
  changed_.NotifyAll();
  stream_.Stop();
  if (polls_.joinable()) polls_.join();
  poll_turns_.End();
}

void FinnhubSource::SetSymbols(const std::set<std::string>& symbols) {
  stream_.SetSymbols(symbols);
  limiter_.SetPolling(!symbols.empty());
  {
    base::MutexLock lock(mutex_);
    order_.SetSymbols(symbols);
    std::erase_if(failed_in_a_row_, [&](const std::string& symbol) { return !symbols.contains(symbol); });
  }
  UpdateAsideGauges();
  changed_.NotifyAll();
}

void CountSymbolsAside(size_t denied, size_t failed) {
  const auto gauge = [](const char* why) -> prometheus::Gauge& {
    return metrics::GetGauge("stockalert_fetcher_symbols_set_aside",
                             "Registered tickers that the source gives no price for, by why", {{"why", why}});
  };
  static auto& denied_gauge = gauge("denied");
  static auto& failed_gauge = gauge("no_answer");
  denied_gauge.Set(static_cast<double>(denied));
  failed_gauge.Set(static_cast<double>(failed));
}

void FinnhubSource::UpdateAsideGauges() {
  base::MutexLock lock(mutex_);
  CountSymbolsAside(order_.denied(), order_.failed());
}

std::optional<pb::QuoteRecord> FinnhubSource::MakeQuote(const std::string& symbol, const RestQuote& reply) {
  base::MutexLock lock(mutex_);
  std::optional<pb::QuoteRecord> quote = live_.FromRest(symbol, reply);
  // Zeros happen to good symbols too, so nothing follows from them.
  if (!quote) CountUseless(reply.looks_unknown ? "rest_unknown_symbol" : "rest_no_price");
  return quote;
}

void FinnhubSource::OnTrade(const StreamTrade& trade) {
  std::optional<pb::QuoteRecord> quote;
  {
    base::MutexLock lock(mutex_);
    // What was unsubscribed a moment ago, or is nobody's.
    if (!order_.Contains(trade.symbol)) return;
    quote = live_.FromStream(trade);
    if (quote) order_.OnStreamed(trade.symbol, clock_.NowUs());
  }
  if (!quote) {
    CountUseless("stream_no_price");
    return;
  }
  publisher_.OfferLive(*std::move(quote));
}

void FinnhubSource::RunPolls() {
  base::MutexLock lock(mutex_);
  while (!stopped_) {
    poll_turns_.Beat();
    absl::Duration pause;
    const std::optional<std::string> symbol = BeginPoll(pause);
    if (!symbol) {
      changed_.WaitFor(lock, std::min(pause, kTurn));
      continue;
    }
    // The answer may come at once.
    lock.Unlock();
    rest_.Quote(*symbol, {Priority::kPoll},
                [this, symbol = *symbol](const absl::StatusOr<RestQuote>& reply) { OnPolled(symbol, reply); });
    lock.Lock();
  }
}

std::optional<std::string> FinnhubSource::BeginPoll(absl::Duration& pause) {
  const int64_t now_us = clock_.NowUs();
  pause = kTurn;
  if (order_.empty() || polls_in_flight_ >= options_.polls_in_flight_max) return std::nullopt;
  if (paused_until_us_ > now_us) {
    pause = absl::Microseconds(paused_until_us_ - now_us);
    return std::nullopt;
  }
  std::optional<std::string> symbol = order_.Next(now_us);
  if (!symbol && now_us - last_poll_us_ >= absl::ToInt64Microseconds(kProbeInterval)) symbol = order_.NextAside();
  if (!symbol) return std::nullopt;
  order_.MarkUnderWay(*symbol);
  ++polls_in_flight_;
  return symbol;
}

void FinnhubSource::OnPolled(const std::string& symbol, const absl::StatusOr<RestQuote>& reply) {
  bool asked = true;
  {
    base::MutexLock lock(mutex_);
    --polls_in_flight_;
    const int64_t now_us = clock_.NowUs();
    if (absl::IsResourceExhausted(reply.status()) && !RefusedBySource(reply.status())) {
      asked = false;
      order_.Release(symbol);
      const absl::Duration pause = std::max(RetryDelayOf(reply.status(), kAwayPause), absl::Milliseconds(1));
      paused_until_us_ = std::max(paused_until_us_, now_us + absl::ToInt64Microseconds(pause));
    } else {
      last_poll_us_ = now_us;
    }
  }
  if (asked) {
    if (reply.ok()) {
      if (auto quote = MakeQuote(symbol, *reply)) publisher_.OfferLive(*std::move(quote));
    }
    RecordOutcome(symbol, reply.status(), true);
  }
  changed_.NotifyAll();
}

bool FinnhubSource::IsKeyInDoubt() {
  base::MutexLock lock(mutex_);
  return denied_in_a_row_.size() >= kInARow;
}

void FinnhubSource::RecordOutcome(const std::string& symbol, const absl::Status& status, bool polled) {
  // Our own budget's refusals say nothing of the source.
  if (absl::IsResourceExhausted(status) && !RefusedBySource(status)) return;
  {
    base::MutexLock lock(mutex_);
    const int64_t now_us = clock_.NowUs();
    if (status.ok()) {
      if (denied_in_a_row_.size() >= kInARow && now_us - last_answer_us_ >= absl::ToInt64Microseconds(kDoubtMin))
        order_.ForgiveDenials();
      denied_in_a_row_.clear();
      failed_in_a_row_.clear();
      if (std::exchange(away_, false)) log::Info("the price source answers again");
      last_answer_us_ = now_us;
      order_.OnPolled(symbol, now_us);
    } else if (absl::IsPermissionDenied(status)) {
      if (denied_in_a_row_.size() < kInARowKept) denied_in_a_row_.insert(symbol);
      order_.OnDenied(symbol, now_us);
    } else if (order_.Contains(symbol)) {
      failed_in_a_row_.insert(symbol);
      const size_t askable = order_.size() - std::min(order_.size(), order_.denied());
      if (!away_ && failed_in_a_row_.size() >= std::min(kInARow, std::max<size_t>(askable, 1))) {
        away_ = true;
        order_.ForgiveFailures();
      }
      if (away_) {
        // It takes its turn again after the others.
        order_.OnPolled(symbol, now_us);
        const absl::Duration pause = absl::IsUnauthenticated(status) ? kRefusedKeyPause : kAwayPause;
        // What users' calls meet must not put polling off again and again.
        if (polled) paused_until_us_ = std::max(paused_until_us_, now_us + absl::ToInt64Microseconds(pause));
      } else {
        order_.OnFailed(symbol, now_us);
      }
    }
  }
  if (status.ok()) return UpdateAsideGauges();
  static log::Limiter limiter(absl::Seconds(30));
  if (const auto suppressed = limiter.Allow()) {
    log::Warning("a price could not be had from the source",
                 {{"symbol", symbol}, {"status", status}, {"suppressed", *suppressed}});
  }
  UpdateAsideGauges();
}

void FinnhubSource::Remember(const std::string& symbol, Knowledge knowledge) {
  const absl::Duration life = knowledge == Knowledge::kKnown     ? kKnownLife
                              : knowledge == Knowledge::kUnknown ? kUnknownLife
                                                                 : kNotInPlanLife;
  base::MutexLock lock(mutex_);
  const int64_t now_us = clock_.NowUs();
  if (looked_up_.size() >= kLookedUpMax) {
    std::erase_if(looked_up_, [&](const auto& entry) { return entry.second.until_us <= now_us; });
    if (looked_up_.size() >= kLookedUpMax) looked_up_.clear();
  }
  looked_up_[symbol] = {knowledge, now_us + absl::ToInt64Microseconds(life)};
}

std::optional<PollOrder::Aside> FinnhubSource::AsideOf(const std::string& symbol) {
  base::MutexLock lock(mutex_);
  return order_.AsideOf(symbol, clock_.NowUs());
}

LookedUp FinnhubSource::Lookup(const std::string& symbol, const std::string& user, absl::Time deadline) {
  {
    base::MutexLock lock(mutex_);
    const auto known = looked_up_.find(symbol);
    if (known != looked_up_.end() && known->second.until_us > clock_.NowUs()) return {known->second.knowledge, {}};
  }
  const LookedUp answer = LookUpAtSource(symbol, user, deadline - kAnswerMargin);
  if (answer.knowledge != Knowledge::kAskLater) Remember(symbol, answer.knowledge);
  return answer;
}

LookedUp FinnhubSource::LookUpAtSource(const std::string& symbol, const std::string& user, absl::Time deadline) {
  const CallFor whose{Priority::kUser, user};
  Awaited<RestQuote> quoted;
  rest_.Quote(symbol, whose, [this, symbol, take = quoted.Taker()](absl::StatusOr<RestQuote> reply) {
    RecordOutcome(symbol, reply.status(), false);
    take(std::move(reply));
  });
  const absl::StatusOr<RestQuote> quote = quoted.Await(deadline);
  if (absl::IsPermissionDenied(quote.status())) {
    // A key that is good for nothing says so of every symbol.
    if (IsKeyInDoubt()) return {Knowledge::kAskLater, kRefusedKeyPause};
    if (base::ReasonOf(quote.status()) == kReasonNotInPlan) return {Knowledge::kNotInPlan, {}};
    return {Knowledge::kAskLater, kAskLaterAfterNonsense};
  }
  if (!quote.ok()) return {Knowledge::kAskLater, RetryDelayOf(quote.status(), kAskLaterAfterFailure)};
  if (quote->current_micros) {
    // Whoever sets an alert on it now has not seen how far the day had gone: its first quote has to say so, not a later
    // one, which would pass for news.
    base::MutexLock lock(mutex_);
    live_.FromRest(symbol, *quote);
    return {Knowledge::kKnown, {}};
  }
  Awaited<std::vector<std::string>> searched;
  rest_.Search(symbol, whose, searched.Taker());
  const absl::StatusOr<std::vector<std::string>> found = searched.Await(deadline);
  if (!found.ok()) return {Knowledge::kAskLater, RetryDelayOf(found.status(), kAskLaterAfterFailure)};
  if (std::find(found->begin(), found->end(), symbol) != found->end()) return {Knowledge::kKnown, {}};
  if (quote->looks_unknown) return {Knowledge::kUnknown, {}};
  return {Knowledge::kAskLater, kAskLaterAfterNonsense};
}

// One call's Fetch: what was published a moment before, what the source answers for the rest, and the log's word that
// it has that.
class FinnhubSource::Fetching {
 public:
  Fetching(FinnhubSource& source, const std::string& user, const trace::Context& trace, absl::Time deadline)
      : source_(source), user_(user), trace_(trace), deadline_(deadline) {}

  absl::StatusOr<FetchedQuotes> Run(const std::vector<std::string>& symbols) {
    for (const std::string& symbol : symbols) AnswerUnasked(symbol);
    AskSource();
    for (const std::string& symbol : to_ask_) {
      STOCKALERT_RETURN_IF_ERROR(TakeReply(symbol));
    }
    STOCKALERT_RETURN_IF_ERROR(AwaitLog());
    // As the log has them: their epoch and sequence tell a reader of the log when it has come to them.
    for (pb::QuoteRecord& quote : fetched_.quotes) {
      if (auto last = source_.publisher_.LastPublished(quote.symbol())) quote = *std::move(last);
    }
    const bool any_denied = std::any_of(fetched_.problems.begin(), fetched_.problems.end(),
                                        [](const auto& problem) { return problem.not_in_plan; });
    if (!any_answer_ && !any_denied && !failure_.ok()) return failure_;
    return std::move(fetched_);
  }

 private:
  struct Replies {
    base::Mutex mutex;
    base::ConditionVariable changed;
    std::unordered_map<std::string, absl::StatusOr<RestQuote>> by_symbol ABSL_GUARDED_BY(mutex);
    size_t in_flight ABSL_GUARDED_BY(mutex) = 0;
    // Once the budget is used up, the others get the last price that is known.
    absl::Status exhausted ABSL_GUARDED_BY(mutex);
  };
  struct Acknowledgements {
    base::Mutex mutex;
    base::ConditionVariable changed;
    size_t left ABSL_GUARDED_BY(mutex) = 0;
    absl::Status failure ABSL_GUARDED_BY(mutex);
  };

  void AddProblem(const std::string& symbol, absl::Duration retry_after, std::string_view message) {
    fetched_.problems.push_back({symbol, false, retry_after});
    if (!failure_.ok()) return;
    failure_ = WithRetry(absl::StatusCode::kUnavailable, "SOURCE_UNAVAILABLE", message, retry_after);
  }

  // From what is known; where that is nothing, the source is to be asked.
  void AnswerUnasked(const std::string& symbol) {
    static auto& fresh = metrics::GetCounter("stockalert_fetcher_fresh_answers_total",
                                             "Prices asked for that were published a moment before");
    if (auto quote = source_.publisher_.LastPublishedWithin(symbol, source_.options_.fresh)) {
      fresh.Increment();
      any_answer_ = true;
      fetched_.quotes.push_back(*std::move(quote));
      return;
    }
    const std::optional<PollOrder::Aside> aside = source_.AsideOf(symbol);
    if (!aside) {
      to_ask_.push_back(symbol);
    } else if (aside->denied) {
      fetched_.problems.push_back({symbol, true, aside->left});
    } else {
      AddProblem(symbol, aside->left,
                 absl::StrCat("the price source does not answer for ", symbol, "; it is asked again later"));
    }
  }

  // As many at once as one user may have under way, until all have answered or the time is over.
  void AskSource() {
    base::MutexLock lock(replies_->mutex);
    for (size_t next = 0;;) {
      while (next < to_ask_.size() && replies_->exhausted.ok() &&
             replies_->in_flight < source_.options_.rest.in_flight_per_user_max) {
        ++replies_->in_flight;
        lock.Unlock();
        AskFor(to_ask_[next++]);
        lock.Lock();
      }
      if (replies_->in_flight == 0) return;
      const auto one_less = [this, in_flight = replies_->in_flight]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(replies_->mutex) {
        return replies_->in_flight < in_flight;
      };
      if (!replies_->changed.WaitFor(lock, deadline_ - kAnswerMargin - absl::Now(), one_less)) return;
    }
  }

  // The answer may come when this is gone.
  void AskFor(const std::string& symbol) {
    source_.rest_.Quote(symbol, {Priority::kUser, user_},
                        [source = &source_, replies = replies_, symbol](absl::StatusOr<RestQuote> reply) {
                          source->RecordOutcome(symbol, reply.status(), false);
                          base::MutexLock lock(replies->mutex);
                          --replies->in_flight;
                          if (absl::IsResourceExhausted(reply.status())) {
                            replies->exhausted = reply.status();
                          } else {
                            replies->by_symbol.emplace(symbol, std::move(reply));
                          }
                          replies->changed.NotifyAll();
                        });
  }

  // What the source said of the symbol. None: it was not asked, for the budget was used up.
  std::optional<absl::StatusOr<RestQuote>> ReplyOf(const std::string& symbol) {
    base::MutexLock lock(replies_->mutex);
    const auto found = replies_->by_symbol.find(symbol);
    if (found != replies_->by_symbol.end()) return found->second;
    if (replies_->exhausted.ok()) return absl::DeadlineExceededError("no answer in time");
    failure_ = replies_->exhausted;
    return std::nullopt;
  }

  // An error only where the log takes nothing.
  absl::Status TakeReply(const std::string& symbol) {
    const std::optional<absl::StatusOr<RestQuote>> reply = ReplyOf(symbol);
    std::optional<pb::QuoteRecord> last = source_.publisher_.LastPublished(symbol);
    if (!reply) {
      if (last) fetched_.quotes.push_back(*std::move(last));
      return absl::OkStatus();
    }
    const absl::Status status = reply->status();
    if (absl::IsPermissionDenied(status) && !source_.IsKeyInDoubt()) {
      fetched_.problems.push_back({symbol, true, PollOrder::kDeniedPauseMin});
      return absl::OkStatus();
    }
    if (!status.ok()) {
      // The key is the operator's affair, not the caller's.
      const bool key = absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
      AddProblem(symbol, kAskLaterAfterFailure,
                 key ? "the price source does not take the mesh's key"
                     : absl::StrCat("the price source does not answer for ", symbol, "; try again later"));
      return absl::OkStatus();
    }
    any_answer_ = true;
    std::optional<pb::QuoteRecord> quote = source_.MakeQuote(symbol, **reply);
    bool newer = quote && (!last || last->event_time_us() <= quote->event_time_us());
    if (newer) {
      const absl::Status sent = Publish(*quote);
      if (!sent.ok() && !absl::IsInvalidArgument(sent)) {
        return base::Unavailable("LOG_UNAVAILABLE",
                                 "the price was fetched, but the log does not take it; try again in a moment");
      }
      newer = sent.ok();
    }
    if (std::optional<pb::QuoteRecord>& answer = newer ? quote : last) fetched_.quotes.push_back(*std::move(answer));
    return absl::OkStatus();
  }

  absl::Status Publish(const pb::QuoteRecord& quote) {
    {
      base::MutexLock lock(acknowledgements_->mutex);
      ++acknowledgements_->left;
    }
    absl::Status sent = source_.publisher_.Publish(
        quote, trace_.Child().Traceparent(), {},
        [acknowledgements = acknowledgements_](const absl::StatusOr<kafka::DeliveryReport>& delivery) {
          base::MutexLock lock(acknowledgements->mutex);
          if (!delivery.ok()) acknowledgements->failure = delivery.status();
          --acknowledgements->left;
          acknowledgements->changed.NotifyAll();
        });
    if (!sent.ok()) {
      base::MutexLock lock(acknowledgements_->mutex);
      --acknowledgements_->left;
    }
    return sent;
  }

  // What is answered is what the log has, so that alerts see what the caller sees.
  absl::Status AwaitLog() {
    base::MutexLock lock(acknowledgements_->mutex);
    const auto all = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(acknowledgements_->mutex) {
      return acknowledgements_->left == 0;
    };
    if (acknowledgements_->changed.WaitFor(lock, deadline_ - absl::Now(), all) && acknowledgements_->failure.ok()) {
      return absl::OkStatus();
    }
    return base::Unavailable("LOG_UNAVAILABLE",
                             "the price was fetched, but the log has not acknowledged it; try again in a moment");
  }

  FinnhubSource& source_;
  const std::string& user_;
  const trace::Context& trace_;
  const absl::Time deadline_;
  FetchedQuotes fetched_;
  absl::Status failure_;
  bool any_answer_ = false;
  std::vector<std::string> to_ask_;
  const std::shared_ptr<Replies> replies_ = std::make_shared<Replies>();
  const std::shared_ptr<Acknowledgements> acknowledgements_ = std::make_shared<Acknowledgements>();
};

absl::StatusOr<FetchedQuotes> FinnhubSource::Fetch(const std::vector<std::string>& symbols, const std::string& user,
                                                   const trace::Context& trace, absl::Time deadline) {
  return Fetching(*this, user, trace, deadline).Run(symbols);
}

}  // namespace stockalert::fetcher
