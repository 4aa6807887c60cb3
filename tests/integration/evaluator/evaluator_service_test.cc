// The evaluator's service as it runs, with real Postgres, and with librdkafka's mock cluster and, where
// STOCKALERT_TEST_KAFKA names one, a real broker. A "kill" is a store that carries out nothing any more, before the
// service is stopped: nothing is committed, no checkpoint is written.
#include <catch2/catch.hpp>

#include <atomic>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/partitioner.h"
#include "services/common/kafka/producer.h"
#include "services/common/trace/trace.h"
#include "services/domain/record/log_record.h"
#include "services/evaluator/evaluator_errors.h"
#include "services/evaluator/evaluator_service.h"
#include "services/evaluator/postgres_evaluator_store.h"
#include "stockalert/internal/v1/events.pb.h"
#include "tests/support/flaky_proxy/flaky_proxy.h"
#include "tests/support/mock_kafka/mock_kafka.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::evaluator {
namespace {

namespace pb = ::stockalert::internal::v1;
constexpr int64_t kTarget = 100'000'000;
constexpr int kPartitions = 4;

bool Await(const std::function<bool()>& condition, absl::Duration patience = absl::Seconds(40)) {
  const absl::Time deadline = absl::Now() + patience;
  while (!condition()) {
    if (absl::Now() >= deadline) return false;
    absl::SleepFor(absl::Milliseconds(20));
  }
  return true;
}

// Passes everything on until the process is "dead".
class MortalStore final : public EvaluatorStore {
 public:
  explicit MortalStore(EvaluatorStore& inner) : inner_(inner) {}
  void Kill() { dead_ = true; }

  absl::StatusOr<PartitionRow> AcquirePartition(int32_t partition, const PartitionOwner& owner) override {
    if (dead_) return Dead();
    return inner_.AcquirePartition(partition, owner);
  }
  absl::StatusOr<std::optional<PartitionHolder>> FindHolder(int32_t partition) override {
    if (dead_) return Dead();
    return inner_.FindHolder(partition);
  }
  absl::StatusOr<std::vector<StoredCheckpoint>> LoadCheckpoints(int32_t partition, int64_t generation) override {
    if (dead_) return Dead();
    return inner_.LoadCheckpoints(partition, generation);
  }
  absl::Status Commit(const CommitBatch& batch) override { return dead_ ? Dead() : inner_.Commit(batch); }
  absl::Status WriteCheckpoint(const StoredCheckpoint& checkpoint, int64_t epoch) override {
    return dead_ ? Dead() : inner_.WriteCheckpoint(checkpoint, epoch);
  }
  absl::Status AdoptLog(const PartitionRow& row, const StoredCheckpoint& checkpoint) override {
    return dead_ ? Dead() : inner_.AdoptLog(row, checkpoint);
  }
  absl::StatusOr<std::vector<StoredTrigger>> ReadTriggers(int32_t partition, int64_t generation, Progress from,
                                                          size_t rows_max) override {
    if (dead_) return Dead();
    return inner_.ReadTriggers(partition, generation, from, rows_max);
  }
  absl::StatusOr<std::vector<RecordedSplit>> ReadSplits(int32_t partition, int64_t generation, Progress from,
                                                        size_t rows_max) override {
    if (dead_) return Dead();
    return inner_.ReadSplits(partition, generation, from, rows_max);
  }
  absl::StatusOr<std::vector<OutboxRow>> ReadOutbox(int32_t partition, int64_t after, size_t rows_max) override {
    if (dead_) return Dead();
    return inner_.ReadOutbox(partition, after, rows_max);
  }
  absl::Status DeleteOutbox(const std::vector<OutboxAcknowledgement>& acknowledged) override {
    return dead_ ? Dead() : inner_.DeleteOutbox(acknowledged);
  }
  absl::Status Ready() override { return dead_ ? Dead() : inner_.Ready(); }

