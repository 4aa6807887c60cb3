#include "services/domain/market/symbol.h"

namespace stockalert::market {
namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n";

bool IsLetterOrDigit(char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

}  // namespace

bool IsNormalSymbol(std::string_view text) {
  if (text.empty() || text.size() > kSymbolCharactersMax || !IsLetterOrDigit(text.front())) return false;
  for (const char c : text) {
    if (!IsLetterOrDigit(c) && std::string_view(".-:^=_").find(c) == std::string_view::npos) return false;
  }
  return true;
}

std::optional<std::string> NormalizeSymbol(std::string_view text) {
  const size_t begin = text.find_first_not_of(kWhiteSpace);
  if (begin == std::string_view::npos) return std::nullopt;
  text = text.substr(begin, text.find_last_not_of(kWhiteSpace) - begin + 1);
  // Longer text is not even copied.
  if (text.size() > kSymbolCharactersMax) return std::nullopt;
  std::string symbol(text);
  for (char& c : symbol) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  if (!IsNormalSymbol(symbol)) return std::nullopt;
  return symbol;
}

}  // namespace stockalert::market
