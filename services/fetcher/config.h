// What stockalert-fetcher is told by flags and environment.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "services/common/config/parser.h"
#include "services/common/grpc/mesh_callers.h"
#include "services/common/kafka/security.h"
#include "services/common/tls/settings.h"

namespace stockalert::fetcher {

struct Config {
  std::string internal_address = "127.0.0.1:12055";
  std::string http_address = "127.0.0.1:11055";
  std::string kafka_bootstrap;
  kafka::Security kafka_security;
  std::string ticker_address = "127.0.0.1:12052";
  std::string mesh_token;
  rpc::MeshSettings mesh;
  tls::Settings tls{.has_public_port = false};
  std::string source = "publish";
  absl::Duration start_timeout = absl::Seconds(60);
  absl::Duration symbols_interval = absl::Milliseconds(300);
  int log_format = 2;

  // --source=finnhub
  std::string finnhub_api_key;
  std::string finnhub_rest_url = "https://finnhub.io/api/v1";
  std::string finnhub_ws_url = "wss://ws.finnhub.io";
  int finnhub_calls_per_minute = 60;
  int finnhub_calls_per_second = 30;
  int finnhub_stream_symbols = 50;
  absl::Duration finnhub_silence = absl::Seconds(150);

  // --source=replay
  std::string file;
  double speed = 1;
  double quotes_per_s_max = 20'000;
  absl::Duration gap_max = absl::ZeroDuration();
  std::string replay_symbol;
  int replay_decimals = -1;  // -1: prices are not rounded.
  std::string replay_run;
  std::string replay_start_file;
};

void Declare(config::Parser& parser, Config& config);

}  // namespace stockalert::fetcher