 private:
  static absl::Status Dead() { return absl::UnavailableError("killed"); }
  EvaluatorStore& inner_;
  std::atomic<bool> dead_{false};
};

// A broker with topics of the test's own, a database, and who writes and reads there.
class Mesh {
 public:
  explicit Mesh(bool real_broker) : pool_(nullptr) {
    prices = testing::UniqueName("prices");
    events = testing::UniqueName("alert-events");
    if (real_broker) {
      bootstrap = testing::KafkaBootstrapOrSkip();
      testing::CreateTopicOrThrow(bootstrap, prices, kPartitions);
      testing::CreateTopicOrThrow(bootstrap, events, 2);
    } else {
      mock = std::make_unique<testing::MockKafka>();
      mock->CreateTopic(prices, kPartitions);
      mock->CreateTopic(events, 2);
      bootstrap = mock->bootstrap();
    }
    database.Migrate("evaluator");
    proxy = std::make_unique<testing::FlakyProxy>(database.port());
    pool_ = testing::TestDatabase::NewPoolAt(database.UrlAtPort(proxy->port()), 8);
    store = std::make_unique<PostgresEvaluatorStore>(*pool_);
    kafka::ProducerOptions options;
    options.bootstrap = bootstrap;
    options.client_id = "test";
    producer = *kafka::CreateProducer(options);
    group = testing::UniqueName("evaluators");
  }

  EvaluatorServiceOptions Options(const std::string& instance) const {
    EvaluatorServiceOptions options;
    options.kafka_bootstrap = bootstrap;
    options.prices_topic = prices;
    options.events_topic = events;
    options.group_id = group;
    options.instance_id = instance;
    options.commit_interval = absl::Milliseconds(100);
    options.checkpoint_interval = absl::Seconds(1);
    options.session_timeout = absl::Seconds(6);
    options.on_fatal = [](const std::string& why) { std::cerr << "fatal: " << why << "\n"; };
    return options;
  }

  void Produce(const record::Event& event, const std::string& traceparent = "") {
    ProduceRaw(record::SymbolOf(event), record::EncodeRecord(event).SerializeAsString(), traceparent);
  }
  void ProduceRaw(const std::string& key, const std::string& value, const std::string& traceparent = "") {
    producer->ProduceAsync(prices, key, value, kafka::TraceHeaders(traceparent), [this](const auto& delivered) {
      if (!delivered.ok()) ++lost;
    });
  }
  void Alert(const std::string& id, const std::string& symbol) {
    record::AlertChange change;
    change.alert_id = id;
    change.symbol = symbol;
    change.revision = change.armed_revision = 1;
    change.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, kTarget};
    change.definition.trigger_policy = condition::TriggerPolicy::kRepeat;
    Produce(change);
  }
  void Quote(const std::string& symbol, int64_t price_micros, const std::string& traceparent = "") {
    record::Quote quote;
    quote.symbol = symbol;
    quote.price_micros = price_micros;
    quote.event_time_us = 1'767'366'000'000'000 + ++quotes;
    quote.publisher_epoch = 1;
    quote.sequence = quotes;
    Produce(quote, traceparent);
  }
  // Below and at the target: each time one trigger of every alert of the symbol.
  void Edges(const std::string& symbol, int edges) {
    for (int i = 0; i < edges; ++i) {
      Quote(symbol, kTarget - 1);
      Quote(symbol, kTarget);
    }
  }

  int64_t CountTriggers() const { return database.Count("SELECT count(*) FROM stockalert_evaluator.triggers"); }
  int64_t CountOutbox() const { return database.Count("SELECT count(*) FROM stockalert_evaluator.outbox"); }

  // Everything on alert-events so far: trigger numbers by alert in the order of arrival, and confirmed revisions.
  struct Events {
    std::map<std::string, std::vector<int64_t>> triggers;
    std::map<std::string, int64_t> confirmed;
    std::vector<std::string> traceparents;
  };
  Events ReadEvents() const {
    kafka::AssignedConsumerOptions options;
    options.bootstrap = bootstrap;
    options.client_id = "test-reader";
    auto reader = *kafka::AssignedConsumer::Create(options);
    REQUIRE(reader->AssignAll(events, kafka::kBeginning, absl::Seconds(10)).ok());
    Events read;
    std::set<int32_t> ended;
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (ended.size() < 2 && absl::Now() < deadline) {
      const kafka::PollResult polled = reader->Poll(absl::Milliseconds(100), 1000);
      for (const kafka::Message& message : polled.messages) {
        pb::AlertEvent event;
        REQUIRE(event.ParseFromArray(message.value().data(), static_cast<int>(message.value().size())));
        if (event.has_triggered()) {
          read.triggers[event.triggered().alert_id()].push_back(event.triggered().trigger_number());
          read.traceparents.emplace_back(message.traceparent());
        } else if (event.has_change_confirmed()) {
          read.confirmed[event.change_confirmed().alert_id()] = event.change_confirmed().revision();
        }
      }
      for (const auto& end : polled.ends) ended.insert(end.partition);
    }
    return read;
  }

