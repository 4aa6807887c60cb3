#include "services/client/client.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/client/alert_flags.h"
#include "services/client/connection.h"
#include "services/client/terminal.h"
#include "services/client/values.h"
#include "services/common/base/backoff.h"
#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"
#include "services/common/version/version.h"

namespace stockalert::client {
namespace {

namespace user_v1 = ::stockalert::user::v1;
namespace ticker_v1 = ::stockalert::ticker::v1;
namespace alert_v1 = ::stockalert::alert::v1;
namespace notification_v1 = ::stockalert::notification::v1;

std::string Marks(const alert_v1::Trigger& trigger) {
  return absl::StrCat(trigger.late() ? "late" : "", trigger.late() && trigger.throttled() ? ", " : "", trigger.throttled() ? "throttled" : "");
}

constexpr char kOwn[] = "users/me";
// A stream is taken up again after this at the latest.
constexpr absl::Duration kStreamTime = absl::Hours(12);

Colour ColourOf(alert_v1::Alert::State state) {
  switch (state) {
    case alert_v1::Alert::STATE_ACTIVE:
      return Colour::kGreen;
    case alert_v1::Alert::STATE_TRIGGERED:
      return Colour::kCyan;
    case alert_v1::Alert::STATE_PENDING:
    case alert_v1::Alert::STATE_WAITING:
    case alert_v1::Alert::STATE_PAUSED:
      return Colour::kYellow;
    case alert_v1::Alert::STATE_EXPIRED:
      return Colour::kDim;
    default:
      return Colour::kNone;
  }
}

// One run: the values of the flags, and what each command does with them.
class Run {
 public:
  explicit Run(const Surroundings& surroundings)
      : surroundings_(surroundings), terminal_{surroundings.out, surroundings.err} {}

  int Execute(const std::vector<std::string>& args);

 private:
  using Action = std::function<absl::Status()>;
  CLI::App* Command(CLI::App& parent, const std::string& name, const std::string& description, Action action);
  void DeclareUser(CLI::App& app);
  void DeclareAlerts(CLI::App& app);
  void DeclareNotifications(CLI::App& app);
  void DeclareQuotes(CLI::App& app);

  absl::Status Register();
  absl::Status WhoAmI();
  absl::Status Follow();
  absl::Status Unfollow();
  absl::Status Followed();
  absl::Status CreateAlert();
  absl::Status ListAlerts();
  absl::Status GetAlert();
  absl::Status DeleteAlerts();
  template <typename Request>
  absl::Status ChangeAlerts(::grpc::Status (alert_v1::AlertService::StubInterface::*method)(::grpc::ClientContext*,
                                                                                            const Request&,
                                                                                            alert_v1::Alert*));
  absl::Status ListTriggers();
  absl::Status ListNotifications();
  absl::Status WatchNotifications();
  absl::Status Acknowledge();
  absl::Status GetQuotes();
  absl::Status WatchQuotes();
  absl::Status PublishQuotes();

  void PrintAlerts(const std::vector<alert_v1::Alert>& alerts);
  void PrintNotification(const notification_v1::Notification& notification);
  void PrintNotice(const std::string& text) {
    if (!terminal_.json) terminal_.out << text << '\n' << std::flush;
  }
  // Pages of up to 1000 until `limit_` (0: all); `next` takes a token and a size, adds to its own list, and answers the
  // next token.
  absl::Status Pages(const std::function<absl::StatusOr<std::string>(const std::string& token, int size)>& next,
                     const std::function<size_t()>& count);
  // Whether a stream that ended so is to be opened again; waits a while then.
  bool TakeUpAgain(const absl::Status& status, base::Backoff& backoff);
  // Whether so many things were printed that the command is done.
  bool Enough() const { return count_ > 0 && printed_ >= count_; }

  const Surroundings& surroundings_;
  Terminal terminal_;
  std::unique_ptr<Connection> connection_;
  Action action_;
  base::SystemIdSource ids_;

