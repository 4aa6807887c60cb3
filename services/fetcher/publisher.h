// The one publisher of every symbol's quotes: stamps epoch and sequence, keeps a symbol's order, and writes to the
// topic `prices`.
//
// Thread-safe. A record in flight never times out: the producer must wait for the broker without end
// (PublisherProducerOptions), because a record that is lost before a later one arrives leaves a gap, and sending it
// again would be too late. Instead the number in flight is bounded: beyond `in_flight_max` Publish refuses, and the
// caller waits (a replay), answers UNAVAILABLE (a call), or drops the oldest live quote of a symbol (OfferLive). Every
// refusal is counted.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/common/kafka/producer.h"
#include "services/common/process/liveness.h"
#include "services/domain/market/rules.h"
#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::fetcher {

inline constexpr char kSourceRest[] = "finnhub-rest";
inline constexpr char kSourceStream[] = "finnhub-ws";
inline constexpr char kSourceReplay[] = "replay";
inline constexpr char kSourcePublished[] = "published";

// What a Publisher's producer has to be made with.
kafka::ProducerOptions PublisherProducerOptions(std::string bootstrap);

struct PublisherOptions {
  size_t in_flight_max = 2000;
  // Live quotes that wait for room, of all symbols.
  size_t live_queue_max = 10'000;
  // A broker that acknowledged nothing for this long, while records wait, counts as down.
  absl::Duration stalled_after = absl::Seconds(2);
  // QuoteRecord.rules of what it writes.
  market::Rules rules = market::kNewestRules;
};

class Publisher {
 public:
  // Called with the record's place in the log, or why it is not there.
  using Done = kafka::DeliveryCallback;

  // `producer` and `clock` must outlive it; destroy the producer (which answers what is left) only after Close.
  Publisher(kafka::Producer& producer, const base::Clock& clock, const PublisherOptions& options = {});
  ~Publisher();

  // Must be called before anything is published; every epoch is above those before.
  void BeginEpoch(int64_t epoch);

  // Publishes nothing more until the next BeginEpoch: another publisher has a newer epoch. Live quotes that wait are
  // dropped.
  void Suspend();
  // Whether it has an epoch to publish under.
  bool has_epoch() const;

  // Starts the metrics of this source, so that a source that never brings quotes is visible, too.
  static void ExpectQuotesOf(const char* source);

  // Publishes one quote: the caller sets source, symbol, price, time and session, this sets epoch and sequence. `done`
  // (may be empty) gets the broker's answer, on the producer's thread. INVALID_ARGUMENT: quote_rules refuse it
  // (counted). RESOURCE_EXHAUSTED: too much is in flight. UNAVAILABLE: no epoch, or closed. `extra` headers are sent
  // besides traceparent, which is made anew where it is empty.
  absl::Status Publish(internal::v1::QuoteRecord quote, std::string_view traceparent, const kafka::Headers& extra,
                       Done done);
  // The symbol's history begins anew.
  absl::Status PublishRestart(const std::string& symbol, const kafka::Headers& extra, Done done);

  // A split of the symbol, in the order of its quotes. What a source says twice is still known by the price that it
  // had: LastPublished stays. RESOURCE_EXHAUSTED, UNAVAILABLE: as Publish. FAILED_PRECONDITION (LOG_FORMAT_TOO_OLD):
  // readers of the log's format (PublisherOptions.rules) may know of no splits.
  absl::Status PublishSplit(const internal::v1::SplitRecord& split, std::string_view traceparent, Done done);

  // That a split of the symbol is suspected, or that there was none: with epoch and sequence, in the order of its
  // quotes. Live quotes that wait are published first, for which it waits until `deadline` at most; UNAVAILABLE where
  // they cannot be by then. Else as PublishSplit.
  absl::Status PublishSuspicion(const std::string& symbol, std::string_view traceparent, absl::Time deadline,
                                Done done);
  absl::Status PublishDismissal(const std::string& symbol, std::string_view traceparent, absl::Time deadline,
                                Done done);

