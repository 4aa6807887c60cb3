#include "services/common/tls/settings.h"

#include <catch2/catch.hpp>

#include "tests/support/certificates/certificates.h"

namespace stockalert::tls {
namespace {

// What a service with these flags says; empty where it would start.
std::vector<std::string> Errors(Settings settings, const std::vector<std::string>& flags) {
  config::Parser parser("stockalert-test", "d", "1");
  Declare(parser, settings);
  std::vector<const char*> argv = {"stockalert-test"};
  for (const std::string& flag : flags) argv.push_back(flag.c_str());
  return parser.Parse(static_cast<int>(argv.size()), argv.data(), [](const std::string&) { return std::nullopt; })
      .errors;
}

TEST_CASE("plaintext must be asked for, and excludes TLS files") {
  CHECK(Errors({}, {"--plaintext"}).empty());
  CHECK(Errors({}, {"--plaintext=false"}).size() == 1);

  const auto none = Errors({}, {});
  REQUIRE(none.size() == 1);
  for (const char* word : {"--public_tls_cert_file", "--public_tls_key_file", "--internal_tls_cert_file",
                           "--internal_tls_key_file", "--internal_tls_ca_file", "--plaintext"}) {
    INFO(none[0]);
    CHECK(none[0].find(word) != std::string::npos);
  }
  const auto both = Errors({}, {"--plaintext", "--internal_tls_ca_file=/x"});
  REQUIRE(both.size() == 1);
  CHECK(both[0].find("--plaintext and --internal_tls_ca_file exclude each other") == 0);

  Settings no_public;
  no_public.has_public_port = false;
  const auto internal = Errors(no_public, {});
  REQUIRE(internal.size() == 1);
  CHECK(internal[0].find("public") == std::string::npos);
  // A flag of a port that is not there is no flag.
  CHECK_FALSE(Errors(no_public, {"--plaintext", "--public_tls_cert_file=/x"}).empty());
}

TEST_CASE("all unusable files are reported at once, each by its flag") {
  const testing::Authority authority("a");
  const testing::Authority other("other");
  const testing::Identity identity = authority.Issue();
  testing::Wanted wanted;
  wanted.end = absl::Now() - absl::Minutes(1);
  const testing::Identity expired = authority.Issue(wanted);
  const testing::SwappedFolder folder({{"crt", identity.certificate},
                                       {"key", identity.key},
                                       {"ca", authority.certificate()},
                                       {"expired", expired.certificate},
                                       {"expired.key", expired.key},
                                       {"other", other.certificate()}});
  const auto with = [&](const std::string& public_cert, const std::string& public_key, const std::string& internal_cert,
                        const std::string& internal_key, const std::string& ca) {
    return Errors(
        {}, {"--public_tls_cert_file=" + folder.Path(public_cert), "--public_tls_key_file=" + folder.Path(public_key),
             "--internal_tls_cert_file=" + folder.Path(internal_cert),
             "--internal_tls_key_file=" + folder.Path(internal_key), "--internal_tls_ca_file=" + folder.Path(ca)});
  };
  CHECK(with("crt", "key", "crt", "key", "ca").empty());
  const auto three = with("expired", "expired.key", "crt", "expired.key", "crt");
  REQUIRE(three.size() == 3);
  CHECK(three[0].find("--public_tls_cert_file=") == 0);
  CHECK(three[1].find("--internal_tls_key_file=") == 0);
  CHECK(three[2].find("--internal_tls_ca_file=") == 0);
  const auto stranger = with("crt", "key", "crt", "key", "other");
  REQUIRE(stranger.size() == 1);
  CHECK(stranger[0].find("was issued by no authority in --internal_tls_ca_file") != std::string::npos);
}

}  // namespace
}  // namespace stockalert::tls
