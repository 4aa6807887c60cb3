#include "services/ticker/config.h"

#include "services/common/boot/flags.h"
#include "services/common/postgres/security.h"

namespace stockalert::ticker {

void Declare(config::Parser& parser, Config& config) {
  boot::DeclareAddresses(parser, &config.public_address, &config.http_address, &config.internal_address);
  parser.AddDialAddress("user_address", &config.user_address, config::kRequired, "the user service's internal address");
  parser.AddDialAddress("alert_address", &config.alert_address, config::kRequired,
                        "the alert service's internal address");
  parser.AddDialAddress("fetcher_address", &config.fetcher_address, config::kRequired,
                        "the fetcher's internal address");
  postgres::DeclareDatabase(parser, config.postgres_url);
  kafka::DeclareBroker(parser, config.kafka_bootstrap, config.kafka_security);
  rpc::DeclareMesh(parser, "ticker", /*has_internal_port=*/true, config.mesh, config.mesh_token, config.tls);
  tls::Declare(parser, config.tls);
  rpc::DeclareLimits(parser, config.public_limits);
  boot::DeclareWork(parser, config.threads, config.queue_max);
  rpc::DeclareCalls(parser, config.calls);
  rpc::DeclareWaitingCalls(parser, config.calls);
  boot::DeclareConnections(parser, config.postgres_connections_max);
  parser.AddInteger("quotes_per_user_per_minute", &config.quotes_per_user_per_minute, 1, 1'000'000,
                    "prices that a user may fetch by GetQuote and BatchGetQuotes in a minute");
  parser.AddInteger("unused_tickers_per_user_max", &config.unused_tickers_per_user_max, 1, 100'000,
                    "tickers a user may have registered that nobody follows or has an alert on");
  parser.AddInteger("new_tickers_per_user_per_day", &config.new_tickers_per_user_per_day, 1, 1'000'000,
                    "new tickers that a user may register in 24 hours");
  parser.AddSeconds("forget_unused_after_s", &config.forget_unused_after, absl::Minutes(5), absl::Hours(24 * 365),
                    "how long a ticker is kept that nobody follows or has an alert on");
  parser.AddMilliseconds("fetch_timeout_ms", &config.fetch_timeout, absl::Milliseconds(100), absl::Seconds(30),
                         "how long the source may take for current prices");
  parser.AddMilliseconds("lookup_timeout_ms", &config.lookup_timeout, absl::Milliseconds(100), absl::Seconds(30),
                         "how long the source may take to say whether it knows a symbol");
  parser.AddMilliseconds("last_price_staleness_max_ms", &config.last_price_staleness_max, absl::Milliseconds(100),
                         absl::Minutes(1),
                         "how far behind the log a last price may be before the other services are told to try again");
  parser.AddMilliseconds("price_save_interval_ms", &config.price_save_interval, absl::Milliseconds(50),
                         absl::Minutes(1), "how often the latest prices are saved");
  boot::DeclareStart(parser, config.start_timeout);
}

}  // namespace stockalert::ticker
