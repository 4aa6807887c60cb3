#include "services/notifier/notification_service.h"

#include <charconv>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/page_token.h"
#include "services/common/grpc/resource_name.h"
#include "services/domain/market/symbol.h"
#include "services/notifier/notification_convert.h"
#include "services/notifier/settings/settings_convert.h"

namespace stockalert::notifier {
namespace {

namespace npb = ::stockalert::notification::v1;
using rpc::Access;
using rpc::CallContext;
using WatchStream = rpc::Stream<npb::WatchNotificationsResponse>;

// Responses of a page each that may wait for a client that reads slowly.
constexpr size_t kWatchQueueMax = 4;

npb::WatchNotificationsResponse ToResponse(const std::vector<StoredNotification>& notifications,
                                           const std::string& cursor) {
  npb::WatchNotificationsResponse response;
  for (const StoredNotification& stored : notifications) *response.add_notifications() = ToNotification(stored);
  response.set_cursor(cursor);
  return response;
}

class StreamClient final : public WatchClient {
 public:
  explicit StreamClient(std::shared_ptr<WatchStream> stream) : stream_(std::move(stream)) {}
  bool HasRoom() override { return stream_->free_space() > 0; }
  bool Send(const std::vector<StoredNotification>& notifications) override {
    const StoredNotification& last = notifications.back();
    return stream_->TryPush(ToResponse(notifications, EncodeCursor(last.user_id, last.sequence)));
  }

 private:
  const std::shared_ptr<WatchStream> stream_;
};

// The user of "users/{user}".
absl::StatusOr<std::string> UserOf(const rpc::Caller& caller, const std::string& parent) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> segments,
                              rpc::ParseOwnName(caller, "users/{user}", parent, "parent", "USER_NOT_FOUND"));
  return segments[0];
}

// The user of "users/{user}/notificationSettings".
absl::StatusOr<std::string> UserOfSettings(const rpc::Caller& caller, const std::string& name, const char* field) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> segments,
                              rpc::ParseOwnName(caller, kSettingsName, name, field, "USER_NOT_FOUND"));
  return segments[0];
}

absl::StatusOr<NotificationFilter> FilterOf(const rpc::Caller& caller, const std::string& user_id,
                                            const npb::ListNotificationsRequest& asked) {
  NotificationFilter filter;
  filter.unacknowledged_only = asked.unacknowledged_only();
  if (!asked.alert().empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(
        const std::vector<std::string> segments,
        rpc::ParseOwnName(caller, "users/{user}/alerts/{alert}", asked.alert(), "alert", "ALERT_NOT_FOUND"));
    if (segments[0] != user_id) return base::InvalidField("alert", "must be an alert of the user that `parent` names");
    filter.alert_id = segments[1];
  }
  if (!asked.symbol().empty()) {
    std::optional<std::string> symbol = market::NormalizeSymbol(asked.symbol());
    if (!symbol) return base::InvalidField("symbol", market::kSymbolRule);
    filter.symbol = *std::move(symbol);
  }
  return filter;
}

}  // namespace

grpc::ServerUnaryReactor* NotificationServiceImpl::ListNotifications(grpc::CallbackServerContext* context,
                                                                     const npb::ListNotificationsRequest* request,
                                                                     npb::ListNotificationsResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.NotificationService/ListNotifications", Access::kRead}, request,
      response,
      [this](const CallContext& call,
             const npb::ListNotificationsRequest& asked) -> absl::StatusOr<npb::ListNotificationsResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string user_id, UserOf(call.caller, asked.parent()));
        STOCKALERT_ASSIGN_OR_RETURN(const NotificationFilter filter, FilterOf(call.caller, user_id, asked));
        STOCKALERT_ASSIGN_OR_RETURN(const int page_size, rpc::ResolvePageSize(asked.page_size()));
        const std::string scope = rpc::PageScope("ListNotifications", user_id,
                                                 absl::StrCat(filter.unacknowledged_only ? "unacknowledged" : "all",
                                                              "|", filter.alert_id, "|", filter.symbol));
        STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> place,
                                    rpc::DecodePageToken(scope, asked.page_token(), 1));
        int64_t before = kBeforeAny;
        if (!place.empty()) {
          const auto [end, error] = std::from_chars(place[0].data(), place[0].data() + place[0].size(), before);
          if (error != std::errc() || end != place[0].data() + place[0].size()) {
            return base::InvalidField("page_token", "must be the next_page_token of the same list",
                                      "PAGE_TOKEN_INVALID");
          }
        }
        // One more than the page shows whether there is a next one.
        STOCKALERT_ASSIGN_OR_RETURN(std::vector<StoredNotification> rows,
                                    store_.ListNewest(user_id, filter, before, page_size + 1));
        npb::ListNotificationsResponse answer;
        if (rows.size() > static_cast<size_t>(page_size)) {
          rows.pop_back();
          answer.set_next_page_token(rpc::EncodePageToken(scope, {std::to_string(rows.back().sequence)}));
        }
        for (const StoredNotification& row : rows) *answer.add_notifications() = ToNotification(row);
        return answer;
      });
}

