#include "services/common/base/ids.h"

#include <catch2/catch.hpp>
#include <set>

namespace stockalert::base {
namespace {

TEST_CASE("new ids are version 4 UUIDs in lower case, and tokens have the promised length") {
  SystemIdSource ids;
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = ids.NewUuid();
    REQUIRE(IsUuid(id));
    REQUIRE(id[14] == '4');
    REQUIRE(std::string("89ab").find(id[19]) != std::string::npos);
    REQUIRE(seen.insert(id).second);
  }
  CHECK(ids.NewToken(32).size() == 43);
  CHECK(ids.NewToken(32) != ids.NewToken(32));
}

TEST_CASE("only the canonical form of a UUID is accepted") {
  for (const char* text : {"", "me", "00000000-0000-4000-8000-00000000000", "00000000-0000-4000-8000-0000000000011",
                           "00000000-0000-4000-8000-00000000000A", "00000000-0000-4000-8000-00000000000g",
                           "0000000000000-4000-8000-000000000001", "{0000000-0000-4000-8000-00000000000}",
                           "00000000-0000-4000-8000_000000000001"}) {
    INFO(text);
    CHECK_FALSE(IsUuid(text));
  }
  CHECK(IsUuid("00000000-0000-4000-8000-00000000000a"));
}

TEST_CASE("base64url goes both ways and takes nothing else") {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    const std::string text = Base64UrlEncode(bytes);
    CHECK(text.find_first_of("+/=") == std::string::npos);
    CHECK(Base64UrlDecode(text) == bytes);
    bytes.push_back(static_cast<char>(i * 7));
  }
  CHECK(Base64UrlEncode("foobar") == "Zm9vYmFy");
  for (const char* text : {"A", "AA=", "AB", "Zm9v YmFy", "Zm9+", "Zm9/", "Zm9vY", "\xff\xff"}) {
    INFO(text);
    CHECK_FALSE(Base64UrlDecode(text).has_value());
  }
}

TEST_CASE("SHA-256, hexadecimal and comparing in constant time") {
  CHECK(HexEncode(Sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(HexEncode(Sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(ConstantTimeEquals("token", "token"));
  CHECK(ConstantTimeEquals("", ""));
  CHECK_FALSE(ConstantTimeEquals("token", "tokem"));
  CHECK_FALSE(ConstantTimeEquals("token", "toke"));
  CHECK_FALSE(ConstantTimeEquals("", "t"));
}

}  // namespace
}  // namespace stockalert::base
