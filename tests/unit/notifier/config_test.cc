#include "services/notifier/config.h"

#include <catch2/catch.hpp>
#include <cstdio>
#include <fstream>
#include <map>
#include <utility>
#include <vector>

namespace stockalert::notifier {
namespace {

config::ParseResult ParseWith(const std::map<std::string, std::string>& environment) {
  Config config;
  config::Parser parser("stockalert-notifier", "d", "1");
  Declare(parser, config);
  const char* argv[] = {"stockalert-notifier"};
  return parser.Parse(1, argv, [&](const std::string& name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional<std::string>(found->second);
  });
}

TEST_CASE("missing and invalid settings are refused") {
  const std::map<std::string, std::string> good = {{"STOCKALERT_POSTGRES_URL", "postgresql://u:p@h/d?sslmode=disable"},
                                                   {"STOCKALERT_KAFKA_BOOTSTRAP", "127.0.0.1:9092"},
                                                   {"STOCKALERT_PLAINTEXT", "true"},
                                                   {"STOCKALERT_KAFKA_PLAINTEXT", "true"},
                                                   {"STOCKALERT_MESH_TOKEN", "0123456789abcdef"}};
  CHECK(ParseWith(good).kind == config::ParseResult::Kind::kRun);
  // That a token is missing is a rule between two flags, looked at once each alone is right.
  CHECK(ParseWith({}).errors.size() == 2);
  auto without_token = good;
  without_token.erase("STOCKALERT_MESH_TOKEN");
  CHECK(ParseWith(without_token).kind == config::ParseResult::Kind::kErrors);
  for (const auto& [name, value] : std::map<std::string, std::string>{{"STOCKALERT_MESH_TOKEN", "short"},
                                                                      {"STOCKALERT_STREAMS_MAX", "0"},
                                                                      {"STOCKALERT_WATCH_POLL_INTERVAL_MS", "1"},
                                                                      {"STOCKALERT_DELIVERY_KEYS_FILE", "/dev/null"},
                                                                      {"STOCKALERT_EGRESS_ALLOW", "10.0.0.0/99"},
                                                                      {"STOCKALERT_DESTINATION_HOSTS", "slack=hooks"},
                                                                      {"STOCKALERT_DELIVERIES_IN_FLIGHT_MAX", "0"},
                                                                      {"STOCKALERT_DELIVERY_TIMEOUT_MS", "25001"},
                                                                      {"STOCKALERT_DELIVERY_POLL_INTERVAL_MS", "1"},
                                                                      {"STOCKALERT_TICKER_ADDRESS", "nonsense"},
                                                                      {"STOCKALERT_USER_ADDRESS", "nonsense"}}) {
    auto bad = good;
    bad[name] = value;
    INFO(name << "=" << value);
    CHECK(ParseWith(bad).kind == config::ParseResult::Kind::kErrors);
  }
}

TEST_CASE("mail needs a server, a sender and keys, and no password goes in the clear") {
  const std::string keys = "/tmp/stockalert_config_test_keys";
  std::ofstream(keys) << "k1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
  const std::map<std::string, std::string> good = {{"STOCKALERT_POSTGRES_URL", "postgresql://u:p@h/d?sslmode=disable"},
                                                   {"STOCKALERT_KAFKA_BOOTSTRAP", "127.0.0.1:9092"},
                                                   {"STOCKALERT_PLAINTEXT", "true"},
                                                   {"STOCKALERT_KAFKA_PLAINTEXT", "true"},
                                                   {"STOCKALERT_MESH_TOKEN", "0123456789abcdef"},
                                                   {"STOCKALERT_DELIVERY_KEYS_FILE", keys},
                                                   {"STOCKALERT_SMTP_ADDRESS", "mail.example.org:587"},
                                                   {"STOCKALERT_SMTP_USER", "ann"},
                                                   {"STOCKALERT_SMTP_PASSWORD", "secret"},
                                                   {"STOCKALERT_MAIL_FROM", "alerts@example.org"}};
  CHECK(ParseWith(good).kind == config::ParseResult::Kind::kRun);
  for (const auto& [name, value] : std::map<std::string, std::string>{{"STOCKALERT_SMTP_ADDRESS", ""},
                                                                      {"STOCKALERT_DELIVERY_KEYS_FILE", ""},
                                                                      {"STOCKALERT_MAIL_FROM", ""},
                                                                      {"STOCKALERT_SMTP_PASSWORD", ""},
                                                                      {"STOCKALERT_SMTP_USER", ""},
                                                                      {"STOCKALERT_SMTP_TLS", "none"}}) {
    auto bad = good;
    bad[name] = value;
    INFO(name << "=" << value);
    const config::ParseResult result = ParseWith(bad);
    CHECK(result.kind == config::ParseResult::Kind::kErrors);
    REQUIRE(result.errors.size() == 1);
    CHECK(result.errors[0].find("secret") == std::string::npos);
  }
  for (const auto& [name, value] : std::map<std::string, std::string>{{"STOCKALERT_SMTP_ADDRESS", "mail"},
                                                                      {"STOCKALERT_SMTP_TLS", "ssl"},
                                                                      {"STOCKALERT_MAIL_FROM", "A <a@example.org>"},
                                                                      {"STOCKALERT_MAIL_UNSUBSCRIBE", "a@b\r\nX: y"},
                                                                      {"STOCKALERT_SMTP_TIMEOUT_MS", "40001"},
                                                                      {"STOCKALERT_SMTP_IN_FLIGHT_MAX", "0"}}) {
    auto bad = good;
    bad[name] = value;
    INFO(name << "=" << value);
    CHECK(ParseWith(bad).kind == config::ParseResult::Kind::kErrors);
  }
  std::remove(keys.c_str());
}

TEST_CASE("a public URL is an https one and needs mail; an Apprise server is a URL with services") {
  const std::string keys = "/tmp/stockalert_config_test_public_keys";
  std::ofstream(keys) << "k1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
  const std::map<std::string, std::string> good = {{"STOCKALERT_POSTGRES_URL", "postgresql://u:p@h/d?sslmode=disable"},
                                                   {"STOCKALERT_KAFKA_BOOTSTRAP", "127.0.0.1:9092"},
                                                   {"STOCKALERT_PLAINTEXT", "true"},
                                                   {"STOCKALERT_KAFKA_PLAINTEXT", "true"},
                                                   {"STOCKALERT_MESH_TOKEN", "0123456789abcdef"},
                                                   {"STOCKALERT_DELIVERY_KEYS_FILE", keys},
                                                   {"STOCKALERT_SMTP_ADDRESS", "mail.example.org:587"},
                                                   {"STOCKALERT_MAIL_FROM", "alerts@example.org"},
                                                   {"STOCKALERT_APPRISE_URL", "http://apprise:8000"},
                                                   {"STOCKALERT_PUBLIC_URL", "https://alerts.example.org/stocks"}};
  CHECK(ParseWith(good).kind == config::ParseResult::Kind::kRun);
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"STOCKALERT_PUBLIC_URL", "http://alerts.example.org"},
                                                        {"STOCKALERT_PUBLIC_URL", "https://"},
                                                        {"STOCKALERT_PUBLIC_URL", "https:///path"},
                                                        {"STOCKALERT_PUBLIC_URL", "https://a.example/?x=>"},
                                                        {"STOCKALERT_UNSUBSCRIBE_ADDRESS", "nonsense"},
                                                        {"STOCKALERT_APPRISE_URL", "apprise:8000"},
                                                        {"STOCKALERT_APPRISE_SCHEMES", "Discord://"},
                                                        {"STOCKALERT_SMTP_ADDRESS", ""}}) {
    auto bad = good;
    bad[name] = value;
    if (name == "STOCKALERT_SMTP_ADDRESS") bad.erase("STOCKALERT_MAIL_FROM");
    INFO(name << "=" << value);
    CHECK(ParseWith(bad).kind == config::ParseResult::Kind::kErrors);
  }
  std::remove(keys.c_str());
}

}  // namespace
}  // namespace stockalert::notifier
