// The public calls over real gRPC in the process: a real server, user and ticker services that are fakes behind their
// real protos, the in-memory store and producer.
#include "services/alert/alert_service.h"

#include <grpcpp/grpcpp.h>
#include <catch2/catch.hpp>

#include <atomic>
#include <map>
#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "services/alert/alert_errors.h"
#include "services/alert/alert_internal_service.h"
#include "services/alert/change_publisher.h"
#include "services/alert/event_rules.h"
#include "services/alert/explanation_convert.h"
#include "services/alert/grpc_upstream.h"
#include "services/common/base/error.h"
#include "services/common/grpc/server.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/postgres/store_failure.h"
#include "services/domain/market/symbol.h"
#include "services/domain/price/decimal.h"
#include "services/domain/record/definition_codec.h"
#include "stockalert/alert/v1/alert.grpc.pb.h"
#include "stockalert/internal/v1/alert_internal.grpc.pb.h"
#include "stockalert/internal/v1/log.pb.h"
#include "stockalert/internal/v1/notifier_internal.grpc.pb.h"
#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"
#include "stockalert/internal/v1/user_internal.grpc.pb.h"
#include "tests/support/alert_store/in_memory_alert_store.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/fake_ids/fake_ids.h"
#include "tests/support/memory_producer/memory_producer.h"

namespace stockalert::alert {
namespace {

namespace ipb = ::stockalert::internal::v1;

const std::string kAnn = "00000000-0000-4000-8000-0000000000a1";
const std::string kBob = "00000000-0000-4000-8000-0000000000b0";
constexpr char kMeshToken[] = "mesh";

class FakeAuthenticator final : public rpc::Authenticator {
 public:
  absl::StatusOr<rpc::Caller> Authenticate(std::string_view key, const trace::Context&, absl::Time) override {
    rpc::Caller caller;
    if (key == "ann") {
      caller.user_id = kAnn;
    } else if (key == "ann-read") {
      caller.user_id = kAnn;
      caller.read_only = true;
    } else if (key == "bob") {
      caller.user_id = kBob;
    } else if (key == "admin") {
      caller.is_administrator = true;
    } else {
      return base::Unauthenticated("API_KEY_INVALID", "no such key");
    }
    return caller;
  }
};

class FakeUsers final : public ipb::UserInternalService::Service {
 public:
  grpc::Status GetUser(grpc::ServerContext*, const ipb::GetUserRequest* request,
                       ipb::GetUserResponse* response) override {
    if (down) return {grpc::StatusCode::UNAVAILABLE, "down"};
    if (gone.count(request->user_id()) > 0)
      return rpc::ToGrpc(base::NotFound("USER_NOT_FOUND", "there is no such user"));
    response->set_user_id(request->user_id());
    return grpc::Status::OK;
  }
  std::atomic<bool> down{false};
  std::set<std::string> gone;
};

class FakeTickerService final : public ipb::TickerInternalService::Service {
 public:
  grpc::Status RegisterTicker(grpc::ServerContext* context, const ipb::RegisterTickerRequest* request,
                              ipb::RegisterTickerResponse* response) override {
    if (down) return {grpc::StatusCode::UNAVAILABLE, "down"};
    if (!failure.ok()) return rpc::ToGrpc(failure);
    if (request->symbol() == "NONE")
      return rpc::ToGrpc(base::InvalidField("symbol", "is known to no source", "UNKNOWN_SYMBOL"));
    hold_ms = request->hold_ms();
    const auto trace = context->client_metadata().find("traceparent");
    if (trace != context->client_metadata().end())
      traceparent = std::string(trace->second.data(), trace->second.size());
    response->set_symbol(*market::NormalizeSymbol(request->symbol()));
    ++(request->validate_only() ? checks : registrations);
    return grpc::Status::OK;
  }
  grpc::Status GetLastPrices(grpc::ServerContext*, const ipb::GetLastPricesRequest* request,
                             ipb::GetLastPricesResponse* response) override {
    if (down) return {grpc::StatusCode::UNAVAILABLE, "down"};
    for (const std::string& symbol : request->symbols()) {
      ipb::LastPrice& price = *response->add_prices();
      price.set_symbol(symbol);
      if (regular_price_micros > 0) price.set_regular_price_micros(regular_price_micros);
      if (extended_price_micros > 0) price.set_extended_price_micros(extended_price_micros);
      if (previous_close_micros > 0) price.set_previous_close_micros(previous_close_micros);
      if (day_open_micros > 0) price.set_day_open_micros(day_open_micros);
    }
    return grpc::Status::OK;
  }
  std::atomic<bool> down{false};
  std::atomic<int> registrations{0};
  std::atomic<int> checks{0};  // Registrations that were only validated.
  std::atomic<int> hold_ms{0};
  std::atomic<int64_t> regular_price_micros{0};
  std::atomic<int64_t> extended_price_micros{0};
  std::atomic<int64_t> previous_close_micros{0};
  std::atomic<int64_t> day_open_micros{0};
  absl::Status failure;  // Of RegisterTicker.
  std::string traceparent;
};

class FakeNotifier final : public ipb::NotifierInternalService::Service {
 public:
  grpc::Status FindDestinations(grpc::ServerContext*, const ipb::FindDestinationsRequest* request,
                                ipb::FindDestinationsResponse* response) override {
    ++asked;
    if (!failure.ok()) return rpc::ToGrpc(failure);
    if (down) return {grpc::StatusCode::UNAVAILABLE, "down"};
    CHECK(request->user_id() == kAnn);
    for (const std::string& id : request->destination_ids()) {
      if (existing.count(id) > 0) response->add_destination_ids(id);
    }
    return grpc::Status::OK;
  }
  std::atomic<bool> down{false};
  std::atomic<int> asked{0};
  absl::Status failure;
  std::set<std::string> existing;
};

class FakeExplainer final : public Explainer {
 public:
  absl::StatusOr<ipb::FoldedAlert> Explain(const std::string& alert_id, const std::string& symbol,
                                           const rpc::CallContext&) override {
    asked = alert_id + " " + symbol;
    return answer;
  }
  std::string asked;
  absl::StatusOr<ipb::FoldedAlert> answer = base::Unavailable("EVALUATOR_UNAVAILABLE", "down");
};

std::unique_ptr<rpc::Server> Serve(grpc::Service* service, const char* name) {
  rpc::ServerOptions options;
  options.address = "127.0.0.1:0";
  options.credentials = grpc::InsecureServerCredentials();
  options.services = {service};
  options.service_names = {name};
  auto server = rpc::Server::Start(options);
  if (!server.ok()) throw std::runtime_error(server.status().ToString());
  return *std::move(server);
}

rpc::CallRunnerOptions PublicCalls(rpc::Authenticator* authenticator) {
  rpc::CallRunnerOptions options;
  options.threads = 4;
  options.authenticator = authenticator;
  options.mesh_token = kMeshToken;
  return options;
}

ChangePublisher::Options QuickPublishing() {
  ChangePublisher::Options options;
  options.wait_max = absl::Milliseconds(100);
  options.wait_max_degraded = absl::Milliseconds(5);
  return options;
}

AlertLogic::Options SmallQuota() {
  AlertLogic::Options options;
  options.alerts_per_user_max = 5;
  return options;
}

// Everything around one AlertService.
struct Bench {
  testing::FakeClock clock;
  testing::FakeIds ids;
  InMemoryAlertStore store;
  testing::MemoryProducer producer;
  FakeUsers users;
  FakeTickerService tickers;
  std::unique_ptr<rpc::Server> user_server = Serve(&users, "stockalert.internal.v1.UserInternalService");
  std::unique_ptr<rpc::Server> ticker_server = Serve(&tickers, "stockalert.internal.v1.TickerInternalService");
  rpc::Peer user_peer{user_server->InProcessChannel(), kMeshToken};
  rpc::Peer ticker_peer{ticker_server->InProcessChannel(), kMeshToken};
  FakeNotifier notifier;
  std::unique_ptr<rpc::Server> notifier_server = Serve(&notifier, "stockalert.internal.v1.NotifierInternalService");
  rpc::Peer notifier_peer{notifier_server->InProcessChannel(), kMeshToken};
  GrpcUpstream upstream{user_peer, ticker_peer, notifier_peer, absl::Seconds(2)};
  FakeAuthenticator authenticator;
  rpc::CallRunner runner{PublicCalls(&authenticator)};
  ChangePublisher publisher{producer, clock.monotonic(), QuickPublishing()};
  OutboxSweeper sweeper{store, publisher, clock, OutboxSweeper::Options()};
  AlertLogic logic{store, upstream, publisher, ids, clock, SmallQuota()};
  FakeExplainer explainer;
  AlertService service{runner, logic, store, sweeper, explainer, clock};
  AlertInternalService internal_service{runner, store};
  std::unique_ptr<rpc::Server> server = Serve(&service, "stockalert.alert.v1.AlertService");
  std::unique_ptr<rpc::Server> internal_server =
      Serve(&internal_service, "stockalert.internal.v1.AlertInternalService");
  std::unique_ptr<v1::AlertService::Stub> stub = v1::AlertService::NewStub(server->InProcessChannel());
  std::string key = "ann";

