#include "services/notifier/notifier_internal_service.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"

namespace stockalert::notifier {

namespace ipb = ::stockalert::internal::v1;

grpc::ServerUnaryReactor* NotifierInternalServiceImpl::FindDestinations(grpc::CallbackServerContext* context,
                                                                        const ipb::FindDestinationsRequest* request,
                                                                        ipb::FindDestinationsResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.internal.v1.NotifierInternalService/FindDestinations", rpc::Access::kMesh},
      request, response,
      [this](const rpc::CallContext&,
             const ipb::FindDestinationsRequest& asked) -> absl::StatusOr<ipb::FindDestinationsResponse> {
        base::FieldViolations violations;
        violations.Check(base::IsUuid(asked.user_id()), "user_id", "must be a UUID");
        for (int i = 0; i < asked.destination_ids_size(); ++i) {
          violations.Check(base::IsUuid(asked.destination_ids(i)), absl::StrCat("destination_ids[", i, "]"),
                           "must be a UUID");
        }
        STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
        STOCKALERT_ASSIGN_OR_RETURN(
            const std::vector<std::string> found,
            store_.FindExisting(asked.user_id(), {asked.destination_ids().begin(), asked.destination_ids().end()}));
        ipb::FindDestinationsResponse answer;
        for (const std::string& id : found) answer.add_destination_ids(id);
        return answer;
      });
}

}  // namespace stockalert::notifier