  std::map<std::string, std::string> given_;
  std::string server_;
  bool json_ = false;
  int64_t timeout_s_ = 15;
  // Of the commands.
  std::string email_, display_name_, invitation_code_;
  bool no_save_ = false, save_ = false;
  std::vector<std::string> names_;
  AlertFlags alert_;
  std::string symbol_, alert_id_, cursor_, price_, time_, session_;
  std::vector<std::string> states_;
  int64_t limit_ = 100, count_ = 0, printed_ = 0;
  bool unacknowledged_ = false, from_start_ = false, stdin_ = false;
};

CLI::App* Run::Command(CLI::App& parent, const std::string& name, const std::string& description, Action action) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->fallthrough();
  if (action) {
    command->callback([this, action = std::move(action)] { action_ = action; });
  } else {
    command->require_subcommand(1);
  }
  return command;
}

int Run::Execute(const std::vector<std::string>& args) {
  CLI::App app("Alerts on stock prices: register, follow tickers, set alerts, and be notified", "stockalert");
  app.require_subcommand(1);
  app.set_version_flag("--version", "stockalert " + version::Text());
  app.add_flag("--json", json_, "print lines of JSON for scripts")->group("Everywhere");
  app.add_option("--server", server_, "the mesh's host; the services' own ports are taken")->group("Everywhere");
  for (const char* name : {"user_address", "ticker_address", "alert_address", "notifier_address"}) {
    app.add_option(absl::StrCat("--", name), given_[name], "host:port; also STOCKALERT_... and the settings file")
        ->group("Everywhere");
  }
  app.add_option("--api_key", given_["api_key"],
                 "your key; better in STOCKALERT_API_KEY or ~/.config/stockalert/config")
      ->group("Everywhere");
  app.add_option("--ca_file", given_["ca_file"],
                 "speak TLS, and trust the authorities in this PEM file; without it the system's, and plaintext on loopback")
      ->group("Everywhere");
  app.add_flag("--plaintext", given_["plaintext"], "never speak TLS; --plaintext=false: always, on loopback too")
      ->group("Everywhere");
  app.add_option("--timeout_s", timeout_s_, "how long a call may take")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str()
      ->group("Everywhere");
  DeclareUser(app);
  DeclareAlerts(app);
  DeclareNotifications(app);
  DeclareQuotes(app);

  std::vector<std::string> reversed(args.rbegin(), args.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, surroundings_.out, surroundings_.err) == 0 ? kDone : kWrongUsage;
  }
  const auto no_colour = surroundings_.environment("NO_COLOR");
  terminal_.json = json_;
  terminal_.colours = surroundings_.is_terminal && !json_ && (!no_colour || no_colour->empty());
  if (!server_.empty()) {
    int port = 50051;
    for (const char* name : {"user_address", "ticker_address", "alert_address", "notifier_address"}) {
      if (given_[name].empty()) given_[name] = absl::StrCat(server_, ":", port);
      ++port;
    }
  }
  const absl::StatusOr<Settings> settings = ResolveSettings(given_, surroundings_.environment);
  if (!settings.ok()) {
    PrintFailure(terminal_, settings.status());
    return kWrongUsage;
  }
  absl::StatusOr<std::shared_ptr<::grpc::ChannelCredentials>> tls = TlsOf(*settings);
  if (!tls.ok()) {
    PrintFailure(terminal_, tls.status());
    return kWrongUsage;
  }
  connection_ = std::make_unique<Connection>(*settings, *std::move(tls), absl::Seconds(timeout_s_));
  const absl::Status status = action_();
  if (!status.ok()) PrintFailure(terminal_, status);
  return ExitCodeOf(status);
}

// --- Users and followed tickers
// ----------------------------------------------------------------------------------------------

void Run::DeclareUser(CLI::App& app) {
  CLI::App* reg = Command(app, "register", "become a user; prints your key, once, and keeps it in the settings file",
                          [this] { return Register(); });
  reg->add_option("--email", email_, "your e-mail address")->required();
  reg->add_option("--name", display_name_, "what you are shown as")->required();
  reg->add_option("--invitation", invitation_code_, "the code of an invitation, where registration is by invitation");
  reg->add_flag("--no_save", no_save_, "do not keep the key in the settings file");
  reg->add_flag("--save", save_, "keep it there even where there is another key");
  Command(app, "whoami", "show whom the key belongs to", [this] { return WhoAmI(); });
  Command(app, "follow", "follow tickers", [this] { return Follow(); })
      ->add_option("symbols", names_, "as in AAPL")
      ->required();
  Command(app, "unfollow", "follow tickers no longer", [this] { return Unfollow(); })
      ->add_option("symbols", names_, "as in AAPL")
      ->required();
  Command(app, "followed", "list the tickers that you follow", [this] { return Followed(); });
}

