#include "services/notifier/intake.h"

#include <algorithm>
#include <set>
#include <utility>

#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/trace/trace.h"
#include "services/notifier/intake_decode.h"

namespace stockalert::notifier {
namespace {

prometheus::Counter& Triggers(const std::string& outcome) {
  return metrics::GetCounter("stockalert_notifier_triggers_total", "Triggers taken in, by what became of them",
                             {{"outcome", outcome}});
}

prometheus::Counter& CodeMails(const char* outcome) {
  return metrics::GetCounter("stockalert_notifier_mails_total", "Mails of codes asked for, by what became of them",
                             {{"outcome", outcome}});
}

kafka::GroupWorkerOptions WorkerOptions(const IntakeOptions& options) {
  kafka::GroupWorkerOptions worker;
  worker.name = "notifier_intake";
  worker.poll_max = options.poll_max;
  worker.waiting_max = options.waiting_max;
  worker.batch_max = options.records_max;
  worker.give_up_after = options.give_up_after;
  worker.on_fenced = options.on_fenced;
  worker.metrics.waiting = &metrics::GetGauge("stockalert_notifier_records_waiting",
                                              "Records that were read and wait for their users' turns");
  worker.metrics.failures = &metrics::GetCounter("stockalert_notifier_take_in_failures_total",
                                                 "Batches that the database did not take at once");
  worker.metrics.rejoins = &metrics::GetCounter("stockalert_notifier_rejoins_total",
                                                "Times that the consumer group was left and joined anew");
  return worker;
}

}  // namespace

Intake::Intake(const IntakeOptions& options, kafka::GroupWorker::MakeConsumer make_consumer, NotificationStore& store,
               dead_letter::DeadLetterStore& dead_letters, const base::Clock& clock, base::IdSource& ids,
               OnStored on_stored)
    : user_events_topic_(options.user_events_topic),
      seal_code_mail_(options.seal_code_mail),
      on_code_mails_(options.on_code_mails),
      store_(store),
      clock_(clock),
      ids_(ids),
      on_stored_(std::move(on_stored)),
      handler_({options.triggers_topic, options.user_events_topic}, *this, dead_letters, clock, options.held),
      worker_(std::move(make_consumer), handler_, WorkerOptions(options)) {
  worker_.Start();
}

absl::StatusOr<std::vector<std::string>> Intake::FindLanes(const std::vector<kafka::Message>& messages) {
  std::vector<std::string> lanes;
  lanes.reserve(messages.size());
  // Both topics have the user's id as their key.
  for (const kafka::Message& message : messages) lanes.emplace_back(message.key());
  return lanes;
}

std::vector<dead_letter::Reading> Intake::Read(const std::vector<kafka::QueuedRecord>& records) {
  decoded_.assign(records.size(), Decoded());
  std::vector<dead_letter::Reading> readings;
  readings.reserve(records.size());
  for (size_t i = 0; i < records.size(); ++i) readings.push_back(Decode(records[i], decoded_[i]));
  return readings;
}

bool Intake::TakeUserNews(UserNews news, Decoded& decoded) {
  static auto& off = CodeMails("no_channel");
  static auto& expired = CodeMails("expired");
  if (UserDeletion* deletion = std::get_if<UserDeletion>(&news)) {
    decoded.deletion = std::move(*deletion);
    return true;
  }
  const CodeRequest& request = std::get<CodeRequest>(news);
  const bool late = request.expire_time_us <= clock_.NowUs();
  if (!seal_code_mail_ || late) {
    (late ? expired : off).Increment();
    return false;
  }
  decoded.code_mail = NewCodeMail{request.user_id, seal_code_mail_(request), request.expire_time_us};
  return true;
}

dead_letter::Reading Intake::Decode(const kafka::QueuedRecord& record, Decoded& decoded) {
  static auto& malformed = Triggers("malformed");
  dead_letter::Reading reading;
  absl::Status problem;
  if (record.partition.topic == user_events_topic_) {
    absl::StatusOr<UserNews> news = DecodeUserEvent(record.value);
    problem = news.status();
    if (news.ok() && !TakeUserNews(*std::move(news), decoded))
      reading.disposition = dead_letter::Item::Disposition::kPassOver;
  } else {
    absl::StatusOr<NewNotification> notification = DecodeTrigger(record.value, record.traceparent);
    problem = notification.status();
    if (notification.ok()) {
      notification->id = ids_.NewUuid();
      // Of a split whose time is not known: that of being told.
      if (notification->split && notification->event_time_us == 0) notification->event_time_us = clock_.NowUs();
      decoded.notification = *std::move(notification);
    }
  }
  if (problem.ok()) return reading;
  malformed.Increment();
  reading.disposition = absl::IsUnimplemented(problem) ? dead_letter::Item::Disposition::kHold
                                                       : dead_letter::Item::Disposition::kDeadLetter;
  reading.cause = std::string(problem.message());
  return reading;
}

absl::Status Intake::Apply(const std::vector<size_t>& indices) {
  IntakeBatch batch;
  for (const size_t index : indices) {
    if (const std::optional<NewNotification>& notification = decoded_[index].notification) {
      if (notification->throttled && batch.fold_ids.count(notification->user_id) == 0) {
        batch.fold_ids.emplace(notification->user_id, ids_.NewUuid());
      }
      batch.notifications.push_back(*notification);
    }
    if (decoded_[index].deletion) batch.deletions.push_back(*decoded_[index].deletion);
    if (decoded_[index].code_mail) batch.code_mails.push_back(*decoded_[index].code_mail);
  }
  return StoreBatch(batch);
}

absl::Status Intake::StoreBatch(const IntakeBatch& batch) {
  static auto& stored = Triggers("stored");
  static auto& repeated = Triggers("repeated");
  static auto& throttled = Triggers("throttled");
  static auto& splits =
      metrics::GetCounter("stockalert_notifier_split_notices_total", "Notifications of splits that were stored");
  static auto& of_deleted_users = Triggers("of_deleted_user");
  static auto& deleted = metrics::GetCounter("stockalert_notifier_notifications_deleted_total",
                                             "Notifications that went with their users");
  static auto& rerouted = metrics::GetCounter("stockalert_notifier_notifications_rerouted_total",
                                              "Notifications that went to the default destinations, because those that "
                                              "their alerts name do not exist any more");
  static auto& held = metrics::GetCounter(
      "stockalert_notifier_held_total",
      "Deliveries that were held for a digest: in quiet hours, or beyond a destination's number within a minute");
  // The broker's clock against this machine's: as true as the two agree.
  static auto& end_to_end = metrics::GetHistogram(
      "stockalert_end_to_end_seconds",
      "From the broker's append of a quote to the notification of what it triggered being stored");
  STOCKALERT_ASSIGN_OR_RETURN(const IntakeResult result, store_.StoreBatch(batch, clock_.NowUs()));
  held.Increment(static_cast<double>(result.held));
  repeated.Increment(static_cast<double>(result.repeated));
  of_deleted_users.Increment(static_cast<double>(result.of_deleted_users));
  if (result.code_mails > 0 && on_code_mails_) on_code_mails_();
  deleted.Increment(static_cast<double>(result.deleted));
  const int64_t stored_us = clock_.NowUs();
  std::set<std::string> users;
  for (const StoredNotification& notification : result.stored) {
    users.insert(notification.user_id);
    if (notification.rerouted) rerouted.Increment();
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
    if (notification.split) {
      splits.Increment();
      log::Info("split notice stored", {{"notification", notification.id},
                                        {"symbol", notification.symbol},
                                        {"number", notification.split->number},
                                        {"alerts", notification.split->alert_count}});
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
  if (!users.empty()) on_stored_({users.begin(), users.end()}, result.deliveries);
  return absl::OkStatus();
}

}  // namespace stockalert::notifier
