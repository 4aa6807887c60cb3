#include "services/user/key_authenticator.h"

#include "services/common/base/status_macros.h"

namespace stockalert::user {

absl::StatusOr<rpc::Caller> KeyAuthenticator::Authenticate(std::string_view api_key, const trace::Context&,
                                                           absl::Time) {
  STOCKALERT_ASSIGN_OR_RETURN(const Identity identity, logic_.Authenticate(api_key));
  return rpc::Caller{
      .user_id = identity.user_id,
      .key_id = identity.key_id,
      .is_administrator = identity.is_administrator,
      .read_only = identity.read_only,
      .expire_time = identity.expire_time_us ? absl::FromUnixMicros(*identity.expire_time_us) : absl::InfiniteFuture()};
}

}  // namespace stockalert::user
