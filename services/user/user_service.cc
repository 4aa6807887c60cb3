#include "services/user/user_service.h"

#include <charconv>
#include <utility>

#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/page_token.h"
#include "services/common/grpc/request_validation.h"
#include "services/common/grpc/resource_name.h"
#include "services/common/grpc/time_convert.h"

namespace stockalert::user {
namespace {

constexpr char kUserName[] = "users/{user}";
constexpr char kApiKeyName[] = "users/{user}/apiKeys/{key}";
constexpr char kFollowedName[] = "users/{user}/followedTickers/{symbol}";
constexpr char kUserMissing[] = "USER_NOT_FOUND";
constexpr size_t kDisplayNameMax = 100;
constexpr size_t kCodeMax = 64;

v1::User ToProto(const User& user) {
  v1::User proto;
  proto.set_name(rpc::FormatName(kUserName, {user.id}));
  proto.set_email(user.email);
  proto.set_display_name(user.display_name);
  *proto.mutable_create_time() = rpc::TimestampFromUs(user.create_time_us);
  *proto.mutable_update_time() = rpc::TimestampFromUs(user.update_time_us);
  proto.set_etag(rpc::MakeEtag(user.id, user.version));
  if (user.email_verify_time_us) *proto.mutable_email_verify_time() = rpc::TimestampFromUs(*user.email_verify_time_us);
  return proto;
}

v1::ApiKey ToProto(const ApiKey& key) {
  v1::ApiKey proto;
  proto.set_name(rpc::FormatName(kApiKeyName, {key.user_id, key.id}));
  proto.set_display_name(key.display_name);
  proto.set_scope(key.read_only ? v1::ApiKey::SCOPE_READ_ONLY : v1::ApiKey::SCOPE_FULL);
  proto.set_secret_prefix(key.secret_prefix);
  *proto.mutable_create_time() = rpc::TimestampFromUs(key.create_time_us);
  if (key.expire_time_us) *proto.mutable_expire_time() = rpc::TimestampFromUs(*key.expire_time_us);
  if (key.revoke_time_us) *proto.mutable_revoke_time() = rpc::TimestampFromUs(*key.revoke_time_us);
  return proto;
}

v1::FollowedTicker ToProto(const std::string& user_id, const FollowedTicker& ticker) {
  v1::FollowedTicker proto;
  proto.set_name(rpc::FormatName(kFollowedName, {user_id, ticker.symbol}));
  proto.set_symbol(ticker.symbol);
  *proto.mutable_create_time() = rpc::TimestampFromUs(ticker.create_time_us);
  return proto;
}

UserCheck EtagCheck(const std::string& etag) {
  return [etag](const User& user) { return rpc::CheckEtag(etag, user.id, user.version); };
}

// The user whom `name` is about, where the caller reaches it.
absl::StatusOr<std::string> UserIdOf(const rpc::CallContext& call, const std::string& name, std::string_view field) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> ids,
                              rpc::ParseOwnName(call.caller, kUserName, name, field, kUserMissing));
  return ids[0];
}

std::optional<Email> TakeEmail(base::FieldViolations& violations, std::string_view field, const std::string& text) {
  absl::StatusOr<Email> email = ParseEmail(text);
  if (!email.ok()) {
    violations.Merge(email.status(), field);
    return std::nullopt;
  }
  return *std::move(email);
}

// Where the page begins, from a token of (create time, id).
absl::StatusOr<std::optional<TimePlace>> TimePlaceOf(const std::string& scope, const std::string& token) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> parts, rpc::DecodePageToken(scope, token, 2));
  if (parts.empty()) return std::optional<TimePlace>();
  TimePlace place{0, parts[1]};
  const std::string& time = parts[0];
  const auto [end, error] = std::from_chars(time.data(), time.data() + time.size(), place.create_time_us);
  if (error != std::errc() || end != time.data() + time.size() || !base::IsUuid(place.id)) {
    return base::InvalidField("page_token", "must be the next_page_token of the same list", "PAGE_TOKEN_INVALID");
  }
  return std::optional<TimePlace>(std::move(place));
}

template <typename Row>
std::string TimeToken(const std::string& scope, const Row& last) {
  return rpc::EncodePageToken(scope, {std::to_string(last.create_time_us), last.id});
}

}  // namespace

UserService::UserService(rpc::CallRunner& runner, UserLogic& logic, std::function<void()> on_untold)
    : runner_(runner), logic_(logic), on_untold_(std::move(on_untold)) {}

