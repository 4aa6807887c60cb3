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

// As long as a key has to be.
std::string KeyOf(const std::string& name) { return "key_0123456789_" + name; }

struct Cache {
  explicit Cache(const CachingOptions& options = {}) : cache(source, wall_clock, clock, options) {}
  absl::StatusOr<Caller> Ask(const std::string& name) {
    return cache.Authenticate(KeyOf(name), trace::NewRoot(), absl::InfiniteFuture());
  }
  bool Finds(const std::string& name) { return cache.Find(KeyOf(name)).has_value(); }
  void Advance(absl::Duration by) {
    clock.Advance(by);
    wall_clock.Advance(by);
  }
  testing::FakeClock wall_clock;
  testing::FakeMonotonicClock clock;
  CountingAuthenticator source;
  CachingAuthenticator cache;
};

TEST_CASE("answers are kept for the time and no longer, refusals too, outages not") {
  Cache cache;
  CHECK_FALSE(cache.Finds("a"));
  CHECK(cache.Ask("a")->user_id == "u");
  CHECK(cache.cache.Find(KeyOf("a"))->value().user_id == "u");
  cache.source.answer = base::Unauthenticated("API_KEY_INVALID", "x");
  CHECK(cache.Ask("a").ok());
  CHECK(cache.source.asked == 1);
  cache.Advance(absl::Seconds(4));
  CHECK_FALSE(cache.Finds("a"));
  // It was good: whoever limits unknown keys lets it be asked about.
  CHECK(cache.cache.HasKnown(KeyOf("a")));
  CHECK(cache.Ask("a").status().code() == absl::StatusCode::kUnauthenticated);
  CHECK_FALSE(cache.cache.HasKnown(KeyOf("a")));
  CHECK(cache.Ask("a").status().code() == absl::StatusCode::kUnauthenticated);
  CHECK(cache.cache.Find(KeyOf("a"))->status().code() == absl::StatusCode::kUnauthenticated);
  CHECK(cache.source.asked == 2);
  cache.Advance(absl::Seconds(10));
  cache.source.answer = base::Unavailable("USER_SERVICE_UNAVAILABLE", "x");
  CHECK(cache.Ask("a").status().code() == absl::StatusCode::kUnavailable);
  cache.source.answer = Caller{.user_id = "v", .key_id = "k"};
  CHECK(cache.Ask("a")->user_id == "v");
}

TEST_CASE("a wall clock that is set back keeps no revoked key alive") {
  Cache cache;
  CHECK(cache.Ask("a").ok());
  cache.source.answer = base::Unauthenticated("API_KEY_INVALID", "revoked");
  cache.wall_clock.Advance(absl::Hours(-1));
  cache.clock.Advance(absl::Seconds(5));
  CHECK(cache.Ask("a").status().code() == absl::StatusCode::kUnauthenticated);
}

TEST_CASE("nothing is kept beyond 5 s or the key's own expiry") {
  Cache cache({.keep = absl::Hours(1)});
  cache.source.answer = Caller{.user_id = "u", .key_id = "k", .expire_time = cache.wall_clock.Now() + absl::Seconds(1)};
  CHECK(cache.Ask("a").ok());
  cache.Advance(absl::Seconds(1));
  CHECK_FALSE(cache.Finds("a"));
  CHECK(cache.Ask("a").ok());
  CHECK(cache.source.asked == 2);
  cache.source.answer = Caller{.user_id = "u", .key_id = "k"};
  CHECK(cache.Ask("b").ok());
  cache.Advance(absl::Seconds(5));
  CHECK(cache.Ask("b").ok());
  CHECK(cache.source.asked == 4);
}

