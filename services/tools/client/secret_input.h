// Secrets as people give them: in a file, on standard input, or typed unseen; not as arguments, which others can read.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "services/tools/client/client.h"

namespace stockalert::client {

// A line of standard input, without spaces around it; a terminal is asked for `what`, and does not show it.
std::string ReadHiddenLine(const Surroundings& surroundings, const std::string& what);

// The whole of the file, at most 64 KiB; "-": of standard input. INVALID_ARGUMENT: it cannot be read, or is too big.
absl::StatusOr<std::string> ReadFile(const Surroundings& surroundings, const std::string& path);

}  // namespace stockalert::client
