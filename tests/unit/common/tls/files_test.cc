#include "services/common/tls/files.h"

#include <catch2/catch.hpp>

#include "tests/support/certificates/certificates.h"

namespace stockalert::tls {
namespace {

using testing::Authority;
using testing::Identity;
using testing::SwappedFolder;
using testing::Wanted;

TEST_CASE("valid files are accepted, and their expiry is known") {
  const Authority authority("a");
  const absl::Time end = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now() + absl::Hours(5)));
  Wanted wanted;
  wanted.end = end;
  const Identity identity = authority.Issue(wanted);
  const SwappedFolder folder({{"crt", identity.certificate + authority.certificate()},
                              {"key", identity.key},
                              {"ca", authority.certificate()}});
  const File certificate{"--cert", folder.Path("crt")};
  const File key{"--key", folder.Path("key")};
  const File ca{"--ca", folder.Path("ca")};
  for (const Purpose purpose : {Purpose::kServer, Purpose::kClient, Purpose::kServerAndClient}) {
    const auto expiry = CheckIdentity(certificate, key, purpose);
    INFO(expiry.status());
    REQUIRE(expiry.ok());
    CHECK(*expiry == end);
  }
  CHECK(CheckAuthorities(ca).ok());
  CHECK(CheckIssuer(certificate, ca).ok());
}

TEST_CASE("each kind of unfit file is refused by its flag and name") {
  const Authority authority("a");
  const Identity good = authority.Issue();
  Wanted wanted;
  wanted.end = absl::Now() - absl::Minutes(1);
  const Identity expired = authority.Issue(wanted);
  wanted = {};
  wanted.begin = absl::Now() + absl::Hours(1);
  const Identity early = authority.Issue(wanted);
  wanted = {};
  wanted.extended_key_usage = "serverAuth";
  const Identity server_only = authority.Issue(wanted);
  wanted.extended_key_usage = "clientAuth";
  const Identity client_only = authority.Issue(wanted);
  const std::string half = good.certificate.substr(0, good.certificate.size() / 2);

  struct Case {
    const char* name;
    std::string certificate;
    std::string key;
    Purpose purpose;
    const char* flag;
    const char* says;
  };
  const Case cases[] = {
      {"an empty certificate", "", good.key, Purpose::kServer, "--cert=", "is empty"},
      {"no PEM", "certificate", good.key, Purpose::kServer, "--cert=", "no PEM certificates"},
      {"half a certificate", half, good.key, Purpose::kServer, "--cert=", "no PEM certificates"},
      {"a broken second one", good.certificate + half, good.key, Purpose::kServer, "--cert=", "broken"},
      {"a key in the certificate's place", good.key, good.key, Purpose::kServer, "--cert=", "no PEM certificates"},
      {"an empty key", good.certificate, "", Purpose::kServer, "--key=", "is empty"},
      {"a certificate in the key's place", good.certificate, good.certificate, Purpose::kServer,
       "--key=", "no private key"},
      {"another's key", good.certificate, server_only.key, Purpose::kServer, "--key=", "is not the key"},
      {"expired", expired.certificate, expired.key, Purpose::kServer, "--cert=", "has expired"},
      {"an expired link", good.certificate + expired.certificate, good.key, Purpose::kServer, "--cert=", "has expired"},
      {"not valid yet", early.certificate, early.key, Purpose::kServer, "--cert=", "is not valid before"},
      {"no server's", client_only.certificate, client_only.key, Purpose::kServer, "--cert=", "serverAuth"},
      {"no client's", server_only.certificate, server_only.key, Purpose::kClient, "--cert=", "clientAuth"},
      {"not for both", server_only.certificate, server_only.key, Purpose::kServerAndClient, "--cert=", "clientAuth"},
      {"too large", std::string(size_t{2} * 1024 * 1024, 'x'), good.key, Purpose::kServer, "--cert=", "larger"},
  };
  for (const Case& one : cases) {
    INFO(one.name);
    const SwappedFolder folder({{"crt", one.certificate}, {"key", one.key}});
    const auto result = CheckIdentity({"--cert", folder.Path("crt")}, {"--key", folder.Path("key")}, one.purpose);
    REQUIRE(result.status().code() == absl::StatusCode::kInvalidArgument);
    const std::string message(result.status().message());
    INFO(message);
    CHECK(message.find(one.flag) == 0);
    CHECK(message.find(folder.Path(one.flag[2] == 'c' ? "crt" : "key")) != std::string::npos);
    CHECK(message.find(one.says) != std::string::npos);
    CHECK(message.find("PRIVATE") == std::string::npos);
  }

  const SwappedFolder folder({{"crt", good.certificate}, {"key", good.key}});
  CHECK(std::string(CheckIdentity({"--cert", folder.Path("none")}, {"--key", folder.Path("key")}, Purpose::kServer)
                        .status()
                        .message())
            .find("No such file") != std::string::npos);
}

TEST_CASE("authorities: no authority, all expired, and a leaf of another one are refused; old beside new is not") {
  const Authority authority("a");
  const Authority old("old", absl::Now() - absl::Minutes(1));
  const Authority other("other");
  const Identity leaf = authority.Issue();
  const SwappedFolder folder({{"crt", leaf.certificate},
                              {"ca", authority.certificate()},
                              {"old", old.certificate()},
                              {"both", old.certificate() + authority.certificate()},
                              {"other", other.certificate()},
                              {"text", "-----BEGIN CERTIFICATE-----\nxyz\n-----END CERTIFICATE-----\n"}});
  const auto says = [&](const char* name) {
    return std::string(CheckAuthorities({"--ca", folder.Path(name)}).status().message());
  };
  CHECK(says("crt").find("CA:TRUE") != std::string::npos);
  CHECK(says("old").find("has expired") != std::string::npos);
  CHECK(says("text").find("broken") != std::string::npos);
  CHECK(says("none").find("cannot be read") != std::string::npos);
  CHECK(CheckAuthorities({"--ca", folder.Path("both")}).ok());
  const File certificate{"--cert", folder.Path("crt")};
  CHECK(CheckIssuer(certificate, {"--ca", folder.Path("both")}).ok());
  const absl::Status stranger = CheckIssuer(certificate, {"--ca", folder.Path("other")});
  REQUIRE_FALSE(stranger.ok());
  CHECK(std::string(stranger.message()).find("--cert=") == 0);
}

}  // namespace
}  // namespace stockalert::tls
