#include "services/fetcher/publisher.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/trace/trace.h"
#include "services/fetcher/quote_rules.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;

prometheus::Counter& Refused(const char* source, Refusal refusal) {
  return metrics::GetCounter("stockalert_fetcher_quotes_refused_total",
                             "Quotes refused at the edge, by what is wrong with them",
                             {{"source", source}, {"reason", NameOf(refusal)}});
}

// Labels come from a small set, whatever a quote says.
const char* SourceLabel(const std::string& source) {
  for (const char* known : {kSourceRest, kSourceStream, kSourceReplay, kSourcePublished}) {
    if (source == known) return known;
  }
  return "other";
}

absl::Status NoEpoch() {
  return base::Unavailable("FETCHER_NOT_READY",
                           "the fetcher has no epoch, or another one publishes; try again in a moment");
}

void MarkQuote(const char* source) {
  metrics::GetGauge("stockalert_fetcher_last_quote_timestamp_seconds",
                    "When the log took the source's last quote, since 1970", {{"source", source}})
      .Set(absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()));
}

}  // namespace

kafka::ProducerOptions PublisherProducerOptions(std::string bootstrap) {
  kafka::ProducerOptions options;
  options.bootstrap = std::move(bootstrap);
  options.client_id = "stockalert-fetcher";
  options.topics = {kafka::kPricesTopic};
  options.lanes = 4;
  // Without end: see the head of publisher.h.
  options.extra = {{"message.timeout.ms", "0"}};
  return options;
}

Publisher::Publisher(kafka::Producer& producer, const base::Clock& clock, const PublisherOptions& options)
    : producer_(producer), clock_(clock), options_(options), live_thread_([this] { RunLive(); }) {}

Publisher::~Publisher() { Close(absl::Now()); }

void Publisher::BeginEpoch(int64_t epoch) {
  {
    base::MutexLock lock(mutex_);
    epoch_ = epoch;
    suspended_ = false;
    for (auto& [symbol, state] : symbols_) state.sequence = 0;
  }
  changed_.NotifyAll();
}

void Publisher::Suspend() {
  {
    base::MutexLock lock(mutex_);
    epoch_ = 0;
    suspended_ = true;
    live_.clear();
  }
  changed_.NotifyAll();
}

bool Publisher::has_epoch() const {
  base::MutexLock lock(mutex_);
  return epoch_ != 0;
}

void Publisher::ExpectQuotesOf(const char* source) {
  MarkQuote(source);
  for (const Refusal refusal :
       {Refusal::kSymbol, Refusal::kPrice, Refusal::kEventTimeMissing, Refusal::kEventTimeAhead, Refusal::kSession}) {
    Refused(source, refusal);
  }
}

absl::Status Publisher::ReserveRoom() {
  base::MutexLock lock(mutex_);
  if (epoch_ == 0) return NoEpoch();
  if (closed_) return base::Unavailable("SHUTTING_DOWN", "the fetcher is stopping; try again in a moment");
  if (in_flight_ >= options_.in_flight_max) {
    return base::ResourceExhausted("TOO_MANY_QUOTES_IN_FLIGHT",
                                   "the broker has not acknowledged the quotes before yet; try again in a moment");
  }
  if (in_flight_++ == 0) waiting_since_us_ = monotonic_clock_.NowUs();
  return absl::OkStatus();
}

