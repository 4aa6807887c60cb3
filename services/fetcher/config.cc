#include "services/fetcher/config.h"

#include <optional>

#include "services/common/boot/flags.h"
#include "services/domain/market/rules.h"
#include "services/domain/market/symbol.h"
#include "services/domain/price/rounding.h"
#include "services/fetcher/finnhub_rest.h"

namespace stockalert::fetcher {

namespace {

void DeclareFinnhub(config::Parser& parser, Config& config) {
  parser.AddSecret("finnhub_api_key", &config.finnhub_api_key, config::kOptional, "finnhub: the operator's own key",
                   "FINNHUB_API_KEY");
  parser.AddString("finnhub_rest_url", &config.finnhub_rest_url, config::kRequired, "finnhub: where its REST calls go",
                   "FINNHUB_REST_URL");
  parser.AddString("finnhub_ws_url", &config.finnhub_ws_url, config::kOptional, "finnhub: its stream",
                   "FINNHUB_WS_URL");
  parser.AddInteger("finnhub_calls_per_minute", &config.finnhub_calls_per_minute, 5, 100'000,
                    "finnhub: REST calls a minute that the key's plan has");
  parser.AddInteger("finnhub_calls_per_second", &config.finnhub_calls_per_second, 1, 30,
                    "finnhub: REST calls a second");
  parser.AddInteger("finnhub_stream_symbols", &config.finnhub_stream_symbols, 0, 10'000,
                    "finnhub: symbols that the key may stream; 0: no stream");
  parser.AddSeconds("finnhub_silence_s", &config.finnhub_silence, absl::Seconds(1), absl::Hours(1),
                    "finnhub: reconnect a stream that is silent for this long, pings included");
  parser.AddRule([&config]() -> std::optional<std::string> {
    if (config.source == "finnhub" && config.finnhub_api_key.empty()) {
      return "--source=finnhub needs a key: FINNHUB_API_KEY or --finnhub_api_key_file (a free one is to be had at "
             "finnhub.io)";
    }
    return std::nullopt;
  });
  parser.AddRule([&config]() -> std::optional<std::string> {
    const absl::Status wrong = ParseUrl(config.finnhub_rest_url, "http", "https").status();
    return wrong.ok() ? std::nullopt : std::optional<std::string>("--finnhub_rest_url " + std::string(wrong.message()));
  });
  parser.AddRule([&config]() -> std::optional<std::string> {
    const absl::Status wrong = ParseUrl(config.finnhub_ws_url, "ws", "wss").status();
    return wrong.ok() ? std::nullopt : std::optional<std::string>("--finnhub_ws_url " + std::string(wrong.message()));
  });
}

void DeclareReplay(config::Parser& parser, Config& config) {
  parser.AddString("file", &config.file, config::kOptional,
                   "replay: a CSV of bars or ticks, described in services/fetcher/README.md");
  parser.AddReal("speed", &config.speed, 0.001, 1e12, "replay: so many times as fast as life");
  parser.AddReal("quotes_per_s_max", &config.quotes_per_s_max, 0.1, 1e6,
                 "replay: never more quotes a second than this, whatever the speed");
  parser.AddSeconds("gap_max_s", &config.gap_max, absl::ZeroDuration(), absl::Hours(24 * 365),
                    "replay: cut longer pauses in the file to this, in the file's time; 0: cut none");
  parser.AddString("replay_symbol", &config.replay_symbol, config::kOptional,
                   "replay: the symbol of a file without a symbol column; empty: from the file's name");
  parser.AddInteger("replay_decimals", &config.replay_decimals, -1, price::kRoundedDecimalsMax,
                    "replay: round prices half to even to so many decimals, where the file has binary noise "
                    "(104.30000000000001); -1: do not round, and refuse rows with more than six");
  parser.AddString("replay_run", &config.replay_run, config::kOptional,
                   "replay: the run's id; a run that the log has in part goes on there, one that it has whole is not "
                   "repeated; empty: from the "
                   "file's contents");
  parser.AddString(
      "replay_start_file", &config.replay_start_file, config::kOptional,
      "replay: start only once this file exists and a symbol is registered; empty: do not wait for a file");
  parser.AddRule([&config]() -> std::optional<std::string> {
    if (config.source == "replay" && config.file.empty()) return "--file is required with --source=replay";
    return std::nullopt;
  });
  parser.AddRule([&config]() -> std::optional<std::string> {
    if (!config.replay_symbol.empty() && !market::NormalizeSymbol(config.replay_symbol)) {
      return std::string("--replay_symbol ") + market::kSymbolRule;
    }
    return std::nullopt;
  });
  parser.AddRule([&config]() -> std::optional<std::string> {
    if (config.replay_run.size() > 100) return "--replay_run must have at most 100 characters";
    return std::nullopt;
  });
}

}  // namespace

void Declare(config::Parser& parser, Config& config) {
  boot::DeclareAddresses(parser, nullptr, &config.http_address, &config.internal_address);
  kafka::DeclareBroker(parser, config.kafka_bootstrap, config.kafka_security);
  parser.AddDialAddress("ticker_address", &config.ticker_address, config::kRequired,
                        "the ticker service's internal address");
  rpc::DeclareMesh(parser, "fetcher", /*has_internal_port=*/true, config.mesh, config.mesh_token, config.tls);
  tls::Declare(parser, config.tls);
  parser.AddChoice("source", &config.source, {"finnhub", "replay", "publish"},
                   "where prices come from: Finnhub, a file of past ones, or only what PublishQuotes brings");
  boot::DeclareStart(parser, config.start_timeout);
  parser.AddOldName("dependencies_wait_s", "start_timeout_s");
  parser.AddMilliseconds("symbols_interval_ms", &config.symbols_interval, absl::Milliseconds(20), absl::Seconds(10),
                         "how often the ticker service is asked for the registered tickers");
  parser.AddInteger(
      "log_format", &config.log_format, 1, static_cast<int>(market::kNewestRules),
      "what is written to the log: 1: what readers of version 0.1 understand; 2: quotes with gaps. Raise it once "
      "no evaluator of version 0.1 runs any more");
  DeclareFinnhub(parser, config);
  DeclareReplay(parser, config);
}

}  // namespace stockalert::fetcher