// One handler: its method's name, who may call it, and the function that answers.
#define STOCKALERT_USER_METHOD(method, access, Request, Response) \
  STOCKALERT_USER_METHOD_OF(method, access, rpc::Work::kOwn, Request, Response)
#define STOCKALERT_USER_METHOD_OF(method, access, work, Request, Response)                                             \
  ::grpc::ServerUnaryReactor* UserService::method(::grpc::CallbackServerContext* context, const Request* request,      \
                                                  Response* response) {                                                \
    return rpc::Unary(runner_, context, {"stockalert.user.v1.UserService/" #method, access, work}, request, response,  \
                      [this](const rpc::CallContext& call, const Request& asked) { return Do##method(call, asked); }); \
  }

STOCKALERT_USER_METHOD(RegisterUser, rpc::Access::kNobody, v1::RegisterUserRequest, v1::RegisterUserResponse)
STOCKALERT_USER_METHOD(GetUser, rpc::Access::kRead, v1::GetUserRequest, v1::User)
STOCKALERT_USER_METHOD(UpdateUser, rpc::Access::kWrite, v1::UpdateUserRequest, v1::User)
STOCKALERT_USER_METHOD(DeleteUser, rpc::Access::kWrite, v1::DeleteUserRequest, google::protobuf::Empty)
STOCKALERT_USER_METHOD(ListUsers, rpc::Access::kAdministrator, v1::ListUsersRequest, v1::ListUsersResponse)
STOCKALERT_USER_METHOD(SendEmailVerification, rpc::Access::kWrite, v1::SendEmailVerificationRequest,
                       v1::SendEmailVerificationResponse)
STOCKALERT_USER_METHOD(VerifyEmail, rpc::Access::kWrite, v1::VerifyEmailRequest, v1::User)
STOCKALERT_USER_METHOD(CreateInvitation, rpc::Access::kAdministrator, v1::CreateInvitationRequest,
                       v1::CreateInvitationResponse)
STOCKALERT_USER_METHOD(CreateApiKey, rpc::Access::kWrite, v1::CreateApiKeyRequest, v1::CreateApiKeyResponse)
STOCKALERT_USER_METHOD(ListApiKeys, rpc::Access::kRead, v1::ListApiKeysRequest, v1::ListApiKeysResponse)
STOCKALERT_USER_METHOD(RevokeApiKey, rpc::Access::kWrite, v1::RevokeApiKeyRequest, v1::ApiKey)
STOCKALERT_USER_METHOD_OF(FollowTicker, rpc::Access::kWrite, rpc::Work::kOthers, v1::FollowTickerRequest,
                          v1::FollowedTicker)
STOCKALERT_USER_METHOD(UnfollowTicker, rpc::Access::kWrite, v1::UnfollowTickerRequest, google::protobuf::Empty)
STOCKALERT_USER_METHOD(ListFollowedTickers, rpc::Access::kRead, v1::ListFollowedTickersRequest,
                       v1::ListFollowedTickersResponse)

#undef STOCKALERT_USER_METHOD
#undef STOCKALERT_USER_METHOD_OF

absl::StatusOr<v1::RegisterUserResponse> UserService::DoRegisterUser(const rpc::CallContext& call,
                                                                     const v1::RegisterUserRequest& request) {
  base::FieldViolations violations;
  const std::optional<Email> email = TakeEmail(violations, "user.email", request.user().email());
  rpc::CheckText(violations, "user.display_name", request.user().display_name(), 1, kDisplayNameMax);
  rpc::CheckRequestId(violations, "request_id", request.request_id());
  rpc::CheckText(violations, "invitation_code", request.invitation_code(), 0, kCodeMax);
  STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
  STOCKALERT_ASSIGN_OR_RETURN(Registered registered,
                              logic_.Register(*email, request.user().display_name(), request.request_id(),
                                              request.invitation_code(), call.peer));
  v1::RegisterUserResponse response;
  *response.mutable_user() = ToProto(registered.user);
  *response.mutable_api_key() = ToProto(registered.key);
  response.set_secret(registered.secret);
  return response;
}

absl::StatusOr<v1::User> UserService::DoGetUser(const rpc::CallContext& call, const v1::GetUserRequest& request) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, request.name(), "name"));
  STOCKALERT_ASSIGN_OR_RETURN(const User user, logic_.GetUser(id));
  return ToProto(user);
}

