// UserService and UserInternalService over a real server and stubs, on the in-memory store.
#include "services/user/user_service.h"

#include <catch2/catch.hpp>

#include "services/common/base/error.h"
#include "services/common/grpc/auth_client.h"
#include "services/common/grpc/server.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/grpc/time_convert.h"
#include "services/user/key_authenticator.h"
#include "services/user/user_internal_service.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/fake_tickers/fake_tickers.h"
#include "tests/support/user_store/in_memory_user_store.h"

namespace stockalert::user {
namespace {

constexpr char kAdministratorKey[] = "the administrator's key";
constexpr char kMeshToken[] = "the mesh's token";

struct Mesh {
  Mesh() {
    auto started = rpc::Server::Start(
        {.address = "127.0.0.1:0",
         .credentials = ::grpc::InsecureServerCredentials(),
         .services = {&service, &internal_service},
         .service_names = {"stockalert.user.v1.UserService", "stockalert.internal.v1.UserInternalService"}});
    REQUIRE(started.ok());
    server = *std::move(started);
    channel =
        ::grpc::CreateChannel("127.0.0.1:" + std::to_string(server->port()), ::grpc::InsecureChannelCredentials());
    stub = v1::UserService::NewStub(channel);
  }
  ~Mesh() {
    server->Shutdown(absl::Now() + absl::Seconds(5));
    runner.Stop(absl::Now() + absl::Seconds(5));
  }

