#include "services/fetcher/config.h"

#include <optional>

#include "services/common/boot/flags.h"
#include "services/domain/market/symbol.h"
#include "services/fetcher/finnhub_rest.h"

namespace stockalert::fetcher {

namespace {

void DeclareFinnhub(config::Parser& parser, Config& config) {
  parser.Secret("finnhub_api_key", &config.finnhub_api_key, config::kOptional, "finnhub: the operator's own key",
                "FINNHUB_API_KEY");
  parser.String("finnhub_rest_url", &config.finnhub_rest_url, config::kRequired, "finnhub: where its REST calls go",
                "FINNHUB_REST_URL");
  parser.String("finnhub_ws_url", &config.finnhub_ws_url, config::kOptional, "finnhub: its stream", "FINNHUB_WS_URL");
  parser.Integer("finnhub_calls_per_minute", &config.finnhub_calls_per_minute, 5, 100'000,
                 "finnhub: REST calls a minute that the key's plan has");
  parser.Integer("finnhub_calls_per_second", &config.finnhub_calls_per_second, 1, 30, "finnhub: REST calls a second");
  parser.Integer("finnhub_stream_symbols", &config.finnhub_stream_symbols, 0, 10'000,
                 "finnhub: symbols that the key may stream; 0: no stream");
  parser.Seconds("finnhub_silence_s", &config.finnhub_silence, absl::Seconds(1), absl::Hours(1),
                 "finnhub: a stream that is silent for so long, pings included, is connected anew");
  parser.Rule([&config]() -> std::optional<std::string> {
    if (config.source == "finnhub" && config.finnhub_api_key.empty()) {
      return "--source=finnhub needs a key: FINNHUB_API_KEY or --finnhub_api_key_file (a free one is to be had at "
             "finnhub.io)";
    }
    return std::nullopt;
  });
  parser.Rule([&config]() -> std::optional<std::string> {
    const absl::Status wrong = ParseUrl(config.finnhub_rest_url, "http", "https").status();
    return wrong.ok() ? std::nullopt : std::optional<std::string>("--finnhub_rest_url " + std::string(wrong.message()));
  });
  parser.Rule([&config]() -> std::optional<std::string> {
    const absl::Status wrong = ParseUrl(config.finnhub_ws_url, "ws", "wss").status();
    return wrong.ok() ? std::nullopt : std::optional<std::string>("--finnhub_ws_url " + std::string(wrong.message()));
  });
}

void DeclareReplay(config::Parser& parser, Config& config) {
  parser.String("file", &config.file, config::kOptional,
                "replay: a CSV of bars or ticks, described in services/fetcher/README.md");
  parser.Real("speed", &config.speed, 0.001, 1e12, "replay: so many times as fast as life");
  parser.Real("quotes_per_s_max", &config.quotes_per_s_max, 0.1, 1e6,
              "replay: never more quotes a second than this, whatever the speed");
  parser.Seconds("gap_max_s", &config.gap_max, absl::ZeroDuration(), absl::Hours(24 * 365),
                 "replay: longer pauses in the file are cut to this, in the file's time; 0 cuts none");
  parser.String("replay_symbol", &config.replay_symbol, config::kOptional,
                "replay: the symbol of a file that names none; empty: from the file's name");
  parser.String("replay_run", &config.replay_run, config::kOptional,
                "replay: the run's id; a run that the log has in part goes on there, one that it has whole is not "
                "repeated; empty: from the "
                "file's contents");
  parser.String(
      "replay_start_file", &config.replay_start_file, config::kOptional,
      "replay: begin when this file exists, besides the registration of a symbol; empty: do not wait for a file");
  parser.Rule([&config]() -> std::optional<std::string> {
    if (config.source == "replay" && config.file.empty()) return "--file is required with --source=replay";
    return std::nullopt;
  });
  parser.Rule([&config]() -> std::optional<std::string> {
    if (!config.replay_symbol.empty() && !market::NormalizeSymbol(config.replay_symbol)) {
      return std::string("--replay_symbol ") + market::kSymbolRule;
    }
    return std::nullopt;
  });
  parser.Rule([&config]() -> std::optional<std::string> {
    if (config.replay_run.size() > 100) return "--replay_run must have at most 100 characters";
    return std::nullopt;
  });
}

}  // namespace

void Declare(config::Parser& parser, Config& config) {
  boot::DeclareAddresses(parser, nullptr, &config.http_address, &config.internal_address);
  kafka::DeclareBroker(parser, config.kafka_bootstrap, config.kafka_security);
  parser.DialAddress("ticker_address", &config.ticker_address, config::kRequired,
                     "the ticker service's internal address");
  rpc::DeclareMesh(parser, "fetcher", /*has_internal_port=*/true, config.mesh, config.mesh_token, config.tls);
  tls::Declare(parser, config.tls);
  parser.Choice("source", &config.source, {"finnhub", "replay", "publish"},
                "where prices come from: Finnhub, a file of past ones, or only what PublishQuotes brings");
  boot::DeclareStart(parser, config.start_timeout);
  parser.OldName("dependencies_wait_s", "start_timeout_s");
  parser.Milliseconds("symbols_interval_ms", &config.symbols_interval, absl::Milliseconds(20), absl::Seconds(10),
                      "how often the ticker service is asked for the registered tickers");
  DeclareFinnhub(parser, config);
  DeclareReplay(parser, config);
}

}  // namespace stockalert::fetcher
