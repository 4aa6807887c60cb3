// DestinationService over a real server, with its store in memory: every call, and every refusal with its reason.
#include "services/notifier/delivery/destination_service.h"

#include <grpcpp/grpcpp.h>

#include <catch2/catch.hpp>
#include <memory>
#include <set>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/grpc/server.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/webhook/webhook_signature.h"
#include "services/notifier/delivery/kind_translator.h"
#include "tests/support/deliveries/in_memory_deliveries.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/fake_ids/fake_ids.h"

namespace stockalert::notifier {
namespace {

namespace npb = ::stockalert::notification::v1;
using Stub = npb::DestinationService::Stub;

const std::string kUser = "11111111-1111-4111-8111-111111111111";
const std::string kOther = "22222222-2222-4222-8222-222222222222";
constexpr char kKeys[] = "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
constexpr char kUrl[] = "https://hooks.example.com/in?token=very-secret";

class Keys final : public rpc::Authenticator {
 public:
  absl::StatusOr<rpc::Caller> Authenticate(std::string_view key, const trace::Context&, absl::Time) override {
    if (key == "user") return rpc::Caller{.user_id = kUser, .key_id = "1"};
    if (key == "reader")
      return rpc::Caller{.user_id = kUser, .key_id = "2", .is_administrator = false, .read_only = true};
    if (key == "other") return rpc::Caller{.user_id = kOther, .key_id = "3"};
    return base::Unauthenticated("API_KEY_INVALID", "no such key");
  }
};

struct Fixture {
  static std::optional<MailIdentity> MailOf(bool on) {
    if (!on) return std::nullopt;
    return MailIdentity{"alerts@example.org", "StockAlert", "alerts@example.org"};
  }
  explicit Fixture(bool on = true, bool with_mail = false)
      : mail(with_mail), secrets(on ? std::optional<SecretBox>(*SecretBox::FromText(kKeys)) : std::nullopt) {
    auto started = rpc::Server::Start({.address = "127.0.0.1:0",
                                       .credentials = ::grpc::InsecureServerCredentials(),
                                       .services = {&service},
                                       .service_names = {}});
    REQUIRE(started.ok());
    server = *std::move(started);
    stub = npb::DestinationService::NewStub(server->InProcessChannel());
  }
  ~Fixture() {
    server->Shutdown(absl::Now() + absl::Seconds(5));
    runner.Stop(absl::Now() + absl::Seconds(5));
    server.reset();
  }
  template <typename Response, typename Method, typename Request>
  absl::StatusOr<Response> Call(Method method, const Request& request, const std::string& key = "user") {
    ::grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    context.AddMetadata("authorization", "Bearer " + key);
    Response response;
    const absl::Status status = rpc::FromGrpc((stub.get()->*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }
  absl::StatusOr<npb::CreateDestinationResponse> Create(const std::string& url = kUrl,
                                                        const std::string& request_id = "",
                                                        const std::string& key = "user") {
    npb::CreateDestinationRequest request;
    request.set_parent("users/me");
    request.set_request_id(request_id);
    request.mutable_destination()->set_display_name("mine");
    request.mutable_destination()->mutable_webhook()->set_url(url);
    return Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, request, key);
  }
  npb::Destination MakeActive() {
    const auto created = Create();
    REQUIRE(created.ok());
    Prove(created->destination().name());
    return *Get(created->destination().name());
  }
  static std::string IdOf(const std::string& name) { return name.substr(name.rfind('/') + 1); }
  // Its receiver answers the verification.
  void Prove(const std::string& name) {
    const std::string id = IdOf(name);
    auto lanes = *store.LeaseLanes({{"test", 1}, clock.NowUs() + 60'000'000, 100, 100, 10}, clock.NowUs());
    SettleRequest settle;
    for (const LeasedLane& lane : lanes) {
      settle.releases.push_back(lane.lease);
      if (lane.destination.id != id) continue;
      SettledAttempt attempt;
      attempt.lease = lane.lease;
      attempt.delivery_id = lane.destination.verification_id;
      attempt.attempt = {0, clock.NowUs(), 7, 200, "", "pong"};
      attempt.outcome = AttemptOutcome::kSucceeded;
      settle.attempts.push_back(attempt);
    }
    REQUIRE(store.Settle(settle)->verified.size() == 1);
  }
  void End(const std::string& delivery_name, AttemptOutcome outcome) {
    auto lanes = *store.LeaseLanes({{"test", 1}, clock.NowUs() + 60'000'000, 100, 100, 100}, clock.NowUs());
    SettleRequest settle;
    settle.disable_after_failing_us = 1'000'000'000'000;
    for (const LeasedLane& lane : lanes) {
      settle.releases.push_back(lane.lease);
      for (const DueDelivery& due : lane.due) {
        if (due.delivery.id != IdOf(delivery_name)) continue;
        SettledAttempt attempt;
        attempt.lease = lane.lease;
        attempt.delivery_id = due.delivery.id;
        attempt.replay_count = due.delivery.replay_count;
        attempt.attempt = {0, clock.NowUs(), 1'500'000, 503, "it answered 503", "busy"};
        attempt.outcome = outcome;
        settle.attempts.push_back(attempt);
      }
    }
    REQUIRE(store.Settle(settle)->applied == 1);
  }
  absl::StatusOr<npb::Destination> Get(const std::string& name, const std::string& key = "user") {
    npb::GetDestinationRequest request;
    request.set_name(name);
    return Call<npb::Destination>(&Stub::GetDestination, request, key);
  }
  template <typename Response, typename Request, typename Method>
  absl::StatusOr<Response> Named(Method method, const std::string& name, const std::string& key = "user") {
    Request request;
    request.set_name(name);
    return Call<Response>(method, request, key);
  }
  absl::StatusOr<npb::Destination> Verify(const std::string& name, const std::string& key = "user") {
    return Named<npb::Destination, npb::VerifyDestinationRequest>(&Stub::VerifyDestination, name, key);
  }
  absl::StatusOr<npb::Delivery> Test(const std::string& name, const std::string& key = "user") {
    return Named<npb::Delivery, npb::SendTestNotificationRequest>(&Stub::SendTestNotification, name, key);
  }
  absl::StatusOr<npb::RotateDestinationSecretResponse> Rotate(const std::string& name,
                                                              const std::string& key = "user") {
    return Named<npb::RotateDestinationSecretResponse, npb::RotateDestinationSecretRequest>(
        &Stub::RotateDestinationSecret, name, key);
  }
  absl::StatusOr<google::protobuf::Empty> Delete(const std::string& name, const std::string& etag = "",
                                                 const std::string& key = "user") {
    npb::DeleteDestinationRequest request;
    request.set_name(name);
    request.set_etag(etag);
    return Call<google::protobuf::Empty>(&Stub::DeleteDestination, request, key);
  }
  absl::StatusOr<npb::ListDeliveriesResponse> List(const npb::ListDeliveriesRequest& given = {},
                                                   const std::string& key = "user") {
    npb::ListDeliveriesRequest request = given;
    if (request.parent().empty()) request.set_parent("users/me");
    return Call<npb::ListDeliveriesResponse>(&Stub::ListDeliveries, request, key);
  }
  absl::StatusOr<npb::Delivery> GetDelivery(const std::string& name, const std::string& key = "user") {
    return Named<npb::Delivery, npb::GetDeliveryRequest>(&Stub::GetDelivery, name, key);
  }
  absl::StatusOr<npb::Delivery> Replay(const std::string& name, const std::string& key = "user") {
    return Named<npb::Delivery, npb::ReplayDeliveryRequest>(&Stub::ReplayDelivery, name, key);
  }
  absl::StatusOr<npb::ReplayDeliveriesResponse> ReplaySince(const std::string& name, int64_t since_s,
                                                            const std::string& key = "user") {
    npb::ReplayDeliveriesRequest request;
    request.set_name(name);
    if (since_s >= 0) request.mutable_since_time()->set_seconds(since_s);
    return Call<npb::ReplayDeliveriesResponse>(&Stub::ReplayDeliveries, request, key);
  }
  absl::StatusOr<npb::CancelDeliveriesResponse> Cancel(const std::string& name, const std::string& key = "user") {
    return Named<npb::CancelDeliveriesResponse, npb::CancelDeliveriesRequest>(&Stub::CancelDeliveries, name, key);
  }
  absl::StatusOr<npb::Destination> Update(const npb::Destination& destination, const std::vector<std::string>& paths,
                                          const std::string& key = "user") {
    npb::UpdateDestinationRequest request;
    *request.mutable_destination() = destination;
    for (const std::string& path : paths) request.mutable_update_mask()->add_paths(path);
    return Call<npb::Destination>(&Stub::UpdateDestination, request, key);
  }
  Destination Stored(const std::string& name) { return *store.Get(kUser, IdOf(name)); }

  const bool mail;
  testing::FakeClock clock;
  base::SystemIdSource ids;
  testing::InMemoryDeliveries store;
  std::optional<SecretBox> secrets;
  std::vector<std::string> woken;
  base::Mutex woken_mutex;
  Keys keys;
  rpc::CallRunner runner{{.name = "public", .threads = 4, .authenticator = &keys}};
  const Kinds kinds{EgressGuard(), KindHosts(), MailOf(mail)};
  std::string own_address;  // The user's.
  DestinationLogic logic{store,
                         kinds,
                         secrets,
                         clock,
                         ids,
                         [this](const std::string& user_id) {
                           base::MutexLock lock(woken_mutex);
                           woken.push_back(user_id);
                         },
                         [this](const std::string& user_id) { return user_id == kUser ? own_address : ""; }};
  DestinationServiceImpl service{runner, logic, kinds, clock};
  std::unique_ptr<rpc::Server> server;
  std::unique_ptr<npb::DestinationService::Stub> stub;
};

std::string FieldOf(const absl::Status& status) {
  const auto details = base::FindErrorDetails(status);
  return details && !details->violations.empty() ? details->violations[0].field : "";
}

TEST_CASE("creating a destination queues its verification; its secret is shown once, its whole URL never") {
  Fixture f;
  const auto created = f.Create();
  INFO(created.status());
  REQUIRE(created.ok());
  const npb::Destination& made = created->destination();
  CHECK(made.state() == npb::Destination::STATE_UNVERIFIED);
  CHECK(made.display_name() == "mine");
  CHECK(made.is_default());
  CHECK(made.webhook().url().empty());
  CHECK(made.webhook().url_shown().find("hooks.example.com") != std::string::npos);
  CHECK(made.ShortDebugString().find("very-secret") == std::string::npos);
  CHECK(created->secret().rfind("whsec_", 0) == 0);
  CHECK(made.webhook().public_key().rfind("whpk_", 0) == 0);
  CHECK(!made.etag().empty());
  CHECK(f.woken == std::vector<std::string>{kUser});
  const auto got = f.Get(made.name(), "reader");
  REQUIRE(got.ok());
  CHECK(got->ShortDebugString().find("whsec_") == std::string::npos);
  CHECK(got->SerializeAsString() == made.SerializeAsString());
  const auto deliveries = f.List();
  REQUIRE(deliveries->deliveries_size() == 1);
  CHECK(deliveries->deliveries(0).kind() == npb::Delivery::KIND_VERIFICATION);
  CHECK(deliveries->deliveries(0).state() == npb::Delivery::STATE_QUEUED);
  CHECK(deliveries->deliveries(0).webhook_id().rfind("msg_", 0) == 0);
  // Sealed as it is stored, and it opens to what was given.
  const Destination stored = f.Stored(made.name());
  CHECK(stored.sealed_settings.find("secret") == std::string::npos);
  CHECK(*f.secrets->Open(stored.sealed_settings, stored.id) == absl::StrCat("{\"url\":\"", kUrl, "\"}"));
  CHECK(webhook::SecretText(*webhook::ParseKeys(*f.secrets->Open(stored.sealed_secrets, stored.id))) ==
        created->secret());
}

TEST_CASE("invalid creations are refused, each with its reason") {
  Fixture f;
  const auto reason = [&](const std::string& url) { return base::ReasonOf(f.Create(url).status()); };
  CHECK(reason("http://hooks.example.com/") == "EGRESS_REFUSED");
  CHECK(reason("https://127.0.0.1/") == "EGRESS_REFUSED");
  CHECK(reason("https://10.0.0.7:8443/") == "EGRESS_REFUSED");
  CHECK(reason("no url") == "EGRESS_REFUSED");
  CHECK(FieldOf(f.Create("https://127.0.0.1/").status()) == "destination.webhook.url");
  CHECK(FieldOf(f.Create("").status()) == "destination.webhook.url");
  CHECK(FieldOf(f.Create(kUrl, "not an id").status()) == "request_id");
  CHECK(base::ReasonOf(f.Create(kUrl, "", "reader").status()) == "API_KEY_READ_ONLY");
  npb::CreateDestinationRequest request;
  request.set_parent("users/me");
  CHECK(FieldOf(f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, request).status()) == "destination");
  request.mutable_destination()->mutable_webhook()->set_url(kUrl);
  request.mutable_destination()->set_display_name(std::string(101, 'x'));
  CHECK(FieldOf(f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, request).status()) ==
        "destination.display_name");
  request.mutable_destination()->clear_display_name();
  request.set_parent("users/" + kOther);
  CHECK(base::ReasonOf(f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, request).status()) ==
        "USER_NOT_FOUND");
  for (int i = 0; i < kDestinationsPerUserMax; ++i) {
    if (i % 5 == 0) f.clock.Advance(absl::Hours(1));
    REQUIRE(f.Create().ok());
  }
  const absl::Status quota = f.Create().status();
  CHECK(quota.code() == absl::StatusCode::kResourceExhausted);
  CHECK(base::ReasonOf(quota) == "DESTINATION_QUOTA");
}

