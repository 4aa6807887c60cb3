// What of a traceparent that came from outside may be kept. Pure and thread-safe.
#pragma once

#include <string_view>

namespace stockalert::trace {

// Its 55 characters of hexadecimal digits and dashes where it is valid, else nothing. What a later version adds behind
// them may be any bytes, and is cut off. A view into `traceparent`.
std::string_view Sound(std::string_view traceparent);

}  // namespace stockalert::trace
