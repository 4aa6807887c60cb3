#include "services/alert/event_consumer.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/backoff.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::alert {

absl::StatusOr<std::unique_ptr<EventConsumer>> EventConsumer::Create(MakeConsumer make, EventApplier& applier, const Options& options) {
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<kafka::GroupConsumer> consumer, make());
  return std::unique_ptr<EventConsumer>(new EventConsumer(std::move(make), std::move(consumer), applier, options));
}

EventConsumer::EventConsumer(MakeConsumer make, std::unique_ptr<kafka::GroupConsumer> consumer, EventApplier& applier, const Options& options)
    : make_(std::move(make)), applier_(applier), options_(options), consumer_(std::move(consumer)) {}

EventConsumer::~EventConsumer() { Stop(); }

void EventConsumer::Start() {
  heartbeat_.Beat();
  thread_ = std::thread([this] { Loop(); });
}

void EventConsumer::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    if (consumer_) consumer_->Wake();
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  heartbeat_.End();
}

void EventConsumer::Loop() {
  static auto& records_total = metrics::GetCounter("stockalert_alert_records_total", "Records read from alert-events and user-events");
  static auto& delay = metrics::GetHistogram("stockalert_alert_event_delay_seconds",
                                             "From the broker's append of an event to its being applied, of the oldest of each batch");
  static auto& waiting = metrics::GetGauge("stockalert_alert_events_waiting", "Records that were read and wait for their users' turns");
  while (!stopping()) {
    heartbeat_.Beat();
    kafka::PollResult polled;
    // Where the queue is full, what it holds is applied first: the next round has room again.
    if (queue_.size() < options_.held_max) polled = consumer_->Poll(queue_.empty() ? options_.poll_timeout : absl::ZeroDuration(), options_.poll_max);
    for (const kafka::RebalanceEvent& rebalance : polled.rebalances) {
      log::Info("event partitions changed hands", {{"assigned", rebalance.kind == kafka::RebalanceEvent::Kind::kAssigned},
                                                   {"partitions", rebalance.partitions.size()}});
      // What is not done is read again from the committed offsets, by whoever has the partitions then.
      queue_.Clear();
    }
    if (!polled.fatal.ok()) {
      // Such a consumer never reads again (a broker that was killed may have fenced it). What it brought last is read again.
      log::Error("the consumer of events cannot go on; joining the group with a new one", {{"error", polled.fatal}});
      polled = kafka::PollResult();
      Rejoin();
      continue;
    }
    HandleErrors(polled.errors);
    bool done = polled.messages.empty() || Queue(polled.messages);
    // What was read is kept by the queue.
    polled = kafka::PollResult();
    waiting.Set(static_cast<double>(queue_.size()));
    if (done && queue_.empty()) continue;
    std::vector<kafka::QueuedRecord> batch;
    if (done) {
      batch = queue_.Take(options_.batch_max);
      std::vector<IncomingRecord> records;
      records.reserve(batch.size());
      for (const kafka::QueuedRecord& event : batch) records.push_back({event.partition.topic, event.value, event.traceparent});
      done = ApplyWithRetry(records);
    }
    if (!done) {
      if (stopping()) return;
      log::Error("the store has not taken the events for too long; leaving the group and joining again: look at Postgres",
                 {{"waited", options_.give_up_after}});
      Rejoin();
      continue;
    }
    records_total.Increment(static_cast<double>(batch.size()));
    int64_t oldest_us = 0;
    for (const kafka::QueuedRecord& event : batch) {
      if (event.log_time_us > 0 && (oldest_us == 0 || event.log_time_us < oldest_us)) oldest_us = event.log_time_us;
    }
    if (oldest_us > 0) delay.Observe(static_cast<double>(std::max<int64_t>(absl::ToUnixMicros(absl::Now()) - oldest_us, 0)) / 1e6);
    queue_.Done(batch);
    waiting.Set(static_cast<double>(queue_.size()));
    // The next batch does not wait for it. A commit that fails is made up for by the next one; what is read twice does no harm.
    if (const std::map<kafka::TopicPartition, int64_t> next_offsets = queue_.TakeNextOffsets(); !next_offsets.empty()) {
      consumer_->CommitAsync(next_offsets);
    }
  }
}

