#include "services/tools/client/connection.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/tls/files.h"
#include "services/common/trace/trace.h"
#include "services/tools/client/usage.h"

namespace stockalert::client {
namespace {

std::string CodeName(absl::StatusCode code) { return absl::StatusCodeToString(code); }

std::string JsonOf(const absl::Status& status, const base::ErrorDetails& details, const FlagOfField& flag_of) {
  nlohmann::ordered_json error = {{"code", CodeName(status.code())}, {"message", std::string(status.message())}};
  if (!details.reason.empty()) error["reason"] = details.reason;
  if (const auto found = details.metadata.find("suggestion"); IsWrongUsage(status) && found != details.metadata.end()) {
    error["suggestion"] = found->second;
  }
  for (const auto& violation : details.violations) {
    nlohmann::ordered_json one = {{"field", violation.field}};
    if (const std::string flag = flag_of ? flag_of(violation.field) : ""; !flag.empty()) one["flag"] = flag;
    one["description"] = violation.description;
    error["violations"].push_back(std::move(one));
  }
  return nlohmann::ordered_json{{"error", error}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// What people can do about it.
void PrintHint(const Terminal& terminal, const absl::Status& status, const base::ErrorDetails& details) {
  if (IsWrongUsage(status)) {
    if (const auto help = details.metadata.find("help"); help != details.metadata.end()) {
      terminal.err << "  `" << help->second << "` tells more\n";
    }
  } else if (absl::IsUnavailable(status) && details.reason.empty()) {
    terminal.err << "  is the mesh running there? --server and the --..._address flags say where it is, --ca_file and "
                    "--plaintext whether it speaks TLS\n";
  } else if (absl::IsUnauthenticated(status)) {
    terminal.err << "  the key comes from --api_key, STOCKALERT_API_KEY or ~/.config/stockalert/config; `stockalert "
                    "register` makes one, `stockalert login` keeps one\n";
  }
}

}  // namespace

int ExitCodeOf(const absl::Status& status) {
  if (IsWrongUsage(status)) return kWrongUsage;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kDone;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return kNotAllowed;
    case absl::StatusCode::kNotFound:
      return kNotThere;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kResourceExhausted:
      return kRefused;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kNotReachable;
    default:
      return kFailed;
  }
}

FlagOfField FlagsOfFields(std::map<std::string, std::string> flags) {
  return [flags = std::move(flags)](const std::string& field) {
    std::string plain;
    bool in_index = false;
    for (const char c : field) {
      if (c == '[') in_index = true;
      if (!in_index) plain += c;
      if (c == ']') in_index = false;
    }
    const auto found = flags.find(plain);
    return found == flags.end() ? std::string() : found->second;
  };
}

void PrintFailure(const Terminal& terminal, const absl::Status& status, const FlagOfField& flag_of) {
  const base::ErrorDetails details = base::FindErrorDetails(status).value_or(base::ErrorDetails());
  if (terminal.json) {
    terminal.err << JsonOf(status, details, flag_of) << '\n';
    return;
  }
  const std::string message(status.message());
  // The message of a request with violations is a list of them; they follow a line each.
  const bool listed =
      !details.violations.empty() && message.find(details.violations.front().description) != std::string::npos;
  terminal.err << terminal.Paint("stockalert:", Colour::kRed) << ' '
               << (listed ? "the request breaks a rule" : Clean(message));
  if (!IsWrongUsage(status)) {
    const std::string reason = details.reason.empty() ? "" : ", " + Clean(details.reason);
    terminal.err << terminal.Paint(" (" + CodeName(status.code()) + reason + ")", Colour::kDim);
  }
  terminal.err << '\n';
  for (const auto& violation : details.violations) {
    const std::string flag = flag_of ? flag_of(violation.field) : "";
    terminal.err << "  " << terminal.Paint(flag.empty() ? Clean(violation.field) : flag, Colour::kYellow) << ": "
                 << Clean(violation.description) << '\n';
  }
  if (details.retry_delay) terminal.err << "  try again in " << absl::FormatDuration(*details.retry_delay) << '\n';
  PrintHint(terminal, status, details);
}

absl::StatusOr<std::shared_ptr<::grpc::ChannelCredentials>> TlsOf(const ClientSettings& settings) {
  ::grpc::SslCredentialsOptions options;
  if (!settings.ca_file.empty()) {
    STOCKALERT_RETURN_IF_ERROR(tls::CheckAuthorities({"ca_file", settings.ca_file}).status());
    std::ifstream in(settings.ca_file, std::ios::binary);
    options.pem_root_certs.assign(std::istreambuf_iterator<char>(in), {});
  }
  return ::grpc::SslCredentials(options);
}

MeshConnection::MeshConnection(const ClientSettings& settings, std::shared_ptr<::grpc::ChannelCredentials> tls,
                               absl::Duration timeout)
    : settings_(settings), tls_(std::move(tls)), timeout_(timeout) {}

std::unique_ptr<rpc::Peer> MeshConnection::Dial(const std::string& address, const std::string& service,
                                                const std::vector<std::string>& methods) const {
  rpc::PeerOptions options;
  options.address = address;
  options.credentials = SpeaksTls(settings_, address) ? tls_ : ::grpc::InsecureChannelCredentials();
  for (const std::string& method : methods) options.retried.push_back(absl::StrCat(service, "/", method));
  return std::make_unique<rpc::Peer>(options);
}

void MeshConnection::Prepare(::grpc::ClientContext& context, absl::Time deadline) const {
  context.set_deadline(absl::ToChronoTime(deadline));
  context.AddMetadata(trace::kTraceparent, trace::NewRoot().Traceparent());
  if (!settings_.api_key.empty()) context.AddMetadata("authorization", "Bearer " + settings_.api_key);
}

user::v1::UserService::StubInterface& MeshConnection::users() {
  if (!users_) {
    user_peer_ = Dial(settings_.user_address, "stockalert.user.v1.UserService",
                      {"RegisterUser", "GetUser", "ListUsers", "CreateApiKey", "ListApiKeys", "RevokeApiKey",
                       "FollowTicker", "ListFollowedTickers"});
    users_ = user::v1::UserService::NewStub(user_peer_->channel());
  }
  return *users_;
}

ticker::v1::TickerService::StubInterface& MeshConnection::tickers() {
  if (!tickers_) {
    // Not PublishQuotes: what is published twice is two prices.
    ticker_peer_ = Dial(settings_.ticker_address, "stockalert.ticker.v1.TickerService",
                        {"RegisterTicker", "BatchRegisterTickers", "GetTicker", "ListTickers", "GetQuote",
                         "BatchGetQuotes", "WatchQuotes", "DeclareSplit", "ListSplits", "HoldSymbol", "DismissSplit"});
    tickers_ = ticker::v1::TickerService::NewStub(ticker_peer_->channel());
  }
  return *tickers_;
}

alert::v1::AlertService::StubInterface& MeshConnection::alerts() {
  if (!alerts_) {
    alert_peer_ = Dial(settings_.alert_address, "stockalert.alert.v1.AlertService",
                       {"CreateAlert", "BatchCreateAlerts", "GetAlert", "ListAlerts", "PauseAlert", "ResumeAlert",
                        "ListTriggers", "ResyncAlerts", "ExplainAlert"});
    alerts_ = alert::v1::AlertService::NewStub(alert_peer_->channel());
  }
  return *alerts_;
}

notification::v1::NotificationService::StubInterface& MeshConnection::notifications() {
  if (!notifications_) {
    notifier_peer_ =
        Dial(settings_.notifier_address, "stockalert.notification.v1.NotificationService",
             {"ListNotifications", "WatchNotifications", "AcknowledgeNotification", "GetNotificationSettings"});
    notifications_ = notification::v1::NotificationService::NewStub(notifier_peer_->channel());
  }
  return *notifications_;
}

notification::v1::DestinationService::StubInterface& MeshConnection::destinations() {
  if (!destinations_) {
    // Not what sends something, or makes new secrets: VerifyDestination, SendTestNotification, RotateDestinationSecret.
    delivery_peer_ = Dial(settings_.notifier_address, "stockalert.notification.v1.DestinationService",
                          {"CreateDestination", "GetDestination", "ListDestinations", "ListDeliveries", "GetDelivery",
                           "CancelDeliveries"});
    destinations_ = notification::v1::DestinationService::NewStub(delivery_peer_->channel());
  }
  return *destinations_;
}

}  // namespace stockalert::client
