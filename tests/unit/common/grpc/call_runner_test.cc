// The common path of calls, over a real server and stubs.
#include "services/common/grpc/call_runner.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <latch>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "services/common/base/error.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/server.h"
#include "services/common/metrics/metrics.h"
#include "services/common/process/liveness.h"
#include "stockalert/notification/v1/notification.grpc.pb.h"
#include "stockalert/user/v1/user.grpc.pb.h"
#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::rpc {
namespace {

namespace user = stockalert::user::v1;
namespace notification = stockalert::notification::v1;

class KeyTable final : public Authenticator {
 public:
  absl::StatusOr<Caller> Authenticate(std::string_view key, const trace::Context&, absl::Time) override {
    if (key == "full" && !revoked) return Caller{.user_id = "u", .key_id = "1"};
    if (key == "read") return Caller{.user_id = "u", .key_id = "2", .read_only = true};
    ++asked;
    if (before) before(key);
    if (key.starts_with("user:") || key.starts_with("kept:"))
      return Caller{.user_id = std::string(key.substr(5)), .key_id = std::string(key)};
    if (key == "admin") return Caller{.key_id = "a", .is_administrator = true};
    if (key == "down") return base::Unavailable("USER_SERVICE_UNAVAILABLE", "down");
    return base::Unauthenticated("API_KEY_INVALID", "no such key");
  }
  std::optional<absl::StatusOr<Caller>> Find(std::string_view key) override {
    if (key == "malformed") return base::Unauthenticated("API_KEY_INVALID", "malformed");
    if (key.starts_with("kept:")) return Caller{.user_id = std::string(key.substr(5)), .key_id = std::string(key)};
    return std::nullopt;
  }
  bool HasKnown(std::string_view key) override { return key == "user:known"; }
  std::atomic<bool> revoked{false};
  std::atomic<int> asked{0};
  std::function<void(std::string_view)> before;
};

class Users final : public user::UserService::CallbackService {
 public:
  explicit Users(CallRunner& runner) : runner_(runner) {}
  ::grpc::ServerUnaryReactor* GetUser(::grpc::CallbackServerContext* context, const user::GetUserRequest* request,
                                      user::User* response) override {
    return RunUnary(runner_, context, {"stockalert.user.v1.UserService/GetUser", Access::kRead}, request, response,
                    [this](const CallContext& call, const user::GetUserRequest& asked) { return get(call, asked); });
  }
  ::grpc::ServerUnaryReactor* UpdateUser(::grpc::CallbackServerContext* context, const user::UpdateUserRequest* request,
                                         user::User* response) override {
    return RunUnary(
        runner_, context, {"stockalert.user.v1.UserService/UpdateUser", Access::kWrite, Work::kOthers, true}, request,
        response,
        [this](const CallContext&, const user::UpdateUserRequest&) -> absl::StatusOr<user::User> {
          if (update) update();
          return user::User();
        },
        static_cast<size_t>(std::max(request->update_mask().paths_size(), 1)));
  }
  ::grpc::ServerUnaryReactor* ListUsers(::grpc::CallbackServerContext* context, const user::ListUsersRequest* request,
                                        user::ListUsersResponse* response) override {
    return RunUnary(runner_, context, {"stockalert.user.v1.UserService/ListUsers", Access::kAdministrator}, request,
                    response,
                    [](const CallContext&, const user::ListUsersRequest&) -> absl::StatusOr<user::ListUsersResponse> {
                      return user::ListUsersResponse();
                    });
  }
  ::grpc::ServerUnaryReactor* RegisterUser(::grpc::CallbackServerContext* context,
                                           const user::RegisterUserRequest* request,
                                           user::RegisterUserResponse* response) override {
    return RunUnary(
        runner_, context, {"stockalert.user.v1.UserService/RegisterUser", Access::kNobody}, request, response,
        [](const CallContext&, const user::RegisterUserRequest&) -> absl::StatusOr<user::RegisterUserResponse> {
          return user::RegisterUserResponse();
        });
  }
  std::function<absl::StatusOr<user::User>(const CallContext&, const user::GetUserRequest&)> get;
  std::function<void()> update;

