#include "services/user/config.h"

#include <catch2/catch.hpp>
#include <map>

namespace stockalert::user {
namespace {

config::ParseResult ParseWith(const std::map<std::string, std::string>& environment) {
  Config config;
  config::Parser parser("stockalert-user", "d", "1");
  Declare(parser, config);
  const char* argv[] = {"stockalert-user"};
  return parser.Parse(1, argv, [&](const std::string& name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional<std::string>(found->second);
  });
}

TEST_CASE("what the service must be told, and what it refuses") {
  std::map<std::string, std::string> good = {{"STOCKALERT_POSTGRES_URL", "postgresql://u:p@h/d?sslmode=disable"},
                                             {"STOCKALERT_KAFKA_BOOTSTRAP", "127.0.0.1:9092"},
                                             {"STOCKALERT_PLAINTEXT", "true"},
                                             {"STOCKALERT_KAFKA_PLAINTEXT", "true"},
                                             {"STOCKALERT_MESH_TOKEN", "0123456789abcdef"},
                                             {"STOCKALERT_ADMIN_KEY", "an administrator's key"}};
  CHECK(ParseWith(good).kind == config::ParseResult::Kind::kRun);
  // That a token is missing is a rule between two flags, looked at once each alone is right.
  CHECK(ParseWith({}).errors.size() == 2);
  auto without_token = good;
  without_token.erase("STOCKALERT_MESH_TOKEN");
  CHECK(ParseWith(without_token).kind == config::ParseResult::Kind::kErrors);
  for (const auto& [name, value] :
       std::multimap<std::string, std::string>{{"STOCKALERT_MESH_TOKEN", "short"},
                                               {"STOCKALERT_ADMIN_KEY", "short"},
                                               {"STOCKALERT_ADMIN_KEY", "0123456789abcdef"},
                                               {"STOCKALERT_THREADS", "0"},
                                               {"STOCKALERT_TRUSTED_PROXIES", "10.0.0.1/8"},
                                               {"STOCKALERT_TRUSTED_PROXIES", "the proxy"},
                                               {"STOCKALERT_READS_PER_USER_PER_S", "0"},
                                               {"STOCKALERT_KAFKA_BOOTSTRAP", "nonsense"}}) {
    auto bad = good;
    bad[name] = value;
    INFO(name << "=" << value);
    CHECK(ParseWith(bad).kind == config::ParseResult::Kind::kErrors);
  }
}

}  // namespace
}  // namespace stockalert::user
