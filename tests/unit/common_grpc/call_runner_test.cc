// The common path of calls, over a real server and stubs.
#include "services/common/grpc/call_runner.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <latch>
#include <mutex>
#include <thread>
#include <utility>

#include "services/common/base/error.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/server.h"
#include "services/common/metrics/metrics.h"
#include "stockalert/notification/v1/notification.grpc.pb.h"
#include "stockalert/user/v1/user.grpc.pb.h"

namespace stockalert::rpc {
namespace {

namespace user = stockalert::user::v1;
namespace notification = stockalert::notification::v1;

class KeyTable final : public Authenticator {
 public:
  absl::StatusOr<Caller> Authenticate(std::string_view key, const trace::Context&, absl::Time) override {
    if (key == "full" && !revoked) return Caller{.user_id = "u", .key_id = "1"};
    if (key == "read") return Caller{.user_id = "u", .key_id = "2", .read_only = true};
    if (key == "admin") return Caller{.key_id = "a", .is_administrator = true};
    if (key == "down") return base::Unavailable("USER_SERVICE_UNAVAILABLE", "down");
    return base::Unauthenticated("API_KEY_INVALID", "no such key");
  }
  std::atomic<bool> revoked{false};
};

class Users final : public user::UserService::CallbackService {
 public:
  explicit Users(CallRunner& runner) : runner_(runner) {}
  ::grpc::ServerUnaryReactor* GetUser(::grpc::CallbackServerContext* context, const user::GetUserRequest* request, user::User* response) override {
    return Unary(runner_, context, {"stockalert.user.v1.UserService/GetUser", Access::kRead}, request, response,
                 [this](const CallContext& call, const user::GetUserRequest& asked) { return get(call, asked); });
  }
  ::grpc::ServerUnaryReactor* UpdateUser(::grpc::CallbackServerContext* context, const user::UpdateUserRequest* request, user::User* response) override {
    return Unary(runner_, context, {"stockalert.user.v1.UserService/UpdateUser", Access::kWrite}, request, response,
                 [](const CallContext&, const user::UpdateUserRequest&) -> absl::StatusOr<user::User> { return user::User(); });
  }
  ::grpc::ServerUnaryReactor* ListUsers(::grpc::CallbackServerContext* context, const user::ListUsersRequest* request,
                                        user::ListUsersResponse* response) override {
    return Unary(runner_, context, {"stockalert.user.v1.UserService/ListUsers", Access::kAdministrator}, request, response,
                 [](const CallContext&, const user::ListUsersRequest&) -> absl::StatusOr<user::ListUsersResponse> { return user::ListUsersResponse(); });
  }
  ::grpc::ServerUnaryReactor* RegisterUser(::grpc::CallbackServerContext* context, const user::RegisterUserRequest* request,
                                           user::RegisterUserResponse* response) override {
    return Unary(runner_, context, {"stockalert.user.v1.UserService/RegisterUser", Access::kNobody}, request, response,
                 [](const CallContext&, const user::RegisterUserRequest&) -> absl::StatusOr<user::RegisterUserResponse> { return user::RegisterUserResponse(); });
  }
  std::function<absl::StatusOr<user::User>(const CallContext&, const user::GetUserRequest&)> get;

 private:
  CallRunner& runner_;
};

using Notifications = Stream<notification::WatchNotificationsResponse>;

class Watch final : public notification::NotificationService::CallbackService {
 public:
  explicit Watch(CallRunner& runner) : runner_(runner) {}
  ::grpc::ServerWriteReactor<notification::WatchNotificationsResponse>* WatchNotifications(
      ::grpc::CallbackServerContext* context, const notification::WatchNotificationsRequest* request) override {
    return ServerStream<notification::WatchNotificationsRequest, notification::WatchNotificationsResponse>(
        runner_, context, {"stockalert.notification.v1.NotificationService/WatchNotifications", Access::kRead}, request, 4,
        [this](const CallContext& call, const notification::WatchNotificationsRequest& asked, std::shared_ptr<Notifications> stream) {
          return open(call, asked, std::move(stream));
        });
  }
  std::function<absl::Status(const CallContext&, const notification::WatchNotificationsRequest&, std::shared_ptr<Notifications>)> open;

