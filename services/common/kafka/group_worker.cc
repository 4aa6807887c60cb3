#include "services/common/kafka/group_worker.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"

namespace stockalert::kafka {
namespace {

constexpr absl::Duration kBrokerTimeout = absl::Seconds(5);
// Two ends of consumers within this are one process too many with the name.
constexpr absl::Duration kFatalInterval = absl::Seconds(15);
// Without an error for so long, the next one's pause is the first again.
constexpr absl::Duration kPartitionErrorsForgotten = absl::Minutes(1);

}  // namespace

GroupWorker::GroupWorker(MakeConsumer make, GroupHandler& handler, const GroupWorkerOptions& options)
    : make_(std::move(make)),
      handler_(handler),
      options_(options),
      join_pauses_({.initial = absl::Milliseconds(200), .maximum = absl::Seconds(5)}),
      partition_pauses_({.initial = options.partition_pause, .maximum = absl::Seconds(30)}),
      heartbeat_(options.name) {}

GroupWorker::~GroupWorker() { Stop(); }

void GroupWorker::Start() {
  heartbeat_.Beat();
  thread_ = std::thread([this] { Run(); });
}

void GroupWorker::Stop() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
    if (consumer_ != nullptr) consumer_->Wake();
  }
  stopped_.NotifyAll();
  if (thread_.joinable()) thread_.join();
  heartbeat_.End();
}

bool GroupWorker::Wait(absl::Duration duration) {
  base::MutexLock lock(mutex_);
  stopped_.WaitFor(lock, duration, [this] { return stopping(); });
  return !stopping();
}

void GroupWorker::Run() {
  while (!stopping()) {
    heartbeat_.Beat();
    bool is_fatal = false;
    const absl::Status ended = ReadAsMember(is_fatal);
    if (stopping()) return;
    if (options_.metrics.rejoins != nullptr) options_.metrics.rejoins->Increment();
    if (is_fatal) {
      if (GoesOnAfter(ended)) continue;
      heartbeat_.End();
      if (options_.on_fenced) options_.on_fenced(ended.ToString());
      return;
    }
    log::Warning("records cannot be taken now; joining the group anew", {{"worker", options_.name}, {"error", ended}});
    if (!Wait(join_pauses_.Next())) return;
  }
}

bool GroupWorker::GoesOnAfter(const absl::Status& fatal) {
  if (absl::IsAborted(fatal)) {
    log::Info("joining the group with a new consumer", {{"worker", options_.name}, {"reason", fatal}});
    return true;
  }
  const absl::Duration now = base::MonotonicNow();
  if (now - std::exchange(last_fatal_, now) <= kFatalInterval) {
    log::Error("the consumer cannot go on, as the one before it: does another process have this one's name?",
               {{"worker", options_.name}, {"reason", fatal}});
    return false;
  }
  // A broker that died may have forgotten who bears the member's name.
  log::Warning("the consumer cannot go on; joining the group with a new one",
               {{"worker", options_.name}, {"reason", fatal}});
  return true;
}

absl::Status GroupWorker::ReadAsMember(bool& is_fatal) {
  handler_.OnJoining();
  queue_.Clear();
  rejoin_at_ = absl::InfiniteDuration();
  STOCKALERT_ASSIGN_OR_RETURN(const std::unique_ptr<GroupConsumer> consumer, make_());
  {
    base::MutexLock lock(mutex_);
    consumer_ = consumer.get();
  }
  const absl::Status ended = ReadUntilError(*consumer, is_fatal);
  base::MutexLock lock(mutex_);
  consumer_ = nullptr;
  return ended;
}

absl::Status GroupWorker::ReadUntilError(GroupConsumer& consumer, bool& is_fatal) {
  while (!stopping()) {
    heartbeat_.Beat();
    if (base::MonotonicNow() >= rejoin_at_) return partition_error_;
    handler_.BeforePoll(consumer);
    // Where the queue is full, what it holds is settled first: the next round has room again.
    if (queue_.size() < options_.waiting_max) STOCKALERT_RETURN_IF_ERROR(ReadSome(consumer, is_fatal));
    // A rebalance may have emptied it.
    ShowWaiting();
    if (!queue_.empty()) STOCKALERT_RETURN_IF_ERROR(SettleSome(consumer));
  }
  return absl::OkStatus();
}

absl::Status GroupWorker::ReadSome(GroupConsumer& consumer, bool& is_fatal) {
  PollResult polled = consumer.Poll(queue_.empty() ? options_.poll_timeout : absl::ZeroDuration(), options_.poll_max);
  for (const RebalanceEvent& rebalance : polled.rebalances) {
    log::Info("partitions changed hands", {{"worker", options_.name},
                                           {"assigned", rebalance.kind == RebalanceEvent::Kind::kAssigned},
                                           {"partitions", rebalance.partitions.size()}});
    // What is not settled is read again from the committed offsets, by whoever has the partitions then.
    queue_.Clear();
  }
  if (!polled.fatal.ok()) {
    is_fatal = true;
    return polled.fatal;
  }
  handler_.AfterPoll(polled);
  STOCKALERT_RETURN_IF_ERROR(HandleErrors(consumer, polled.errors));
  if (polled.messages.empty()) return absl::OkStatus();
  std::vector<std::string> lanes;
  STOCKALERT_RETURN_IF_ERROR(WithRetry(polled.messages.size(), [&]() -> absl::Status {
    STOCKALERT_ASSIGN_OR_RETURN(lanes, handler_.FindLanes(polled.messages));
    return absl::OkStatus();
  }));
  for (size_t i = 0; i < polled.messages.size(); ++i) queue_.Push(lanes[i], CopyRecord(polled.messages[i]));
  return absl::OkStatus();
}

