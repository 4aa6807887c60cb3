#include "services/evaluator/evaluator_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/trace/trace.h"

namespace stockalert::evaluator {
namespace {

constexpr absl::Duration kBrokerTimeout = absl::Seconds(3);
constexpr absl::Duration kReportInterval = absl::Milliseconds(500);

// A clock that nobody sets.
absl::Time MonotonicNow() { return absl::FromUnixMicros(base::SystemMonotonicClock().NowUs()); }

void Count(const char* name, const char* help, int64_t more) {
  // Nothing is counted, too: a series that begins at its first event hides that event from rate() and increase().
  metrics::GetCounter(name, help).Increment(static_cast<double>(std::max<int64_t>(more, 0)));
}

void CountQuotes(const char* result, int64_t more) {
  metrics::GetCounter("stockalert_evaluator_quotes_total", "Quotes folded, replays included, by what became of them.",
                      {{"result", result}})
      .Increment(static_cast<double>(std::max<int64_t>(more, 0)));
}

}  // namespace

class EvaluatorService::Publisher final : public EventPublisher {
 public:
  Publisher(kafka::Producer& producer, std::string topic) : producer_(producer), topic_(std::move(topic)) {}

  void Publish(const OutboxRow& row, std::function<void(bool)> done) override {
    const std::optional<trace::Context> context = trace::Parse(row.traceparent);
    producer_.ProduceAsync(
        topic_, row.key, row.value, kafka::TraceHeaders(context ? context->Child().Traceparent() : std::string()),
        [done = std::move(done)](const absl::StatusOr<kafka::DeliveryReport>& delivery) { done(delivery.ok()); });
  }

 private:
  kafka::Producer& producer_;
  const std::string topic_;
};

// A member of the group on librdkafka.
class EvaluatorService::Consumer final : public LogConsumer {
 public:
  Consumer(std::unique_ptr<kafka::GroupConsumer> consumer, std::string topic)
      : consumer_(std::move(consumer)), topic_(std::move(topic)) {}

  LogPoll Poll(absl::Duration patience, size_t records_max) override {
    auto polled = std::make_shared<kafka::PollResult>(consumer_->Poll(patience, records_max));
    LogPoll result;
    for (const kafka::RebalanceEvent& event : polled->rebalances) {
      LogPoll::Rebalance rebalance;
      switch (event.kind) {
        case kafka::RebalanceEvent::Kind::kAssigned: {
          rebalance.change = LogPoll::Change::kAssigned;
          assigned_ = true;
          for (const kafka::TopicPartition& place : event.partitions) rebalance.partitions.push_back(place.partition);
          break;
        }
        case kafka::RebalanceEvent::Kind::kRevoked:
          rebalance.change = LogPoll::Change::kRevoked;
          assigned_ = false;
          break;
        case kafka::RebalanceEvent::Kind::kLost:
          rebalance.change = LogPoll::Change::kLost;
          assigned_ = false;
          break;
      }
      result.rebalances.push_back(std::move(rebalance));
    }
    for (const kafka::PartitionError& error : polled->errors) {
      if (error.partition.topic == topic_ && error.partition.partition >= 0) {
        result.errors.push_back({error.partition.partition, error.status});
      }
    }
    result.records.reserve(polled->messages.size());
    for (const kafka::Message& message : polled->messages) {
      result.records.push_back({message.partition(),
                                {.offset = message.offset(),
                                 .log_time_us = message.log_time_us(),
                                 .key = message.key(),
                                 .value = message.value(),
                                 .traceparent = message.traceparent()}});
    }
    result.fatal = polled->fatal;
    result.keeps = std::move(polled);
    return result;
  }
  absl::Status StartAt(const std::map<int32_t, int64_t>& next_offsets) override {
    return consumer_->StartAt(Places(next_offsets));
  }
  absl::Status StopReading(const std::vector<int32_t>& partitions) override {
    std::vector<kafka::TopicPartition> places;
    places.reserve(partitions.size());
    for (const int32_t partition : partitions) places.push_back({topic_, partition});
    return consumer_->StopReading(places);
  }
  absl::StatusOr<LogFacts> QueryFacts(int32_t partition) override {
    if (cluster_id_.empty()) {
      STOCKALERT_ASSIGN_OR_RETURN(cluster_id_, consumer_->ClusterId(kBrokerTimeout));
    }
    STOCKALERT_ASSIGN_OR_RETURN(const kafka::Watermarks marks,
                                consumer_->QueryWatermarks({topic_, partition}, kBrokerTimeout));
    return LogFacts{.cluster_id = cluster_id_, .low_offset = marks.low, .high_offset = marks.high};
  }
  void ReportOffsets(const std::map<int32_t, int64_t>& next_offsets) override {
    if (assigned_) consumer_->CommitAsync(Places(next_offsets));
  }

