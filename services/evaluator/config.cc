#include "services/evaluator/config.h"

#include <unistd.h>

#include <array>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/boot/flags.h"
#include "services/common/config/address.h"
#include "services/common/postgres/security.h"

namespace stockalert::evaluator {

absl::StatusOr<std::set<std::pair<int32_t, int64_t>>> ParseRecords(const std::string& text) {
  std::set<std::pair<int32_t, int64_t>> records;
  for (const absl::string_view item : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::vector<absl::string_view> parts = absl::StrSplit(item, ':');
    int32_t partition = 0;
    int64_t offset = 0;
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &partition) || !absl::SimpleAtoi(parts[1], &offset) ||
        partition < 0 || offset < 0) {
      return absl::InvalidArgumentError("--skip_records: write PARTITION:OFFSET,PARTITION:OFFSET");
    }
    records.emplace(partition, offset);
  }
  return records;
}

std::string AdvertisedAddress(const Config& config) {
  if (!config.advertised_address.empty()) return config.advertised_address;
  const absl::StatusOr<config::Address> address = config::ParseAddress(config.internal_address);
  if (!address.ok() || address->port == 0) return "";
  if (address->host != "0.0.0.0" && address->host != "::") return config.internal_address;
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0 || host.front() == '\0') return "";
  return absl::StrCat(host.data(), ":", address->port);
}

void Declare(config::Parser& parser, Config& config) {
  kafka::DeclareBroker(parser, config.kafka_bootstrap, config.kafka_security);
  postgres::DeclareDatabase(parser, config.postgres_url);
  boot::DeclareAddresses(parser, nullptr, &config.http_address, &config.internal_address);
  parser.AddDialAddress("advertised_address", &config.advertised_address, config::kOptional,
                        "where the other services reach this evaluator's internal port; empty: the internal address, "
                        "with the machine's name where it listens on all addresses");
  rpc::DeclareMesh(parser, "evaluator", /*has_internal_port=*/true, config.mesh, config.mesh_token, config.tls);
  tls::Declare(parser, config.tls);
  boot::DeclareGroup(parser, config.group_id, config.instance_id, /*may_come_and_go=*/false);
  boot::DeclareConnections(parser, config.postgres_connections_max);
  parser.AddOldName("postgres_connections", "postgres_connections_max");
  parser.AddInteger("poll_records", &config.poll_records, 1, 100'000, "the most records folded between two commits");
  parser.AddMilliseconds("commit_interval_ms", &config.commit_interval, absl::Milliseconds(10), absl::Seconds(60),
                         "how long progress without effects may wait for its commit");
  parser.AddSeconds("checkpoint_interval_s", &config.checkpoint_interval, absl::Seconds(1), absl::Hours(24),
                    "how often the state of a partition is written");
  parser.AddMilliseconds("session_timeout_ms", &config.session_timeout, absl::Seconds(6), absl::Minutes(5),
                         "how long an evaluator may be silent before it loses its partitions");
  parser.AddInteger("held_records_max", &config.held_records_max, 1, 10'000'000,
                    "the most records kept of a symbol whose split is suspected; at one more its partition stops");
  parser.AddString(
      "skip_records", &config.skip_records, config::kOptional,
      "PARTITION:OFFSET,... of records that cannot be understood and are given up; see the evaluator's README");
  parser.AddRule([&config]() -> std::optional<std::string> {
    const auto records = ParseRecords(config.skip_records);
    if (records.ok()) return std::nullopt;
    return std::string(records.status().message());
  });
  boot::DeclareStart(parser, config.start_timeout);
}

}  // namespace stockalert::evaluator