 private:
  CallRunner& runner_;
};

struct Fixture {
  explicit Fixture(CallRunnerOptions options = {}) : runner(With(std::move(options), &keys)), users(runner), watch(runner) {
    users.get = [](const CallContext& call, const user::GetUserRequest& request) -> absl::StatusOr<user::User> {
      user::User answer;
      answer.set_name(request.name());
      answer.set_email(call.caller.user_id);
      answer.set_display_name(call.trace.trace_id);
      return answer;
    };
    auto started = Server::Start({.address = "127.0.0.1:0",
                                  .credentials = ::grpc::InsecureServerCredentials(),
                                  .services = {&users, &watch},
                                  .service_names = {"stockalert.user.v1.UserService", "stockalert.notification.v1.NotificationService"}});
    REQUIRE(started.ok());
    server = *std::move(started);
    server->SetServing(true);
    channel = ::grpc::CreateChannel("127.0.0.1:" + std::to_string(server->port()), ::grpc::InsecureChannelCredentials());
    users_stub = user::UserService::NewStub(channel);
    watch_stub = notification::NotificationService::NewStub(channel);
  }
  ~Fixture() {
    runner.EndStreams();
    server->Shutdown(absl::Now() + absl::Seconds(5));
    runner.Stop(absl::Now() + absl::Seconds(5));
  }
  static CallRunnerOptions With(CallRunnerOptions options, Authenticator* authenticator) {
    options.authenticator = authenticator;
    return options;
  }
  static void Prepare(::grpc::ClientContext& context, const std::string& authorization) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (!authorization.empty()) context.AddMetadata("authorization", authorization);
  }
  ::grpc::Status Get(const std::string& authorization, user::User* answer = nullptr, const std::string& traceparent = "") {
    ::grpc::ClientContext context;
    Prepare(context, authorization);
    if (!traceparent.empty()) context.AddMetadata("traceparent", traceparent);
    user::GetUserRequest request;
    request.set_name("users/me");
    user::User ignored;
    return users_stub->GetUser(&context, request, answer == nullptr ? &ignored : answer);
  }

