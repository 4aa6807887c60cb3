#include "services/common/grpc/auth_client.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/metrics/metrics.h"
#include "stockalert/internal/v1/user_internal.grpc.pb.h"

namespace stockalert::rpc {

CachingAuthenticator::CachingAuthenticator(Authenticator& source, const base::Clock& clock, absl::Duration keep, size_t entries_max)
    : source_(source), clock_(clock), keep_(std::min(keep, kKeepMax)), entries_max_(entries_max) {}

absl::StatusOr<Caller> CachingAuthenticator::Authenticate(std::string_view api_key, const trace::Context& trace, absl::Time deadline) {
  const std::string hash = base::Sha256(api_key);
  const int64_t asked_us = clock_.NowUs();
  {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(hash);
    if (found != entries_.end() && asked_us < found->second.until_us) return found->second.answer;
  }
  absl::StatusOr<Caller> answer = source_.Authenticate(api_key, trace, deadline);
  if (!answer.ok() && answer.status().code() != absl::StatusCode::kUnauthenticated) return answer;
  // From when it was asked, not from when it was answered: a key revoked meanwhile must not live longer.
  int64_t until_us = asked_us + absl::ToInt64Microseconds(keep_);
  if (answer.ok() && answer->expire_time != absl::InfiniteFuture()) until_us = std::min(until_us, absl::ToUnixMicros(answer->expire_time));
  {
    std::lock_guard lock(mutex_);
    if (entries_.size() >= entries_max_ && !entries_.contains(hash)) {
      std::erase_if(entries_, [&](const auto& entry) { return entry.second.until_us <= asked_us; });
      // All are fresh: more keys than we can keep. Begin again rather than grow.
      if (entries_.size() >= entries_max_) entries_.clear();
    }
    entries_.insert_or_assign(hash, Entry{answer, until_us});
  }
  return answer;
}

struct UserServiceAuthenticator::Impl {
  const Peer& peer;
  absl::Duration timeout;
  std::unique_ptr<stockalert::internal::v1::UserInternalService::Stub> stub;
};

UserServiceAuthenticator::UserServiceAuthenticator(const Peer& user_service, absl::Duration timeout)
    : impl_(new Impl{user_service, timeout, stockalert::internal::v1::UserInternalService::NewStub(user_service.channel())}) {}

UserServiceAuthenticator::~UserServiceAuthenticator() = default;

absl::StatusOr<Caller> UserServiceAuthenticator::Authenticate(std::string_view api_key, const trace::Context& trace, absl::Time deadline) {
  stockalert::internal::v1::AuthenticateApiKeyRequest request;
  request.set_api_key(std::string(api_key));
  stockalert::internal::v1::AuthenticateApiKeyResponse response;
  ::grpc::ClientContext context;
  impl_->peer.Prepare(context, trace, std::min(deadline, absl::Now() + impl_->timeout));
  absl::Status status = FromGrpc(impl_->stub->AuthenticateApiKey(&context, request, &response));
  if (!status.ok()) {
    // A wrong mesh token is a fault of the mesh, not of the client.
    if (status.code() == absl::StatusCode::kUnauthenticated && base::ReasonOf(status) != "MESH_TOKEN_INVALID") return status;
    metrics::GetCounter("stockalert_auth_failures_total", "Times that the user service could not say whose a key is").Increment();
    return base::Unavailable("USER_SERVICE_UNAVAILABLE", "the user service does not answer, so the key cannot be checked; nothing was done: try again");
  }
  Caller caller;
  caller.user_id = response.user_id();
  caller.key_id = response.key_id();
  caller.is_administrator = response.is_administrator();
  caller.read_only = response.read_only();
  if (response.has_expire_time()) {
    caller.expire_time = absl::FromUnixSeconds(response.expire_time().seconds()) + absl::Nanoseconds(response.expire_time().nanos());
  }
  return caller;
}

}  // namespace stockalert::rpc
