// stockalert.notification.v1.DestinationService: checks requests, calls the logic, makes responses.
//
// Thread-safe; gRPC calls it. What it is given must outlive it.
#pragma once

#include "services/common/base/clock.h"
#include "services/common/grpc/call_runner.h"
#include "services/notifier/delivery/destination_logic.h"
#include "stockalert/notification/v1/destination.grpc.pb.h"

namespace stockalert::notifier {

class DestinationServiceImpl final : public notification::v1::DestinationService::CallbackService {
 public:
  DestinationServiceImpl(rpc::CallRunner& runner, DestinationLogic& logic, const Kinds& kinds, const base::Clock& clock)
      : runner_(runner), logic_(logic), kinds_(kinds), clock_(clock) {}

  grpc::ServerUnaryReactor* CreateDestination(grpc::CallbackServerContext* context,
                                              const notification::v1::CreateDestinationRequest* request,
                                              notification::v1::CreateDestinationResponse* response) override;
  grpc::ServerUnaryReactor* GetDestination(grpc::CallbackServerContext* context,
                                           const notification::v1::GetDestinationRequest* request,
                                           notification::v1::Destination* response) override;
  grpc::ServerUnaryReactor* ListDestinations(grpc::CallbackServerContext* context,
                                             const notification::v1::ListDestinationsRequest* request,
                                             notification::v1::ListDestinationsResponse* response) override;
  grpc::ServerUnaryReactor* UpdateDestination(grpc::CallbackServerContext* context,
                                              const notification::v1::UpdateDestinationRequest* request,
                                              notification::v1::Destination* response) override;
  grpc::ServerUnaryReactor* DeleteDestination(grpc::CallbackServerContext* context,
                                              const notification::v1::DeleteDestinationRequest* request,
                                              google::protobuf::Empty* response) override;
  grpc::ServerUnaryReactor* VerifyDestination(grpc::CallbackServerContext* context,
                                              const notification::v1::VerifyDestinationRequest* request,
                                              notification::v1::Destination* response) override;
  grpc::ServerUnaryReactor* SendTestNotification(grpc::CallbackServerContext* context,
                                                 const notification::v1::SendTestNotificationRequest* request,
                                                 notification::v1::Delivery* response) override;
  grpc::ServerUnaryReactor* RotateDestinationSecret(
      grpc::CallbackServerContext* context, const notification::v1::RotateDestinationSecretRequest* request,
      notification::v1::RotateDestinationSecretResponse* response) override;
  grpc::ServerUnaryReactor* ListDeliveries(grpc::CallbackServerContext* context,
                                           const notification::v1::ListDeliveriesRequest* request,
                                           notification::v1::ListDeliveriesResponse* response) override;
  grpc::ServerUnaryReactor* GetDelivery(grpc::CallbackServerContext* context,
                                        const notification::v1::GetDeliveryRequest* request,
                                        notification::v1::Delivery* response) override;
  grpc::ServerUnaryReactor* ReplayDelivery(grpc::CallbackServerContext* context,
                                           const notification::v1::ReplayDeliveryRequest* request,
                                           notification::v1::Delivery* response) override;
  grpc::ServerUnaryReactor* ReplayDeliveries(grpc::CallbackServerContext* context,
                                             const notification::v1::ReplayDeliveriesRequest* request,
                                             notification::v1::ReplayDeliveriesResponse* response) override;
  grpc::ServerUnaryReactor* CancelDeliveries(grpc::CallbackServerContext* context,
                                             const notification::v1::CancelDeliveriesRequest* request,
                                             notification::v1::CancelDeliveriesResponse* response) override;

 private:
  rpc::CallRunner& runner_;
  DestinationLogic& logic_;
  const Kinds& kinds_;
  const base::Clock& clock_;
};

}  // namespace stockalert::notifier
