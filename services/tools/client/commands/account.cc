#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/tools/client/commands/commands.h"
#include "services/tools/client/short_names.h"
#include "services/tools/client/usage.h"
#include "services/tools/client/values.h"

namespace stockalert::client {
namespace {

namespace user_v1 = ::stockalert::user::v1;

// --- profile: the user as the mesh knows it

struct ProfileFlags {
  std::string email, display_name, code;
  bool sure = false;
};

void PrintUser(const CommandContext& context, const user_v1::User& user) {
  if (context.terminal.json) context.terminal.PrintJson(user);
  context.Notice(absl::StrCat(user.name(), "  ", Clean(user.email()), user.has_email_verify_time() ? " (verified)" : "",
                              "  ", Clean(user.display_name())));
}

absl::Status WhoAmI(CommandContext& context) {
  user_v1::GetUserRequest request;
  request.set_name(kOwn);
  STOCKALERT_ASSIGN_OR_RETURN(const auto user, context.Call(&Users::GetUser, request));
  PrintUser(context, user);
  return absl::OkStatus();
}

absl::Status Update(CommandContext& context, const ProfileFlags& flags) {
  user_v1::UpdateUserRequest request;
  request.mutable_user()->set_name(kOwn);
  if (!flags.email.empty()) {
    request.mutable_user()->set_email(flags.email);
    request.mutable_update_mask()->add_paths("email");
  }
  if (!flags.display_name.empty()) {
    request.mutable_user()->set_display_name(flags.display_name);
    request.mutable_update_mask()->add_paths("display_name");
  }
  if (request.update_mask().paths().empty()) return WrongUsage("give what is to change: --email or --name");
  STOCKALERT_ASSIGN_OR_RETURN(const auto user, context.Call(&Users::UpdateUser, request));
  PrintUser(context, user);
  return absl::OkStatus();
}

absl::Status Verify(CommandContext& context, const ProfileFlags& flags) {
  if (!flags.code.empty()) {
    user_v1::VerifyEmailRequest request;
    request.set_name(kOwn);
    request.set_code(flags.code);
    STOCKALERT_ASSIGN_OR_RETURN(const auto user, context.Call(&Users::VerifyEmail, request));
    PrintUser(context, user);
    return absl::OkStatus();
  }
  user_v1::SendEmailVerificationRequest request;
  request.set_name(kOwn);
  STOCKALERT_ASSIGN_OR_RETURN(const auto response, context.Call(&Users::SendEmailVerification, request));
  if (context.terminal.json) context.terminal.PrintJson(response);
  context.Notice("a code is to be mailed, worth something until " + FormatTime(response.expire_time()) +
                 ": `stockalert profile verify CODE`");
  return absl::OkStatus();
}

absl::Status Delete(CommandContext& context, const ProfileFlags& flags) {
  if (!flags.sure) {
    return WrongUsage("this deletes you for ever, with your keys, alerts and notifications: if you mean it, add --yes");
  }
  user_v1::DeleteUserRequest request;
  request.set_name(kOwn);
  STOCKALERT_RETURN_IF_ERROR(context.Call(&Users::DeleteUser, request).status());
  context.Notice("deleted; the key is worth nothing any more");
  return absl::OkStatus();
}

void DeclareProfile(CLI::App& app, CommandContext& context) {
  CLI::App& profile = context.Group(app, "profile", "change what the mesh knows of you");
  const auto flags = std::make_shared<ProfileFlags>();
  CLI::App& update = context.Command(profile, "update", "change your address or what you are shown as",
                                     [&context, flags] { return Update(context, *flags); },
                                     {{"user.email", "--email"}, {"user.display_name", "--name"}});
  update.add_option("--email", flags->email, "your e-mail address; another has to be verified anew");
  update.add_option("--name", flags->display_name, "what you are shown as");
  context
      .Command(profile, "verify", "prove that the address is yours: without CODE, have one mailed",
               [&context, flags] { return Verify(context, *flags); }, {{"code", "code"}})
      .add_option("code", flags->code, "as it was mailed");
  context
      .Command(profile, "delete", "delete yourself for ever, with all that is yours",
               [&context, flags] { return Delete(context, *flags); })
      .add_flag("--yes", flags->sure, "do it");
}

// --- keys

struct KeyFlags {
  std::string user, display_name, expires;
  bool read_only = false;
  std::vector<std::string> keys;