TEST_CASE("a repeated request creates nothing and shows no secret") {
  Fixture f;
  const auto first = f.Create(kUrl, "r-1");
  const auto again = f.Create(kUrl, "r-1");
  REQUIRE(first.ok());
  REQUIRE(again.ok());
  CHECK(again->destination().name() == first->destination().name());
  CHECK(!first->secret().empty());
  CHECK(again->secret().empty());
  CHECK(base::ReasonOf(f.Create("https://other.example.com/", "r-1").status()) == "REQUEST_ID_REUSED");
  CHECK(f.List()->deliveries_size() == 1);
}

TEST_CASE("without keys nothing can be created or sent; reading, cancelling and deleting still work") {
  Fixture f(/*on=*/false);
  Destination stored;
  stored.id = "33333333-3333-4333-8333-333333333333";
  stored.user_id = kUser;
  stored.state = DestinationState::kActive;
  const std::string verification = "44444444-4444-4444-8444-444444444444";
  REQUIRE(f.store.Create(stored, NewDelivery{verification, DeliveryKind::kVerification, "c"}, {}, 20, f.clock.NowUs())
              .ok());
  const std::string name = absl::StrCat("users/", kUser, "/destinations/", stored.id);
  const std::string delivery = absl::StrCat("users/", kUser, "/deliveries/", verification);
  npb::Destination wanted;
  wanted.set_name(name);
  wanted.mutable_webhook()->set_url(kUrl);
  for (const absl::Status& status :
       {f.Create().status(), f.Verify(name).status(), f.Test(name).status(), f.Rotate(name).status(),
        f.Replay(delivery).status(), f.ReplaySince(name, 1).status(), f.Update(wanted, {}).status()}) {
    CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
    CHECK(base::ReasonOf(status) == "DELIVERY_OFF");
  }
  CHECK(f.Get(name).ok());
  CHECK(f.List()->deliveries_size() == 1);
  CHECK(f.Cancel(name)->cancelled_count() == 1);
  wanted.clear_webhook();
  wanted.set_display_name("renamed");
  CHECK(f.Update(wanted, {})->display_name() == "renamed");
  CHECK(f.Delete(name).ok());
}