absl::Status GroupWorker::SettleSome(GroupConsumer& consumer) {
  const std::vector<QueuedRecord> records = queue_.PopBatch(options_.batch_max);
  handler_.Read(records);
  STOCKALERT_RETURN_IF_ERROR(WithRetry(records.size(), [&]() -> absl::Status {
    const auto held = handler_.Settle(consumer, records, [this] { heartbeat_.Beat(); });
    if (!held.ok()) return held.status();
    for (const auto& [partition, offset] : *held) queue_.HoldAt(partition, offset);
    return absl::OkStatus();
  }));
  handler_.OnSettled();
  join_pauses_.Reset();
  if (options_.metrics.records != nullptr) options_.metrics.records->Increment(static_cast<double>(records.size()));
  int64_t oldest_us = 0;
  for (const QueuedRecord& record : records) {
    if (record.log_time_us > 0 && (oldest_us == 0 || record.log_time_us < oldest_us)) oldest_us = record.log_time_us;
  }
  if (options_.metrics.delay_seconds != nullptr && oldest_us > 0) {
    options_.metrics.delay_seconds->Observe(
        static_cast<double>(std::max<int64_t>(absl::ToUnixMicros(absl::Now()) - oldest_us, 0)) / 1e6);
  }
  queue_.MarkDone(records);
  ShowWaiting();
  // The next batch does not wait for it. A commit that fails is made up for by the next one; what is read twice changes
  // nothing.
  const std::map<TopicPartition, int64_t> next_offsets = queue_.TakeNextOffsets();
  if (!next_offsets.empty()) consumer.CommitAsync(next_offsets);
  return absl::OkStatus();
}

absl::Status GroupWorker::HandleErrors(GroupConsumer& consumer, const std::vector<PartitionError>& errors) {
  for (const PartitionError& error : errors) {
    heartbeat_.Beat();
    log::Error("a partition cannot be read on", {{"worker", options_.name},
                                                 {"topic", error.partition.topic},
                                                 {"partition", error.partition.partition},
                                                 {"error", error.status}});
    if (absl::IsOutOfRange(error.status)) {
      STOCKALERT_RETURN_IF_ERROR(GoOnAtOldest(consumer, error.partition));
      continue;
    }
    const absl::Duration now = base::MonotonicNow();
    if (now - std::exchange(last_partition_error_, now) > kPartitionErrorsForgotten) partition_pauses_.Reset();
    if (rejoin_at_ == absl::InfiniteDuration()) rejoin_at_ = now + partition_pauses_.Next();
    partition_error_ = error.status;
  }
  return absl::OkStatus();
}

absl::Status GroupWorker::GoOnAtOldest(GroupConsumer& consumer, const TopicPartition& partition) {
  STOCKALERT_ASSIGN_OR_RETURN(const Watermarks marks, consumer.QueryWatermarks(partition, kBrokerTimeout));
  log::Error(
      "the place where reading was to go on is not in the log: going on at the oldest record; what was deleted unread "
      "is lost to this service: compare with the evaluator's triggers (scripts/audit)",
      {{"worker", options_.name},
       {"topic", partition.topic},
       {"partition", partition.partition},
       {"offset", marks.low}});
  handler_.OnMoved(partition);
  return consumer.Seek(partition, marks.low, kBrokerTimeout);
}

absl::Status GroupWorker::WithRetry(size_t records, const std::function<absl::Status()>& work) {
  const absl::Duration give_up = base::MonotonicNow() + options_.give_up_after;
  base::Backoff pauses({.initial = absl::Milliseconds(50), .maximum = absl::Seconds(2)});
  for (;;) {
    heartbeat_.Beat();
    const absl::Status status = work();
    if (status.ok()) return status;
    handler_.OnFailed();
    if (options_.metrics.failures != nullptr) options_.metrics.failures->Increment();
    static log::Limiter limiter(absl::Seconds(5));
    if (const auto suppressed = limiter.Allow()) {
      log::Warning("records cannot be stored now; trying again",
                   {{"worker", options_.name}, {"records", records}, {"error", status}, {"suppressed", *suppressed}});
    }
    if (base::MonotonicNow() >= give_up || !Wait(pauses.Next())) return status;
  }
}

void GroupWorker::ShowWaiting() {
  if (options_.metrics.waiting != nullptr) options_.metrics.waiting->Set(static_cast<double>(queue_.size()));
}

}  // namespace stockalert::kafka
