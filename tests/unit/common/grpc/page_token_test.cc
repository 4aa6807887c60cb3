#include "services/common/grpc/page_token.h"

#include <catch2/catch.hpp>

#include "services/common/base/error.h"
#include "services/common/base/ids.h"

namespace stockalert::rpc {
namespace {

TEST_CASE("a page size has a default and a maximum, and must not be negative") {
  CHECK(*ResolvePageSize(0) == 50);
  CHECK(*ResolvePageSize(1) == 1);
  CHECK(*ResolvePageSize(1000) == 1000);
  CHECK(*ResolvePageSize(1001) == 1000);
  CHECK(*ResolvePageSize(2147483647) == 1000);
  CHECK(ResolvePageSize(-1).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("a token leads back to its place, in its own list only") {
  const std::string scope = PageScope("ListAlerts", "users/1", "symbol=AAPL");
  const std::vector<std::string> place = {"1700000000000000", "a:b", ""};
  const std::string token = EncodePageToken(scope, place);
  CHECK(*DecodePageToken(scope, token, 3) == place);
  CHECK(DecodePageToken(scope, "", 3)->empty());
  for (const std::string& other :
       {PageScope("ListAlerts", "users/2", "symbol=AAPL"), PageScope("ListAlerts", "users/1", ""),
        PageScope("ListTriggers", "users/1", "symbol=AAPL"), PageScope("ListAlerts", "users/1s", "ymbol=AAPL")}) {
    CHECK(DecodePageToken(other, token, 3).status().code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK_FALSE(DecodePageToken(scope, token, 2).ok());
}

TEST_CASE("tokens that no list gave are refused") {
  const std::string scope = PageScope("ListAlerts", "users/1");
  std::string token = EncodePageToken(scope, {"1"});
  for (size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    INFO(changed);
    CHECK_FALSE(DecodePageToken(scope, changed, 1).ok());
  }
  for (const std::string& text :
       {std::string("x"), std::string("AAAA"), std::string("AAAAAAAAAAAAAAAA"), std::string("????"), token + "A",
        std::string(100'000, 'A'), std::string("\0\0\0\0", 4)}) {
    CHECK(base::ReasonOf(DecodePageToken(scope, text, 1).status()) == "PAGE_TOKEN_INVALID");
  }
}

// The checksum keeps no secret: anybody can make one for a place of their own.
TEST_CASE("a place that is no place is refused under a right checksum, too") {
  const std::string scope = PageScope("ListAlerts", "users/1");
  const auto forge = [&](const std::string& place) {
    const auto sized = [](const std::string& text) { return std::to_string(text.size()) + ":" + text; };
    return base::Base64UrlEncode(base::Sha256(sized(scope) + sized(place)).substr(0, 8) + place);
  };
  REQUIRE(*DecodePageToken(scope, forge("2:ab"), 1) == std::vector<std::string>{"ab"});
  for (const char* place : {"x", "2", "2:", "2:a", "2;ab", ":ab", "-1:a", "2:ab3", "2:ab9:", "18446744073709551615:a",
                            "99999999999999999999:a"}) {
    INFO(place);
    CHECK(base::ReasonOf(DecodePageToken(scope, forge(place), 1).status()) == "PAGE_TOKEN_INVALID");
  }
}

}  // namespace
}  // namespace stockalert::rpc
