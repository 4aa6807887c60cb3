#include "services/alert/event_consumer.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/backoff.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::alert {

absl::StatusOr<std::unique_ptr<EventConsumer>> EventConsumer::Create(MakeConsumer make, EventApplier& applier,
                                                                     dead_letter::DeadLetterStore& dead_letters,
                                                                     const base::Clock& clock, const Options& options) {
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<kafka::GroupConsumer> consumer, make());
  return std::unique_ptr<EventConsumer>(
      new EventConsumer(std::move(make), std::move(consumer), applier, dead_letters, clock, options));
}

EventConsumer::EventConsumer(MakeConsumer make, std::unique_ptr<kafka::GroupConsumer> consumer, EventApplier& applier,
                             dead_letter::DeadLetterStore& dead_letters, const base::Clock& clock,
                             const Options& options)
    : make_(std::move(make)),
      applier_(applier),
      dead_letters_(dead_letters),
      clock_(clock),
      options_(options),
      consumer_(std::move(consumer)),
      held_({kafka::kAlertEventsTopic, kafka::kUserEventsTopic}, options.held),
      open_letters_(dead_letters) {
  for (const char* topic : {kafka::kAlertEventsTopic, kafka::kUserEventsTopic}) dead_letter::CountDeadLetters(topic, 0);
}

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
  static auto& records_total =
      metrics::GetCounter("stockalert_alert_records_total", "Records read from alert-events and user-events");
  static auto& delay =
      metrics::GetHistogram("stockalert_alert_event_delay_seconds",
                            "From the broker's append of an event to its being applied, of the oldest of each batch");
  static auto& waiting =
      metrics::GetGauge("stockalert_alert_events_waiting", "Records that were read and wait for their users' turns");
  while (!stopping()) {
    heartbeat_.Beat();
    held_.ResumeDue(*consumer_);
    open_letters_.Measure(absl::Now());
    kafka::PollResult polled;
    // Where the queue is full, what it holds is applied first: the next round has room again.
    if (queue_.size() < options_.held_max)
      polled = consumer_->Poll(queue_.empty() ? options_.poll_timeout : absl::ZeroDuration(), options_.poll_max);
    for (const kafka::RebalanceEvent& rebalance : polled.rebalances) {
      log::Info("event partitions changed hands",
                {{"assigned", rebalance.kind == kafka::RebalanceEvent::Kind::kAssigned},
                 {"partitions", rebalance.partitions.size()}});
      // What is not done is read again from the committed offsets, by whoever has the partitions then.
      queue_.Clear();
    }
    if (!polled.fatal.ok()) {
      // Such a consumer never reads again (a broker that was killed may have fenced it). What it brought last is read
      // again.
      log::Error("the consumer of events cannot go on; joining the group with a new one", {{"error", polled.fatal}});
      polled = kafka::PollResult();
      Rejoin();
      continue;
    }
    held_.Admit(polled);
    HandleErrors(polled.errors);
    bool done = polled.messages.empty() || Queue(polled.messages);
    // What was read is kept by the queue.
    polled = kafka::PollResult();
    waiting.Set(static_cast<double>(queue_.size()));
    if (done && queue_.empty()) continue;
    std::vector<kafka::QueuedRecord> batch;
    if (done) {
      batch = queue_.Take(options_.batch_max);
      done = SettleWithRetry(batch);
    }
    if (!done) {
      if (stopping()) return;
      log::Error(
          "the store has not taken the events for too long; leaving the group and joining again: look at Postgres",
          {{"waited", options_.give_up_after}});
      Rejoin();
      continue;
    }
    records_total.Increment(static_cast<double>(batch.size()));
    int64_t oldest_us = 0;
    for (const kafka::QueuedRecord& event : batch) {
      if (event.log_time_us > 0 && (oldest_us == 0 || event.log_time_us < oldest_us)) oldest_us = event.log_time_us;
    }
    if (oldest_us > 0)
      delay.Observe(static_cast<double>(std::max<int64_t>(absl::ToUnixMicros(absl::Now()) - oldest_us, 0)) / 1e6);
    queue_.Done(batch);
    waiting.Set(static_cast<double>(queue_.size()));
    // The next batch does not wait for it. A commit that fails is made up for by the next one; what is read twice does
    // no harm.
    if (const std::map<kafka::TopicPartition, int64_t> next_offsets = queue_.TakeNextOffsets(); !next_offsets.empty()) {
      consumer_->CommitAsync(next_offsets);
    }
  }
}

