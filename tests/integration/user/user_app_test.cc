// The whole user service against real Postgres and Kafka, with a ticker service made up for the test.
#include "services/user/app.h"

#include <httplib.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <map>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/grpc/call_runner.h"
#include "services/common/grpc/server.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/topic_admin.h"
#include "stockalert/internal/v1/events.pb.h"
#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"
#include "stockalert/user/v1/user.grpc.pb.h"
#include "tests/support/flaky_proxy/flaky_proxy.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::user {
namespace {

namespace internal_v1 = stockalert::internal::v1;
using Stub = v1::UserService::StubInterface;

constexpr char kMeshToken[] = "the mesh token of the test";
constexpr char kAdministratorKey[] = "the administrator's key";

// Registers every symbol but NOSUCH.
class TickerService final : public internal_v1::TickerInternalService::CallbackService {
 public:
  TickerService() {
    auto started = rpc::Server::Start({.address = "127.0.0.1:0",
                                       .credentials = ::grpc::InsecureServerCredentials(),
                                       .services = {this},
                                       .service_names = {"stockalert.internal.v1.TickerInternalService"}});
    if (!started.ok()) throw std::runtime_error(started.status().ToString());
    server_ = *std::move(started);
  }
  ~TickerService() override { Stop(); }
  void Stop() {
    if (server_) server_->Shutdown(absl::Now() + absl::Seconds(5));
    runner_.Stop(absl::Now() + absl::Seconds(5));
    server_.reset();
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(server_->port()); }
  int calls() const { return calls_; }

  ::grpc::ServerUnaryReactor* RegisterTicker(::grpc::CallbackServerContext* context,
                                             const internal_v1::RegisterTickerRequest* request,
                                             internal_v1::RegisterTickerResponse* response) override {
    return rpc::RunUnary(
        runner_, context, {"stockalert.internal.v1.TickerInternalService/RegisterTicker", rpc::Access::kMesh}, request,
        response,
        [this](const rpc::CallContext&,
               const internal_v1::RegisterTickerRequest& asked) -> absl::StatusOr<internal_v1::RegisterTickerResponse> {
          ++calls_;
          if (asked.hold_ms() <= 0) return absl::InternalError("a follow must hold its ticker");
          if (asked.symbol() == "NOSUCH")
            return base::InvalidField("symbol", "is not known to the source", "UNKNOWN_SYMBOL");
          internal_v1::RegisterTickerResponse answer;
          answer.set_symbol(asked.symbol());
          return answer;
        });
  }