TEST_CASE("wrong keys drive out no right ones, and neither kind grows without end") {
  Cache cache({.entries_max = 100});
  for (int i = 0; i < 50; ++i) CHECK(cache.Ask("right" + std::to_string(i)).ok());
  cache.source.answer = base::Unauthenticated("API_KEY_INVALID", "x");
  for (int i = 0; i < 1000; ++i) cache.Ask("wrong" + std::to_string(i)).IgnoreError();
  cache.source.asked = 0;
  for (int i = 0; i < 50; ++i) CHECK(cache.Ask("right" + std::to_string(i)).ok());
  CHECK(cache.source.asked == 0);
  int remembered = 0;
  for (int i = 0; i < 1000; ++i) remembered += cache.Finds("wrong" + std::to_string(i)) ? 1 : 0;
  CHECK(remembered == 100);
  cache.source.answer = Caller{.user_id = "u", .key_id = "k"};
  for (int i = 0; i < 1000; ++i) CHECK(cache.Ask("more" + std::to_string(i)).ok());
  remembered = 0;
  for (int i = 0; i < 1000; ++i) remembered += cache.Finds("more" + std::to_string(i)) ? 1 : 0;
  CHECK(remembered <= 100);
}

TEST_CASE("text that cannot be a key is refused without a call") {
  Cache cache;
  for (const std::string& text :
       {std::string(), std::string("short"), std::string(201, 'x'), std::string("fifteen_letters"),
        std::string("key_0123456789_\x01"), std::string("key_0123456789_\xff")}) {
    INFO(text);
    CHECK_FALSE(IsKeyLike(text));
    CHECK(cache.cache.Find(text)->status().code() == absl::StatusCode::kUnauthenticated);
    CHECK(cache.cache.Authenticate(text, trace::NewRoot(), absl::InfiniteFuture()).status().code() ==
          absl::StatusCode::kUnauthenticated);
  }
  CHECK(cache.source.asked == 0);
  CHECK(IsKeyLike("sak_0123456789012345678901234567890123456789abc"));
  CHECK(IsKeyLike("sixteen_letters_"));
  CHECK(IsKeyLike("an administrator's key"));
}

class UserInternal final : public stockalert::internal::v1::UserInternalService::CallbackService {
 public:
  explicit UserInternal(CallRunner& runner) : runner_(runner) {}
  ::grpc::ServerUnaryReactor* AuthenticateApiKey(
      ::grpc::CallbackServerContext* context, const stockalert::internal::v1::AuthenticateApiKeyRequest* request,
      stockalert::internal::v1::AuthenticateApiKeyResponse* response) override {
    using Request = stockalert::internal::v1::AuthenticateApiKeyRequest;
    using Response = stockalert::internal::v1::AuthenticateApiKeyResponse;
    return RunUnary(runner_, context, {"stockalert.internal.v1.UserInternalService/AuthenticateApiKey", Access::kMesh},
                    request, response, [](const CallContext&, const Request& asked) -> absl::StatusOr<Response> {
                      if (asked.api_key() != "good") return base::Unauthenticated("API_KEY_INVALID", "x");
                      Response answer;
                      answer.set_user_id("u");
                      answer.set_key_id("k");
                      answer.set_read_only(true);
                      *answer.mutable_expire_time() = TimestampFromUs(1'250'000);
                      return answer;
                    });
  }

 private:
  CallRunner& runner_;
};

TEST_CASE("the user service is asked with the mesh token; without it or an answer every call is refused") {
  CallRunner runner({.name = "internal", .threads = 2, .mesh_token = "mesh"});
  UserInternal service(runner);
  auto server = Server::Start({.address = "127.0.0.1:0",
                               .credentials = ::grpc::InsecureServerCredentials(),
                               .services = {&service},
                               .service_names = {"stockalert.internal.v1.UserInternalService"}});
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
  CHECK(caller->expire_time == absl::FromUnixMicros(1'250'000));
  CHECK(authenticator.Authenticate("bad", trace::NewRoot(), deadline).status().code() ==
        absl::StatusCode::kUnauthenticated);

  for (const char* token : {"", "wrong"}) {
    const Peer stranger({.address = address, .credentials = ::grpc::InsecureChannelCredentials(), .mesh_token = token});
    UserServiceAuthenticator refused(stranger, absl::Seconds(10));
    CHECK(refused.Authenticate("good", trace::NewRoot(), deadline).status().code() == absl::StatusCode::kUnavailable);
  }
  (*server)->Shutdown(absl::Now());
  const absl::Status down =
      authenticator.Authenticate("good", trace::NewRoot(), absl::Now() + absl::Seconds(1)).status();
  CHECK(down.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(down) == "USER_SERVICE_UNAVAILABLE");
}

}  // namespace
}  // namespace stockalert::rpc
