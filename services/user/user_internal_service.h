// stockalert.internal.v1.UserInternalService: what the other services ask. Takes the mesh token only. Thread-safe.
#pragma once

#include "services/common/grpc/call_runner.h"
#include "services/user/user_logic.h"
#include "stockalert/internal/v1/user_internal.grpc.pb.h"

namespace stockalert::user {

class UserInternalService final : public stockalert::internal::v1::UserInternalService::CallbackService {
 public:
  // What is handed in must outlive the service.
  UserInternalService(rpc::CallRunner& runner, UserLogic& logic) : runner_(runner), logic_(logic) {}

  ::grpc::ServerUnaryReactor* AuthenticateApiKey(
      ::grpc::CallbackServerContext* context, const stockalert::internal::v1::AuthenticateApiKeyRequest* request,
      stockalert::internal::v1::AuthenticateApiKeyResponse* response) override;
  ::grpc::ServerUnaryReactor* GetUser(::grpc::CallbackServerContext* context,
                                      const stockalert::internal::v1::GetUserRequest* request,
                                      stockalert::internal::v1::GetUserResponse* response) override;
  ::grpc::ServerUnaryReactor* CountFollowers(::grpc::CallbackServerContext* context,
                                             const stockalert::internal::v1::CountFollowersRequest* request,
                                             stockalert::internal::v1::CountFollowersResponse* response) override;

 private:
  rpc::CallRunner& runner_;
  UserLogic& logic_;
};

}  // namespace stockalert::user