  ~Bench() {
    server->Shutdown(absl::Now() + absl::Seconds(2));
    internal_server->Shutdown(absl::Now() + absl::Seconds(2));
    runner.Stop(absl::Now() + absl::Seconds(2));
  }

  std::unique_ptr<grpc::ClientContext> Context(absl::Duration deadline = absl::Seconds(10)) const {
    auto context = std::make_unique<grpc::ClientContext>();
    if (!key.empty()) context->AddMetadata("authorization", "Bearer " + key);
    context->set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    return context;
  }

  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (v1::AlertService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response) {
    return rpc::FromGrpc((stub.get()->*method)(Context().get(), request, &response));
  }

  absl::StatusOr<v1::Alert> Create(const v1::Alert& alert, const std::string& request_id = "",
                                   const std::string& parent = "users/me") {
    v1::CreateAlertRequest request;
    request.set_parent(parent);
    *request.mutable_alert() = alert;
    request.set_request_id(request_id);
    v1::Alert created;
    if (absl::Status status = Call(&v1::AlertService::Stub::CreateAlert, request, created); !status.ok()) return status;
    return created;
  }

  absl::StatusOr<v1::Alert> Get(const std::string& name) {
    v1::GetAlertRequest request;
    request.set_name(name);
    v1::Alert alert;
    if (absl::Status status = Call(&v1::AlertService::Stub::GetAlert, request, alert); !status.ok()) return status;
    return alert;
  }

  absl::StatusOr<v1::Alert> Update(const v1::Alert& alert, const std::vector<std::string>& paths) {
    v1::UpdateAlertRequest request;
    *request.mutable_alert() = alert;
    for (const std::string& path : paths) request.mutable_update_mask()->add_paths(path);
    v1::Alert updated;
    if (absl::Status status = Call(&v1::AlertService::Stub::UpdateAlert, request, updated); !status.ok()) return status;
    return updated;
  }

  template <typename Request>
  absl::StatusOr<v1::Alert> Do(grpc::Status (v1::AlertService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                              v1::Alert*),
                               const std::string& name, const std::string& etag = "") {
    Request request;
    request.set_name(name);
    request.set_etag(etag);
    v1::Alert alert;
    if (absl::Status status = Call(method, request, alert); !status.ok()) return status;
    return alert;
  }
  absl::StatusOr<v1::Alert> Pause(const std::string& name, const std::string& etag = "") {
    return Do<v1::PauseAlertRequest>(&v1::AlertService::Stub::PauseAlert, name, etag);
  }
  absl::StatusOr<v1::Alert> Resume(const std::string& name) {
    return Do<v1::ResumeAlertRequest>(&v1::AlertService::Stub::ResumeAlert, name);
  }
  absl::StatusOr<v1::Alert> Rearm(const std::string& name) {
    return Do<v1::RearmAlertRequest>(&v1::AlertService::Stub::RearmAlert, name);
  }

  absl::Status Delete(const std::string& name, const std::string& etag = "") {
    v1::DeleteAlertRequest request;
    request.set_name(name);
    request.set_etag(etag);
    google::protobuf::Empty response;
    return Call(&v1::AlertService::Stub::DeleteAlert, request, response);
  }

  absl::StatusOr<v1::ListAlertsResponse> List(const v1::ListAlertsRequest& request) {
    v1::ListAlertsResponse response;
    if (absl::Status status = Call(&v1::AlertService::Stub::ListAlerts, request, response); !status.ok()) return status;
    return response;
  }

  // Every change that the log got.
  std::vector<ipb::AlertChangeRecord> Logged() const {
    std::vector<ipb::AlertChangeRecord> changes;
    for (const auto& record : producer.records()) {
      ipb::LogRecord parsed;
      if (!parsed.ParseFromString(record.value)) throw std::runtime_error("not a log record");
      CHECK(record.topic == "prices");
      CHECK(record.key == parsed.alert_change().symbol());
      changes.push_back(parsed.alert_change());
    }
    return changes;
  }

  int64_t Stored(const std::string& symbol = "AAPL") { return *store.Count(symbol); }

