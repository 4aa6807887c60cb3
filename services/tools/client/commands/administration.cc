#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/tools/client/commands/commands.h"
#include "services/tools/client/usage.h"
#include "services/tools/client/values.h"

namespace stockalert::client {
namespace {

namespace user_v1 = ::stockalert::user::v1;
namespace alert_v1 = ::stockalert::alert::v1;

struct Flags {
  std::string user, note, expires, symbol;
  bool sure = false;
  int64_t limit = 100;
};

absl::Status ListUsers(CommandContext& context, const Flags& flags) {
  STOCKALERT_ASSIGN_OR_RETURN(const auto users, context.List(&Users::ListUsers, user_v1::ListUsersRequest(),
                                                             flags.limit, &user_v1::ListUsersResponse::mutable_users));
  Table table({"~USER", "~E-MAIL", "VERIFIED", "~NAME", "REGISTERED"});
  for (const auto& user : users) {
    table.Add({IdOf(user.name()), user.email(), FormatTime(user.email_verify_time()), user.display_name(),
               FormatTime(user.create_time())});
  }
  context.PrintList(users, table, "no users");
  return absl::OkStatus();
}

absl::Status Verify(CommandContext& context, const Flags& flags) {
  user_v1::VerifyEmailRequest request;
  request.set_name(UserNameOf(flags.user));
  STOCKALERT_ASSIGN_OR_RETURN(const auto user, context.Call(&Users::VerifyEmail, request));
  if (context.terminal.json) context.terminal.PrintJson(user);
  context.Notice(absl::StrCat("verified: ", Clean(user.email()), " belongs to ", user.name()));
  return absl::OkStatus();
}

absl::Status DeleteUser(CommandContext& context, const Flags& flags) {
  if (!flags.sure) {
    return WrongUsage(absl::StrCat("this deletes ", UserNameOf(flags.user),
                                   " for ever, with keys, alerts and notifications: if you mean it, add --yes"));
  }
  user_v1::DeleteUserRequest request;
  request.set_name(UserNameOf(flags.user));
  STOCKALERT_RETURN_IF_ERROR(context.Call(&Users::DeleteUser, request).status());
  context.Notice("deleted " + Clean(request.name()));
  return absl::OkStatus();
}

absl::Status Invite(CommandContext& context, const Flags& flags) {
  user_v1::CreateInvitationRequest request;
  request.set_note(flags.note);
  if (!flags.expires.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_expire_time(),
                                OfFlag("--expires", ParseTime(flags.expires, absl::Now())));
  }
  STOCKALERT_ASSIGN_OR_RETURN(const auto response, context.Call(&Users::CreateInvitation, request));
  if (context.terminal.json) context.terminal.PrintJson(response);
  context.Notice(absl::StrCat("for `stockalert register --invitation`, until ", FormatTime(response.expire_time()),
                              ", shown this once: ", context.terminal.Paint(response.code(), Colour::kBold)));
  return absl::OkStatus();
}

absl::Status Resync(CommandContext& context, const Flags& flags) {
  alert_v1::ResyncAlertsRequest request;
  request.set_symbol(flags.symbol);
  STOCKALERT_ASSIGN_OR_RETURN(const auto response, context.Call(&Alerts::ResyncAlerts, request));
  if (context.terminal.json) context.terminal.PrintJson(response);
  context.Notice(absl::StrCat("publishing ", response.alert_count(), " alerts again"));
  return absl::OkStatus();
}

void DeclareOnUsers(CLI::App& admin, CommandContext& context) {
  const auto flags = std::make_shared<Flags>();
  DeclareLimit(context.Command(admin, "users", "list all users, oldest first",
                               [&context, flags] { return ListUsers(context, *flags); }),
               flags->limit);
  CLI::App& verify = context.Command(admin, "verify", "vouch that a user's address is theirs",
                                     [&context, flags] { return Verify(context, *flags); }, {{"name", "user"}});
  CLI::App& remove = context.Command(admin, "delete_user", "delete a user for ever, with all that is theirs",
                                     [&context, flags] { return DeleteUser(context, *flags); }, {{"name", "user"}});
  for (CLI::App* command : {&verify, &remove}) {
    command->add_option("user", flags->user, "id or full name")->required();
  }
  remove.add_flag("--yes", flags->sure, "do it");
}

}  // namespace

void DeclareAdministration(CLI::App& app, CommandContext& context) {
  CLI::App& admin = context.Group(app, "admin", "what an administrator's key may do");
  DeclareOnUsers(admin, context);
  const auto flags = std::make_shared<Flags>();
  CLI::App& invite = context.Command(admin, "invite", "make an invitation, with which one user may register",
                                     [&context, flags] { return Invite(context, *flags); },
                                     {{"note", "--note"}, {"expire_time", "--expires"}});
  invite.add_option("--note", flags->note, "whom it is for, say");
  invite.add_option("--expires", flags->expires, "a time (2026-12-31T21:00:00Z) or +30d; else in 7 days");
  context
      .Command(admin, "resync", "publish alerts to the log again, after it was lost",
               [&context, flags] { return Resync(context, *flags); }, {{"symbol", "--symbol"}})
      .add_option("--symbol", flags->symbol, "only alerts on this symbol");
}

}  // namespace stockalert::client