absl::Status Run::Register() {
  user_v1::RegisterUserRequest request;
  request.set_invitation_code(invitation_code_);
  request.mutable_user()->set_email(email_);
  request.mutable_user()->set_display_name(display_name_);
  request.set_request_id(ids_.NewUuid());
  STOCKALERT_ASSIGN_OR_RETURN(
      const auto response,
      connection_->Call(connection_->users(), &user_v1::UserService::StubInterface::RegisterUser, request));
  if (terminal_.json) {
    terminal_.PrintJson(response);
  } else {
    terminal_.out << "registered " << Clean(response.user().email()) << " as " << response.user().name() << '\n';
    if (response.secret().empty()) {
      terminal_.out << "the answer with the key was lost on the way; an administrator can issue another\n";
    } else {
      terminal_.out << "your API key, shown this once: " << terminal_.Paint(response.secret(), Colour::kBold) << '\n';
    }
  }
  if (no_save_ || response.secret().empty()) return absl::OkStatus();
  const std::string path = SettingsPath(surroundings_.environment);
  const auto file = ReadSettingsFile(path);
  if (!save_ && file.ok() && file->count("api_key") > 0) {
    terminal_.err << "stockalert: " << path << " has another key already, which stays; --save would replace it\n";
    return absl::OkStatus();
  }
  // The user exists now, and the key was printed: not being able to keep it is worth a word, no failure.
  if (const absl::Status saved = SaveKey(path, response.secret()); !saved.ok()) {
    terminal_.err << "stockalert: the key was not kept: " << std::string(saved.message()) << '\n';
  } else {
    PrintNotice("kept in " + path);
  }
  return absl::OkStatus();
}

absl::Status Run::WhoAmI() {
  user_v1::GetUserRequest request;
  request.set_name(kOwn);
  STOCKALERT_ASSIGN_OR_RETURN(
      const auto user, connection_->Call(connection_->users(), &user_v1::UserService::StubInterface::GetUser, request));
  if (terminal_.json) {
    terminal_.PrintJson(user);
    return absl::OkStatus();
  }
  terminal_.out << user.name() << "  " << Clean(user.email()) << "  " << Clean(user.display_name()) << '\n';
  return absl::OkStatus();
}

absl::Status Run::Follow() {
  for (const std::string& symbol : names_) {
    user_v1::FollowTickerRequest request;
    request.set_parent(kOwn);
    request.set_symbol(symbol);
    STOCKALERT_ASSIGN_OR_RETURN(
        const auto followed,
        connection_->Call(connection_->users(), &user_v1::UserService::StubInterface::FollowTicker, request));
    if (terminal_.json) terminal_.PrintJson(followed);
    PrintNotice("following " + Clean(followed.symbol()));
  }
  return absl::OkStatus();
}

absl::Status Run::Unfollow() {
  for (const std::string& symbol : names_) {
    user_v1::UnfollowTickerRequest request;
    request.set_name(NameOf(symbol, "followedTickers"));
    STOCKALERT_RETURN_IF_ERROR(
        connection_->Call(connection_->users(), &user_v1::UserService::StubInterface::UnfollowTicker, request)
            .status());
    PrintNotice("no longer following " + Clean(symbol));
  }
  return absl::OkStatus();
}

absl::Status Run::Followed() {
  Table table({"SYMBOL", "SINCE"});
  size_t count = 0;
  limit_ = 0;
  STOCKALERT_RETURN_IF_ERROR(Pages(
      [&](const std::string& token, int size) -> absl::StatusOr<std::string> {
        user_v1::ListFollowedTickersRequest request;
        request.set_parent(kOwn);
        request.set_page_token(token);
        request.set_page_size(size);
        STOCKALERT_ASSIGN_OR_RETURN(
            const auto page, connection_->Call(connection_->users(),
                                               &user_v1::UserService::StubInterface::ListFollowedTickers, request));
        for (const auto& followed : page.followed_tickers()) {
          ++count;
          if (terminal_.json) terminal_.PrintJson(followed);
          table.Add({followed.symbol(), FormatTime(followed.create_time())});
        }
        return page.next_page_token();
      },
      [&] { return count; }));
  if (!terminal_.json) table.empty() ? PrintNotice("you follow no tickers") : table.Print(terminal_);
  return absl::OkStatus();
}

