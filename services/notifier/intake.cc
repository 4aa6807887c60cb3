#include "services/notifier/intake.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/backoff.h"
#include "services/common/base/monotonic_clock.h"
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
  return metrics::GetCounter("stockalert_notifier_triggers_total", "Triggers taken in, by what became of them",
                             {{"outcome", outcome}});
}

}  // namespace

Intake::Intake(const IntakeOptions& options, MakeConsumer make_consumer, NotificationStore& store,
               dead_letter::DeadLetterStore& dead_letters, const base::Clock& clock, base::IdSource& ids,
               OnStored on_stored)
    : options_(options),
      make_consumer_(std::move(make_consumer)),
      store_(store),
      clock_(clock),
      dead_letters_(dead_letters),
      ids_(ids),
      on_stored_(std::move(on_stored)),
      held_({options.triggers_topic, options.user_events_topic}, options.held),
      open_letters_(dead_letters),
      thread_([this] { Work(); }) {}

Intake::~Intake() { Stop(); }

void Intake::Stop() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
  heartbeat_.End();
}

bool Intake::stopping() {
  base::MutexLock lock(mutex_);
  return stopping_;
}

bool Intake::Wait(absl::Duration duration) {
  base::MutexLock lock(mutex_);
  changed_.WaitFor(lock, duration, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
  return !stopping_;
}

void Intake::Work() {
  static auto& rejoins = metrics::GetCounter("stockalert_notifier_rejoins_total",
                                             "Times that the consumer group was left and joined anew");
  base::Backoff backoff({.initial = absl::Milliseconds(200), .maximum = absl::Seconds(5)});
  for (const std::string& topic : {options_.triggers_topic, options_.user_events_topic})
    dead_letter::CountDeadLetters(topic, 0);
  while (!stopping()) {
    heartbeat_.Beat();
    held_.Clear();
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
  static auto& waiting = metrics::GetGauge("stockalert_notifier_records_waiting",
                                           "Records that were read and wait for their users' turns");
  kafka::RecordQueue queue;
  while (!stopping()) {
    heartbeat_.Beat();
    held_.ResumeDue(consumer);
    open_letters_.Measure(absl::Now());
    // Where the queue is full, what it holds is stored first: the next round has room again.
    if (queue.size() < options_.held_max) {
      kafka::PollResult polled = consumer.Poll(queue.empty() ? kPollTimeout : absl::ZeroDuration(), options_.poll_max);
      // What is not stored is read again from the committed offsets, by whoever has the partitions then.
      if (!polled.rebalances.empty()) queue.Clear();
      held_.Admit(polled);
      for (const kafka::Message& message : polled.messages) {
        // Both topics have the user's id as their key.
        queue.Push(std::string(message.key()), kafka::Copy(message));
      }
      for (const kafka::PartitionError& error : polled.errors)
        STOCKALERT_RETURN_IF_ERROR(GoOnAtOldest(consumer, error));
      STOCKALERT_RETURN_IF_ERROR(polled.fatal);
    }
    // A rebalance may have emptied it.
    waiting.Set(static_cast<double>(queue.size()));
    if (queue.empty()) continue;
    const std::vector<kafka::QueuedRecord> records = queue.Take(options_.records_max);
    STOCKALERT_RETURN_IF_ERROR(Settle(consumer, queue, records));
    queue.Done(records);
    // The next batch does not wait for it. A commit that fails is made up for by the next one; what is read twice
    // changes nothing.
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
  log::Error(
      "the place where reading was to go on is not in the log: going on at the oldest record; what was deleted unread "
      "is lost to the "
      "notifier: compare with the triggers (scripts/audit)",
      {{"topic", error.partition.topic}, {"partition", error.partition.partition}, {"offset", marks.low}});
  held_.Forget(error.partition);
  return consumer.Seek(error.partition, marks.low, kBrokerTimeout);
}

dead_letter::Item Intake::Decode(const kafka::QueuedRecord& record, Decoded& decoded) {
  static auto& malformed = Triggers("malformed");
  static auto& mails_without_channel = metrics::GetCounter(
      "stockalert_notifier_mails_total",
      "Mails asked for, by what became of them: this version has no channel to mail by", {{"outcome", "no_channel"}});
  dead_letter::Item item;
  item.place = record.partition;
  item.offset = record.offset;
  absl::Status problem;
  if (record.partition.topic == options_.user_events_topic) {
    absl::StatusOr<std::optional<UserDeletion>> deletion = DecodeUserEvent(record.value);
    problem = deletion.status();
    if (deletion.ok()) decoded.deletion = *std::move(deletion);
    if (deletion.ok() && !decoded.deletion) {
      item.verdict = dead_letter::Item::Verdict::kPassOver;
      mails_without_channel.Increment();
    }
  } else {
    absl::StatusOr<NewNotification> notification = DecodeTrigger(record.value, record.traceparent);
    problem = notification.status();
    if (notification.ok()) {
      notification->id = ids_.NewUuid();
      decoded.notification = *std::move(notification);
    }
  }
  if (problem.ok()) return item;
  malformed.Increment();
  item.verdict =
      absl::IsUnimplemented(problem) ? dead_letter::Item::Verdict::kHold : dead_letter::Item::Verdict::kDeadLetter;
  item.cause = std::string(problem.message());
  return item;
}

absl::Status Intake::Settle(kafka::GroupConsumer& consumer, kafka::RecordQueue& queue,
                            const std::vector<kafka::QueuedRecord>& records) {
  static auto& failures = metrics::GetCounter("stockalert_notifier_take_in_failures_total",
                                              "Batches that the database did not take at once");
  std::vector<Decoded> decoded(records.size());
  std::vector<dead_letter::Item> items;
  items.reserve(records.size());
  for (size_t i = 0; i < records.size(); ++i) items.push_back(Decode(records[i], decoded[i]));
  dead_letter::Actions actions;
  actions.apply = [&](const std::vector<size_t>& indices) {
    heartbeat_.Beat();
    IntakeBatch batch;
    for (const size_t index : indices) {
      if (const std::optional<NewNotification>& notification = decoded[index].notification) {
        if (notification->throttled && batch.fold_ids.count(notification->user_id) == 0) {
          batch.fold_ids.emplace(notification->user_id, ids_.NewUuid());
        }
        batch.notifications.push_back(*notification);
      }
      if (decoded[index].deletion) batch.deletions.push_back(*decoded[index].deletion);
    }
    return TakeIn(batch);
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
  const absl::Duration give_up = base::MonotonicNow() + options_.give_up_after;
  base::Backoff backoff({.initial = absl::Milliseconds(50), .maximum = absl::Seconds(2)});
  for (;;) {
    heartbeat_.Beat();
    const absl::StatusOr<dead_letter::Settled> settled = dead_letter::Settle(items, actions);
    if (settled.ok()) {
      held_.NotBlocked();
      for (const auto& [place, held] : settled->held) queue.HoldAt(place, held.offset);
      held_.Take(consumer, items, *settled);
      return absl::OkStatus();
    }
    held_.Blocked();
    failures.Increment();
    static log::Limiter limiter(absl::Seconds(5));
    if (const auto suppressed = limiter.Allow()) {
      log::Warning("notifications cannot be stored now; trying again",
                   {{"status", settled.status()}, {"records", records.size()}, {"suppressed", *suppressed}});
    }
    if (base::MonotonicNow() >= give_up || !Wait(backoff.Next())) return settled.status();
  }
}

absl::Status Intake::TakeIn(const IntakeBatch& batch) {
  static auto& stored = Triggers("stored");
  static auto& repeated = Triggers("repeated");
  static auto& throttled = Triggers("throttled");
  static auto& of_deleted_users = Triggers("of_deleted_user");
  static auto& deleted = metrics::GetCounter("stockalert_notifier_notifications_deleted_total",
                                             "Notifications that went with their users");
  // The broker's clock against this machine's: as true as the two agree.
  static auto& end_to_end = metrics::GetHistogram(
      "stockalert_end_to_end_seconds",
      "From the broker's append of a quote to the notification of what it triggered being stored");
  STOCKALERT_ASSIGN_OR_RETURN(const IntakeResult result, store_.TakeIn(batch, clock_.NowUs()));
  repeated.Increment(static_cast<double>(result.repeated));
  of_deleted_users.Increment(static_cast<double>(result.of_deleted_users));
  deleted.Increment(static_cast<double>(result.deleted));
  const int64_t stored_us = clock_.NowUs();
  std::set<std::string> users;
  for (const StoredNotification& notification : result.stored) {
    users.insert(notification.user_id);
    if (notification.throttled) {
      // One line for all of them: that of the one that stands for them.
      throttled.Increment();
      continue;
    }
    if (notification.kind == Kind::kThrottled) {
      log::Info("throttled triggers stored",
                {{"notification", notification.id}, {"triggers", notification.folded_count}});
      continue;
    }
    stored.Increment();
    if (notification.log_time_us > 0)
      end_to_end.Observe(static_cast<double>(std::max<int64_t>(stored_us - notification.log_time_us, 0)) / 1e6);
    const trace::Context trace = trace::Continue(notification.traceparent);
    log::Info("notification stored", {{"notification", notification.id},
                                      {"alert", notification.alert_id},
                                      {"trigger", notification.trigger_number},
                                      {"trace_id", trace.trace_id}});
  }
  if (!users.empty()) on_stored_({users.begin(), users.end()});
  return absl::OkStatus();
}

}  // namespace stockalert::notifier
