#include "services/alert/event_applier.h"

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
  recorded.Increment(static_cast<double>(applied.triggers_recorded - applied.triggers_withheld));
  repeated.Increment(static_cast<double>(applied.triggers_repeated));
  withheld.Increment(static_cast<double>(applied.triggers_withheld));
  unknown.Increment(static_cast<double>(applied.triggers_unknown));
  if (applied.triggers_unknown > 0) {
    log::Error("triggers of alerts that this service does not know were passed over: was its database restored from a backup?",
               {{"triggers", applied.triggers_unknown}});
  }
}

}  // namespace

EventApplier::EventApplier(AlertStore& store, TriggerRelay& relay, ChangePublisher& publisher, const base::Clock& clock)
    : store_(store), relay_(relay), publisher_(publisher), clock_(clock) {}

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
    if (!event.ParseFromArray(record.value.data(), static_cast<int>(record.value.size())) || !event.has_user_deleted() ||
        !base::IsUuid(event.user_deleted().user_id())) {
      RefuseRecord(record.topic, "the bytes are no event of a known kind");
      continue;
    }
    deleted_users.emplace_back(event.user_deleted().user_id(), record.traceparent);
  }
  if (!batch.empty()) {
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