absl::Status Run::Pages(const std::function<absl::StatusOr<std::string>(const std::string&, int)>& next,
                        const std::function<size_t()>& count) {
  std::string token;
  for (;;) {
    const int64_t left = limit_ == 0 ? 1000 : limit_ - static_cast<int64_t>(count());
    STOCKALERT_ASSIGN_OR_RETURN(token, next(token, static_cast<int>(std::min<int64_t>(left, 1000))));
    if (token.empty()) return absl::OkStatus();
    if (limit_ > 0 && static_cast<int64_t>(count()) >= limit_) {
      terminal_.err << "there are more: --limit 0 shows all\n";
      return absl::OkStatus();
    }
  }
}

// --- Alerts
// ------------------------------------------------------------------------------------------------------------------

void Run::DeclareAlerts(CLI::App& app) {
  CLI::App* alert = Command(app, "alert", "set and change alerts", {});
  alert_.Declare(*Command(*alert, "create", "set an alert", [this] { return CreateAlert(); }));
  CLI::App* list = Command(*alert, "list", "list your alerts, newest first", [this] { return ListAlerts(); });
  list->add_option("--symbol", symbol_, "only on this symbol");
  list->add_option("--state", states_,
                   "only in this state (pending, active, waiting, paused, triggered, expired); may be repeated");
  list->add_option("--limit", limit_, "at most so many; 0: all")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  const auto with_names = [&](const char* name, const char* description, Action action) {
    Command(*alert, name, description, std::move(action))
        ->add_option("alerts", names_, "ids or full names")
        ->required();
  };
  using Stub = alert_v1::AlertService::StubInterface;
  with_names("get", "show alerts", [this] { return GetAlert(); });
  with_names("pause", "let alerts rest", [this] { return ChangeAlerts(&Stub::PauseAlert); });
  with_names("resume", "let paused alerts go on", [this] { return ChangeAlerts(&Stub::ResumeAlert); });
  with_names("rearm", "begin alerts anew, triggered ones too", [this] { return ChangeAlerts(&Stub::RearmAlert); });
  with_names("delete", "delete alerts with their history", [this] { return DeleteAlerts(); });
  CLI::App* triggers =
      Command(app, "triggers", "list what your alerts triggered, newest first", [this] { return ListTriggers(); });
  triggers->add_option("alert", alert_id_, "only of this alert");
  triggers->add_option("--limit", limit_, "at most so many; 0: all")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
}

void Run::PrintAlerts(const std::vector<alert_v1::Alert>& alerts) {
  if (terminal_.json) {
    for (const auto& alert : alerts) terminal_.PrintJson(alert);
    return;
  }
  Table table({"ALERT", "SYMBOL", "CONDITION", "STATE", "POLICY", ">TRIGGERS", "LAST TRIGGER", "NOTE"});
  for (const auto& alert : alerts) {
    const std::string last = alert.has_last_trigger() ? absl::StrCat(alert.last_trigger().price(), " at ",
                                                                     FormatTime(alert.last_trigger().event_time()))
                                                      : "";
    table.Add({IdOf(alert.name()), Cell(alert.symbol(), Colour::kBold), FormatCondition(alert.condition()),
               Cell(FormatState(alert.state()) + (alert.has_throttle_end_time() ? ", throttled" : ""), ColourOf(alert.state())),
               FormatPolicy(alert),
               absl::StrCat(alert.trigger_count()), last, alert.note()});
  }
  table.empty() ? PrintNotice("no alerts") : table.Print(terminal_);
}

absl::Status Run::CreateAlert() {
  alert_v1::CreateAlertRequest request;
  request.set_parent(kOwn);
  STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_alert(), alert_.Make(absl::Now()));
  request.set_request_id(ids_.NewUuid());
  STOCKALERT_ASSIGN_OR_RETURN(
      const auto alert,
      connection_->Call(connection_->alerts(), &alert_v1::AlertService::StubInterface::CreateAlert, request));
  PrintAlerts({alert});
  return absl::OkStatus();
}

