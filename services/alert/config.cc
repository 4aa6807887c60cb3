#include "services/alert/config.h"

#include "services/common/postgres/security.h"

namespace stockalert::alert {

void Declare(config::Parser& parser, Config& config) {
  parser.ListenAddress("public_address", &config.public_address, "where clients connect (gRPC)");
  parser.ListenAddress("http_address", &config.http_address, "metrics, /healthz and /readyz (HTTP)");
  parser.ListenAddress("internal_address", &config.internal_address, "where the other services connect (gRPC)");
  parser.DialAddress("user_address", &config.user_address, config::kRequired, "the user service's internal port");
  parser.DialAddress("ticker_address", &config.ticker_address, config::kRequired, "the ticker service's internal port");
  rpc::DeclareMesh(parser, "alert", /*has_internal_port=*/true, config.mesh, config.mesh_token, config.tls);
  tls::Declare(parser, config.tls);
  rpc::DeclareLimits(parser, config.public_limits);
  postgres::DeclareDatabase(parser, config.postgres_url);
  parser.Integer("postgres_connections", &config.postgres_connections, 2, 200, "the most connections to the database");
  kafka::DeclareBroker(parser, config.kafka_bootstrap, config.kafka_security);
  parser.String("kafka_group", &config.kafka_group, config::kRequired, "the consumer group of all instances");
  parser.String("kafka_group_instance", &config.kafka_group_instance, config::kOptional,
                "this instance's name in the group, the same after a restart (default: host name and HTTP port); none: "
                "a member without a "
                "lasting name, for instances that come and go");
  parser.Integer("threads", &config.threads, 1, 256, "calls that are worked on at once");
  parser.Integer("queue", &config.queue, 1, 100'000, "calls that may wait for a thread");
  rpc::DeclareCalls(parser, config.calls);
  rpc::DeclareWaitingCalls(parser, config.calls);
  parser.Integer("alerts_per_user_max", &config.alerts_per_user_max, 1, 1'000'000'000, "a user's quota of alerts");
  parser.Integer("triggers_per_minute", &config.triggers_per_minute, 1, 1'000'000'000,
                 "how many triggers a user is told of one by one in a minute of event time; those beyond are "
                 "throttled: recorded, and folded "
                 "by streams into one notification that says how many");
  parser.Seconds("call_time_max_s", &config.call_time_max, absl::Seconds(1), absl::Seconds(60),
                 "the deadline of calls that bring none");
  parser.Milliseconds("upstream_timeout_ms", &config.upstream_timeout, absl::Milliseconds(50), absl::Seconds(60),
                      "the longest wait for another service");
  parser.Milliseconds("publish_wait_ms", &config.publish_wait, absl::Milliseconds(10), absl::Seconds(60),
                      "the longest wait of a call for Kafka; the change is published later then");
  parser.Seconds("tombstones_kept_s", &config.tombstones_kept, absl::Seconds(60), absl::Hours(24 * 365),
                 "how long deleted alerts are remembered, so that their late triggers are recognised");
}

}  // namespace stockalert::alert