bool EventConsumer::Queue(const std::vector<kafka::Message>& messages) {
  std::vector<IncomingRecord> records;
  records.reserve(messages.size());
  for (const kafka::Message& message : messages)
    records.push_back({message.topic(), message.value(), message.traceparent()});
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
  held_.Clear();
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

bool EventConsumer::SettleWithRetry(const std::vector<kafka::QueuedRecord>& records) {
  std::vector<EventChange> changes;
  std::vector<dead_letter::Item> items;
  changes.reserve(records.size());
  items.reserve(records.size());
  for (const kafka::QueuedRecord& record : records) {
    const EventChange& change =
        changes.emplace_back(ReadEvent({record.partition.topic, record.value, record.traceparent}));
    items.push_back({record.partition, record.offset, change.verdict, change.cause});
  }
  dead_letter::Actions actions;
  actions.apply = [&](const std::vector<size_t>& indices) {
    heartbeat_.Beat();
    std::vector<const EventChange*> applied;
    applied.reserve(indices.size());
    for (const size_t index : indices) applied.push_back(&changes[index]);
    return applier_.Apply(applied);
  };
  actions.keep = [&](const std::vector<dead_letter::Refused>& refused) -> absl::Status {
    std::vector<dead_letter::DeadLetter> letters;
    letters.reserve(refused.size());
    for (const dead_letter::Refused& one : refused)
      letters.push_back(dead_letter::MakeDeadLetter(records[one.index], one.cause));
    STOCKALERT_RETURN_IF_ERROR(dead_letters_.Add(letters, clock_.NowUs()));
    for (const dead_letter::DeadLetter& letter : letters) dead_letter::ReportDeadLetter(letter);
    open_letters_.MeasureSoon();
    return absl::OkStatus();
  };
  actions.is_kept = [&](size_t index) { return dead_letters_.Has(dead_letter::MakeDeadLetter(records[index], "")); };
  return WithRetry(records.size(), [&]() -> absl::Status {
    STOCKALERT_ASSIGN_OR_RETURN(const dead_letter::Settled settled, dead_letter::Settle(items, actions));
    for (const auto& [place, held] : settled.held) queue_.HoldAt(place, held.offset);
    held_.Take(*consumer_, items, settled);
    return absl::OkStatus();
  });
}

bool EventConsumer::WithRetry(size_t records, const std::function<absl::Status()>& work) {
  const absl::Duration give_up = base::MonotonicNow() + options_.give_up_after;
  base::Backoff backoff({.initial = absl::Milliseconds(50), .maximum = absl::Seconds(2)});
  for (;;) {
    heartbeat_.Beat();
    const absl::Status status = work();
    if (status.ok()) {
      held_.NotBlocked();
      return true;
    }
    held_.Blocked();
    static auto& failures = metrics::GetCounter("stockalert_alert_apply_failures_total",
                                                "Batches of events that the store did not take at once");
    failures.Increment();
    static log::Limiter limiter(absl::Seconds(5));
    if (const auto suppressed = limiter.Allow()) {
      log::Warning("events cannot be applied now; trying again",
                   {{"records", records}, {"error", status}, {"suppressed", *suppressed}});
    }
    if (base::MonotonicNow() >= give_up) return false;
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, absl::ToChronoMilliseconds(backoff.Next()), [this] { return stopping(); });
    if (stopping()) return false;
  }
}

void EventConsumer::HandleErrors(const std::vector<kafka::PartitionError>& errors) {
  for (const kafka::PartitionError& error : errors) {
    heartbeat_.Beat();
    log::Error("a partition of events cannot be read on",
               {{"topic", error.partition.topic}, {"partition", error.partition.partition}, {"error", error.status}});
    if (!absl::IsOutOfRange(error.status)) continue;
    const absl::StatusOr<kafka::Watermarks> marks = consumer_->QueryWatermarks(error.partition, absl::Seconds(5));
    if (!marks.ok()) continue;
    const absl::Status sought = consumer_->Seek(error.partition, marks->low, absl::Seconds(5));
    held_.Forget(error.partition);
    log::Error(
        "events between the committed place and the oldest record are lost to this service; going on at the oldest: "
        "compare with the "
        "evaluator's triggers (scripts/audit)",
        {{"topic", error.partition.topic},
         {"partition", error.partition.partition},
         {"offset", marks->low},
         {"seek", sought}});
  }
}

}  // namespace stockalert::alert