TEST_CASE("other users' destinations and deliveries are NOT_FOUND in every call") {
  Fixture f;
  const npb::Destination mine = f.MakeActive();
  const std::string delivery = f.List()->deliveries(0).name();
  // By their own names, and by mine with the stranger's user.
  const std::string crossed = absl::StrCat("users/", kOther, "/destinations/", Fixture::IdOf(mine.name()));
  for (const std::string& name : {mine.name(), crossed}) {
    npb::Destination wanted;
    wanted.set_name(name);
    wanted.set_display_name("theirs");
    for (const absl::Status& status :
         {f.Get(name, "other").status(), f.Verify(name, "other").status(), f.Test(name, "other").status(),
          f.Rotate(name, "other").status(), f.Delete(name, "", "other").status(), f.Cancel(name, "other").status(),
          f.ReplaySince(name, 1, "other").status(), f.Update(wanted, {}, "other").status()}) {
      CHECK(status.code() == absl::StatusCode::kNotFound);
      CHECK(base::ReasonOf(status) == "DESTINATION_NOT_FOUND");
    }
  }
  const std::string crossed_delivery = absl::StrCat("users/", kOther, "/deliveries/", Fixture::IdOf(delivery));
  for (const std::string& name : {delivery, crossed_delivery}) {
    CHECK(base::ReasonOf(f.GetDelivery(name, "other").status()) == "DELIVERY_NOT_FOUND");
    CHECK(base::ReasonOf(f.Replay(name, "other").status()) == "DELIVERY_NOT_FOUND");
  }
  npb::ListDeliveriesRequest narrowed;
  narrowed.set_destination(mine.name());
  CHECK(base::ReasonOf(f.List(narrowed, "other").status()) == "DESTINATION_NOT_FOUND");
  CHECK(f.List({}, "other")->deliveries_size() == 0);
  CHECK(f.Get(mine.name())->display_name() == "mine");
  CHECK(FieldOf(f.Get("users/me/destinations/x").status()) == "name");
  CHECK(FieldOf(f.GetDelivery("deliveries").status()) == "name");
}

TEST_CASE("an update changes the fields of its mask if the etag matches") {
  Fixture f;
  const npb::Destination before = f.MakeActive();
  npb::Destination wanted;
  wanted.set_name(before.name());
  wanted.set_display_name("renamed");
  wanted.set_is_default(false);
  wanted.set_etag(before.etag());
  const auto renamed = f.Update(wanted, {"display_name"});
  REQUIRE(renamed.ok());
  CHECK(renamed->display_name() == "renamed");
  CHECK(renamed->is_default());
  CHECK(renamed->etag() != before.etag());
  const absl::Status stale = f.Update(wanted, {"is_default"}).status();
  CHECK(stale.code() == absl::StatusCode::kAborted);
  CHECK(base::ReasonOf(stale) == "ETAG_MISMATCH");
  wanted.clear_etag();
  CHECK(!f.Update(wanted, {"is_default"})->is_default());
  // A field set to what it is, is no change.
  const std::string etag = f.Get(before.name())->etag();
  CHECK(f.Update(wanted, {})->etag() == etag);
  wanted.mutable_webhook()->set_url(kUrl);
  CHECK(f.Update(wanted, {"webhook.url"})->etag() == etag);
  CHECK(f.Get(before.name())->state() == npb::Destination::STATE_ACTIVE);
  CHECK(FieldOf(f.Update(wanted, {"state"}).status()) == "update_mask");
  wanted.mutable_webhook()->set_url("https://192.168.0.1/");
  CHECK(base::ReasonOf(f.Update(wanted, {"webhook.url"}).status()) == "EGRESS_REFUSED");
  wanted.set_display_name(std::string(101, 'x'));
  CHECK(FieldOf(f.Update(wanted, {"display_name"}).status()) == "destination.display_name");
  wanted.mutable_webhook()->clear_url();
  CHECK(FieldOf(f.Update(wanted, {"webhook.url"}).status()) == "destination.webhook.url");
}

TEST_CASE("a new URL must be verified again, within the limit of verifications") {
  Fixture f;
  const npb::Destination before = f.MakeActive();
  npb::Destination wanted;
  wanted.set_name(before.name());
  wanted.mutable_webhook()->set_url("https://moved.example.com/");
  const absl::Status soon = f.Update(wanted, {}).status();
  CHECK(soon.code() == absl::StatusCode::kResourceExhausted);
  CHECK(base::ReasonOf(soon) == "DESTINATION_VERIFICATION_RATE");
  CHECK(f.Get(before.name())->state() == npb::Destination::STATE_ACTIVE);
  f.clock.Advance(kVerificationInterval);
  const auto moved = f.Update(wanted, {});
  INFO(moved.status());
  REQUIRE(moved.ok());
  CHECK(moved->state() == npb::Destination::STATE_UNVERIFIED);
  CHECK(!moved->has_verify_time());
  CHECK(moved->webhook().url_shown().find("moved.example.com") != std::string::npos);
  CHECK(f.List()->deliveries(0).kind() == npb::Delivery::KIND_VERIFICATION);
  CHECK(base::ReasonOf(f.Test(before.name()).status()) == "DESTINATION_NOT_ACTIVE");
  f.Prove(before.name());
  CHECK(f.Get(before.name())->state() == npb::Destination::STATE_ACTIVE);
}

