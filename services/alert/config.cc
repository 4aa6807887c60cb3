#include "services/alert/config.h"

#include "services/common/boot/flags.h"
#include "services/common/postgres/security.h"

namespace stockalert::alert {

void Declare(config::Parser& parser, Config& config) {
  boot::DeclareAddresses(parser, &config.public_address, &config.http_address, &config.internal_address);
  parser.AddDialAddress("user_address", &config.user_address, config::kRequired, "the user service's internal port");
  parser.AddDialAddress("ticker_address", &config.ticker_address, config::kRequired,
                        "the ticker service's internal port");
  parser.AddDialAddress("notifier_address", &config.notifier_address, config::kRequired,
                        "the notifier's internal port");
  parser.AddDialAddress("evaluator_address", &config.evaluator_address, config::kRequired,
                        "the internal port of any evaluator; its certificate's name is that of all");
  rpc::DeclareMesh(parser, "alert", /*has_internal_port=*/true, config.mesh, config.mesh_token, config.tls);
  tls::Declare(parser, config.tls);
  rpc::DeclareLimits(parser, config.public_limits);
  postgres::DeclareDatabase(parser, config.postgres_url);
  boot::DeclareConnections(parser, config.postgres_connections_max);
  parser.AddOldName("postgres_connections", "postgres_connections_max");
  kafka::DeclareBroker(parser, config.kafka_bootstrap, config.kafka_security);
  boot::DeclareGroup(parser, config.group_id, config.instance_id, /*may_come_and_go=*/true);
  parser.AddOldName("kafka_group", "group_id");
  parser.AddOldName("kafka_group_instance", "instance_id");
  boot::DeclareWork(parser, config.threads, config.queue_max);
  parser.AddOldName("queue", "queue_max");
  rpc::DeclareCalls(parser, config.calls);
  rpc::DeclareWaitingCalls(parser, config.calls);
  parser.AddInteger("alerts_per_user_max", &config.alerts_per_user_max, 1, 1'000'000'000, "a user's quota of alerts");
  parser.AddInteger("triggers_per_minute", &config.triggers_per_minute, 1, 1'000'000'000,
                    "how many triggers a user is told of one by one in a minute of event time; those beyond are "
                    "throttled: recorded, and folded "
                    "by streams into one notification that says how many");
  parser.AddSeconds("call_time_max_s", &config.call_time_max, absl::Seconds(1), absl::Seconds(60),
                    "the deadline of calls without one");
  parser.AddMilliseconds("upstream_timeout_ms", &config.upstream_timeout, absl::Milliseconds(50), absl::Seconds(60),
                         "the longest wait for another service");
  parser.AddMilliseconds("publish_wait_ms", &config.publish_wait, absl::Milliseconds(10), absl::Seconds(60),
                         "how long a call may wait for Kafka; after that the change is published later");
  parser.AddSeconds("tombstones_kept_s", &config.tombstones_kept, absl::Seconds(60), absl::Hours(24 * 365),
                    "how long deleted alerts are remembered, so that their late triggers are recognised");
  boot::DeclareStart(parser, config.start_timeout);
}

}  // namespace stockalert::alert
