// What the topics `alert-events` and `user-events` do to the store: the part of the consumer that knows no Kafka.
//
// Both calls are made by one thread. It answers OK once everything in the records is durable; until then the same records are to be brought
// again, which does no harm. A record that nobody can read is counted, logged and passed over: what the evaluator has stored of it is found
// by the audit, and holding back everybody's triggers would help nobody.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/alert/alert_store.h"
#include "services/alert/change_publisher.h"
#include "services/alert/trigger_relay.h"
#include "services/common/base/clock.h"

namespace stockalert::alert {

// A record of either topic. The views live as long as the call.
struct IncomingRecord {
  std::string_view topic;
  std::string_view value;
  std::string_view traceparent;
};

class EventApplier {
 public:
  // All must outlive it. `triggers_per_minute`: how many of a user's are passed on one by one.
  EventApplier(AlertStore& store, TriggerRelay& relay, ChangePublisher& publisher, const base::Clock& clock,
               int64_t triggers_per_minute = std::numeric_limits<int64_t>::max());

  // Whose turn each record takes: its alert's user, or, where it is of no alert that is known, something of its own. Always the same for one
  // alert. An error of the store: to be tried again.
  absl::StatusOr<std::vector<std::string>> FindLanes(const std::vector<IncomingRecord>& records);

  absl::Status Apply(const std::vector<IncomingRecord>& records);

 private:
  absl::Status DeleteUser(const std::string& user_id, std::string_view traceparent);

  AlertStore& store_;
  TriggerRelay& relay_;
  ChangePublisher& publisher_;
  const base::Clock& clock_;
  const int64_t triggers_per_minute_;
  std::unordered_map<std::string, std::string> owners_;  // Of alerts; bounded.
};

}  // namespace stockalert::alert
