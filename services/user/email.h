// E-mail addresses as users give them. Pure and thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace stockalert::user {

struct Email {
  std::string address;  // As given, without spaces around it.
  std::string key;      // In lower case: what is unique.
};

// INVALID_ARGUMENT says what is wrong. Takes local@domain in ASCII, at most 254 characters, the domain with a dot.
absl::StatusOr<Email> ParseEmail(std::string_view text);

}  // namespace stockalert::user