TEST_CASE("verifications are limited to one a minute and ten a day, and refusals say how long to wait") {
  Fixture f;
  const std::string name = f.MakeActive().name();
  const absl::Status soon = f.Verify(name).status();
  CHECK(base::ReasonOf(soon) == "DESTINATION_VERIFICATION_RATE");
  CHECK(base::FindErrorDetails(soon)->retry_delay == kVerificationInterval);
  for (int i = 2; i <= kVerificationsPerDayMax; ++i) {
    f.clock.Advance(i == 6 ? absl::Hours(1) : kVerificationInterval);
    INFO(i);
    REQUIRE(f.Verify(name).ok());
  }
  f.clock.Advance(kVerificationInterval);
  const absl::Status many = f.Verify(name).status();
  CHECK(base::ReasonOf(many) == "DESTINATION_VERIFICATION_RATE");
  CHECK(*base::FindErrorDetails(many)->retry_delay > absl::Hours(22));
  f.clock.Advance(absl::Hours(24));
  CHECK(f.Verify(name).ok());
  // Asking again leaves an active one as it is.
  CHECK(f.Get(name)->state() == npb::Destination::STATE_ACTIVE);
  // Only the last question is open.
  npb::ListDeliveriesRequest queued;
  queued.set_state(npb::Delivery::STATE_QUEUED);
  CHECK(f.List(queued)->deliveries_size() == 1);
}

TEST_CASE("verifications that overtake each other are limited, too") {
  Fixture f;
  const std::string id = Fixture::IdOf(f.MakeActive().name());
  f.clock.Advance(kVerificationInterval);
  // Another call has read the clock after this one, and is done before it.
  REQUIRE(f.store
              .Change(
                  kUser, id,
                  [&](Destination& present) {
                    present.verify_ask_time_us = f.clock.NowUs() + 1000;
                    return DestinationEffects();
                  },
                  f.clock.NowUs())
              .ok());
  const absl::Status status = f.logic.Verify(kUser, id).status();
  CHECK(base::ReasonOf(status) == "DESTINATION_VERIFICATION_RATE");
  CHECK(*base::FindErrorDetails(status)->retry_delay <= kVerificationInterval);
}