  // Every alert has the triggers 1 to `edges`, once each in the database, in order and without a gap in the events.
  void CheckExactly(const std::vector<std::string>& alerts, int64_t edges) {
    REQUIRE(Await([&] { return CountTriggers() >= static_cast<int64_t>(alerts.size()) * edges; }));
    REQUIRE(Await([&] { return CountOutbox() == 0; }));
    CHECK(CountTriggers() == static_cast<int64_t>(alerts.size()) * edges);
    CHECK(lost == 0);
    const Events read = ReadEvents();
    for (const std::string& alert : alerts) {
      INFO(alert);
      REQUIRE(read.triggers.contains(alert));
      CHECK(read.confirmed.at(alert) == 1);
      int64_t highest = 0;
      for (const int64_t number : read.triggers.at(alert)) {
        CHECK(number <= highest + 1);  // A repetition is allowed, a gap or a leap is not.
        highest = std::max(highest, number);
      }
      CHECK(highest == edges);
    }
  }

  testing::TestDatabase database;
  std::unique_ptr<testing::MockKafka> mock;
  std::unique_ptr<testing::FlakyProxy> proxy;
  std::unique_ptr<PostgresEvaluatorStore> store;
  std::unique_ptr<kafka::Producer> producer;
  std::string bootstrap, prices, events, group;
  int64_t quotes = 0;
  std::atomic<int> lost{0};

 private:
  std::unique_ptr<postgres::Pool> pool_;
};

bool IsLive(const EvaluatorService& service) {
  const auto health = service.health();
  return health.joined && health.assigned > 0 && health.loading == 0;
}

std::string NewId() {
  static base::SystemIdSource ids;
  return ids.NewUuid();
}

void ForEachBroker(const std::function<void(Mesh&)>& test) {
  SECTION("mock broker") {
    Mesh mesh(false);
    test(mesh);
  }
  SECTION("real broker") {
    if (testing::KafkaBootstrapIfAny().empty()) {
      std::cerr << "*** STOCKALERT_TEST_KAFKA is not set: only the mock broker was tried\n";
      return;
    }
    Mesh mesh(true);
    test(mesh);
  }
}

const std::vector<std::string> kSymbols = {"AAPL", "MSFT", "BRK.B", "TSLA", "NVDA"};

std::vector<std::string> SetAlerts(Mesh& mesh) {
  std::vector<std::string> alerts;
  for (const std::string& symbol : kSymbols) {
    alerts.push_back(NewId());
    mesh.Alert(alerts.back(), symbol);
  }
  return alerts;
}

void AllEdges(Mesh& mesh, int edges) {
  for (const std::string& symbol : kSymbols) mesh.Edges(symbol, edges);
}

