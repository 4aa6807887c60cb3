#include "services/common/postgres/security.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/support/certificates/certificates.h"

namespace stockalert::postgres {
namespace {

std::vector<std::string> Errors(const std::string& url) {
  std::string taken;
  config::Parser parser("stockalert-test", "d", "1");
  DeclareDatabase(parser, taken);
  const char* const argv[] = {"stockalert-test"};
  return parser
      .Parse(1, argv,
             [&](const std::string& name) {
               return name == "STOCKALERT_POSTGRES_URL" ? std::optional(url) : std::nullopt;
             })
      .errors;
}

TEST_CASE("a database's URL says whether the connection is encrypted") {
  CHECK(Errors("postgresql://u@h/d?sslmode=disable").empty());
  CHECK(Errors("postgresql://u@h/d?sslmode=require").empty());
  CHECK(Errors("postgresql://u@h/d?sslmode=verify-full").empty());
  CHECK(Errors("host=h dbname=d sslmode=verify-ca").empty());
  CHECK(Errors("host=/run/postgresql dbname=d").empty());
  for (const auto& [url, says] : std::vector<std::pair<std::string, std::string>>{
           {"postgresql://u:hush@h/d", "does not say whether"},
           {"host=h dbname=d password=hush", "does not say whether"},
           {"postgresql://u:hush@h/d?sslmode=prefer", "falls back to plaintext"},
           {"postgresql://u:hush@h/d?sslmode=allow", "falls back to plaintext"},
           {"postgresql://u:hush@[h/d", "cannot read"}}) {
    const std::vector<std::string> errors = Errors(url);
    REQUIRE(errors.size() == 1);
    INFO(errors[0]);
    CHECK(errors[0].find(says) != std::string::npos);
    CHECK(errors[0].find("hush") == std::string::npos);
  }
}

TEST_CASE("the TLS files of a database's URL are looked at") {
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
  const auto url = [&](const std::string& ca, const std::string& certificate, const std::string& key) {
    return "postgresql://u@h/d?sslmode=verify-full&sslrootcert=" + folder.Path(ca) +
           "&sslcert=" + folder.Path(certificate) + "&sslkey=" + folder.Path(key);
  };
  CHECK(Errors(url("ca", "crt", "key")).empty());
  CHECK(Errors("postgresql://u@h/d?sslmode=verify-full&sslrootcert=system").empty());
  for (const auto& [wrong, says] :
       std::vector<std::pair<std::string, std::string>>{{url("none", "crt", "key"), "sslrootcert"},
                                                        {url("crt", "crt", "key"), "CA:TRUE"},
                                                        {url("ca", "none", "key"), "sslcert"},
                                                        {url("ca", "crt", "expired.key"), "is not the key"},
                                                        {url("ca", "expired", "expired.key"), "has expired"}}) {
    const std::vector<std::string> errors = Errors(wrong);
    REQUIRE(errors.size() == 1);
    INFO(errors[0]);
    CHECK(errors[0].find(says) != std::string::npos);
  }
}

}  // namespace
}  // namespace stockalert::postgres
