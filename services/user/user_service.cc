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

::grpc::ServerUnaryReactor* UserService::RegisterUser(::grpc::CallbackServerContext* context,
                                                      const v1::RegisterUserRequest* request,
                                                      v1::RegisterUserResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.user.v1.UserService/RegisterUser", rpc::Access::kNobody}, request, response,
      [this](const rpc::CallContext& call,
             const v1::RegisterUserRequest& asked) -> absl::StatusOr<v1::RegisterUserResponse> {
        base::FieldViolations violations;
        const std::optional<Email> email = TakeEmail(violations, "user.email", asked.user().email());
        rpc::CheckText(violations, "user.display_name", asked.user().display_name(), 1, kDisplayNameMax);
        rpc::CheckRequestId(violations, "request_id", asked.request_id());
        rpc::CheckText(violations, "invitation_code", asked.invitation_code(), 0, kCodeMax);
        STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
        STOCKALERT_ASSIGN_OR_RETURN(Registered registered,
                                    logic_.Register(*email, asked.user().display_name(), asked.request_id(),
                                                    asked.invitation_code(), call.peer));
        v1::RegisterUserResponse answer;
        *answer.mutable_user() = ToProto(registered.user);
        *answer.mutable_api_key() = ToProto(registered.key);
        answer.set_secret(registered.secret);
        return answer;
      });
}

::grpc::ServerUnaryReactor* UserService::GetUser(::grpc::CallbackServerContext* context,
                                                 const v1::GetUserRequest* request, v1::User* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.user.v1.UserService/GetUser", rpc::Access::kRead}, request, response,
      [this](const rpc::CallContext& call, const v1::GetUserRequest& asked) -> absl::StatusOr<v1::User> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, asked.name(), "name"));
        STOCKALERT_ASSIGN_OR_RETURN(const User user, logic_.GetUser(id));
        return ToProto(user);
      });
}

::grpc::ServerUnaryReactor* UserService::UpdateUser(::grpc::CallbackServerContext* context,
                                                    const v1::UpdateUserRequest* request, v1::User* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.user.v1.UserService/UpdateUser", rpc::Access::kWrite}, request, response,
      [this](const rpc::CallContext& call, const v1::UpdateUserRequest& asked) -> absl::StatusOr<v1::User> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, asked.user().name(), "user.name"));
        std::set<std::string> set_fields;
        if (!asked.user().email().empty()) set_fields.insert("email");
        if (!asked.user().display_name().empty()) set_fields.insert("display_name");
        base::FieldViolations violations;
        const std::set<std::string> paths = rpc::ResolveFieldMask(violations, "update_mask", asked.update_mask(),
                                                                  {"email", "display_name"}, set_fields);
        UserChange change;
        if (paths.contains("email")) change.email = TakeEmail(violations, "user.email", asked.user().email());
        if (paths.contains("display_name")) {
          rpc::CheckText(violations, "user.display_name", asked.user().display_name(), 1, kDisplayNameMax);
          change.display_name = asked.user().display_name();
        }
        STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
        STOCKALERT_ASSIGN_OR_RETURN(const User user, logic_.UpdateUser(id, change, EtagCheck(asked.user().etag())));
        return ToProto(user);
      });
}

::grpc::ServerUnaryReactor* UserService::DeleteUser(::grpc::CallbackServerContext* context,
                                                    const v1::DeleteUserRequest* request,
                                                    google::protobuf::Empty* response) {
  return rpc::RunUnary(runner_, context, {"stockalert.user.v1.UserService/DeleteUser", rpc::Access::kWrite}, request,
                       response,
                       [this](const rpc::CallContext& call,
                              const v1::DeleteUserRequest& asked) -> absl::StatusOr<google::protobuf::Empty> {
                         STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, asked.name(), "name"));
                         STOCKALERT_RETURN_IF_ERROR(logic_.DeleteUser(id, EtagCheck(asked.etag()), call.trace));
                         on_untold_();
                         return google::protobuf::Empty();
                       });
}

::grpc::ServerUnaryReactor* UserService::ListUsers(::grpc::CallbackServerContext* context,
                                                   const v1::ListUsersRequest* request,
                                                   v1::ListUsersResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.user.v1.UserService/ListUsers", rpc::Access::kAdministrator}, request, response,
      [this](const rpc::CallContext&, const v1::ListUsersRequest& asked) -> absl::StatusOr<v1::ListUsersResponse> {
        const std::string scope = rpc::PageScope("ListUsers", "");
        STOCKALERT_ASSIGN_OR_RETURN(const int page_size, rpc::ResolvePageSize(asked.page_size()));
        STOCKALERT_ASSIGN_OR_RETURN(const std::optional<TimePlace> after, TimePlaceOf(scope, asked.page_token()));
        // One more than the page tells whether there is another one.
        STOCKALERT_ASSIGN_OR_RETURN(std::vector<User> users, logic_.ListUsers(after, page_size + 1));
        v1::ListUsersResponse answer;
        if (users.size() > static_cast<size_t>(page_size)) {
          users.resize(static_cast<size_t>(page_size));
          answer.set_next_page_token(TimeToken(scope, users.back()));
        }
        for (const User& user : users) *answer.add_users() = ToProto(user);
        return answer;
      });
}