TEST_CASE("from a quote to an event, with its trace") {
  ForEachBroker([](Mesh& mesh) {
    EvaluatorService service(*mesh.store, mesh.Options("one"));
    REQUIRE(service.Start().ok());
    const std::vector<std::string> alerts = SetAlerts(mesh);
    AllEdges(mesh, 3);
    const trace::Context root = trace::NewRoot();
    mesh.Quote("AAPL", kTarget - 1);
    mesh.Quote("AAPL", kTarget, root.Traceparent());
    mesh.Quote("MSFT", kTarget - 1);
    mesh.Quote("MSFT", kTarget);
    for (size_t i = 2; i < kSymbols.size(); ++i) mesh.Edges(kSymbols[i], 1);
    mesh.CheckExactly(alerts, 4);
    const auto traceparents = mesh.ReadEvents().traceparents;
    CHECK(std::any_of(traceparents.begin(), traceparents.end(),
                      [&](const std::string& found) { return found.find(root.trace_id) != std::string::npos; }));
    CHECK(Await([&] { return IsLive(service); }));
    CHECK(Await([&] { return mesh.database.Count("SELECT count(*) FROM stockalert_evaluator.checkpoints") > 0; }));
    service.Stop(absl::Now() + absl::Seconds(10));
    // Everything read is committed, and the clean stop has left a checkpoint at the very next offset.
    CHECK(mesh.database.Count(
              "SELECT count(*) FROM stockalert_evaluator.partitions p WHERE next_offset > 0 AND NOT EXISTS (SELECT 1 "
              "FROM stockalert_evaluator.checkpoints c WHERE c.partition = p.partition AND c.next_offset = "
              "p.next_offset)") == 0);
  });
}

// Which of the evaluators explains the alert; the others must say that it is not theirs. -1: none does.
int WhoExplains(const std::vector<EvaluatorService*>& services, const std::string& alert, const std::string& symbol,
                ExplainedAlert* explained) {
  int owner = -1;
  for (size_t i = 0; i < services.size(); ++i) {
    const auto answer =
        services[i]->Explain(kafka::PartitionOf(symbol, kPartitions), alert, absl::Now() + absl::Seconds(10));
    if (answer.ok()) {
      if (owner != -1) return -1;
      owner = static_cast<int>(i);
      *explained = *answer;
    } else if (base::ReasonOf(answer.status()) != kReasonPartitionNotOwned) {
      return -1;
    }
  }
  return owner;
}

TEST_CASE("of two evaluators the owner explains an alert, and the store knows who that is; after a restart too") {
  ForEachBroker([](Mesh& mesh) {
    EvaluatorServiceOptions options_one = mesh.Options("one"), options_two = mesh.Options("two");
    options_one.advertised_address = "one.mesh:12056";
    options_two.advertised_address = "two.mesh:12056";
    auto one = std::make_unique<EvaluatorService>(*mesh.store, options_one);
    EvaluatorService two(*mesh.store, options_two);
    REQUIRE(one->Start().ok());
    REQUIRE(two.Start().ok());
    const std::vector<std::string> alerts = SetAlerts(mesh);
    AllEdges(mesh, 1);
    for (const std::string& symbol : kSymbols) mesh.Quote(symbol, kTarget - 7);
    REQUIRE(Await([&] { return mesh.CountTriggers() == static_cast<int64_t>(alerts.size()); }));
    const auto check = [&](const std::vector<EvaluatorService*>& services, const std::vector<std::string>& addresses) {
      for (size_t i = 0; i < alerts.size(); ++i) {
        INFO(kSymbols[i]);
        ExplainedAlert explained;
        int owner = -1;
        REQUIRE(Await([&] {
          owner = WhoExplains(services, alerts[i], kSymbols[i], &explained);
          return owner >= 0 && explained.explanation.last_price_micros == kTarget - 7;
        }));
        const auto holder = *mesh.store->FindHolder(kafka::PartitionOf(kSymbols[i], kPartitions));
        REQUIRE(holder.has_value());
        CHECK(holder->owner.address == addresses[static_cast<size_t>(owner)]);
        CHECK(holder->epoch == explained.epoch);
        CHECK(explained.explanation.readiness == fold::Readiness::kReady);
        CHECK(explained.explanation.trigger_number == 1);
        CHECK(explained.explanation.sides[0].trigger_ranges == std::vector<fold::PriceRange>{{kTarget, std::nullopt}});
      }
    };
    check({one.get(), &two}, {"one.mesh:12056", "two.mesh:12056"});
    CHECK(base::ReasonOf(one->Explain(0, NewId(), absl::Now() + absl::Seconds(10)).status()) != "");

    // It is replaced by another process, and whoever is left, or comes back, explains what was there before.
    one->Stop(absl::Now() + absl::Seconds(10));
    CHECK(base::ReasonOf(one->Explain(0, alerts[0], absl::Now() + absl::Seconds(10)).status()) ==
          kReasonEvaluatorStopping);
    one = std::make_unique<EvaluatorService>(*mesh.store, options_one);
    REQUIRE(one->Start().ok());
    check({one.get(), &two}, {"one.mesh:12056", "two.mesh:12056"});
    one->Stop(absl::Now() + absl::Seconds(10));
    two.Stop(absl::Now() + absl::Seconds(10));
    ExplainedAlert explained;
    CHECK(WhoExplains({one.get(), &two}, alerts[0], kSymbols[0], &explained) == -1);
  });
}

