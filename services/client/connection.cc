#include "services/client/connection.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/tls/files.h"
#include "services/common/trace/trace.h"

namespace stockalert::client {
namespace {

std::string CodeName(absl::StatusCode code) { return absl::StatusCodeToString(code); }

}  // namespace

int ExitCodeOf(const absl::Status& status) {
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

void PrintFailure(const Terminal& terminal, const absl::Status& status) {
  const auto details = base::FindErrorDetails(status);
  const std::string message(status.message());
  if (terminal.json) {
    nlohmann::ordered_json error = {{"code", CodeName(status.code())}, {"message", message}};
    if (details) {
      error["reason"] = details->reason;
      for (const auto& violation : details->violations) {
        error["violations"].push_back({{"field", violation.field}, {"description", violation.description}});
      }
    }
    terminal.err << nlohmann::ordered_json{{"error", error}}.dump(-1, ' ', false,
                                                                  nlohmann::json::error_handler_t::replace)
                 << '\n';
    return;
  }
  // The message of a request with violations is a list of them; they follow a line each.
  const bool listed = details && !details->violations.empty() &&
                      message.find(details->violations.front().description) != std::string::npos;
  terminal.err << terminal.Paint("stockalert:", Colour::kRed) << ' '
               << (listed ? "the request breaks a rule" : Clean(message));
  terminal.err << terminal.Paint(" (" + CodeName(status.code()) +
                                     (details && !details->reason.empty() ? ", " + Clean(details->reason) : "") + ")",
                                 Colour::kDim)
               << '\n';
  if (details) {
    for (const auto& violation : details->violations) {
      terminal.err << "  " << terminal.Paint(Clean(violation.field), Colour::kYellow) << ": "
                   << Clean(violation.description) << '\n';
    }
    if (details->retry_delay) terminal.err << "  try again in " << absl::FormatDuration(*details->retry_delay) << '\n';
  }
  if (status.code() == absl::StatusCode::kUnavailable && !details) {
    terminal.err << "  is the mesh running there? --server and the --..._address flags say where it is, --ca_file and "
                    "--plaintext whether it speaks TLS\n";
  }
  if (status.code() == absl::StatusCode::kUnauthenticated) {
    terminal.err << "  the key comes from --api_key, STOCKALERT_API_KEY or ~/.config/stockalert/config; `stockalert "
                    "register` makes one\n";
  }
}

absl::StatusOr<std::shared_ptr<::grpc::ChannelCredentials>> TlsOf(const Settings& settings) {
  ::grpc::SslCredentialsOptions options;
  if (!settings.ca_file.empty()) {
    STOCKALERT_RETURN_IF_ERROR(tls::CheckAuthorities({"ca_file", settings.ca_file}).status());
    std::ifstream in(settings.ca_file, std::ios::binary);
    options.pem_root_certs.assign(std::istreambuf_iterator<char>(in), {});
  }
  return ::grpc::SslCredentials(options);
}

Connection::Connection(const Settings& settings, std::shared_ptr<::grpc::ChannelCredentials> tls, absl::Duration timeout)
    : settings_(settings), tls_(std::move(tls)), timeout_(timeout) {}

std::unique_ptr<rpc::Peer> Connection::Dial(const std::string& address, const std::string& service,
                                            const std::vector<std::string>& methods) const {
  rpc::PeerOptions options;
  options.address = address;
  options.credentials = SpeaksTls(settings_, address) ? tls_ : ::grpc::InsecureChannelCredentials();
  for (const std::string& method : methods) options.retried.push_back(absl::StrCat(service, "/", method));
  return std::make_unique<rpc::Peer>(options);
}

void Connection::Prepare(::grpc::ClientContext& context, absl::Time deadline) const {
  context.set_deadline(absl::ToChronoTime(deadline));
  context.AddMetadata(trace::kTraceparent, trace::NewRoot().Traceparent());
  if (!settings_.api_key.empty()) context.AddMetadata("authorization", "Bearer " + settings_.api_key);
}

user::v1::UserService::StubInterface& Connection::users() {
  if (!users_) {
    user_peer_ = Dial(settings_.user_address, "stockalert.user.v1.UserService",
                      {"RegisterUser", "GetUser", "FollowTicker", "ListFollowedTickers"});
    users_ = user::v1::UserService::NewStub(user_peer_->channel());
  }
  return *users_;
}

ticker::v1::TickerService::StubInterface& Connection::tickers() {
  if (!tickers_) {
    // Not PublishQuotes: what is published twice is two prices.
    ticker_peer_ = Dial(settings_.ticker_address, "stockalert.ticker.v1.TickerService",
                        {"BatchGetQuotes", "ListTickers", "WatchQuotes"});
    tickers_ = ticker::v1::TickerService::NewStub(ticker_peer_->channel());
  }
  return *tickers_;
}

alert::v1::AlertService::StubInterface& Connection::alerts() {
  if (!alerts_) {
    alert_peer_ = Dial(settings_.alert_address, "stockalert.alert.v1.AlertService",
                       {"CreateAlert", "GetAlert", "ListAlerts", "PauseAlert", "ResumeAlert", "ListTriggers"});
    alerts_ = alert::v1::AlertService::NewStub(alert_peer_->channel());
  }
  return *alerts_;
}

notification::v1::NotificationService::StubInterface& Connection::notifications() {
  if (!notifications_) {
    notifier_peer_ = Dial(settings_.notifier_address, "stockalert.notification.v1.NotificationService",
                          {"ListNotifications", "WatchNotifications", "AcknowledgeNotification"});
    notifications_ = notification::v1::NotificationService::NewStub(notifier_peer_->channel());
  }
  return *notifications_;
}

}  // namespace stockalert::client
