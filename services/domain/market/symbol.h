// The one normal form of a symbol: upper case, without white space around it; share classes keep their dots ("BRK.B").
//
// Pure and thread-safe.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace stockalert::market {

inline constexpr size_t kSymbolCharactersMax = 32;

// What to say where NormalizeSymbol finds none.
inline constexpr char kSymbolRule[] =
    "must be 1 to 32 characters: a letter or digit, then letters, digits and . - : ^ = _ as in AAPL or BRK.B";

// None for text that is no symbol: [A-Z0-9][A-Z0-9.\-:^=_]{0,31} after trimming and raising to upper case.
std::optional<std::string> NormalizeSymbol(std::string_view text);

// Whether NormalizeSymbol would give it back as it is.
bool IsNormalSymbol(std::string_view text);

}  // namespace stockalert::market