absl::StatusOr<v1::User> UserService::DoUpdateUser(const rpc::CallContext& call, const v1::UpdateUserRequest& request) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, request.user().name(), "user.name"));
  std::set<std::string> set_fields;
  if (!request.user().email().empty()) set_fields.insert("email");
  if (!request.user().display_name().empty()) set_fields.insert("display_name");
  base::FieldViolations violations;
  const std::set<std::string> paths =
      rpc::ResolveFieldMask(violations, "update_mask", request.update_mask(), {"email", "display_name"}, set_fields);
  UserChange change;
  if (paths.contains("email")) change.email = TakeEmail(violations, "user.email", request.user().email());
  if (paths.contains("display_name")) {
    rpc::CheckText(violations, "user.display_name", request.user().display_name(), 1, kDisplayNameMax);
    change.display_name = request.user().display_name();
  }
  STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
  STOCKALERT_ASSIGN_OR_RETURN(const User user, logic_.UpdateUser(id, change, EtagCheck(request.user().etag())));
  return ToProto(user);
}

absl::StatusOr<google::protobuf::Empty> UserService::DoDeleteUser(const rpc::CallContext& call,
                                                                  const v1::DeleteUserRequest& request) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, request.name(), "name"));
  STOCKALERT_RETURN_IF_ERROR(logic_.DeleteUser(id, EtagCheck(request.etag()), call.trace));
  on_untold_();
  return google::protobuf::Empty();
}

absl::StatusOr<v1::ListUsersResponse> UserService::DoListUsers(const rpc::CallContext&,
                                                               const v1::ListUsersRequest& request) {
  const std::string scope = rpc::PageScope("ListUsers", "");
  STOCKALERT_ASSIGN_OR_RETURN(const int page_size, rpc::PageSize(request.page_size()));
  STOCKALERT_ASSIGN_OR_RETURN(const std::optional<TimePlace> after, TimePlaceOf(scope, request.page_token()));
  // One more than the page tells whether there is another one.
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<User> users, logic_.ListUsers(after, page_size + 1));
  v1::ListUsersResponse response;
  if (users.size() > static_cast<size_t>(page_size)) {
    users.resize(static_cast<size_t>(page_size));
    response.set_next_page_token(TimeToken(scope, users.back()));
  }
  for (const User& user : users) *response.add_users() = ToProto(user);
  return response;
}

absl::StatusOr<v1::SendEmailVerificationResponse> UserService::DoSendEmailVerification(
    const rpc::CallContext& call, const v1::SendEmailVerificationRequest& request) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, request.name(), "name"));
  STOCKALERT_ASSIGN_OR_RETURN(const int64_t expire_time_us, logic_.SendEmailVerification(id, call.trace));
  on_untold_();
  v1::SendEmailVerificationResponse response;
  *response.mutable_expire_time() = rpc::TimestampFromUs(expire_time_us);
  return response;
}

absl::StatusOr<v1::User> UserService::DoVerifyEmail(const rpc::CallContext& call,
                                                    const v1::VerifyEmailRequest& request) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, request.name(), "name"));
  // An administrator vouches for the address; a code that is given is looked at all the same.
  const bool vouched = call.caller.is_administrator && request.code().empty();
  base::FieldViolations violations;
  rpc::CheckText(violations, "code", request.code(), vouched ? 0 : 1, kCodeMax);
  STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
  STOCKALERT_ASSIGN_OR_RETURN(
      const User user, logic_.VerifyEmail(id, vouched ? std::nullopt : std::optional<std::string>(request.code())));
  return ToProto(user);
}

absl::StatusOr<v1::CreateInvitationResponse> UserService::DoCreateInvitation(
    const rpc::CallContext&, const v1::CreateInvitationRequest& request) {
  base::FieldViolations violations;
  rpc::CheckText(violations, "note", request.note(), 0, kDisplayNameMax);
  std::optional<int64_t> expire_time_us;
  if (request.has_expire_time()) {
    const absl::StatusOr<int64_t> given = rpc::TimestampToUs(request.expire_time(), "expire_time");
    violations.Merge(given.status());
    if (given.ok()) expire_time_us = *given;
  }
  STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
  STOCKALERT_ASSIGN_OR_RETURN(const IssuedInvitation issued, logic_.CreateInvitation(request.note(), expire_time_us));
  v1::CreateInvitationResponse response;
  response.set_code(issued.code);
  *response.mutable_expire_time() = rpc::TimestampFromUs(issued.expire_time_us);
  return response;
}

