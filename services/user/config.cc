#include "services/user/config.h"

#include <optional>

#include "services/common/boot/flags.h"
#include "services/common/postgres/security.h"

namespace stockalert::user {

void Declare(config::Parser& parser, Config& config) {
  boot::DeclareAddresses(parser, &config.public_address, &config.http_address, &config.internal_address);
  parser.AddDialAddress("ticker_address", &config.ticker_address, config::kRequired,
                        "the internal address of the ticker service");
  postgres::DeclareDatabase(parser, config.postgres_url);
  kafka::DeclareBroker(parser, config.kafka_bootstrap, config.kafka_security);
  rpc::DeclareMesh(parser, "user", /*has_internal_port=*/true, config.mesh, config.mesh_token, config.tls);
  tls::Declare(parser, config.tls);
  rpc::DeclareLimits(parser, config.public_limits);
  parser.AddSecret("admin_key", &config.admin_key, config::kOptional,
                   "the administrator's API key; without it there is no administrator");
  boot::DeclareWork(parser, config.threads, config.queue_max);
  rpc::DeclareCalls(parser, config.calls);
  rpc::DeclareWaitingCalls(parser, config.calls);
  boot::DeclareConnections(parser, config.postgres_connections_max);
  parser.AddInteger("registrations_per_minute", &config.registrations_per_minute, 1, 1'000'000,
                    "RegisterUser calls accepted a minute");
  parser.AddInteger("registrations_per_peer_per_minute", &config.registrations_per_peer_per_minute, 1, 1'000'000,
                    "RegisterUser calls accepted a minute from one address");
  parser.AddChoice("registration", &config.registration, {"open", "invitation", "closed"},
                   "who may register: anybody, who has an administrator's invitation, nobody");
  parser.AddSeconds("email_code_life_s", &config.email_code_life, absl::Minutes(5), absl::Hours(24 * 7),
                    "how long a code that verifies an address is valid");
  parser.AddInteger("keys_per_user_max", &config.keys_per_user_max, 1, 1000,
                    "API keys that a user may have, revoked and expired ones not counted");
  parser.AddInteger("followed_per_user_max", &config.followed_per_user_max, 1, 100'000,
                    "tickers that a user may follow");
  parser.AddMilliseconds("ticker_timeout_ms", &config.ticker_timeout, absl::Milliseconds(10), absl::Seconds(20),
                         "how long the ticker service may take");
  parser.AddMilliseconds("outbox_poll_ms", &config.outbox_poll, absl::Milliseconds(10), absl::Minutes(1),
                         "how often to look for deletions that have to be published");
  boot::DeclareStart(parser, config.start_timeout);
  parser.AddRule([&config]() -> std::optional<std::string> {
    if (!config.admin_key.empty() && (config.admin_key.size() < 16 || config.admin_key.size() > 200)) {
      return "the administrator's key must have 16 to 200 characters";
    }
    return std::nullopt;
  });
  parser.AddRule([&config]() -> std::optional<std::string> {
    if (!config.admin_key.empty() && config.admin_key == config.mesh_token)
      return "the administrator's key and the mesh token must differ";
    return std::nullopt;
  });
}

}  // namespace stockalert::user