 private:
  std::atomic<int> calls_{0};
  rpc::CallRunner runner_{{.name = "ticker", .threads = 2, .mesh_token = kMeshToken}};
  std::unique_ptr<rpc::Server> server_;
};

// A running user service and a stub for it.
struct Running {
  Running(const std::string& postgres_url, const std::string& bootstrap, const std::string& ticker_address) {
    Config config;
    config.public_address = config.http_address = config.internal_address = "127.0.0.1:0";
    config.ticker_address = ticker_address;
    config.postgres_url = postgres_url;
    config.kafka_bootstrap = bootstrap;
    config.mesh_token = kMeshToken;
    config.tls.plaintext = true;
    config.admin_key = kAdministratorKey;
    config.ticker_timeout = absl::Seconds(1);
    config.outbox_poll = absl::Milliseconds(100);
    config.start_timeout = absl::Seconds(20);
    auto created = UserApp::Create(config);
    if (!created.ok()) throw std::runtime_error(created.status().ToString());
    app = *std::move(created);
    if (const absl::Status status = app->Start(); !status.ok()) throw std::runtime_error(status.ToString());
    stub = v1::UserService::NewStub(
        ::grpc::CreateChannel("127.0.0.1:" + std::to_string(app->public_port()), ::grpc::InsecureChannelCredentials()));
  }
  ~Running() { app->Stop(absl::Now() + absl::Seconds(10)); }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(::grpc::Status (Stub::*method)(::grpc::ClientContext*, const Request&, Response*),
                                const std::string& key, const Request& request) {
    ::grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (!key.empty()) context.AddMetadata("authorization", "Bearer " + key);
    context.AddMetadata("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    Response response;
    absl::Status status = rpc::FromGrpc((stub.get()->*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }
  v1::RegisterUserResponse Register(const std::string& email) {
    v1::RegisterUserRequest request;
    request.mutable_user()->set_email(email);
    request.mutable_user()->set_display_name("Ann");
    auto response = Call(&Stub::RegisterUser, "", request);
    REQUIRE(response.ok());
    return *response;
  }
  absl::StatusOr<v1::User> GetMe(const std::string& key) {
    v1::GetUserRequest request;
    request.set_name("users/me");
    return Call(&Stub::GetUser, key, request);
  }
  int Readiness() {
    const auto response = httplib::Client("127.0.0.1", app->http_port()).Get("/readyz");
    return response ? response->status : 0;
  }

  std::unique_ptr<UserApp> app;
  std::unique_ptr<v1::UserService::Stub> stub;
};

void CreateUserEventsTopic(const std::string& bootstrap) {
  auto admin = kafka::TopicAdmin::Create({.bootstrap = bootstrap, .client_id = "test", .extra = {}});
  REQUIRE(admin.ok());
  kafka::TopicSpec spec;
  spec.name = kafka::kUserEventsTopic;
  spec.partitions = 4;
  const absl::Status status = (*admin)->CreateTopic(spec, absl::Seconds(10));
  REQUIRE((status.ok() || status.code() == absl::StatusCode::kAlreadyExists));
  REQUIRE((*admin)->AwaitTopics({kafka::kUserEventsTopic}, absl::Now() + absl::Seconds(10)).ok());
}

TEST_CASE("a user's deletion is published to Kafka, with the trace of the call") {
  const std::string bootstrap = testing::KafkaBootstrapOrSkip();
  testing::TestDatabase database;
  database.Migrate("user");
  CreateUserEventsTopic(bootstrap);
  TickerService tickers;
  Running running(database.url(), bootstrap, tickers.address());
  CHECK(running.Readiness() == 200);

  const v1::RegisterUserResponse ann = running.Register("ann@example.org");
  v1::FollowTickerRequest follow;
  follow.set_parent("users/me");
  follow.set_symbol("aapl");
  CHECK(running.Call(&Stub::FollowTicker, ann.secret(), follow)->symbol() == "AAPL");
  CHECK(database.Count("SELECT count(*) FROM stockalert_user.followed_tickers WHERE symbol = 'AAPL'") == 1);

  auto consumer =
      kafka::AssignedConsumer::Create({.bootstrap = bootstrap, .client_id = "test", .extra = {}, .registry = nullptr});
  REQUIRE(consumer.ok());
  REQUIRE((*consumer)->AssignAll(kafka::kUserEventsTopic, kafka::kBeginning, absl::Seconds(10)).ok());
  v1::DeleteUserRequest remove;
  remove.set_name("users/me");
  REQUIRE(running.Call(&Stub::DeleteUser, ann.secret(), remove).ok());
  CHECK(running.GetMe(ann.secret()).status().code() == absl::StatusCode::kUnauthenticated);

  const std::string id = ann.user().name().substr(6);
  bool told = false;
  const absl::Time give_up = absl::Now() + absl::Seconds(30);
  while (!told && absl::Now() < give_up) {
    for (const kafka::Message& message : (*consumer)->Poll(absl::Milliseconds(200), 100).messages) {
      if (message.key() != id) continue;
      internal_v1::UserEvent event;
      REQUIRE(event.ParseFromArray(message.value().data(), static_cast<int>(message.value().size())));
      CHECK(event.user_deleted().user_id() == id);
      CHECK(message.traceparent().substr(3, 32) == "4bf92f3577b34da6a3ce929d0e0e4736");
      told = true;
    }
  }
  CHECK(told);
  while (database.Count("SELECT count(*) FROM stockalert_user.outbox") > 0 && absl::Now() < give_up)
    absl::SleepFor(absl::Milliseconds(20));
  CHECK(database.Count("SELECT count(*) FROM stockalert_user.outbox") == 0);
  CHECK(database.Count("SELECT count(*) FROM stockalert_user.followed_tickers") == 0);
}

TEST_CASE("an address is verified by the code that went to Kafka, or by the administrator, and is one user's then") {
  const std::string bootstrap = testing::KafkaBootstrapOrSkip();
  testing::TestDatabase database;
  database.Migrate("user");
  CreateUserEventsTopic(bootstrap);
  TickerService tickers;
  Running running(database.url(), bootstrap, tickers.address());
  const v1::RegisterUserResponse ann = running.Register("ann@example.org");
  const v1::RegisterUserResponse impostor = running.Register("ANN@example.org");
  CHECK(ann.user().name() != impostor.user().name());

  auto consumer =
      kafka::AssignedConsumer::Create({.bootstrap = bootstrap, .client_id = "test", .extra = {}, .registry = nullptr});
  REQUIRE(consumer.ok());
  REQUIRE((*consumer)->AssignAll(kafka::kUserEventsTopic, kafka::kBeginning, absl::Seconds(10)).ok());
  v1::SendEmailVerificationRequest send;
  send.set_name("users/me");
  REQUIRE(running.Call(&Stub::SendEmailVerification, ann.secret(), send).ok());
  const std::string id = ann.user().name().substr(6);
  std::string code;
  const absl::Time give_up = absl::Now() + absl::Seconds(30);
  while (code.empty() && absl::Now() < give_up) {
    for (const kafka::Message& message : (*consumer)->Poll(absl::Milliseconds(200), 100).messages) {
      if (message.key() != id) continue;
      internal_v1::UserEvent event;
      REQUIRE(event.ParseFromArray(message.value().data(), static_cast<int>(message.value().size())));
      CHECK(event.email_verification_requested().email() == "ann@example.org");
      code = event.email_verification_requested().code();
    }
  }
  REQUIRE(code.size() == 10);
  v1::VerifyEmailRequest verify;
  verify.set_name("users/me");
  verify.set_code(code);
  CHECK(base::ReasonOf(running.Call(&Stub::VerifyEmail, impostor.secret(), verify).status()) == "EMAIL_CODE_INVALID");
  const auto verified = running.Call(&Stub::VerifyEmail, ann.secret(), verify);
  REQUIRE(verified.ok());
  CHECK(verified->has_email_verify_time());
  verify.set_name(impostor.user().name());
  verify.clear_code();
  CHECK(base::ReasonOf(running.Call(&Stub::VerifyEmail, kAdministratorKey, verify).status()) == "EMAIL_TAKEN");
  v1::CreateInvitationRequest invite;
  CHECK(running.Call(&Stub::CreateInvitation, ann.secret(), invite).status().code() ==
        absl::StatusCode::kPermissionDenied);
  CHECK(running.Call(&Stub::CreateInvitation, kAdministratorKey, invite)->code().size() >= 20);
  // The code is kept no longer than the broker needs it.
  while (database.Count("SELECT count(*) FROM stockalert_user.email_verifications WHERE untold_code IS NOT NULL") > 0 &&
         absl::Now() < give_up) {
    absl::SleepFor(absl::Milliseconds(20));
  }
  CHECK(database.Count("SELECT count(*) FROM stockalert_user.email_verifications WHERE untold_code IS NOT NULL") == 0);
}

TEST_CASE("no Kafka: users come and go all the same, and the word waits") {
  testing::TestDatabase database;
  database.Migrate("user");
  TickerService tickers;
  Running running(database.url(), "127.0.0.1:1", tickers.address());
  const v1::RegisterUserResponse ann = running.Register("ann@example.org");
  v1::DeleteUserRequest remove;
  remove.set_name("users/me");
  CHECK(running.Call(&Stub::DeleteUser, ann.secret(), remove).ok());
  CHECK(database.Count("SELECT count(*) FROM stockalert_user.outbox") == 1);
  CHECK(running.Readiness() == 200);
}

TEST_CASE("a ticker service that is away or refuses: nothing is followed") {
  testing::TestDatabase database;
  database.Migrate("user");
  TickerService tickers;
  Running running(database.url(), "127.0.0.1:1", tickers.address());
  const v1::RegisterUserResponse ann = running.Register("ann@example.org");
  v1::FollowTickerRequest follow;
  follow.set_parent("users/me");
  follow.set_symbol("NOSUCH");
  const absl::Status unknown = running.Call(&Stub::FollowTicker, ann.secret(), follow).status();
  CHECK(unknown.code() == absl::StatusCode::kInvalidArgument);
  CHECK(base::ReasonOf(unknown) == "UNKNOWN_SYMBOL");
  follow.set_symbol("AAPL");
  tickers.Stop();
  const absl::Time begun = absl::Now();
  const absl::Status down = running.Call(&Stub::FollowTicker, ann.secret(), follow).status();
  CHECK(down.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(down) == "TICKER_SERVICE_UNAVAILABLE");
  CHECK(absl::Now() - begun < absl::Seconds(5));
  CHECK(database.Count("SELECT count(*) FROM stockalert_user.followed_tickers") == 0);
}

TEST_CASE("a database that goes down is reported, and is used again when it is back") {
  testing::TestDatabase database;
  database.Migrate("user");
  TickerService tickers;
  testing::FlakyProxy proxy(database.port());
  Running running(database.UrlAtPort(proxy.port()), "127.0.0.1:1", tickers.address());
  const v1::RegisterUserResponse ann = running.Register("ann@example.org");
  proxy.Cut();
  const absl::Time begun = absl::Now();
  const absl::Status down = running.GetMe(ann.secret()).status();
  CHECK(down.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(down) == "DATABASE_UNAVAILABLE");
  CHECK(absl::Now() - begun < absl::Seconds(10));
  CHECK(running.Readiness() == 503);
  proxy.Mend();
  const absl::Time give_up = absl::Now() + absl::Seconds(20);
  while (!running.GetMe(ann.secret()).ok() && absl::Now() < give_up) absl::SleepFor(absl::Milliseconds(50));
  CHECK(running.GetMe(ann.secret()).ok());
  CHECK(running.Readiness() == 200);
}

TEST_CASE("no secret is in the database") {
  testing::TestDatabase database;
  database.Migrate("user");
  TickerService tickers;
  Running running(database.url(), "127.0.0.1:1", tickers.address());
  const v1::RegisterUserResponse ann = running.Register("ann@example.org");
  CHECK(database.Count("SELECT count(*) FROM stockalert_user.api_keys k WHERE strpos(CAST(k AS text), '" +
                       ann.secret().substr(10) + "') > 0") == 0);
  CHECK(database.Count("SELECT count(*) FROM stockalert_user.api_keys") == 1);
  v1::ListUsersRequest list;
  CHECK(running.Call(&Stub::ListUsers, kAdministratorKey, list)->users_size() == 1);
}

}  // namespace
}  // namespace stockalert::user