TEST_CASE("a period is not begun anew by a request that was overtaken") {
  AskWindow window{1'000'000, 3};
  CHECK(*TakeFrom(window, absl::Minutes(1), 3, 999'000) == absl::Minutes(1));
  CHECK(window == AskWindow{1'000'000, 3});
  CHECK_FALSE(TakeFrom(window, absl::Minutes(1), 4, 999'000));
  CHECK(window == AskWindow{1'000'000, 4});
  // The clock was set back.
  CHECK_FALSE(TakeFrom(window, absl::Minutes(1), 4, -59'000'000));
  CHECK(window == AskWindow{-59'000'000, 1});
}

TEST_CASE("deleting and creating destinations again does not send more verifications to one address") {
  Fixture f;
  for (int i = 0; i < kTargetVerificationsPerHourMax; ++i) {
    const auto created = f.Create();
    REQUIRE(created.ok());
    REQUIRE(f.Delete(created->destination().name()).ok());
  }
  CHECK(base::ReasonOf(f.Create().status()) == "DESTINATION_VERIFICATION_RATE");
  CHECK(f.Create("https://other.example.com/").ok());
  f.clock.Advance(absl::Hours(1));
  CHECK(f.Create().ok());
}

TEST_CASE("a disabled destination becomes active when it answers a verification") {
  Fixture f;
  const std::string name = f.MakeActive().name();
  REQUIRE(f.store
              .Change(
                  kUser, Fixture::IdOf(name),
                  [&](Destination& destination) {
                    destination.state = DestinationState::kDisabled;
                    destination.disable_reason = DisableReason::kFailing;
                    destination.disable_time_us = f.clock.NowUs();
                    destination.failing_since_time_us = f.clock.NowUs() - 5;
                    return DestinationEffects();
                  },
                  f.clock.NowUs())
              .ok());
  CHECK(f.Get(name)->disable_reason() == npb::Destination::DISABLE_REASON_FAILING);
  CHECK(f.Get(name)->has_disable_time());
  CHECK(base::ReasonOf(f.Test(name).status()) == "DESTINATION_NOT_ACTIVE");
  f.clock.Advance(kVerificationInterval);
  const auto asked = f.Verify(name);
  REQUIRE(asked.ok());
  CHECK(asked->state() == npb::Destination::STATE_UNVERIFIED);
  CHECK(asked->disable_reason() == npb::Destination::DISABLE_REASON_UNSPECIFIED);
  CHECK(!asked->has_failing_since_time());
  f.Prove(name);
  CHECK(f.Get(name)->state() == npb::Destination::STATE_ACTIVE);
}

TEST_CASE("test notifications are sent only to active destinations, at most ten a minute") {
  Fixture f;
  const auto created = f.Create();
  CHECK(base::ReasonOf(f.Test(created->destination().name()).status()) == "DESTINATION_NOT_ACTIVE");
  f.Prove(created->destination().name());
  const std::string name = created->destination().name();
  for (int i = 0; i < kTestsPerMinuteMax; ++i) {
    const auto sent = f.Test(name);
    REQUIRE(sent.ok());
    CHECK(sent->kind() == npb::Delivery::KIND_TEST);
    CHECK(sent->state() == npb::Delivery::STATE_QUEUED);
    CHECK(sent->destination() == name);
    CHECK(sent->notification().empty());
  }
  const absl::Status many = f.Test(name).status();
  CHECK(base::ReasonOf(many) == "DESTINATION_TEST_RATE");
  CHECK(base::FindErrorDetails(many)->retry_delay == absl::Minutes(1));
  f.clock.Advance(absl::Minutes(1));
  CHECK(f.Test(name).ok());
  CHECK(base::ReasonOf(f.Test(name, "reader").status()) == "API_KEY_READ_ONLY");
}

TEST_CASE("a rotation makes new secrets, and the old ones sign too for a day") {
  Fixture f;
  const npb::Destination before = f.MakeActive();
  const auto rotated = f.Rotate(before.name());
  REQUIRE(rotated.ok());
  CHECK(rotated->secret().rfind("whsec_", 0) == 0);
  CHECK(rotated->destination().webhook().public_key() != before.webhook().public_key());
  CHECK(rotated->destination().webhook().previous_secret_expire_time().seconds() ==
        f.clock.NowUs() / 1'000'000 + 86'400);
  CHECK(base::ReasonOf(f.Rotate(before.name()).status()) == "SECRET_ROTATING");
  KindTranslator translator(f.kinds, *f.secrets);
  const webhook::Keys old_keys = *webhook::ParseKeys(
      *f.secrets->Open(f.Stored(before.name()).sealed_previous_secrets, f.Stored(before.name()).id));
  const webhook::Keys new_keys =
      *webhook::ParseKeys(*f.secrets->Open(f.Stored(before.name()).sealed_secrets, f.Stored(before.name()).id));
  CHECK(webhook::SecretText(new_keys) == rotated->secret());
  CHECK(webhook::PublicKeyText(old_keys) == before.webhook().public_key());
  const auto verifies = [&](const OutgoingRequest& request, const webhook::Keys& keys) {
    const auto& http = std::get<OutgoingHttp>(request);
    return webhook::Verify(keys, "msg_55555555555545558555555555555555", f.clock.NowUs() / 1'000'000, http.body,
                           http.headers.back().substr(std::string("webhook-signature: ").size()));
  };
  DueDelivery due;
  due.delivery.id = "55555555-5555-4555-8555-555555555555";
  due.delivery.kind = DeliveryKind::kTest;
  const auto both = translator.Compose(f.Stored(before.name()), due, f.clock.NowUs());
  REQUIRE(both.ok());
  CHECK(std::get<OutgoingHttp>(*both).url == kUrl);
  CHECK(verifies(*both, new_keys));
  CHECK(verifies(*both, old_keys));
  f.clock.Advance(kPreviousSecretTime);
  const auto later = translator.Compose(f.Stored(before.name()), due, f.clock.NowUs());
  CHECK(verifies(*later, new_keys));
  CHECK(!verifies(*later, old_keys));
  CHECK(!f.Get(before.name())->webhook().has_previous_secret_expire_time());
  CHECK(f.Rotate(before.name()).ok());
}

TEST_CASE("deleting a destination keeps its deliveries and erases its secrets") {
  Fixture f;
  const npb::Destination before = f.MakeActive();
  const std::string test = f.Test(before.name())->name();
  CHECK(base::ReasonOf(f.Delete(before.name(), "W/\"other\"").status()) == "ETAG_MISMATCH");
  REQUIRE(f.Delete(before.name(), before.etag()).ok());
  CHECK(base::ReasonOf(f.Get(before.name()).status()) == "DESTINATION_NOT_FOUND");
  CHECK(base::ReasonOf(f.Delete(before.name()).status()) == "DESTINATION_NOT_FOUND");
  CHECK(base::ReasonOf(f.Test(before.name()).status()) == "DESTINATION_NOT_FOUND");
  CHECK(f.GetDelivery(test)->state() == npb::Delivery::STATE_CANCELLED);
  npb::ListDeliveriesRequest narrowed;
  narrowed.set_destination(before.name());
  CHECK(f.List(narrowed)->deliveries_size() == 2);
  CHECK(base::ReasonOf(f.Replay(test).status()) == "DESTINATION_NOT_ACTIVE");
}

TEST_CASE("destinations and deliveries are listed in pages, and a page token is valid only for its list") {
  Fixture f;
  for (int i = 0; i < 5; ++i) {
    REQUIRE(f.Create().ok());
    f.clock.Advance(absl::Seconds(1));
  }
  npb::ListDestinationsRequest request;
  request.set_parent("users/me");
  request.set_page_size(2);
  std::vector<std::string> names;
  for (int page = 0; page < 5; ++page) {
    const auto answer = f.Call<npb::ListDestinationsResponse>(&Stub::ListDestinations, request);
    REQUIRE(answer.ok());
    for (const auto& destination : answer->destinations()) names.push_back(destination.name());
    request.set_page_token(answer->next_page_token());
    if (answer->next_page_token().empty()) break;
  }
  CHECK(names.size() == 5);
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == 5);
  npb::ListDeliveriesRequest deliveries;
  deliveries.set_page_size(2);
  const auto first = f.List(deliveries);
  REQUIRE(first->deliveries_size() == 2);
  REQUIRE(!first->next_page_token().empty());
  CHECK(first->deliveries(0).create_time().seconds() > first->deliveries(1).create_time().seconds());
  deliveries.set_page_token(first->next_page_token());
  CHECK(f.List(deliveries)->deliveries(0).name() != first->deliveries(1).name());
  deliveries.set_state(npb::Delivery::STATE_FAILED);
  CHECK(FieldOf(f.List(deliveries).status()) == "page_token");
  request.set_page_token(first->next_page_token());
  CHECK(FieldOf(f.Call<npb::ListDestinationsResponse>(&Stub::ListDestinations, request).status()) == "page_token");
  request.set_page_token("nonsense");
  CHECK(FieldOf(f.Call<npb::ListDestinationsResponse>(&Stub::ListDestinations, request).status()) == "page_token");
  npb::ListDeliveriesRequest unknown;
  unknown.set_state(static_cast<npb::Delivery::State>(77));
  CHECK(FieldOf(f.List(unknown).status()) == "state");
  unknown.clear_state();
  unknown.set_page_size(-1);
  CHECK(FieldOf(f.List(unknown).status()) == "page_size");
}

TEST_CASE("a delivery shows its attempts, and its state decides whether it can be replayed or cancelled") {
  Fixture f;
  const std::string name = f.MakeActive().name();
  const std::string test = f.Test(name)->name();
  const absl::Status queued = f.Replay(test).status();
  CHECK(queued.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(base::ReasonOf(queued) == "DELIVERY_QUEUED");
  f.End(test, AttemptOutcome::kFailed);
  const auto failed = f.GetDelivery(test, "reader");
  REQUIRE(failed.ok());
  CHECK(failed->state() == npb::Delivery::STATE_FAILED);
  CHECK(failed->last_error() == "it answered 503");
  CHECK(failed->has_end_time());
  CHECK(!failed->has_next_attempt_time());
  REQUIRE(failed->attempts_size() == 1);
  CHECK(failed->attempts(0).number() == 1);
  CHECK(failed->attempts(0).http_status() == 503);
  CHECK(failed->attempts(0).error() == "it answered 503");
  CHECK(failed->attempts(0).answer() == "busy");
  CHECK(failed->attempts(0).duration().seconds() == 1);
  CHECK(f.List()->deliveries(0).attempts_size() == 0);
  const auto replayed = f.Replay(test);
  REQUIRE(replayed.ok());
  CHECK(replayed->state() == npb::Delivery::STATE_QUEUED);
  CHECK(replayed->webhook_id() == failed->webhook_id());
  CHECK(replayed->has_next_attempt_time());
  CHECK(f.Cancel(name)->cancelled_count() == 1);
  CHECK(f.GetDelivery(test)->state() == npb::Delivery::STATE_CANCELLED);
  // A notification's, by time.
  StoredNotification notification;
  notification.id = "66666666-6666-4666-8666-666666666666";
  notification.user_id = kUser;
  REQUIRE(f.store.Queue(notification, f.clock.NowUs()).size() == 1);
  const npb::Delivery told = f.List()->deliveries(0);
  CHECK(told.notification() == absl::StrCat("users/", kUser, "/notifications/", notification.id));
  CHECK(told.kind() == npb::Delivery::KIND_NOTIFICATION);
  npb::ListDeliveriesRequest narrowed;
  narrowed.set_notification(told.notification());
  CHECK(f.List(narrowed)->deliveries_size() == 1);
  f.End(told.name(), AttemptOutcome::kFailed);
  const int64_t now_s = f.clock.NowUs() / 1'000'000;
  CHECK(f.ReplaySince(name, now_s + 1)->replayed_count() == 0);
  CHECK(f.ReplaySince(name, now_s)->replayed_count() == 1);
  CHECK(FieldOf(f.ReplaySince(name, -1).status()) == "since_time");
  CHECK(base::ReasonOf(f.ReplaySince(name, 1, "reader").status()) == "API_KEY_READ_ONLY");
}

TEST_CASE("while the database is down calls fail with UNAVAILABLE") {
  Fixture f;
  const std::string name = f.MakeActive().name();
  f.store.Fail(base::Unavailable("DATABASE_UNAVAILABLE", "the database does not answer"));
  for (const absl::Status& status : {f.Create().status(), f.Get(name).status(), f.Verify(name).status(),
                                     f.Test(name).status(), f.List().status(), f.Cancel(name).status()}) {
    CHECK(base::ReasonOf(status) == "DATABASE_UNAVAILABLE");
  }
}

// --- Kinds that are verified by a code.

npb::CreateDestinationRequest SlackRequest(const std::string& path = "T/B/very-secret") {
  npb::CreateDestinationRequest request;
  request.set_parent("users/me");
  request.mutable_destination()->mutable_slack()->set_webhook_url("https://hooks.slack.com/services/" + path);
  return request;
}

struct CodeFixture : Fixture {
  CodeFixture() {
    const auto created = Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, SlackRequest());
    REQUIRE(created.ok());
    CHECK(created->secret().empty());
    name = created->destination().name();
  }
  std::string Code() { return *secrets->Open(Stored(name).sealed_code, Stored(name).id); }
  absl::StatusOr<npb::Destination> VerifyBy(const std::string& code) {
    npb::VerifyDestinationRequest request;
    request.set_name(name);
    request.set_code(code);
    return Call<npb::Destination>(&Stub::VerifyDestination, request);
  }
  std::string name;
};

TEST_CASE("a destination of another kind shows what is not secret, and has no secret of ours") {
  CodeFixture f;
  const npb::Destination shown = *f.Get(f.name);
  CHECK(shown.slack().url_shown() == "https://hooks.slack.com/…");
  CHECK(shown.slack().webhook_url().empty());
  CHECK(shown.state() == npb::Destination::STATE_UNVERIFIED);
  CHECK(f.Stored(f.name).sealed_settings.find("very-secret") == std::string::npos);
  CHECK(f.Stored(f.name).spacing_us == 1'000'000);
  CHECK(base::ReasonOf(f.Rotate(f.name).status()) == "DESTINATION_HAS_NO_SECRET");
  npb::CreateDestinationRequest wrong = SlackRequest();
  wrong.mutable_destination()->mutable_slack()->set_webhook_url("https://example.com/");
  CHECK(FieldOf(f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, wrong).status()) ==
        "destination.slack.webhook_url");
  wrong.mutable_destination()->mutable_email()->set_address("a@example.com");
  const absl::Status off = f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, wrong).status();
  CHECK(absl::IsFailedPrecondition(off));
  CHECK(base::ReasonOf(off) == "MAIL_OFF");
}

TEST_CASE("its delivery proves nothing, the code does; spaces, hyphens and small letters are let pass") {
  CodeFixture f;
  const std::string code = f.Code();
  CHECK(code.size() == 8);
  CHECK(code.find_first_of("01ILO") == std::string::npos);
  // The delivery's success is no proof.
  auto lanes = *f.store.LeaseLanes({{"test", 1}, f.clock.NowUs() + 60'000'000, 100, 100, 10}, f.clock.NowUs());
  SettledAttempt attempt;
  attempt.lease = lanes.at(0).lease;
  attempt.delivery_id = lanes.at(0).due.at(0).delivery.id;
  attempt.attempt = {0, f.clock.NowUs(), 7, 200, "", "ok"};
  attempt.outcome = AttemptOutcome::kSucceeded;
  SettleRequest settle;
  settle.attempts = {attempt};
  settle.releases = {lanes.at(0).lease};
  REQUIRE(f.store.Settle(settle)->applied == 1);
  CHECK(f.Get(f.name)->state() == npb::Destination::STATE_UNVERIFIED);
  const auto verified =
      f.VerifyBy(absl::StrCat(" ", absl::AsciiStrToLower(code.substr(0, 4)), "-", code.substr(4), "\r\n"));
  INFO(verified.status());
  REQUIRE(verified.ok());
  CHECK(verified->state() == npb::Destination::STATE_ACTIVE);
  CHECK(verified->has_verify_time());
  CHECK(f.Stored(f.name).sealed_code.empty());
  // It works once.
  CHECK(base::ReasonOf(f.VerifyBy(code).status()) == "WRONG_CODE");
  CHECK(f.Get(f.name)->state() == npb::Destination::STATE_ACTIVE);
}

TEST_CASE("ten wrong codes void the right one; another is sent on demand") {
  CodeFixture f;
  const std::string code = f.Code();
  for (int i = 1; i <= kWrongCodesMax; ++i) {
    const absl::Status wrong = f.VerifyBy("WRONGONE").status();
    CHECK(base::ReasonOf(wrong) == "WRONG_CODE");
    CHECK(wrong.code() == absl::StatusCode::kInvalidArgument);
    CHECK(FieldOf(wrong) == "code");
    CHECK(f.Stored(f.name).wrong_codes == i);
  }
  CHECK(base::ReasonOf(f.VerifyBy(code).status()) == "WRONG_CODE");
  CHECK(f.Stored(f.name).wrong_codes == kWrongCodesMax);
  f.clock.Advance(kVerificationInterval);
  REQUIRE(f.Verify(f.name).ok());
  CHECK(f.Stored(f.name).wrong_codes == 0);
  CHECK(f.Code() != code);
  CHECK(f.VerifyBy(f.Code())->state() == npb::Destination::STATE_ACTIVE);
}

TEST_CASE("a code is valid for half an hour, and only the last one") {
  CodeFixture f;
  const std::string first = f.Code();
  f.clock.Advance(absl::Minutes(30));
  CHECK(f.VerifyBy(first)->state() == npb::Destination::STATE_ACTIVE);
  REQUIRE(f.Verify(f.name).ok());
  const std::string second = f.Code();
  CHECK(base::ReasonOf(f.VerifyBy(first).status()) == "WRONG_CODE");
  f.clock.Advance(absl::Minutes(30) + absl::Microseconds(1));
  CHECK(base::ReasonOf(f.VerifyBy(second).status()) == "WRONG_CODE");
}

TEST_CASE("a webhook takes no code") {
  Fixture f;
  npb::VerifyDestinationRequest request;
  request.set_name(f.MakeActive().name());
  request.set_code("ABCDEFGH");
  const absl::Status status = f.Call<npb::Destination>(&Stub::VerifyDestination, request).status();
  CHECK(base::ReasonOf(status) == "INVALID_FIELD");
  CHECK(FieldOf(status) == "code");
}

TEST_CASE("a kind's settings are changed one by one, and the kind never") {
  Fixture f;
  npb::CreateDestinationRequest request;
  request.set_parent("users/me");
  npb::NtfyTopic& ntfy = *request.mutable_destination()->mutable_ntfy();
  ntfy.set_topic("mine");
  ntfy.set_access_token("tk_secret");
  const auto created = f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, request);
  REQUIRE(created.ok());
  CHECK(created->destination().ntfy().server_url() == "https://ntfy.sh");
  f.clock.Advance(kVerificationInterval);
  npb::Destination wanted;
  wanted.set_name(created->destination().name());
  wanted.mutable_ntfy()->set_topic("other");
  const auto changed = f.Update(wanted, {});
  REQUIRE(changed.ok());
  CHECK(changed->ntfy().topic() == "other");
  const Destination stored = f.Stored(wanted.name());
  CHECK(f.secrets->Open(stored.sealed_settings, stored.id)->find("tk_secret") != std::string::npos);
  f.clock.Advance(kVerificationInterval);
  // The token goes to no other server, unless it is given again.
  npb::Destination moved = wanted;
  moved.mutable_ntfy()->set_server_url("https://ntfy.example.com");
  const absl::Status kept = f.Update(moved, {}).status();
  CHECK(base::ReasonOf(kept) == "INVALID_FIELD");
  CHECK(FieldOf(kept) == "destination.ntfy.access_token");
  // An empty field that the mask names is cleared.
  REQUIRE(f.Update(wanted, {"ntfy.access_token"}).ok());
  const Destination cleared = f.Stored(wanted.name());
  CHECK(f.secrets->Open(cleared.sealed_settings, cleared.id)->find("tk_secret") == std::string::npos);
  wanted.mutable_slack()->set_webhook_url("https://hooks.slack.com/services/a/b/c");
  CHECK(FieldOf(f.Update(wanted, {}).status()) == "destination.slack");
  CHECK(FieldOf(f.Update(wanted, {"slack.webhook_url", "ntfy.topic"}).status()) == "update_mask");
}

TEST_CASE("a destination gets as many one by one as its kind can take, or its user says") {
  Fixture f;
  const auto created = f.Create();
  REQUIRE(created.ok());
  CHECK(created->destination().notifications_per_minute_max() == 60'000);
  npb::CreateDestinationRequest request;
  request.set_parent("users/me");
  auto& group = *request.mutable_destination()->mutable_telegram();
  group.set_bot_token("123456:" + std::string(35, 'a'));
  group.set_chat_id("-1001234567890");
  const auto telegram = f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, request);
  INFO(telegram.status());
  REQUIRE(telegram.ok());
  // One in three seconds.
  CHECK(telegram->destination().notifications_per_minute_max() == 20);
  request.mutable_destination()->mutable_ntfy()->set_topic("t");
  CHECK(f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, request)
            ->destination()
            .notifications_per_minute_max() == 12);
  request.mutable_destination()->set_notifications_per_minute_max(600);
  request.mutable_destination()->mutable_ntfy()->set_topic("u");
  CHECK(f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, request)
            ->destination()
            .notifications_per_minute_max() == 600);

  npb::Destination wanted;
  wanted.set_name(created->destination().name());
  wanted.set_notifications_per_minute_max(5);
  const auto changed = f.Update(wanted, {});
  REQUIRE(changed.ok());
  CHECK(changed->notifications_per_minute_max() == 5);
  CHECK(changed->etag() != created->destination().etag());
  wanted.clear_notifications_per_minute_max();
  CHECK(f.Update(wanted, {"notifications_per_minute_max"})->notifications_per_minute_max() == 60'000);
  for (const int wrong : {0, -1, 60'001}) {
    wanted.set_notifications_per_minute_max(wrong);
    const auto refused = f.Update(wanted, {"notifications_per_minute_max"});
    const auto details = base::FindErrorDetails(refused.status());
    REQUIRE(details.has_value());
    CHECK(details->violations[0].field == "destination.notifications_per_minute_max");
    request.mutable_destination()->set_notifications_per_minute_max(wrong);
    CHECK(!f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, request).ok());
  }
}