  std::string Parent() const { return user.empty() ? kOwn : UserNameOf(user); }
};

std::string ScopeOf(const user_v1::ApiKey& key) {
  return key.scope() == user_v1::ApiKey::SCOPE_READ_ONLY ? "read only" : "full";
}

absl::Status CreateKey(CommandContext& context, const KeyFlags& flags) {
  user_v1::CreateApiKeyRequest request;
  request.set_parent(flags.Parent());
  request.set_request_id(context.ids.NewUuid());
  user_v1::ApiKey& key = *request.mutable_api_key();
  key.set_display_name(flags.display_name);
  key.set_scope(flags.read_only ? user_v1::ApiKey::SCOPE_READ_ONLY : user_v1::ApiKey::SCOPE_FULL);
  if (!flags.expires.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(*key.mutable_expire_time(), OfFlag("--expires", ParseTime(flags.expires, absl::Now())));
  }
  STOCKALERT_ASSIGN_OR_RETURN(const auto response, context.Call(&Users::CreateApiKey, request));
  if (context.terminal.json) context.terminal.PrintJson(response);
  context.Notice(absl::StrCat("key ", IdOf(response.api_key().name()), " (", ScopeOf(response.api_key()),
                              "), shown this once: ", context.terminal.Paint(response.secret(), Colour::kBold)));
  return absl::OkStatus();
}

absl::Status ListKeys(CommandContext& context, const KeyFlags& flags) {
  user_v1::ListApiKeysRequest request;
  request.set_parent(flags.Parent());
  STOCKALERT_ASSIGN_OR_RETURN(
      const auto keys, context.List(&Users::ListApiKeys, request, 0, &user_v1::ListApiKeysResponse::mutable_api_keys));
  Table table({"~KEY", "~NAME", "BEGINS", "MAY", "CREATED", "EXPIRES", "REVOKED"});
  for (const auto& key : keys) {
    table.Add({IdOf(key.name()), key.display_name(), key.secret_prefix(), ScopeOf(key), FormatTime(key.create_time()),
               FormatTime(key.expire_time()), Cell(FormatTime(key.revoke_time()), Colour::kDim)});
  }
  context.PrintList(keys, table, "no keys");
  return absl::OkStatus();
}

absl::Status RevokeKeys(CommandContext& context, const KeyFlags& flags) {
  STOCKALERT_ASSIGN_OR_RETURN(const auto names, ShortNames::OfKeys(context).ResolveAll(flags.keys));
  for (const std::string& name : names) {
    user_v1::RevokeApiKeyRequest request;
    request.set_name(name);
    STOCKALERT_ASSIGN_OR_RETURN(const auto key, context.Call(&Users::RevokeApiKey, request));
    if (context.terminal.json) context.terminal.PrintJson(key);
    context.Notice("revoked " + Clean(IdOf(key.name())));
  }
  return absl::OkStatus();
}

void DeclareKeys(CLI::App& app, CommandContext& context) {
  CLI::App& keys = context.Group(app, "keys", "issue and revoke API keys");
  const auto flags = std::make_shared<KeyFlags>();
  CLI::App& create = context.Command(keys, "create", "issue a further key; prints it, once",
                                     [&context, flags] { return CreateKey(context, *flags); },
                                     {{"api_key.display_name", "--name"},
                                      {"api_key.scope", "--read_only"},
                                      {"api_key.expire_time", "--expires"},
                                      {"parent", "--user"}});
  create.add_option("--name", flags->display_name, "what you know it by");
  create.add_flag("--read_only", flags->read_only, "it may change nothing");
  create.add_option("--expires", flags->expires, "a time (2026-12-31T21:00:00Z) or +90d; else never");
  CLI::App& list = context.Command(keys, "list", "list your keys, without their secrets",
                                   [&context, flags] { return ListKeys(context, *flags); }, {{"parent", "--user"}});
  for (CLI::App* command : {&create, &list}) {
    command->add_option("--user", flags->user, "this user's instead; an administrator's");
  }
  context
      .Command(keys, "revoke", "end keys, within seconds everywhere",
               [&context, flags] { return RevokeKeys(context, *flags); }, {{"name", "keys"}})
      .add_option("keys", flags->keys, "ids, as much of each as tells it apart, or full names")
      ->required();
}

}  // namespace

void DeclareAccount(CLI::App& app, CommandContext& context) {
  context.Command(app, "whoami", "show whom the key belongs to", [&context] { return WhoAmI(context); });
  DeclareProfile(app, context);
  DeclareKeys(app, context);
}

}  // namespace stockalert::client