absl::Status Publisher::Send(const std::string& symbol, const pb::LogRecord& record, std::string_view traceparent,
                             const kafka::Headers& extra, Done done) {
  kafka::Headers headers =
      kafka::TraceHeaders(traceparent.empty() ? trace::NewRoot().Traceparent() : std::string(traceparent));
  headers.insert(headers.end(), extra.begin(), extra.end());
  std::optional<pb::QuoteRecord> quote;
  if (record.has_quote()) quote = record.quote();
  // What a source says twice is still known by the price that it had, whatever became of the shares.
  const bool changes_last = record.has_quote() || record.has_restart();
  const absl::Time begun = absl::Now();
  producer_.ProduceAsync(
      kafka::kPricesTopic, symbol, record.SerializeAsString(), headers,
      [this, symbol, begun, changes_last, quote = std::move(quote),
       done = std::move(done)](const absl::StatusOr<kafka::DeliveryReport>& delivery) {
        {
          base::MutexLock lock(mutex_);
          waiting_since_us_ = monotonic_clock_.NowUs();
          if (delivery.ok() && changes_last) {
            SymbolState& state = symbols_[symbol];
            state.last_published = quote;
            state.published_at_us = monotonic_clock_.NowUs();
          }
        }
        if (delivery.ok() && quote) {
          metrics::GetCounter("stockalert_fetcher_quotes_published_total", "Quotes that the log has",
                              {{"source", SourceLabel(quote->source())}})
              .Increment();
          MarkQuote(SourceLabel(quote->source()));
          static auto& seconds = metrics::GetHistogram("stockalert_fetcher_publish_seconds",
                                                       "From a quote's being ready to the broker's acknowledgement");
          seconds.Observe(absl::ToDoubleSeconds(absl::Now() - begun));
        }
        if (!delivery.ok()) {
          metrics::GetCounter("stockalert_fetcher_publish_failures_total", "Records that Kafka would not take")
              .Increment();
          static log::Limiter limiter(absl::Seconds(5));
          if (const auto suppressed = limiter.Allow()) {
            log::Error(
                "Kafka does not take a record for the topic prices: see that the topic exists and may be written",
                {{"symbol", symbol}, {"status", delivery.status()}, {"suppressed", *suppressed}});
          }
        }
        if (done) done(delivery);
        // Last, for whoever waits for answers may destroy what `done` uses. Notified under the lock: the Publisher
        // itself may go then.
        base::MutexLock lock(mutex_);
        --in_flight_;
        changed_.NotifyAll();
      });
  return absl::OkStatus();
}

absl::Status Publisher::Publish(pb::QuoteRecord quote, std::string_view traceparent, const kafka::Headers& extra,
                                Done done) {
  quote.set_rules(static_cast<int32_t>(options_.rules));
  if (const auto refusal = FindRefusal(quote, clock_.NowUs())) {
    Refused(SourceLabel(quote.source()), *refusal).Increment();
    return base::InvalidField(FieldOf(*refusal), DescriptionOf(*refusal));
  }
  if (const int dropped = DropNonsense(quote); dropped > 0) {
    metrics::GetCounter("stockalert_fetcher_day_figures_dropped_total",
                        "Day figures that could not be right; their quotes stay")
        .Increment(dropped);
  }
  STOCKALERT_RETURN_IF_ERROR(ReserveRoom());
  base::MutexLock order(order_mutex_);
  {
    base::MutexLock lock(mutex_);
    if (epoch_ == 0) {
      --in_flight_;
      changed_.NotifyAll();
      return NoEpoch();
    }
    SymbolState& state = symbols_[quote.symbol()];
    quote.set_publisher_epoch(epoch_);
    quote.set_sequence(++state.sequence);
    state.last_event_time_us = std::max(state.last_event_time_us, quote.event_time_us());
  }
  const std::string symbol = quote.symbol();
  pb::LogRecord record;
  *record.mutable_quote() = std::move(quote);
  return Send(symbol, record, traceparent, extra, std::move(done));
}

absl::Status Publisher::PublishRestart(const std::string& symbol, const kafka::Headers& extra, Done done) {
  STOCKALERT_RETURN_IF_ERROR(ReserveRoom());
  base::MutexLock order(order_mutex_);
  {
    base::MutexLock lock(mutex_);
    symbols_[symbol].last_event_time_us = 0;
  }
  pb::LogRecord record;
  record.mutable_restart()->set_symbol(symbol);
  return Send(symbol, record, "", extra, std::move(done));
}

absl::Status Publisher::PublishSplit(const pb::SplitRecord& split, std::string_view traceparent, Done done) {
  if (options_.rules < market::Rules::kWithGaps) {
    return base::FailedPrecondition("LOG_FORMAT_TOO_OLD",
                                    "the fetcher's --log_format=1 lets no split into the log: raise it to 2 once no "
                                    "evaluator, ticker or alert service of a version before splits is left");
  }
  STOCKALERT_RETURN_IF_ERROR(ReserveRoom());
  base::MutexLock order(order_mutex_);
  pb::LogRecord record;
  *record.mutable_split() = split;
  return Send(split.symbol(), record, traceparent, {}, std::move(done));
}

