// The internal calls of the alert service, for the ticker service. Thread-safe; the runner and the store must outlive
// it.
#pragma once

#include "services/alert/alert_store.h"
#include "services/common/grpc/call_runner.h"
#include "stockalert/internal/v1/alert_internal.grpc.pb.h"

namespace stockalert::alert {

class AlertInternalService final : public ::stockalert::internal::v1::AlertInternalService::CallbackService {
 public:
  AlertInternalService(rpc::CallRunner& runner, AlertStore& store) : runner_(runner), store_(store) {}

  grpc::ServerUnaryReactor* CountAlerts(grpc::CallbackServerContext* context,
                                        const ::stockalert::internal::v1::CountAlertsRequest* request,
                                        ::stockalert::internal::v1::CountAlertsResponse* response) override;

 private:
  rpc::CallRunner& runner_;
  AlertStore& store_;
};

}  // namespace stockalert::alert
