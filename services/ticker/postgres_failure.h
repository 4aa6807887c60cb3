// What callers are told of a failed transaction. Pure and thread-safe.
#pragma once

#include "absl/status/status.h"

namespace stockalert::ticker {

// No SQL, no values. Errors of base/error.h pass.
absl::Status StoreFailure(const absl::Status& status);

}  // namespace stockalert::ticker
