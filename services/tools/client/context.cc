#include "services/tools/client/context.h"

namespace stockalert::client {

CLI::App& CommandContext::Group(CLI::App& parent, const std::string& name, const std::string& description) {
  CLI::App* group = parent.add_subcommand(name, description);
  group->fallthrough();
  group->require_subcommand(1);
  return *group;
}

CLI::App& CommandContext::Command(CLI::App& parent, const std::string& name, const std::string& description, Action act,
                                  const std::map<std::string, std::string>& flags) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->fallthrough();
  command->callback([this, act = std::move(act), flag_of_field = FlagsOfFields(flags)] {
    action = act;
    flag_of = flag_of_field;
  });
  return *command;
}

void CommandContext::Notice(const std::string& text) const {
  if (!terminal.json) terminal.out << text << '\n' << std::flush;
}

void DeclareLimit(CLI::App& command, int64_t& limit) {
  command.add_option("--limit", limit, "at most so many; 0: all")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
}

void DeclareCount(CLI::App& command, int64_t& count) {
  command.add_option("--count", count, "end after so many; 0: never")->check(CLI::Range(0, 1'000'000'000));
}

}  // namespace stockalert::client
