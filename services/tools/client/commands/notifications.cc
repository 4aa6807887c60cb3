#include <memory>

#include "services/tools/client/commands/commands.h"
#include "services/tools/client/short_names.h"
#include "services/tools/client/stream.h"
#include "services/tools/client/values.h"

namespace stockalert::client {
namespace {

namespace notification_v1 = ::stockalert::notification::v1;

using Names = std::vector<std::string>;

struct ListFlags {
  bool unacknowledged = false;
  std::string symbol, alert;
  int64_t limit = 100;
};

absl::Status List(CommandContext& context, const ListFlags& flags) {
  notification_v1::ListNotificationsRequest request;
  request.set_parent(kOwn);
  request.set_unacknowledged_only(flags.unacknowledged);
  request.set_symbol(flags.symbol);
  if (!flags.alert.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(const std::string name, ShortNames::OfAlerts(context).Resolve(flags.alert));
    request.set_alert(name);
  }
  STOCKALERT_ASSIGN_OR_RETURN(const auto notifications,
                              context.List(&Notifications::ListNotifications, request, flags.limit,
                                           &notification_v1::ListNotificationsResponse::mutable_notifications));
  Table table({"EVENT TIME", "SYMBOL", ">PRICE", "~WHAT", "~NOTE", "SEEN", "~NOTIFICATION"});
  for (const auto& notification : notifications) {
    const std::string marks =
        std::string(notification.late() ? " (late)" : "") + (notification.throttled() ? " (throttled)" : "");
    table.Add({FormatTime(notification.event_time()), Cell(notification.symbol(), Colour::kBold),
               Cell(notification.price(), Colour::kCyan), notification.summary() + marks, notification.note(),
               notification.has_acknowledge_time() ? Cell("yes", Colour::kDim) : Cell("no", Colour::kYellow),
               IdOf(notification.name())});
  }
  context.PrintList(notifications, table, "no notifications");
  return absl::OkStatus();
}

void DeclareList(CLI::App& notifications, CommandContext& context) {
  const auto flags = std::make_shared<ListFlags>();
  CLI::App& command = context.Command(notifications, "list", "list your notifications, newest first",
                                      [&context, flags] { return List(context, *flags); },
                                      {{"symbol", "--symbol"}, {"alert", "--alert"}});
  command.add_flag("--unacknowledged", flags->unacknowledged, "only those that you have not acknowledged");
  command.add_option("--symbol", flags->symbol, "only on this symbol");
  command.add_option("--alert", flags->alert, "only of this alert");
  DeclareLimit(command, flags->limit);
}

struct WatchFlags {
  std::string cursor;
  bool from_start = false;
  int64_t count = 0;
};

void PrintLine(const Terminal& terminal, const notification_v1::Notification& notification) {
  if (terminal.json) {
    terminal.PrintJson(notification);
    return;
  }
  terminal.out << terminal.Paint(FormatTime(notification.event_time()), Colour::kDim) << "  ";
  // The words on a split begin with it.
  if (notification.kind() != notification_v1::Notification::KIND_SPLIT)
    terminal.out << terminal.Paint(Clean(notification.symbol()), Colour::kBold) << ' ';
  // One that stands for many has none.
  if (!notification.price().empty()) terminal.out << terminal.Paint(Clean(notification.price()), Colour::kCyan) << "  ";
  terminal.out << Clean(notification.summary());
  if (notification.late()) terminal.out << terminal.Paint(" (late)", Colour::kYellow);
  if (!notification.note().empty()) terminal.out << "  " << terminal.Paint(Clean(notification.note()), Colour::kDim);
  terminal.out << '\n' << std::flush;
}

absl::Status WatchThem(CommandContext& context, const WatchFlags& flags) {
  notification_v1::WatchNotificationsRequest request;
  request.set_cursor(flags.cursor);
  request.set_from_start(flags.from_start);
  int64_t printed = 0;
  return FollowNotifications(context, request, [&](const notification_v1::Notification& notification) {
    PrintLine(context.terminal, notification);
    return ++printed == flags.count;
  });
}

void DeclareWatch(CLI::App& notifications, CommandContext& context) {
  const auto flags = std::make_shared<WatchFlags>();
  CLI::App& command = context.Command(notifications, "watch", "print notifications as they come, until interrupted",
                                      [&context, flags] { return WatchThem(context, *flags); },
                                      {{"cursor", "--cursor"}, {"from_start", "--from_start"}});
  CLI::Option* from_start = command.add_flag("--from_start", flags->from_start, "begin with your oldest one");
  command.add_option("--cursor", flags->cursor, "go on behind this one")->excludes(from_start);
  DeclareCount(command, flags->count);
}

absl::Status Acknowledge(CommandContext& context, const Names& given) {
  STOCKALERT_ASSIGN_OR_RETURN(const Names names, ShortNames::OfNotifications(context).ResolveAll(given));
  for (const std::string& name : names) {
    notification_v1::AcknowledgeNotificationRequest request;
    request.set_name(name);
    STOCKALERT_ASSIGN_OR_RETURN(const auto notification,
                                context.Call(&Notifications::AcknowledgeNotification, request));
    if (context.terminal.json) context.terminal.PrintJson(notification);
    context.Notice("acknowledged " + Clean(IdOf(notification.name())));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status FollowNotifications(CommandContext& context, notification_v1::WatchNotificationsRequest request,
                                 const std::function<bool(const notification_v1::Notification&)>& take) {
  const bool resumes = !request.cursor().empty();
  request.set_parent(kOwn);
  return Watch<notification_v1::WatchNotificationsResponse>(
      context,
      [&](::grpc::ClientContext& call) {
        return context.connection->notifications().WatchNotifications(&call, request);
      },
      [&](const notification_v1::WatchNotificationsResponse& response) {
        for (const auto& notification : response.notifications()) {
          if (take(notification)) return true;
        }
        // A heartbeat may come without one.
        if (!response.cursor().empty()) {
          request.set_cursor(response.cursor());
          request.set_from_start(false);
        }
        return false;
      },
      /*answered=*/resumes);
}

void DeclareNotifications(CLI::App& app, CommandContext& context) {
  CLI::App& notifications = context.Group(app, "notifications", "see what happened");
  DeclareList(notifications, context);
  DeclareWatch(notifications, context);
  DeclareNotificationSettings(notifications, context);
  const auto names = std::make_shared<Names>();
  context
      .Command(notifications, "ack", "acknowledge notifications",
               [&context, names] { return Acknowledge(context, *names); }, {{"name", "notifications"}})
      .add_option("notifications", *names, "ids, as much of each as tells it apart, or full names")
      ->required();
}

}  // namespace stockalert::client
