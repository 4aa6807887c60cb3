// What a service waits for before it serves: its database, its topics. Bounded by --start_timeout_s; a stop that is
// asked for meanwhile is heard.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/kafka/security.h"

namespace stockalert::boot {

// Until `ask`, a question to the service's own tables, is answered; without them there is nothing to serve.
// UNAVAILABLE: not by `give_up`. CANCELLED: asked to stop.
absl::Status AwaitDatabase(const std::function<absl::Status()>& ask, absl::Time give_up);

struct TopicsOptions {
  std::string bootstrap = {};
  kafka::Security security = {};
  std::string client_id = {};
  std::vector<std::string> topics = {};
  // The service lives through an outage of Kafka's: a broker that does not answer is no reason to wait for longer than
  // a moment. Empty: it does not; else what of it comes when the broker is back, for the log.
  std::string late_without_broker = {};
};
// Until all topics are there. A broker that answers and has not all of them: the migrations are still under way.
// NOT_FOUND: that by `give_up`. UNAVAILABLE: a broker that has to be there is not. CANCELLED: asked to stop.
absl::Status AwaitTopics(const TopicsOptions& options, absl::Time give_up);

}  // namespace stockalert::boot
