// stockalert.user.v1.UserService: checks the form of requests, asks UserLogic, and shapes its answers.
//
// Thread-safe. Blocking work runs on the runner's executor.
#pragma once

#include <functional>

#include "services/common/grpc/call_runner.h"
#include "services/user/user_logic.h"
#include "stockalert/user/v1/user.grpc.pb.h"

namespace stockalert::user {

class UserService final : public v1::UserService::CallbackService {
 public:
  // `on_untold` is called where there is something new to tell the other services. What is handed in must outlive the
  // service.
  UserService(rpc::CallRunner& runner, UserLogic& logic, std::function<void()> on_untold);

  ::grpc::ServerUnaryReactor* RegisterUser(::grpc::CallbackServerContext* context,
                                           const v1::RegisterUserRequest* request,
                                           v1::RegisterUserResponse* response) override;
  ::grpc::ServerUnaryReactor* GetUser(::grpc::CallbackServerContext* context, const v1::GetUserRequest* request,
                                      v1::User* response) override;
  ::grpc::ServerUnaryReactor* UpdateUser(::grpc::CallbackServerContext* context, const v1::UpdateUserRequest* request,
                                         v1::User* response) override;
  ::grpc::ServerUnaryReactor* DeleteUser(::grpc::CallbackServerContext* context, const v1::DeleteUserRequest* request,
                                         google::protobuf::Empty* response) override;
  ::grpc::ServerUnaryReactor* ListUsers(::grpc::CallbackServerContext* context, const v1::ListUsersRequest* request,
                                        v1::ListUsersResponse* response) override;
  ::grpc::ServerUnaryReactor* SendEmailVerification(::grpc::CallbackServerContext* context,
                                                    const v1::SendEmailVerificationRequest* request,
                                                    v1::SendEmailVerificationResponse* response) override;
  ::grpc::ServerUnaryReactor* VerifyEmail(::grpc::CallbackServerContext* context, const v1::VerifyEmailRequest* request,
                                          v1::User* response) override;
  ::grpc::ServerUnaryReactor* CreateInvitation(::grpc::CallbackServerContext* context,
                                               const v1::CreateInvitationRequest* request,
                                               v1::CreateInvitationResponse* response) override;
  ::grpc::ServerUnaryReactor* CreateApiKey(::grpc::CallbackServerContext* context,
                                           const v1::CreateApiKeyRequest* request,
                                           v1::CreateApiKeyResponse* response) override;
  ::grpc::ServerUnaryReactor* ListApiKeys(::grpc::CallbackServerContext* context, const v1::ListApiKeysRequest* request,
                                          v1::ListApiKeysResponse* response) override;
  ::grpc::ServerUnaryReactor* RevokeApiKey(::grpc::CallbackServerContext* context,
                                           const v1::RevokeApiKeyRequest* request, v1::ApiKey* response) override;
  ::grpc::ServerUnaryReactor* FollowTicker(::grpc::CallbackServerContext* context,
                                           const v1::FollowTickerRequest* request,
                                           v1::FollowedTicker* response) override;
  ::grpc::ServerUnaryReactor* UnfollowTicker(::grpc::CallbackServerContext* context,
                                             const v1::UnfollowTickerRequest* request,
                                             google::protobuf::Empty* response) override;
  ::grpc::ServerUnaryReactor* ListFollowedTickers(::grpc::CallbackServerContext* context,
                                                  const v1::ListFollowedTickersRequest* request,
                                                  v1::ListFollowedTickersResponse* response) override;

 private:
  rpc::CallRunner& runner_;
  UserLogic& logic_;
  const std::function<void()> on_untold_;
};

}  // namespace stockalert::user
