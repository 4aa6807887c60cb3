#include "services/user/user_internal_service.h"

#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/time_convert.h"

namespace stockalert::user {

namespace internal_v1 = stockalert::internal::v1;

::grpc::ServerUnaryReactor* UserInternalService::AuthenticateApiKey(
    ::grpc::CallbackServerContext* context, const internal_v1::AuthenticateApiKeyRequest* request,
    internal_v1::AuthenticateApiKeyResponse* response) {
  return rpc::RunUnary(runner_, context,
                       {"stockalert.internal.v1.UserInternalService/AuthenticateApiKey", rpc::Access::kMesh}, request,
                       response,
                       [this](const rpc::CallContext&, const internal_v1::AuthenticateApiKeyRequest& asked)
                           -> absl::StatusOr<internal_v1::AuthenticateApiKeyResponse> {
                         STOCKALERT_ASSIGN_OR_RETURN(const Identity identity, logic_.Authenticate(asked.api_key()));
                         internal_v1::AuthenticateApiKeyResponse answer;
                         answer.set_user_id(identity.user_id);
                         answer.set_key_id(identity.key_id);
                         answer.set_is_administrator(identity.is_administrator);
                         answer.set_read_only(identity.read_only);
                         if (identity.expire_time_us)
                           *answer.mutable_expire_time() = rpc::TimestampFromUs(*identity.expire_time_us);
                         return answer;
                       });
}

::grpc::ServerUnaryReactor* UserInternalService::GetUser(::grpc::CallbackServerContext* context,
                                                         const internal_v1::GetUserRequest* request,
                                                         internal_v1::GetUserResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.internal.v1.UserInternalService/GetUser", rpc::Access::kMesh}, request, response,
      [this](const rpc::CallContext&,
             const internal_v1::GetUserRequest& asked) -> absl::StatusOr<internal_v1::GetUserResponse> {
        if (!base::IsUuid(asked.user_id())) return base::InvalidField("user_id", "must be a UUID in lower case");
        STOCKALERT_ASSIGN_OR_RETURN(const User user, logic_.GetUser(asked.user_id()));
        internal_v1::GetUserResponse answer;
        answer.set_user_id(user.id);
        answer.set_email(user.email_key);
        answer.set_email_verified(user.email_verify_time_us.has_value());
        return answer;
      });
}

::grpc::ServerUnaryReactor* UserInternalService::CountFollowers(::grpc::CallbackServerContext* context,
                                                                const internal_v1::CountFollowersRequest* request,
                                                                internal_v1::CountFollowersResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.internal.v1.UserInternalService/CountFollowers", rpc::Access::kMesh}, request,
      response,
      [this](const rpc::CallContext&,
             const internal_v1::CountFollowersRequest& asked) -> absl::StatusOr<internal_v1::CountFollowersResponse> {
        internal_v1::CountFollowersResponse answer;
        STOCKALERT_ASSIGN_OR_RETURN(const int64_t count, logic_.CountFollowers(asked.symbol()));
        answer.set_follower_count(count);
        return answer;
      });
}

}  // namespace stockalert::user
