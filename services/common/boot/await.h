// Waiting for what a service needs before it serves: its database, its topics. Bounded by --start_timeout_s; a stop
// request ends the wait.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/kafka/security.h"

namespace stockalert::boot {

// Waits until `ask`, a query of the service's own tables, is answered. UNAVAILABLE: it was not by `give_up`. CANCELLED:
// the process was asked to stop.
absl::Status AwaitDatabase(const std::function<absl::Status()>& ask, absl::Time give_up);

struct TopicsOptions {
  std::string bootstrap = {};
  kafka::Security security = {};
  std::string client_id = {};
  std::vector<std::string> topics = {};
  // Not empty: the service can start without Kafka, so it waits only a moment for a broker that does not answer. The
  // text, for the log, says what will start once the broker is back. Empty: the service needs the broker.
  std::string late_without_broker = {};
};
// Waits until all topics exist; as long as a broker lacks one, the migrations are still running. NOT_FOUND: a topic was
// still missing at `give_up`. UNAVAILABLE: a required broker does not answer. CANCELLED: the process was asked to stop.
absl::Status AwaitTopics(const TopicsOptions& options, absl::Time give_up);

}  // namespace stockalert::boot
