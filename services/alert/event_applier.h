// What the topics `alert-events` and `user-events` do to the store: the part of the consumer that knows no Kafka.
//
// Belongs to one thread. Apply answers OK once everything in the records is durable; until then the same are to be
// brought again, which does no harm.
//
// What ReadEvent finds: bytes that are no message, an empty one, and ids, symbols, prices and times that are none will
// never be understood (dead letter). A message of a kind that this version does not know may be a newer evaluator's
// trigger, which must not be lost: its partition is held until this service is upgraded. A kind of user event that is
// no concern of this service is passed over.
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

// What a record of either topic asks for. Only with dead_letter::Item::Disposition::kApply there is anything in it.
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
  // All must outlive it. `triggers_per_minute`: how many of a user's are passed on one by one.
  EventApplier(EventStore& store, TriggerRelay& relay, ChangeLog& log, const base::Clock& clock,
               int64_t triggers_per_minute = std::numeric_limits<int64_t>::max());

  // A record takes the turn of its alert's user, or, where it is of no alert that is known, one of its own: always the
  // same for one alert.
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
