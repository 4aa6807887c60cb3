// What stockalert-ticker is told by flags and environment.
#pragma once

#include <cstddef>
#include <string>

#include "absl/time/time.h"
#include "services/common/config/parser.h"
#include "services/common/grpc/call_settings.h"
#include "services/common/grpc/mesh_callers.h"
#include "services/common/grpc/server_limits.h"
#include "services/common/kafka/security.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/tls/settings.h"

namespace stockalert::ticker {

struct Config {
  std::string public_address = "127.0.0.1:50052";
  std::string http_address = "127.0.0.1:11052";
  std::string internal_address = "127.0.0.1:12052";
  std::string user_address = "127.0.0.1:12051";
  std::string alert_address = "127.0.0.1:12053";
  std::string fetcher_address = "127.0.0.1:12055";
  std::string postgres_url;
  std::string kafka_bootstrap;
  kafka::Security kafka_security;
  // No flag: the mesh has one name for it, and tests topics of their own.
  std::string prices_topic = kafka::kPricesTopic;
  // No flag: PriceLogReaderOptions.
  size_t unsaved_bars_max = 100'000;
  std::string mesh_token;
  rpc::MeshSettings mesh;
  tls::Settings tls;
  rpc::ServerLimits public_limits;
  int threads = 16;
  int queue_max = 512;
  rpc::CallSettings calls;
  int postgres_connections_max = 8;
  int quotes_per_user_per_minute = 300;
  int unused_tickers_per_user_max = 200;
  int new_tickers_per_user_per_day = 2000;
  absl::Duration forget_unused_after = absl::Hours(24);
  absl::Duration fetch_timeout = absl::Seconds(5);
  absl::Duration lookup_timeout = absl::Seconds(3);
  absl::Duration last_price_staleness_max = absl::Seconds(2);
  absl::Duration price_save_interval = absl::Seconds(1);
  absl::Duration start_timeout = absl::Seconds(60);
};

void Declare(config::Parser& parser, Config& config);

}  // namespace stockalert::ticker
