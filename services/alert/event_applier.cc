#include "services/alert/event_applier.h"

#include <set>
#include <utility>

#include "absl/time/clock.h"
#include "services/alert/alert_rules.h"
#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/trace/sound.h"
#include "stockalert/internal/v1/events.pb.h"

namespace stockalert::alert {
namespace {

namespace ipb = ::stockalert::internal::v1;

constexpr int kDeleteBatch = 500;
// Alerts whose users are remembered.
constexpr size_t kOwnersMax = 100'000;

using dead_letter::Item;

EventChange Unreadable(Item::Disposition disposition, const std::string& cause) {
  static auto& refused =
      metrics::GetCounter("stockalert_alert_records_refused_total", "Records of Kafka that could not be understood");
  refused.Increment();
  EventChange change;
  change.reading = {disposition, cause};
  return change;
}

// A kind that is not set: of a newer version, or nothing at all.
template <typename Message>
EventChange UnknownKind(const Message& message) {
  if (message.GetReflection()->GetUnknownFields(message).empty())
    return Unreadable(Item::Disposition::kDeadLetter, "an event of no kind");
  return Unreadable(Item::Disposition::kHold, "an event of a kind that this version does not know");
}

prometheus::Counter& Triggers(const char* outcome) {
  return metrics::GetCounter("stockalert_alert_triggers_total",
                             "Triggers that the evaluator told of, by what became of them", {{"outcome", outcome}});
}

void Count(const AppliedEvents& applied) {
  static auto& recorded = Triggers("recorded");
  static auto& repeated = Triggers("repeated");
  static auto& withheld = Triggers("withheld");
  static auto& unknown = Triggers("unknown");
  static auto& throttled = Triggers("throttled");
  recorded.Increment(
      static_cast<double>(applied.triggers_recorded - applied.triggers_withheld - applied.triggers_throttled));
  throttled.Increment(static_cast<double>(applied.triggers_throttled));
  repeated.Increment(static_cast<double>(applied.triggers_repeated));
  withheld.Increment(static_cast<double>(applied.triggers_withheld));
  unknown.Increment(static_cast<double>(applied.triggers_unknown));
  static auto& splits = metrics::GetCounter(
      "stockalert_alert_splits_total", "Splits that the evaluator told of: alerts are shown in prices of after them");
  splits.Increment(static_cast<double>(applied.splits_recorded));
  if (applied.triggers_unknown > 0) {
    log::Error(
        "triggers of alerts that this service does not know were passed over: was its database restored from a backup?",
        {{"triggers", applied.triggers_unknown}});
  }
}

}  // namespace

EventApplier::EventApplier(EventStore& store, TriggerRelay& relay, ChangeLog& log, const base::Clock& clock,
                           int64_t triggers_per_minute)
    : store_(store), relay_(relay), log_(log), clock_(clock), triggers_per_minute_(triggers_per_minute) {}

absl::StatusOr<std::vector<std::string>> EventApplier::FindLanes(const std::vector<kafka::Message>& messages) {
  std::vector<std::string> lanes(messages.size());
  std::set<std::string> unknown;
  ipb::AlertEvent event;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].topic() != kafka::kAlertEventsTopic) continue;
    if (!event.ParseFromArray(messages[i].value().data(), static_cast<int>(messages[i].value().size()))) continue;
    if (event.has_triggered()) {
      lanes[i] = event.triggered().alert_id();
    } else if (event.has_change_confirmed()) {
      lanes[i] = event.change_confirmed().alert_id();
    }
    if (!base::IsUuid(lanes[i])) {
      lanes[i].clear();
    } else if (owners_.count(lanes[i]) == 0) {
      unknown.insert(lanes[i]);
    }
  }
  if (!unknown.empty()) {
    if (owners_.size() + unknown.size() > kOwnersMax) owners_.clear();
    // All that these messages need: what was forgotten just now, too.
    if (owners_.empty()) unknown.insert(lanes.begin(), lanes.end());
    unknown.erase("");
    STOCKALERT_ASSIGN_OR_RETURN(std::vector<AlertOwner> found, store_.FindOwners({unknown.begin(), unknown.end()}));
    for (AlertOwner& owner : found) owners_.insert_or_assign(std::move(owner.alert_id), std::move(owner.user_id));
  }
  for (std::string& lane : lanes) {
    if (const auto owner = owners_.find(lane); owner != owners_.end()) lane = owner->second;
  }
  return lanes;
}

