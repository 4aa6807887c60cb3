// A libpq URL or keyword string, taken apart.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace stockalert::postgres {

// What it sets, by libpq's keywords (host, sslmode...). INVALID_ARGUMENT where libpq cannot read it; the message never
// quotes it, for it may hold a password.
absl::StatusOr<std::map<std::string, std::string>> ParseConninfo(const std::string& url);

}  // namespace stockalert::postgres