  // Queues a live quote and returns at once. A quote from before the symbol's last published one is dropped, as is the
  // symbol's oldest waiting one when too many wait.
  void OfferLive(internal::v1::QuoteRecord quote);

  // Waits until Publish would have room, at most until `deadline`.
  bool AwaitRoom(absl::Time deadline);
  // Calls `publish`, which publishes one record here, again as long as there is no room for it, and gives what it gave.
  // RESOURCE_EXHAUSTED: there was no room until `deadline`, and nothing was published.
  absl::Status PublishOnceRoom(absl::Time deadline, const std::function<absl::Status()>& publish);
  // Waits until nothing is in flight.
  bool AwaitAnswers(absl::Time deadline);
  // Whether the broker seems to be down.
  bool IsStalled() const;

  // The last quote of the symbol that the broker has acknowledged, or that was remembered.
  std::optional<internal::v1::QuoteRecord> LastPublished(const std::string& symbol) const;
  // That one, where the broker acknowledged it less than `age` ago.
  std::optional<internal::v1::QuoteRecord> LastPublishedWithin(const std::string& symbol, absl::Duration age) const;
  // Whether a quote of the symbol with a later event time has been handed on, so that readers will drop this one as
  // late.
  bool IsLate(const internal::v1::QuoteRecord& quote) const;
  // Notes a quote that the log held before this process (a resumed replay).
  void Remember(const internal::v1::QuoteRecord& quote);

  // Accepts nothing more; publishes the waiting live quotes and waits for what is in flight. Only the first call
  // counts.
  void Close(absl::Time deadline);

 private:
  struct SymbolState {
    int64_t sequence = 0;
    int64_t last_event_time_us = 0;  // Of the last quote handed to the producer.
    std::optional<internal::v1::QuoteRecord> last_published;
    int64_t published_at_us = 0;  // Of the steady clock; 0: not by this process.
  };
  absl::Status Send(const std::string& symbol, const internal::v1::LogRecord& record, std::string_view traceparent,
                    const kafka::Headers& extra, Done done);
  // What PublishSuspicion and PublishDismissal do: `stamp` puts epoch and sequence into a record.
  using Stamp = std::function<void(int64_t epoch, int64_t sequence, internal::v1::LogRecord& record)>;
  absl::Status PublishHold(const std::string& symbol, std::string_view traceparent, absl::Time deadline,
                           const Stamp& stamp, Done done);
  // The live quotes that wait now are the producer's, or dropped; false where the deadline comes first.
  bool AwaitLive(absl::Time deadline);
  absl::Status ReserveRoom();
  void RunLive();

  kafka::Producer& producer_;
  const base::Clock& clock_;
  const base::SystemMonotonicClock monotonic_clock_;
  const PublisherOptions options_;

  base::Mutex order_mutex_;    // Held from taking a sequence number until the producer has the record.
  mutable base::Mutex mutex_;  // Taken after order_mutex_, never while calling the producer.
  base::ConditionVariable changed_;
  int64_t epoch_ ABSL_GUARDED_BY(mutex_) = 0;  // 0 before BeginEpoch.
  bool suspended_ ABSL_GUARDED_BY(mutex_) = false;
  std::unordered_map<std::string, SymbolState> symbols_ ABSL_GUARDED_BY(mutex_);
  size_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t waiting_since_us_ ABSL_GUARDED_BY(mutex_) = 0;  // Since the last answer, or since something waits.
  struct LiveQuote {
    int64_t number = 0;  // In the order in which they came.
    internal::v1::QuoteRecord quote;
  };
  std::deque<LiveQuote> live_ ABSL_GUARDED_BY(mutex_);
  int64_t live_number_ ABSL_GUARDED_BY(mutex_) = 0;     // Of the last one.
  int64_t live_under_way_ ABSL_GUARDED_BY(mutex_) = 0;  // On its way from live_ to the producer; 0: none.
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;        // No more live quotes are taken.
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  process::Heartbeat live_turns_{"fetcher_live_quotes"};
  std::thread live_thread_;
};

}  // namespace stockalert::fetcher
