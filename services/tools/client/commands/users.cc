
#include <filesystem>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/tools/client/commands/commands.h"
#include "services/tools/client/secret_input.h"
#include "services/tools/client/usage.h"
#include "services/tools/client/values.h"

namespace stockalert::client {
namespace {

namespace user_v1 = ::stockalert::user::v1;

struct Registration {
  std::string email, display_name, invitation_code;
  bool no_save = false, save = false;
};

void PrintRegistered(const CommandContext& context, const user_v1::RegisterUserResponse& response) {
  const Terminal& terminal = context.terminal;
  if (terminal.json) {
    terminal.PrintJson(response);
    return;
  }
  terminal.out << "registered " << Clean(response.user().email()) << " as " << response.user().name() << '\n';
  if (response.secret().empty()) {
    terminal.out << "the answer with the key was lost on the way; an administrator can issue another\n";
  } else {
    terminal.out << "your API key, shown this once: " << terminal.Paint(response.secret(), Colour::kBold) << '\n';
  }
}

// What belongs to a profile: the key, and what flags said of the mesh.
absl::Status Keep(const CommandContext& context, const std::string& api_key) {
  std::map<std::string, std::string> values = {{"api_key", api_key}};
  for (const auto& [name, value] : context.given) {
    if (name == "profile" || name == "api_key" || value.empty()) continue;
    // The next command may be given in another folder.
    values[name] = name == "ca_file" ? std::filesystem::absolute(value).string() : value;
  }
  const Environment& environment = context.surroundings.environment;
  const std::string path = SettingsPath(environment);
  const std::string profile = ProfileOf(context.given, environment);
  STOCKALERT_RETURN_IF_ERROR(SaveSettings(path, profile, values));
  context.Notice("kept in " + path + (profile.empty() ? "" : ", profile " + profile));
  return absl::OkStatus();
}

bool HasKey(const CommandContext& context) {
  const Environment& environment = context.surroundings.environment;
  const auto profiles = ReadSettingsFile(SettingsPath(environment));
  if (!profiles.ok()) return false;
  const auto profile = profiles->find(ProfileOf(context.given, environment));
  return profile != profiles->end() && profile->second.count("api_key") > 0;
}

// The user exists by now, and the key was printed: not being able to keep it is worth a word, no failure.
void KeepNewKey(const CommandContext& context, const std::string& api_key, bool replace) {
  if (!replace && HasKey(context)) {
    context.terminal.Warn(SettingsPath(context.surroundings.environment) +
                          " has another key already, which stays; --save would replace it");
    return;
  }
  if (const absl::Status kept = Keep(context, api_key); !kept.ok()) {
    context.terminal.Warn("the key was not kept: " + std::string(kept.message()));
  }
}

absl::Status Register(CommandContext& context, const Registration& flags) {
  user_v1::RegisterUserRequest request;
  request.set_invitation_code(flags.invitation_code);
  request.mutable_user()->set_email(flags.email);
  request.mutable_user()->set_display_name(flags.display_name);
  request.set_request_id(context.ids.NewUuid());
  STOCKALERT_ASSIGN_OR_RETURN(const auto response, context.Call(&Users::RegisterUser, request));
  PrintRegistered(context, response);
  if (!flags.no_save && !response.secret().empty()) KeepNewKey(context, response.secret(), flags.save);
  return absl::OkStatus();
}

void DeclareRegister(CLI::App& app, CommandContext& context) {
  const auto flags = std::make_shared<Registration>();
  CLI::App& command = context.Command(
      app, "register", "become a user; prints your key, once, and keeps it in the settings file",
      [&context, flags] { return Register(context, *flags); },
      {{"user.email", "--email"}, {"user.display_name", "--name"}, {"invitation_code", "--invitation"}});
  command.add_option("--email", flags->email, "your e-mail address")->required();
  command.add_option("--name", flags->display_name, "what you are shown as")->required();
  command.add_option("--invitation", flags->invitation_code,
                     "the code of an invitation, where registration is by invitation");
  CLI::Option* no_save = command.add_flag("--no_save", flags->no_save, "do not keep the key in the settings file");
  command.add_flag("--save", flags->save, "keep it there even where there is another key")->excludes(no_save);
}

absl::Status Login(CommandContext& context) {
  const auto flag = context.given.find("api_key");
  const std::string key = flag == context.given.end() || flag->second.empty()
                              ? ReadHiddenLine(context.surroundings, "your API key")
                              : flag->second;
  if (key.empty()) return WrongUsage("give your API key, on standard input or by --api_key");
  if (const absl::Status sound = CheckKey(key); !sound.ok()) return WrongUsage(std::string(sound.message()));
  context.connection->UseKey(key);
  user_v1::GetUserRequest request;
  request.set_name(kOwn);
  const auto user = context.Call(&Users::GetUser, request);
  // An administrator's key is known, and belongs to no user.
  if (!user.ok() && !absl::IsInvalidArgument(user.status())) return user.status();
  if (user.ok() && context.terminal.json) context.terminal.PrintJson(*user);
  context.Notice(user.ok() ? absl::StrCat("you are ", Clean(user->email()), ", ", user->name())
                           : std::string("you are an administrator"));
  return Keep(context, key);
}

absl::Status Follow(CommandContext& context, const std::vector<std::string>& symbols) {
  for (const std::string& symbol : symbols) {
    user_v1::FollowTickerRequest request;
    request.set_parent(kOwn);
    request.set_symbol(symbol);
    STOCKALERT_ASSIGN_OR_RETURN(const auto followed, context.Call(&Users::FollowTicker, request));
    if (context.terminal.json) context.terminal.PrintJson(followed);
    context.Notice("following " + Clean(followed.symbol()));
  }
  return absl::OkStatus();
}

absl::Status Unfollow(CommandContext& context, const std::vector<std::string>& symbols) {
  for (const std::string& symbol : symbols) {
    user_v1::UnfollowTickerRequest request;
    request.set_name(NameOf(symbol, "followedTickers"));
    STOCKALERT_RETURN_IF_ERROR(context.Call(&Users::UnfollowTicker, request).status());
    context.Notice("no longer following " + Clean(symbol));
  }
  return absl::OkStatus();
}

absl::Status Followed(CommandContext& context) {
  user_v1::ListFollowedTickersRequest request;
  request.set_parent(kOwn);
  STOCKALERT_ASSIGN_OR_RETURN(const auto all,
                              context.List(&Users::ListFollowedTickers, request, 0,
                                           &user_v1::ListFollowedTickersResponse::mutable_followed_tickers));
  Table table({"SYMBOL", "SINCE"});
  for (const auto& followed : all) table.Add({followed.symbol(), FormatTime(followed.create_time())});
  context.PrintList(all, table, "you follow no tickers");
  return absl::OkStatus();
}

void DeclareFollowing(CLI::App& app, CommandContext& context) {
  const auto symbols = std::make_shared<std::vector<std::string>>();
  context
      .Command(app, "follow", "follow tickers", [&context, symbols] { return Follow(context, *symbols); },
               {{"symbol", "symbols"}})
      .add_option("symbols", *symbols, "as in AAPL")
      ->required();
  context
      .Command(app, "unfollow", "follow tickers no longer", [&context, symbols] { return Unfollow(context, *symbols); },
               {{"name", "symbols"}})
      .add_option("symbols", *symbols, "as in AAPL")
      ->required();
  context.Command(app, "followed", "list the tickers that you follow", [&context] { return Followed(context); });
}

}  // namespace

void DeclareUsers(CLI::App& app, CommandContext& context) {
  DeclareRegister(app, context);
  context.Command(app, "login", "keep a key that you have, and with --profile the mesh that it is for",
                  [&context] { return Login(context); });
  DeclareFollowing(app, context);
}

}  // namespace stockalert::client
