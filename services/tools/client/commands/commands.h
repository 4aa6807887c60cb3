// The commands, a file a group: each declares its flags, makes its calls, and prints what came back.
#pragma once

#include <CLI/CLI.hpp>

#include "services/tools/client/context.h"

namespace stockalert::client {

// register, login, follow, unfollow, followed.
void DeclareUsers(CLI::App& app, CommandContext& context);
// whoami, profile ..., keys ...
void DeclareAccount(CLI::App& app, CommandContext& context);
// alert ..., triggers.
void DeclareAlerts(CLI::App& app, CommandContext& context);
// Of `alert`: import, export.
void DeclareTransfer(CLI::App& alert, CommandContext& context);
// notifications ...
void DeclareNotifications(CLI::App& app, CommandContext& context);
// quotes ...
void DeclareQuotes(CLI::App& app, CommandContext& context);
// ticker ...
void DeclareTickers(CLI::App& app, CommandContext& context);
// admin ...
void DeclareAdministration(CLI::App& app, CommandContext& context);
// completion: of all the commands of `app`, which is to outlive the action.
void DeclareCompletion(CLI::App& app, CommandContext& context);

}  // namespace stockalert::client
