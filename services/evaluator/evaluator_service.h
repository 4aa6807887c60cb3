// The evaluator's Kafka loop: one thread that reads the partitions the group gives it, folds them, commits, and relays
// events.
//
// Start and Stop belong to the owner's thread; health() is thread-safe. EvaluatorLoop decides what is done when; this
// class gives it librdkafka, a thread and metrics. While Postgres is away, reading is held back and the same commit is
// retried with growing pauses: partitions are kept and nothing is lost. While Kafka is away, committed events wait in
// the outbox.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/base/mutex.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/producer.h"
#include "services/common/process/liveness.h"
#include "services/evaluator/alert_event_relay.h"
#include "services/evaluator/checkpoint_writer.h"
#include "services/evaluator/evaluator_logic.h"
#include "services/evaluator/evaluator_loop.h"
#include "services/evaluator/evaluator_store.h"
#include "services/evaluator/question_queue.h"

namespace stockalert::evaluator {

struct EvaluatorServiceOptions {
  std::string kafka_bootstrap;
  kafka::Security kafka_security;
  std::string prices_topic;
  std::string events_topic;
  std::string group_id;
  std::string instance_id;
  // Where this process answers questions, as others reach it. Empty: nowhere.
  std::string advertised_address;
  size_t questions_max = 16;  // That wait for the fold's thread at once.
  size_t poll_records = 2'000;
  absl::Duration commit_interval = absl::Seconds(1);
  absl::Duration checkpoint_interval = absl::Seconds(120);
  absl::Duration session_timeout = absl::Seconds(10);
  int64_t held_records_max = 100'000;
  std::set<std::pair<int32_t, int64_t>> skipped_records;
  kafka::ExtraSettings kafka_extra;
  // Called once, when the consumer failed for good twice in a row (another process has this instance id): the process
  // should end.
  std::function<void(const std::string& why)> on_fatal;
};

class EvaluatorService {
 public:
  // `store` must outlive the service.
  EvaluatorService(EvaluatorStore& store, const EvaluatorServiceOptions& options);
  // Stops at once, if it was not stopped.
  ~EvaluatorService();

  // INVALID_ARGUMENT: Kafka's settings. The broker need not be there yet.
  absl::Status Start();
  // Stops reading, commits, waits until the broker has the events, writes checkpoints, and leaves the group; ends at
  // `deadline` or a little later. The next owner does what there was no time for.
  void Stop(absl::Time deadline);

  struct Health {
    bool joined = false;  // The group has given this member its partitions (maybe none).
    int assigned = 0;
    int loading = 0;                         // Of these: not acquired yet, or replaying what was done before.
    std::map<int32_t, std::string> stopped;  // And why; those that are being tried again included.
    bool commits_blocked = false;
    int64_t outbox_backlog = 0;
    int64_t alerts = 0;
  };
  Health health() const;

  // What this evaluator knows of an alert, as of the fold's thread; thread-safe, blocks until `deadline` at most.
  // Errors as of QuestionQueue and EvaluatorLoop::Explain.
  absl::StatusOr<ExplainedAlert> Explain(int32_t partition, const std::string& alert_id, absl::Time deadline) {
    return questions_.Ask(partition, alert_id, deadline);
  }

 private:
  class Publisher;
  class Consumer;

  absl::StatusOr<std::unique_ptr<LogConsumer>> MakeConsumer();
  void Run();
  // What changed since it was reported last; the health at most every kReportInterval.
  void Report();
  void ReportLogic();
  void ReportFold();
  void ReportLoop();
  void ReportHealth();

  EvaluatorStore& store_;
  const EvaluatorServiceOptions options_;
  std::unique_ptr<kafka::Producer> producer_;
  std::unique_ptr<Publisher> publisher_;
  std::unique_ptr<AlertEventRelay> relay_;
  std::unique_ptr<EvaluatorLogic> logic_;
  std::unique_ptr<CheckpointWriter> checkpoints_;
  std::unique_ptr<EvaluatorLoop> loop_;
  QuestionQueue questions_;
  process::Heartbeat heartbeat_{"evaluator_loop"};

  // What the thread has reported.
  absl::Time last_report_ = absl::InfinitePast();
  LogicCounters reported_;
  fold::Counters fold_reported_;
  EvaluatorLoop::LoopCounters loop_reported_;
  int64_t relay_failures_reported_ = 0;

  std::atomic<bool> stopping_{false};
  absl::Time deadline_;  // Monotonic; written before stopping_.
  std::thread thread_;
  mutable base::Mutex health_mutex_;
  Health health_ ABSL_GUARDED_BY(health_mutex_);
};

}  // namespace stockalert::evaluator
