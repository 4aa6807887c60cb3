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
#include "services/notifier/delivery/kinds/apprise_kind.h"

namespace stockalert::notifier {

struct Config {
  std::string public_address = "127.0.0.1:50054";
  std::string http_address = "127.0.0.1:11054";
  std::string internal_address = "127.0.0.1:12054";
  std::string user_address = "127.0.0.1:12051";
  std::string ticker_address = "127.0.0.1:12052";
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
  std::string delivery_keys_file;  // Empty: delivery is off.
  std::string egress_allow;        // EgressGuard::Create.
  bool egress_allow_http = false;
  std::string destination_hosts;  // KindHosts::Parse.
  std::string egress_ca_file;     // Empty: the system's authorities.
  int deliveries_in_flight_max = 256;
  absl::Duration delivery_timeout = absl::Seconds(20);
  absl::Duration delivery_poll_interval = absl::Milliseconds(500);
  std::string smtp_address;  // "mail.example.org:587"; empty: no mail is sent.
  std::string smtp_tls = "starttls";
  std::string smtp_user;  // Empty: no login.
  std::string smtp_password;
  std::string smtp_ca_file;  // Empty: the system's authorities.
  absl::Duration smtp_timeout = absl::Seconds(25);
  int smtp_in_flight_max = 8;
  std::string mail_from;
  std::string mail_from_name = "StockAlert";
  std::string mail_unsubscribe;  // Empty: mail_from.
  std::string public_url;  // "https://alerts.example.org"; empty: no link unsubscribes, and no port for it is open.
  std::string unsubscribe_address = "127.0.0.1:13054";
  std::string apprise_url;  // AppriseServer::Parse; empty: there is none.
  std::string apprise_schemes = kDefaultAppriseSchemes;
};

void Declare(config::Parser& parser, Config& config);

}  // namespace stockalert::notifier
