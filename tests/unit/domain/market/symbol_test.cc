#include "services/domain/market/symbol.h"

#include <catch2/catch.hpp>

namespace stockalert::market {
namespace {

TEST_CASE("symbols have one normal form") {
  const struct {
    const char* text;
    const char* normal;
  } cases[] = {{"AAPL", "AAPL"},
               {"aapl", "AAPL"},
               {"  brk.b\t", "BRK.B"},
               {"ere.un.to", "ERE.UN.TO"},
               {"9984.t", "9984.T"},
               {"^gspc", ""},
               {"", ""},
               {"   ", ""},
               {".A", ""},
               {"A A", ""},
               {"A/B", ""},
               {"EUR:USD", "EUR:USD"},
               {"ES=F", "ES=F"},
               {"A_B-C^D", "A_B-C^D"},
               {"\xc3\x84PL", ""},
               {"AAPL;DROP", ""},
               {"A%", ""},
               {"ABCDEFGHIJKLMNOPQRSTUVWXYZ123456", "ABCDEFGHIJKLMNOPQRSTUVWXYZ123456"},
               {"ABCDEFGHIJKLMNOPQRSTUVWXYZ1234567", ""}};
  for (const auto& one : cases) {
    CAPTURE(one.text);
    CHECK(NormalizeSymbol(one.text).value_or("") == one.normal);
    if (*one.normal != '\0') CHECK(IsNormalSymbol(one.normal));
  }
  CHECK(!NormalizeSymbol(std::string_view("A\0B", 3)));
  CHECK(!IsNormalSymbol("aapl"));
  CHECK(!IsNormalSymbol(" AAPL"));
}

}  // namespace
}  // namespace stockalert::market
