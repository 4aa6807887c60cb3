// Text from outside, made fit for the database. Pure and thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace stockalert::base {

// `text` as Postgres can hold it: what is no UTF-8, and NUL, is left out, and what is longer than `bytes_max` is cut at
// the border of a character. For text that only tells people something; what identifies a thing is refused instead.
std::string StorableText(std::string_view text, size_t bytes_max);

}  // namespace stockalert::base
