// "host:port" as flags write it.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace stockalert::config {

struct Address {
  std::string host;
  int port = 0;
};

// "127.0.0.1:50051", "[::1]:0", "user.mesh:50051". INVALID_ARGUMENT says what is wrong.
absl::StatusOr<Address> ParseAddress(std::string_view text);

}  // namespace stockalert::config
