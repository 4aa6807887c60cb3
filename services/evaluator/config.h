// What stockalert-evaluator is told by flags and environment.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/config/parser.h"
#include "services/common/grpc/mesh_callers.h"
#include "services/common/kafka/security.h"
#include "services/common/tls/settings.h"

namespace stockalert::evaluator {

struct Config {
  std::string kafka_bootstrap;
  kafka::Security kafka_security;
  std::string postgres_url;
  std::string http_address = "127.0.0.1:11056";
  std::string internal_address = "127.0.0.1:12056";
  std::string advertised_address;  // Empty: AdvertisedAddress.
  std::string mesh_token;
  rpc::MeshSettings mesh;
  tls::Settings tls = {.has_public_port = false};
  std::string group_id = "stockalert-evaluator";
  std::string instance_id;  // boot::GroupInstance.
  int postgres_connections_max = 4;
  int poll_records = 2'000;
  absl::Duration commit_interval = absl::Seconds(1);
  absl::Duration checkpoint_interval = absl::Seconds(120);
  absl::Duration session_timeout = absl::Seconds(10);
  int held_records_max = 100'000;
  // PARTITION:OFFSET,PARTITION:OFFSET of records that cannot be understood and shall be given up.
  std::string skip_records;
  absl::Duration start_timeout = absl::Seconds(60);
};

void Declare(config::Parser& parser, Config& config);

// Where the other services reach this process's internal port: as configured, else the internal address, in which a
// host that stands for all of them ("0.0.0.0") is replaced by the machine's name. Empty where the port is chosen at the
// start.
std::string AdvertisedAddress(const Config& config);

// INVALID_ARGUMENT where skip_records is no such list.
absl::StatusOr<std::set<std::pair<int32_t, int64_t>>> ParseRecords(const std::string& text);

}  // namespace stockalert::evaluator
