// Authenticates the user service's own callers, by its own keys. Thread-safe.
#pragma once

#include "services/common/grpc/caller.h"
#include "services/user/user_logic.h"

namespace stockalert::user {

class KeyAuthenticator final : public rpc::Authenticator {
 public:
  // `logic` must outlive it.
  explicit KeyAuthenticator(UserLogic& logic) : logic_(logic) {}
  absl::StatusOr<rpc::Caller> Authenticate(std::string_view api_key, const trace::Context& trace,
                                           absl::Time deadline) override;

 private:
  UserLogic& logic_;
};

}  // namespace stockalert::user
