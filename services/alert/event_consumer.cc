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
  while (!stopping()) {
    heartbeat_.Beat();
    kafka::PollResult polled = consumer_->Poll(options_.poll_timeout, options_.batch_max);
    for (const kafka::RebalanceEvent& rebalance : polled.rebalances) {
      log::Info("event partitions changed hands", {{"assigned", rebalance.kind == kafka::RebalanceEvent::Kind::kAssigned},
                                                   {"partitions", rebalance.partitions.size()}});
    }
    if (!polled.fatal.ok()) {
      // Such a consumer never reads again (a broker that was killed may have fenced it). What it brought last is read again.
      log::Error("the consumer of events cannot go on; joining the group with a new one", {{"error", polled.fatal}});
      polled = kafka::PollResult();
      Rejoin();
      continue;
    }
    HandleErrors(polled.errors);
    if (polled.messages.empty()) continue;
    std::vector<IncomingRecord> records;
    std::map<kafka::TopicPartition, int64_t> next_offsets;
    int64_t oldest_us = polled.messages.front().log_time_us();
    for (const kafka::Message& message : polled.messages) {
      oldest_us = std::min(oldest_us, message.log_time_us());
      records.push_back({message.topic(), message.value(), message.traceparent()});
      next_offsets[{std::string(message.topic()), message.partition()}] = message.offset() + 1;
    }
    if (!ApplyWithRetry(records)) {
      polled.messages.clear();
      if (stopping()) return;
      log::Error("the store has not taken the events for too long; leaving the group and joining again: look at Postgres",
                 {{"waited", options_.give_up_after}});
      polled = kafka::PollResult();
      Rejoin();
      continue;
    }
    records_total.Increment(static_cast<double>(records.size()));
    if (oldest_us > 0) delay.Observe(static_cast<double>(std::max<int64_t>(absl::ToUnixMicros(absl::Now()) - oldest_us, 0)) / 1e6);
    // The next batch does not wait for it. A commit that fails is made up for by the next one; what is read twice does no harm.
    consumer_->CommitAsync(next_offsets);
  }
}

void EventConsumer::Rejoin() {
  std::unique_ptr<kafka::GroupConsumer> left;
  {
    std::lock_guard lock(mutex_);
    left = std::move(consumer_);
  }
  left.reset();
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
  const absl::Time give_up = absl::Now() + options_.give_up_after;
  base::Backoff backoff({.initial = absl::Milliseconds(50), .maximum = absl::Seconds(2)});
  for (;;) {
    heartbeat_.Beat();
    const absl::Status status = applier_.Apply(records);
    if (status.ok()) return true;
    static auto& failures = metrics::GetCounter("stockalert_alert_apply_failures_total", "Batches of events that the store did not take at once");
    failures.Increment();
    static log::Limiter limiter(absl::Seconds(5));
    if (const auto suppressed = limiter.Allow()) {
      log::Warning("events cannot be applied now; trying again", {{"records", records.size()}, {"error", status}, {"suppressed", *suppressed}});
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