absl::StatusOr<v1::CreateApiKeyResponse> UserService::DoCreateApiKey(const rpc::CallContext& call,
                                                                     const v1::CreateApiKeyRequest& request) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, request.parent(), "parent"));
  base::FieldViolations violations;
  rpc::CheckText(violations, "api_key.display_name", request.api_key().display_name(), 0, kDisplayNameMax);
  rpc::CheckRequestId(violations, "request_id", request.request_id());
  violations.Check(v1::ApiKey::Scope_IsValid(request.api_key().scope()), "api_key.scope",
                   "must be SCOPE_FULL or SCOPE_READ_ONLY");
  NewKey key{.display_name = request.api_key().display_name(),
             .read_only = request.api_key().scope() == v1::ApiKey::SCOPE_READ_ONLY,
             .expire_time_us = std::nullopt};
  if (request.api_key().has_expire_time()) {
    const absl::StatusOr<int64_t> expire_time_us =
        rpc::TimestampToUs(request.api_key().expire_time(), "api_key.expire_time");
    violations.Merge(expire_time_us.status());
    if (expire_time_us.ok()) key.expire_time_us = *expire_time_us;
  }
  STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
  STOCKALERT_ASSIGN_OR_RETURN(IssuedKey issued, logic_.CreateApiKey(id, key, request.request_id()));
  v1::CreateApiKeyResponse response;
  *response.mutable_api_key() = ToProto(issued.key);
  response.set_secret(issued.secret);
  return response;
}

absl::StatusOr<v1::ListApiKeysResponse> UserService::DoListApiKeys(const rpc::CallContext& call,
                                                                   const v1::ListApiKeysRequest& request) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, request.parent(), "parent"));
  const std::string scope = rpc::PageScope("ListApiKeys", id);
  STOCKALERT_ASSIGN_OR_RETURN(const int page_size, rpc::PageSize(request.page_size()));
  STOCKALERT_ASSIGN_OR_RETURN(const std::optional<TimePlace> after, TimePlaceOf(scope, request.page_token()));
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<ApiKey> keys, logic_.ListApiKeys(id, after, page_size + 1));
  v1::ListApiKeysResponse response;
  if (keys.size() > static_cast<size_t>(page_size)) {
    keys.resize(static_cast<size_t>(page_size));
    response.set_next_page_token(TimeToken(scope, keys.back()));
  }
  for (const ApiKey& key : keys) *response.add_api_keys() = ToProto(key);
  return response;
}

absl::StatusOr<v1::ApiKey> UserService::DoRevokeApiKey(const rpc::CallContext& call,
                                                       const v1::RevokeApiKeyRequest& request) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> ids,
                              rpc::ParseOwnName(call.caller, kApiKeyName, request.name(), "name", "API_KEY_NOT_FOUND"));
  STOCKALERT_ASSIGN_OR_RETURN(const ApiKey key, logic_.RevokeApiKey(ids[0], ids[1]));
  return ToProto(key);
}

absl::StatusOr<v1::FollowedTicker> UserService::DoFollowTicker(const rpc::CallContext& call,
                                                               const v1::FollowTickerRequest& request) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, request.parent(), "parent"));
  STOCKALERT_ASSIGN_OR_RETURN(const FollowedTicker ticker,
                              logic_.Follow(id, request.symbol(), call.trace, call.deadline));
  return ToProto(id, ticker);
}

absl::StatusOr<google::protobuf::Empty> UserService::DoUnfollowTicker(const rpc::CallContext& call,
                                                                      const v1::UnfollowTickerRequest& request) {
  STOCKALERT_ASSIGN_OR_RETURN(
      const std::vector<std::string> ids,
      rpc::ParseOwnName(call.caller, kFollowedName, request.name(), "name", "FOLLOWED_TICKER_NOT_FOUND"));
  STOCKALERT_RETURN_IF_ERROR(logic_.Unfollow(ids[0], ids[1]));
  return google::protobuf::Empty();
}

absl::StatusOr<v1::ListFollowedTickersResponse> UserService::DoListFollowedTickers(
    const rpc::CallContext& call, const v1::ListFollowedTickersRequest& request) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, request.parent(), "parent"));
  const std::string scope = rpc::PageScope("ListFollowedTickers", id);
  STOCKALERT_ASSIGN_OR_RETURN(const int page_size, rpc::PageSize(request.page_size()));
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> place,
                              rpc::DecodePageToken(scope, request.page_token(), 1));
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<FollowedTicker> tickers,
                              logic_.ListFollowed(id, place.empty() ? "" : place[0], page_size + 1));
  v1::ListFollowedTickersResponse response;
  if (tickers.size() > static_cast<size_t>(page_size)) {
    tickers.resize(static_cast<size_t>(page_size));
    response.set_next_page_token(rpc::EncodePageToken(scope, {tickers.back().symbol}));
  }
  for (const FollowedTicker& ticker : tickers) *response.add_followed_tickers() = ToProto(id, ticker);
  return response;
}

}  // namespace stockalert::user
