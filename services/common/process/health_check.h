// --healthcheck: a program asks the one that runs with the same configuration whether it is ready. For containers,
// whose images have no shell and no curl.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace stockalert::process {

// GET /readyz at the address that the service listens on (of a wildcard address: on loopback), within 3 s. UNAVAILABLE:
// it does not answer, or is not ready, with its own reasons. INVALID_ARGUMENT: there is no fixed port to ask.
absl::Status CheckHealth(const std::string& http_address);

}  // namespace stockalert::process