TEST_CASE("an evaluator whose database is away answers, late or not at all, but leaves nobody waiting") {
  Mesh mesh(false);
  EvaluatorService service(*mesh.store, mesh.Options("one"));
  REQUIRE(service.Start().ok());
  const std::vector<std::string> alerts = SetAlerts(mesh);
  AllEdges(mesh, 1);
  REQUIRE(Await([&] { return mesh.CountTriggers() == static_cast<int64_t>(alerts.size()); }));
  mesh.proxy->Cut();
  AllEdges(mesh, 1);  // Their commit blocks.
  const absl::Time asked = absl::Now();
  const auto answer =
      service.Explain(kafka::PartitionOf("AAPL", kPartitions), alerts[0], absl::Now() + absl::Seconds(2));
  CHECK(absl::Now() - asked < absl::Seconds(4));
  CHECK((answer.ok() || absl::IsDeadlineExceeded(answer.status()) || absl::IsUnavailable(answer.status())));
  mesh.proxy->Mend();
  CHECK(Await([&] {
    return service.Explain(kafka::PartitionOf("AAPL", kPartitions), alerts[0], absl::Now() + absl::Seconds(5)).ok();
  }));
}

TEST_CASE("killed and started again, nothing is missed and nothing is double") {
  ForEachBroker([](Mesh& mesh) {
    const std::vector<std::string> alerts = SetAlerts(mesh);
    int edges = 0;
    for (int life = 0; life < 3; ++life) {
      MortalStore mortal(*mesh.store);
      EvaluatorService service(mortal, mesh.Options("one"));
      REQUIRE(service.Start().ok());
      AllEdges(mesh, 10);
      edges += 10;
      // In the midst of it.
      REQUIRE(Await([&] { return mesh.CountTriggers() > static_cast<int64_t>(alerts.size()) * (edges - 10); }));
      mortal.Kill();
      service.Stop(absl::Now());
    }
    EvaluatorService service(*mesh.store, mesh.Options("one"));
    REQUIRE(service.Start().ok());
    mesh.CheckExactly(alerts, edges);
    CHECK(service.health().stopped.empty());
  });
}

TEST_CASE("of two processes with one name, one ends, and the other goes on") {
  if (testing::KafkaBootstrapIfAny().empty()) {
    std::cerr << "*** STOCKALERT_TEST_KAFKA is not set: the mock broker fences nobody, so this was not tried\n";
    return;
  }
  Mesh mesh(true);
  const std::vector<std::string> alerts = SetAlerts(mesh);
  std::atomic<bool> first_ends = false;
  std::atomic<bool> second_ends = false;
  EvaluatorServiceOptions options = mesh.Options("one");
  options.on_fatal = [&](const std::string&) { first_ends = true; };
  auto first = std::make_unique<EvaluatorService>(*mesh.store, options);
  REQUIRE(first->Start().ok());
  REQUIRE(Await([&] { return IsLive(*first); }));
  options.on_fatal = [&](const std::string&) { second_ends = true; };
  auto second = std::make_unique<EvaluatorService>(*mesh.store, options);
  REQUIRE(second->Start().ok());
  // Fenced once, a member joins again, for it may be the broker that forgot it; fenced again at once, it gives way.
  REQUIRE(Await([&] { return first_ends || second_ends; }, absl::Seconds(60)));
  (first_ends ? first : second).reset();
  AllEdges(mesh, 5);
  mesh.CheckExactly(alerts, 5);
}

