// The evaluator's Kafka loop against librdkafka's mock cluster: what it tells of itself. tests/integration/evaluator
// has the rest.
#include "services/evaluator/evaluator_service.h"

#include <catch2/catch.hpp>

#include <functional>

#include "absl/time/clock.h"
#include "services/common/metrics/metrics.h"
#include "services/domain/record/log_record.h"
#include "tests/support/evaluator_store/in_memory_evaluator_store.h"
#include "tests/support/mock_kafka/mock_kafka.h"

namespace stockalert::evaluator {
namespace {

constexpr int64_t kTarget = 100'000'000;

bool Await(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + absl::Seconds(40);
  while (!condition()) {
    if (absl::Now() >= deadline) return false;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return true;
}

// Of a counter or gauge, all its series together; -1 where there is none.
double Metric(const std::string& name, const std::string& label = "") {
  double sum = -1;
  for (const prometheus::MetricFamily& family : metrics::Registry()->Collect()) {
    if (family.name != name) continue;
    for (const prometheus::ClientMetric& metric : family.metric) {
      if (!label.empty() && (metric.label.empty() || metric.label.front().value != label)) continue;
      sum = std::max(sum, 0.0) + metric.counter.value + metric.gauge.value;
    }
  }
  return sum;
}

double Quotes(const std::string& result) { return Metric("stockalert_evaluator_quotes_total", result); }

TEST_CASE("what is done and what waits is counted and told") {
  testing::MockKafka kafka;
  kafka.CreateTopic("prices", 1);
  kafka.CreateTopic("events", 1);
  testing::InMemoryEvaluatorStore store;
  EvaluatorServiceOptions options;
  options.kafka_bootstrap = kafka.bootstrap();
  options.prices_topic = "prices";
  options.events_topic = "events";
  options.group_id = "evaluators";
  options.instance_id = "one";
  options.commit_interval = absl::Milliseconds(100);
  // Events gather for a quarter of an hour before they are sent: the outbox keeps them.
  options.kafka_extra = {{"queue.buffering.max.ms", "900000"}};
  EvaluatorService service(store, options);
  REQUIRE(service.Start().ok());

  kafka::ProducerOptions producer_options;
  producer_options.bootstrap = kafka.bootstrap();
  producer_options.client_id = "test";
  const auto producer = *kafka::CreateProducer(producer_options);
  const auto produce = [&](const record::Event& event) {
    REQUIRE(producer
                ->ProduceAndWait("prices", "AAPL", record::EncodeRecord(event).SerializeAsString(), {},
                                 absl::Now() + absl::Seconds(10))
                .ok());
  };
  record::AlertChange change;
  change.alert_id = "0b8f8e0e-7c1f-4c39-9d3a-6f4f5f3f2a11";
  change.symbol = "AAPL";
  change.revision = change.armed_revision = 1;
  change.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, kTarget};
  change.definition.trigger_policy = condition::TriggerPolicy::kRepeat;
  produce(change);
  record::Quote quote;
  quote.symbol = "AAPL";
  quote.publisher_epoch = 1;
  const auto tell = [&](int64_t sequence, int64_t price_micros, int64_t event_time_us) {
    quote.sequence = sequence;
    quote.price_micros = price_micros;
    quote.event_time_us = event_time_us;
    produce(quote);
  };
  constexpr int64_t kNoon = 1'767'366'000'000'000;
  tell(1, kTarget - 1, kNoon);
  tell(2, kTarget, kNoon + 1);
  tell(2, kTarget, kNoon + 1);   // Repeated.
  tell(3, kTarget, kNoon - 1);   // Late.
  tell(4, -kTarget, kNoon + 2);  // Refused.
  tell(5, kTarget - 1, kNoon + 3);
  tell(6, kTarget, kNoon + 4);

  CHECK(Await([] {
    return Metric("stockalert_evaluator_records_total") == 8 && Metric("stockalert_evaluator_triggers_total") == 2;
  }));
  CHECK(Quotes("accepted") == 4);
  CHECK(Quotes("repeated") == 1);
  CHECK(Quotes("late") == 1);
  CHECK(Quotes("refused") == 1);
  CHECK(Metric("stockalert_evaluator_changes_total") == 1);
  CHECK(Metric("stockalert_evaluator_joins_total") == 1);
  CHECK(Metric("stockalert_evaluator_fenced_total") == 0);
  CHECK(Metric("stockalert_evaluator_commit_failures_total") == 0);
  // Both triggers and the confirmation.
  CHECK(Await([&] { return service.health().outbox_backlog == 3; }));
  const EvaluatorService::Health health = service.health();
  CHECK(health.joined);
  CHECK(health.assigned == 1);
  CHECK(health.loading == 0);
  CHECK(health.stopped.empty());
  CHECK_FALSE(health.commits_blocked);
  CHECK(health.alerts == 1);
  CHECK(Metric("stockalert_evaluator_outbox_backlog") == 3);
  CHECK(Metric("stockalert_evaluator_alerts") == 1);
  CHECK(Metric("stockalert_evaluator_symbols") == 1);
  CHECK(Metric("stockalert_evaluator_partitions") == 1);
  CHECK(store.AllOutbox().size() == 3);
}

}  // namespace
}  // namespace stockalert::evaluator
