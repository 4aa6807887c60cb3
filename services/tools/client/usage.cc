#include "services/tools/client/usage.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"

namespace stockalert::client {
namespace {

// How far a command line can be followed.
struct Reading {
  const CLI::App* command = nullptr;  // The deepest that is named.
  std::string path;                   // "stockalert alert"
  std::string unknown;                // The first word or flag that `command` does not know; empty: none.
};

const CLI::Option* FindFlag(const CLI::App* command, const std::string& flag) {
  for (; command != nullptr; command = command->get_parent()) {
    if (const CLI::Option* option = command->get_option_no_throw(flag); option != nullptr) return option;
  }
  return nullptr;
}

const CLI::App* FindCommand(const CLI::App& parent, const std::string& name) {
  for (const CLI::App* command : parent.get_subcommands({})) {
    if (command->get_name() == name) return command;
  }
  return nullptr;
}

// "--limit", "-h"; "-5" is a value.
bool IsFlag(const std::string& arg) {
  return arg.size() > 1 && arg.front() == '-' && !absl::ascii_isdigit(static_cast<unsigned char>(arg[1]));
}

Reading Follow(const CLI::App& app, const std::vector<std::string>& args) {
  Reading reading{&app, app.get_name(), ""};
  for (size_t i = 0; i < args.size() && args[i] != "--"; ++i) {
    const std::string& arg = args[i];
    if (IsFlag(arg)) {
      const std::string name = arg.substr(0, arg.find('='));
      const CLI::Option* flag = FindFlag(reading.command, name);
      if (flag == nullptr) {
        reading.unknown = name;
        return reading;
      }
      // Its value is the next word.
      if (flag->get_items_expected_max() > 0 && name.size() == arg.size()) ++i;
      continue;
    }
    // A command that holds no others takes words as they are.
    if (reading.command->get_subcommands({}).empty()) continue;
    const CLI::App* command = FindCommand(*reading.command, arg);
    if (command == nullptr) {
      reading.unknown = arg;
      return reading;
    }
    reading.command = command;
    absl::StrAppend(&reading.path, " ", arg);
  }
  return reading;
}

std::vector<std::string> CommandsOf(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* one : command.get_subcommands({})) names.push_back(one->get_name());
  return names;
}

std::vector<std::string> FlagsOf(const CLI::App* command) {
  std::vector<std::string> names;
  for (; command != nullptr; command = command->get_parent()) {
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

// Empty: nothing is near.
std::string Nearest(const std::string& word, const std::vector<std::string>& candidates) {
  std::string nearest;
  // A third of the letters wrong is a slip; more is something else.
  size_t distance_least = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = DistanceBetween(word, candidate);
    if (distance >= distance_least || distance >= candidate.size()) continue;
    nearest = candidate;
    distance_least = distance;
  }
  return nearest;
}

bool LacksCommand(const Reading& reading, const CLI::ParseError& error) {
  return reading.unknown.empty() && !reading.command->get_subcommands({}).empty() &&
         dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
}

}  // namespace

absl::Status WrongUsage(std::string_view message) { return base::InvalidArgument(kReasonWrongUsage, message); }

bool IsWrongUsage(const absl::Status& status) {
  return absl::IsInvalidArgument(status) && base::ReasonOf(status) == kReasonWrongUsage;
}

absl::Status DiagnoseUsage(const CLI::App& app, const std::vector<std::string>& args, const CLI::ParseError& error) {
  const Reading reading = Follow(app, args);
  base::ErrorDetails details;
  details.reason = kReasonWrongUsage;
  details.metadata["help"] = reading.path + " --help";
  std::string message = error.what();
  if (!reading.unknown.empty()) {
    const bool is_flag = IsFlag(reading.unknown);
    const std::string nearest =
        Nearest(reading.unknown, is_flag ? FlagsOf(reading.command) : CommandsOf(*reading.command));
    message = is_flag ? absl::StrCat(reading.path, " has no flag ", reading.unknown)
                      : absl::StrCat("there is no command ", reading.path, " ", reading.unknown);
    if (!nearest.empty()) {
      absl::StrAppend(&message, ": did you mean ", nearest, "?");
      details.metadata["suggestion"] = nearest;
    }
  } else if (LacksCommand(reading, error)) {
    message = reading.path + " needs a command";
  }
  return base::MakeError(absl::StatusCode::kInvalidArgument, message, details);
}

bool NamesNoCommand(const CLI::App& app, const std::vector<std::string>& args, const CLI::ParseError& error) {
  return LacksCommand(Follow(app, args), error);
}

size_t DistanceBetween(std::string_view a, std::string_view b) {
  // Row by row: of the prefixes of `a` two and one letters shorter, and of the present one.
  std::vector<size_t> before_last, last(b.size() + 1), present(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    present[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      present[j] = std::min({last[j] + 1, present[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        present[j] = std::min(present[j], before_last[j - 2] + 1);
      }
    }
    before_last = last;
    last = present;
  }
  return last[b.size()];
}

}  // namespace stockalert::client
