// All public services, and a user's home with what the client prints there.
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "services/common/base/error.h"
#include "services/common/grpc/status_convert.h"
#include "services/tools/client/client.h"
#include "stockalert/alert/v1/alert.grpc.pb.h"
#include "stockalert/notification/v1/destination.grpc.pb.h"
#include "stockalert/notification/v1/notification.grpc.pb.h"
#include "stockalert/ticker/v1/ticker.grpc.pb.h"
#include "stockalert/user/v1/user.grpc.pb.h"

namespace stockalert::client {

namespace user_v1 = ::stockalert::user::v1;
namespace ticker_v1 = ::stockalert::ticker::v1;
namespace alert_v1 = ::stockalert::alert::v1;
namespace notification_v1 = ::stockalert::notification::v1;

inline constexpr char kKey[] = "sak_0123456789012345678901234567890123456789abc";

// All public services on one port, with just enough behind them, and a record of what was called.
class FakeMesh final : public user_v1::UserService::Service,
                       public ticker_v1::TickerService::Service,
                       public alert_v1::AlertService::Service,
                       public notification_v1::NotificationService::Service,
                       public notification_v1::DestinationService::Service {
 public:
  FakeMesh() {
    ::grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", ::grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(static_cast<user_v1::UserService::Service*>(this));
    builder.RegisterService(static_cast<ticker_v1::TickerService::Service*>(this));
    builder.RegisterService(static_cast<alert_v1::AlertService::Service*>(this));
    builder.RegisterService(static_cast<notification_v1::NotificationService::Service*>(this));
    builder.RegisterService(static_cast<notification_v1::DestinationService::Service*>(this));
    std::vector<std::unique_ptr<::grpc::experimental::ServerInterceptorFactoryInterface>> recorders;
    recorders.push_back(std::make_unique<CallRecorders>(*this));
    builder.experimental().SetInterceptorCreators(std::move(recorders));
    server_ = builder.BuildAndStart();
  }
  ~FakeMesh() override { server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(200)); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  static ::grpc::Status Allowed(const ::grpc::ServerContext& context) {
    const auto key = context.client_metadata().find("authorization");
    if (key != context.client_metadata().end() && key->second == std::string("Bearer ") + kKey)
      return ::grpc::Status::OK;
    return rpc::ToGrpc(base::Unauthenticated("API_KEY_INVALID", "the API key is not known"));
  }

  ::grpc::Status RegisterUser(::grpc::ServerContext*, const user_v1::RegisterUserRequest* request,
                              user_v1::RegisterUserResponse* response) override {
    *response->mutable_user() = request->user();
    response->mutable_user()->set_name("users/1");
    response->set_secret(kKey);
    return ::grpc::Status::OK;
  }
  ::grpc::Status FollowTicker(::grpc::ServerContext* context, const user_v1::FollowTickerRequest* request,
                              user_v1::FollowedTicker* response) override {
    if (const auto allowed = Allowed(*context); !allowed.ok()) return allowed;
    response->set_symbol(request->symbol());
    return ::grpc::Status::OK;
  }
  ::grpc::Status CreateAlert(::grpc::ServerContext* context, const alert_v1::CreateAlertRequest* request,
                             alert_v1::Alert* response) override {
    if (const auto allowed = Allowed(*context); !allowed.ok()) return allowed;
    if (request->alert().condition().price_target().price() == "-1") {
      base::FieldViolations violations;
      violations.Add("alert.condition.price_target.price", "must be above 0");
      violations.Add("alert.note", "must not hold \x1b[31mcolours");
      return rpc::ToGrpc(violations.ToStatus());
    }
    *response = request->alert();
    if (request->validate_only()) return ::grpc::Status::OK;
    response->set_name("users/1/alerts/" + request->request_id());
    response->set_state(alert_v1::Alert::STATE_PENDING);
    std::lock_guard lock(mutex_);
    created_[response->name()] = *response;
    return ::grpc::Status::OK;
  }
  // All or none; what a request id has made is there already.
  ::grpc::Status BatchCreateAlerts(::grpc::ServerContext*, const alert_v1::BatchCreateAlertsRequest* request,
                                   alert_v1::BatchCreateAlertsResponse* response) override {
    base::FieldViolations violations;
    for (int i = 0; i < request->requests_size(); ++i) {
      if (request->requests(i).alert().note() != "refuse me") continue;
      violations.Add("requests[" + std::to_string(i) + "].alert.note", "must be kind");
    }
    if (!violations.ok()) return rpc::ToGrpc(violations.ToStatus());
    std::lock_guard lock(mutex_);
    batch_sizes_.push_back(request->requests_size());
    for (const auto& one : request->requests()) {
      alert_v1::Alert& alert = imported_[one.request_id()];
      alert = one.alert();
      alert.set_name("users/1/alerts/" + one.request_id());
      *response->add_alerts() = alert;
    }
    return ::grpc::Status::OK;
  }
  ::grpc::Status UpdateAlert(::grpc::ServerContext*, const alert_v1::UpdateAlertRequest* request,
                             alert_v1::Alert* response) override {
    *response = request->alert();
    response->set_symbol("AAPL");
    response->set_state(alert_v1::Alert::STATE_ACTIVE);
    std::lock_guard lock(mutex_);
    changes_.push_back(*request);
    return ::grpc::Status::OK;
  }
  ::grpc::Status PauseAlert(::grpc::ServerContext*, const alert_v1::PauseAlertRequest* request,
                            alert_v1::Alert* response) override {
    response->set_name(request->name());
    response->set_state(alert_v1::Alert::STATE_PAUSED);
    return ::grpc::Status::OK;
  }
  ::grpc::Status GetUser(::grpc::ServerContext* context, const user_v1::GetUserRequest*,
                         user_v1::User* response) override {
    if (const auto allowed = Allowed(*context); !allowed.ok()) return allowed;
    response->set_name("users/1");
    response->set_email("ada@example.com");
    return ::grpc::Status::OK;
  }
  ::grpc::Status GetTicker(::grpc::ServerContext*, const ticker_v1::GetTickerRequest* request,
                           ticker_v1::Ticker* response) override {
    response->set_name(request->name());
    response->mutable_latest_quote()->set_price("149.5");
    response->mutable_latest_quote()->set_session(quote::v1::SESSION_REGULAR);
    return ::grpc::Status::OK;
  }
  // Three minutes that rise from 1 to 3; of a symbol with a start, the last alone.
  ::grpc::Status ListBars(::grpc::ServerContext*, const ticker_v1::ListBarsRequest* request,
                          ticker_v1::ListBarsResponse* response) override {
    for (int minute = 3; minute >= (request->has_start_time() ? 3 : 1); --minute) {
      ticker_v1::Bar& bar = *response->add_bars();
      bar.mutable_start_time()->set_seconds(1'767'366'000 + minute * 60);
      bar.set_open("0.5");
      bar.set_high("9");
      bar.set_low("0.25");
      bar.set_close(std::to_string(minute));
    }
    return ::grpc::Status::OK;
  }
  ::grpc::Status ListAlerts(::grpc::ServerContext*, const alert_v1::ListAlertsRequest* request,
                            alert_v1::ListAlertsResponse* response) override {
    const int begin = request->page_token().empty() ? 0 : std::stoi(request->page_token());
    for (int i = begin; i < begin + 2 && i < 5; ++i) {
      alert_v1::Alert& alert = *response->add_alerts();
      alert.set_name("users/1/alerts/a" + std::to_string(i));
      alert.set_symbol("AAPL");
      alert.mutable_condition()->mutable_price_target()->set_comparison(alert_v1::PriceTarget::COMPARISON_AT_OR_ABOVE);
      alert.mutable_condition()->mutable_price_target()->set_price("150.25");
      alert.set_state(alert_v1::Alert::STATE_ACTIVE);
      alert.set_trigger_policy(alert_v1::Alert::TRIGGER_POLICY_ONCE);
    }
    if (begin + 2 < 5) response->set_next_page_token(std::to_string(begin + 2));
    return ::grpc::Status::OK;
  }
  // What was created has its place among the prices by now; a3 waits.
  ::grpc::Status ExplainAlert(::grpc::ServerContext*, const alert_v1::ExplainAlertRequest* request,
                              alert_v1::AlertExplanation* response) override {
    using Explanation = alert_v1::AlertExplanation;
    response->set_name(request->name());
    response->set_symbol("AAPL");
    response->set_readiness(Explanation::READINESS_READY);
    response->set_detail("ready: the next price at or above 105 triggers it");
    auto& change = *response->mutable_condition()->mutable_percent_change();
    change.set_direction(alert_v1::PercentChange::DIRECTION_UP);
    change.set_percent("5");
    change.set_reference(alert_v1::PercentChange::REFERENCE_ARMING);
    response->mutable_last_price()->set_price("102");
    Explanation::Side& side = *response->add_sides();
    side.set_readiness(Explanation::READINESS_READY);
    side.set_reference("100");
    Explanation::PriceRange& range = *side.add_trigger_ranges();
    range.set_low("105");
    range.set_distance("3");
    range.set_distance_percent("2.9412");
    response->set_partition(7);
    response->set_next_offset(42);
    return ::grpc::Status::OK;
  }
  ::grpc::Status GetAlert(::grpc::ServerContext*, const alert_v1::GetAlertRequest* request,
                          alert_v1::Alert* response) override {
    std::lock_guard lock(mutex_);
    if (const auto found = created_.find(request->name()); found != created_.end()) {
      *response = found->second;
      response->set_state(alert_v1::Alert::STATE_ACTIVE);
      return ::grpc::Status::OK;
    }
    if (request->name() == "users/1/alerts/a3") {
      response->set_name(request->name());
      response->set_symbol("AAPL");
      alert_v1::PercentChange& change = *response->mutable_condition()->mutable_percent_change();
      change.set_direction(alert_v1::PercentChange::DIRECTION_UP);
      change.set_percent("5");
      change.set_reference(alert_v1::PercentChange::REFERENCE_PREVIOUS_CLOSE);
      response->set_trigger_policy(alert_v1::Alert::TRIGGER_POLICY_REPEAT);
      response->set_creation_policy(alert_v1::Alert::CREATION_POLICY_WAIT_FOR_CROSS);
      response->set_sessions(alert_v1::Alert::SESSIONS_EXTENDED);
      response->set_state(alert_v1::Alert::STATE_WAITING);
      response->set_revision(3);
      response->set_applied_revision(2);
      return ::grpc::Status::OK;
    }
    return rpc::ToGrpc(base::NotFound("ALERT_NOT_FOUND", "no alert " + request->name()));
  }
  // One notification a stream, then the connection breaks or the server shuts down.
  ::grpc::Status WatchNotifications(
      ::grpc::ServerContext*, const notification_v1::WatchNotificationsRequest* request,
      ::grpc::ServerWriter<notification_v1::WatchNotificationsResponse>* writer) override {
    const int next = request->cursor().empty() ? 0 : std::stoi(request->cursor());
    notification_v1::WatchNotificationsResponse response;
    notification_v1::Notification& notification = *response.add_notifications();
    notification.set_name("users/1/notifications/n" + std::to_string(next));
    notification.set_kind(notification_v1::Notification::KIND_TRIGGER);
    notification.set_alert("users/1/alerts/a3");
    notification.set_trigger("users/1/alerts/a3/triggers/" + std::to_string(next + 1));
    notification.set_symbol("AAPL");
    notification.set_price(std::to_string(100 + next));
    notification.set_summary("AAPL at or above 100");
    response.set_cursor(std::to_string(next + 1));
    writer->Write(response);
    if (next % 2 == 1) return {::grpc::StatusCode::CANCELLED, "the server shuts down"};
    return {::grpc::StatusCode::UNAVAILABLE, "the service is restarting"};
  }
  ::grpc::Status PublishQuotes(::grpc::ServerContext*, const ticker_v1::PublishQuotesRequest* request,
                               ticker_v1::PublishQuotesResponse* response) override {
    std::lock_guard lock(mutex_);
    for (const auto& quote : request->quotes()) {
      published_.push_back(quote);
      auto& outcome = *response->add_outcomes();
      // 13 is bad luck.
      outcome.set_verdict(quote.price() == "13" ? ticker_v1::QuoteOutcome::VERDICT_LATE
                                                : ticker_v1::QuoteOutcome::VERDICT_ACCEPTED);
      outcome.set_counts_for_no_alert(quote.session() == quote::v1::SESSION_CLOSED);
    }
    response->set_published_count(request->quotes_size());
    return ::grpc::Status::OK;
  }
  // A destination verifies itself when it is read for the third time; one whose URL says "broken" never does.
  ::grpc::Status CreateDestination(::grpc::ServerContext* context,
                                   const notification_v1::CreateDestinationRequest* request,
                                   notification_v1::CreateDestinationResponse* response) override {
    if (const auto allowed = Allowed(*context); !allowed.ok()) return allowed;
    if (request->destination().webhook().url() == "http://10.0.0.1/") {
      base::FieldViolations violations;
      violations.Add("destination.webhook.url", "must begin with https://");
      return rpc::ToGrpc(violations.ToStatus());
    }
    std::lock_guard lock(mutex_);
    destination_ = request->destination();
    destination_.set_name("users/1/destinations/d1");
    destination_.set_state(destination_.email().address() == "own@example.com"
                               ? notification_v1::Destination::STATE_ACTIVE
                               : notification_v1::Destination::STATE_UNVERIFIED);
    created_destinations_.push_back(*request);
    if (destination_.has_webhook()) {
      destination_.mutable_webhook()->set_url_shown("https://hooks.example.com/…");
      destination_.mutable_webhook()->set_public_key("whpk_PUBLIC");
      response->set_secret("whsec_SECRET");
    }
    *response->mutable_destination() = destination_;
    return ::grpc::Status::OK;
  }
  // The code RIGHTONE is right.
  ::grpc::Status VerifyDestination(::grpc::ServerContext*, const notification_v1::VerifyDestinationRequest* request,
                                   notification_v1::Destination* response) override {
    std::lock_guard lock(mutex_);
    if (!request->code().empty() && request->code() != "RIGHTONE") {
      base::FieldViolations violations;
      violations.Add("code", "is not the code of the last verification", "WRONG_CODE");
      return rpc::ToGrpc(violations.ToStatus());
    }
    if (!request->code().empty()) destination_.set_state(notification_v1::Destination::STATE_ACTIVE);
    destination_.set_name(request->name());
    *response = destination_;
    return ::grpc::Status::OK;
  }
  ::grpc::Status GetDestination(::grpc::ServerContext*, const notification_v1::GetDestinationRequest*,
                                notification_v1::Destination* response) override {
    std::lock_guard lock(mutex_);
    const bool broken = destination_.webhook().url().find("broken") != std::string::npos;
    if (++destination_reads_ == 3 && !broken) destination_.set_state(notification_v1::Destination::STATE_ACTIVE);
    *response = destination_;
    return ::grpc::Status::OK;
  }
  ::grpc::Status ListDestinations(::grpc::ServerContext*, const notification_v1::ListDestinationsRequest*,
                                  notification_v1::ListDestinationsResponse* response) override {
    for (const char* id : {"d1", "e1", "e2"}) {
      notification_v1::Destination& destination = *response->add_destinations();
      destination.set_name(std::string("users/1/destinations/") + id);
      destination.set_display_name("desk");
      destination.mutable_webhook()->set_url_shown("https://hooks.example.com/…");
      destination.set_state(notification_v1::Destination::STATE_DISABLED);
      destination.set_disable_reason(notification_v1::Destination::DISABLE_REASON_GONE);
    }
    return ::grpc::Status::OK;
  }
  ::grpc::Status GetNotificationSettings(::grpc::ServerContext*,
                                         const notification_v1::GetNotificationSettingsRequest* request,
                                         notification_v1::NotificationSettings* response) override {
    response->set_name(request->name());
    response->set_time_zone("Europe/Berlin");
    auto& hours = *response->add_quiet_hours();
    hours.add_days(notification_v1::NotificationSettings::DAY_SATURDAY);
    hours.add_days(notification_v1::NotificationSettings::DAY_SUNDAY);
    hours.set_start_time("22:00");
    hours.set_end_time("09:00");
    return ::grpc::Status::OK;
  }
  ::grpc::Status UpdateNotificationSettings(::grpc::ServerContext*,
                                            const notification_v1::UpdateNotificationSettingsRequest* request,
                                            notification_v1::NotificationSettings* response) override {
    if (request->settings().time_zone() == "Mars") {
      base::FieldViolations violations;
      violations.Add("settings.time_zone", "must be a name");
      return rpc::ToGrpc(violations.ToStatus());
    }
    *response = request->settings();
    std::lock_guard lock(mutex_);
    settings_changes_.push_back(*request);
    return ::grpc::Status::OK;
  }
  std::vector<notification_v1::UpdateNotificationSettingsRequest> settings_changes() {
    std::lock_guard lock(mutex_);
    return settings_changes_;
  }
  ::grpc::Status UpdateDestination(::grpc::ServerContext*, const notification_v1::UpdateDestinationRequest* request,
                                   notification_v1::Destination* response) override {
    *response = request->destination();
    response->set_state(notification_v1::Destination::STATE_ACTIVE);
    std::lock_guard lock(mutex_);
    destination_changes_.push_back(*request);
    return ::grpc::Status::OK;
  }
  ::grpc::Status SendTestNotification(::grpc::ServerContext*, const notification_v1::SendTestNotificationRequest*,
                                      notification_v1::Delivery* response) override {
    response->set_name("users/1/deliveries/v1");
    response->set_state(notification_v1::Delivery::STATE_QUEUED);
    return ::grpc::Status::OK;
  }
  ::grpc::Status ListDeliveries(::grpc::ServerContext*, const notification_v1::ListDeliveriesRequest* request,
                                notification_v1::ListDeliveriesResponse* response) override {
    std::lock_guard lock(mutex_);
    asked_deliveries_.push_back(*request);
    notification_v1::Delivery& delivery = *response->add_deliveries();
    delivery.set_name("users/1/deliveries/v1");
    delivery.set_kind(notification_v1::Delivery::KIND_VERIFICATION);
    delivery.set_state(notification_v1::Delivery::STATE_QUEUED);
    if (destination_.webhook().url().find("broken") != std::string::npos ||
        destination_.slack().webhook_url().find("broken") != std::string::npos) {
      delivery.set_last_error("it answered 404");
    } else if (destination_.kind_case() != notification_v1::Destination::kWebhook) {
      delivery.set_state(notification_v1::Delivery::STATE_SUCCEEDED);
    }
    return ::grpc::Status::OK;
  }
  // Two attempts failed, the next is due.
  ::grpc::Status GetDelivery(::grpc::ServerContext*, const notification_v1::GetDeliveryRequest* request,
                             notification_v1::Delivery* response) override {
    response->set_name(request->name());
    response->set_destination("users/1/destinations/d1");
    response->set_kind(notification_v1::Delivery::KIND_NOTIFICATION);
    response->set_state(notification_v1::Delivery::STATE_QUEUED);
    response->set_attempt_count(2);
    response->set_webhook_id("msg_1");
    response->set_last_error("it answered 503");
    response->mutable_next_attempt_time()->set_seconds(1'800'000'065);
    for (const int number : {2, 1}) {
      notification_v1::DeliveryAttempt& attempt = *response->add_attempts();
      attempt.set_number(number);
      attempt.mutable_start_time()->set_seconds(1'800'000'000 + (number == 2 ? 5 : 0));
      attempt.mutable_duration()->set_nanos(23'456'789);
      attempt.set_http_status(503);
      attempt.set_error("it answered 503");
      attempt.set_answer("busy \x1b[31mnow");
    }
    return ::grpc::Status::OK;
  }
  // Three, then none are left.
  ::grpc::Status ReplayDeliveries(::grpc::ServerContext*, const notification_v1::ReplayDeliveriesRequest* request,
                                  notification_v1::ReplayDeliveriesResponse* response) override {
    std::lock_guard lock(mutex_);
    replays_.push_back(*request);
    response->set_replayed_count(replays_.size() == 1 ? 3 : 0);
    return ::grpc::Status::OK;
  }
  size_t created_count() {
    std::lock_guard lock(mutex_);
    return created_.size();
  }
  std::vector<notification_v1::CreateDestinationRequest> created_destinations() {
    std::lock_guard lock(mutex_);
    return created_destinations_;
  }
  std::vector<notification_v1::UpdateDestinationRequest> destination_changes() {
    std::lock_guard lock(mutex_);
    return destination_changes_;
  }
  std::vector<notification_v1::ListDeliveriesRequest> asked_deliveries() {
    std::lock_guard lock(mutex_);
    return asked_deliveries_;
  }
  std::vector<notification_v1::ReplayDeliveriesRequest> replays() {
    std::lock_guard lock(mutex_);
    return replays_;
  }
  std::vector<quote::v1::Quote> published() {
    std::lock_guard lock(mutex_);
    return published_;
  }
  std::vector<alert_v1::UpdateAlertRequest> changes() {
    std::lock_guard lock(mutex_);
    return changes_;
  }
  std::vector<int> batch_sizes() {
    std::lock_guard lock(mutex_);
    return batch_sizes_;
  }
  size_t imported_count() {
    std::lock_guard lock(mutex_);
    return imported_.size();
  }
  // By their full names in the protos.
  bool WasCalled(const std::string& method) {
    std::lock_guard lock(mutex_);
    return called_.count(method) > 0;
  }

 private:
  class CallRecorder final : public ::grpc::experimental::Interceptor {
    void Intercept(::grpc::experimental::InterceptorBatchMethods* methods) override { methods->Proceed(); }
  };
  class CallRecorders final : public ::grpc::experimental::ServerInterceptorFactoryInterface {
   public:
    explicit CallRecorders(FakeMesh& mesh) : mesh_(mesh) {}
    ::grpc::experimental::Interceptor* CreateServerInterceptor(::grpc::experimental::ServerRpcInfo* info) override {
      // "/stockalert.user.v1.UserService/GetUser"
      std::string method = std::string(info->method()).substr(1);
      std::replace(method.begin(), method.end(), '/', '.');
      std::lock_guard lock(mesh_.mutex_);
      mesh_.called_.insert(method);
      return new CallRecorder;
    }

   private:
    FakeMesh& mesh_;
  };

  int port_ = 0;
  std::unique_ptr<::grpc::Server> server_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::set<std::string> called_;
  std::map<std::string, alert_v1::Alert> created_;  // By name.
  std::vector<notification_v1::CreateDestinationRequest> created_destinations_;
  std::map<std::string, alert_v1::Alert> imported_;  // By request id.
  std::vector<alert_v1::UpdateAlertRequest> changes_;
  std::vector<int> batch_sizes_;
  std::vector<quote::v1::Quote> published_;
  notification_v1::Destination destination_;
  int destination_reads_ = 0;
  std::vector<notification_v1::UpdateDestinationRequest> destination_changes_;
  std::vector<notification_v1::UpdateNotificationSettingsRequest> settings_changes_;
  std::vector<notification_v1::ListDeliveriesRequest> asked_deliveries_;
  std::vector<notification_v1::ReplayDeliveriesRequest> replays_;
};

struct Ran {
  int code = 0;
  std::string out;
  std::string err;
};

struct Home {
  std::string path = std::filesystem::temp_directory_path() /
                     ("stockalert-client-" + std::to_string(getpid()) + "-" + std::to_string(++made));
  std::map<std::string, std::string> variables;
  static inline int made = 0;
  Home() {
    std::filesystem::create_directories(path);
    variables["HOME"] = path;
  }
  ~Home() { std::filesystem::remove_all(path); }
  std::string file() const { return path + "/.config/stockalert/config"; }

  Ran Run(const std::vector<std::string>& args, const std::string& in_text = "", bool is_terminal = false,
          size_t columns = 0) {
    std::istringstream in(in_text);
    std::ostringstream out, err;
    Ran ran;
    ran.code =
        RunClient(args, {in, out, err, is_terminal,
                         [this](const std::string& name) -> std::optional<std::string> {
                           const auto found = variables.find(name);
                           return found == variables.end() ? std::nullopt : std::optional<std::string>(found->second);
                         },
                         columns});
    ran.out = out.str();
    ran.err = err.str();
    return ran;
  }
  void Use(const FakeMesh& mesh) {
    for (const char* name : {"USER", "TICKER", "ALERT", "NOTIFIER"})
      variables[std::string("STOCKALERT_") + name + "_ADDRESS"] = mesh.address();
  }
};

}  // namespace stockalert::client
