// One mail address, as "ann@example.org": the addr-spec of RFC 5322 (3.4.1) without quoted local parts, comments and
// address literals, within the lengths of RFC 5321 (4.5.3.1). No other part of a mail ever holds a recipient's words,
// so that no address can add a header field or a recipient. Pure and thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace stockalert::mail {

// RFC 5321's path of 256 bytes without its angle brackets.
inline constexpr size_t kAddressBytesMax = 254;

// Its domain in lower case. INVALID_ARGUMENT: what is wrong with it, as in "must …"; the text is not repeated.
// International addresses (RFC 6531) are refused, because a mail to one gets through only if all servers on its way
// know them; an international domain can be given in its ASCII form (xn--…).
absl::StatusOr<std::string> ParseAddress(std::string_view text);

// Of a parsed address.
std::string DomainOf(const std::string& address);

}  // namespace stockalert::mail
