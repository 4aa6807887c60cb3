// What the topics `alert-events` and `user-events` do to the store: the part of the consumer that knows no Kafka.
//
// Apply is called by one thread. It answers OK once everything in the records is durable; until then the same records are to be brought
// again, which does no harm. A record that nobody can read is counted, logged and passed over: what the evaluator has stored of it is found
// by the audit, and holding back everybody's triggers would help nobody.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
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
  // All must outlive it.
  EventApplier(AlertStore& store, TriggerRelay& relay, ChangePublisher& publisher, const base::Clock& clock);

  absl::Status Apply(const std::vector<IncomingRecord>& records);

 private:
  absl::Status DeleteUser(const std::string& user_id, std::string_view traceparent);

  AlertStore& store_;
  TriggerRelay& relay_;
  ChangePublisher& publisher_;
  const base::Clock& clock_;
};

}  // namespace stockalert::alert
