#include "services/evaluator/evaluator_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/trace/trace.h"

namespace stockalert::evaluator {
namespace {

constexpr absl::Duration kBrokerTimeout = absl::Seconds(3);
constexpr absl::Duration kLoadAgainAfter = absl::Milliseconds(500);
constexpr size_t kLoadedAtOnce = 16;
constexpr absl::Duration kReportInterval = absl::Milliseconds(500);
constexpr absl::Duration kOffsetHintInterval = absl::Seconds(5);
constexpr absl::Duration kFatalInterval = absl::Seconds(15);

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
    producer_.ProduceAsync(topic_, row.key, row.value,
                           kafka::TraceHeaders(context ? context->Child().Traceparent() : std::string()),
                           [done = std::move(done)](const absl::StatusOr<kafka::Delivery>& delivery) { done(delivery.ok()); });
  }

 private:
  kafka::Producer& producer_;
  const std::string topic_;
};

EvaluatorService::EvaluatorService(EvaluatorStore& store, const EvaluatorServiceOptions& options)
    : store_(store), options_(options), backoff_({.initial = absl::Milliseconds(50), .maximum = absl::Seconds(2)}) {}

EvaluatorService::~EvaluatorService() { Stop(absl::Now()); }

absl::Status EvaluatorService::Start() {
  kafka::ProducerOptions producer_options;
  producer_options.bootstrap = options_.kafka_bootstrap;
  producer_options.security = options_.kafka_security;
  producer_options.client_id = absl::StrCat("stockalert-evaluator-", options_.instance_id);
  // For ever: the row stays in the outbox anyway, and giving up one record while later ones get through would break their order.
  producer_options.message_timeout = absl::ZeroDuration();
  producer_options.queue_messages_max = 200'000;
  // Several alerts of one quote do not wait for each other.
  producer_options.lanes = 4;
  producer_options.topics = {options_.events_topic};
  producer_options.extra = options_.kafka_extra;
  producer_options.registry = metrics::Registry();
  STOCKALERT_ASSIGN_OR_RETURN(producer_, kafka::CreateProducer(producer_options));
  publisher_ = std::make_unique<Publisher>(*producer_, options_.events_topic);
  relay_ = std::make_unique<OutboxRelay>(store_, *publisher_);
  EvaluatorLogic::Options logic_options;
  logic_options.owner = options_.instance_id;
  logic_options.skipped_records = options_.skipped_records;
  logic_ = std::make_unique<EvaluatorLogic>(store_, *relay_, logic_options);
  checkpoints_ = std::make_unique<CheckpointWriter>(store_);
  STOCKALERT_RETURN_IF_ERROR(Join());
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void EvaluatorService::Stop(absl::Time deadline) {
  if (!thread_.joinable()) return;
  deadline_us_ = absl::ToUnixMicros(deadline);
  stopping_ = true;
  thread_.join();
  checkpoints_.reset();
  producer_.reset();
}

EvaluatorService::Health EvaluatorService::health() const {
  const std::lock_guard lock(health_mutex_);
  return health_;
}

absl::Status EvaluatorService::Join() {
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
  STOCKALERT_ASSIGN_OR_RETURN(consumer_, kafka::GroupConsumer::Create(options));
  cluster_id_.clear();
  return absl::OkStatus();
}

// After a fence: whatever this process believes of its partitions is out of date.
void EvaluatorService::Rejoin() {
  rejoin_ = false;
  logic_->DropAll();
  relay_->EndAll();
  assigned_.clear();
  to_load_.clear();
  checkpoint_due_.clear();
  joined_ = false;
  blocked_ = false;
  oldest_effect_us_ = 0;
  consumer_.reset();
  if (const absl::Status status = Join(); !status.ok()) {
    log::Error("the group cannot be joined again; the process ends", {{"status", status}});
    if (options_.on_fatal) options_.on_fatal(status.ToString());
  }
}

void EvaluatorService::Run() {
  while (!stopping_ && consumer_) RunOnce();
  ShutDown();
}

void EvaluatorService::RunOnce() {
  absl::Duration patience = absl::Milliseconds(100);
  if (!to_load_.empty()) {
    patience = absl::Milliseconds(5);
  } else if (logic_->has_progress() || relay_->backlog() > 0) {
    patience = absl::Milliseconds(20);
  }
  {
    kafka::PollResult polled = consumer_->Poll(patience, options_.poll_records);
    TakeRebalances(polled.rebalances);
    if (!rejoin_) TakeErrors(polled.errors);
    if (!rejoin_) Apply(polled.messages);
    if (absl::IsAborted(polled.fatal)) {
      log::Info("joining the group with a new consumer", {{"reason", polled.fatal}});
      rejoin_ = true;
    } else if (!polled.fatal.ok() && absl::Now() - last_fatal_ > kFatalInterval) {
      // A broker that died may have forgotten who bears the member's name. If it happens again at once, another process bears it.
      log::Warning("the consumer cannot go on; joining the group with a new one", {{"reason", polled.fatal}});
      last_fatal_ = absl::Now();
      rejoin_ = true;
    } else if (!polled.fatal.ok()) {
      if (options_.on_fatal) options_.on_fatal(polled.fatal.ToString());
      absl::SleepFor(absl::Milliseconds(200));
    }
  }
  if (!rejoin_) CommitIfDue();
  if (const absl::Status status = relay_->Pump(); !status.ok()) {
    static log::Limiter limiter(absl::Seconds(5));
    if (limiter.Allow()) log::Warning("the outbox cannot be read; trying again", {{"status", status}});
  }
  DeleteAcknowledgedIfIdle();
  if (!rejoin_) LoadSome();
  if (rejoin_) Rejoin();
  CheckpointIfDue();
  Report();
}

void EvaluatorService::TakeRebalances(const std::vector<kafka::RebalanceEvent>& events) {
  for (const kafka::RebalanceEvent& event : events) {
    switch (event.kind) {
      case kafka::RebalanceEvent::Kind::kRevoked:
        // The states are kept: most partitions come back at once, and the fence tells if one was another's meanwhile.
        if (logic_->has_progress() && !blocked_) {
          if (IsFenced(logic_->Commit())) {
            rejoin_ = true;
            return;
          }
        }
        joined_ = false;
        break;
      case kafka::RebalanceEvent::Kind::kLost:
        logic_->DropAll();
        relay_->EndAll();
        joined_ = false;
        break;
      case kafka::RebalanceEvent::Kind::kAssigned: {
        assigned_.clear();
        to_load_.clear();
        for (const kafka::TopicPartition& place : event.partitions) assigned_.insert(place.partition);
        for (const int32_t partition : logic_->partitions()) {
          if (!assigned_.contains(partition)) logic_->Drop(partition);
        }
        std::map<kafka::TopicPartition, int64_t> kept;
        const std::map<int32_t, std::string> stopped = logic_->stopped();
        for (const int32_t partition : assigned_) {
          if (stopped.contains(partition)) continue;
          if (const std::optional<int64_t> next = logic_->next_offset(partition); next && logic_->is_live(partition)) {
            kept[Place(partition)] = *next;
          } else {
            to_load_[partition] = absl::InfinitePast();
          }
        }
        if (!kept.empty()) {
          if (const absl::Status status = consumer_->StartAt(kept); !status.ok()) {
            log::Error("kept partitions cannot be read; they are loaded again", {{"status", status}});
            for (const auto& [place, next] : kept) to_load_[place.partition] = absl::InfinitePast();
          }
          if (blocked_) consumer_->Pause([&] {
            std::vector<kafka::TopicPartition> places;
            places.reserve(kept.size());
            for (const auto& [place, next] : kept) places.push_back(place);
            return places;
          }()).IgnoreError();
        }
        joined_ = true;
        break;
      }
    }
  }
}

void EvaluatorService::LoadSome() {
  if (to_load_.empty() || blocked_ || !consumer_) return;
  if (cluster_id_.empty()) {
    absl::StatusOr<std::string> id = consumer_->ClusterId(kBrokerTimeout);
    if (!id.ok()) return;  // Asked again in the next round; polling goes on.
    cluster_id_ = *std::move(id);
  }
  std::map<kafka::TopicPartition, int64_t> start;
  size_t loaded = 0;
  for (auto entry = to_load_.begin(); entry != to_load_.end() && loaded < kLoadedAtOnce;) {
    const int32_t partition = entry->first;
    if (entry->second > absl::Now()) {
      ++entry;
      continue;
    }
    ++loaded;
    absl::StatusOr<int64_t> next = absl::UnavailableError("");
    const absl::StatusOr<kafka::Watermarks> marks = consumer_->QueryWatermarks(Place(partition), kBrokerTimeout);
    if (marks.ok()) {
      next = logic_->Take(partition, {.cluster_id = cluster_id_, .low_offset = marks->low, .high_offset = marks->high});
    } else {
      next = marks.status();
    }
    if (next.ok()) {
      start[Place(partition)] = *next;
      checkpoint_due_[partition] = absl::Now() + options_.checkpoint_interval * (0.5 + 0.5 * base::RandomFraction());
      entry = to_load_.erase(entry);
    } else if (IsFenced(next.status())) {
      rejoin_ = true;
      return;
    } else if (logic_->stopped().contains(partition)) {
      entry = to_load_.erase(entry);  // Logged, counted, and shown by /readyz.
    } else {
      static log::Limiter limiter(absl::Seconds(5));
      if (limiter.Allow()) {
        log::Warning("a partition cannot be loaded; trying again", {{"partition", partition}, {"status", next.status()}});
      }
      entry->second = absl::Now() + kLoadAgainAfter;
      ++entry;
      break;  // The next one would fare no better.
    }
  }
  fold_reported_ = logic_->fold_counters();
  if (start.empty()) return;
  if (const absl::Status status = consumer_->StartAt(start); !status.ok()) {
    log::Warning("loaded partitions cannot be read; they are loaded again", {{"status", status}});
    for (const auto& [place, next] : start) to_load_[place.partition] = absl::Now() + kLoadAgainAfter;
  }
}

void EvaluatorService::Apply(const std::vector<kafka::Message>& messages) {
  if (messages.empty()) return;
  const absl::Time begun = absl::Now();
  std::set<int32_t> halted;
  for (const kafka::Message& message : messages) {
    const int32_t partition = message.partition();
    if (halted.contains(partition)) continue;
    const bool had_effects = logic_->has_effects();
    const Verdict verdict = logic_->Apply(partition, {.offset = message.offset(),
                                                      .log_time_us = message.log_time_us(),
                                                      .key = message.key(),
                                                      .value = message.value(),
                                                      .traceparent = message.traceparent()});
    if (!had_effects && logic_->has_effects()) oldest_effect_us_ = message.log_time_us();
    switch (verdict) {
      case Verdict::kGoOn:
        break;
      case Verdict::kStop:
        halted.insert(partition);
        consumer_->StopReading({Place(partition)}).IgnoreError();
        break;
      case Verdict::kOtherLog: {
        halted.insert(partition);
        consumer_->StopReading({Place(partition)}).IgnoreError();
        const absl::StatusOr<kafka::Watermarks> marks = consumer_->QueryWatermarks(Place(partition), kBrokerTimeout);
        absl::StatusOr<int64_t> next = marks.status();
        if (marks.ok()) {
          next = logic_->AdoptOtherLog(partition,
                                       {.cluster_id = cluster_id_, .low_offset = marks->low, .high_offset = marks->high});
        }
        if (next.ok()) next = consumer_->StartAt({{Place(partition), *next}}).ok() ? next : absl::UnavailableError("");
        if (!next.ok() && !logic_->stopped().contains(partition)) {
          logic_->Drop(partition);
          to_load_[partition] = absl::Now() + kLoadAgainAfter;
        }
        break;
      }
      case Verdict::kAgain:
        // The store does not answer while a replay is compared: the partition is loaded again when it does.
        halted.insert(partition);
        consumer_->StopReading({Place(partition)}).IgnoreError();
        logic_->Drop(partition);
        to_load_[partition] = absl::Now() + kLoadAgainAfter;
        break;
    }
  }
  static auto& seconds = metrics::GetHistogram("stockalert_evaluator_evaluation_seconds",
                                               "How long the records of one poll took to evaluate, without their commit");
  seconds.Observe(absl::ToDoubleSeconds(absl::Now() - begun));
}

void EvaluatorService::TakeErrors(const std::vector<kafka::PartitionError>& errors) {
  for (const kafka::PartitionError& error : errors) {
    const int32_t partition = error.partition.partition;
    if (error.partition.topic != options_.prices_topic || partition < 0 || !assigned_.contains(partition)) continue;
    consumer_->StopReading({error.partition}).IgnoreError();
    if (absl::IsPermissionDenied(error.status)) {
      logic_->Stop(partition, error.status.ToString());
      continue;
    }
    // The log has changed under us: taking the partition anew finds out what it is now. What waits for its commit is kept by
    // committing it first.
    if (logic_->has_progress() && IsFenced(logic_->Commit())) {
      rejoin_ = true;
      return;
    }
    logic_->Drop(partition);
    to_load_[partition] = absl::Now() + kLoadAgainAfter;
  }
}

void EvaluatorService::CommitIfDue() {
  if (!logic_->has_progress() || !consumer_) return;
  const absl::Time now = absl::Now();
  if (blocked_ ? now < next_try_ : !logic_->has_effects() && now - last_commit_ < options_.commit_interval) return;
  const absl::Status status = logic_->Commit();
  if (status.ok()) {
    last_commit_ = absl::Now();
    if (oldest_effect_us_ > 0) {
      static prometheus::Histogram& seconds = metrics::GetHistogram(
          "stockalert_evaluator_commit_delay_seconds", "From the broker's append of a record to the commit of what it made happen.");
      seconds.Observe(static_cast<double>(absl::ToUnixMicros(last_commit_) - oldest_effect_us_) / 1e6);
      oldest_effect_us_ = 0;
    }
    if (blocked_) {
      blocked_ = false;
      backoff_.Reset();
      log::Info("commits go through again; reading goes on");
      std::vector<kafka::TopicPartition> places;
      places.reserve(assigned_.size());
      for (const int32_t partition : assigned_) places.push_back(Place(partition));
      consumer_->Resume(places).IgnoreError();
    }
    return;
  }
  if (IsFenced(status)) {
    rejoin_ = true;
    return;
  }
  if (!blocked_) {
    blocked_ = true;
    log::Warning("a commit failed: reading is held back, partitions are kept, and the commit is tried again",
                 {{"status", status}, {"effects", logic_->pending_effects()}});
    std::vector<kafka::TopicPartition> places;
    places.reserve(assigned_.size());
    for (const int32_t partition : assigned_) places.push_back(Place(partition));
    consumer_->Pause(places).IgnoreError();
  }
  next_try_ = absl::Now() + backoff_.Next();
}

void EvaluatorService::DeleteAcknowledgedIfIdle() {
  if (blocked_ || logic_->has_progress() || absl::Now() - last_commit_ < options_.commit_interval) return;
  const std::vector<OutboxAcknowledgement> acknowledged = relay_->TakeAcknowledged();
  if (acknowledged.empty()) return;
  if (store_.DeleteOutbox(acknowledged).ok()) relay_->MarkDeleted(acknowledged);
  last_commit_ = absl::Now();
}

void EvaluatorService::CheckpointIfDue() {
  int written = 0;
  int failed = 0;
  for (const CheckpointWriter::Result& result : checkpoints_->TakeResults()) {
    if (result.status.ok()) {
      logic_->MarkCheckpointed(result.partition, result.next_offset);
      ++written;
      metrics::GetGauge("stockalert_evaluator_checkpoint_bytes", "The size of the last checkpoint.")
          .Set(static_cast<double>(result.bytes));
    } else {
      ++failed;
      log::Warning("a checkpoint was not written; the next one will be", {{"partition", result.partition}, {"status", result.status}});
    }
  }
  if (written > 0 || failed > 0 || last_report_ == absl::InfinitePast()) {
    Count("stockalert_evaluator_checkpoints_total", "Checkpoints written.", written);
    Count("stockalert_evaluator_checkpoint_failures_total", "Checkpoints that could not be written.", failed);
  }
  if (!checkpoints_->is_free()) return;
  const absl::Time now = absl::Now();
  for (auto& [partition, due] : checkpoint_due_) {
    if (due > now) continue;
    std::optional<EvaluatorLogic::Draft> draft = logic_->TakeDraft(partition);
    if (!draft) {
      // Busy right now, or nothing new: looked at again soon, or after the interval.
      due = now + (logic_->has_progress() ? absl::Milliseconds(50) : options_.checkpoint_interval);
      continue;
    }
    due = now + options_.checkpoint_interval;
    checkpoints_->Write(*std::move(draft));
    return;
  }
}

void EvaluatorService::ShutDown() {
  const absl::Time deadline = absl::FromUnixMicros(deadline_us_);
  absl::Status status = logic_->Commit();
  while (!status.ok() && !IsFenced(status) && logic_->has_progress() && absl::Now() + absl::Milliseconds(200) < deadline) {
    absl::SleepFor(absl::Milliseconds(100));
    status = logic_->Commit();
  }
  if (!status.ok()) log::Warning("the last commit failed: the next owner folds those records again", {{"status", status}});
  relay_->Pump().IgnoreError();
  while (relay_->backlog() > 0 && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(5));
    relay_->Pump().IgnoreError();
  }
  const std::vector<OutboxAcknowledgement> acknowledged = relay_->TakeAcknowledged();
  if (store_.DeleteOutbox(acknowledged).ok()) relay_->MarkDeleted(acknowledged);
  for (const int32_t partition : logic_->partitions()) {
    if (absl::Now() >= deadline) break;
    const std::optional<EvaluatorLogic::Draft> draft = logic_->TakeDraft(partition);
    if (!draft) continue;
    const CheckpointWriter::Result result = CheckpointWriter::WriteNow(store_, *draft);
    if (!result.status.ok()) log::Warning("a last checkpoint was not written", {{"partition", partition}, {"status", result.status}});
  }
  logic_->DropAll();
  relay_->EndAll();
  consumer_.reset();
}

