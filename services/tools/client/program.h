// Runs a command of the user, with text on its standard input.
//
// Not thread-safe. The command's output goes where the client's own output goes.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace stockalert::client {

// The most input: a pipe can hold all of it, so that a command that reads nothing does not block.
inline constexpr size_t kProgramInputBytesMax = 32 * 1024;

// By /bin/sh. Returns its exit code, or 128 plus the signal's number if a signal ended it. DEADLINE_EXCEEDED: it did
// not end in time, and was killed. INVALID_ARGUMENT: too much input. INTERNAL: it could not be started.
absl::StatusOr<int> RunProgram(const std::string& command, std::string_view input, absl::Duration timeout);

}  // namespace stockalert::client
