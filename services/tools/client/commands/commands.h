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
// Below that one.
void DeclareNotificationSettings(CLI::App& notifications, CommandContext& context);
// Hands over the caller's notifications as they come, from where `request` begins, until `take` returns true. Reopens
// streams that break.
absl::Status FollowNotifications(CommandContext& context, notification::v1::WatchNotificationsRequest request,
                                 const std::function<bool(const notification::v1::Notification&)>& take);
// listen.
void DeclareListen(CLI::App& app, CommandContext& context);
// receive.
void DeclareReceive(CLI::App& app, CommandContext& context);
// destination ...
void DeclareDestinations(CLI::App& app, CommandContext& context);
// deliveries ...
void DeclareDeliveries(CLI::App& app, CommandContext& context);
// A delivery with its attempts, as `deliveries get` shows it.
void PrintDelivery(const CommandContext& context, const notification::v1::Delivery& delivery);
// bars.
void DeclareBars(CLI::App& app, CommandContext& context);
// quotes ...
void DeclareQuotes(CLI::App& app, CommandContext& context);
// ticker ...
void DeclareTickers(CLI::App& app, CommandContext& context);
// admin ...
void DeclareAdministration(CLI::App& app, CommandContext& context);
// completion: of all the commands of `app`, which is to outlive the action.
void DeclareCompletion(CLI::App& app, CommandContext& context);

}  // namespace stockalert::client
