// Resource names: "users/{user}/alerts/{alert}". Pure and thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/common/grpc/caller.h"

namespace stockalert::rpc {

// The variable segments of `name`, in order. INVALID_ARGUMENT on `field` where the name does not follow the pattern.
// Segments are checked by their variable's name: {symbol} is 1 to 64 printable characters without '/', {n} a number
// above 0, every other one a UUID in lower case (upper case is taken and lowered) or, for {user}, "me".
absl::StatusOr<std::vector<std::string>> ParseName(std::string_view pattern, std::string_view name,
                                                   std::string_view field);

// ParseName for a pattern that begins with users/{user}; the first segment comes back as a user's id: "me" resolved,
// and anybody else's refused with NOT_FOUND (reason `missing_reason`, as in "ALERT_NOT_FOUND") unless the caller is an
// administrator.
absl::StatusOr<std::vector<std::string>> ParseOwnName(const Caller& caller, std::string_view pattern,
                                                      std::string_view name, std::string_view field,
                                                      std::string_view missing_reason);

// The NOT_FOUND that both "not there" and "not yours" answer.
absl::Status ResourceNotFound(std::string_view missing_reason, std::string_view name);

// "users/{user}/alerts/{alert}" with the variables filled in, in order.
std::string FormatName(std::string_view pattern, const std::vector<std::string>& segments);

}  // namespace stockalert::rpc