TEST_CASE("a request id stands for the number within a minute, too") {
  Fixture f;
  npb::CreateDestinationRequest request;
  request.set_parent("users/me");
  request.set_request_id("r");
  request.mutable_destination()->set_notifications_per_minute_max(5);
  request.mutable_destination()->mutable_webhook()->set_url("https://hooks.example.com/5");
  REQUIRE(f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, request).ok());
  CHECK(f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, request).ok());
  request.mutable_destination()->set_notifications_per_minute_max(6);
  CHECK(base::ReasonOf(f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, request).status()) ==
        "REQUEST_ID_REUSED");
}

struct MailFixture : Fixture {
  MailFixture() : Fixture(/*on=*/true, /*with_mail=*/true) {}
  absl::StatusOr<npb::CreateDestinationResponse> CreateMail(const std::string& address) {
    npb::CreateDestinationRequest request;
    request.set_parent("users/me");
    request.mutable_destination()->mutable_email()->set_address(address);
    return Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, request);
  }
  int Queued() {
    npb::ListDeliveriesRequest queued;
    queued.set_state(npb::Delivery::STATE_QUEUED);
    return List(queued)->deliveries_size();
  }
  absl::Status Unsubscribe(const std::string& name, bool is_meant = true) {
    return logic.Unsubscribe(kUser, IdOf(name), [is_meant](const Destination&) { return is_meant; });
  }
};

