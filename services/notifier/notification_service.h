// stockalert.notification.v1.NotificationService: checks requests, asks the store, makes responses.
//
// Thread-safe; gRPC calls it. What it is given must outlive it.
#pragma once

#include "services/common/base/clock.h"
#include "services/common/grpc/call_runner.h"
#include "services/notifier/notification_store.h"
#include "services/notifier/settings/settings_logic.h"
#include "services/notifier/watch_hub.h"
#include "stockalert/notification/v1/notification.grpc.pb.h"

namespace stockalert::notifier {

class NotificationServiceImpl final : public notification::v1::NotificationService::CallbackService {
 public:
  NotificationServiceImpl(rpc::CallRunner& runner, NotificationStore& store, SettingsLogic& settings, WatchHub& hub,
                          const base::Clock& clock)
      : runner_(runner), store_(store), settings_(settings), hub_(hub), clock_(clock) {}

  grpc::ServerUnaryReactor* ListNotifications(grpc::CallbackServerContext* context,
                                              const notification::v1::ListNotificationsRequest* request,
                                              notification::v1::ListNotificationsResponse* response) override;
  grpc::ServerWriteReactor<notification::v1::WatchNotificationsResponse>* WatchNotifications(
      grpc::CallbackServerContext* context, const notification::v1::WatchNotificationsRequest* request) override;
  grpc::ServerUnaryReactor* AcknowledgeNotification(grpc::CallbackServerContext* context,
                                                    const notification::v1::AcknowledgeNotificationRequest* request,
                                                    notification::v1::Notification* response) override;
  grpc::ServerUnaryReactor* GetNotificationSettings(grpc::CallbackServerContext* context,
                                                    const notification::v1::GetNotificationSettingsRequest* request,
                                                    notification::v1::NotificationSettings* response) override;
  grpc::ServerUnaryReactor* UpdateNotificationSettings(
      grpc::CallbackServerContext* context, const notification::v1::UpdateNotificationSettingsRequest* request,
      notification::v1::NotificationSettings* response) override;

 private:
  rpc::CallRunner& runner_;
  NotificationStore& store_;
  SettingsLogic& settings_;
  WatchHub& hub_;
  const base::Clock& clock_;
};

}  // namespace stockalert::notifier
