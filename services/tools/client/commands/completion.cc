#include "services/tools/client/completion.h"

#include <memory>

#include "services/tools/client/commands/commands.h"

namespace stockalert::client {

void DeclareCompletion(CLI::App& app, CommandContext& context) {
  const auto shell = std::make_shared<std::string>();
  context
      .Command(app, "completion", "print what completes commands and flags: source <(stockalert completion bash)",
               [&app, &context, shell] {
                 context.terminal.out << (*shell == "bash" ? BashCompletion(app) : ZshCompletion(app)) << std::flush;
                 return absl::OkStatus();
               })
      .add_option("shell", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
}

}  // namespace stockalert::client
