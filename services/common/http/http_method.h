// The methods of HTTP that are used here.
#pragma once

#include <cstdint>

namespace stockalert::http {

enum class HttpMethod : uint8_t { kGet, kPost, kPut, kPatch };

}  // namespace stockalert::http
