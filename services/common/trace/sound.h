// What of a traceparent that came from outside may be kept. Pure and thread-safe.
#pragma once

#include <string_view>

namespace stockalert::trace {

// The 55 characters of a valid traceparent (hexadecimal digits and dashes), else an empty view. A later version may add
// any bytes behind them; these are cut off. A view into `traceparent`.
std::string_view ValidTraceparent(std::string_view traceparent);

}  // namespace stockalert::trace
