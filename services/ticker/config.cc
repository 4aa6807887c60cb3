#include "services/ticker/config.h"

#include "services/common/postgres/security.h"

namespace stockalert::ticker {

void Declare(config::Parser& parser, Config& config) {
  parser.ListenAddress("public_address", &config.public_address, "where clients connect");
  parser.ListenAddress("http_address", &config.http_address, "where /metrics, /healthz and /readyz are");
  parser.ListenAddress("internal_address", &config.internal_address, "where the other services connect");
  parser.DialAddress("user_address", &config.user_address, config::kRequired, "the user service's internal address");
  parser.DialAddress("alert_address", &config.alert_address, config::kRequired, "the alert service's internal address");
  parser.DialAddress("fetcher_address", &config.fetcher_address, config::kRequired, "the fetcher's internal address");
  postgres::DeclareDatabase(parser, config.postgres_url);
  kafka::DeclareBroker(parser, config.kafka_bootstrap, config.kafka_security);
  rpc::DeclareMesh(parser, "ticker", /*has_internal_port=*/true, config.mesh, config.mesh_token, config.tls);
  tls::Declare(parser, config.tls);
  rpc::DeclareLimits(parser, config.public_limits);
  parser.Integer("threads", &config.threads, 1, 256, "threads that answer calls, on each port");
  parser.Integer("queue_max", &config.queue_max, 1, 100'000, "calls that may wait for a thread; more are refused");
  rpc::DeclareCalls(parser, config.calls);
  rpc::DeclareWaitingCalls(parser, config.calls);
  parser.Integer("postgres_connections_max", &config.postgres_connections_max, 2, 100, "connections to the database");
  parser.Integer("quotes_per_user_per_minute", &config.quotes_per_user_per_minute, 1, 1'000'000,
                 "prices that GetQuote and BatchGetQuotes fetch for a user in a minute");
  parser.Integer("unused_tickers_per_user_max", &config.unused_tickers_per_user_max, 1, 100'000,
                 "tickers that a user registered and that nobody follows or has an alert on");
  parser.Integer("new_tickers_per_user_per_day", &config.new_tickers_per_user_per_day, 1, 1'000'000,
                 "tickers not registered before that a user may register in 24 hours");
  parser.Seconds("forget_unused_after_s", &config.forget_unused_after, absl::Minutes(5), absl::Hours(24 * 365),
                 "how long a ticker is kept that nobody follows or has an alert on");
  parser.Milliseconds("fetch_timeout_ms", &config.fetch_timeout, absl::Milliseconds(100), absl::Seconds(30),
                      "how long the source may take for current prices");
  parser.Milliseconds("lookup_timeout_ms", &config.lookup_timeout, absl::Milliseconds(100), absl::Seconds(30),
                      "how long the source may take to say whether it knows a symbol");
  parser.Milliseconds("last_price_staleness_max_ms", &config.last_price_staleness_max, absl::Milliseconds(100),
                      absl::Minutes(1),
                      "how far behind the log a last price may be before the other services are told to try again");
  parser.Milliseconds("price_save_interval_ms", &config.price_save_interval, absl::Milliseconds(50), absl::Minutes(1),
                      "how often the latest prices are saved");
  parser.Seconds("start_timeout_s", &config.start_timeout, absl::Seconds(1), absl::Minutes(10),
                 "how long to wait for the database at the start");
}

}  // namespace stockalert::ticker