grpc::ServerWriteReactor<npb::WatchNotificationsResponse>* NotificationServiceImpl::WatchNotifications(
    grpc::CallbackServerContext* context, const npb::WatchNotificationsRequest* request) {
  return rpc::RunServerStream<npb::WatchNotificationsRequest, npb::WatchNotificationsResponse>(
      runner_, context, {"stockalert.notification.v1.NotificationService/WatchNotifications", Access::kRead}, request,
      kWatchQueueMax,
      [this](const CallContext& call, const npb::WatchNotificationsRequest& asked,
             const std::shared_ptr<WatchStream>& stream) -> absl::Status {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string user_id, UserOf(call.caller, asked.parent()));
        if (!asked.cursor().empty() && asked.from_start()) {
          return base::InvalidField("from_start", "must not be set together with a cursor");
        }
        STOCKALERT_ASSIGN_OR_RETURN(const auto last, store_.LastSequences({user_id}));
        int64_t position = asked.from_start() ? 0 : last.at(user_id);
        if (!asked.cursor().empty()) {
          STOCKALERT_ASSIGN_OR_RETURN(position, DecodeCursor(user_id, asked.cursor()));
          if (position > last.at(user_id)) return CursorInvalid();
        }
        STOCKALERT_ASSIGN_OR_RETURN(const std::vector<StoredNotification> due,
                                    store_.ListAfter(user_id, position, kWatchPageMax));
        if (!due.empty()) position = due.back().sequence;
        if (!stream->TryPush(ToResponse(due, EncodeCursor(user_id, position))))
          return absl::CancelledError("the client has gone");
        auto watch =
            std::make_shared<UserWatch>(user_id, position, std::make_shared<StreamClient>(stream), store_,
                                        [this, user_id](std::function<void()> run, std::function<void()> drop) {
                                          return runner_.TrySubmit(user_id, std::move(run), std::move(drop));
                                        });
        hub_.Add(watch);
        // After Add: where the client has gone already, on_done is called at once. The stream holds the watch by its
        // hooks. A heartbeat repeats the cursor: right also for a client that keeps the cursor of every response.
        stream->SetHooks(
            {.on_drained = [watch] { watch->Wake(); },
             .on_done = [this, watch] { hub_.Remove(watch); },
             .heartbeat = [watch] { return ToResponse({}, EncodeCursor(watch->user_id(), watch->position())); }});
        watch->Wake();
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* NotificationServiceImpl::AcknowledgeNotification(
    grpc::CallbackServerContext* context, const npb::AcknowledgeNotificationRequest* request,
    npb::Notification* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.NotificationService/AcknowledgeNotification", Access::kWrite},
      request, response,
      [this](const CallContext& call,
             const npb::AcknowledgeNotificationRequest& asked) -> absl::StatusOr<npb::Notification> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> segments,
                                    rpc::ParseOwnName(call.caller, "users/{user}/notifications/{notification}",
                                                      asked.name(), "name", kReasonNotificationNotFound));
        STOCKALERT_ASSIGN_OR_RETURN(const StoredNotification stored,
                                    store_.Acknowledge(segments[0], segments[1], clock_.NowUs()));
        return ToNotification(stored);
      });
}

grpc::ServerUnaryReactor* NotificationServiceImpl::GetNotificationSettings(
    grpc::CallbackServerContext* context, const npb::GetNotificationSettingsRequest* request,
    npb::NotificationSettings* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.NotificationService/GetNotificationSettings", Access::kRead},
      request, response,
      [this](const CallContext& call,
             const npb::GetNotificationSettingsRequest& asked) -> absl::StatusOr<npb::NotificationSettings> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string user_id, UserOfSettings(call.caller, asked.name(), "name"));
        STOCKALERT_ASSIGN_OR_RETURN(const NotificationSettings settings, settings_.Get(user_id));
        return ToSettings(user_id, settings);
      });
}

grpc::ServerUnaryReactor* NotificationServiceImpl::UpdateNotificationSettings(
    grpc::CallbackServerContext* context, const npb::UpdateNotificationSettingsRequest* request,
    npb::NotificationSettings* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.NotificationService/UpdateNotificationSettings", Access::kWrite},
      request, response,
      [this](const CallContext& call,
             const npb::UpdateNotificationSettingsRequest& asked) -> absl::StatusOr<npb::NotificationSettings> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string user_id,
                                    UserOfSettings(call.caller, asked.settings().name(), "settings.name"));
        STOCKALERT_ASSIGN_OR_RETURN(const SettingsUpdate update, ReadSettingsUpdate(asked));
        STOCKALERT_ASSIGN_OR_RETURN(
            const NotificationSettings changed,
            settings_.Update(user_id, update, SettingsEtagCheck(user_id, asked.settings().etag())));
        return ToSettings(user_id, changed);
      });
}

}  // namespace stockalert::notifier