 private:
  CallRunner& runner_;
};

using Notifications = Stream<notification::WatchNotificationsResponse>;

class Watch final : public notification::NotificationService::CallbackService {
 public:
  explicit Watch(CallRunner& runner) : runner_(runner) {}
  ::grpc::ServerWriteReactor<notification::WatchNotificationsResponse>* WatchNotifications(
      ::grpc::CallbackServerContext* context, const notification::WatchNotificationsRequest* request) override {
    return RunServerStream<notification::WatchNotificationsRequest, notification::WatchNotificationsResponse>(
        runner_, context, {"stockalert.notification.v1.NotificationService/WatchNotifications", Access::kRead}, request,
        4,
        [this](const CallContext& call, const notification::WatchNotificationsRequest& asked,
               std::shared_ptr<Notifications> stream) { return open(call, asked, std::move(stream)); });
  }
  std::function<absl::Status(const CallContext&, const notification::WatchNotificationsRequest&,
                             std::shared_ptr<Notifications>)>
      open;

 private:
  CallRunner& runner_;
};

struct Fixture {
  explicit Fixture(CallRunnerOptions options = {})
      : runner(With(std::move(options), &keys)), users(runner), watch(runner) {
    users.get = [](const CallContext& call, const user::GetUserRequest& request) -> absl::StatusOr<user::User> {
      user::User answer;
      answer.set_name(request.name());
      answer.set_email(call.caller.user_id);
      answer.set_display_name(call.trace.trace_id);
      return answer;
    };
    auto started = Server::Start(
        {.address = "127.0.0.1:0",
         .credentials = ::grpc::InsecureServerCredentials(),
         .services = {&users, &watch},
         .service_names = {"stockalert.user.v1.UserService", "stockalert.notification.v1.NotificationService"}});
    REQUIRE(started.ok());
    server = *std::move(started);
    server->SetServing(true);
    channel =
        ::grpc::CreateChannel("127.0.0.1:" + std::to_string(server->port()), ::grpc::InsecureChannelCredentials());
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
  ::grpc::Status Update(const std::string& authorization, int cost = 1) {
    ::grpc::ClientContext context;
    Prepare(context, authorization);
    user::UpdateUserRequest request;
    for (int i = 0; i < cost; ++i) request.mutable_update_mask()->add_paths("x");
    user::User answer;
    return users_stub->UpdateUser(&context, request, &answer);
  }
  ::grpc::Status Get(const std::string& authorization, user::User* answer = nullptr,
                     const std::string& traceparent = "") {
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

TEST_CASE("only keys of a sufficient scope are let in") {
  Fixture fixture;
  for (const char* authorization : {"Bearer full", "bearer full", "BEARER   full", "Bearer read", "Bearer admin"})
    CHECK(fixture.Get(authorization).ok());
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
  CHECK(metrics::ExpositionText().find("code=\"INTERNAL\",method=\"stockalert.user.v1.UserService/GetUser\"") !=
        std::string::npos);
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
  REQUIRE(fixture.runner.TrySubmit("v", [&waited] { waited = true; }));
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
  fixture.watch.open = [&](const CallContext&, const notification::WatchNotificationsRequest& request,
                           const std::shared_ptr<Notifications>& stream) {
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
  fixture.watch.open = [&](const CallContext&, const notification::WatchNotificationsRequest&,
                           const std::shared_ptr<Notifications>&) {
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
      violations.Add(
          "symbols[" + std::to_string(i) + "]",
          "must be 1 to 32 characters: a letter or digit, then letters, digits and . - : ^ = _ as in AAPL or BRK.B");
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
  fixture.watch.open = [&](const CallContext&, const notification::WatchNotificationsRequest&,
                           const std::shared_ptr<Notifications>& stream) {
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
    client->reader =
        fixture.watch_stub->WatchNotifications(&client->context, notification::WatchNotificationsRequest());
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

// Calls that are under way in threads of their own.
class Callers {
 public:
  ~Callers() { Join(); }
  void Start(std::function<::grpc::Status()> call) {
    threads_.emplace_back([this, call = std::move(call)] {
      const ::grpc::Status status = call();
      std::lock_guard lock(mutex_);
      statuses_.push_back(status);
    });
  }
  size_t ended() {
    std::lock_guard lock(mutex_);
    return statuses_.size();
  }
  std::vector<::grpc::Status> Join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    return std::exchange(statuses_, {});
  }

 private:
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::vector<::grpc::Status> statuses_;
};

template <typename Condition>
bool Await(Condition condition) {
  for (int i = 0; i < 4000 && !condition(); ++i) absl::SleepFor(absl::Milliseconds(5));
  return condition();
}

TEST_CASE("calls without a valid key need no thread, and look-ups of unknown keys delay no known one") {
  CallRunnerOptions options;
  options.threads = 1;
  options.queue_max = 1;
  Fixture fixture(options);
  std::latch release(1);
  std::atomic<int> looking{0};
  fixture.keys.before = [&](std::string_view key) {
    if (!key.starts_with("slow")) return;
    ++looking;
    release.wait();
  };
  std::atomic<int> running{0};
  fixture.users.get = [&](const CallContext& call, const user::GetUserRequest&) -> absl::StatusOr<user::User> {
    if (call.caller.user_id == "blocks") {
      ++running;
      release.wait();
    }
    return user::User();
  };
  Callers callers;
  // More look-ups than there are threads for them.
  for (int i = 0; i < 10; ++i) callers.Start([&, i] { return fixture.Get("Bearer slow" + std::to_string(i)); });
  REQUIRE(Await([&] { return looking >= 3; }));
  CHECK(fixture.Get("Bearer kept:quick").ok());
  // The one thread is busy, and the queue full.
  callers.Start([&] { return fixture.Get("Bearer kept:blocks"); });
  REQUIRE(Await([&] { return running == 1; }));
  REQUIRE(fixture.runner.TrySubmit("v", [] {}));
  CHECK(Reason(fixture.Get("Bearer kept:quick")) == "OVERLOADED");
  for (int i = 0; i < 100; ++i) {
    CHECK(Reason(fixture.Get("")) == "API_KEY_MISSING");
    CHECK(Reason(fixture.Get("Bearer malformed")) == "API_KEY_INVALID");
  }
  release.count_down();
  CHECK(callers.Join().size() == 11);
}

TEST_CASE("concurrent calls with the same key share one look-up") {
  CallRunnerOptions options;
  options.calls.calls_per_user_max = 8;
  Fixture fixture(options);
  std::latch release(1);
  fixture.keys.before = [&](std::string_view key) {
    if (key == "user:same") release.wait();
  };
  auto& refusals = metrics::GetCounter("stockalert_rpc_refusals_total",
                                       "Calls refused for what the caller is or does too much of, by reason",
                                       {{"port", options.name}, {"reason", "TOO_MANY_CALLS"}});
  const double before = refusals.Value();
  Callers callers;
  for (int i = 0; i < 12; ++i) callers.Start([&] { return fixture.Get("Bearer user:same"); });
  // Those beyond what a user may have under way are refused while they wait; that may come before the look-up has
  // begun.
  REQUIRE(Await([&] { return refusals.Value() > before && fixture.keys.asked > 0; }));
  CHECK(fixture.keys.asked == 1);
  release.count_down();
  int answered = 0;
  for (const ::grpc::Status& status : callers.Join()) answered += status.ok() ? 1 : 0;
  CHECK(answered >= 8);
}

TEST_CASE("who tries out keys is stopped, and their neighbours whose keys were good are not") {
  testing::FakeMonotonicClock clock;
  CallRunnerOptions options;
  options.clock = &clock;
  options.calls.unknown_keys_per_network_per_min = 30;
  Fixture fixture(options);
  std::map<std::string, int> reasons;
  for (int i = 0; i < 40; ++i) ++reasons[Reason(fixture.Get("Bearer wrong" + std::to_string(i)))];
  CHECK(reasons == std::map<std::string, int>{{"API_KEY_INVALID", 30}, {"RATE_LIMITED", 10}});
  CHECK(fixture.keys.asked == 30);
  CHECK(fixture.Get("Bearer user:known").ok());
  CHECK(fixture.Get("Bearer kept:other").ok());
  const ::grpc::Status refused = fixture.Get("Bearer user:new");
  CHECK(refused.error_code() == ::grpc::RESOURCE_EXHAUSTED);
  const auto details = base::FindErrorDetails(FromGrpc(refused));
  REQUIRE(details->retry_delay);
  clock.Advance(*details->retry_delay);
  CHECK(fixture.Get("Bearer user:new").ok());
}

TEST_CASE("calls that wait for others hold up none that do not, and no user has all threads of either") {
  CallRunnerOptions options;
  options.threads = 2;
  options.waiting_threads = 4;
  Fixture fixture(options);
  std::latch release(1);
  std::atomic<int> waiting{0};
  fixture.users.update = [&] {
    ++waiting;
    release.wait();
  };
  Callers callers;
  for (int i = 0; i < 8; ++i) callers.Start([&] { return fixture.Update("Bearer user:slow"); });
  REQUIRE(Await([&] { return waiting == 3; }));
  CHECK(fixture.Get("Bearer user:slow").ok());
  CHECK(fixture.Get("Bearer user:other").ok());
  // The fourth thread is another user's.
  callers.Start([&] { return fixture.Update("Bearer user:other"); });
  REQUIRE(Await([&] { return waiting == 4; }));
  CHECK(fixture.Get("Bearer user:third").ok());
  release.count_down();
  for (const ::grpc::Status& status : callers.Join()) CHECK(status.ok());
}

TEST_CASE("all queues and loops of a runner are watched, for as long as it is there") {
  const std::vector<std::string> names = {"calls_watched", "waiting_calls_watched", "key_look_ups_watched",
                                          "stream_keys_watched"};
  {
    CallRunnerOptions options;
    options.name = "watched";
    options.waiting_threads = 1;
    const Fixture fixture(options);
    const auto ages = process::Liveness::OfProcess().Ages();
    for (const std::string& name : names) CHECK(ages.contains(name));
  }
  const auto ages = process::Liveness::OfProcess().Ages();
  for (const std::string& name : names) CHECK_FALSE(ages.contains(name));
}

TEST_CASE("a user with too many calls at once is refused, others are not") {
  CallRunnerOptions options;
  options.threads = 4;
  options.calls.calls_per_user_max = 5;
  Fixture fixture(options);
  std::latch release(1);
  std::atomic<int> begun{0};
  fixture.users.get = [&](const CallContext& call, const user::GetUserRequest&) -> absl::StatusOr<user::User> {
    if (call.caller.user_id == "noisy") {
      ++begun;
      release.wait();
    }
    return user::User();
  };
  Callers callers;
  for (int i = 0; i < 3; ++i) callers.Start([&] { return fixture.Get("Bearer kept:noisy"); });
  REQUIRE(Await([&] { return begun == 3; }));
  for (int i = 0; i < 10; ++i) callers.Start([&] { return fixture.Get("Bearer kept:noisy"); });
  CHECK(fixture.Get("Bearer kept:quiet").ok());
  // Two wait, and the others are told so at once.
  REQUIRE(Await([&] { return callers.ended() == 8; }));
  release.count_down();
  int refused = 0;
  for (const ::grpc::Status& status : callers.Join()) {
    if (status.ok()) continue;
    ++refused;
    CHECK(Reason(status) == "TOO_MANY_CALLS");
    CHECK(base::FindErrorDetails(FromGrpc(status))->retry_delay.has_value());
  }
  CHECK(refused == 8);
}

TEST_CASE("rates a user: by kind, over all of a user's keys, not for an administrator") {
  testing::FakeMonotonicClock clock;
  CallRunnerOptions options;
  options.clock = &clock;
  options.calls.reads_per_user_per_s = 2;
  options.calls.writes_per_user_per_s = 3;
  options.calls.creations_per_user_per_h = 20;
  Fixture fixture(options);
  // "full" and "read" are keys of one user.
  for (int i = 0; i < 10; ++i) CHECK(fixture.Get(i % 2 == 0 ? "Bearer full" : "Bearer read").ok());
  const ::grpc::Status refused = fixture.Get("Bearer full");
  CHECK(refused.error_code() == ::grpc::RESOURCE_EXHAUSTED);
  auto details = base::FindErrorDetails(FromGrpc(refused));
  REQUIRE(details);
  CHECK(details->reason == "RATE_LIMITED");
  CHECK(details->metadata == base::Metadata{{"limit", "2"}, {"of", "reads"}, {"per", "a second"}});
  REQUIRE(details->retry_delay);
  CHECK(*details->retry_delay <= absl::Milliseconds(501));
  CHECK(Reason(fixture.Get("Bearer read")) == "RATE_LIMITED");
  CHECK(fixture.Get("Bearer user:other").ok());
  for (int i = 0; i < 50; ++i) CHECK(fixture.Get("Bearer admin").ok());
  clock.Advance(*details->retry_delay);
  CHECK(fixture.Get("Bearer full").ok());
  CHECK_FALSE(fixture.Get("Bearer full").ok());

  // Creating: by how many, long beyond what writing bounds.
  CHECK(fixture.Update("Bearer full", 15).ok());
  for (int i = 0; i < 5; ++i) CHECK(fixture.Update("Bearer full").ok());
  details = base::FindErrorDetails(FromGrpc(fixture.Update("Bearer full")));
  CHECK(details->metadata.at("of") == "creations");
  CHECK(*details->retry_delay > absl::Minutes(2));
  clock.Advance(absl::Hours(2));
  for (int i = 0; i < 20; ++i) CHECK(fixture.Update("Bearer full").ok());
  clock.Advance(absl::Seconds(1));
  CHECK_FALSE(fixture.Update("Bearer full").ok());
  int written = 0;
  for (int i = 0; i < 100; ++i) {
    details = base::FindErrorDetails(FromGrpc(fixture.Update("Bearer full")));
    written += details->metadata.at("of") == "writes" ? 0 : 1;
  }
  // A refused creation was a write all the same.
  CHECK(written < 30);
}

TEST_CASE("the client's address is the peer's, or what a trusted proxy says") {
  for (const bool trusted : {false, true}) {
    CallRunnerOptions options;
    if (trusted) options.calls.trusted_proxies = "127.0.0.0/8";
    Fixture fixture(options);
    fixture.users.get = [](const CallContext& call, const user::GetUserRequest&) -> absl::StatusOr<user::User> {
      user::User answer;
      answer.set_name(call.peer);
      return answer;
    };
    ::grpc::ClientContext context;
    Fixture::Prepare(context, "Bearer full");
    context.AddMetadata("x-forwarded-for", "6.6.6.6");
    context.AddMetadata("x-forwarded-for", "203.0.113.9, 127.0.0.5");
    user::User answer;
    REQUIRE(fixture.users_stub->GetUser(&context, user::GetUserRequest(), &answer).ok());
    CHECK(answer.name() == (trusted ? "203.0.113.9" : "127.0.0.1"));
  }
}

TEST_CASE(
    "when all streams are taken, a newcomer gets one of the user with the most, even if its client does not read") {
  CallRunnerOptions options;
  options.streams_max = 4;
  options.stream_check_interval = absl::Milliseconds(10);
  options.stream_end_patience = absl::Milliseconds(50);
  Fixture fixture(options);
  auto& given_up =
      metrics::GetCounter("stockalert_rpc_streams_given_up_total",
                          "Streams ended for others that had fewer, where no more fit", {{"port", options.name}});
  const double before = given_up.Value();
  std::atomic<int> done{0};
  fixture.watch.open = [&](const CallContext& call, const notification::WatchNotificationsRequest&,
                           const std::shared_ptr<Notifications>& stream) {
    stream->SetHooks({.on_done = [&done] { ++done; }});
    notification::WatchNotificationsResponse response;
    // More than the flow control lets through unread.
    if (call.caller.user_id == "greedy") response.set_cursor(std::string(1 << 20, 'x'));
    stream->TryPush(response);
    return absl::OkStatus();
  };
  struct Client {
    ::grpc::ClientContext context;
    std::unique_ptr<::grpc::ClientReader<notification::WatchNotificationsResponse>> reader;
    notification::WatchNotificationsResponse response;
  };
  const auto watch = [&](const std::string& authorization) {
    auto client = std::make_unique<Client>();
    Fixture::Prepare(client->context, authorization);
    client->reader =
        fixture.watch_stub->WatchNotifications(&client->context, notification::WatchNotificationsRequest());
    return client;
  };
  std::vector<std::unique_ptr<Client>> greedy;
  for (int i = 0; i < 4; ++i) {
    greedy.push_back(watch("Bearer kept:greedy"));
    greedy.back()->reader->WaitForInitialMetadata();
  }
  std::vector<std::unique_ptr<Client>> others;
  for (int i = 0; i < 3; ++i) {
    others.push_back(watch("Bearer kept:other" + std::to_string(i)));
    CHECK(others.back()->reader->Read(&others.back()->response));
  }
  // Those that were ended are gone for good, read or unread.
  CHECK(Await([&] { return done == 3; }));
  CHECK(given_up.Value() == before + 3);
  // All have one now: nobody is richer.
  auto late = watch("Bearer kept:late");
  CHECK_FALSE(late->reader->Read(&late->response));
  CHECK(Reason(late->reader->Finish()) == "OVERLOADED");
  for (const auto& client : greedy) client->context.TryCancel();
  for (const auto& client : others) client->context.TryCancel();
  for (const auto& client : greedy) {
    while (client->reader->Read(&client->response)) {
    }
    client->reader->Finish();
  }
  for (const auto& client : others) {
    while (client->reader->Read(&client->response)) {
    }
    client->reader->Finish();
  }
}

}  // namespace
}  // namespace stockalert::rpc
