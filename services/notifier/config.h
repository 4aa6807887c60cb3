// What stockalert-notifier is told by flags and environment.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "services/common/config/parser.h"
#include "services/common/grpc/call_settings.h"
#include "services/common/grpc/mesh_callers.h"
#include "services/common/grpc/server_limits.h"
#include "services/common/kafka/security.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/tls/settings.h"

namespace stockalert::notifier {

struct Config {
  std::string public_address = "127.0.0.1:50054";
  std::string http_address = "127.0.0.1:11054";
  std::string user_address = "127.0.0.1:12051";
  std::string postgres_url;
  std::string kafka_bootstrap;
  kafka::Security kafka_security;
  // No flags: the mesh has one name for each, and tests topics of their own.
  std::string triggers_topic = kafka::kTriggersTopic;
  std::string user_events_topic = kafka::kUserEventsTopic;
  std::string group_id = "stockalert-notifier";
  std::string instance_id;  // boot::GroupInstance.
  std::string mesh_token;
  rpc::MeshSettings mesh;
  tls::Settings tls;
  rpc::ServerLimits public_limits;
  int threads = 16;
  int queue_max = 2048;
  rpc::CallSettings calls;
  int postgres_connections_max = 8;
  int streams_max = 5000;
  absl::Duration watch_poll_interval = absl::Milliseconds(250);
  absl::Duration start_timeout = absl::Seconds(60);
};

void Declare(config::Parser& parser, Config& config);

}  // namespace stockalert::notifier
