#include "services/notifier/config.h"

#include "services/common/postgres/security.h"

namespace stockalert::notifier {

void Declare(config::Parser& parser, Config& config) {
  parser.ListenAddress("public_address", &config.public_address, "where clients connect");
  parser.ListenAddress("http_address", &config.http_address, "where /metrics, /healthz and /readyz are");
  parser.DialAddress("user_address", &config.user_address, config::kRequired, "the user service's internal address");
  postgres::DeclareDatabase(parser, config.postgres_url);
  kafka::DeclareBroker(parser, config.kafka_bootstrap, config.kafka_security);
  parser.String("kafka_group", &config.kafka_group, config::kRequired, "the consumer group of all instances");
  parser.String("kafka_group_instance", &config.kafka_group_instance, config::kOptional,
                "this instance's name in the group, the same after a restart (default: host name and HTTP port); none: "
                "a member without a "
                "lasting name, for instances that come and go");
  rpc::DeclareMesh(parser, "notifier", /*has_internal_port=*/false, config.mesh, config.mesh_token, config.tls);
  tls::Declare(parser, config.tls);
  rpc::DeclareLimits(parser, config.public_limits);
  parser.Integer("threads", &config.threads, 1, 256, "threads that answer calls and read for streams");
  parser.Integer("queue_max", &config.queue_max, 1, 100'000, "calls that may wait for a thread; more are refused");
  rpc::DeclareCalls(parser, config.calls);
  parser.Integer("postgres_connections_max", &config.postgres_connections_max, 2, 100, "connections to the database");
  parser.Integer("streams_max", &config.streams_max, 1, 1'000'000, "streams that may be open at once");
  parser.Milliseconds("watch_poll_interval_ms", &config.watch_poll_interval, absl::Milliseconds(10), absl::Minutes(1),
                      "how often notifications that other instances stored are looked for");
  parser.Seconds("start_timeout_s", &config.start_timeout, absl::Seconds(1), absl::Minutes(10),
                 "how long to wait for the database at the start");
}

}  // namespace stockalert::notifier
