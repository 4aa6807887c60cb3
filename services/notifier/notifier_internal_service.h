// The internal calls of the notifier, for the alert service. Thread-safe; the runner and the store must outlive it.
#pragma once

#include "services/common/grpc/call_runner.h"
#include "services/notifier/delivery/destination_store.h"
#include "stockalert/internal/v1/notifier_internal.grpc.pb.h"

namespace stockalert::notifier {

class NotifierInternalServiceImpl final : public internal::v1::NotifierInternalService::CallbackService {
 public:
  NotifierInternalServiceImpl(rpc::CallRunner& runner, DestinationStore& store) : runner_(runner), store_(store) {}

  grpc::ServerUnaryReactor* FindDestinations(grpc::CallbackServerContext* context,
                                             const internal::v1::FindDestinationsRequest* request,
                                             internal::v1::FindDestinationsResponse* response) override;

 private:
  rpc::CallRunner& runner_;
  DestinationStore& store_;
};

}  // namespace stockalert::notifier