void EvaluatorService::Report() {
  const absl::Time now = absl::Now();
  const LogicCounters& counted = logic_->counters();
  if (counted.records == reported_.records && now - last_report_ < kReportInterval) return;
  const Counters folded = logic_->fold_counters();
  Count("stockalert_evaluator_records_total", "Records folded.", counted.records - reported_.records);
  Count("stockalert_evaluator_records_replayed_total", "Records folded again after a partition was taken.",
        counted.records_replayed - reported_.records_replayed);
  Count("stockalert_evaluator_quotes_malformed_total", "Quotes that no quote can be, skipped.",
        counted.quotes_malformed - reported_.quotes_malformed);
  Count("stockalert_evaluator_partitions_stopped_total", "Partitions that had to stop: see the log and /readyz.",
        counted.partitions_stopped - reported_.partitions_stopped);
  Count("stockalert_evaluator_commits_total", "Transactions committed.", counted.commits - reported_.commits);
  Count("stockalert_evaluator_commit_failures_total", "Commits that failed, and were tried again or fenced.",
        counted.commit_failures - reported_.commit_failures);
  Count("stockalert_evaluator_fenced_total", "Times that another evaluator had taken a partition.",
        counted.fenced - reported_.fenced);
  Count("stockalert_evaluator_triggers_total", "Triggers committed.", counted.triggers_committed - reported_.triggers_committed);
  Count("stockalert_evaluator_events_total", "Events committed to the outbox.",
        counted.events_committed - reported_.events_committed);
  Count("stockalert_evaluator_checkpoints_unusable_total", "Checkpoints that could not be read back.",
        counted.checkpoints_unusable - reported_.checkpoints_unusable);
  Count("stockalert_evaluator_logs_adopted_total", "Partitions whose log was another one than before.",
        counted.logs_adopted - reported_.logs_adopted);
  Count("stockalert_evaluator_relay_failures_total", "Events that the broker did not take, sent again.",
        relay_->failures() - relay_failures_reported_);
  CountQuotes("accepted", folded.quotes_accepted - fold_reported_.quotes_accepted);
  CountQuotes("refused", folded.quotes_refused - fold_reported_.quotes_refused);
  CountQuotes("late", folded.quotes_late - fold_reported_.quotes_late);
  CountQuotes("repeated", folded.quotes_repeated - fold_reported_.quotes_repeated);
  Count("stockalert_evaluator_changes_total", "Alert changes applied, replays included.",
        folded.changes_applied - fold_reported_.changes_applied);
  Count("stockalert_evaluator_edges_swallowed_total", "Edges that cooldown or ONCE_A_DAY swallowed.",
        folded.edges_swallowed - fold_reported_.edges_swallowed);
  reported_ = counted;
  fold_reported_ = folded;
  relay_failures_reported_ = relay_->failures();
  if (now - last_report_ < kReportInterval) return;
  last_report_ = now;

  Health health;
  int64_t symbols = 0;
  health.joined = joined_;
  health.assigned = static_cast<int>(assigned_.size());
  health.stopped = logic_->stopped();
  health.commits_blocked = blocked_;
  health.outbox_backlog = relay_->backlog();
  for (const int32_t partition : assigned_) {
    if (health.stopped.contains(partition)) continue;
    if (to_load_.contains(partition) || !logic_->is_live(partition)) ++health.loading;
    if (const Fold* fold = logic_->fold(partition)) {
      health.alerts += fold->alert_count();
      symbols += fold->symbol_count();
    }
  }
  metrics::GetGauge("stockalert_evaluator_partitions", "Partitions assigned to this evaluator.").Set(health.assigned);
  metrics::GetGauge("stockalert_evaluator_partitions_loading", "Of these, not read up to the present yet.").Set(health.loading);
  metrics::GetGauge("stockalert_evaluator_partitions_halted", "Of these, stopped.").Set(static_cast<double>(health.stopped.size()));
  metrics::GetGauge("stockalert_evaluator_alerts", "Alerts in the index.").Set(static_cast<double>(health.alerts));
  metrics::GetGauge("stockalert_evaluator_symbols", "Symbols in the index.").Set(static_cast<double>(symbols));
  metrics::GetGauge("stockalert_evaluator_outbox_backlog", "Committed events that the broker has not acknowledged.")
      .Set(static_cast<double>(health.outbox_backlog));
  metrics::GetGauge("stockalert_evaluator_commits_blocked", "1 while the database takes no commit.").Set(blocked_ ? 1 : 0);
  {
    const std::lock_guard lock(health_mutex_);
    health_ = std::move(health);
  }
  if (consumer_ && joined_ && now - last_offset_hint_ > kOffsetHintInterval) {
    last_offset_hint_ = now;
    std::map<kafka::TopicPartition, int64_t> offsets;
    for (const int32_t partition : assigned_) {
      if (const auto next = logic_->next_offset(partition); next && logic_->is_live(partition)) offsets[Place(partition)] = *next;
    }
    consumer_->CommitAsync(offsets);
  }
}

}  // namespace stockalert::evaluator