TEST_CASE("another evaluator takes over, and the zombie does no harm") {
  ForEachBroker([](Mesh& mesh) {
    const std::vector<std::string> alerts = SetAlerts(mesh);
    EvaluatorService first(*mesh.store, mesh.Options("one"));
    REQUIRE(first.Start().ok());
    AllEdges(mesh, 5);
    REQUIRE(Await([&] { return mesh.CountTriggers() == 25; }));
    // Somebody takes partitions behind its back: its next commit is fenced, it drops everything, joins again and goes
    // on.
    for (int32_t partition = 0; partition < kPartitions; ++partition) {
      REQUIRE(mesh.store->AcquirePartition(partition, "somebody").ok());
    }
    AllEdges(mesh, 5);
    REQUIRE(Await([&] { return mesh.CountTriggers() == 50; }));
    // A second member shares the partitions; then the first leaves.
    EvaluatorService second(*mesh.store, mesh.Options("two"));
    REQUIRE(second.Start().ok());
    AllEdges(mesh, 5);
    REQUIRE(Await([&] { return mesh.CountTriggers() == 75; }));
    first.Stop(absl::Now() + absl::Seconds(5));
    AllEdges(mesh, 5);
    mesh.CheckExactly(alerts, 20);
  });
}

TEST_CASE("a replay that differs from the record stops its partition, and only that") {
  Mesh mesh(false);
  const std::vector<std::string> alerts = SetAlerts(mesh);
  {
    MortalStore mortal(*mesh.store);
    EvaluatorServiceOptions options = mesh.Options("one");
    options.checkpoint_interval = absl::Hours(1);
    EvaluatorService service(mortal, options);
    REQUIRE(service.Start().ok());
    AllEdges(mesh, 4);
    REQUIRE(Await([&] { return mesh.CountTriggers() == 20; }));
    REQUIRE(Await([&] { return mesh.CountOutbox() == 0; }));
    mortal.Kill();
    service.Stop(absl::Now());
  }
  const int64_t partition =
      mesh.database.Count("SELECT partition FROM stockalert_evaluator.triggers WHERE symbol = 'AAPL' LIMIT 1");
  mesh.database.Execute("DELETE FROM stockalert_evaluator.triggers WHERE symbol = 'AAPL' AND trigger_number = 2");
  EvaluatorService service(*mesh.store, mesh.Options("one"));
  REQUIRE(service.Start().ok());
  REQUIRE(Await([&] { return !service.health().stopped.empty() && IsLive(service); }));
  const auto stopped = service.health().stopped;
  REQUIRE(stopped.size() == 1);
  CHECK(stopped.begin()->first == partition);
  AllEdges(mesh, 1);
  const int64_t elsewhere = mesh.database.Count(absl::StrCat(
      "SELECT count(DISTINCT alert_id) FROM stockalert_evaluator.triggers WHERE partition <> ", partition));
  REQUIRE(Await([&] {
    return mesh.database.Count(
               absl::StrCat("SELECT count(*) FROM stockalert_evaluator.triggers WHERE trigger_number = 5 AND "
                            "partition <> ",
                            partition)) == elsewhere;
  }));
  CHECK(mesh.database.Count(
            absl::StrCat("SELECT count(*) FROM stockalert_evaluator.triggers WHERE trigger_number = 5 AND partition = ",
                         partition)) == 0);
}

TEST_CASE("a poison record stops its partition, visibly; a malformed quote does not") {
  Mesh mesh(false);
  EvaluatorService service(*mesh.store, mesh.Options("one"));
  REQUIRE(service.Start().ok());
  const std::string alert = NewId();
  mesh.Alert(alert, "AAPL");
  record::Quote other;
  other.symbol = "MSFT";
  mesh.ProduceRaw("AAPL", record::EncodeRecord(other).SerializeAsString());
  mesh.Edges("AAPL", 1);
  REQUIRE(Await([&] { return mesh.CountTriggers() == 1; }));
  CHECK(service.health().stopped.empty());
  mesh.ProduceRaw("AAPL", "no record at all");
  mesh.Edges("AAPL", 1);
  REQUIRE(Await([&] { return service.health().stopped.size() == 1; }));
  CHECK(service.health().stopped.begin()->second.find("cannot be understood") != std::string::npos);
  CHECK(mesh.CountTriggers() == 1);
}