TEST_CASE("the user's own verified address needs no code, and counts no verification") {
  MailFixture f;
  f.own_address = "ann@example.org";
  const npb::Destination chat = f.MakeActive();
  const size_t before = f.store.Notices(kUser).size();
  const auto created = f.CreateMail("Ann@Example.org");
  REQUIRE(created.ok());
  CHECK(created->destination().state() == npb::Destination::STATE_ACTIVE);
  CHECK(created->destination().has_verify_time());
  CHECK(f.Stored(created->destination().name()).sealed_code.empty());
  // No code is sent; the other destination is told of the new one.
  REQUIRE(f.store.Notices(kUser).size() == before + 1);
  CHECK(f.store.Notices(kUser).back().destination_id == Fixture::IdOf(created->destination().name()));
  CHECK(f.Queued() == 1);
  for (int i = 0; i < kUserVerificationsPerHourMax + 2; ++i) {
    const auto more = f.CreateMail("ann@example.org");
    INFO(more.status());
    REQUIRE(more.ok());
    REQUIRE(f.Delete(more->destination().name()).ok());
  }
  const auto other = f.CreateMail("bob@example.org");
  REQUIRE(other.ok());
  CHECK(other->destination().state() == npb::Destination::STATE_UNVERIFIED);
  // With the answer that nothing is known, a code does.
  f.own_address.clear();
  CHECK(f.CreateMail("ann@example.org")->destination().state() == npb::Destination::STATE_UNVERIFIED);
}

