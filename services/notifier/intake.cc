#include "services/notifier/intake.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/backoff.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/trace/trace.h"
#include "services/notifier/intake_decode.h"

namespace stockalert::notifier {
namespace {

constexpr absl::Duration kPollTimeout = absl::Milliseconds(200);
constexpr absl::Duration kBrokerTimeout = absl::Seconds(5);

prometheus::Counter& Triggers(const std::string& outcome) {
  return metrics::GetCounter("stockalert_notifier_triggers_total", "Triggers taken in, by what became of them", {{"outcome", outcome}});
}

}  // namespace

Intake::Intake(const IntakeOptions& options, MakeConsumer make_consumer, NotificationStore& store, const base::Clock& clock,
               base::IdSource& ids, OnStored on_stored)
    : options_(options),
      make_consumer_(std::move(make_consumer)),
      store_(store),
      clock_(clock),
      ids_(ids),
      on_stored_(std::move(on_stored)),
      thread_([this] { Work(); }) {}

Intake::~Intake() { Stop(); }

void Intake::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  heartbeat_.End();
}

bool Intake::stopping() {
  std::lock_guard lock(mutex_);
  return stopping_;
}

bool Intake::Wait(absl::Duration duration) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoMilliseconds(duration), [this] { return stopping_; });
  return !stopping_;
}

void Intake::Work() {
  static auto& rejoins = metrics::GetCounter("stockalert_notifier_rejoins_total", "Times that the consumer group was left and joined anew");
  base::Backoff backoff({.initial = absl::Milliseconds(200), .maximum = absl::Seconds(5)});
  while (!stopping()) {
    heartbeat_.Beat();
    absl::Status status;
    {
      absl::StatusOr<std::unique_ptr<kafka::GroupConsumer>> consumer = make_consumer_();
      status = consumer.ok() ? ReadUntilError(**consumer) : consumer.status();
    }
    if (stopping()) return;
    rejoins.Increment();
    log::Warning("triggers cannot be taken in now; joining the group anew", {{"status", status}});
    if (!Wait(backoff.Next())) return;
  }
}

absl::Status Intake::ReadUntilError(kafka::GroupConsumer& consumer) {
  static auto& waiting = metrics::GetGauge("stockalert_notifier_records_waiting", "Records that were read and wait for their users' turns");
  kafka::RecordQueue queue;
  while (!stopping()) {
    heartbeat_.Beat();
    // Where the queue is full, what it holds is stored first: the next round has room again.
    if (queue.size() < options_.held_max) {
      const kafka::PollResult polled = consumer.Poll(queue.empty() ? kPollTimeout : absl::ZeroDuration(), options_.poll_max);
      // What is not stored is read again from the committed offsets, by whoever has the partitions then.
      if (!polled.rebalances.empty()) queue.Clear();
      for (const kafka::Message& message : polled.messages) {
        // Both topics have the user's id as their key.
        queue.Push(std::string(message.key()), kafka::Copy(message));
      }
      for (const kafka::PartitionError& error : polled.errors) STOCKALERT_RETURN_IF_ERROR(GoOnAtOldest(consumer, error));
      STOCKALERT_RETURN_IF_ERROR(polled.fatal);
    }
    if (queue.empty()) continue;
    const std::vector<kafka::QueuedRecord> records = queue.Take(options_.records_max);
    STOCKALERT_RETURN_IF_ERROR(TakeIn(Decode(records)));
    queue.Done(records);
    waiting.Set(static_cast<double>(queue.size()));
    // The next batch does not wait for it. A commit that fails is made up for by the next one; what is read twice changes nothing.
    if (const std::map<kafka::TopicPartition, int64_t> next_offsets = queue.TakeNextOffsets(); !next_offsets.empty()) {
      consumer.CommitAsync(next_offsets);
    }
  }
  return absl::OkStatus();
}

absl::Status Intake::GoOnAtOldest(kafka::GroupConsumer& consumer, const kafka::PartitionError& error) {
  heartbeat_.Beat();
  if (!absl::IsOutOfRange(error.status)) return error.status;
  STOCKALERT_ASSIGN_OR_RETURN(const kafka::Watermarks marks, consumer.QueryWatermarks(error.partition, kBrokerTimeout));
  log::Error("the place where reading was to go on is not in the log: going on at the oldest record; what was deleted unread is lost to the "
             "notifier: compare with the triggers (scripts/audit)",
             {{"topic", error.partition.topic}, {"partition", error.partition.partition}, {"offset", marks.low}});
  return consumer.Seek(error.partition, marks.low, kBrokerTimeout);
}

