// Text made fit for a service: escaped, and cut to its limit. Pure and thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace stockalert::notifier {

// How a service counts. UTF-16 never counts fewer than code points do, so it also suits services that do not say.
enum class TextUnit : uint8_t { kBytes, kUtf16 };

// What stands for one code point, given as its UTF-8.
using EscapeText = std::string (*)(std::string_view code_point);

std::string NoEscape(std::string_view code_point);
// & < >
std::string EscapeMarkup(std::string_view code_point);
// The '@' of a mention is followed by an invisible character, so that it mentions nobody.
std::string BreakMention(std::string_view code_point);

// `text` without invalid UTF-8 and NUL, escaped. If that has more than `max` units, it is cut at the border of a code
// point and ends with "…".
std::string FitText(std::string_view text, size_t max, TextUnit unit, EscapeText escape = &NoEscape);

// `text` escaped, whatever its length.
std::string EscapeAll(std::string_view text, EscapeText escape);

// "a b&c" as "a+b%26c".
std::string EncodeForForm(std::string_view text);

}  // namespace stockalert::notifier
