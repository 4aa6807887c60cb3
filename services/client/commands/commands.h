// The commands, a file a group: each declares its flags, makes its calls, and prints what came back.
#pragma once

#include <CLI/CLI.hpp>

#include "services/client/context.h"

namespace stockalert::client {

// register, whoami, follow, unfollow, followed.
void DeclareUsers(CLI::App& app, Context& context);
// alert ..., triggers.
void DeclareAlerts(CLI::App& app, Context& context);
// notifications ...
void DeclareNotifications(CLI::App& app, Context& context);
// quotes ...
void DeclareQuotes(CLI::App& app, Context& context);

}  // namespace stockalert::client
