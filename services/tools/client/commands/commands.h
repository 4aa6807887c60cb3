// The commands, a file a group: each declares its flags, makes its calls, and prints what came back.
#pragma once

#include <CLI/CLI.hpp>

#include "services/tools/client/context.h"

namespace stockalert::client {

// register, login, follow, unfollow, followed.
void DeclareUsers(CLI::App& app, Context& context);
// whoami, profile ..., keys ...
void DeclareAccount(CLI::App& app, Context& context);
// alert ..., triggers.
void DeclareAlerts(CLI::App& app, Context& context);
// Of `alert`: import, export.
void DeclareTransfer(CLI::App& alert, Context& context);
// notifications ...
void DeclareNotifications(CLI::App& app, Context& context);
// quotes ...
void DeclareQuotes(CLI::App& app, Context& context);
// ticker ...
void DeclareTickers(CLI::App& app, Context& context);
// admin ...
void DeclareAdministration(CLI::App& app, Context& context);
// completion: of all the commands of `app`, which is to outlive the action.
void DeclareCompletion(CLI::App& app, Context& context);

}  // namespace stockalert::client
