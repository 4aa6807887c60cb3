#include "services/ticker/config.h"

#include <catch2/catch.hpp>
#include <map>
#include <vector>

namespace stockalert::ticker {
namespace {

config::ParseResult Parse(Config& config, std::vector<const char*> arguments,
                          std::map<std::string, std::string> environment = {}) {
  config::Parser parser("stockalert-ticker", "test", "1");
  Declare(parser, config);
  arguments.insert(arguments.begin(), "stockalert-ticker");
  return parser.Parse(static_cast<int>(arguments.size()), arguments.data(),
                      [&](const std::string& name) -> std::optional<std::string> {
                        const auto found = environment.find(name);
                        return found == environment.end() ? std::nullopt : std::optional(found->second);
                      });
}

const std::map<std::string, std::string> kNeeded = {
    {"STOCKALERT_POSTGRES_URL", "postgresql://127.0.0.1:5432/stockalert?sslmode=disable"},
    {"STOCKALERT_KAFKA_BOOTSTRAP", "127.0.0.1:9092"},
    {"STOCKALERT_PLAINTEXT", "true"},
    {"STOCKALERT_KAFKA_PLAINTEXT", "true"},
    {"STOCKALERT_MESH_TOKEN", "0123456789abcdef"}};

TEST_CASE("the defaults stand beside what is needed") {
  Config config;
  CHECK(Parse(config, {"--fetcher_address", "fetcher.mesh:12055"}, kNeeded).kind == config::ParseResult::Kind::kRun);
  CHECK(config.fetcher_address == "fetcher.mesh:12055");
  CHECK(config.public_address == "127.0.0.1:50052");
  CHECK(config.prices_topic == "prices");
}

TEST_CASE("every configuration error is reported") {
  Config config;
  const config::ParseResult result = Parse(
      config, {"--quotes_per_user_per_minute", "0", "--user_address", "nowhere", "--price_save_interval_ms", "1s"});
  CHECK(result.kind == config::ParseResult::Kind::kErrors);
  CHECK(result.errors.size() >= 5);
  auto short_token = kNeeded;
  short_token["STOCKALERT_MESH_TOKEN"] = "short";
  CHECK(Parse(config, {}, short_token).kind == config::ParseResult::Kind::kErrors);
}

}  // namespace
}  // namespace stockalert::ticker