TEST_CASE("a change to the user's own address needs no code, any other does") {
  MailFixture f;
  f.own_address = "ann@example.org";
  npb::Destination wanted = f.CreateMail("bob@example.org")->destination();
  wanted.mutable_email()->set_address("ann@example.org");
  // Within the minute in which no other verification may be requested.
  const auto own = f.Update(wanted, {"email.address"});
  INFO(own.status());
  REQUIRE(own.ok());
  CHECK(own->state() == npb::Destination::STATE_ACTIVE);
  CHECK(f.Stored(wanted.name()).verification_id.empty());
  CHECK(f.Queued() == 0);
  f.clock.Advance(kVerificationInterval);
  wanted.set_etag("");
  wanted.mutable_email()->set_address("carl@example.org");
  CHECK(f.Update(wanted, {"email.address"})->state() == npb::Destination::STATE_UNVERIFIED);
}

TEST_CASE("a reader who unsubscribes disables the destination, once; a code makes it active again") {
  MailFixture f;
  f.own_address = "ann@example.org";
  const npb::Destination chat = f.MakeActive();
  const std::string name = f.CreateMail("ann@example.org")->destination().name();
  REQUIRE(f.Test(name).ok());
  const size_t before = f.store.Notices(kUser).size();
  CHECK(absl::IsNotFound(f.Unsubscribe(name, /*is_meant=*/false)));
  CHECK(f.Get(name)->state() == npb::Destination::STATE_ACTIVE);
  REQUIRE(f.Unsubscribe(name).ok());
  CHECK(f.Get(name)->state() == npb::Destination::STATE_DISABLED);
  CHECK(f.Get(name)->disable_reason() == npb::Destination::DISABLE_REASON_UNSUBSCRIBED);
  CHECK(f.Get(name)->has_disable_time());
  REQUIRE(f.store.Notices(kUser).size() == before + 1);
  CHECK(f.store.Notices(kUser).back().summary ==
        "Destination ann@example.org is disabled: its reader unsubscribed by the link of a mail");
  npb::ListDeliveriesRequest its;
  its.set_destination(name);
  const auto cancelled = f.List(its);
  REQUIRE(cancelled.ok());
  for (const npb::Delivery& delivery : cancelled->deliveries())
    CHECK(delivery.state() == npb::Delivery::STATE_CANCELLED);
  // Again: nothing more.
  const auto first_time = f.Get(name)->disable_time().seconds();
  f.clock.Advance(absl::Minutes(2));
  REQUIRE(f.Unsubscribe(name).ok());
  CHECK(f.Get(name)->disable_time().seconds() == first_time);
  CHECK(f.store.Notices(kUser).size() == before + 1);
  REQUIRE(f.Verify(name).ok());
  CHECK(f.Get(name)->state() == npb::Destination::STATE_UNVERIFIED);
  npb::VerifyDestinationRequest request;
  request.set_name(name);
  request.set_code(*f.secrets->Open(f.Stored(name).sealed_code, Fixture::IdOf(name)));
  CHECK(f.Call<npb::Destination>(&Stub::VerifyDestination, request)->state() == npb::Destination::STATE_ACTIVE);
  REQUIRE(f.Delete(name).ok());
  CHECK(absl::IsNotFound(f.Unsubscribe(name)));
}

TEST_CASE("a stranger who is sent a code can stop that, and the code verifies nothing then") {
  MailFixture f;
  const std::string name = f.CreateMail("bob@example.org")->destination().name();
  const std::string code = *f.secrets->Open(f.Stored(name).sealed_code, Fixture::IdOf(name));
  REQUIRE(f.Unsubscribe(name).ok());
  npb::VerifyDestinationRequest request;
  request.set_name(name);
  request.set_code(code);
  CHECK(base::ReasonOf(f.Call<npb::Destination>(&Stub::VerifyDestination, request).status()) == "WRONG_CODE");
  CHECK(f.Get(name)->state() == npb::Destination::STATE_DISABLED);
}

TEST_CASE("templates are stored, shown and changed by their fields, without a new verification") {
  CodeFixture f;
  REQUIRE(f.VerifyBy(f.Code()).ok());
  npb::Destination wanted;
  wanted.set_name(f.name);
  wanted.mutable_template_()->set_title("{{symbol}}");
  const auto titled = f.Update(wanted, {});
  INFO(titled.status());
  REQUIRE(titled.ok());
  CHECK(titled->state() == npb::Destination::STATE_ACTIVE);
  CHECK(titled->template_().title() == "{{symbol}}");
  CHECK(titled->etag() != f.Get(f.name)->etag() + "x");
  wanted.mutable_template_()->set_title("never");
  wanted.mutable_template_()->set_text("{{note}}");
  CHECK(f.Update(wanted, {"template.text"})->template_().title() == "{{symbol}}");
  CHECK(f.Get(f.name)->template_().text() == "{{note}}");
  CHECK(f.Update(wanted, {"template"})->template_().title() == "never");
  wanted.mutable_template_()->Clear();
  CHECK_FALSE(f.Update(wanted, {"template"})->has_template_());
  CHECK(f.Get(f.name)->state() == npb::Destination::STATE_ACTIVE);
}

TEST_CASE("templates that are none, too long, or of a kind without a wording are refused by name") {
  CodeFixture f;
  npb::CreateDestinationRequest request = SlackRequest();
  request.mutable_destination()->mutable_template_()->set_text("{{note}}");
  const auto created = f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, request);
  INFO(created.status());
  REQUIRE(created.ok());
  CHECK(created->destination().template_().text() == "{{note}}");
  const auto fault = [&](const std::string& title, const std::string& text) {
    npb::Destination wanted;
    wanted.set_name(created->destination().name());
    wanted.mutable_template_()->set_title(title);
    wanted.mutable_template_()->set_text(text);
    return FieldOf(f.Update(wanted, {"template"}).status());
  };
  CHECK(fault("{{#a}}", "") == "destination.template.title");
  CHECK(fault("", "{{/a}}") == "destination.template.text");
  CHECK(fault(std::string(1001, 'x'), "") == "destination.template.title");
  CHECK(fault("", std::string(10'001, 'x')) == "destination.template.text");
  std::string euros;
  for (int i = 0; i < 1000; ++i) euros += "€";
  CHECK(fault(euros, std::string(10'000, 'x')).empty());
  npb::Destination webhook;
  webhook.set_name(f.Create()->destination().name());
  webhook.mutable_template_()->set_title("x");
  CHECK(FieldOf(f.Update(webhook, {}).status()) == "destination.template");
  npb::CreateDestinationRequest http;
  http.set_parent("users/me");
  http.mutable_destination()->mutable_http()->set_url("https://example.com/");
  http.mutable_destination()->mutable_template_()->set_text("x");
  CHECK(FieldOf(f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, http).status()) ==
        "destination.template");
  CHECK(base::ReasonOf([&] {
          http.mutable_destination()->clear_template_();
          http.mutable_destination()->mutable_apprise()->add_urls("discord://a/b");
          return f.Call<npb::CreateDestinationResponse>(&Stub::CreateDestination, http).status();
        }()) == "APPRISE_OFF");
}

}  // namespace
}  // namespace stockalert::notifier