  // What the evaluator would say.
  void ConfirmRevisions(const v1::Alert& alert) {
    REQUIRE(ApplyEvents(store, {{{IdOf(alert), alert.revision()}}, {}, {}}, clock.NowUs()).ok());
  }
  void Trigger(const v1::Alert& alert, int64_t number) {
    TriggerEvent event;
    event.trigger.alert_id = IdOf(alert);
    event.trigger.symbol = alert.symbol();
    event.trigger.number = number;
    event.trigger.revision = alert.revision();
    event.trigger.price_micros = 151'000'000;
    event.trigger.event_time_us = clock.NowUs();
    event.trigger.ends_alert = alert.trigger_policy() == v1::Alert::TRIGGER_POLICY_ONCE;
    REQUIRE(ApplyEvents(store, {{}, {event}, {}}, clock.NowUs()).ok());
    clock.Advance(absl::Seconds(1));
  }
  static std::string IdOf(const v1::Alert& alert) { return alert.name().substr(alert.name().rfind('/') + 1); }
};

v1::Alert Target(const std::string& price = "150", const std::string& symbol = "AAPL") {
  v1::Alert alert;
  alert.set_symbol(symbol);
  alert.mutable_condition()->mutable_price_target()->set_comparison(v1::PriceTarget::COMPARISON_AT_OR_ABOVE);
  alert.mutable_condition()->mutable_price_target()->set_price(price);
  return alert;
}

std::vector<std::string> FieldsOf(const absl::Status& status) {
  std::vector<std::string> fields;
  if (const auto details = base::FindErrorDetails(status)) {
    for (const auto& violation : details->violations) fields.push_back(violation.field);
  }
  return fields;
}

}  // namespace

TEST_CASE("an alert is explained to its owner, in decimals, with the way to go") {
  Bench bench;
  const auto created = bench.Create(Target());
  REQUIRE(created.ok());
  v1::ExplainAlertRequest request;
  request.set_name(created->name());
  v1::AlertExplanation said;
  const auto explain = [&] { return bench.Call(&v1::AlertService::Stub::ExplainAlert, request, said); };
  // The evaluator's own reason is passed on.
  CHECK(base::ReasonOf(explain()) == "EVALUATOR_UNAVAILABLE");
  CHECK(bench.explainer.asked == Bench::IdOf(*created) + " AAPL");

  ipb::FoldedAlert folded;
  condition::Definition definition;
  definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, 150'000'000};
  definition.hysteresis_micros = 500'000;
  *folded.mutable_definition() = record::EncodeDefinition(definition);
  folded.set_readiness(ipb::FOLDED_READINESS_READY);
  folded.set_revision(1);
  folded.mutable_last_price()->set_price_micros(147'000'000);
  folded.mutable_last_price()->set_event_time_us(1'767'366'000'000'000);
  ipb::FoldedSide& side = *folded.add_sides();
  side.set_readiness(ipb::FOLDED_READINESS_READY);
  side.add_trigger_ranges()->set_low_micros(150'000'000);
  folded.set_partition(5);
  folded.set_next_offset(99);
  bench.explainer.answer = folded;
  REQUIRE(explain().ok());
  CHECK(said.name() == created->name());
  CHECK(said.readiness() == v1::AlertExplanation::READINESS_READY);
  CHECK(said.condition().price_target().price() == "150");
  CHECK(said.hysteresis() == "0.5");
  CHECK(said.last_price().price() == "147");
  REQUIRE(said.sides_size() == 1);
  CHECK(said.sides(0).trigger_ranges(0).low() == "150");
  CHECK(said.sides(0).trigger_ranges(0).high().empty());
  CHECK(said.sides(0).trigger_ranges(0).distance() == "3");
  CHECK(said.sides(0).trigger_ranges(0).distance_percent() == "2.0408");
  CHECK(said.detail() == "ready: the next price at or above 150 triggers it");
  CHECK(said.partition() == 5);

  bench.key = "bob";
  CHECK(base::ReasonOf(explain()) == kReasonAlertNotFound);
  bench.key = "ann";
  REQUIRE(bench.Delete(created->name()).ok());
  CHECK(base::ReasonOf(explain()) == kReasonAlertNotFound);
  request.set_name("alerts/1");
  CHECK(FieldsOf(explain()) == std::vector<std::string>{"name"});
}

TEST_CASE("a distance in percent is rounded half to even") {
  CHECK(PercentOf(3'000'000, 147'000'000) == 20'408);
  CHECK(PercentOf(-3'000'000, 147'000'000) == -20'408);
  CHECK(PercentOf(0, 1) == 0);
  // 0.00005 % and 0.00015 %.
  CHECK(PercentOf(1, 2'000'000) == 0);
  CHECK(PercentOf(3, 2'000'000) == 2);
  CHECK(PercentOf(-3, 2'000'000) == -2);
  CHECK(PercentOf(price::kMaxPriceMicros - 1, 1) == std::numeric_limits<int64_t>::max());
}

TEST_CASE("an alert that is only validated comes back as it would be, without a name, and is nowhere") {
  Bench bench;
  v1::CreateAlertRequest request;
  request.set_parent("users/me");
  *request.mutable_alert() = Target("150.250", "aapl");
  request.set_request_id("r-1");
  request.set_validate_only(true);
  v1::Alert alert;
  REQUIRE(bench.Call(&v1::AlertService::Stub::CreateAlert, request, alert).ok());
  CHECK(alert.name().empty());
  CHECK(alert.etag().empty());
  CHECK(alert.symbol() == "AAPL");
  CHECK(alert.condition().price_target().price() == "150.25");
  CHECK(alert.trigger_policy() == v1::Alert::TRIGGER_POLICY_ONCE);
  CHECK(bench.tickers.checks == 1);
  CHECK(bench.tickers.registrations == 0);
  CHECK(bench.Stored() == 0);
  CHECK(bench.Logged().empty());
  CHECK(bench.Create(Target(), "r-1").ok());  // Another alert: nothing is remembered of the id.

  bench.tickers.regular_price_micros = 160'000'000;
  request.set_request_id("");
  request.mutable_alert()->set_creation_policy(v1::Alert::CREATION_POLICY_REJECT_IF_MET);
  CHECK(base::ReasonOf(bench.Call(&v1::AlertService::Stub::CreateAlert, request, alert)) == kReasonConditionMet);
  request.mutable_alert()->clear_condition();
  CHECK(FieldsOf(bench.Call(&v1::AlertService::Stub::CreateAlert, request, alert)) ==
        std::vector<std::string>{"alert.condition"});

  // All of a batch, or none.
  v1::BatchCreateAlertsRequest batch;
  batch.set_parent("users/me");
  for (int i = 0; i < 4; ++i) *batch.add_requests()->mutable_alert() = Target();
  batch.set_validate_only(true);
  batch.mutable_requests(1)->set_validate_only(true);
  v1::BatchCreateAlertsResponse response;
  REQUIRE(bench.Call(&v1::AlertService::Stub::BatchCreateAlerts, batch, response).ok());
  REQUIRE(response.alerts_size() == 4);
  CHECK(response.alerts(3).name().empty());
  *batch.add_requests()->mutable_alert() = Target();
  CHECK(base::ReasonOf(bench.Call(&v1::AlertService::Stub::BatchCreateAlerts, batch, response)) == kReasonAlertQuota);
  batch.set_validate_only(false);
  CHECK(FieldsOf(bench.Call(&v1::AlertService::Stub::BatchCreateAlerts, batch, response)) ==
        std::vector<std::string>{"requests[1].validate_only"});
  CHECK(bench.Stored() == 1);
}

TEST_CASE("CreateAlert stores the alert, registers its ticker and tells the log before it answers") {
  Bench bench;
  const auto created = bench.Create(Target("150.25", " aapl "));
  REQUIRE(created.ok());
  CHECK(created->name() == absl::StrCat("users/", kAnn, "/alerts/", testing::FakeIds::Uuid(1)));
  CHECK(created->symbol() == "AAPL");
  CHECK(created->state() == v1::Alert::STATE_PENDING);
  CHECK(created->revision() == 1);
  CHECK(created->applied_revision() == 0);
  CHECK(created->trigger_policy() == v1::Alert::TRIGGER_POLICY_ONCE);
  CHECK(created->sessions() == v1::Alert::SESSIONS_REGULAR);
  CHECK(created->creation_policy() == v1::Alert::CREATION_POLICY_FIRE_IF_MET);
  CHECK(bench.tickers.registrations == 1);
  CHECK(bench.tickers.hold_ms > 5'000);
  CHECK(bench.tickers.hold_ms <= 15'000);
  const auto logged = bench.Logged();
  REQUIRE(logged.size() == 1);
  CHECK(logged[0].alert_id() == Bench::IdOf(*created));
  CHECK(logged[0].revision() == 1);
  CHECK(logged[0].armed_revision() == 1);
  // One trace goes through all of it.
  REQUIRE(bench.producer.records()[0].headers.size() == 1);
  CHECK(bench.producer.records()[0].headers[0].value.substr(3, 32) == bench.tickers.traceparent.substr(3, 32));
  const auto got = bench.Get(created->name());
  REQUIRE(got.ok());
  CHECK(got->SerializeAsString() == created->SerializeAsString());
  bench.ConfirmRevisions(*created);
  CHECK(bench.Get(created->name())->state() == v1::Alert::STATE_ACTIVE);
  CHECK(bench.Get("users/me/alerts/" + Bench::IdOf(*created)).ok());
}

TEST_CASE("a caller reaches only what its key allows") {
  Bench bench;
  const auto created = bench.Create(Target());
  REQUIRE(created.ok());
  for (const std::string key : {"", "wrong"}) {
    bench.key = key;
    CHECK(bench.Get(created->name()).status().code() == absl::StatusCode::kUnauthenticated);
    CHECK(bench.Create(Target()).status().code() == absl::StatusCode::kUnauthenticated);
  }
  bench.key = "bob";
  const absl::Status foreign = bench.Get(created->name()).status();
  CHECK(foreign.code() == absl::StatusCode::kNotFound);
  CHECK(base::ReasonOf(foreign) == kReasonAlertNotFound);
  CHECK(bench.Get("users/me/alerts/" + Bench::IdOf(*created)).status().code() == absl::StatusCode::kNotFound);
  CHECK(bench.Pause(created->name()).status().code() == absl::StatusCode::kNotFound);
  CHECK(bench.Delete(created->name()).code() == absl::StatusCode::kNotFound);
  v1::Alert stolen = *created;
  stolen.set_note("mine now");
  CHECK(bench.Update(stolen, {"note"}).status().code() == absl::StatusCode::kNotFound);
  CHECK(bench.Create(Target(), "", "users/" + kAnn).status().code() == absl::StatusCode::kNotFound);
  v1::ListAlertsRequest list;
  list.set_parent("users/" + kAnn);
  CHECK(bench.List(list).status().code() == absl::StatusCode::kNotFound);
  list.set_parent("users/-");
  CHECK(bench.List(list).status().code() == absl::StatusCode::kPermissionDenied);
  v1::ResyncAlertsResponse resynced;
  CHECK(bench.Call(&v1::AlertService::Stub::ResyncAlerts, v1::ResyncAlertsRequest(), resynced).code() ==
        absl::StatusCode::kPermissionDenied);
  bench.key = "ann-read";
  CHECK(bench.Get(created->name()).ok());
  CHECK(bench.Create(Target()).status().code() == absl::StatusCode::kPermissionDenied);
  CHECK(bench.Pause(created->name()).status().code() == absl::StatusCode::kPermissionDenied);
  bench.key = "admin";
  CHECK(bench.Get(created->name()).ok());
  CHECK(bench.List(list)->alerts_size() == 1);
  CHECK(bench.Create(Target(), "", "users/" + kBob).ok());
  CHECK(bench.List(list)->alerts_size() == 2);
  CHECK(bench.Create(Target()).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(bench.Stored() == 2);
}

TEST_CASE("bad calls are refused by the field, and nothing is stored") {
  Bench bench;
  CHECK(FieldsOf(bench.Create(Target("NaN")).status()) ==
        std::vector<std::string>{"alert.condition.price_target.price"});
  CHECK(FieldsOf(bench.Create(Target("-1")).status()) ==
        std::vector<std::string>{"alert.condition.price_target.price"});
  CHECK(FieldsOf(bench.Create(v1::Alert()).status()) == std::vector<std::string>{"alert.symbol", "alert.condition"});
  const absl::Status unknown = bench.Create(Target("1", "NONE")).status();
  CHECK(unknown.code() == absl::StatusCode::kInvalidArgument);
  CHECK(base::ReasonOf(unknown) == "UNKNOWN_SYMBOL");
  CHECK(FieldsOf(unknown) == std::vector<std::string>{"alert.symbol"});
  v1::Alert past = Target();
  past.mutable_expire_time()->set_seconds(bench.clock.NowUs() / 1'000'000);
  CHECK(FieldsOf(bench.Create(past).status()) == std::vector<std::string>{"alert.expire_time"});
  v1::Alert note = Target();
  note.set_note(std::string(501, 'n'));
  CHECK(FieldsOf(bench.Create(note, "id with spaces").status()) ==
        std::vector<std::string>{"request_id", "alert.note"});
  for (const std::string parent :
       {"", "users/", "users/bob", "me", "users/me/alerts", "users/00000000-0000-4000-8000-00000000000"}) {
    CHECK(FieldsOf(bench.Create(Target(), "", parent).status()) == std::vector<std::string>{"parent"});
  }
  for (const std::string name : {"", "alerts/1", "users/me/alerts/", "users/me/alerts/1", "users/me/alerts/-"}) {
    CHECK(FieldsOf(bench.Get(name).status()) == std::vector<std::string>{"name"});
    CHECK(bench.Pause(name).status().code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK(bench.Stored() == 0);
  CHECK(bench.producer.records().empty());
  CHECK(bench.Get(absl::StrCat("users/me/alerts/", testing::FakeIds::Uuid(99))).status().code() ==
        absl::StatusCode::kNotFound);
}

TEST_CASE("a request id gives the first alert again, and only for the same request") {
  Bench bench;
  const auto first = bench.Create(Target(), "r1");
  REQUIRE(first.ok());
  const auto again = bench.Create(Target("150.000", "aapl"), "r1");
  REQUIRE(again.ok());
  CHECK(again->name() == first->name());
  const absl::Status reused = bench.Create(Target("151"), "r1").status();
  CHECK(reused.code() == absl::StatusCode::kInvalidArgument);
  CHECK(base::ReasonOf(reused) == kReasonRequestIdReused);
  CHECK(FieldsOf(reused) == std::vector<std::string>{"request_id"});
  CHECK(bench.Stored() == 1);
  // Also when the mesh is down: nothing has to be done.
  bench.tickers.down = true;
  CHECK(bench.Create(Target(), "r1").ok());
  bench.tickers.down = false;
  bench.key = "bob";
  CHECK(bench.Create(Target("151"), "r1").ok());
  bench.key = "ann";
  REQUIRE(bench.Delete(first->name()).ok());
  CHECK(bench.Create(Target(), "r1").status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("a service of the mesh that is down leaves nothing half done") {
  Bench bench;
  // Only an administrator's call is about a user for whom no key has answered.
  const auto create_for_ann = [&] {
    bench.key = "admin";
    const absl::Status status = bench.Create(Target(), "", absl::StrCat("users/", kAnn)).status();
    bench.key = "ann";
    return status;
  };
  bench.users.down = true;
  absl::Status status = create_for_ann();
  CHECK(status.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(status) == kReasonUserServiceUnavailable);
  bench.users.down = false;
  bench.users.gone.insert(kAnn);
  CHECK(base::ReasonOf(create_for_ann()) == kReasonUserNotFound);
  bench.users.gone.clear();
  bench.tickers.down = true;
  status = bench.Create(Target()).status();
  CHECK(status.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(status) == kReasonTickerServiceUnavailable);
  bench.tickers.down = false;
  // What the ticker service says that it lacks is passed on; what is between the services is nobody else's matter.
  bench.tickers.failure = base::Unavailable("SOURCE_BUSY", "too many calls wait for the source");
  CHECK(base::ReasonOf(bench.Create(Target()).status()) == "SOURCE_BUSY");
  bench.tickers.failure = base::Unauthenticated("MESH_TOKEN_INVALID", "no such token");
  status = bench.Create(Target()).status();
  CHECK(status.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(status) == kReasonTickerServiceUnavailable);
  bench.tickers.failure = absl::OkStatus();
  bench.store.FailWith(base::Unavailable(postgres::kReasonDatabaseUnavailable, "down"));
  CHECK(base::ReasonOf(bench.Create(Target()).status()) == postgres::kReasonDatabaseUnavailable);
  CHECK(bench.List(v1::ListAlertsRequest()).status().code() == absl::StatusCode::kInvalidArgument);
  bench.store.FailWith(absl::OkStatus());
  // A ticker that is held is still one whose last split has to be asked for.
  bench.tickers.down = true;
  CHECK(base::ReasonOf(bench.Create(Target()).status()) == kReasonTickerServiceUnavailable);
  bench.tickers.down = false;
  CHECK(bench.Stored() == 0);
  CHECK(bench.producer.records().empty());
  // No quota was eaten.
  for (int i = 0; i < 5; ++i) CHECK(bench.Create(Target()).ok());
  const absl::Status full = bench.Create(Target()).status();
  CHECK(full.code() == absl::StatusCode::kResourceExhausted);
  CHECK(base::ReasonOf(full) == kReasonAlertQuota);
}

TEST_CASE("without Kafka a change is durable and PENDING, and the sweeper publishes it later") {
  Bench bench;
  bench.producer.Fail(absl::UnavailableError("down"));
  const auto created = bench.Create(Target());
  REQUIRE(created.ok());
  CHECK(created->state() == v1::Alert::STATE_PENDING);
  const auto paused = bench.Pause(created->name());
  REQUIRE(paused.ok());
  CHECK(paused->applied_revision() < paused->revision());
  CHECK(bench.producer.records().empty());
  bench.clock.Advance(absl::Seconds(4));
  bench.sweeper.RunOnce();
  CHECK(bench.producer.records().empty());
  bench.clock.Advance(absl::Seconds(2));
  bench.sweeper.RunOnce();
  CHECK(bench.producer.records().empty());
  bench.producer.Fail(absl::OkStatus());
  bench.clock.Advance(absl::Seconds(3));
  bench.sweeper.RunOnce();
  const auto logged = bench.Logged();
  REQUIRE(logged.size() == 1);
  CHECK(logged[0].revision() == 2);
  CHECK(logged[0].paused());
}

TEST_CASE("a broker that does not answer holds a call for its wait only, and later calls for less") {
  Bench bench;
  bench.producer.Hold();
  absl::Time begin = absl::Now();
  REQUIRE(bench.Create(Target()).ok());
  CHECK(absl::Now() - begin >= absl::Milliseconds(100));
  // A machine that is ten times as slow as its clock still tells them apart.
  constexpr int kLater = 4;
  begin = absl::Now();
  for (int i = 0; i < kLater; ++i) REQUIRE(bench.Create(Target()).ok());
  CHECK(absl::Now() - begin < kLater * absl::Milliseconds(100));
  bench.producer.Release();
  CHECK(bench.Logged().size() == 1 + kLater);
}

TEST_CASE("REJECT_IF_MET is decided by the last price of the sessions that count, and logged as WAIT_FOR_CROSS") {
  Bench bench;
  v1::Alert alert = Target("150");
  alert.set_creation_policy(v1::Alert::CREATION_POLICY_REJECT_IF_MET);
  CHECK(bench.Create(alert).ok());
  bench.tickers.extended_price_micros = 151'000'000;
  bench.tickers.regular_price_micros = 149'999'999;
  const auto created = bench.Create(alert);
  REQUIRE(created.ok());
  CHECK(created->creation_policy() == v1::Alert::CREATION_POLICY_REJECT_IF_MET);
  CHECK(bench.Logged().back().definition().creation_policy() == ipb::CREATION_POLICY_KIND_WAIT_FOR_CROSS);
  alert.set_sessions(v1::Alert::SESSIONS_EXTENDED);
  const absl::Status met = bench.Create(alert).status();
  CHECK(met.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(base::ReasonOf(met) == kReasonConditionMet);
  bench.tickers.regular_price_micros = 150'000'000;
  alert.set_sessions(v1::Alert::SESSIONS_REGULAR);
  CHECK(base::ReasonOf(bench.Create(alert).status()) == kReasonConditionMet);
  CHECK(bench.Stored() == 2);
}

TEST_CASE("REJECT_IF_MET looks at the date's own reference") {
  Bench bench;
  bench.tickers.regular_price_micros = 110'000'000;
  v1::Alert alert = Target();
  v1::PercentChange& change = *alert.mutable_condition()->mutable_percent_change();
  change.set_direction(v1::PercentChange::DIRECTION_UP);
  change.set_percent("10");
  alert.set_creation_policy(v1::Alert::CREATION_POLICY_REJECT_IF_MET);
  for (const auto& [reference, known] :
       {std::pair(v1::PercentChange::REFERENCE_DAY_OPEN, &bench.tickers.day_open_micros),
        std::pair(v1::PercentChange::REFERENCE_PREVIOUS_CLOSE, &bench.tickers.previous_close_micros)}) {
    change.set_reference(reference);
    CHECK(bench.Create(alert).ok());
    *known = 100'000'001;
    CHECK(bench.Create(alert).ok());
    *known = 100'000'000;
    CHECK(base::ReasonOf(bench.Create(alert).status()) == kReasonConditionMet);
  }
}

TEST_CASE("BatchCreateAlerts creates all or none") {
  Bench bench;
  v1::BatchCreateAlertsRequest request;
  request.set_parent("users/me");
  *request.add_requests()->mutable_alert() = Target("150", "AAPL");
  *request.add_requests()->mutable_alert() = Target("250", "MSFT");
  request.mutable_requests(1)->set_request_id("b");
  *request.add_requests()->mutable_alert() = Target("151", "AAPL");
  v1::BatchCreateAlertsResponse response;
  const auto call = [&] { return bench.Call(&v1::AlertService::Stub::BatchCreateAlerts, request, response); };
  REQUIRE(call().ok());
  REQUIRE(response.alerts_size() == 3);
  CHECK(response.alerts(1).symbol() == "MSFT");
  CHECK(bench.tickers.registrations == 2);
  CHECK(bench.Logged().size() == 3);
  CHECK(bench.Stored("AAPL") == 2);
  const std::string second = response.alerts(1).name();

  // Over the quota of five together with three there are: none.
  request.mutable_requests(1)->clear_request_id();
  CHECK(base::ReasonOf(call()) == kReasonAlertQuota);
  CHECK(bench.Stored("AAPL") == 2);
  // One of them is known by its request id: two are new.
  request.mutable_requests(1)->set_request_id("b");
  response.Clear();
  REQUIRE(call().ok());
  REQUIRE(response.alerts_size() == 3);
  CHECK(response.alerts(1).name() == second);
  CHECK(bench.Stored("AAPL") == 4);

  request.mutable_requests(0)->set_parent("users/" + kBob);
  *request.mutable_requests(2)->mutable_alert() = Target("0");
  CHECK(FieldsOf(call()) ==
        std::vector<std::string>{"requests[0].parent", "requests[2].alert.condition.price_target.price"});
  request.mutable_requests(0)->clear_parent();
  request.mutable_requests(0)->set_request_id("b");
  *request.mutable_requests(2)->mutable_alert() = Target("1", "NONE");
  CHECK(FieldsOf(call()) == std::vector<std::string>{"requests[1].request_id"});
  request.clear_requests();
  CHECK(FieldsOf(call()) == std::vector<std::string>{"requests"});
  for (int i = 0; i < 101; ++i) *request.add_requests()->mutable_alert() = Target();
  CHECK(FieldsOf(call()) == std::vector<std::string>{"requests"});
}

TEST_CASE("UpdateAlert changes what its mask names, and publishes what changed") {
  Bench bench;
  const auto created = bench.Create(Target());
  REQUIRE(created.ok());
  v1::Alert change;
  change.set_name(created->name());
  change.set_note("a note");
  auto updated = bench.Update(change, {});
  REQUIRE(updated.ok());
  CHECK(updated->revision() == 2);
  CHECK(updated->note() == "a note");
  CHECK(bench.Logged().back().revision() == 2);
  CHECK(bench.Logged().back().armed_revision() == 1);

  // The value that it has is no change, and needs no publishing.
  updated = bench.Update(change, {"note", "condition"});
  CHECK(FieldsOf(updated.status()) == std::vector<std::string>{"alert.condition"});
  *change.mutable_condition() = created->condition();
  updated = bench.Update(change, {"*"});
  REQUIRE(updated.ok());
  CHECK(updated->revision() == 2);
  CHECK(bench.Logged().size() == 2);

  change.mutable_condition()->mutable_price_target()->set_price("151");
  change.set_etag(created->etag());
  const absl::Status stale = bench.Update(change, {"condition"}).status();
  CHECK(stale.code() == absl::StatusCode::kAborted);
  CHECK(base::ReasonOf(stale) == "ETAG_MISMATCH");
  change.set_etag(updated->etag());
  updated = bench.Update(change, {"condition"});
  REQUIRE(updated.ok());
  CHECK(updated->revision() == 3);
  CHECK(updated->note() == "a note");
  CHECK(bench.Logged().back().armed_revision() == 3);
  CHECK(updated->etag() != change.etag());

  change.clear_etag();
  CHECK(FieldsOf(bench.Update(change, {"condition", "state"}).status()) == std::vector<std::string>{"update_mask"});
  CHECK(FieldsOf(bench.Update(change, {"nonsense"}).status()) == std::vector<std::string>{"update_mask"});
  change.set_symbol("MSFT");
  CHECK(FieldsOf(bench.Update(change, {"note"}).status()) == std::vector<std::string>{"alert.symbol"});
  change.set_name("nonsense");
  CHECK(FieldsOf(bench.Update(change, {"note"}).status()) == std::vector<std::string>{"alert.name"});
}

TEST_CASE("who changes an alert by what it was before a split hears of it") {
  Bench bench;
  const auto created = bench.Create(Target());
  REQUIRE(created.ok());
  EventBatch batch;
  batch.splits.push_back({"AAPL", 1, {4, 1}});
  REQUIRE(ApplyEvents(bench.store, batch, bench.clock.NowUs()).ok());
  v1::Alert change = *created;
  change.set_note("a note");
  const absl::Status stale = bench.Update(change, {"*"}).status();
  CHECK(base::ReasonOf(stale) == "ETAG_MISMATCH");
  change = *bench.Get(created->name());
  CHECK(change.revision() == created->revision());
  CHECK(change.condition().price_target().price() == "37.5");
  change.set_note("a note");
  const auto updated = bench.Update(change, {"*"});
  REQUIRE(updated.ok());
  CHECK(updated->condition().price_target().price() == "37.5");
}

TEST_CASE("the life of an alert by its calls") {
  Bench bench;
  auto alert = bench.Create(Target());
  REQUIRE(alert.ok());
  bench.ConfirmRevisions(*alert);
  const std::string name = alert->name();
  CHECK(bench.Resume(name)->revision() == 1);
  alert = bench.Pause(name);
  CHECK(alert->state() == v1::Alert::STATE_PAUSED);
  CHECK(bench.Pause(name)->revision() == 2);
  CHECK(bench.Pause(name, "stale").status().code() == absl::StatusCode::kAborted);
  alert = bench.Resume(name);
  CHECK(alert->state() == v1::Alert::STATE_ACTIVE);
  CHECK(alert->revision() == 3);

  bench.Trigger(*alert, 1);
  alert = bench.Get(name);
  CHECK(alert->state() == v1::Alert::STATE_TRIGGERED);
  CHECK(alert->trigger_count() == 1);
  CHECK(alert->last_trigger().name() == name + "/triggers/1");
  CHECK(alert->last_trigger().price() == "151");
  CHECK(base::ReasonOf(bench.Pause(name).status()) == kReasonAlertEnded);
  CHECK(base::ReasonOf(bench.Resume(name).status()) == kReasonAlertEnded);
  alert = bench.Rearm(name);
  REQUIRE(alert.ok());
  CHECK(alert->state() == v1::Alert::STATE_ACTIVE);
  CHECK(alert->trigger_count() == 1);
  CHECK(bench.Logged().back().armed_revision() == alert->revision());

  // Expiry, and the one update that an expired alert takes.
  v1::Alert change;
  change.set_name(name);
  change.mutable_expire_time()->set_seconds(bench.clock.NowUs() / 1'000'000 + 60);
  REQUIRE(bench.Update(change, {"expire_time"}).ok());
  bench.clock.Advance(absl::Seconds(61));
  CHECK(bench.Get(name)->state() == v1::Alert::STATE_EXPIRED);
  CHECK(base::ReasonOf(bench.Rearm(name).status()) == kReasonAlertEnded);
  v1::Alert note = change;
  note.set_note("late");
  CHECK(base::ReasonOf(bench.Update(note, {"note"}).status()) == kReasonAlertExpired);
  change.mutable_expire_time()->set_seconds(bench.clock.NowUs() / 1'000'000 + 60);
  alert = bench.Update(change, {"expire_time"});
  REQUIRE(alert.ok());
  CHECK(alert->state() == v1::Alert::STATE_ACTIVE);
  CHECK(bench.Logged().back().armed_revision() == alert->revision());

  CHECK(bench.Delete(name, "stale").code() == absl::StatusCode::kAborted);
  REQUIRE(bench.Delete(name).ok());
  CHECK(bench.Logged().back().deleted());
  CHECK(bench.Logged().back().revision() == alert->revision() + 1);
  CHECK(bench.Get(name).status().code() == absl::StatusCode::kNotFound);
  CHECK(bench.Delete(name).code() == absl::StatusCode::kNotFound);
  CHECK(bench.Rearm(name).status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("lists are paged, filtered, and their tokens good for themselves only") {
  Bench bench;
  std::vector<v1::Alert> created;
  for (int i = 0; i < 5; ++i) {
    created.push_back(*bench.Create(Target(absl::StrCat(100 + i), i % 2 == 0 ? "AAPL" : "BRK.B")));
    bench.clock.Advance(absl::Seconds(1));
  }
  v1::ListAlertsRequest request;
  request.set_parent("users/me");
  request.set_page_size(2);
  std::vector<std::string> names;
  std::string token;
  for (int page = 0; page < 3; ++page) {
    request.set_page_token(token);
    const auto listed = bench.List(request);
    REQUIRE(listed.ok());
    for (const v1::Alert& alert : listed->alerts()) names.push_back(alert.name());
    token = listed->next_page_token();
    CHECK(token.empty() == (page == 2));
    if (page == 0) {
      v1::ListAlertsRequest other = request;
      other.set_page_token(token);
      other.set_symbol("AAPL");
      CHECK(FieldsOf(bench.List(other).status()) == std::vector<std::string>{"page_token"});
      other.clear_symbol();
      other.add_states(v1::Alert::STATE_PAUSED);
      CHECK(FieldsOf(bench.List(other).status()) == std::vector<std::string>{"page_token"});
      v1::ListTriggersRequest triggers;
      triggers.set_parent("users/me/alerts/-");
      triggers.set_page_token(token);
      v1::ListTriggersResponse response;
      CHECK(FieldsOf(bench.Call(&v1::AlertService::Stub::ListTriggers, triggers, response)) ==
            std::vector<std::string>{"page_token"});
      bench.key = "bob";
      other = request;
      other.set_page_token(token);
      CHECK(FieldsOf(bench.List(other).status()) == std::vector<std::string>{"page_token"});
      bench.key = "ann";
    }
  }
  REQUIRE(names.size() == 5);
  for (size_t i = 0; i < 5; ++i) CHECK(names[i] == created[4 - i].name());

  request.clear_page_token();
  request.set_symbol("brk.b");
  CHECK(bench.List(request)->alerts_size() == 2);
  request.set_symbol("no symbol");
  CHECK(FieldsOf(bench.List(request).status()) == std::vector<std::string>{"symbol"});
  request.clear_symbol();
  REQUIRE(bench.Pause(created[1].name()).ok());
  request.add_states(v1::Alert::STATE_PAUSED);
  CHECK(bench.List(request)->alerts(0).name() == created[1].name());
  request.add_states(v1::Alert::STATE_UNSPECIFIED);
  request.set_page_size(-1);
  request.set_page_token("nonsense!");
  CHECK(FieldsOf(bench.List(request).status()) == std::vector<std::string>{"states[1]", "page_size", "page_token"});
}

TEST_CASE("triggers are listed by alert and by user") {
  Bench bench;
  v1::Alert repeating = Target();
  repeating.set_trigger_policy(v1::Alert::TRIGGER_POLICY_REPEAT);
  const auto a = bench.Create(repeating);
  const auto b = bench.Create(repeating);
  REQUIRE(a.ok());
  REQUIRE(b.ok());
  for (int i = 1; i <= 3; ++i) bench.Trigger(*a, i);
  bench.Trigger(*b, 1);
  const auto list = [&](const std::string& parent, int page_size, const std::string& token) {
    v1::ListTriggersRequest request;
    request.set_parent(parent);
    request.set_page_size(page_size);
    request.set_page_token(token);
    v1::ListTriggersResponse response;
    const absl::Status status = bench.Call(&v1::AlertService::Stub::ListTriggers, request, response);
    return std::pair(status, response);
  };
  auto [status, page] = list(a->name(), 2, "");
  REQUIRE(status.ok());
  REQUIRE(page.triggers_size() == 2);
  CHECK(page.triggers(0).name() == a->name() + "/triggers/3");
  auto [status2, rest] = list(a->name(), 2, page.next_page_token());
  REQUIRE(status2.ok());
  CHECK(rest.triggers_size() == 1);
  CHECK(rest.next_page_token().empty());
  CHECK(list("users/me/alerts/-", 50, "").second.triggers_size() == 4);
  CHECK(list("users/me/alerts/-", 50, "").second.triggers(0).name() == b->name() + "/triggers/1");
  CHECK(FieldsOf(list("users/me", 2, "").first) == std::vector<std::string>{"parent"});
  CHECK(FieldsOf(list(b->name(), 2, page.next_page_token()).first) == std::vector<std::string>{"page_token"});
  bench.key = "bob";
  CHECK(list(a->name(), 2, "").first.code() == absl::StatusCode::kNotFound);
  CHECK(list("users/" + kAnn + "/alerts/-", 2, "").first.code() == absl::StatusCode::kNotFound);
  CHECK(list("users/me/alerts/-", 2, "").second.triggers_size() == 0);
  CHECK(list(absl::StrCat("users/me/alerts/", Bench::IdOf(*a)), 2, "").first.code() == absl::StatusCode::kNotFound);
}

TEST_CASE("an administrator has all alerts published again") {
  Bench bench;
  const auto a = bench.Create(Target("150", "AAPL"));
  const auto b = bench.Create(Target("150", "MSFT"));
  bench.ConfirmRevisions(*a);
  bench.ConfirmRevisions(*b);
  const size_t before = bench.producer.records().size();
  bench.key = "admin";
  v1::ResyncAlertsRequest request;
  request.set_symbol("msft");
  v1::ResyncAlertsResponse response;
  REQUIRE(bench.Call(&v1::AlertService::Stub::ResyncAlerts, request, response).ok());
  CHECK(response.alert_count() == 1);
  while (bench.sweeper.RunOnce()) {
  }
  REQUIRE(bench.producer.records().size() == before + 1);
  CHECK(bench.producer.records().back().key == "MSFT");
  bench.ConfirmRevisions(*b);
  request.clear_symbol();
  REQUIRE(bench.Call(&v1::AlertService::Stub::ResyncAlerts, request, response).ok());
  CHECK(response.alert_count() == 2);
  while (bench.sweeper.RunOnce()) {
  }
  CHECK(bench.producer.records().size() == before + 3);
}

TEST_CASE("CountAlerts returns the number of alerts on a symbol, for the mesh token only") {
  Bench bench;
  REQUIRE(bench.Create(Target()).ok());
  auto stub = ipb::AlertInternalService::NewStub(bench.internal_server->InProcessChannel());
  ipb::CountAlertsRequest request;
  request.set_symbol("AAPL");
  ipb::CountAlertsResponse response;
  const auto count = [&](const std::string& token) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(5)));
    if (!token.empty()) context.AddMetadata(rpc::kMeshTokenMetadata, token);
    return stub->CountAlerts(&context, request, &response).error_code();
  };
  CHECK(count(kMeshToken) == grpc::StatusCode::OK);
  CHECK(response.alert_count() == 1);
  CHECK(count("") == grpc::StatusCode::UNAUTHENTICATED);
  CHECK(count("wrong") == grpc::StatusCode::UNAUTHENTICATED);
  request.set_symbol("");
  CHECK(count(kMeshToken) == grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_CASE("an alert says where its notifications go: shown, changed, checked with the notifier") {
  Bench bench;
  const std::string id = testing::FakeIds::Uuid(0xd1);
  bench.notifier.existing = {id};
  const std::string name = absl::StrCat("users/", kAnn, "/destinations/", id);
  v1::Alert asked = Target();
  asked.add_destinations(absl::StrCat("users/me/destinations/", id));
  asked.set_critical(true);
  const auto created = bench.Create(asked, "r-1");
  REQUIRE(created.ok());
  CHECK(created->delivery() == v1::Alert::DELIVERY_NAMED);
  CHECK(std::vector<std::string>(created->destinations().begin(), created->destinations().end()) ==
        std::vector<std::string>{name});
  CHECK(created->critical());
  CHECK(bench.Create(asked, "r-1")->name() == created->name());
  CHECK(FieldsOf(bench.Create(Target(), "r-1").status()) == std::vector<std::string>{"request_id"});
  CHECK(bench.Get(created->name())->SerializeAsString() == created->SerializeAsString());
  v1::ListAlertsRequest list;
  list.set_parent("users/me");
  CHECK(bench.List(list)->alerts(0).destinations(0) == name);

  // A new revision and etag; nothing is armed, and the evaluator is told as of every change.
  v1::Alert change;
  change.set_name(created->name());
  change.set_etag(created->etag());
  change.set_delivery(v1::Alert::DELIVERY_NONE);
  const auto quiet = bench.Update(change, {"delivery"});
  REQUIRE(quiet.ok());
  CHECK(quiet->delivery() == v1::Alert::DELIVERY_NONE);
  CHECK(quiet->destinations_size() == 0);
  CHECK(quiet->critical());
  CHECK(quiet->revision() == 2);
  CHECK(quiet->etag() != created->etag());
  CHECK(bench.Logged().back().revision() == 2);
  CHECK(bench.Logged().back().armed_revision() == 1);
  CHECK(absl::IsAborted(bench.Update(change, {"delivery"}).status()));
  // All fields, as on creation.
  v1::Alert all = Target();
  all.set_name(created->name());
  const auto reset = bench.Update(all, {"*"});
  REQUIRE(reset.ok());
  CHECK(reset->delivery() == v1::Alert::DELIVERY_DEFAULTS);
  CHECK(!reset->critical());
  CHECK(reset->revision() == 3);
  CHECK(bench.Logged().back().armed_revision() == 1);
}

TEST_CASE("destinations that the user does not have are refused by their place; without the notifier nothing is done") {
  Bench bench;
  const std::string id = testing::FakeIds::Uuid(0xd1), unknown = testing::FakeIds::Uuid(0xd2);
  bench.notifier.existing = {id};
  v1::Alert asked = Target();
  asked.add_destinations(absl::StrCat("users/me/destinations/", id));
  asked.add_destinations(absl::StrCat("users/me/destinations/", unknown));
  const absl::Status refused = bench.Create(asked).status();
  CHECK(absl::IsInvalidArgument(refused));
  CHECK(base::ReasonOf(refused) == "UNKNOWN_DESTINATION");
  CHECK(FieldsOf(refused) == std::vector<std::string>{"alert.destinations[1]"});
  v1::BatchCreateAlertsRequest batch;
  batch.set_parent("users/me");
  *batch.add_requests()->mutable_alert() = Target();
  *batch.add_requests()->mutable_alert() = asked;
  v1::BatchCreateAlertsResponse response;
  CHECK(FieldsOf(bench.Call(&v1::AlertService::Stub::BatchCreateAlerts, batch, response)) ==
        std::vector<std::string>{"requests[1].alert.destinations[1]"});
  CHECK(bench.Stored() == 0);

  const auto plain = bench.Create(Target());
  REQUIRE(plain.ok());
  asked.set_name(plain->name());
  CHECK(FieldsOf(bench.Update(asked, {"delivery", "destinations"}).status()) ==
        std::vector<std::string>{"alert.destinations[1]"});
  // Before anybody is asked.
  bench.notifier.asked = 0;
  asked.set_destinations(1, "nothing");
  CHECK(FieldsOf(bench.Update(asked, {"destinations"}).status()) == std::vector<std::string>{"alert.destinations[1]"});
  CHECK(bench.notifier.asked == 0);

  bench.notifier.down = true;
  asked.mutable_destinations()->RemoveLast();
  CHECK(base::ReasonOf(bench.Create(asked).status()) == "NOTIFIER_UNAVAILABLE");
  CHECK(base::ReasonOf(bench.Update(asked, {"delivery", "destinations"}).status()) == "NOTIFIER_UNAVAILABLE");
  v1::Alert quiet;
  quiet.set_name(plain->name());
  quiet.set_delivery(v1::Alert::DELIVERY_NONE);
  CHECK(bench.Update(quiet, {"delivery"}).ok());
  CHECK(bench.Create(Target()).ok());
  // Its database, not the notifier, is what is away.
  bench.notifier.failure = base::Unavailable("DATABASE_UNAVAILABLE", "no database");
  CHECK(base::ReasonOf(bench.Create(asked).status()) == "DATABASE_UNAVAILABLE");
}

}  // namespace stockalert::alert