bool Publisher::AwaitLive(absl::Time deadline) {
  base::MutexLock lock(mutex_);
  const int64_t last = live_number_;
  return changed_.WaitFor(lock, deadline - absl::Now(), [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const bool under_way = live_under_way_ != 0 && live_under_way_ <= last;
    return !under_way && (live_.empty() || live_.front().number > last);
  });
}

absl::Status Publisher::PublishHold(const std::string& symbol, std::string_view traceparent, absl::Time deadline,
                                    const Stamp& stamp, Done done) {
  if (options_.rules < market::Rules::kWithGaps) {
    return base::FailedPrecondition("LOG_FORMAT_TOO_OLD",
                                    "the fetcher's --log_format=1 lets no suspected split into the log: raise it to 2 "
                                    "once no evaluator, ticker or alert service of a version before splits is left");
  }
  if (!has_epoch()) return NoEpoch();
  if (!AwaitLive(deadline)) {
    return base::Unavailable("LOG_UNAVAILABLE",
                             "quotes that came before wait for the log; nothing was published, try again in a moment");
  }
  STOCKALERT_RETURN_IF_ERROR(ReserveRoom());
  base::MutexLock order(order_mutex_);
  pb::LogRecord record;
  {
    base::MutexLock lock(mutex_);
    if (epoch_ == 0) {
      --in_flight_;
      changed_.NotifyAll();
      return NoEpoch();
    }
    stamp(epoch_, ++symbols_[symbol].sequence, record);
  }
  return Send(symbol, record, traceparent, {}, std::move(done));
}

absl::Status Publisher::PublishSuspicion(const std::string& symbol, std::string_view traceparent, absl::Time deadline,
                                         Done done) {
  const Stamp stamp = [&symbol](int64_t epoch, int64_t sequence, pb::LogRecord& record) {
    pb::SplitSuspectedRecord& suspected = *record.mutable_split_suspected();
    suspected.set_symbol(symbol);
    suspected.set_publisher_epoch(epoch);
    suspected.set_sequence(sequence);
  };
  return PublishHold(symbol, traceparent, deadline, stamp, std::move(done));
}

absl::Status Publisher::PublishDismissal(const std::string& symbol, std::string_view traceparent, absl::Time deadline,
                                         Done done) {
  const Stamp stamp = [&symbol](int64_t epoch, int64_t sequence, pb::LogRecord& record) {
    pb::SplitDismissedRecord& dismissed = *record.mutable_split_dismissed();
    dismissed.set_symbol(symbol);
    dismissed.set_publisher_epoch(epoch);
    dismissed.set_sequence(sequence);
  };
  return PublishHold(symbol, traceparent, deadline, stamp, std::move(done));
}

void Publisher::OfferLive(pb::QuoteRecord quote) {
  {
    base::MutexLock lock(mutex_);
    // What comes in while another publishes is that one's to bring.
    if (closing_ || (epoch_ == 0 && suspended_)) return;
    if (live_.size() >= options_.live_queue_max) {
      auto oldest = std::find_if(live_.begin(), live_.end(),
                                 [&](const auto& waiting) { return waiting.quote.symbol() == quote.symbol(); });
      live_.erase(oldest == live_.end() ? live_.begin() : oldest);
      metrics::GetCounter("stockalert_fetcher_live_quotes_dropped_total",
                          "Live quotes that gave way to newer ones while Kafka was away")
          .Increment();
    }
    live_.push_back({++live_number_, std::move(quote)});
  }
  changed_.NotifyAll();
}

