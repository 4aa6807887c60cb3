#include "services/common/kafka/security.h"

#include <catch2/catch.hpp>
#include <map>
#include <vector>

#include "services/common/kafka/topic_admin.h"
#include "tests/support/certificates/certificates.h"

namespace stockalert::kafka {
namespace {

std::vector<std::string> Errors(std::vector<std::string> flags,
                                const std::map<std::string, std::string>& environment = {}) {
  std::string bootstrap;
  Security security;
  config::Parser parser("stockalert-test", "d", "1");
  DeclareBroker(parser, bootstrap, security);
  flags.push_back("--kafka_bootstrap=127.0.0.1:1");
  std::vector<const char*> argv = {"stockalert-test"};
  for (const std::string& flag : flags) argv.push_back(flag.c_str());
  return parser
      .Parse(static_cast<int>(argv.size()), argv.data(),
             [&](const std::string& name) -> std::optional<std::string> {
               const auto found = environment.find(name);
               return found == environment.end() ? std::nullopt : std::optional(found->second);
             })
      .errors;
}

TEST_CASE("Kafka's flags refuse contradictory, incomplete and unusable settings") {
  const testing::Authority authority("a");
  const testing::Identity identity = authority.Issue();
  testing::Wanted wanted;
  wanted.end = absl::Now() - absl::Minutes(1);
  const testing::Identity expired = authority.Issue(wanted);
  const testing::SwappedFolder folder({{"crt", identity.certificate},
                                       {"key", identity.key},
                                       {"ca", authority.certificate()},
                                       {"expired", expired.certificate},
                                       {"expired.key", expired.key}});
  const std::string ca = "--kafka_tls_ca_file=" + folder.Path("ca");
  const std::string crt = "--kafka_tls_cert_file=" + folder.Path("crt");
  const std::string key = "--kafka_tls_key_file=" + folder.Path("key");
  const std::string user = "--kafka_sasl_username=u";
  const std::map<std::string, std::string> password = {{"STOCKALERT_KAFKA_SASL_PASSWORD", "p"}};
  CHECK(Errors({"--kafka_plaintext"}).empty());
  CHECK(Errors({"--kafka_tls"}).empty());
  CHECK(Errors({"--kafka_tls", ca, crt, key, user, "--kafka_sasl_mechanism=PLAIN"}, password).empty());
  CHECK(Errors({"--kafka_plaintext", user, "--kafka_sasl_mechanism=SCRAM-SHA-512"}, password).empty());

  struct Case {
    std::vector<std::string> flags;
    std::map<std::string, std::string> environment;
    const char* says;
  };
  const Case cases[] = {
      {{}, {}, "how to speak with Kafka is not said"},
      {{"--kafka_tls", "--kafka_plaintext"}, {}, "exclude each other"},
      {{"--kafka_plaintext", ca}, {}, "--kafka_tls_ca_file is for --kafka_tls alone"},
      {{"--kafka_plaintext", crt, key}, {}, "--kafka_tls_cert_file is for --kafka_tls alone"},
      {{"--kafka_tls", crt}, {}, "belong together"},
      {{"--kafka_tls", key}, {}, "belong together"},
      {{"--kafka_tls", "--kafka_tls_ca_file=" + folder.Path("none")}, {}, "--kafka_tls_ca_file="},
      {{"--kafka_tls", "--kafka_tls_ca_file=" + folder.Path("crt")}, {}, "CA:TRUE"},
      {{"--kafka_tls", crt, "--kafka_tls_key_file=" + folder.Path("expired.key")}, {}, "is not the key"},
      {{"--kafka_tls", "--kafka_tls_cert_file=" + folder.Path("expired"),
        "--kafka_tls_key_file=" + folder.Path("expired.key")},
       {},
       "has expired"},
      {{"--kafka_plaintext", user}, {}, "--kafka_sasl_mechanism"},
      {{"--kafka_plaintext"}, password, "--kafka_sasl_mechanism"},
      {{"--kafka_tls", user, "--kafka_sasl_mechanism=PLAIN"}, {}, "--kafka_sasl_password_file"},
      {{"--kafka_tls", "--kafka_sasl_mechanism=PLAIN"}, password, "--kafka_sasl_username"},
      {{"--kafka_plaintext", user, "--kafka_sasl_mechanism=PLAIN"}, password, "--kafka_tls"},
      {{"--kafka_tls", user, "--kafka_sasl_mechanism=GSSAPI"}, password, "must be PLAIN"},
  };
  for (const Case& one : cases) {
    INFO(one.says);
    const std::vector<std::string> errors = Errors(one.flags, one.environment);
    REQUIRE(errors.size() == 1);
    INFO(errors[0]);
    CHECK(errors[0].find(one.says) != std::string::npos);
  }
}

TEST_CASE("librdkafka accepts what the flags accepted") {
  const testing::Authority authority("a");
  const testing::Identity identity = authority.Issue();
  const testing::SwappedFolder folder(
      {{"crt", identity.certificate}, {"key", identity.key}, {"ca", authority.certificate()}});
  for (const char* mechanism : {"", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}) {
    Security security;
    security.tls = true;
    security.tls_ca_file = folder.Path("ca");
    security.tls_cert_file = folder.Path("crt");
    security.tls_key_file = folder.Path("key");
    security.sasl_mechanism = mechanism;
    security.sasl_username = "u";
    security.sasl_password = "p";
    const auto client =
        TopicAdmin::Create({.bootstrap = "127.0.0.1:1", .security = security, .client_id = "test", .extra = {}});
    INFO(mechanism << ": " << client.status());
    CHECK(client.ok());
  }
}

}  // namespace
}  // namespace stockalert::kafka
