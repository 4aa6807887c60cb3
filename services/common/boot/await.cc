#include "services/common/boot/await.h"

#include <memory>

#include "absl/time/clock.h"
#include "services/common/base/backoff.h"
#include "services/common/base/status_macros.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/process/run_main.h"

namespace stockalert::boot {
namespace {

// One question to the broker; between two of them a stop is heard.
constexpr absl::Duration kAsk = absl::Seconds(1);
// One who may go on without the broker has asked it in earnest all the same.
constexpr absl::Duration kBrokerPatience = absl::Seconds(5);

}  // namespace

absl::Status AwaitDatabase(const std::function<absl::Status()>& ask, absl::Time give_up) {
  base::Backoff backoff({.initial = absl::Milliseconds(100), .maximum = absl::Seconds(2)});
  for (;;) {
    const absl::Status status = ask();
    if (status.ok()) return status;
    if (absl::Now() >= give_up) {
      return absl::UnavailableError(
          "the database does not answer, or its tables are missing: start it, run stockalert-migrate, start again");
    }
    log::Warning("waiting for the database and its tables", {{"status", status}});
    if (process::AwaitStopRequest(backoff.Next())) return absl::CancelledError("asked to stop");
  }
}

absl::Status AwaitTopics(const TopicsOptions& options, absl::Time give_up) {
  STOCKALERT_ASSIGN_OR_RETURN(
      std::unique_ptr<kafka::TopicAdmin> admin,
      kafka::TopicAdmin::Create(
          {.bootstrap = options.bootstrap, .security = options.security, .client_id = options.client_id, .extra = {}}));
  const bool needs_broker = options.late_without_broker.empty();
  const absl::Time broker_by = absl::Now() + kBrokerPatience;
  for (;;) {
    const absl::Status status = admin->AwaitTopics(options.topics, absl::Now() + kAsk);
    if (status.ok()) return status;
    if (process::StopRequested()) return absl::CancelledError("asked to stop");
    if (needs_broker || absl::IsNotFound(status)) {
      if (absl::Now() >= give_up) return status;
    } else if (absl::Now() >= broker_by) {
      log::Warning("Kafka does not answer; going on without it",
                   {{"late", options.late_without_broker}, {"status", status}});
      return absl::OkStatus();
    }
    log::Info("waiting for Kafka and its topics", {{"status", status}});
  }
}

}  // namespace stockalert::boot