EventChange ReadEvent(std::string_view topic, std::string_view value, std::string_view traceparent) {
  EventChange change;
  if (topic == kafka::kAlertEventsTopic) {
    ipb::AlertEvent event;
    if (!event.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
      return Unreadable(Item::Disposition::kDeadLetter, "the bytes are no event");
    }
    if (event.kind_case() == ipb::AlertEvent::KIND_NOT_SET) return UnknownKind(event);
    if (const absl::Status status = AddEvent(event, traceparent, change.events); !status.ok()) {
      return Unreadable(Item::Disposition::kDeadLetter, std::string(status.message()));
    }
    return change;
  }
  ipb::UserEvent event;
  if (!event.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return Unreadable(Item::Disposition::kDeadLetter, "the bytes are no event");
  }
  if (event.kind_case() == ipb::UserEvent::KIND_NOT_SET) return UnknownKind(event);
  if (!event.has_user_deleted()) {
    change.reading.disposition = Item::Disposition::kPassOver;
    return change;
  }
  if (!base::IsUuid(event.user_deleted().user_id()))
    return Unreadable(Item::Disposition::kDeadLetter, "an event with a user id that is no UUID");
  change.deleted_user = event.user_deleted().user_id();
  change.traceparent = std::string(trace::ValidTraceparent(traceparent));
  return change;
}

std::vector<dead_letter::Reading> EventApplier::Read(const std::vector<kafka::QueuedRecord>& records) {
  std::vector<dead_letter::Reading> readings;
  changes_.clear();
  for (const kafka::QueuedRecord& record : records) {
    changes_.push_back(ReadEvent(record.partition.topic, record.value, record.traceparent));
    readings.push_back(changes_.back().reading);
  }
  return readings;
}

absl::Status EventApplier::Apply(const std::vector<size_t>& indices) {
  EventBatch batch;
  for (const size_t index : indices) {
    const EventBatch& events = changes_[index].events;
    batch.confirmations.insert(batch.confirmations.end(), events.confirmations.begin(), events.confirmations.end());
    batch.triggers.insert(batch.triggers.end(), events.triggers.begin(), events.triggers.end());
    batch.statuses.insert(batch.statuses.end(), events.statuses.begin(), events.statuses.end());
    batch.splits.insert(batch.splits.end(), events.splits.begin(), events.splits.end());
  }
  if (!batch.empty()) {
    batch.triggers_per_minute = triggers_per_minute_;
    STOCKALERT_ASSIGN_OR_RETURN(const AppliedEvents applied, ApplyEvents(store_, batch, clock_.NowUs()));
    Count(applied);
    relay_.Add(applied);
  }
  for (const size_t index : indices) {
    const EventChange& change = changes_[index];
    if (!change.deleted_user.empty()) STOCKALERT_RETURN_IF_ERROR(DeleteUser(change.deleted_user, change.traceparent));
  }
  return absl::OkStatus();
}

absl::Status EventApplier::DeleteUser(const std::string& user_id, std::string_view traceparent) {
  size_t count = 0;
  for (;;) {
    const int64_t now_us = clock_.NowUs();
    STOCKALERT_ASSIGN_OR_RETURN(const std::vector<StoredAlert> gone,
                                store_.DeleteUser(user_id, now_us, kDeleteBatch, [now_us](const StoredAlert& alert) {
                                  return ApplyDelete(alert, now_us);
                                }));
    count += gone.size();
    // What is not acknowledged now is swept.
    log_.Publish(gone, traceparent, absl::Now() + absl::Milliseconds(500));
    if (gone.size() < kDeleteBatch) break;
  }
  log::Info("a user was deleted, and with it its alerts", {{"user_id", user_id}, {"alerts", count}});
  return absl::OkStatus();
}

}  // namespace stockalert::alert
