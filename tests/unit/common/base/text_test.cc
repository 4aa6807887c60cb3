#include "services/common/base/text.h"

#include <catch2/catch.hpp>

namespace stockalert::base {
namespace {

TEST_CASE("text is left as it is where the database can hold it") {
  for (const char* text : {"", "plain", "caf\xc3\xa9", "\xe2\x82\xac 5", "\xf0\x9f\x93\x88", "a\tb\n", "\x7f"})
    CHECK(StorableText(text, 100) == text);
}

TEST_CASE("what the database cannot hold is left out, and the rest stays") {
  CHECK(StorableText(std::string("a\0b", 3), 10) == "ab");
  CHECK(StorableText(std::string(5, '\0'), 10).empty());
  for (const char* bad :
       {"\xff", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\x80"}) {
    INFO(bad);
    CHECK(StorableText(std::string("a") + bad + "b", 10) == "ab");
  }
  CHECK(StorableText("a\xe2\x82", 10) == "a");
}

TEST_CASE("long text is cut between characters") {
  CHECK(StorableText("abcdef", 3) == "abc");
  CHECK(StorableText("ab\xe2\x82\xac", 4) == "ab");
  CHECK(StorableText("ab\xe2\x82\xac", 5) == "ab\xe2\x82\xac");
  CHECK(StorableText("abc", 0).empty());
}

}  // namespace
}  // namespace stockalert::base
