// stockalert-log: prints the log of prices as a stream of events, for operators and audits. Exit codes: 0 printed, 1
// not all of it (the last line on stderr says why), 2 wrong flags.
#include <csignal>
#include <cstdio>

#include "services/common/config/parser.h"
#include "services/common/log/log.h"
#include "services/common/version/version.h"
#include "services/domain/market/symbol.h"
#include "services/tools/log/log_reader.h"

int main(int argc, char** argv) {
  using namespace stockalert;
  logtool::LogReaderOptions options;
  std::string symbol;
  int64_t partition = -1;
  int64_t from_offset = -1;
  config::Parser parser("stockalert-log",
                        "Prints the topic prices as a stream of events (docs/semantics.md), to its end as of the "
                        "start; with --symbol AAPL it is what "
                        "scripts/semantics reads",
                        version::Text());
  kafka::DeclareBroker(parser, options.kafka_bootstrap, options.kafka_security);
  parser.AddString("symbol", &symbol, config::kOptional, "only this symbol's records");
  parser.AddInteger("partition", &partition, -1, 1'000'000,
                    "only this partition; -1: the symbol's, or all, one after the other");
  parser.AddInteger("from_offset", &from_offset, -1, INT64_MAX,
                    "begin here, in each partition that is read; -1: at the oldest record");
  parser.AddBoolean("follow", &options.follow, "go on at the end, until interrupted");
  parser.AddSeconds("timeout_s", &options.timeout, absl::Seconds(1), absl::Minutes(10),
                    "how long to wait for the broker");
  parser.AddRule([&]() -> std::optional<std::string> {
    if (symbol.empty() || market::NormalizeSymbol(symbol)) return std::nullopt;
    return std::string("--symbol ") + market::kSymbolRule;
  });
  const config::ParseResult parsed = parser.Parse(argc, argv);
  if (parsed.kind == config::ParseResult::Kind::kShow) {
    std::fputs(parsed.text.c_str(), stdout);
    return 0;
  }
  if (parsed.kind == config::ParseResult::Kind::kErrors) {
    for (const std::string& error : parsed.errors) std::fprintf(stderr, "stockalert-log: %s\n", error.c_str());
    return 2;
  }
  log::Configure("stockalert-log", log::Level::kWarning);
  std::signal(SIGPIPE, SIG_IGN);
  if (!symbol.empty()) options.symbol = *market::NormalizeSymbol(symbol);
  if (partition >= 0) options.partition = static_cast<int32_t>(partition);
  if (from_offset >= 0) options.from_offset = from_offset;
  const absl::Status status = logtool::ReadLog(options, stdout, stderr);
  if (status.ok() || absl::IsCancelled(status)) return 0;
  std::fprintf(stderr, "stockalert-log: %s\n", std::string(status.message()).c_str());
  return 1;
}