void Publisher::RunLive() {
  static auto& late = metrics::GetCounter("stockalert_fetcher_live_quotes_late_total",
                                          "Live quotes from before the last published one of their symbol; dropped");
  for (;;) {
    LiveQuote live;
    {
      base::MutexLock lock(mutex_);
      // Woken now and then, to show that it still can be.
      while (!changed_.WaitFor(lock, absl::Seconds(5), [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return closed_ || (closing_ && live_.empty()) ||
               (!live_.empty() && epoch_ != 0 && in_flight_ < options_.in_flight_max);
      })) {
        live_turns_.Beat();
      }
      live_turns_.Beat();
      if (closed_ || live_.empty()) return live_turns_.End();
      live = std::move(live_.front());
      live_.pop_front();
      const auto state = symbols_.find(live.quote.symbol());
      if (state != symbols_.end() && live.quote.event_time_us() < state->second.last_event_time_us) {
        late.Increment();
        changed_.NotifyAll();
        continue;
      }
      live_under_way_ = live.number;
    }
    const pb::QuoteRecord& quote = live.quote;
    const absl::Status published = Publish(quote, "", {}, {});
    {
      base::MutexLock lock(mutex_);
      live_under_way_ = 0;
      // Where somebody else took the room: first again.
      if (absl::IsResourceExhausted(published)) live_.push_front(live);
    }
    if (!published.ok() && !absl::IsResourceExhausted(published)) {
      static log::Limiter limiter(absl::Seconds(10));
      if (const auto suppressed = limiter.Allow()) {
        log::Warning("a quote of the source was refused", {{"symbol", quote.symbol()},
                                                           {"source", quote.source()},
                                                           {"status", published},
                                                           {"suppressed", *suppressed}});
      }
    }
    changed_.NotifyAll();
  }
}

bool Publisher::AwaitRoom(absl::Time deadline) {
  base::MutexLock lock(mutex_);
  return changed_.WaitFor(lock, deadline - absl::Now(), [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return closed_ || (epoch_ != 0 && in_flight_ < options_.in_flight_max);
  }) && !closed_;
}

absl::Status Publisher::PublishOnceRoom(absl::Time deadline, const std::function<absl::Status()>& publish) {
  for (;;) {
    absl::Status published = publish();
    if (!absl::IsResourceExhausted(published) || !AwaitRoom(deadline)) return published;
  }
}

bool Publisher::AwaitAnswers(absl::Time deadline) {
  base::MutexLock lock(mutex_);
  return changed_.WaitFor(lock, deadline - absl::Now(),
                          [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return in_flight_ == 0; });
}

bool Publisher::IsStalled() const {
  base::MutexLock lock(mutex_);
  return in_flight_ > 0 &&
         monotonic_clock_.NowUs() - waiting_since_us_ > absl::ToInt64Microseconds(options_.stalled_after);
}

std::optional<pb::QuoteRecord> Publisher::LastPublished(const std::string& symbol) const {
  base::MutexLock lock(mutex_);
  const auto state = symbols_.find(symbol);
  return state == symbols_.end() ? std::nullopt : state->second.last_published;
}

std::optional<pb::QuoteRecord> Publisher::LastPublishedWithin(const std::string& symbol, absl::Duration age) const {
  base::MutexLock lock(mutex_);
  const auto state = symbols_.find(symbol);
  if (state == symbols_.end() || state->second.published_at_us == 0) return std::nullopt;
  if (monotonic_clock_.NowUs() - state->second.published_at_us >= absl::ToInt64Microseconds(age)) return std::nullopt;
  return state->second.last_published;
}

bool Publisher::IsLate(const pb::QuoteRecord& quote) const {
  base::MutexLock lock(mutex_);
  const auto state = symbols_.find(quote.symbol());
  return state != symbols_.end() && quote.event_time_us() < state->second.last_event_time_us;
}

void Publisher::Remember(const pb::QuoteRecord& quote) {
  base::MutexLock lock(mutex_);
  SymbolState& state = symbols_[quote.symbol()];
  if (!state.last_published) state.last_published = quote;
  state.last_event_time_us = std::max(state.last_event_time_us, quote.event_time_us());
}

void Publisher::Close(absl::Time deadline) {
  {
    base::MutexLock lock(mutex_);
    if (closed_) return;
    closing_ = true;
    changed_.NotifyAll();
    changed_.WaitFor(lock, deadline - absl::Now(),
                     [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return live_.empty() && in_flight_ == 0; });
    if (!live_.empty() || in_flight_ > 0) {
      log::Warning("stopping while quotes wait for the broker: what it has not taken is lost, newer ones follow",
                   {{"live", live_.size()}, {"in_flight", in_flight_}});
    }
    closed_ = true;
  }
  changed_.NotifyAll();
  if (live_thread_.joinable()) live_thread_.join();
}

}  // namespace stockalert::fetcher
