// Publishes the state of alerts to the log (topic `prices`, key: the symbol), and waits a bounded time for the broker's
// acknowledgement.
//
// Thread-safe. An alert that is not acknowledged in time is not lost: its change stays open in the store, and the
// sweeper publishes it. While the log does not answer, waits are short, so that callers do not hold every thread; the
// first acknowledgement ends that.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "services/alert/change_log.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/kafka/producer.h"

namespace stockalert::alert {

class ChangePublisher final : public ChangeLog {
 public:
  struct Options {
    // The longest that a call waits for the broker, and the longest while it is known not to answer.
    absl::Duration wait_max = absl::Seconds(2);
    absl::Duration wait_max_degraded = absl::Milliseconds(100);
    // How long waits stay short after one that was not acknowledged.
    absl::Duration degraded_for = absl::Seconds(10);
  };

  // `producer` and `clock` must outlive it.
  ChangePublisher(kafka::Producer& producer, const base::MonotonicClock& clock, const Options& options);

  std::vector<std::string> Publish(const std::vector<StoredAlert>& alerts, std::string_view traceparent,
                                   absl::Time deadline) override;

  bool degraded() const;

 private:
  kafka::Producer& producer_;
  const base::MonotonicClock& clock_;
  const Options options_;
  std::atomic<int64_t> degraded_until_us_{0};
};

}  // namespace stockalert::alert
