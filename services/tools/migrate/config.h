// What stockalert-migrate is told by flags and environment.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "services/common/config/parser.h"
#include "services/common/kafka/security.h"

namespace stockalert::migrate {

struct Config {
  std::string postgres_url;
  std::string kafka_bootstrap;
  kafka::Security kafka_security;
  // Holds SERVICE/schema/NNNN_name.sql.
  std::string schema_dir;
  // auto, required, off: see roles.h.
  std::string postgres_roles = "auto";
  std::string postgres_role_names;
  std::string postgres_role_passwords_dir;
  bool postgres_own_cluster = false;
  // off, auto, required: see acls.h.
  std::string kafka_acls = "off";
  std::string kafka_principals;
  int prices_partitions = 64;
  int other_partitions = 16;
  // 0: three where there are three brokers, else one.
  int replication_factor = 0;
  int retention_h = 7 * 24;
  // For Postgres and Kafka to answer, each.
  absl::Duration start_timeout = absl::Seconds(60);
  // For each question to a broker that answers; no flag.
  absl::Duration admin_timeout = absl::Seconds(10);
};

void Declare(config::Parser& parser, Config& config);

}  // namespace stockalert::migrate
