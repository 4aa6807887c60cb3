#include <catch2/catch.hpp>

#include "services/common/postgres/arrays.h"

namespace stockalert::postgres {
namespace {

TEST_CASE("arrays are written as PostgreSQL reads them") {
  CHECK(BigintArray(std::vector<int64_t>{}) == "{}");
  CHECK(BigintArray(std::vector<int64_t>{1, -2, 9223372036854775807}) == "{1,-2,9223372036854775807}");
  CHECK(BigintArray(std::vector<std::optional<int64_t>>{1, std::nullopt}) == "{1,NULL}");
  CHECK(BooleanArray({true, false}) == "{t,f}");
  CHECK(TextArray({"a", "", "say \"hi\"", "back\\slash", "NULL", "a,b"}) ==
        R"({"a","","say \"hi\"","back\\slash","NULL","a,b"})");
  CHECK(ByteaArray({std::string("\x00\xff", 2), ""}) == R"({"\\x00ff","\\x"})");
}

TEST_CASE("bytes go to hexadecimal and back") {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  const std::string literal = ByteaLiteral(all);
  CHECK(literal.substr(0, 6) == "\\x0001");
  CHECK(*BytesFromHex(literal.substr(2)) == all);
  CHECK(*BytesFromHex("0aFF") == "\x0a\xff");
  CHECK_FALSE(BytesFromHex("0").ok());
  CHECK_FALSE(BytesFromHex("zz").ok());
}

}  // namespace
}  // namespace stockalert::postgres
