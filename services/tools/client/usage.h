// What is wrong with a command line, and how to mend it. Pure and thread-safe.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stockalert::client {

inline constexpr char kReasonWrongUsage[] = "WRONG_USAGE";

// INVALID_ARGUMENT (WRONG_USAGE): the client itself refuses its command line or its input, and has called nothing for
// it.
absl::Status WrongUsage(std::string_view message);
bool IsWrongUsage(const absl::Status& status);

// A value that could not be read is wrong usage of its flag.
template <typename Value>
absl::StatusOr<Value> OfFlag(std::string_view flag, absl::StatusOr<Value> value) {
  if (value.ok()) return value;
  return WrongUsage(std::string(flag) + ": " + std::string(value.status().message()));
}

// Why `app` could not parse `args`, where CLI11 says `error`: the metadata has "help", a command that tells more, and
// "suggestion", the nearest command or flag, where something is near.
absl::Status DiagnoseUsage(const CLI::App& app, const std::vector<std::string>& args, const CLI::ParseError& error);

// Whether that is because the line names no command where there must be one: `stockalert`, `stockalert alert`.
bool NamesNoCommand(const CLI::App& app, const std::vector<std::string>& args, const CLI::ParseError& error);

// How many letters must be put in, left out, replaced or swapped with the next to make one of the other.
size_t DistanceBetween(std::string_view a, std::string_view b);

}  // namespace stockalert::client