bool EventConsumer::Queue(const std::vector<kafka::Message>& messages) {
  std::vector<IncomingRecord> records;
  records.reserve(messages.size());
  for (const kafka::Message& message : messages) records.push_back({message.topic(), message.value(), message.traceparent()});
  std::vector<std::string> lanes;
  const bool found = WithRetry(records.size(), [&]() -> absl::Status {
    STOCKALERT_ASSIGN_OR_RETURN(lanes, applier_.FindLanes(records));
    return absl::OkStatus();
  });
  if (!found) return false;
  for (size_t i = 0; i < messages.size(); ++i) queue_.Push(lanes[i], kafka::Copy(messages[i]));
  return true;
}

void EventConsumer::Rejoin() {
  std::unique_ptr<kafka::GroupConsumer> left;
  {
    std::lock_guard lock(mutex_);
    left = std::move(consumer_);
  }
  left.reset();
  queue_.Clear();
  while (!stopping()) {
    heartbeat_.Beat();
    absl::StatusOr<std::unique_ptr<kafka::GroupConsumer>> made = make_();
    std::unique_lock lock(mutex_);
    if (made.ok()) {
      consumer_ = *std::move(made);
      return;
    }
    log::Error("a new consumer cannot be made; trying again", {{"error", made.status()}});
    wake_.wait_for(lock, std::chrono::seconds(5), [this] { return stopping(); });
  }
}

bool EventConsumer::ApplyWithRetry(const std::vector<IncomingRecord>& records) {
  return WithRetry(records.size(), [&] { return applier_.Apply(records); });
}

bool EventConsumer::WithRetry(size_t records, const std::function<absl::Status()>& work) {
  const absl::Time give_up = absl::Now() + options_.give_up_after;
  base::Backoff backoff({.initial = absl::Milliseconds(50), .maximum = absl::Seconds(2)});
  for (;;) {
    heartbeat_.Beat();
    const absl::Status status = work();
    if (status.ok()) return true;
    static auto& failures = metrics::GetCounter("stockalert_alert_apply_failures_total", "Batches of events that the store did not take at once");
    failures.Increment();
    static log::Limiter limiter(absl::Seconds(5));
    if (const auto suppressed = limiter.Allow()) {
      log::Warning("events cannot be applied now; trying again", {{"records", records}, {"error", status}, {"suppressed", *suppressed}});
    }
    if (absl::Now() >= give_up) return false;
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, absl::ToChronoMilliseconds(backoff.Next()), [this] { return stopping(); });
    if (stopping()) return false;
  }
}

void EventConsumer::HandleErrors(const std::vector<kafka::PartitionError>& errors) {
  for (const kafka::PartitionError& error : errors) {
    heartbeat_.Beat();
    log::Error("a partition of events cannot be read on", {{"topic", error.partition.topic}, {"partition", error.partition.partition},
                                                          {"error", error.status}});
    if (!absl::IsOutOfRange(error.status)) continue;
    const absl::StatusOr<kafka::Watermarks> marks = consumer_->QueryWatermarks(error.partition, absl::Seconds(5));
    if (!marks.ok()) continue;
    const absl::Status sought = consumer_->Seek(error.partition, marks->low, absl::Seconds(5));
    log::Error("events between the committed place and the oldest record are lost to this service; going on at the oldest: compare with the "
               "evaluator's triggers (scripts/audit)",
               {{"topic", error.partition.topic}, {"partition", error.partition.partition}, {"offset", marks->low}, {"seek", sought}});
  }
}

}  // namespace stockalert::alert
