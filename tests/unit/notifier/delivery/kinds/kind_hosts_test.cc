#include "services/notifier/delivery/kinds/kind_hosts.h"

#include <catch2/catch.hpp>

namespace stockalert::notifier {
namespace {

TEST_CASE("the official hosts are replaced where others are named") {
  const auto none = KindHosts::Parse("");
  REQUIRE(none.ok());
  CHECK(none->telegram == "https://api.telegram.org");
  const auto hosts = KindHosts::Parse(
      "telegram=http://127.0.0.1:8081, slack=https://a.example ,slack=https://b.example,teams=https://*.c.example");
  REQUIRE(hosts.ok());
  CHECK(hosts->telegram == "http://127.0.0.1:8081");
  CHECK(hosts->slack == std::vector<std::string>{"https://a.example", "https://b.example"});
  CHECK(hosts->teams == std::vector<std::string>{"https://*.c.example"});
  CHECK(hosts->discord == KindHosts().discord);
}

TEST_CASE("what is wrong with them is said") {
  for (const char* wrong :
       {"matrix=https://a.example", "slack", "slack=", "slack=a.example", "slack=https://a.example/x",
        "slack=ftp://a.example", "ntfy=https://a.example,ntfy=https://b.example"}) {
    INFO(wrong);
    CHECK(absl::IsInvalidArgument(KindHosts::Parse(wrong).status()));
  }
}

TEST_CASE("an origin is a whole one; a star stands for at least one label") {
  CHECK(IsOfOrigin("https://a.example/x", {"https://a.example"}));
  CHECK_FALSE(IsOfOrigin("https://a.example.evil/x", {"https://a.example"}));
  CHECK_FALSE(IsOfOrigin("http://a.example/x", {"https://a.example"}));
  CHECK_FALSE(IsOfOrigin("https://a.example:444/x", {"https://a.example"}));
  CHECK(IsOfOrigin("https://x.y.a.example/", {"https://*.a.example"}));
  CHECK_FALSE(IsOfOrigin("https://a.example/", {"https://*.a.example"}));
  CHECK_FALSE(IsOfOrigin("https://.a.example/", {"https://*.a.example"}));
  CHECK_FALSE(IsOfOrigin("https://xa.example/", {"https://*.a.example"}));
  CHECK_FALSE(IsOfOrigin("https://evil.example/https://x.a.example", {"https://*.a.example"}));
}

}  // namespace
}  // namespace stockalert::notifier
