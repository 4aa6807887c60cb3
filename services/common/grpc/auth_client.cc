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

namespace {

constexpr size_t kKeyBytesMin = 16;
constexpr size_t kKeyBytesMax = 200;
constexpr int64_t kSweepIntervalUs = 1'000'000;

absl::Status NoSuchKey() {
  return base::Unauthenticated("API_KEY_INVALID", "the API key is not known, has expired or was revoked");
}

}  // namespace

bool IsKeyLike(std::string_view api_key) {
  return api_key.size() >= kKeyBytesMin && api_key.size() <= kKeyBytesMax &&
         std::all_of(api_key.begin(), api_key.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

CachingAuthenticator::CachingAuthenticator(Authenticator& source, const base::Clock& wall_clock,
                                           const base::MonotonicClock& clock, const CachingOptions& options)
    : source_(source), wall_clock_(wall_clock), clock_(clock), options_(options) {}

std::optional<absl::StatusOr<Caller>> CachingAuthenticator::Find(std::string_view api_key) {
  if (!IsKeyLike(api_key)) return NoSuchKey();
  return FindHash(base::Sha256(api_key));
}

std::optional<absl::StatusOr<Caller>> CachingAuthenticator::FindHash(const std::string& hash) {
  const int64_t now_us = clock_.NowUs();
  base::MutexLock lock(mutex_);
  if (const auto known = known_.find(hash); known != known_.end()) {
    if (now_us < known->second.until_us && wall_clock_.Now() < known->second.caller.expire_time)
      return known->second.caller;
    return std::nullopt;
  }
  const auto refused = refused_.find(hash);
  if (refused != refused_.end() && now_us < refused->second) return NoSuchKey();
  return std::nullopt;
}

bool CachingAuthenticator::HasKnown(std::string_view api_key) {
  const std::string hash = base::Sha256(api_key);
  base::MutexLock lock(mutex_);
  return known_.contains(hash);
}

template <typename Entries, typename IsOver>
void CachingAuthenticator::MakeRoom(Entries& entries, int64_t& swept_us, int64_t now_us, IsOver is_over) const {
  if (entries.size() < options_.entries_max) return;
  if (now_us - swept_us >= kSweepIntervalUs) {
    swept_us = now_us;
    std::erase_if(entries, is_over);
  }
  // All are fresh: one of them is asked about again.
  if (entries.size() >= options_.entries_max) entries.erase(entries.begin());
}

absl::StatusOr<Caller> CachingAuthenticator::Authenticate(std::string_view api_key, const trace::Context& trace,
                                                          absl::Time deadline) {
  if (!IsKeyLike(api_key)) return NoSuchKey();
  const std::string hash = base::Sha256(api_key);
  // From when it is asked, not from when it is answered: a key revoked meanwhile must not live longer.
  const int64_t asked_us = clock_.NowUs();
  if (const std::optional<absl::StatusOr<Caller>> answer = FindHash(hash)) return *answer;
  absl::StatusOr<Caller> answer = source_.Authenticate(api_key, trace, deadline);
  if (!answer.ok() && answer.status().code() != absl::StatusCode::kUnauthenticated) return answer;
  base::MutexLock lock(mutex_);
  if (answer.ok()) {
    if (!known_.contains(hash)) {
      MakeRoom(known_, known_swept_us_, asked_us, [&](const auto& entry) { return entry.second.until_us <= asked_us; });
    }
    known_.insert_or_assign(hash,
                            Known{*answer, asked_us + absl::ToInt64Microseconds(std::min(options_.keep, kKeepMax))});
    refused_.erase(hash);
  } else {
    known_.erase(hash);
    if (!refused_.contains(hash)) {
      MakeRoom(refused_, refused_swept_us_, asked_us, [&](const auto& entry) { return entry.second <= asked_us; });
    }
    refused_.insert_or_assign(hash, asked_us + absl::ToInt64Microseconds(options_.keep_refused));
  }
  return answer;
}

struct UserServiceAuthenticator::Impl {
  const Peer& peer;
  absl::Duration timeout;
  std::unique_ptr<stockalert::internal::v1::UserInternalService::Stub> stub;
};

UserServiceAuthenticator::UserServiceAuthenticator(const Peer& user_service, absl::Duration timeout)
    : impl_(new Impl{user_service, timeout,
                     stockalert::internal::v1::UserInternalService::NewStub(user_service.channel())}) {}

UserServiceAuthenticator::~UserServiceAuthenticator() = default;

absl::StatusOr<Caller> UserServiceAuthenticator::Authenticate(std::string_view api_key, const trace::Context& trace,
                                                              absl::Time deadline) {
  stockalert::internal::v1::AuthenticateApiKeyRequest request;
  request.set_api_key(std::string(api_key));
  stockalert::internal::v1::AuthenticateApiKeyResponse response;
  ::grpc::ClientContext context;
  impl_->peer.Prepare(context, trace, std::min(deadline, absl::Now() + impl_->timeout));
  absl::Status status = FromGrpc(impl_->stub->AuthenticateApiKey(&context, request, &response));
  if (!status.ok()) {
    // A wrong mesh token is a fault of the mesh, not of the client.
    if (status.code() == absl::StatusCode::kUnauthenticated && base::ReasonOf(status) != "MESH_TOKEN_INVALID")
      return status;
    metrics::GetCounter("stockalert_auth_failures_total", "Times that the user service could not say whose a key is")
        .Increment();
    return base::Unavailable(
        "USER_SERVICE_UNAVAILABLE",
        "the user service does not answer, so the key cannot be checked; nothing was done: try again");
  }
  Caller caller;
  caller.user_id = response.user_id();
  caller.key_id = response.key_id();
  caller.is_administrator = response.is_administrator();
  caller.read_only = response.read_only();
  if (response.has_expire_time()) {
    caller.expire_time =
        absl::FromUnixSeconds(response.expire_time().seconds()) + absl::Nanoseconds(response.expire_time().nanos());
  }
  return caller;
}

}  // namespace stockalert::rpc
