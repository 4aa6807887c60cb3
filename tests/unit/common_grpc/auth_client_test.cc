#include "services/common/grpc/auth_client.h"

#include <catch2/catch.hpp>

#include "services/common/base/error.h"
#include "services/common/grpc/call_runner.h"
#include "services/common/grpc/server.h"
#include "services/common/grpc/time_convert.h"
#include "stockalert/internal/v1/user_internal.grpc.pb.h"
#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::rpc {
namespace {

class CountingAuthenticator final : public Authenticator {
 public:
  absl::StatusOr<Caller> Authenticate(std::string_view, const trace::Context&, absl::Time) override {
    ++asked;
    return answer;
  }
  absl::StatusOr<Caller> answer = Caller{.user_id = "u", .key_id = "k"};
  int asked = 0;
};

TEST_CASE("answers are kept for the time and no longer, refusals too, outages not") {
  testing::FakeClock clock;
  CountingAuthenticator source;
  CachingAuthenticator cache(source, clock, absl::Seconds(4));
  const auto ask = [&](const char* key) { return cache.Authenticate(key, trace::NewRoot(), absl::InfiniteFuture()); };
  CHECK(ask("a")->user_id == "u");
  source.answer = base::Unauthenticated("API_KEY_INVALID", "x");
  CHECK(ask("a").ok());
  CHECK(source.asked == 1);
  clock.Advance(absl::Seconds(4));
  CHECK(ask("a").status().code() == absl::StatusCode::kUnauthenticated);
  CHECK(ask("a").status().code() == absl::StatusCode::kUnauthenticated);
  CHECK(source.asked == 2);
  clock.Advance(absl::Seconds(4));
  source.answer = base::Unavailable("USER_SERVICE_UNAVAILABLE", "x");
  CHECK(ask("a").status().code() == absl::StatusCode::kUnavailable);
  source.answer = Caller{.user_id = "v", .key_id = "k"};
  CHECK(ask("a")->user_id == "v");
}

TEST_CASE("nothing is kept beyond 5 s or the key's own expiry, nor more than fits") {
  testing::FakeClock clock;
  CountingAuthenticator source;
  CachingAuthenticator cache(source, clock, absl::Hours(1), 2);
  const auto ask = [&](const char* key) { return cache.Authenticate(key, trace::NewRoot(), absl::InfiniteFuture()); };
  source.answer = Caller{.user_id = "u", .key_id = "k", .expire_time = clock.Now() + absl::Seconds(1)};
  CHECK(ask("a").ok());
  clock.Advance(absl::Seconds(1));
  CHECK(ask("a").ok());
  CHECK(source.asked == 2);
  source.answer = Caller{.user_id = "u", .key_id = "k"};
  CHECK(ask("b").ok());
  clock.Advance(absl::Seconds(5));
  CHECK(ask("b").ok());
  CHECK(source.asked == 4);
  for (const char* key : {"c", "d", "e", "f"}) CHECK(ask(key).ok());
  CHECK(source.asked == 8);
}

class UserInternal final : public stockalert::internal::v1::UserInternalService::CallbackService {
 public:
  explicit UserInternal(CallRunner& runner) : runner_(runner) {}
  ::grpc::ServerUnaryReactor* AuthenticateApiKey(::grpc::CallbackServerContext* context,
                                                 const stockalert::internal::v1::AuthenticateApiKeyRequest* request,
                                                 stockalert::internal::v1::AuthenticateApiKeyResponse* response) override {
    using Request = stockalert::internal::v1::AuthenticateApiKeyRequest;
    using Response = stockalert::internal::v1::AuthenticateApiKeyResponse;
    return Unary(runner_, context, {"stockalert.internal.v1.UserInternalService/AuthenticateApiKey", Access::kMesh}, request, response,
                 [](const CallContext&, const Request& asked) -> absl::StatusOr<Response> {
                   if (asked.api_key() != "good") return base::Unauthenticated("API_KEY_INVALID", "x");
                   Response answer;
                   answer.set_user_id("u");
                   answer.set_key_id("k");
                   answer.set_read_only(true);
                   *answer.mutable_expire_time() = TimestampFromUs(1'000'000);
                   return answer;
                 });
  }

 private:
  CallRunner& runner_;
};

TEST_CASE("the user service is asked with the mesh token; without it, or without an answer, nobody gets in") {
  CallRunner runner({.name = "internal", .threads = 2, .mesh_token = "mesh"});
  UserInternal service(runner);
  auto server = Server::Start({.address = "127.0.0.1:0", .credentials = ::grpc::InsecureServerCredentials(), .services = {&service}, .service_names = {"stockalert.internal.v1.UserInternalService"}});
  REQUIRE(server.ok());
  const std::string address = "127.0.0.1:" + std::to_string((*server)->port());
  const absl::Time deadline = absl::Now() + absl::Seconds(20);

  const Peer peer({.address = address, .credentials = ::grpc::InsecureChannelCredentials(), .mesh_token = "mesh"});
  UserServiceAuthenticator authenticator(peer, absl::Seconds(10));
  const absl::StatusOr<Caller> caller = authenticator.Authenticate("good", trace::NewRoot(), deadline);
  REQUIRE(caller.ok());
  CHECK(caller->user_id == "u");
  CHECK(caller->read_only);
  CHECK_FALSE(caller->is_administrator);
  CHECK(caller->expire_time == absl::FromUnixSeconds(1));
  CHECK(authenticator.Authenticate("bad", trace::NewRoot(), deadline).status().code() == absl::StatusCode::kUnauthenticated);

  for (const char* token : {"", "wrong"}) {
    const Peer stranger({.address = address, .credentials = ::grpc::InsecureChannelCredentials(), .mesh_token = token});
    UserServiceAuthenticator refused(stranger, absl::Seconds(10));
    CHECK(refused.Authenticate("good", trace::NewRoot(), deadline).status().code() == absl::StatusCode::kUnavailable);
  }
  (*server)->Shutdown(absl::Now());
  const absl::Status down = authenticator.Authenticate("good", trace::NewRoot(), absl::Now() + absl::Seconds(1)).status();
  CHECK(down.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(down) == "USER_SERVICE_UNAVAILABLE");
}

}  // namespace
}  // namespace stockalert::rpc