  KeyTable keys;
  CallRunner runner;
  Users users;
  Watch watch;
  std::unique_ptr<Server> server;
  std::shared_ptr<::grpc::Channel> channel;
  std::unique_ptr<user::UserService::Stub> users_stub;
  std::unique_ptr<notification::NotificationService::Stub> watch_stub;
};

std::string Reason(const ::grpc::Status& status) { return base::ReasonOf(FromGrpc(status)); }

TEST_CASE("keys and scopes decide who gets in") {
  Fixture fixture;
  for (const char* authorization : {"Bearer full", "bearer full", "BEARER   full", "Bearer read", "Bearer admin"}) CHECK(fixture.Get(authorization).ok());
  struct Row {
    std::string authorization;
    ::grpc::StatusCode code;
    const char* reason;
  };
  const Row rows[] = {{"", ::grpc::UNAUTHENTICATED, "API_KEY_MISSING"},
                      {"full", ::grpc::UNAUTHENTICATED, "API_KEY_MISSING"},
                      {"Bearer", ::grpc::UNAUTHENTICATED, "API_KEY_MISSING"},
                      {"Basic full", ::grpc::UNAUTHENTICATED, "API_KEY_MISSING"},
                      {"Bearer wrong", ::grpc::UNAUTHENTICATED, "API_KEY_INVALID"},
                      {"Bearer " + std::string(1000, 'x'), ::grpc::UNAUTHENTICATED, "API_KEY_INVALID"},
                      {"Bearer down", ::grpc::UNAVAILABLE, "USER_SERVICE_UNAVAILABLE"}};
  for (const Row& row : rows) {
    INFO(row.authorization);
    const ::grpc::Status status = fixture.Get(row.authorization);
    CHECK(status.error_code() == row.code);
    CHECK(Reason(status) == row.reason);
  }
  const auto update = [&](const char* authorization) {
    ::grpc::ClientContext context;
    Fixture::Prepare(context, authorization);
    user::User answer;
    return fixture.users_stub->UpdateUser(&context, user::UpdateUserRequest(), &answer);
  };
  CHECK(update("Bearer full").ok());
  CHECK(Reason(update("Bearer read")) == "API_KEY_READ_ONLY");
  CHECK(update("Bearer read").error_code() == ::grpc::PERMISSION_DENIED);
  const auto list = [&](const char* authorization) {
    ::grpc::ClientContext context;
    Fixture::Prepare(context, authorization);
    user::ListUsersResponse answer;
    return fixture.users_stub->ListUsers(&context, user::ListUsersRequest(), &answer);
  };
  CHECK(list("Bearer admin").ok());
  CHECK(Reason(list("Bearer full")) == "ADMINISTRATOR_ONLY");
  ::grpc::ClientContext context;
  Fixture::Prepare(context, "");
  user::RegisterUserResponse answer;
  CHECK(fixture.users_stub->RegisterUser(&context, user::RegisterUserRequest(), &answer).ok());
}

TEST_CASE("the trace goes on, errors are converted, calls are counted") {
  Fixture fixture;
  user::User answer;
  CHECK(fixture.Get("Bearer full", &answer, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").ok());
  CHECK(answer.display_name() == "4bf92f3577b34da6a3ce929d0e0e4736");
  CHECK(answer.email() == "u");
  fixture.users.get = [](const CallContext&, const user::GetUserRequest&) -> absl::StatusOr<user::User> {
    return absl::InternalError("SELECT secret");
  };
  const ::grpc::Status status = fixture.Get("Bearer full");
  CHECK(status.error_code() == ::grpc::INTERNAL);
  CHECK(status.error_message().find("SELECT") == std::string::npos);
  CHECK(metrics::ExpositionText().find("code=\"INTERNAL\",method=\"stockalert.user.v1.UserService/GetUser\"") != std::string::npos);
}

TEST_CASE("calls beyond the queue are refused at once; a stopped runner answers what it accepted") {
  CallRunnerOptions options;
  options.threads = 1;
  options.queue_max = 1;
  Fixture fixture(options);
  std::latch begun(1);
  std::latch release(1);
  std::atomic<int> calls{0};
  fixture.users.get = [&](const CallContext&, const user::GetUserRequest&) -> absl::StatusOr<user::User> {
    if (calls++ == 0) {
      begun.count_down();
      release.wait();
    }
    return user::User();
  };
  ::grpc::Status first;
  std::thread running([&] { first = fixture.Get("Bearer full"); });
  begun.wait();
  std::atomic<bool> waited{false};
  REQUIRE(fixture.runner.TrySubmit([&waited] { waited = true; }));
  const ::grpc::Status refused = fixture.Get("Bearer full");
  CHECK(refused.error_code() == ::grpc::RESOURCE_EXHAUSTED);
  CHECK(Reason(refused) == "OVERLOADED");
  CHECK(base::FindErrorDetails(FromGrpc(refused))->retry_delay.has_value());
  release.count_down();
  running.join();
  CHECK(first.ok());
  CHECK(fixture.runner.Stop(absl::Now() + absl::Seconds(5)));
  CHECK(waited);
  CHECK(Reason(fixture.Get("Bearer full")) == "SHUTTING_DOWN");
}

TEST_CASE("a stream brings what is pushed, in order, and ends with the given status") {
  Fixture fixture;
  std::atomic<int> done{0};
  fixture.watch.open = [&](const CallContext& call, const notification::WatchNotificationsRequest& request,
                           const std::shared_ptr<Notifications>& stream) {
    CHECK(call.caller.user_id == "u");
    // A source of 100 messages that pushes as space comes free.
    struct Source {
      std::mutex mutex;  // The first push and on_drained may meet.
      int next = 0;
    };
    auto source = std::make_shared<Source>();
    auto push = [weak = std::weak_ptr(stream), source, cursor = request.cursor()] {
      const std::shared_ptr<Notifications> self = weak.lock();
      if (!self) return;
      std::lock_guard lock(source->mutex);
      while (source->next < 100) {
        notification::WatchNotificationsResponse response;
        response.set_cursor(cursor + std::to_string(source->next));
        if (!self->TryPush(response)) return;
        ++source->next;
      }
      self->Finish(base::Unavailable("OVER", "that was all"));
    };
    stream->SetHooks({.on_drained = push, .on_done = [&done] { ++done; }});
    push();
    return absl::OkStatus();
  };
  ::grpc::ClientContext context;
  Fixture::Prepare(context, "Bearer full");
  notification::WatchNotificationsRequest request;
  request.set_cursor("c");
  auto reader = fixture.watch_stub->WatchNotifications(&context, request);
  notification::WatchNotificationsResponse response;
  int count = 0;
  bool in_order = true;
  while (reader->Read(&response)) in_order = in_order && response.cursor() == "c" + std::to_string(count++);
  CHECK(in_order);
  CHECK(count >= 95);  // An error ends the stream at once, with what was not written yet.
  CHECK(Reason(reader->Finish()) == "OVER");
  for (int i = 0; i < 1000 && done == 0; ++i) absl::SleepFor(absl::Milliseconds(5));
  CHECK(done == 1);
}

TEST_CASE("a stream on which nothing is sent shows that it lives, and its source is not woken by that") {
  CallRunnerOptions options;
  options.stream_check_interval = absl::Milliseconds(5);
  options.stream_heartbeat_interval = absl::Milliseconds(20);
  Fixture fixture(options);
  std::atomic<int> drained{0};
  fixture.watch.open = [&](const CallContext&, const notification::WatchNotificationsRequest& request, const std::shared_ptr<Notifications>& stream) {
    Notifications::Hooks hooks{.on_drained = [&drained] { ++drained; }};
    if (!request.cursor().empty()) {
      hooks.heartbeat = [cursor = request.cursor()] {
        notification::WatchNotificationsResponse beat;
        beat.set_cursor(cursor);
        return beat;
      };
    }
    stream->SetHooks(std::move(hooks));
    return absl::OkStatus();
  };
  for (const char* cursor : {"", "c"}) {
    ::grpc::ClientContext context;
    Fixture::Prepare(context, "Bearer full");
    notification::WatchNotificationsRequest request;
    request.set_cursor(cursor);
    auto reader = fixture.watch_stub->WatchNotifications(&context, request);
    for (int i = 0; i < 3; ++i) {
      notification::WatchNotificationsResponse response;
      response.add_notifications();
      REQUIRE(reader->Read(&response));
      CHECK(response.notifications().empty());
      CHECK(response.cursor() == cursor);
    }
    context.TryCancel();
    reader->Finish();
  }
  CHECK(drained == 0);
}

TEST_CASE("a request that holds too much is refused before its handler sees it") {
  Fixture fixture;
  std::atomic<int> seen{0};
  fixture.users.get = [&](const CallContext&, const user::GetUserRequest&) -> absl::StatusOr<user::User> {
    ++seen;
    return user::User();
  };
  fixture.watch.open = [&](const CallContext&, const notification::WatchNotificationsRequest&, const std::shared_ptr<Notifications>&) {
    ++seen;
    return absl::OkStatus();
  };
  const auto get = [&](const char* authorization) {
    ::grpc::ClientContext context;
    Fixture::Prepare(context, authorization);
    user::GetUserRequest request;
    request.set_name(std::string(kStringBytesMax + 1, 'x'));
    user::User answer;
    return FromGrpc(fixture.users_stub->GetUser(&context, request, &answer));
  };
  CHECK(base::FindErrorDetails(get("Bearer full"))->violations.front().field == "name");
  // Who one is comes first.
  CHECK(base::ReasonOf(get("")) == "API_KEY_MISSING");
  ::grpc::ClientContext context;
  Fixture::Prepare(context, "Bearer full");
  notification::WatchNotificationsRequest request;
  request.set_cursor(std::string(kStringBytesMax + 1, 'x'));
  auto reader = fixture.watch_stub->WatchNotifications(&context, request);
  notification::WatchNotificationsResponse response;
  CHECK_FALSE(reader->Read(&response));
  CHECK(base::FindErrorDetails(FromGrpc(reader->Finish()))->violations.front().field == "cursor");
  CHECK(seen == 0);
}

TEST_CASE("an error of many violations reaches the client as it was meant") {
  Fixture fixture;
  fixture.users.get = [](const CallContext&, const user::GetUserRequest&) -> absl::StatusOr<user::User> {
    base::FieldViolations violations;
    for (int i = 0; i < 100; ++i) {
      violations.Add("symbols[" + std::to_string(i) + "]", "must be 1 to 32 characters: a letter or digit, then letters, digits and . - : ^ = _ as in AAPL or BRK.B");
    }
    return violations.ToStatus();
  };
  const absl::Status status = FromGrpc(fixture.Get("Bearer full"));
  CHECK(absl::IsInvalidArgument(status));
  CHECK(base::FindErrorDetails(status)->violations.back().description.starts_with("and "));
}

TEST_CASE("streams end by their client, by their key, by the limit and by the end of the service") {
  CallRunnerOptions options;
  options.streams_per_user_max = 2;
  options.stream_check_interval = absl::Milliseconds(20);
  Fixture fixture(options);
  std::atomic<int> opened{0};
  std::atomic<int> done{0};
  fixture.watch.open = [&](const CallContext&, const notification::WatchNotificationsRequest&, const std::shared_ptr<Notifications>& stream) {
    stream->SetHooks({.on_drained = {}, .on_done = [&done] { ++done; }});
    ++opened;
    stream->TryPush(notification::WatchNotificationsResponse());
    return absl::OkStatus();
  };
  struct Client {
    ::grpc::ClientContext context;
    std::unique_ptr<::grpc::ClientReader<notification::WatchNotificationsResponse>> reader;
    notification::WatchNotificationsResponse response;
  };
  const auto watch = [&](const char* authorization) {
    auto client = std::make_unique<Client>();
    Fixture::Prepare(client->context, authorization);
    client->reader = fixture.watch_stub->WatchNotifications(&client->context, notification::WatchNotificationsRequest());
    return client;
  };
  auto wrong = watch("Bearer wrong");
  CHECK_FALSE(wrong->reader->Read(&wrong->response));
  CHECK(Reason(wrong->reader->Finish()) == "API_KEY_INVALID");

  auto cancelled = watch("Bearer read");
  REQUIRE(cancelled->reader->Read(&cancelled->response));
  auto revoked = watch("Bearer full");
  REQUIRE(revoked->reader->Read(&revoked->response));
  auto third = watch("Bearer full");
  CHECK_FALSE(third->reader->Read(&third->response));
  CHECK(Reason(third->reader->Finish()) == "TOO_MANY_STREAMS");
  cancelled->context.TryCancel();
  CHECK(cancelled->reader->Finish().error_code() == ::grpc::CANCELLED);
  fixture.keys.revoked = true;
  CHECK_FALSE(revoked->reader->Read(&revoked->response));
  CHECK(Reason(revoked->reader->Finish()) == "API_KEY_INVALID");
  for (int i = 0; i < 1000 && done < 2; ++i) absl::SleepFor(absl::Milliseconds(5));
  CHECK(done == 2);

  auto last = watch("Bearer read");
  REQUIRE(last->reader->Read(&last->response));
  fixture.runner.EndStreams();
  CHECK_FALSE(last->reader->Read(&last->response));
  CHECK(Reason(last->reader->Finish()) == "SHUTTING_DOWN");
  CHECK(opened == 3);
}

}  // namespace
}  // namespace stockalert::rpc
