#include "services/notifier/config.h"

#include "services/common/boot/flags.h"
#include "services/common/postgres/security.h"

namespace stockalert::notifier {

void Declare(config::Parser& parser, Config& config) {
  boot::DeclareAddresses(parser, &config.public_address, &config.http_address, nullptr);
  parser.AddDialAddress("user_address", &config.user_address, config::kRequired, "the user service's internal address");
  postgres::DeclareDatabase(parser, config.postgres_url);
  kafka::DeclareBroker(parser, config.kafka_bootstrap, config.kafka_security);
  boot::DeclareGroup(parser, config.group_id, config.instance_id, /*may_come_and_go=*/true);
  parser.AddOldName("kafka_group", "group_id");
  parser.AddOldName("kafka_group_instance", "instance_id");
  rpc::DeclareMesh(parser, "notifier", /*has_internal_port=*/false, config.mesh, config.mesh_token, config.tls);
  tls::Declare(parser, config.tls);
  rpc::DeclareLimits(parser, config.public_limits);
  boot::DeclareWork(parser, config.threads, config.queue_max);
  rpc::DeclareCalls(parser, config.calls);
  boot::DeclareConnections(parser, config.postgres_connections_max);
  parser.AddInteger("streams_max", &config.streams_max, 1, 1'000'000, "streams that may be open at once");
  parser.AddMilliseconds("watch_poll_interval_ms", &config.watch_poll_interval, absl::Milliseconds(10),
                         absl::Minutes(1), "how often to look for notifications that other instances stored");
  boot::DeclareStart(parser, config.start_timeout);
}

}  // namespace stockalert::notifier
