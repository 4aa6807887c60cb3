// Text from outside, made fit for the database. Pure and thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace stockalert::base {

// `text` as Postgres can store it: without NUL and invalid UTF-8, and cut to `bytes_max` at the border of a character.
// Only for text that people read; refuse an identifier instead.
std::string StorableText(std::string_view text, size_t bytes_max);

}  // namespace stockalert::base