absl::Status Run::ListAlerts() {
  std::vector<alert_v1::Alert> alerts;
  alert_v1::ListAlertsRequest request;
  request.set_parent(kOwn);
  request.set_symbol(symbol_);
  for (std::string state : states_) {
    std::transform(state.begin(), state.end(), state.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    alert_v1::Alert::State parsed = alert_v1::Alert::STATE_UNSPECIFIED;
    if (!alert_v1::Alert::State_Parse("STATE_" + state, &parsed) || parsed == alert_v1::Alert::STATE_UNSPECIFIED) {
      return absl::InvalidArgumentError("--state must be pending, active, waiting, paused, triggered or expired");
    }
    request.add_states(parsed);
  }
  STOCKALERT_RETURN_IF_ERROR(Pages(
      [&](const std::string& token, int size) -> absl::StatusOr<std::string> {
        request.set_page_token(token);
        // A page must be asked for as the first was.
        if (token.empty()) request.set_page_size(size);
        STOCKALERT_ASSIGN_OR_RETURN(
            auto page,
            connection_->Call(connection_->alerts(), &alert_v1::AlertService::StubInterface::ListAlerts, request));
        for (auto& alert : *page.mutable_alerts()) alerts.push_back(std::move(alert));
        return page.next_page_token();
      },
      [&] { return alerts.size(); }));
  PrintAlerts(alerts);
  return absl::OkStatus();
}

absl::Status Run::GetAlert() {
  std::vector<alert_v1::Alert> alerts;
  for (const std::string& name : names_) {
    alert_v1::GetAlertRequest request;
    request.set_name(NameOf(name, "alerts"));
    STOCKALERT_ASSIGN_OR_RETURN(
        auto alert,
        connection_->Call(connection_->alerts(), &alert_v1::AlertService::StubInterface::GetAlert, request));
    alerts.push_back(std::move(alert));
  }
  PrintAlerts(alerts);
  return absl::OkStatus();
}

template <typename Request>
absl::Status Run::ChangeAlerts(::grpc::Status (alert_v1::AlertService::StubInterface::*method)(::grpc::ClientContext*,
                                                                                               const Request&,
                                                                                               alert_v1::Alert*)) {
  std::vector<alert_v1::Alert> alerts;
  absl::Status status;
  for (const std::string& name : names_) {
    Request request;
    request.set_name(NameOf(name, "alerts"));
    auto alert = connection_->Call(connection_->alerts(), method, request);
    status = alert.status();
    if (!status.ok()) break;
    alerts.push_back(*std::move(alert));
  }
  // Those before a failure are changed, and shown so.
  if (!alerts.empty()) PrintAlerts(alerts);
  return status;
}

absl::Status Run::DeleteAlerts() {
  for (const std::string& name : names_) {
    alert_v1::DeleteAlertRequest request;
    request.set_name(NameOf(name, "alerts"));
    STOCKALERT_RETURN_IF_ERROR(
        connection_->Call(connection_->alerts(), &alert_v1::AlertService::StubInterface::DeleteAlert, request)
            .status());
    PrintNotice("deleted " + Clean(IdOf(name)));
  }
  return absl::OkStatus();
}

absl::Status Run::ListTriggers() {
  std::vector<alert_v1::Trigger> triggers;
  alert_v1::ListTriggersRequest request;
  request.set_parent(NameOf(alert_id_.empty() ? "-" : alert_id_, "alerts"));
  STOCKALERT_RETURN_IF_ERROR(Pages(
      [&](const std::string& token, int size) -> absl::StatusOr<std::string> {
        request.set_page_token(token);
        if (token.empty()) request.set_page_size(size);
        STOCKALERT_ASSIGN_OR_RETURN(
            auto page,
            connection_->Call(connection_->alerts(), &alert_v1::AlertService::StubInterface::ListTriggers, request));
        for (auto& trigger : *page.mutable_triggers()) triggers.push_back(std::move(trigger));
        return page.next_page_token();
      },
      [&] { return triggers.size(); }));
  if (terminal_.json) {
    for (const auto& trigger : triggers) terminal_.PrintJson(trigger);
    return absl::OkStatus();
  }
  Table table({"EVENT TIME", "SYMBOL", ">PRICE", ">BEFORE", ">AGAINST", "ALERT", ">NO", ""});
  for (const auto& trigger : triggers) {
    // users/{user}/alerts/{alert}/triggers/{number}
    const std::string alert = trigger.name().substr(0, trigger.name().rfind("/triggers/"));
    table.Add({FormatTime(trigger.event_time()), Cell(trigger.symbol(), Colour::kBold),
               Cell(trigger.price(), Colour::kCyan), trigger.price_before(), trigger.reference(), IdOf(alert),
               absl::StrCat(trigger.number()), Marks(trigger)});
  }
  table.empty() ? PrintNotice("no triggers") : table.Print(terminal_);
  return absl::OkStatus();
}

// --- Notifications
// -----------------------------------------------------------------------------------------------------------

void Run::DeclareNotifications(CLI::App& app) {
  CLI::App* notifications = Command(app, "notifications", "see what happened", {});
  CLI::App* list =
      Command(*notifications, "list", "list your notifications, newest first", [this] { return ListNotifications(); });
  list->add_flag("--unacknowledged", unacknowledged_, "only those that you have not acknowledged");
  list->add_option("--symbol", symbol_, "only on this symbol");
  list->add_option("--alert", alert_id_, "only of this alert");
  list->add_option("--limit", limit_, "at most so many; 0: all")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  CLI::App* watch = Command(*notifications, "watch", "print notifications as they come, until interrupted",
                            [this] { return WatchNotifications(); });
  watch->add_flag("--from_start", from_start_, "begin with your oldest one");
  watch->add_option("--cursor", cursor_, "go on behind this one");
  watch->add_option("--count", count_, "end after so many; 0: never")->check(CLI::Range(0, 1'000'000'000));
  Command(*notifications, "ack", "acknowledge notifications", [this] { return Acknowledge(); })
      ->add_option("notifications", names_, "ids or full names")
      ->required();
}

absl::Status Run::ListNotifications() {
  std::vector<notification_v1::Notification> notifications;
  notification_v1::ListNotificationsRequest request;
  request.set_parent(kOwn);
  request.set_unacknowledged_only(unacknowledged_);
  request.set_symbol(symbol_);
  if (!alert_id_.empty()) request.set_alert(NameOf(alert_id_, "alerts"));
  STOCKALERT_RETURN_IF_ERROR(Pages(
      [&](const std::string& token, int size) -> absl::StatusOr<std::string> {
        request.set_page_token(token);
        if (token.empty()) request.set_page_size(size);
        STOCKALERT_ASSIGN_OR_RETURN(
            auto page,
            connection_->Call(connection_->notifications(),
                              &notification_v1::NotificationService::StubInterface::ListNotifications, request));
        for (auto& notification : *page.mutable_notifications()) notifications.push_back(std::move(notification));
        return page.next_page_token();
      },
      [&] { return notifications.size(); }));
  if (terminal_.json) {
    for (const auto& notification : notifications) terminal_.PrintJson(notification);
    return absl::OkStatus();
  }
  Table table({"EVENT TIME", "SYMBOL", ">PRICE", "WHAT", "NOTE", "SEEN", "NOTIFICATION"});
  for (const auto& notification : notifications) {
    table.Add({FormatTime(notification.event_time()), Cell(notification.symbol(), Colour::kBold),
               Cell(notification.price(), Colour::kCyan),
               notification.summary() + (notification.late() ? " (late)" : "") + (notification.throttled() ? " (throttled)" : ""),
               notification.note(),
               notification.has_acknowledge_time() ? Cell("yes", Colour::kDim) : Cell("no", Colour::kYellow),
               IdOf(notification.name())});
  }
  table.empty() ? PrintNotice("no notifications") : table.Print(terminal_);
  return absl::OkStatus();
}

void Run::PrintNotification(const notification_v1::Notification& notification) {
  ++printed_;
  if (terminal_.json) {
    terminal_.PrintJson(notification);
    return;
  }
  terminal_.out << terminal_.Paint(FormatTime(notification.event_time()), Colour::kDim) << "  "
                << terminal_.Paint(Clean(notification.symbol()), Colour::kBold) << ' ';
  // One that stands for many has none.
  if (!notification.price().empty()) terminal_.out << terminal_.Paint(Clean(notification.price()), Colour::kCyan) << "  ";
  terminal_.out << Clean(notification.summary());
  if (notification.late()) terminal_.out << terminal_.Paint(" (late)", Colour::kYellow);
  if (!notification.note().empty()) terminal_.out << "  " << terminal_.Paint(Clean(notification.note()), Colour::kDim);
  terminal_.out << '\n' << std::flush;
}

bool Run::TakeUpAgain(const absl::Status& status, base::Backoff& backoff) {
  // What a broken connection, a restarting service or the far deadline of a stream looks like.
  if (!status.ok() && !absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return false;
  if (!surroundings_.out.good()) return false;
  if (!terminal_.json)
    terminal_.err << terminal_.Paint("the stream was interrupted; going on...", Colour::kDim) << '\n';
  absl::SleepFor(backoff.Next());
  return true;
}

absl::Status Run::WatchNotifications() {
  base::Backoff backoff({.initial = absl::Milliseconds(200), .maximum = absl::Seconds(5)});
  std::string cursor = cursor_;
  for (;;) {
    ::grpc::ClientContext context;
    connection_->Prepare(context, absl::Now() + kStreamTime);
    notification_v1::WatchNotificationsRequest request;
    request.set_parent(kOwn);
    request.set_cursor(cursor);
    request.set_from_start(from_start_ && cursor.empty());
    auto stream = connection_->notifications().WatchNotifications(&context, request);
    notification_v1::WatchNotificationsResponse response;
    while (stream->Read(&response)) {
      backoff.Reset();
      for (const auto& notification : response.notifications()) {
        PrintNotification(notification);
        if (Enough()) break;
      }
      // A heartbeat may come without one.
      if (!response.cursor().empty()) cursor = response.cursor();
      if (Enough() || !surroundings_.out.good()) {
        context.TryCancel();
        stream->Finish();
        return absl::OkStatus();
      }
    }
    absl::Status status = rpc::FromGrpc(stream->Finish());
    // Without a first answer there may be nobody at all: that is worth an error at once.
    if (cursor.empty() && !status.ok()) return status;
    if (!TakeUpAgain(status, backoff)) return status;
  }
}

absl::Status Run::Acknowledge() {
  for (const std::string& name : names_) {
    notification_v1::AcknowledgeNotificationRequest request;
    request.set_name(NameOf(name, "notifications"));
    STOCKALERT_ASSIGN_OR_RETURN(
        const auto notification,
        connection_->Call(connection_->notifications(),
                          &notification_v1::NotificationService::StubInterface::AcknowledgeNotification, request));
    if (terminal_.json) terminal_.PrintJson(notification);
    PrintNotice("acknowledged " + Clean(IdOf(notification.name())));
  }
  return absl::OkStatus();
}

// --- Quotes
// ------------------------------------------------------------------------------------------------------------------

void Run::DeclareQuotes(CLI::App& app) {
  CLI::App* quotes = Command(app, "quotes", "see and publish prices", {});
  Command(*quotes, "get", "current prices, fetched now", [this] { return GetQuotes(); })
      ->add_option("symbols", names_, "as in AAPL")
      ->required();
  CLI::App* watch =
      Command(*quotes, "watch", "print prices as they come, until interrupted", [this] { return WatchQuotes(); });
  watch->add_option("symbols", names_, "as in AAPL")->required();
  watch->add_option("--count", count_, "end after so many; 0: never")->check(CLI::Range(0, 1'000'000'000));
  CLI::App* publish =
      Command(*quotes, "publish", "publish prices (an administrator's)", [this] { return PublishQuotes(); });
  publish->add_option("symbol", symbol_, "as in AAPL");
  publish->add_option("price", price_, "as in 150.25");
  publish->add_option("--time", time_, "the exchange's time of the price, as in 2026-11-23T15:00:00Z; else now");
  publish->add_option("--session", session_, "else by the time")
      ->check(CLI::IsMember({"pre", "regular", "post", "closed"}));
  publish->add_flag("--stdin", stdin_, "read lines of SYMBOL PRICE [TIME] from standard input instead");
}

std::string TickerNameOf(const std::string& symbol) {
  if (symbol.find('/') != std::string::npos) return symbol;
  std::string upper = symbol;
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return "tickers/" + upper;
}

absl::Status Run::GetQuotes() {
  ticker_v1::BatchGetQuotesRequest request;
  for (const std::string& symbol : names_) request.add_names(TickerNameOf(symbol));
  STOCKALERT_ASSIGN_OR_RETURN(
      const auto response,
      connection_->Call(connection_->tickers(), &ticker_v1::TickerService::StubInterface::BatchGetQuotes, request));
  if (terminal_.json) {
    for (const auto& quote : response.quotes()) terminal_.PrintJson(quote);
    return absl::OkStatus();
  }
  Table table({"SYMBOL", ">PRICE", "EVENT TIME", "SESSION", ">OPEN", ">HIGH", ">LOW", ">CLOSE BEFORE", "SOURCE"});
  for (const auto& quote : response.quotes()) {
    table.Add({Cell(quote.symbol(), Colour::kBold), Cell(quote.price(), Colour::kCyan), FormatTime(quote.event_time()),
               FormatSession(quote.session()), quote.day_open(), quote.day_high(), quote.day_low(),
               quote.previous_close(), quote.source()});
  }
  table.empty() ? PrintNotice("no prices yet") : table.Print(terminal_);
  return absl::OkStatus();
}

absl::Status Run::WatchQuotes() {
  base::Backoff backoff({.initial = absl::Milliseconds(200), .maximum = absl::Seconds(5)});
  ticker_v1::WatchQuotesRequest request;
  for (const std::string& symbol : names_) request.add_names(TickerNameOf(symbol));
  std::map<std::string, std::string> last_shown;
  bool answered = false;
  for (;;) {
    ::grpc::ClientContext context;
    connection_->Prepare(context, absl::Now() + kStreamTime);
    auto stream = connection_->tickers().WatchQuotes(&context, request);
    ticker_v1::WatchQuotesResponse response;
    while (stream->Read(&response)) {
      answered = true;
      backoff.Reset();
      for (const auto& quote : response.quotes()) {
        // A stream begins with the latest known: after an interruption that may have been shown.
        std::string bytes = quote.SerializeAsString();
        if (last_shown[quote.symbol()] == bytes) continue;
        last_shown[quote.symbol()] = std::move(bytes);
        ++printed_;
        if (terminal_.json) {
          terminal_.PrintJson(quote);
        } else {
          terminal_.out << terminal_.Paint(FormatTime(quote.event_time()), Colour::kDim) << "  "
                        << terminal_.Paint(Clean(quote.symbol()), Colour::kBold) << ' '
                        << terminal_.Paint(Clean(quote.price()), Colour::kCyan) << "  "
                        << FormatSession(quote.session()) << '\n'
                        << std::flush;
        }
        if (Enough()) break;
      }
      if (Enough() || !surroundings_.out.good()) {
        context.TryCancel();
        stream->Finish();
        return absl::OkStatus();
      }
    }
    absl::Status status = rpc::FromGrpc(stream->Finish());
    if (!answered && !status.ok()) return status;
    if (!TakeUpAgain(status, backoff)) return status;
  }
}

absl::Status Run::PublishQuotes() {
  constexpr int kBatchMax = 1000;
  ticker_v1::PublishQuotesRequest request;
  int64_t published = 0;
  const auto add = [&](const std::string& symbol, const std::string& price, const std::string& time) -> absl::Status {
    auto& quote = *request.add_quotes();
    quote.set_symbol(symbol);
    quote.set_price(price);
    STOCKALERT_ASSIGN_OR_RETURN(*quote.mutable_event_time(), ParseTime(time.empty() ? "+0s" : time, absl::Now()));
    if (!session_.empty()) {
      std::string session = session_;
      std::transform(session.begin(), session.end(), session.begin(),
                     [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
      quote::v1::Session parsed = quote::v1::SESSION_UNSPECIFIED;
      quote::v1::Session_Parse("SESSION_" + session, &parsed);
      quote.set_session(parsed);
    }
    return absl::OkStatus();
  };
  const auto send = [&]() -> absl::Status {
    if (request.quotes_size() == 0) return absl::OkStatus();
    STOCKALERT_ASSIGN_OR_RETURN(
        const auto response,
        connection_->Call(connection_->tickers(), &ticker_v1::TickerService::StubInterface::PublishQuotes, request));
    published += response.published_count();
    request.clear_quotes();
    return absl::OkStatus();
  };
  if (!stdin_) {
    if (symbol_.empty() || price_.empty()) return absl::InvalidArgumentError("give SYMBOL and PRICE, or --stdin");
    STOCKALERT_RETURN_IF_ERROR(add(symbol_, price_, time_));
  } else {
    std::string line;
    for (int64_t number = 1; std::getline(surroundings_.in, line); ++number) {
      std::istringstream words(line);
      std::string symbol, price, time;
      words >> symbol >> price >> time;
      if (symbol.empty()) continue;
      if (price.empty())
        return absl::InvalidArgumentError(absl::StrCat("line ", number, ": write SYMBOL PRICE [TIME]"));
      STOCKALERT_RETURN_IF_ERROR(add(symbol, price, time));
      if (request.quotes_size() == kBatchMax) STOCKALERT_RETURN_IF_ERROR(send());
    }
  }
  STOCKALERT_RETURN_IF_ERROR(send());
  if (terminal_.json) {
    ticker_v1::PublishQuotesResponse total;
    total.set_published_count(static_cast<int32_t>(std::min<int64_t>(published, INT32_MAX)));
    terminal_.PrintJson(total);
  }
  PrintNotice(absl::StrCat("published ", published));
  return absl::OkStatus();
}

}  // namespace

int RunClient(const std::vector<std::string>& args, const Surroundings& surroundings) {
  return Run(surroundings).Execute(args);
}

}  // namespace stockalert::client
