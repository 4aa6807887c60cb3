// What the user service can be told.
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

namespace stockalert::user {

struct Config {
  std::string public_address = "127.0.0.1:50051";
  std::string http_address = "127.0.0.1:11051";
  std::string internal_address = "127.0.0.1:12051";
  std::string ticker_address = "127.0.0.1:12052";
  std::string postgres_url;
  std::string kafka_bootstrap;
  kafka::Security kafka_security;
  std::string mesh_token;
  rpc::MeshSettings mesh;
  tls::Settings tls;
  rpc::ServerLimits public_limits;
  std::string admin_key;
  int threads = 8;
  int queue_max = 512;
  rpc::CallSettings calls;
  int postgres_connections_max = 8;
  int64_t registrations_per_minute = 1200;
  int64_t registrations_per_peer_per_minute = 120;
  std::string registration = "open";
  absl::Duration email_code_life = absl::Hours(24);
  int64_t keys_per_user_max = 20;
  int64_t followed_per_user_max = 1000;
  absl::Duration ticker_timeout = absl::Seconds(3);
  absl::Duration outbox_poll = absl::Seconds(1);
  absl::Duration start_timeout = absl::Seconds(60);
};

void Declare(config::Parser& parser, Config& config);

}  // namespace stockalert::user
