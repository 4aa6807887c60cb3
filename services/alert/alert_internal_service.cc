#include "services/alert/alert_internal_service.h"

#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/request_validation.h"

namespace stockalert::alert {

namespace ipb = ::stockalert::internal::v1;

grpc::ServerUnaryReactor* AlertInternalService::CountAlerts(grpc::CallbackServerContext* context,
                                                            const ipb::CountAlertsRequest* request,
                                                            ipb::CountAlertsResponse* response) {
  return rpc::RunUnary(runner_, context,
                       {"stockalert.internal.v1.AlertInternalService/CountAlerts", rpc::Access::kMesh}, request,
                       response,
                       [this](const rpc::CallContext&,
                              const ipb::CountAlertsRequest& asked) -> absl::StatusOr<ipb::CountAlertsResponse> {
                         base::FieldViolations violations;
                         rpc::CheckText(violations, "symbol", asked.symbol(), 1, 64);
                         STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
                         STOCKALERT_ASSIGN_OR_RETURN(const int64_t count, store_.Count(asked.symbol()));
                         ipb::CountAlertsResponse answer;
                         answer.set_alert_count(count);
                         return answer;
                       });
}

}  // namespace stockalert::alert