::grpc::ServerUnaryReactor* UserService::SendEmailVerification(::grpc::CallbackServerContext* context,
                                                               const v1::SendEmailVerificationRequest* request,
                                                               v1::SendEmailVerificationResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.user.v1.UserService/SendEmailVerification", rpc::Access::kWrite}, request,
      response,
      [this](const rpc::CallContext& call,
             const v1::SendEmailVerificationRequest& asked) -> absl::StatusOr<v1::SendEmailVerificationResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, asked.name(), "name"));
        STOCKALERT_ASSIGN_OR_RETURN(const int64_t expire_time_us, logic_.SendEmailVerification(id, call.trace));
        on_untold_();
        v1::SendEmailVerificationResponse answer;
        *answer.mutable_expire_time() = rpc::TimestampFromUs(expire_time_us);
        return answer;
      });
}

::grpc::ServerUnaryReactor* UserService::VerifyEmail(::grpc::CallbackServerContext* context,
                                                     const v1::VerifyEmailRequest* request, v1::User* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.user.v1.UserService/VerifyEmail", rpc::Access::kWrite}, request, response,
      [this](const rpc::CallContext& call, const v1::VerifyEmailRequest& asked) -> absl::StatusOr<v1::User> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, asked.name(), "name"));
        // An administrator vouches for the address; a code that is given is looked at all the same.
        const bool vouched = call.caller.is_administrator && asked.code().empty();
        base::FieldViolations violations;
        rpc::CheckText(violations, "code", asked.code(), vouched ? 0 : 1, kCodeMax);
        STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
        STOCKALERT_ASSIGN_OR_RETURN(
            const User user, logic_.VerifyEmail(id, vouched ? std::nullopt : std::optional<std::string>(asked.code())));
        return ToProto(user);
      });
}

::grpc::ServerUnaryReactor* UserService::CreateInvitation(::grpc::CallbackServerContext* context,
                                                          const v1::CreateInvitationRequest* request,
                                                          v1::CreateInvitationResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.user.v1.UserService/CreateInvitation", rpc::Access::kAdministrator}, request,
      response,
      [this](const rpc::CallContext&,
             const v1::CreateInvitationRequest& asked) -> absl::StatusOr<v1::CreateInvitationResponse> {
        base::FieldViolations violations;
        rpc::CheckText(violations, "note", asked.note(), 0, kDisplayNameMax);
        std::optional<int64_t> expire_time_us;
        if (asked.has_expire_time()) {
          const absl::StatusOr<int64_t> given = rpc::TimestampToUs(asked.expire_time(), "expire_time");
          violations.Merge(given.status());
          if (given.ok()) expire_time_us = *given;
        }
        STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
        STOCKALERT_ASSIGN_OR_RETURN(const IssuedInvitation issued,
                                    logic_.CreateInvitation(asked.note(), expire_time_us));
        v1::CreateInvitationResponse answer;
        answer.set_code(issued.code);
        *answer.mutable_expire_time() = rpc::TimestampFromUs(issued.expire_time_us);
        return answer;
      });
}

::grpc::ServerUnaryReactor* UserService::CreateApiKey(::grpc::CallbackServerContext* context,
                                                      const v1::CreateApiKeyRequest* request,
                                                      v1::CreateApiKeyResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.user.v1.UserService/CreateApiKey", rpc::Access::kWrite}, request, response,
      [this](const rpc::CallContext& call,
             const v1::CreateApiKeyRequest& asked) -> absl::StatusOr<v1::CreateApiKeyResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, asked.parent(), "parent"));
        base::FieldViolations violations;
        rpc::CheckText(violations, "api_key.display_name", asked.api_key().display_name(), 0, kDisplayNameMax);
        rpc::CheckRequestId(violations, "request_id", asked.request_id());
        violations.Check(v1::ApiKey::Scope_IsValid(asked.api_key().scope()), "api_key.scope",
                         "must be SCOPE_FULL or SCOPE_READ_ONLY");
        NewKey key{.display_name = asked.api_key().display_name(),
                   .read_only = asked.api_key().scope() == v1::ApiKey::SCOPE_READ_ONLY,
                   .expire_time_us = std::nullopt};
        if (asked.api_key().has_expire_time()) {
          const absl::StatusOr<int64_t> expire_time_us =
              rpc::TimestampToUs(asked.api_key().expire_time(), "api_key.expire_time");
          violations.Merge(expire_time_us.status());
          if (expire_time_us.ok()) key.expire_time_us = *expire_time_us;
        }
        STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
        STOCKALERT_ASSIGN_OR_RETURN(IssuedKey issued, logic_.CreateApiKey(id, key, asked.request_id()));
        v1::CreateApiKeyResponse answer;
        *answer.mutable_api_key() = ToProto(issued.key);
        answer.set_secret(issued.secret);
        return answer;
      });
}