IntakeBatch Intake::Decode(const std::vector<kafka::QueuedRecord>& records) {
  static auto& malformed = Triggers("malformed");
  static auto& mails_without_channel = metrics::GetCounter(
      "stockalert_notifier_mails_total", "Mails asked for, by what became of them: this version has no channel to mail by", {{"outcome", "no_channel"}});
  IntakeBatch batch;
  for (const kafka::QueuedRecord& record : records) {
    absl::Status problem;
    if (record.partition.topic == options_.user_events_topic) {
      absl::StatusOr<std::optional<UserDeletion>> deletion = DecodeUserEvent(record.value);
      if (!deletion.ok()) {
        problem = deletion.status();
      } else if (*deletion) {
        batch.deletions.push_back(**std::move(deletion));
      } else {
        mails_without_channel.Increment();
      }
    } else {
      absl::StatusOr<NewNotification> notification = DecodeTrigger(record.value, record.traceparent);
      if (notification.ok()) {
        notification->id = ids_.NewUuid();
        if (notification->throttled && batch.fold_ids.count(notification->user_id) == 0) {
          batch.fold_ids.emplace(notification->user_id, ids_.NewUuid());
        }
        batch.notifications.push_back(*std::move(notification));
      } else {
        problem = notification.status();
      }
    }
    if (problem.ok()) continue;
    malformed.Increment();
    log::Error("a record cannot be understood and is passed over: was it written by a newer version?",
               {{"topic", record.partition.topic},
                {"partition", record.partition.partition},
                {"offset", record.offset},
                {"status", problem}});
  }
  return batch;
}

absl::Status Intake::TakeIn(const IntakeBatch& batch) {
  static auto& stored = Triggers("stored");
  static auto& repeated = Triggers("repeated");
  static auto& throttled = Triggers("throttled");
  static auto& of_deleted_users = Triggers("of_deleted_user");
  static auto& deleted = metrics::GetCounter("stockalert_notifier_notifications_deleted_total", "Notifications that went with their users");
  static auto& failures = metrics::GetCounter("stockalert_notifier_take_in_failures_total", "Batches that the database did not take at once");
  // The broker's clock against this machine's: as true as the two agree.
  static auto& end_to_end = metrics::GetHistogram(
      "stockalert_end_to_end_seconds", "From the broker's append of a quote to the notification of what it triggered being stored");
  const absl::Time give_up = absl::Now() + options_.give_up_after;
  base::Backoff backoff({.initial = absl::Milliseconds(50), .maximum = absl::Seconds(2)});
  for (;;) {
    heartbeat_.Beat();
    const absl::StatusOr<IntakeResult> result = store_.TakeIn(batch, clock_.NowUs());
    if (!result.ok()) {
      failures.Increment();
      static log::Limiter limiter(absl::Seconds(5));
      if (const auto suppressed = limiter.Allow()) {
        log::Warning("notifications cannot be stored now; trying again",
                     {{"status", result.status()}, {"notifications", batch.notifications.size()}, {"suppressed", *suppressed}});
      }
      if (absl::Now() >= give_up || !Wait(backoff.Next())) return result.status();
      continue;
    }
    repeated.Increment(static_cast<double>(result->repeated));
    of_deleted_users.Increment(static_cast<double>(result->of_deleted_users));
    deleted.Increment(static_cast<double>(result->deleted));
    const int64_t stored_us = clock_.NowUs();
    std::set<std::string> users;
    for (const StoredNotification& notification : result->stored) {
      users.insert(notification.user_id);
      if (notification.throttled) {
        // One line for all of them: that of the one that stands for them.
        throttled.Increment();
        continue;
      }
      if (notification.kind == Kind::kThrottled) {
        log::Info("throttled triggers stored", {{"notification", notification.id}, {"triggers", notification.folded_count}});
        continue;
      }
      stored.Increment();
      if (notification.log_time_us > 0) end_to_end.Observe(static_cast<double>(std::max<int64_t>(stored_us - notification.log_time_us, 0)) / 1e6);
      const trace::Context trace = trace::Continue(notification.traceparent);
      log::Info("notification stored", {{"notification", notification.id},
                                        {"alert", notification.alert_id},
                                        {"trigger", notification.trigger_number},
                                        {"trace_id", trace.trace_id}});
    }
    if (!users.empty()) on_stored_({users.begin(), users.end()});
    return absl::OkStatus();
  }
}

}  // namespace stockalert::notifier
