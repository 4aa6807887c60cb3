// Applies the records of the topics `alert-events` and `user-events` to the store: the part of the consumer without
// Kafka.
//
// Belongs to one thread. Apply answers OK once everything in the records is durable; until then pass the same records
// again, which does no harm.
//
// How ReadEvent judges a record: bytes that are no message, an empty message, and malformed ids, symbols, prices and
// times can never be understood (dead letter). A message of a kind that this version does not know may be a trigger of
// a newer evaluator, which must not be lost: its partition is held until this service is upgraded. A kind of user event
// that does not concern this service is skipped.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/alert/change_log.h"
#include "services/alert/event_store.h"
#include "services/alert/trigger_relay.h"
#include "services/common/base/clock.h"
#include "services/common/dead_letter/settling_handler.h"

namespace stockalert::alert {

// A record of either topic, decoded; empty unless its disposition is dead_letter::Item::Disposition::kApply.
struct EventChange {
  dead_letter::Reading reading;
  EventBatch events;
  std::string deleted_user;  // An id, or empty.
  std::string traceparent;   // Of the deletion.
};

// Pure.
EventChange ReadEvent(std::string_view topic, std::string_view value, std::string_view traceparent);

class EventApplier final : public dead_letter::RecordApplier {
 public:
  // All must outlive it. `triggers_per_minute`: how many triggers of a user are passed on one by one.
  EventApplier(EventStore& store, TriggerRelay& relay, ChangeLog& log, const base::Clock& clock,
               int64_t triggers_per_minute = std::numeric_limits<int64_t>::max());

  // The lane of a record is the user of its alert. A record of an unknown alert gets a lane of its own, always the same
  // for one alert.
  absl::StatusOr<std::vector<std::string>> FindLanes(const std::vector<kafka::Message>& messages) override;
  std::vector<dead_letter::Reading> Read(const std::vector<kafka::QueuedRecord>& records) override;
  absl::Status Apply(const std::vector<size_t>& indices) override;

 private:
  absl::Status DeleteUser(const std::string& user_id, std::string_view traceparent);

  EventStore& store_;
  TriggerRelay& relay_;
  ChangeLog& log_;
  const base::Clock& clock_;
  const int64_t triggers_per_minute_;
  std::unordered_map<std::string, std::string> owners_;  // Of alerts; bounded.
  std::vector<EventChange> changes_;                     // Of the records that were read last.
};

}  // namespace stockalert::alert