TEST_CASE("while Postgres is away nothing is lost, and partitions are kept") {
  ForEachBroker([](Mesh& mesh) {
    const std::vector<std::string> alerts = SetAlerts(mesh);
    EvaluatorService service(*mesh.store, mesh.Options("one"));
    REQUIRE(service.Start().ok());
    AllEdges(mesh, 3);
    REQUIRE(Await([&] { return mesh.CountTriggers() == 15; }));
    for (int outage = 0; outage < 2; ++outage) {
      mesh.proxy->Cut();
      AllEdges(mesh, 3);
      REQUIRE(Await([&] { return service.health().commits_blocked; }));
      AllEdges(mesh, 3);
      CHECK(service.health().assigned == kPartitions);
      mesh.proxy->Mend();
      REQUIRE(Await([&] { return !service.health().commits_blocked; }));
    }
    mesh.CheckExactly(alerts, 15);
    CHECK(service.health().stopped.empty());
    CHECK(mesh.database.Count("SELECT max(epoch) FROM stockalert_evaluator.partitions") ==
          1);  // Nobody had to take anything anew.
  });
}

TEST_CASE("while Kafka is away nothing is lost") {
  Mesh mesh(false);
  const std::vector<std::string> alerts = SetAlerts(mesh);
  EvaluatorService service(*mesh.store, mesh.Options("one"));
  REQUIRE(service.Start().ok());
  AllEdges(mesh, 3);
  REQUIRE(Await([&] { return mesh.CountTriggers() == 15; }));
  mesh.mock->SetDown();
  AllEdges(mesh, 3);
  absl::SleepFor(absl::Seconds(2));
  mesh.mock->SetUp();
  AllEdges(mesh, 3);
  mesh.CheckExactly(alerts, 9);
  CHECK(service.health().stopped.empty());
}

TEST_CASE("Postgres goes while a commit waits, and the group is lost meanwhile: all goes on once both are back") {
  Mesh mesh(false);
  const std::vector<std::string> alerts = SetAlerts(mesh);
  EvaluatorService service(*mesh.store, mesh.Options("one"));
  REQUIRE(service.Start().ok());
  AllEdges(mesh, 3);
  REQUIRE(Await([&] { return mesh.CountTriggers() == 15 && IsLive(service); }));
  mesh.proxy->Cut();
  AllEdges(mesh, 3);
  REQUIRE(Await([&] { return service.health().commits_blocked; }));
  mesh.mock->SetDown();
  // Nothing is heard from the broker for a session: the member gives its partitions up.
  REQUIRE(Await([&] { return !service.health().joined; }));
  CHECK_FALSE(IsLive(service));
  SECTION("the broker is back first") {
    mesh.mock->SetUp();
    REQUIRE(Await([&] { return service.health().joined; }));
    mesh.proxy->Mend();
  }
  SECTION("the database is back first") {
    mesh.proxy->Mend();
    mesh.mock->SetUp();
  }
  REQUIRE(Await([&] { return IsLive(service) && !service.health().commits_blocked; }, absl::Seconds(30)));
  AllEdges(mesh, 3);
  mesh.CheckExactly(alerts, 9);
  CHECK(service.health().stopped.empty());
}

