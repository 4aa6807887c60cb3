// The flags of `destination create KIND`, for every kind but webhooks.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "services/tools/client/context.h"
#include "stockalert/notification/v1/destination.pb.h"

namespace stockalert::client {

// How a setting is given on the command line.
enum class SettingSource : uint8_t {
  kText,         // As it is.
  kSecret,       // In a file, or on standard input.
  kLines,        // As secrets are, one a line.
  kFile,         // A file's text.
  kHeadersFile,  // A file of lines "Name: value".
  kMethod,       // POST, PUT or PATCH.
};

struct SettingFlag {
  std::string field;  // Of the kind's message.
  std::string flag;
  std::string description;
  SettingSource source = SettingSource::kText;
  bool required = false;
};

struct KindCommand {
  std::string name;  // Of the API's oneof.
  std::string description;
  std::vector<SettingFlag> settings;
};

const std::vector<KindCommand>& KindCommands();

// What the flags of one command were given: by flag.
using GivenSettings = std::map<std::string, std::string>;

void DeclareSettings(CLI::App& command, const KindCommand& kind, GivenSettings& given);
// From the API's fields to the flags.
std::map<std::string, std::string> FlagsOf(const KindCommand& kind);
// Puts what was given into the destination; asks for required secrets that were not. INVALID_ARGUMENT: wrong usage.
absl::Status FillSettings(const CommandContext& context, const KindCommand& kind, const GivenSettings& given,
                          notification::v1::Destination& destination);

}  // namespace stockalert::client
