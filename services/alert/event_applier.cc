#include "services/alert/event_applier.h"

#include <set>
#include <utility>

#include "absl/time/clock.h"
#include "services/alert/alert_logic.h"
#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "stockalert/internal/v1/events.pb.h"

namespace stockalert::alert {
namespace {

namespace ipb = ::stockalert::internal::v1;

constexpr int kDeleteBatch = 500;
// Alerts whose users are remembered.
constexpr size_t kOwnersMax = 100'000;

void RefuseRecord(std::string_view topic, std::string_view why) {
  static auto& refused = metrics::GetCounter("stockalert_alert_records_refused_total", "Records of Kafka that could not be understood");
  refused.Increment();
  log::Error("a record cannot be understood and is passed over: is this service older than the one that wrote it?",
             {{"topic", topic}, {"why", why}});
}

prometheus::Counter& Triggers(const char* outcome) {
  return metrics::GetCounter("stockalert_alert_triggers_total", "Triggers that the evaluator told of, by what became of them",
                             {{"outcome", outcome}});
}

void Count(const AppliedEvents& applied) {
  static auto& recorded = Triggers("recorded");
  static auto& repeated = Triggers("repeated");
  static auto& withheld = Triggers("withheld");
  static auto& unknown = Triggers("unknown");
  static auto& throttled = Triggers("throttled");
  recorded.Increment(static_cast<double>(applied.triggers_recorded - applied.triggers_withheld - applied.triggers_throttled));
  throttled.Increment(static_cast<double>(applied.triggers_throttled));
  repeated.Increment(static_cast<double>(applied.triggers_repeated));
  withheld.Increment(static_cast<double>(applied.triggers_withheld));
  unknown.Increment(static_cast<double>(applied.triggers_unknown));
  if (applied.triggers_unknown > 0) {
    log::Error("triggers of alerts that this service does not know were passed over: was its database restored from a backup?",
               {{"triggers", applied.triggers_unknown}});
  }
}

}  // namespace

EventApplier::EventApplier(AlertStore& store, TriggerRelay& relay, ChangePublisher& publisher, const base::Clock& clock,
                           int64_t triggers_per_minute)
    : store_(store), relay_(relay), publisher_(publisher), clock_(clock), triggers_per_minute_(triggers_per_minute) {}

absl::StatusOr<std::vector<std::string>> EventApplier::FindLanes(const std::vector<IncomingRecord>& records) {
  std::vector<std::string> lanes(records.size());
  std::set<std::string> unknown;
  ipb::AlertEvent event;
  for (size_t i = 0; i < records.size(); ++i) {
    if (records[i].topic != kafka::kAlertEventsTopic) continue;
    if (!event.ParseFromArray(records[i].value.data(), static_cast<int>(records[i].value.size()))) continue;
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
    // All that these records need: what was forgotten just now, too.
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

absl::Status EventApplier::Apply(const std::vector<IncomingRecord>& records) {
  EventBatch batch;
  std::vector<std::pair<std::string, std::string_view>> deleted_users;
  for (const IncomingRecord& record : records) {
    if (record.topic == kafka::kAlertEventsTopic) {
      ipb::AlertEvent event;
      if (!event.ParseFromArray(record.value.data(), static_cast<int>(record.value.size()))) {
        RefuseRecord(record.topic, "the bytes are no event");
        continue;
      }
      if (const absl::Status status = AddEvent(event, record.traceparent, batch); !status.ok()) {
        RefuseRecord(record.topic, std::string(status.message()));
      }
      continue;
    }
    ipb::UserEvent event;
    const bool is_event = event.ParseFromArray(record.value.data(), static_cast<int>(record.value.size()));
    if (is_event && event.has_email_verification_requested()) continue;  // The notifier's.
    if (!is_event || !event.has_user_deleted() ||
        !base::IsUuid(event.user_deleted().user_id())) {
      RefuseRecord(record.topic, "the bytes are no event of a known kind");
      continue;
    }
    deleted_users.emplace_back(event.user_deleted().user_id(), record.traceparent);
  }
  if (!batch.empty()) {
    batch.triggers_per_minute = triggers_per_minute_;
    STOCKALERT_ASSIGN_OR_RETURN(const AppliedEvents applied, store_.ApplyEvents(batch, clock_.NowUs()));
    Count(applied);
    relay_.Add(applied);
  }
  for (const auto& [user_id, traceparent] : deleted_users) STOCKALERT_RETURN_IF_ERROR(DeleteUser(user_id, traceparent));
  return absl::OkStatus();
}

absl::Status EventApplier::DeleteUser(const std::string& user_id, std::string_view traceparent) {
  size_t count = 0;
  for (;;) {
    STOCKALERT_ASSIGN_OR_RETURN(const std::vector<StoredAlert> gone, store_.DeleteUser(user_id, clock_.NowUs(), kDeleteBatch));
    count += gone.size();
    // What is not acknowledged now is swept.
    publisher_.Publish(gone, traceparent, absl::Now() + absl::Milliseconds(500));
    if (gone.size() < kDeleteBatch) break;
  }
  log::Info("a user was deleted, and with it its alerts", {{"user_id", user_id}, {"alerts", count}});
  return absl::OkStatus();
}

}  // namespace stockalert::alert