TEST_CASE("an effect that cannot be stored stops its own partition alone, which goes on when the cause is gone") {
  Mesh mesh(false);
  const std::vector<std::string> alerts = SetAlerts(mesh);
  EvaluatorService service(*mesh.store, mesh.Options("one"));
  REQUIRE(service.Start().ok());
  AllEdges(mesh, 1);
  REQUIRE(Await([&] { return mesh.CountTriggers() == 5 && IsLive(service); }));
  const int64_t partition =
      mesh.database.Count("SELECT partition FROM stockalert_evaluator.triggers WHERE symbol = 'AAPL'");
  const int64_t elsewhere = mesh.database.Count(
      absl::StrCat("SELECT count(*) FROM stockalert_evaluator.triggers WHERE partition <> ", partition));
  REQUIRE(elsewhere > 0);
  mesh.database.Execute(
      "ALTER TABLE stockalert_evaluator.triggers ADD CONSTRAINT none_of_it CHECK (symbol <> 'AAPL') NOT VALID");
  // Two rounds: the partitions without the symbol go on, together with it in one batch and after it.
  for (int64_t round = 1; round <= 2; ++round) {
    AllEdges(mesh, 1);
    REQUIRE(Await([&] {
      return mesh.database.Count(absl::StrCat("SELECT count(*) FROM stockalert_evaluator.triggers WHERE partition <> ",
                                              partition)) == elsewhere * (1 + round);
    }));
  }
  REQUIRE(Await([&] { return service.health().stopped.contains(static_cast<int32_t>(partition)); }));
  CHECK(service.health().stopped.size() == 1);
  CHECK(service.health().stopped.begin()->second.find("cannot be stored") != std::string::npos);
  CHECK_FALSE(service.health().commits_blocked);
  CHECK(mesh.database.Count("SELECT count(*) FROM stockalert_evaluator.triggers WHERE symbol = 'AAPL'") == 1);
  mesh.database.Execute("ALTER TABLE stockalert_evaluator.triggers DROP CONSTRAINT none_of_it");
  mesh.CheckExactly(alerts, 3);
  REQUIRE(Await([&] { return service.health().stopped.empty() && IsLive(service); }));
  AllEdges(mesh, 1);
  mesh.CheckExactly(alerts, 4);
}

// Not run by default: integration_evaluator_test "[throughput]".
TEST_CASE("how many quotes a second with 100,000 alerts", "[.][throughput]") {
  Mesh mesh(true);
  constexpr int kAlerts = 100'000;
  constexpr int kSymbolCount = 500;
  constexpr int kQuotes = 400'000;
  const auto symbol = [](int i) { return absl::StrCat("S", i % kSymbolCount); };
  for (int i = 0; i < kAlerts; ++i) {
    record::AlertChange change;
    change.alert_id = NewId();
    change.symbol = symbol(i);
    change.revision = change.armed_revision = 1;
    change.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, kTarget * 2 + i};
    mesh.Produce(change);
    if (i % 20'000 == 0) REQUIRE(mesh.producer->Flush(absl::Now() + absl::Seconds(60)).ok());
  }
  REQUIRE(mesh.producer->Flush(absl::Now() + absl::Seconds(60)).ok());
  const auto folded = [&] {
    return mesh.database.Count("SELECT COALESCE(sum(next_offset), 0) FROM stockalert_evaluator.partitions");
  };
  EvaluatorServiceOptions options = mesh.Options("one");
  options.checkpoint_interval = absl::Seconds(120);
  {
    const absl::Time begin = absl::Now();
    EvaluatorService service(*mesh.store, options);
    REQUIRE(service.Start().ok());
    REQUIRE(Await([&] { return folded() == kAlerts && mesh.CountOutbox() == 0; }, absl::Seconds(200)));
    std::cout << "100,000 alerts set and confirmed, group join included, in " << absl::Now() - begin << "\n";
    service.Stop(absl::Now() + absl::Seconds(30));
  }
  for (int i = 0; i < kQuotes; ++i) {
    mesh.Quote(symbol(i), kTarget + (int64_t{i} * 7919) % 1'000'000);
    if (i % 20'000 == 0) REQUIRE(mesh.producer->Flush(absl::Now() + absl::Seconds(60)).ok());
  }
  REQUIRE(mesh.producer->Flush(absl::Now() + absl::Seconds(60)).ok());
  EvaluatorService service(*mesh.store, options);
  REQUIRE(service.Start().ok());
  REQUIRE(Await([&] { return folded() > kAlerts; }));
  const absl::Time begin = absl::Now();
  const int64_t done_before = folded() - kAlerts;
  REQUIRE(Await([&] { return folded() == kAlerts + kQuotes; }, absl::Seconds(200)));
  std::cout << static_cast<int64_t>(static_cast<double>(kQuotes - done_before) /
                                    absl::ToDoubleSeconds(absl::Now() - begin))
            << " quotes a second from Kafka through the evaluator, " << kAlerts << " alerts\n";
}

}  // namespace
}  // namespace stockalert::evaluator
