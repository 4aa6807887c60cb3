// The flags of stockalert-alert; config/parser says how they are read and checked.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "services/common/config/parser.h"
#include "services/common/grpc/call_settings.h"
#include "services/common/grpc/mesh_callers.h"
#include "services/common/grpc/server_limits.h"
#include "services/common/kafka/security.h"
#include "services/common/tls/settings.h"

namespace stockalert::alert {

struct Config {
  std::string public_address = "127.0.0.1:50053";
  std::string http_address = "127.0.0.1:11053";
  std::string internal_address = "127.0.0.1:12053";
  std::string user_address = "127.0.0.1:12051";
  std::string ticker_address = "127.0.0.1:12052";
  std::string notifier_address = "127.0.0.1:12054";
  std::string evaluator_address = "127.0.0.1:12056";
  std::string mesh_token;
  rpc::MeshSettings mesh;
  tls::Settings tls;
  rpc::ServerLimits public_limits;
  std::string postgres_url;
  int postgres_connections_max = 16;
  std::string kafka_bootstrap = "127.0.0.1:9092";
  kafka::Security kafka_security;
  std::string group_id = "stockalert-alert";
  std::string instance_id;  // boot::GroupInstance.
  int threads = 32;
  int queue_max = 1024;
  rpc::CallSettings calls = {.waiting_threads = 32, .waiting_queue_max = 1024};
  int64_t alerts_per_user_max = 1000;
  int64_t triggers_per_minute = 300;
  absl::Duration call_time_max = absl::Seconds(30);
  absl::Duration upstream_timeout = absl::Seconds(5);
  absl::Duration publish_wait = absl::Seconds(2);
  absl::Duration tombstones_kept = absl::Hours(7 * 24);
  absl::Duration start_timeout = absl::Seconds(60);
};

void Declare(config::Parser& parser, Config& config);

}  // namespace stockalert::alert
