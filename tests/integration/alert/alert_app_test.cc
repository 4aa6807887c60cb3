// The whole alert service against real Postgres, with librdkafka's mock cluster and, where STOCKALERT_TEST_KAFKA names
// one, a real broker. The user and the ticker service are made up for the test.
#include "services/alert/app.h"

#include <httplib.h>
#include <catch2/catch.hpp>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/grpc/server.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/producer.h"
#include "services/common/kafka/topic_admin.h"
#include "stockalert/alert/v1/alert.grpc.pb.h"
#include "stockalert/internal/v1/events.pb.h"
#include "stockalert/internal/v1/log.pb.h"
#include "stockalert/internal/v1/notifier_internal.grpc.pb.h"
#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"
#include "stockalert/internal/v1/user_internal.grpc.pb.h"
#include "tests/support/flaky_proxy/flaky_proxy.h"
#include "tests/support/mock_kafka/mock_kafka.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::alert {
namespace {

namespace ipb = ::stockalert::internal::v1;
using Stub = v1::AlertService::Stub;

constexpr char kTrace[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr int kPartitions = 4;

bool Await(const std::function<bool()>& condition, absl::Duration patience = absl::Seconds(40)) {
  const absl::Time deadline = absl::Now() + patience;
  while (!condition()) {
    if (absl::Now() >= deadline) return false;
    absl::SleepFor(absl::Milliseconds(20));
  }
  return true;
}

// Every key is Ann's: a user of this run's own, for a real broker remembers what earlier runs said of theirs.
class Users final : public ipb::UserInternalService::Service {
 public:
  const std::string ann = base::SystemIdSource().NewUuid();
  grpc::Status AuthenticateApiKey(grpc::ServerContext*, const ipb::AuthenticateApiKeyRequest*,
                                  ipb::AuthenticateApiKeyResponse* response) override {
    response->set_user_id(ann);
    return grpc::Status::OK;
  }
  grpc::Status GetUser(grpc::ServerContext*, const ipb::GetUserRequest* request,
                       ipb::GetUserResponse* response) override {
    response->set_user_id(request->user_id());
    return grpc::Status::OK;
  }
};

class Tickers final : public ipb::TickerInternalService::Service {
 public:
  grpc::Status RegisterTicker(grpc::ServerContext*, const ipb::RegisterTickerRequest* request,
                              ipb::RegisterTickerResponse* response) override {
    response->set_symbol(request->symbol());
    return grpc::Status::OK;
  }
  grpc::Status GetLastPrices(grpc::ServerContext*, const ipb::GetLastPricesRequest* request,
                             ipb::GetLastPricesResponse* response) override {
    for (const std::string& symbol : request->symbols()) response->add_prices()->set_symbol(symbol);
    return grpc::Status::OK;
  }
};

class Notifiers final : public ipb::NotifierInternalService::Service {
 public:
  grpc::Status FindDestinations(grpc::ServerContext*, const ipb::FindDestinationsRequest* request,
                                ipb::FindDestinationsResponse* response) override {
    *response->mutable_destination_ids() = request->destination_ids();
    return grpc::Status::OK;
  }
};

std::unique_ptr<rpc::Server> Serve(grpc::Service* service, const char* name) {
  auto server = rpc::Server::Start({.address = "127.0.0.1:0",
                                    .credentials = ::grpc::InsecureServerCredentials(),
                                    .services = {service},
                                    .service_names = {name}});
  if (!server.ok()) throw std::runtime_error(server.status().ToString());
  return *std::move(server);
}

std::string AddressOf(const rpc::Server& server) { return absl::StrCat("127.0.0.1:", server.port()); }

// A running alert service and a stub for it.
struct Running {
  Running(const std::string& postgres_url, const std::string& bootstrap, const std::string& group,
          const rpc::Server& users, const rpc::Server& tickers, const rpc::Server& notifiers) {
    Config config;
    config.public_address = config.http_address = config.internal_address = "127.0.0.1:0";
    config.user_address = AddressOf(users);
    config.ticker_address = AddressOf(tickers);
    config.notifier_address = AddressOf(notifiers);
    config.postgres_url = postgres_url;
    config.postgres_connections_max = 4;
    config.kafka_bootstrap = bootstrap;
    config.group_id = group;
    config.instance_id = "none";
    config.mesh_token = "mesh";
    config.tls.plaintext = true;
    config.threads = 8;
    config.publish_wait = absl::Milliseconds(500);
    auto created = AlertApp::Create(config);
    if (!created.ok()) throw std::runtime_error(created.status().ToString());
    app = *std::move(created);
    if (const absl::Status status = app->Start(); !status.ok()) throw std::runtime_error(status.ToString());
    stub = v1::AlertService::NewStub(
        grpc::CreateChannel(absl::StrCat("127.0.0.1:", app->public_port()), grpc::InsecureChannelCredentials()));
  }
  ~Running() { app->Stop(absl::Now() + absl::Seconds(10)); }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(15));
    context.AddMetadata("authorization", "Bearer any_key_is_taken");
    Response response;
    absl::Status status = rpc::FromGrpc((stub.get()->*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }

  // Its notifications go to this destination, where one is named.
  absl::StatusOr<v1::Alert> Create(v1::Alert::TriggerPolicy policy = v1::Alert::TRIGGER_POLICY_ONCE,
                                   const std::string& destination_id = "") {
    v1::CreateAlertRequest request;
    request.set_parent("users/me");
    v1::Alert& alert = *request.mutable_alert();
    alert.set_symbol("AAPL");
    alert.set_trigger_policy(policy);
    alert.set_note("sell half");
    if (!destination_id.empty()) alert.add_destinations("users/me/destinations/" + destination_id);
    alert.mutable_condition()->mutable_price_target()->set_comparison(v1::PriceTarget::COMPARISON_CROSSES);
    alert.mutable_condition()->mutable_price_target()->set_price("150");
    return Call<v1::CreateAlertRequest, v1::Alert>(&Stub::CreateAlert, request);
  }

  absl::StatusOr<v1::Alert> Get(const std::string& name) {
    v1::GetAlertRequest request;
    request.set_name(name);
    return Call<v1::GetAlertRequest, v1::Alert>(&Stub::GetAlert, request);
  }

  bool IsIn(const std::string& name, v1::Alert::State state) {
    const auto alert = Get(name);
    return alert.ok() && alert->state() == state;
  }

  int Readiness() {
    const auto response = httplib::Client("127.0.0.1", app->http_port()).Get("/readyz");
    return response ? response->status : 0;
  }

  std::unique_ptr<AlertApp> app;
  std::unique_ptr<Stub> stub;
};

std::string IdOf(const v1::Alert& alert) { return alert.name().substr(alert.name().rfind('/') + 1); }

// The rest of the mesh as far as Kafka shows it: writes events as the evaluator does, reads what the alert service
// writes.
class Mesh {
 public:
  explicit Mesh(const std::string& bootstrap) {
    kafka::ProducerOptions producer;
    producer.bootstrap = bootstrap;
    producer.client_id = "test";
    producer_ = *kafka::CreateProducer(producer);
    for (const char* topic : {kafka::kPricesTopic, kafka::kTriggersTopic}) {
      kafka::AssignedConsumerOptions options;
      options.bootstrap = bootstrap;
      options.client_id = "test";
      options.fetch_wait_max = absl::Milliseconds(10);
      readers_[topic] = *kafka::AssignedConsumer::Create(options);
      // What is there already is another test's.
      const absl::Status assigned = readers_[topic]->AssignAll(topic, kafka::kEnd, absl::Seconds(20));
      if (!assigned.ok()) throw std::runtime_error(assigned.ToString());
    }
  }

  void Send(const char* topic, const std::string& key, const google::protobuf::Message& event) {
    const auto sent = producer_->ProduceAndWait(topic, key, event.SerializeAsString(), kafka::TraceHeaders(kTrace),
                                                absl::Now() + absl::Seconds(20));
    if (!sent.ok()) throw std::runtime_error(sent.status().ToString());
  }

  void ConfirmRevisions(const v1::Alert& alert) {
    ipb::AlertEvent event;
    event.mutable_change_confirmed()->set_alert_id(IdOf(alert));
    event.mutable_change_confirmed()->set_revision(alert.revision());
    Send(kafka::kAlertEventsTopic, IdOf(alert), event);
  }

  void Trigger(const v1::Alert& alert, int64_t number) {
    ipb::AlertEvent event;
    ipb::AlertTriggered& trigger = *event.mutable_triggered();
    trigger.set_alert_id(IdOf(alert));
    trigger.set_symbol(alert.symbol());
    trigger.set_revision(alert.revision());
    trigger.set_trigger_number(number);
    trigger.set_price_micros(150'000'000 + number);
    trigger.set_event_time_us(1'767'366'000'000'000 + number);
    trigger.set_ends_alert(alert.trigger_policy() == v1::Alert::TRIGGER_POLICY_ONCE);
    Send(kafka::kAlertEventsTopic, IdOf(alert), event);
  }

  // Takes in what there is to read.
  void Read() {
    kafka::PollResult prices = readers_[kafka::kPricesTopic]->Poll(absl::Milliseconds(20), 1000);
    for (const kafka::Message& message : prices.messages) {
      ipb::LogRecord record;
      if (record.ParseFromArray(message.value().data(), static_cast<int>(message.value().size())) &&
          record.has_alert_change()) {
        changes_[record.alert_change().alert_id()].push_back(record.alert_change());
      }
    }
    prices.messages.clear();
    kafka::PollResult triggers = readers_[kafka::kTriggersTopic]->Poll(absl::Milliseconds(20), 1000);
    for (const kafka::Message& message : triggers.messages) {
      ipb::TriggerMessage trigger;
      if (!trigger.ParseFromArray(message.value().data(), static_cast<int>(message.value().size()))) continue;
      triggers_[trigger.trigger().alert_id()].push_back(trigger);
      traceparents_.insert(std::string(message.traceparent()));
      keys_.insert(std::string(message.key()));
    }
    triggers.messages.clear();
  }

  std::vector<ipb::AlertChangeRecord> ChangesOf(const v1::Alert& alert) {
    Read();
    return changes_[IdOf(alert)];
  }

  std::vector<ipb::TriggerMessage> TriggersOf(const v1::Alert& alert) {
    Read();
    return triggers_[IdOf(alert)];
  }

  const std::set<std::string>& traceparents() const { return traceparents_; }
  const std::set<std::string>& keys() const { return keys_; }

 private:
  std::unique_ptr<kafka::Producer> producer_;
  std::map<std::string, std::unique_ptr<kafka::AssignedConsumer>> readers_;
  std::map<std::string, std::vector<ipb::AlertChangeRecord>> changes_;
  std::map<std::string, std::vector<ipb::TriggerMessage>> triggers_;
  std::set<std::string> traceparents_;
  std::set<std::string> keys_;
};

constexpr const char* kTopics[] = {kafka::kPricesTopic, kafka::kAlertEventsTopic, kafka::kTriggersTopic,
                                   kafka::kUserEventsTopic};

// First occurrences in order, all of 1 to `last`.
bool InOrder(const std::vector<ipb::TriggerMessage>& triggers, int64_t last) {
  int64_t next = 1;
  for (const ipb::TriggerMessage& trigger : triggers) {
    if (trigger.trigger().trigger_number() > next) return false;
    if (trigger.trigger().trigger_number() == next) ++next;
  }
  return next == last + 1;
}

struct World {
  World() {
    (void)testing::PostgresUrlOrSkip();
    database = std::make_unique<testing::TestDatabase>();
    database->Migrate("alert");
    users_server = Serve(&users, "stockalert.internal.v1.UserInternalService");
    tickers_server = Serve(&tickers, "stockalert.internal.v1.TickerInternalService");
    notifiers_server = Serve(&notifiers, "stockalert.internal.v1.NotifierInternalService");
  }
  std::unique_ptr<Running> Run(const std::string& postgres_url, const std::string& bootstrap) {
    return std::make_unique<Running>(postgres_url, bootstrap, group, *users_server, *tickers_server, *notifiers_server);
  }

  Users users;
  Tickers tickers;
  Notifiers notifiers;
  std::unique_ptr<testing::TestDatabase> database;
  std::unique_ptr<rpc::Server> users_server;
  std::unique_ptr<rpc::Server> tickers_server;
  std::unique_ptr<rpc::Server> notifiers_server;
  const std::string group = testing::UniqueName("alert_app");
};

void RunTheWholeWay(World& world, const std::string& bootstrap) {
  Mesh mesh(bootstrap);
  auto service = world.Run(world.database->url(), bootstrap);
  CHECK(service->Readiness() == 200);
  auto alert = service->Create();
  REQUIRE(alert.ok());
  CHECK(alert->state() == v1::Alert::STATE_PENDING);
  REQUIRE(Await([&] { return !mesh.ChangesOf(*alert).empty(); }));
  CHECK(mesh.ChangesOf(*alert).front().revision() == 1);
  CHECK(mesh.ChangesOf(*alert).front().definition().price_target().price_micros() == 150'000'000);

  mesh.ConfirmRevisions(*alert);
  REQUIRE(Await([&] { return service->IsIn(alert->name(), v1::Alert::STATE_ACTIVE); }));
  CHECK(service->Get(alert->name())->applied_revision() == 1);
  CHECK(world.database->Count("SELECT count(*) FROM stockalert_alert.alert_outbox") == 0);

  mesh.Trigger(*alert, 1);
  mesh.Trigger(*alert, 1);
  REQUIRE(Await([&] { return service->IsIn(alert->name(), v1::Alert::STATE_TRIGGERED); }));
  REQUIRE(Await([&] { return !mesh.TriggersOf(*alert).empty(); }));
  const ipb::TriggerMessage passed = mesh.TriggersOf(*alert).front();
  CHECK(passed.user_id() == world.users.ann);
  CHECK(passed.note() == "sell half");
  CHECK(passed.summary() == "AAPL crosses 150");
  CHECK(passed.delivery() == ipb::TriggerMessage::DELIVERY_DEFAULTS);
  CHECK(mesh.traceparents() == std::set<std::string>{kTrace});
  CHECK(mesh.keys() == std::set<std::string>{world.users.ann});
  REQUIRE(Await([&] { return world.database->Count("SELECT count(*) FROM stockalert_alert.trigger_outbox") == 0; }));
  CHECK(mesh.TriggersOf(*alert).size() == 1);

  // A stop and a start: nothing is told twice.
  service.reset();
  auto repeating = [&] {
    auto second = world.Run(world.database->url(), bootstrap);
    const auto created = second->Create(v1::Alert::TRIGGER_POLICY_REPEAT, world.users.ann);
    REQUIRE(created.ok());
    mesh.ConfirmRevisions(*created);
    mesh.Trigger(*created, 1);
    REQUIRE(Await([&] { return mesh.TriggersOf(*created).size() == 1; }));
    return *created;
  }();
  // Events that come while no instance runs.
  for (int64_t n = 2; n <= 20; ++n) mesh.Trigger(repeating, n);
  service = world.Run(world.database->url(), bootstrap);
  REQUIRE(Await([&] { return mesh.TriggersOf(repeating).size() >= 20; }));
  CHECK(InOrder(mesh.TriggersOf(repeating), 20));
  for (const ipb::TriggerMessage& named : mesh.TriggersOf(repeating)) {
    CHECK(named.delivery() == ipb::TriggerMessage::DELIVERY_NAMED);
    REQUIRE(named.destination_ids_size() == 1);
    CHECK(named.destination_ids(0) == world.users.ann);
  }
  CHECK(service->Get(repeating.name())->trigger_count() == 20);

  // The user goes, with all alerts, and comes to no new one.
  ipb::UserEvent event;
  event.mutable_user_deleted()->set_user_id(world.users.ann);
  mesh.Send(kafka::kUserEventsTopic, world.users.ann, event);
  REQUIRE(Await([&] { return !mesh.ChangesOf(repeating).empty() && mesh.ChangesOf(repeating).back().deleted(); }));
  REQUIRE(Await([&] { return service->Get(alert->name()).status().code() == absl::StatusCode::kNotFound; }));
  CHECK(base::ReasonOf(service->Create().status()) == "USER_NOT_FOUND");
}

}  // namespace

TEST_CASE("the whole way of an alert, on the mock cluster") {
  World world;
  testing::MockKafka kafka;
  for (const char* topic : kTopics) kafka.CreateTopic(topic, kPartitions);
  RunTheWholeWay(world, kafka.bootstrap());
}

TEST_CASE("the whole way of an alert, on a real broker") {
  const std::string bootstrap = testing::KafkaBootstrapIfAny();
  if (bootstrap.empty()) {
    WARN("STOCKALERT_TEST_KAFKA is not set: only the mock cluster was used");
    return;
  }
  World world;
  kafka::TopicAdminOptions options;
  options.bootstrap = bootstrap;
  options.client_id = "test";
  const auto admin = kafka::TopicAdmin::Create(options);
  REQUIRE(admin.ok());
  for (const char* topic : kTopics) {
    if (!(*admin)->DescribeTopic(topic, absl::Seconds(10)).ok())
      testing::CreateTopicOrThrow(bootstrap, topic, kPartitions);
  }
  RunTheWholeWay(world, bootstrap);
}

TEST_CASE("while Postgres is away calls are UNAVAILABLE, and what the evaluator says waits") {
  World world;
  testing::MockKafka kafka;
  for (const char* topic : kTopics) kafka.CreateTopic(topic, kPartitions);
  testing::FlakyProxy proxy(world.database->port());
  Mesh mesh(kafka.bootstrap());
  auto service = world.Run(world.database->UrlAtPort(proxy.port()), kafka.bootstrap());
  const auto alert = service->Create(v1::Alert::TRIGGER_POLICY_REPEAT);
  REQUIRE(alert.ok());
  mesh.ConfirmRevisions(*alert);
  REQUIRE(Await([&] { return service->IsIn(alert->name(), v1::Alert::STATE_ACTIVE); }));

  proxy.Cut();
  for (int64_t n = 1; n <= 30; ++n) mesh.Trigger(*alert, n);
  const absl::Time begin = absl::Now();
  const absl::Status refused = service->Create().status();
  CHECK(refused.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(refused) == "DATABASE_UNAVAILABLE");
  CHECK(absl::Now() - begin < absl::Seconds(10));
  CHECK(service->Readiness() == 503);
  proxy.Mend();

  REQUIRE(Await([&] { return mesh.TriggersOf(*alert).size() >= 30; }));
  CHECK(InOrder(mesh.TriggersOf(*alert), 30));
  REQUIRE(Await([&] { return service->Readiness() == 200; }));
  CHECK(service->Get(alert->name())->trigger_count() == 30);
  CHECK(world.database->Count("SELECT count(*) FROM stockalert_alert.alerts") == 1);
  CHECK(world.database->Count("SELECT alert_count FROM stockalert_alert.owners") == 1);
}

TEST_CASE("while Kafka is away changes are durable and PENDING, and reach the log when it is back") {
  World world;
  testing::MockKafka kafka;
  for (const char* topic : kTopics) kafka.CreateTopic(topic, kPartitions);
  Mesh mesh(kafka.bootstrap());
  auto service = world.Run(world.database->url(), kafka.bootstrap());
  const auto before = service->Create();
  REQUIRE(before.ok());
  REQUIRE(Await([&] { return !mesh.ChangesOf(*before).empty(); }));
  kafka.SetDown();
  const absl::Time begin = absl::Now();
  const auto alert = service->Create();
  REQUIRE(alert.ok());
  CHECK(alert->state() == v1::Alert::STATE_PENDING);
  CHECK(absl::Now() - begin < absl::Seconds(3));
  v1::DeleteAlertRequest deletion;
  deletion.set_name(before->name());
  CHECK((service->Call<v1::DeleteAlertRequest, google::protobuf::Empty>(&Stub::DeleteAlert, deletion)).ok());
  CHECK(service->Readiness() == 200);
  kafka.SetUp();
  REQUIRE(Await([&] { return !mesh.ChangesOf(*alert).empty(); }));
  REQUIRE(Await([&] { return mesh.ChangesOf(*before).back().deleted(); }));
}

}  // namespace stockalert::alert