  // Calls `method` of the stub with the key.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(::grpc::Status (v1::UserService::StubInterface::*method)(::grpc::ClientContext*,
                                                                                         const Request&, Response*),
                                const std::string& key, const Request& request) {
    ::grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (!key.empty()) context.AddMetadata("authorization", "Bearer " + key);
    Response response;
    absl::Status status = rpc::FromGrpc((stub.get()->*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }
  v1::RegisterUserResponse Register(const std::string& email, const std::string& request_id = "") {
    v1::RegisterUserRequest request;
    request.mutable_user()->set_email(email);
    request.mutable_user()->set_display_name("Ann");
    request.set_request_id(request_id);
    auto response = Call(&v1::UserService::StubInterface::RegisterUser, "", request);
    REQUIRE(response.ok());
    return *response;
  }
  absl::StatusOr<v1::User> Get(const std::string& key, const std::string& name) {
    v1::GetUserRequest request;
    request.set_name(name);
    return Call(&v1::UserService::StubInterface::GetUser, key, request);
  }

  testing::FakeClock clock;
  base::SystemIdSource ids;
  testing::InMemoryUserStore store;
  testing::FakeTickers tickers;
  testing::FakeMonotonicClock monotonic_clock;
  RegistrationLimit limit{1000, 1000, monotonic_clock};
  UserLogic logic{store, tickers, limit,
                  ids,   clock,   UserRules{.administrator_key_sha256 = base::Sha256(kAdministratorKey)}};
  KeyAuthenticator authenticator{logic};
  rpc::CallRunner runner{{.name = "public", .threads = 4, .mesh_token = kMeshToken, .authenticator = &authenticator}};
  int deleted = 0;
  UserService service{runner, logic, [this] { ++deleted; }};
  UserInternalService internal_service{runner, logic};
  std::unique_ptr<rpc::Server> server;
  std::shared_ptr<::grpc::Channel> channel;
  std::unique_ptr<v1::UserService::Stub> stub;
};

using Stub = v1::UserService::StubInterface;

std::vector<std::string> Fields(const absl::Status& status) {
  std::vector<std::string> fields;
  const auto details = base::FindErrorDetails(status);
  REQUIRE(details);
  for (const auto& violation : details->violations) fields.push_back(violation.field);
  return fields;
}

TEST_CASE("a user can be registered, read, changed and deleted") {
  Mesh mesh;
  const v1::RegisterUserResponse registered = mesh.Register("Ann@Example.org");
  const std::string& key = registered.secret();
  CHECK(registered.user().email() == "Ann@Example.org");
  CHECK(registered.api_key().scope() == v1::ApiKey::SCOPE_FULL);
  CHECK(registered.api_key().name().starts_with(registered.user().name() + "/apiKeys/"));
  CHECK(mesh.Get(key, "users/me")->SerializeAsString() == registered.user().SerializeAsString());
  CHECK(mesh.Get(key, registered.user().name()).ok());
  CHECK(mesh.Get(kAdministratorKey, registered.user().name()).ok());

  v1::UpdateUserRequest update;
  update.mutable_user()->set_name("users/me");
  update.mutable_user()->set_display_name("Anna");
  update.mutable_user()->set_email("not to be changed");
  update.mutable_user()->set_etag(registered.user().etag());
  update.mutable_update_mask()->add_paths("display_name");
  const auto updated = mesh.Call(&Stub::UpdateUser, key, update);
  REQUIRE(updated.ok());
  CHECK(updated->display_name() == "Anna");
  CHECK(updated->email() == "Ann@Example.org");
  CHECK(updated->etag() != registered.user().etag());
  CHECK(base::ReasonOf(mesh.Call(&Stub::UpdateUser, key, update).status()) == "ETAG_MISMATCH");

  v1::DeleteUserRequest remove;
  remove.set_name("users/me");
  remove.set_etag(registered.user().etag());
  CHECK(mesh.Call(&Stub::DeleteUser, key, remove).status().code() == absl::StatusCode::kAborted);
  remove.set_etag(updated->etag());
  CHECK(mesh.Call(&Stub::DeleteUser, key, remove).ok());
  CHECK(mesh.deleted == 1);
  CHECK(mesh.Get(key, "users/me").status().code() == absl::StatusCode::kUnauthenticated);
  CHECK(mesh.Get(kAdministratorKey, registered.user().name()).status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("bad registrations are refused with all that is wrong, and nothing is stored") {
  Mesh mesh;
  struct Row {
    std::string email, display_name, request_id;
    std::vector<std::string> fields;
  };
  const Row rows[] = {{"", "", "", {"user.email", "user.display_name"}},
                      {"ann", "Ann", "", {"user.email"}},
                      {"ann@example.org", "", "", {"user.display_name"}},
                      {"ann@example.org", std::string(101, 'x'), "", {"user.display_name"}},
                      {"ann@example.org", std::string("a\0b", 3), "", {"user.display_name"}},
                      {"ann@example.org", "Ann", "has space", {"request_id"}},
                      {"ann@example.org", "Ann", std::string(65, 'x'), {"request_id"}},
                      {std::string("ann\0@example.org", 16), "Ann", "", {"user.email"}},
                      {"x", std::string(101, 'x'), "!", {"user.email", "user.display_name", "request_id"}}};
  for (const Row& row : rows) {
    v1::RegisterUserRequest request;
    request.mutable_user()->set_email(row.email);
    request.mutable_user()->set_display_name(row.display_name);
    request.set_request_id(row.request_id);
    const absl::Status status = mesh.Call(&Stub::RegisterUser, "", request).status();
    INFO(status.ToString());
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(Fields(status) == row.fields);
  }
  CHECK(mesh.store.ListUsers(std::nullopt, 10)->empty());
  mesh.Register("ann@example.org");
  // The longest name; and an address that somebody has is nobody's business.
  v1::RegisterUserRequest again;
  again.mutable_user()->set_email("ANN@EXAMPLE.ORG");
  again.mutable_user()->set_display_name("ä" + std::string(99, 'x'));
  CHECK(mesh.Call(&Stub::RegisterUser, "", again).ok());
}

TEST_CASE("an address is verified by its user with a code, by the administrator without one") {
  Mesh mesh;
  const auto ann = mesh.Register("ann@example.org");
  const auto bob = mesh.Register("ann@example.org");
  v1::VerifyEmailRequest verify;
  verify.set_name("users/me");
  CHECK(Fields(mesh.Call(&Stub::VerifyEmail, ann.secret(), verify).status()) == std::vector<std::string>{"code"});
  verify.set_name(bob.user().name());
  CHECK(mesh.Call(&Stub::VerifyEmail, ann.secret(), verify).status().code() == absl::StatusCode::kNotFound);
  // A code that an administrator sends has to be the right one, too.
  verify.set_name(ann.user().name());
  verify.set_code("0000000000");
  CHECK(mesh.Call(&Stub::VerifyEmail, kAdministratorKey, verify).status().code() ==
        absl::StatusCode::kFailedPrecondition);
  verify.clear_code();
  CHECK(mesh.Call(&Stub::VerifyEmail, kAdministratorKey, verify)->has_email_verify_time());
  CHECK(mesh.Get(ann.secret(), "users/me")->has_email_verify_time());
  v1::CreateInvitationRequest invite;
  CHECK(mesh.Call(&Stub::CreateInvitation, ann.secret(), invite).status().code() ==
        absl::StatusCode::kPermissionDenied);
  invite.mutable_expire_time()->set_seconds(1);
  CHECK(Fields(mesh.Call(&Stub::CreateInvitation, kAdministratorKey, invite).status()) ==
        std::vector<std::string>{"expire_time"});
}

TEST_CASE("other users and malformed names are refused") {
  Mesh mesh;
  const auto ann = mesh.Register("ann@example.org");
  const auto bob = mesh.Register("bob@example.org");
  CHECK(mesh.Get(ann.secret(), bob.user().name()).status().code() == absl::StatusCode::kNotFound);
  CHECK(mesh.Get(ann.secret(), "users/00000000-0000-4000-8000-000000000000").status().code() ==
        absl::StatusCode::kNotFound);
  for (const char* name :
       {"", "users", "users/", "users/x", "user/me", "users/me/", "tickers/AAPL", "users/me/apiKeys/x"}) {
    INFO(name);
    CHECK(mesh.Get(ann.secret(), name).status().code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK(mesh.Get(kAdministratorKey, "users/me").status().code() == absl::StatusCode::kInvalidArgument);
  v1::RevokeApiKeyRequest revoke;
  revoke.set_name(bob.api_key().name());
  CHECK(base::ReasonOf(mesh.Call(&Stub::RevokeApiKey, ann.secret(), revoke).status()) == "API_KEY_NOT_FOUND");
  v1::UpdateUserRequest update;
  update.mutable_user()->set_name(bob.user().name());
  update.mutable_user()->set_display_name("Hacked");
  CHECK(mesh.Call(&Stub::UpdateUser, ann.secret(), update).status().code() == absl::StatusCode::kNotFound);
  update.mutable_user()->set_name("users/me");
  update.mutable_update_mask()->add_paths("create_time");
  CHECK(Fields(mesh.Call(&Stub::UpdateUser, ann.secret(), update).status()) == std::vector<std::string>{"update_mask"});
  update.mutable_update_mask()->clear_paths();
  update.mutable_update_mask()->add_paths("email");
  CHECK(Fields(mesh.Call(&Stub::UpdateUser, ann.secret(), update).status()) == std::vector<std::string>{"user.email"});
}

TEST_CASE("lists go page by page, and tokens are good for their own list only") {
  Mesh mesh;
  std::vector<std::string> names;
  std::string key;
  for (int i = 0; i < 5; ++i) {
    const auto registered = mesh.Register("user" + std::to_string(i) + "@example.org");
    names.push_back(registered.user().name());
    key = registered.secret();
    mesh.clock.Advance(absl::Seconds(1));
  }
  CHECK(mesh.Call(&Stub::ListUsers, key, v1::ListUsersRequest()).status().code() ==
        absl::StatusCode::kPermissionDenied);
  v1::ListUsersRequest request;
  request.set_page_size(2);
  std::vector<std::string> listed;
  std::string users_token;
  for (int page = 0; page < 3; ++page) {
    const auto response = mesh.Call(&Stub::ListUsers, kAdministratorKey, request);
    REQUIRE(response.ok());
    for (const auto& user : response->users()) listed.push_back(user.name());
    CHECK(response->next_page_token().empty() == (page == 2));
    if (page == 0) users_token = response->next_page_token();
    request.set_page_token(response->next_page_token());
  }
  CHECK(listed == names);

  v1::ListApiKeysRequest keys;
  keys.set_parent("users/me");
  CHECK(mesh.Call(&Stub::ListApiKeys, key, keys)->api_keys_size() == 1);
  keys.set_page_token(users_token);
  CHECK(Fields(mesh.Call(&Stub::ListApiKeys, key, keys).status()) == std::vector<std::string>{"page_token"});
  keys.set_page_token("nonsense");
  CHECK(Fields(mesh.Call(&Stub::ListApiKeys, key, keys).status()) == std::vector<std::string>{"page_token"});
  keys.set_page_token("");
  keys.set_page_size(-1);
  CHECK(Fields(mesh.Call(&Stub::ListApiKeys, key, keys).status()) == std::vector<std::string>{"page_size"});
}

TEST_CASE("keys: scopes, expiry, revoking, and an administrator who helps") {
  Mesh mesh;
  const auto ann = mesh.Register("ann@example.org");
  v1::CreateApiKeyRequest create;
  create.set_parent("users/me");
  create.mutable_api_key()->set_display_name("reader");
  create.mutable_api_key()->set_scope(v1::ApiKey::SCOPE_READ_ONLY);
  *create.mutable_api_key()->mutable_expire_time() = rpc::TimestampFromUs(mesh.clock.NowUs() + 5'000'000);
  create.set_request_id("r1");
  const auto reader = mesh.Call(&Stub::CreateApiKey, ann.secret(), create);
  REQUIRE(reader.ok());
  CHECK(reader->secret().size() == 47);
  CHECK(reader->api_key().scope() == v1::ApiKey::SCOPE_READ_ONLY);
  const auto again = mesh.Call(&Stub::CreateApiKey, ann.secret(), create);
  REQUIRE(again.ok());
  CHECK(again->secret().empty());
  CHECK(again->api_key().name() == reader->api_key().name());
  CHECK(mesh.Get(reader->secret(), "users/me").ok());
  create.set_request_id("");
  CHECK(base::ReasonOf(mesh.Call(&Stub::CreateApiKey, reader->secret(), create).status()) == "API_KEY_READ_ONLY");
  mesh.clock.Advance(absl::Seconds(5));
  CHECK(mesh.Get(reader->secret(), "users/me").status().code() == absl::StatusCode::kUnauthenticated);
  CHECK(Fields(mesh.Call(&Stub::CreateApiKey, ann.secret(), create).status()) ==
        std::vector<std::string>{"api_key.expire_time"});
  create.mutable_api_key()->mutable_expire_time()->set_seconds(-1);
  create.mutable_api_key()->set_scope(static_cast<v1::ApiKey::Scope>(77));
  create.mutable_api_key()->set_display_name(std::string(101, 'x'));
  CHECK(Fields(mesh.Call(&Stub::CreateApiKey, ann.secret(), create).status()) ==
        std::vector<std::string>{"api_key.display_name", "api_key.scope", "api_key.expire_time"});

  v1::RevokeApiKeyRequest revoke;
  revoke.set_name(ann.api_key().name());
  CHECK(mesh.Call(&Stub::RevokeApiKey, ann.secret(), revoke)->has_revoke_time());
  CHECK(mesh.Get(ann.secret(), "users/me").status().code() == absl::StatusCode::kUnauthenticated);
  v1::CreateApiKeyRequest rescue;
  rescue.set_parent(ann.user().name());
  const auto rescued = mesh.Call(&Stub::CreateApiKey, kAdministratorKey, rescue);
  REQUIRE(rescued.ok());
  CHECK(mesh.Get(rescued->secret(), "users/me")->name() == ann.user().name());
  rescue.set_parent("users/00000000-0000-4000-8000-000000000000");
  CHECK(base::ReasonOf(mesh.Call(&Stub::CreateApiKey, kAdministratorKey, rescue).status()) == "USER_NOT_FOUND");
}

TEST_CASE("following over gRPC, and the reason why not") {
  Mesh mesh;
  const auto ann = mesh.Register("ann@example.org");
  v1::FollowTickerRequest follow;
  follow.set_parent("users/me");
  follow.set_symbol("brk.b");
  const auto followed = mesh.Call(&Stub::FollowTicker, ann.secret(), follow);
  REQUIRE(followed.ok());
  CHECK(followed->symbol() == "BRK.B");
  CHECK(followed->name() == ann.user().name() + "/followedTickers/BRK.B");
  mesh.tickers.Answer(base::Unavailable("TICKER_SERVICE_UNAVAILABLE", "the ticker service does not answer"));
  follow.set_symbol("AAPL");
  const absl::Status down = mesh.Call(&Stub::FollowTicker, ann.secret(), follow).status();
  CHECK(down.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(down) == "TICKER_SERVICE_UNAVAILABLE");
  v1::ListFollowedTickersRequest list;
  list.set_parent("users/me");
  CHECK(mesh.Call(&Stub::ListFollowedTickers, ann.secret(), list)->followed_tickers_size() == 1);
  v1::UnfollowTickerRequest unfollow;
  unfollow.set_name("users/me/followedTickers/BRK.B");
  CHECK(mesh.Call(&Stub::UnfollowTicker, ann.secret(), unfollow).ok());
  CHECK(mesh.Call(&Stub::UnfollowTicker, ann.secret(), unfollow).status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("a database that is down is UNAVAILABLE") {
  Mesh mesh;
  const auto ann = mesh.Register("ann@example.org");
  mesh.store.SetDown(true);
  const absl::Status status = mesh.Get(ann.secret(), "users/me").status();
  CHECK(status.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(status) == "DATABASE_UNAVAILABLE");
}

TEST_CASE("the other services learn whose a key is, by the mesh token") {
  Mesh mesh;
  const auto ann = mesh.Register("ann@example.org");
  const rpc::Peer peer(mesh.channel, kMeshToken);
  rpc::UserServiceAuthenticator authenticator(peer, absl::Seconds(10));
  const auto caller = authenticator.Authenticate(ann.secret(), trace::NewRoot(), absl::Now() + absl::Seconds(10));
  REQUIRE(caller.ok());
  CHECK("users/" + caller->user_id == ann.user().name());
  CHECK(authenticator.Authenticate(kAdministratorKey, trace::NewRoot(), absl::Now() + absl::Seconds(10))
            ->is_administrator);
  CHECK(authenticator.Authenticate("x", trace::NewRoot(), absl::Now() + absl::Seconds(10)).status().code() ==
        absl::StatusCode::kUnauthenticated);

  auto internal_stub = stockalert::internal::v1::UserInternalService::NewStub(mesh.channel);
  stockalert::internal::v1::GetUserResponse response;
  const auto get = [&](const std::string& id, const std::string& token) {
    ::grpc::ClientContext context;
    rpc::Peer(mesh.channel, token).Prepare(context, trace::NewRoot(), absl::Now() + absl::Seconds(10));
    stockalert::internal::v1::GetUserRequest request;
    request.set_user_id(id);
    response.Clear();
    return rpc::FromGrpc(internal_stub->GetUser(&context, request, &response));
  };
  CHECK(get(caller->user_id, kMeshToken).ok());
  CHECK(response.user_id() == caller->user_id);
  CHECK(response.email() == "ann@example.org");
  CHECK_FALSE(response.email_verified());
  CHECK(get("00000000-0000-4000-8000-000000000000", kMeshToken).code() == absl::StatusCode::kNotFound);
  CHECK(get("x", kMeshToken).code() == absl::StatusCode::kInvalidArgument);
  CHECK(get(caller->user_id, "").code() == absl::StatusCode::kUnauthenticated);
  CHECK(get(caller->user_id, "wrong").code() == absl::StatusCode::kUnauthenticated);
}

}  // namespace
}  // namespace stockalert::user
