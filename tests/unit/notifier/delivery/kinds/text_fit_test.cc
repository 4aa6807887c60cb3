#include "services/notifier/delivery/kinds/text_fit.h"

#include <catch2/catch.hpp>

namespace stockalert::notifier {
namespace {

TEST_CASE("a text that fits stays; a longer one is cut at a character and says so") {
  CHECK(FitText("abc", 3, TextUnit::kUtf16) == "abc");
  CHECK(FitText("abcd", 3, TextUnit::kUtf16) == "ab…");
  CHECK(FitText("", 0, TextUnit::kUtf16).empty());
  CHECK(FitText("abc", 0, TextUnit::kUtf16).empty());
  // "…" has three bytes.
  CHECK(FitText("abcdef", 5, TextUnit::kBytes) == "ab…");
  CHECK(FitText("äöü", 6, TextUnit::kBytes) == "äöü");
  CHECK(FitText("äöüx", 6, TextUnit::kBytes) == "ä…");
  CHECK(FitText("abcdef", 2, TextUnit::kBytes) == "");
  // Beyond the basic plane a character is two units.
  CHECK(FitText("😀😀", 4, TextUnit::kUtf16) == "😀😀");
  CHECK(FitText("😀😀", 3, TextUnit::kUtf16) == "😀…");
  CHECK(FitText("😀😀", 2, TextUnit::kUtf16) == "…");
}

TEST_CASE("what is no UTF-8 is left out") {
  CHECK(FitText(std::string("a\xff\0b\xc3", 5), 9, TextUnit::kBytes) == "ab");
}

TEST_CASE("escapes are counted and never cut") {
  CHECK(FitText("&&", 10, TextUnit::kUtf16, &EscapeMarkup) == "&amp;&amp;");
  CHECK(FitText("&&", 9, TextUnit::kUtf16, &EscapeMarkup) == "&amp;…");
  CHECK(FitText("&&", 5, TextUnit::kUtf16, &EscapeMarkup) == "…");
  CHECK(EscapeAll("<a> & b", &EscapeMarkup) == "&lt;a&gt; &amp; b");
  CHECK(EscapeAll("@x", &BreakMention) == "@\xe2\x81\xa0x");
}

TEST_CASE("forms") { CHECK(EncodeForForm("a b&ä=~") == "a+b%26%C3%A4%3D~"); }

}  // namespace
}  // namespace stockalert::notifier