::grpc::ServerUnaryReactor* UserService::ListApiKeys(::grpc::CallbackServerContext* context,
                                                     const v1::ListApiKeysRequest* request,
                                                     v1::ListApiKeysResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.user.v1.UserService/ListApiKeys", rpc::Access::kRead}, request, response,
      [this](const rpc::CallContext& call,
             const v1::ListApiKeysRequest& asked) -> absl::StatusOr<v1::ListApiKeysResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, asked.parent(), "parent"));
        const std::string scope = rpc::PageScope("ListApiKeys", id);
        STOCKALERT_ASSIGN_OR_RETURN(const int page_size, rpc::ResolvePageSize(asked.page_size()));
        STOCKALERT_ASSIGN_OR_RETURN(const std::optional<TimePlace> after, TimePlaceOf(scope, asked.page_token()));
        STOCKALERT_ASSIGN_OR_RETURN(std::vector<ApiKey> keys, logic_.ListApiKeys(id, after, page_size + 1));
        v1::ListApiKeysResponse answer;
        if (keys.size() > static_cast<size_t>(page_size)) {
          keys.resize(static_cast<size_t>(page_size));
          answer.set_next_page_token(TimeToken(scope, keys.back()));
        }
        for (const ApiKey& key : keys) *answer.add_api_keys() = ToProto(key);
        return answer;
      });
}

::grpc::ServerUnaryReactor* UserService::RevokeApiKey(::grpc::CallbackServerContext* context,
                                                      const v1::RevokeApiKeyRequest* request, v1::ApiKey* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.user.v1.UserService/RevokeApiKey", rpc::Access::kWrite}, request, response,
      [this](const rpc::CallContext& call, const v1::RevokeApiKeyRequest& asked) -> absl::StatusOr<v1::ApiKey> {
        STOCKALERT_ASSIGN_OR_RETURN(
            const std::vector<std::string> ids,
            rpc::ParseOwnName(call.caller, kApiKeyName, asked.name(), "name", "API_KEY_NOT_FOUND"));
        STOCKALERT_ASSIGN_OR_RETURN(const ApiKey key, logic_.RevokeApiKey(ids[0], ids[1]));
        return ToProto(key);
      });
}

::grpc::ServerUnaryReactor* UserService::FollowTicker(::grpc::CallbackServerContext* context,
                                                      const v1::FollowTickerRequest* request,
                                                      v1::FollowedTicker* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.user.v1.UserService/FollowTicker", rpc::Access::kWrite, rpc::Work::kOthers},
      request, response,
      [this](const rpc::CallContext& call, const v1::FollowTickerRequest& asked) -> absl::StatusOr<v1::FollowedTicker> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, asked.parent(), "parent"));
        STOCKALERT_ASSIGN_OR_RETURN(const FollowedTicker ticker,
                                    logic_.Follow(id, asked.symbol(), call.trace, call.deadline));
        return ToProto(id, ticker);
      });
}

::grpc::ServerUnaryReactor* UserService::UnfollowTicker(::grpc::CallbackServerContext* context,
                                                        const v1::UnfollowTickerRequest* request,
                                                        google::protobuf::Empty* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.user.v1.UserService/UnfollowTicker", rpc::Access::kWrite}, request, response,
      [this](const rpc::CallContext& call,
             const v1::UnfollowTickerRequest& asked) -> absl::StatusOr<google::protobuf::Empty> {
        STOCKALERT_ASSIGN_OR_RETURN(
            const std::vector<std::string> ids,
            rpc::ParseOwnName(call.caller, kFollowedName, asked.name(), "name", "FOLLOWED_TICKER_NOT_FOUND"));
        STOCKALERT_RETURN_IF_ERROR(logic_.Unfollow(ids[0], ids[1]));
        return google::protobuf::Empty();
      });
}

::grpc::ServerUnaryReactor* UserService::ListFollowedTickers(::grpc::CallbackServerContext* context,
                                                             const v1::ListFollowedTickersRequest* request,
                                                             v1::ListFollowedTickersResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.user.v1.UserService/ListFollowedTickers", rpc::Access::kRead}, request, response,
      [this](const rpc::CallContext& call,
             const v1::ListFollowedTickersRequest& asked) -> absl::StatusOr<v1::ListFollowedTickersResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string id, UserIdOf(call, asked.parent(), "parent"));
        const std::string scope = rpc::PageScope("ListFollowedTickers", id);
        STOCKALERT_ASSIGN_OR_RETURN(const int page_size, rpc::ResolvePageSize(asked.page_size()));
        STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> place,
                                    rpc::DecodePageToken(scope, asked.page_token(), 1));
        STOCKALERT_ASSIGN_OR_RETURN(std::vector<FollowedTicker> tickers,
                                    logic_.ListFollowed(id, place.empty() ? "" : place[0], page_size + 1));
        v1::ListFollowedTickersResponse answer;
        if (tickers.size() > static_cast<size_t>(page_size)) {
          tickers.resize(static_cast<size_t>(page_size));
          answer.set_next_page_token(rpc::EncodePageToken(scope, {tickers.back().symbol}));
        }
        for (const FollowedTicker& ticker : tickers) *answer.add_followed_tickers() = ToProto(id, ticker);
        return answer;
      });
}

}  // namespace stockalert::user
