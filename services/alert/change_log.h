// Where changes of alerts are published: the log of prices, as an interface.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "services/alert/alert_types.h"

namespace stockalert::alert {

// Thread-safe.
class ChangeLog {
 public:
  virtual ~ChangeLog() = default;
  // Publishes the present state of all alerts and waits, at most until `deadline`. Returns the ids of those that the
  // log has not acknowledged by then: their changes stay open in the store.
  virtual std::vector<std::string> Publish(const std::vector<StoredAlert>& alerts, std::string_view traceparent,
                                           absl::Time deadline) = 0;
};

}  // namespace stockalert::alert