 private:
  std::map<kafka::TopicPartition, int64_t> Places(const std::map<int32_t, int64_t>& next_offsets) const {
    std::map<kafka::TopicPartition, int64_t> places;
    for (const auto& [partition, next] : next_offsets) places[{topic_, partition}] = next;
    return places;
  }

  const std::unique_ptr<kafka::GroupConsumer> consumer_;
  const std::string topic_;
  std::string cluster_id_;  // Empty: not known yet.
  bool assigned_ = false;
};

EvaluatorService::EvaluatorService(EvaluatorStore& store, const EvaluatorServiceOptions& options)
    : store_(store), options_(options), questions_(options.questions_max) {}

EvaluatorService::~EvaluatorService() { Stop(absl::Now()); }

absl::Status EvaluatorService::Start() {
  kafka::ProducerOptions producer_options;
  producer_options.bootstrap = options_.kafka_bootstrap;
  producer_options.security = options_.kafka_security;
  producer_options.client_id = absl::StrCat("stockalert-evaluator-", options_.instance_id);
  // For ever: the row stays in the outbox anyway, and giving up one record while later ones get through would break
  // their order.
  producer_options.message_timeout = absl::ZeroDuration();
  producer_options.queue_messages_max = 200'000;
  // Several alerts of one quote do not wait for each other.
  producer_options.lanes = 4;
  producer_options.topics = {options_.events_topic};
  producer_options.extra = options_.kafka_extra;
  producer_options.registry = metrics::Registry();
  STOCKALERT_ASSIGN_OR_RETURN(producer_, kafka::CreateProducer(producer_options));
  publisher_ = std::make_unique<Publisher>(*producer_, options_.events_topic);
  relay_ = std::make_unique<AlertEventRelay>(store_, *publisher_);
  EvaluatorLogic::Options logic_options;
  logic_options.owner = options_.instance_id;
  logic_options.held_records_max = options_.held_records_max;
  logic_options.owner_address = options_.advertised_address;
  logic_options.skipped_records = options_.skipped_records;
  logic_ = std::make_unique<EvaluatorLogic>(store_, *relay_, logic_options);
  checkpoints_ = std::make_unique<CheckpointWriter>(store_);
  EvaluatorLoopOptions loop_options;
  loop_options.poll_records = options_.poll_records;
  loop_options.commit_interval = options_.commit_interval;
  loop_options.checkpoint_interval = options_.checkpoint_interval;
  loop_options.join = [this] { return MakeConsumer(); };
  loop_options.on_fatal = options_.on_fatal;
  loop_options.now = MonotonicNow;
  loop_options.sleep = absl::SleepFor;
  loop_options.beat = [this] { heartbeat_.Beat(); };
  loop_options.on_evaluated = [](absl::Duration took) {
    static auto& seconds =
        metrics::GetHistogram("stockalert_evaluator_evaluation_seconds",
                              "How long the records of one poll took to evaluate, without their commit");
    seconds.Observe(absl::ToDoubleSeconds(took));
  };
  loop_options.on_committed = [](int64_t oldest_log_time_us) {
    static prometheus::Histogram& seconds =
        metrics::GetHistogram("stockalert_evaluator_commit_delay_seconds",
                              "From the broker's append of a record to the commit of what it made happen.");
    // Between two machines' clocks: the wall's.
    seconds.Observe(static_cast<double>(absl::ToUnixMicros(absl::Now()) - oldest_log_time_us) / 1e6);
  };
  loop_ = std::make_unique<EvaluatorLoop>(store_, *logic_, *relay_, *checkpoints_, loop_options);
  // Settings that no consumer can be made of are told at once.
  STOCKALERT_RETURN_IF_ERROR(loop_->MakeFirstConsumer());
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void EvaluatorService::Stop(absl::Time deadline) {
  questions_.Close();
  if (!thread_.joinable()) return;
  deadline_ = MonotonicNow() + (deadline - absl::Now());
  stopping_ = true;
  thread_.join();
  loop_.reset();
  checkpoints_.reset();
  producer_.reset();
}

EvaluatorService::Health EvaluatorService::health() const {
  base::MutexLock lock(health_mutex_);
  return health_;
}

absl::StatusOr<std::unique_ptr<LogConsumer>> EvaluatorService::MakeConsumer() {
  kafka::GroupConsumerOptions options;
  options.bootstrap = options_.kafka_bootstrap;
  options.security = options_.kafka_security;
  options.client_id = absl::StrCat("stockalert-evaluator-", options_.instance_id);
  options.group_id = options_.group_id;
  options.group_instance_id = options_.instance_id;
  options.topics = {options_.prices_topic};
  options.start = kafka::GroupConsumerOptions::Start::kByOwner;
  options.session_timeout = options_.session_timeout;
  options.extra = options_.kafka_extra;
  options.registry = metrics::Registry();
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<kafka::GroupConsumer> consumer, kafka::GroupConsumer::Create(options));
  return std::make_unique<Consumer>(std::move(consumer), options_.prices_topic);
}

void EvaluatorService::Run() {
  while (!stopping_) {
    loop_->RunOnce();
    questions_.AnswerAll(
        [this](int32_t partition, const std::string& alert_id) { return loop_->Explain(partition, alert_id); });
    Report();
  }
  questions_.Close();
  heartbeat_.End();
  loop_->ShutDown(deadline_, [this](const EvaluatorLogic::Draft& draft) {
    return CheckpointWriter::WriteNow(store_, draft).status;
  });
}

void EvaluatorService::Report() {
  const absl::Time now = MonotonicNow();
  const bool is_due = now - last_report_ >= kReportInterval;
  if (logic_->counters().records == reported_.records && !is_due) return;
  ReportLogic();
  ReportFold();
  ReportLoop();
  if (!is_due) return;
  last_report_ = now;
  ReportHealth();
}

void EvaluatorService::ReportLogic() {
  const LogicCounters& counted = logic_->counters();
  Count("stockalert_evaluator_records_total", "Records folded.", counted.records - reported_.records);
  Count("stockalert_evaluator_records_replayed_total", "Records folded again after a partition was taken.",
        counted.records_replayed - reported_.records_replayed);
  Count("stockalert_evaluator_splits_skipped_total", "Splits whose number or id is another split's, skipped.",
        counted.splits_skipped - reported_.splits_skipped);
  Count("stockalert_evaluator_quotes_malformed_total", "Quotes that no quote can be, skipped.",
        counted.quotes_malformed - reported_.quotes_malformed);
  Count("stockalert_evaluator_partitions_stopped_total", "Partitions that had to stop: see the log and /readyz.",
        counted.partitions_stopped - reported_.partitions_stopped);
  Count("stockalert_evaluator_commits_total", "Transactions committed.", counted.commits - reported_.commits);
  Count("stockalert_evaluator_commit_failures_total", "Commits that failed, and were tried again or fenced.",
        counted.commit_failures - reported_.commit_failures);
  Count("stockalert_evaluator_fenced_total", "Times that another evaluator had taken a partition.",
        counted.fenced - reported_.fenced);
  Count("stockalert_evaluator_triggers_total", "Triggers committed.",
        counted.triggers_committed - reported_.triggers_committed);
  Count("stockalert_evaluator_events_total", "Events committed to the outbox.",
        counted.events_committed - reported_.events_committed);
  Count("stockalert_evaluator_checkpoints_unusable_total", "Checkpoints that could not be read back.",
        counted.checkpoints_unusable - reported_.checkpoints_unusable);
  Count("stockalert_evaluator_logs_adopted_total", "Partitions whose log was another one than before.",
        counted.logs_adopted - reported_.logs_adopted);
  Count("stockalert_evaluator_relay_failures_total", "Events that the broker did not take, sent again.",
        relay_->failures() - relay_failures_reported_);
  reported_ = counted;
  relay_failures_reported_ = relay_->failures();
}

void EvaluatorService::ReportFold() {
  const fold::Counters folded = logic_->fold_counters();
  CountQuotes("accepted", folded.quotes_accepted - fold_reported_.quotes_accepted);
  CountQuotes("refused", folded.quotes_refused - fold_reported_.quotes_refused);
  CountQuotes("late", folded.quotes_late - fold_reported_.quotes_late);
  CountQuotes("repeated", folded.quotes_repeated - fold_reported_.quotes_repeated);
  Count("stockalert_evaluator_changes_total", "Alert changes applied, replays included.",
        folded.changes_applied - fold_reported_.changes_applied);
  Count("stockalert_evaluator_edges_swallowed_total", "Edges that cooldown or ONCE_A_DAY swallowed.",
        folded.edges_swallowed - fold_reported_.edges_swallowed);
  fold_reported_ = folded;
}

void EvaluatorService::ReportLoop() {
  const EvaluatorLoop::LoopCounters& turned = loop_->counters();
  Count("stockalert_evaluator_partitions_tried_again_total",
        "Times that a stopped partition was taken anew, for its cause may have passed.",
        turned.tried_again - loop_reported_.tried_again);
  Count("stockalert_evaluator_joins_total",
        "Consumers made to join the group with: the first one, and one after each that could not go on.",
        turned.joins - loop_reported_.joins);
  Count("stockalert_evaluator_checkpoints_total", "Checkpoints written.",
        turned.checkpoints - loop_reported_.checkpoints);
  Count("stockalert_evaluator_checkpoint_failures_total", "Checkpoints that could not be written.",
        turned.checkpoint_failures - loop_reported_.checkpoint_failures);
  if (turned.checkpoints > loop_reported_.checkpoints) {
    metrics::GetGauge("stockalert_evaluator_checkpoint_bytes", "The size of the last checkpoint.")
        .Set(static_cast<double>(turned.checkpoint_bytes));
  }
  loop_reported_ = turned;
}

void EvaluatorService::ReportHealth() {
  const EvaluatorLoop::Health state = loop_->health();
  Health health;
  health.joined = state.membership == EvaluatorLoop::Membership::kMember;
  health.assigned = state.assigned;
  health.loading = state.loading;
  health.stopped = state.stopped;
  health.commits_blocked = state.commits_blocked;
  health.outbox_backlog = state.outbox_backlog;
  health.alerts = state.alerts;
  metrics::GetGauge("stockalert_evaluator_partitions", "Partitions assigned to this evaluator.").Set(health.assigned);
  metrics::GetGauge("stockalert_evaluator_partitions_loading", "Of these, not read up to the present yet.")
      .Set(health.loading);
  metrics::GetGauge("stockalert_evaluator_partitions_halted",
                    "Of these, stopped; those that are being tried again included.")
      .Set(static_cast<double>(health.stopped.size()));
  metrics::GetGauge("stockalert_evaluator_alerts", "Alerts in the index.").Set(static_cast<double>(health.alerts));
  metrics::GetGauge("stockalert_evaluator_symbols", "Symbols in the index.").Set(static_cast<double>(state.symbols));
  metrics::GetGauge("stockalert_evaluator_held_symbols",
                    "Symbols of which nothing is evaluated, for a split is suspected and not settled.")
      .Set(static_cast<double>(state.held_symbols));
  metrics::GetGauge("stockalert_evaluator_held_records", "Records that are kept for these symbols.")
      .Set(static_cast<double>(state.held_records));
  metrics::GetGauge("stockalert_evaluator_outbox_backlog", "Committed events that the broker has not acknowledged.")
      .Set(static_cast<double>(health.outbox_backlog));
  metrics::GetGauge("stockalert_evaluator_commits_blocked", "1 while the database takes no commit.")
      .Set(health.commits_blocked ? 1 : 0);
  base::MutexLock lock(health_mutex_);
  health_ = std::move(health);
}

}  // namespace stockalert::evaluator
