#include "services/common/kafka/consumer.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/common/base/status_macros.h"
#include "services/common/kafka/client.h"
#include "services/common/log/log.h"

namespace stockalert::kafka {
namespace {

constexpr absl::Duration kCloseTimeout = absl::Seconds(5);
// librdkafka's own thread answers in microseconds, or never.
constexpr absl::Duration kAnswerTimeout = absl::Seconds(1);
constexpr absl::Duration kCommittedTimeout = absl::Seconds(5);
constexpr int kCommittedAttempts = 3;
// Longer than librdkafka waits for a broker's answer; after it a commit is taken for lost.
constexpr absl::Duration kCommitPatience = absl::Seconds(30);
constexpr absl::Duration kLagInterval = absl::Seconds(1);

PartitionList NewList(size_t size) { return PartitionList(rd_kafka_topic_partition_list_new(static_cast<int>(size))); }

PartitionList ToList(const std::map<TopicPartition, int64_t>& offsets) {
  PartitionList list = NewList(offsets.size());
  for (const auto& [place, offset] : offsets) {
    rd_kafka_topic_partition_list_add(list.get(), place.topic.c_str(), place.partition)->offset = offset;
  }
  return list;
}

PartitionList ToList(const std::vector<TopicPartition>& partitions) {
  PartitionList list = NewList(partitions.size());
  for (const TopicPartition& place : partitions) {
    rd_kafka_topic_partition_list_add(list.get(), place.topic.c_str(), place.partition);
  }
  return list;
}

std::vector<TopicPartition> FromList(const rd_kafka_topic_partition_list_t* list) {
  std::vector<TopicPartition> partitions;
  partitions.reserve(static_cast<size_t>(list->cnt));
  for (int i = 0; i < list->cnt; ++i) partitions.push_back({list->elems[i].topic, list->elems[i].partition});
  return partitions;
}

std::string Name(const TopicPartition& place) { return absl::StrCat(place.topic, "/", place.partition); }

// An error of a call that reports through rd_kafka_error_t, which is destroyed here.
absl::Status TakeError(rd_kafka_error_t* error, std::string_view what) {
  if (error == nullptr) return absl::OkStatus();
  absl::Status status = ToStatus(rd_kafka_error_code(error), what);
  rd_kafka_error_destroy(error);
  return status;
}

// The client, its queue and the sorting of what a poll brings: what both consumers share.
class Core {
 public:
  template <typename Options>
  explicit Core(const Options& options)
      : bootstrap_(options.bootstrap),
        security_(options.security),
        renewal_(options.security),
        client_id_(options.client_id),
        extra_(options.extra),
        registry_(options.registry),
        consumed_(CounterFamily(registry_, "stockalert_kafka_consumed_total", "Records read.")),
        errors_(CounterFamily(registry_, "stockalert_kafka_consumer_errors_total", "Errors that consumers met.")),
        lag_(prometheus::BuildGauge()
                 .Name("stockalert_kafka_consumer_lag_records")
                 .Help("Records of the partitions that are assigned which have not been read yet, or, by a group's "
                       "member, not been committed.")
                 .Register(*registry_)) {}

  ~Core() {
    if (questions_ != nullptr) rd_kafka_destroy(questions_);
    if (client_ == nullptr) return;
    auto closing = std::make_shared<Closing>();
    std::thread closer([closing, client = client_, queue = queue_.get()] { Close(client, queue, *closing); });
    {
      base::MutexLock lock(closing->mutex);
      while (!closing->done && base::MonotonicNow() < closing->give_up)
        closing->changed.WaitFor(lock, absl::Milliseconds(20));
      if (!closing->done) {
        lock.Unlock();
        // What librdkafka still holds cannot be destroyed; it does nothing any more, and a process that ends takes it
        // along.
        log::Warning("Kafka consumer: librdkafka does not answer while it closes; it is left behind",
                     {{"client", client_id_}});
        closer.detach();
        static_cast<void>(queue_.release());
        return;
      }
    }
    closer.join();
    const bool closed = rd_kafka_consumer_closed(client_) != 0;
    if (!closed)
      log::Warning("Kafka consumer did not leave in time: its session ends by itself", {{"client", client_id_}});
    queue_.reset();
    rd_kafka_destroy_flags(client_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
  }

  using OnRebalance = std::function<void(rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t*)>;

  // `on_rebalance` runs inside Poll; empty for a consumer without a group.
  absl::Status Start(Settings& settings, OnRebalance on_rebalance) {
    rd_kafka_conf_set_opaque(settings.conf(), this);
    rd_kafka_conf_set_error_cb(settings.conf(), OnError);
    if (on_rebalance) {
      on_rebalance_ = std::move(on_rebalance);
      rd_kafka_conf_set_rebalance_cb(
          settings.conf(), [](rd_kafka_t*, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t* partitions,
                              void* opaque) { static_cast<Core*>(opaque)->on_rebalance_(error, partitions); });
      rd_kafka_conf_set_offset_commit_cb(
          settings.conf(), [](rd_kafka_t*, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t*, void* opaque) {
            auto* self = static_cast<Core*>(opaque);
            self->commit_answered_ = true;
            if (error == RD_KAFKA_RESP_ERR_NO_ERROR || error == RD_KAFKA_RESP_ERR__NO_OFFSET) return;
            self->CountError(error);
            log::Warning("Kafka consumer: offsets were not committed; the next commit covers them",
                         {{"client", self->client_id_}, {"error", rd_kafka_err2name(error)}});
          });
    }
    absl::StatusOr<rd_kafka_t*> client = settings.New(RD_KAFKA_CONSUMER);
    if (!client.ok()) return client.status();
    client_ = *client;
    rd_kafka_poll_set_consumer(client_);
    queue_.reset(rd_kafka_queue_get_consumer(client_));
    return absl::OkStatus();
  }

  rd_kafka_t* client() { return client_; }

  // Fills `result_`, which the callbacks of this thread write to as well, and hands it out.
  PollResult Poll(absl::Duration timeout, size_t messages_max) {
    result_ = PollResult();
    if (renewal_.IsDue()) {
      result_.fatal = absl::AbortedError("Kafka's TLS files were swapped: a new consumer reads them");
      return std::exchange(result_, PollResult());
    }
    if (wake_.exchange(false)) timeout = absl::ZeroDuration();
    while (result_.messages.size() < messages_max) {
      rd_kafka_message_t* raw = rd_kafka_consumer_poll(client_, result_.empty() ? ToTimeoutMs(timeout) : 0);
      timeout = absl::ZeroDuration();
      if (raw == nullptr) break;
      if (raw->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        result_.messages.emplace_back(raw);
        continue;
      }
      SortError(*raw);
      rd_kafka_message_destroy(raw);
    }
    wake_.store(false);
    if (!result_.messages.empty()) {
      consumed_.Add({{"client", client_id_}}).Increment(static_cast<double>(result_.messages.size()));
    }
    MeasureLag();
    return std::exchange(result_, PollResult());
  }

  void Wake() {
    wake_ = true;
    rd_kafka_queue_yield(queue_.get());
  }

  PollResult& result() { return result_; }

  // The first record of each partition that was handed out and is not done with; for the lag.
  std::map<TopicPartition, int64_t>& undone() { return undone_; }

  // Whether a commit has been answered since the last call; by the callbacks of Poll.
  bool TakeCommitAnswered() { return std::exchange(commit_answered_, false); }

  void CountError(rd_kafka_resp_err_t error) {
    errors_.Add({{"client", client_id_}, {"error", rd_kafka_err2name(error)}}).Increment();
  }

  absl::StatusOr<Watermarks> QueryWatermarks(const TopicPartition& place, absl::Duration timeout) {
    STOCKALERT_ASSIGN_OR_RETURN(rd_kafka_t * client, Questions());
    Watermarks marks;
    const rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(client, place.topic.c_str(), place.partition,
                                                                       &marks.low, &marks.high, ToTimeoutMs(timeout));
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
      return ToStatus(error, absl::StrCat("asking for the ends of ", Name(place)));
    return marks;
  }

  const std::string& client_id() const { return client_id_; }

  // A client for questions alone: on the reading one's connection they would wait behind its long polls.
  absl::StatusOr<rd_kafka_t*> Questions() {
    if (questions_ == nullptr) {
      Settings settings(bootstrap_, security_, absl::StrCat(client_id_, "-questions"));
      settings.Set(extra_);
      STOCKALERT_ASSIGN_OR_RETURN(questions_, settings.New(RD_KAFKA_PRODUCER));
    }
    return questions_;
  }

 private:
  struct Closing {
    base::Mutex mutex;
    base::ConditionVariable changed;
    bool done ABSL_GUARDED_BY(mutex) = false;
    absl::Duration give_up ABSL_GUARDED_BY(mutex) = base::MonotonicNow() + kCloseTimeout + kAnswerTimeout;
  };

  // By what the broker told with its last answers: nothing is asked for it.
  void MeasureLag() {
    const absl::Duration now = base::MonotonicNow();
    if (now < next_lag_) return;
    next_lag_ = now + kLagInterval;
    rd_kafka_topic_partition_list_t* assigned = nullptr;
    if (rd_kafka_assignment(client_, &assigned) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
    const PartitionList places(assigned);
    if (rd_kafka_position(client_, assigned) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
    std::map<std::string, double> lags;
    for (const std::string& topic : lag_topics_) lags[topic] = 0;  // Of which nothing may be assigned any more.
    for (int i = 0; i < assigned->cnt; ++i) {
      const rd_kafka_topic_partition_t& place = assigned->elems[i];
      double& lag = lags[place.topic];
      int64_t next = place.offset;
      // What was handed out is not done yet: its owner may stand still at it.
      if (const auto undone = undone_.find({place.topic, place.partition}); undone != undone_.end()) {
        next = next < 0 ? undone->second : std::min(next, undone->second);
      }
      // Of a partition of which nothing has been read there is no position: it counts from its first record on.
      if (next < 0) continue;
      Watermarks marks;
      if (rd_kafka_get_watermark_offsets(client_, place.topic, place.partition, &marks.low, &marks.high) !=
          RD_KAFKA_RESP_ERR_NO_ERROR) {
        continue;
      }
      lag += static_cast<double>(std::max<int64_t>(std::max<int64_t>(marks.high, place.offset) - next, 0));
    }
    for (const auto& [topic, lag] : lags) {
      lag_topics_.insert(topic);
      lag_.Add({{"client", client_id_}, {"topic", topic}}).Set(lag);
    }
  }

  // Leaves the group, within kCloseTimeout: rd_kafka_consumer_close has no bound of its own. It runs on a thread of its
  // own because of rd_kafka_assign, which never returns where librdkafka (2.0.2 and later ones) takes its last step
  // meanwhile: a consumer that is closed while it is just given its partitions.
  static void Close(rd_kafka_t* client, rd_kafka_queue_t* queue, Closing& closing) {
    const absl::Duration deadline = base::MonotonicNow() + kCloseTimeout;
    rd_kafka_error_t* error = rd_kafka_consumer_close_queue(client, queue);
    if (error == nullptr) {
      while (!rd_kafka_consumer_closed(client) && base::MonotonicNow() < deadline) {
        rd_kafka_event_t* event = rd_kafka_queue_poll(queue, 50);
        if (event == nullptr) continue;
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE) {
          {
            base::MutexLock lock(closing.mutex);
            closing.give_up = base::MonotonicNow() + kAnswerTimeout;
          }
          rd_kafka_assign(client, nullptr);
          base::MutexLock lock(closing.mutex);
          // Given up: the consumer's owner may be gone.
          if (base::MonotonicNow() >= closing.give_up) return;
          closing.give_up = deadline + kAnswerTimeout;
        }
        rd_kafka_event_destroy(event);
      }
    } else {
      rd_kafka_error_destroy(error);
    }
    {
      base::MutexLock lock(closing.mutex);
      closing.done = true;
    }
    closing.changed.NotifyAll();
  }

  static void OnError(rd_kafka_t* client, int code, const char* reason, void* opaque) {
    auto* self = static_cast<Core*>(opaque);
    const auto error = static_cast<rd_kafka_resp_err_t>(code);
    self->CountError(error);
    if (error == RD_KAFKA_RESP_ERR__FATAL) {
      self->SetFatal(client);
      return;
    }
    static log::Limiter limiter(absl::Seconds(5));
    if (const auto suppressed = limiter.Allow()) {
      log::Warning("Kafka consumer: the broker has a problem; reading goes on when it answers",
                   {{"client", self->client_id_},
                    {"reason", reason},
                    {"error", rd_kafka_err2name(error)},
                    {"suppressed", *suppressed}});
    }
  }

  void SetFatal(rd_kafka_t* client) {
    char why[512] = "";
    const rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(client, why, sizeof(why));
    log::Error("Kafka consumer cannot go on: its owner makes another or ends the process",
               {{"client", client_id_}, {"reason", why}, {"error", rd_kafka_err2name(fatal)}});
    result_.fatal = absl::FailedPreconditionError(absl::StrCat("the Kafka consumer cannot go on: ", why));
  }

  void SortError(const rd_kafka_message_t& raw) {
    const TopicPartition place{raw.rkt == nullptr ? "" : rd_kafka_topic_name(raw.rkt), raw.partition};
    switch (raw.err) {
      case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        result_.ends.push_back(place);
        return;
      case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
      case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      case RD_KAFKA_RESP_ERR__NO_OFFSET:
      case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
      case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
      case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        CountError(raw.err);
        log::Error("Kafka consumer: a partition cannot be read further; its owner decides",
                   {{"client", client_id_}, {"partition", Name(place)}, {"reason", rd_kafka_message_errstr(&raw)}});
        result_.errors.push_back({place, ToStatus(raw.err, absl::StrCat("reading ", Name(place)))});
        return;
      case RD_KAFKA_RESP_ERR__FATAL:
        CountError(raw.err);
        SetFatal(client_);
        return;
      case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED:
        CountError(raw.err);
        log::Error(
            "Kafka consumer took longer between polls than allowed and lost its partitions: give it less work a batch, "
            "or a longer poll interval",
            {{"client", client_id_}});
        return;
      default:
        CountError(raw.err);
        log::Warning(
            "Kafka consumer: an error that passes; reading goes on",
            {{"client", client_id_}, {"reason", rd_kafka_message_errstr(&raw)}, {"error", rd_kafka_err2name(raw.err)}});
    }
  }

  const std::string bootstrap_;
  const Security security_;
  Renewal renewal_;
  const std::string client_id_;
  const ExtraSettings extra_;
  std::shared_ptr<prometheus::Registry> registry_;
  prometheus::Family<prometheus::Counter>& consumed_;
  prometheus::Family<prometheus::Counter>& errors_;
  prometheus::Family<prometheus::Gauge>& lag_;
  std::set<std::string> lag_topics_;
  absl::Duration next_lag_ = -absl::InfiniteDuration();
  rd_kafka_t* client_ = nullptr;
  rd_kafka_t* questions_ = nullptr;
  Queue queue_;
  OnRebalance on_rebalance_;
  PollResult result_;
  std::map<TopicPartition, int64_t> undone_;
  bool commit_answered_ = false;
  std::atomic<bool> wake_{false};
};

void SetReading(Settings& settings, int64_t fetch_bytes_max, absl::Duration fetch_wait_max, bool report_ends) {
  settings.Set("enable.auto.commit", "false")
      .Set("enable.auto.offset.store", "false")
      .Set("auto.offset.reset", "error")
      .Set("enable.partition.eof", report_ends ? "true" : "false")
      .SetMs("fetch.wait.max.ms", fetch_wait_max)
      .Set("fetch.message.max.bytes", absl::StrCat(std::min(fetch_bytes_max, int64_t{1024} * 1024)))
      .Set("fetch.max.bytes", absl::StrCat(fetch_bytes_max))
      .Set("queued.max.messages.kbytes", absl::StrCat(std::max<int64_t>(fetch_bytes_max / 1024, 1024)))
      .Set("fetch.error.backoff.ms", "100")
      .Set("topic.metadata.refresh.interval.ms", "30000");
}

class RdKafkaGroupConsumer final : public GroupConsumer {
 public:
  explicit RdKafkaGroupConsumer(const GroupConsumerOptions& options) : options_(options), core_(options) {}

  // Leaving the group waits for what is committed here.
  ~RdKafkaGroupConsumer() override { SendCommit(); }

  absl::Status Start() {
    Settings settings(options_.bootstrap, options_.security, options_.client_id);
    SetReading(settings, options_.fetch_bytes_max, options_.fetch_wait_max, false);
    settings.Set("group.id", options_.group_id)
        .SetMs("session.timeout.ms", options_.session_timeout)
        .SetMs("heartbeat.interval.ms", std::min(options_.session_timeout / 3, absl::Seconds(3)))
        .SetMs("max.poll.interval.ms", std::max(options_.poll_interval_max, options_.session_timeout))
        .Set("partition.assignment.strategy", "range,roundrobin");
    if (!options_.group_instance_id.empty()) settings.Set("group.instance.id", options_.group_instance_id);
    settings.Set(options_.extra);
    absl::Status status =
        core_.Start(settings, [this](rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t* partitions) {
          Rebalance(error, partitions);
        });
    if (!status.ok()) return status;
    PartitionList topics = NewList(options_.topics.size());
    for (const std::string& topic : options_.topics) {
      rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
    }
    return ToStatus(rd_kafka_subscribe(core_.client(), topics.get()), "subscribing");
  }

  PollResult Poll(absl::Duration timeout, size_t messages_max) override {
    PollResult result = core_.Poll(timeout, messages_max);
    if (core_.TakeCommitAnswered()) commit_answer_by_ = -absl::InfiniteDuration();
    if (base::MonotonicNow() >= commit_answer_by_) SendCommit();
    if (options_.start != GroupConsumerOptions::Start::kByOwner) {
      for (const Message& message : result.messages) {
        const TopicPartition place{std::string(message.topic()), message.partition()};
        core_.undone().try_emplace(place, message.offset());
        handed_out_[place] = message.offset() + 1;
      }
    } else {
      for (const Message& message : result.messages) {
        auto reading = reading_.find({std::string(message.topic()), message.partition()});
        if (reading != reading_.end()) reading->second = message.offset() + 1;
      }
    }
    return result;
  }

  void CommitAsync(const std::map<TopicPartition, int64_t>& next_offsets) override {
    for (const auto& [place, next_offset] : next_offsets) {
      to_commit_[place] = next_offset;
      const auto undone = core_.undone().find(place);
      if (undone == core_.undone().end()) continue;
      if (next_offset >= handed_out_[place]) {
        core_.undone().erase(undone);
      } else {
        undone->second = next_offset;
      }
    }
    // One at a time: a broker that is slow to commit would have a row of them, behind which its heartbeats would wait.
    if (base::MonotonicNow() >= commit_answer_by_) SendCommit();
  }

  absl::Status StartAt(const std::map<TopicPartition, int64_t>& next_offsets) override {
    if (absl::Status status = RequireOwner(); !status.ok()) return status;
    for (const auto& [place, offset] : next_offsets) {
      if (!assigned_.contains(place)) {
        return absl::FailedPreconditionError(absl::StrCat(Name(place), " is not assigned to this member"));
      }
      reading_[place] = offset;
      paused_.erase(place);
    }
    return AssignReading();
  }

  absl::Status StopReading(const std::vector<TopicPartition>& partitions) override {
    if (absl::Status status = RequireOwner(); !status.ok()) return status;
    for (const TopicPartition& place : partitions) {
      reading_.erase(place);
      paused_.erase(place);
    }
    return AssignReading();
  }

  absl::Status Pause(const std::vector<TopicPartition>& partitions) override {
    if (options_.start == GroupConsumerOptions::Start::kByOwner) {
      paused_.insert(partitions.begin(), partitions.end());
      return AssignReading();
    }
    PartitionList list = ToList(partitions);
    return FirstError(rd_kafka_pause_partitions(core_.client(), list.get()), *list, "pausing");
  }

  absl::Status Resume(const std::vector<TopicPartition>& partitions) override {
    if (options_.start == GroupConsumerOptions::Start::kByOwner) {
      for (const TopicPartition& place : partitions) paused_.erase(place);
      return AssignReading();
    }
    PartitionList list = ToList(partitions);
    return FirstError(rd_kafka_resume_partitions(core_.client(), list.get()), *list, "resuming");
  }

  absl::Status Seek(const TopicPartition& partition, int64_t next_offset, absl::Duration timeout) override {
    if (options_.start == GroupConsumerOptions::Start::kByOwner) return StartAt({{partition, next_offset}});
    PartitionList list = ToList(std::map<TopicPartition, int64_t>{{partition, next_offset}});
    absl::Status status =
        TakeError(rd_kafka_seek_partitions(core_.client(), list.get(), ToTimeoutMs(timeout)), "seeking");
    if (!status.ok()) return status;
    return FirstError(RD_KAFKA_RESP_ERR_NO_ERROR, *list, "seeking");
  }

  absl::StatusOr<Watermarks> QueryWatermarks(const TopicPartition& partition, absl::Duration timeout) override {
    return core_.QueryWatermarks(partition, timeout);
  }
  absl::StatusOr<std::string> ClusterId(absl::Duration timeout) override {
    STOCKALERT_ASSIGN_OR_RETURN(rd_kafka_t * client, core_.Questions());
    return QueryClusterId(client, timeout);
  }
  void Wake() override { core_.Wake(); }

 private:
  void SendCommit() {
    if (to_commit_.empty() || core_.client() == nullptr) return;
    PartitionList list = ToList(std::exchange(to_commit_, {}));
    const rd_kafka_resp_err_t error = rd_kafka_commit(core_.client(), list.get(), 1);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
      commit_answer_by_ = base::MonotonicNow() + kCommitPatience;
    } else if (error != RD_KAFKA_RESP_ERR__NO_OFFSET) {
      core_.CountError(error);
    }
  }

  absl::Status RequireOwner() const {
    if (options_.start == GroupConsumerOptions::Start::kByOwner) return absl::OkStatus();
    return absl::FailedPreconditionError("only a consumer with Start::kByOwner is told where to read");
  }

  static absl::Status FirstError(rd_kafka_resp_err_t error, const rd_kafka_topic_partition_list_t& list,
                                 const char* what) {
    for (int i = 0; i < list.cnt && error == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) error = list.elems[i].err;
    return ToStatus(error, what);
  }

  // librdkafka reads what is given to assign(), whatever the group's assignment is: a partition that waits for its
  // owner, or is held back, is simply not given.
  absl::Status AssignReading() {
    std::map<TopicPartition, int64_t> given;
    for (const auto& [place, offset] : reading_) {
      if (!paused_.contains(place)) given.emplace(place, offset);
    }
    PartitionList list = ToList(given);
    return ToStatus(rd_kafka_assign(core_.client(), list.get()), "starting to read partitions");
  }

  // Inside Poll.
  void Rebalance(rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t* partitions) {
    RebalanceEvent event;
    event.partitions = FromList(partitions);
    reading_.clear();
    paused_.clear();
    assigned_.clear();
    handed_out_.clear();
    core_.undone().clear();
    if (error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
      event.kind = RebalanceEvent::Kind::kAssigned;
      assigned_.insert(event.partitions.begin(), event.partitions.end());
      if (options_.start == GroupConsumerOptions::Start::kByOwner) {
        PartitionList none = NewList(1);
        rd_kafka_assign(core_.client(), none.get());
      } else {
        ResolveStart(partitions);
        rd_kafka_assign(core_.client(), partitions);
      }
    } else {
      event.kind =
          rd_kafka_assignment_lost(core_.client()) ? RebalanceEvent::Kind::kLost : RebalanceEvent::Kind::kRevoked;
      // The next owner begins where this commits; what is lost is another's already.
      if (event.kind == RebalanceEvent::Kind::kRevoked) SendCommit();
      to_commit_.clear();
      if (error != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) core_.CountError(error);
      rd_kafka_assign(core_.client(), nullptr);
      // Taken from the queue in this poll but not handed out: whoever has the partition now reads them again.
      core_.result().messages.clear();
    }
    log::Info("Kafka consumer: its partitions changed",
              {{"client", core_.client_id()},
               {"partitions", event.partitions.size()},
               {"now", event.kind == RebalanceEvent::Kind::kAssigned  ? "assigned"
                       : event.kind == RebalanceEvent::Kind::kRevoked ? "revoked"
                                                                      : "lost"}});
    core_.result().rebalances.push_back(std::move(event));
    rd_kafka_yield(core_.client());  // Ends the poll: the owner hears of it at once.
  }

  // Committed offsets, and where there are none the start that was asked for: auto.offset.reset=error would refuse
  // those.
  void ResolveStart(rd_kafka_topic_partition_list_t* partitions) {
    for (int attempt = 0; attempt < kCommittedAttempts; ++attempt) {
      const rd_kafka_resp_err_t error = rd_kafka_committed(core_.client(), partitions, ToTimeoutMs(kCommittedTimeout));
      if (error == RD_KAFKA_RESP_ERR_NO_ERROR) break;
      core_.CountError(error);
      log::Warning("Kafka consumer: the committed offsets cannot be had; trying again",
                   {{"client", core_.client_id()}, {"error", rd_kafka_err2name(error)}, {"attempt", attempt + 1}});
      for (int i = 0; i < partitions->cnt; ++i) partitions->elems[i].offset = RD_KAFKA_OFFSET_STORED;
      if (attempt + 1 == kCommittedAttempts)
        return;  // librdkafka asks again itself; without any committed it is an error.
    }
    const bool from_end = options_.start == GroupConsumerOptions::Start::kFromEnd;
    for (int i = 0; i < partitions->cnt; ++i) {
      if (partitions->elems[i].offset < 0) {
        partitions->elems[i].offset = from_end ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING;
      }
    }
  }

  const GroupConsumerOptions options_;
  std::set<TopicPartition> assigned_;
  std::map<TopicPartition, int64_t> reading_;  // With Start::kByOwner: what is read, and its next offset.
  std::set<TopicPartition> paused_;
  std::map<TopicPartition, int64_t>
      handed_out_;  // Without an owner: behind the last message of each that Poll has brought.
  std::map<TopicPartition, int64_t> to_commit_;                  // Not sent yet.
  absl::Duration commit_answer_by_ = -absl::InfiniteDuration();  // Of the commit that is under way; past: none is.
  Core core_;                                                    // Last: its end may still call Rebalance.
};

class RdKafkaAssignedConsumer final : public AssignedConsumer {
 public:
  explicit RdKafkaAssignedConsumer(const AssignedConsumerOptions& options) : options_(options), core_(options) {}

  absl::Status Start() {
    Settings settings(options_.bootstrap, options_.security, options_.client_id);
    SetReading(settings, options_.fetch_bytes_max, options_.fetch_wait_max, options_.report_ends);
    // librdkafka wants a group's name even where none is joined.
    settings.Set("group.id", absl::StrCat(options_.client_id, "-no-group")).Set(options_.extra);
    return core_.Start(settings, {});
  }

  absl::Status Assign(const std::map<TopicPartition, int64_t>& next_offsets) override {
    PartitionList list = ToList(next_offsets);
    return ToStatus(rd_kafka_assign(core_.client(), list.get()), "starting to read partitions");
  }

  PollResult Poll(absl::Duration timeout, size_t messages_max) override { return core_.Poll(timeout, messages_max); }

  absl::StatusOr<int> CountPartitions(const std::string& topic, absl::Duration timeout) override {
    STOCKALERT_ASSIGN_OR_RETURN(rd_kafka_t * client, core_.Questions());
    STOCKALERT_ASSIGN_OR_RETURN(const TopicDescription description, QueryTopic(client, topic, timeout));
    return description.partitions;
  }

  absl::StatusOr<Watermarks> QueryWatermarks(const TopicPartition& partition, absl::Duration timeout) override {
    return core_.QueryWatermarks(partition, timeout);
  }

  absl::StatusOr<std::string> ReadValueAt(const TopicPartition& partition, int64_t offset,
                                          absl::Duration timeout) override {
    const absl::Duration deadline = base::MonotonicNow() + timeout;
    absl::StatusOr<Watermarks> marks = QueryWatermarks(partition, timeout);
    if (!marks.ok()) return marks.status();
    if (offset < marks->low || offset >= marks->high) {
      return absl::OutOfRangeError(absl::StrCat(Name(partition), " has no record at ", offset, " (it has ", marks->low,
                                                " to ", marks->high, ")"));
    }
    AssignedConsumerOptions options = options_;
    options.registry = nullptr;
    absl::StatusOr<std::unique_ptr<AssignedConsumer>> reader = AssignedConsumer::Create(options);
    if (!reader.ok()) return reader.status();
    if (absl::Status status = (*reader)->Assign({{partition, offset}}); !status.ok()) return status;
    while (base::MonotonicNow() < deadline) {
      const PollResult polled = (*reader)->Poll(deadline - base::MonotonicNow(), 1);
      if (!polled.errors.empty()) return polled.errors.front().status;
      for (const Message& message : polled.messages) {
        if (message.offset() == offset) return std::string(message.value());
        return absl::OutOfRangeError(absl::StrCat(Name(partition), " has no record at ", offset));
      }
    }
    return absl::UnavailableError(absl::StrCat("reading ", Name(partition), " took too long"));
  }

  void Wake() override { core_.Wake(); }

 private:
  const AssignedConsumerOptions options_;
  Core core_;
};

}  // namespace

absl::Status AssignedConsumer::AssignAll(const std::string& topic, int64_t place, absl::Duration timeout) {
  absl::StatusOr<int> partitions = CountPartitions(topic, timeout);
  if (!partitions.ok()) return partitions.status();
  std::map<TopicPartition, int64_t> offsets;
  for (int partition = 0; partition < *partitions; ++partition) offsets[{topic, partition}] = place;
  return Assign(offsets);
}

absl::StatusOr<std::unique_ptr<GroupConsumer>> GroupConsumer::Create(const GroupConsumerOptions& options) {
  auto consumer = std::make_unique<RdKafkaGroupConsumer>(options);
  if (absl::Status status = consumer->Start(); !status.ok()) return status;
  return std::unique_ptr<GroupConsumer>(std::move(consumer));
}

absl::StatusOr<std::unique_ptr<AssignedConsumer>> AssignedConsumer::Create(const AssignedConsumerOptions& options) {
  auto consumer = std::make_unique<RdKafkaAssignedConsumer>(options);
  if (absl::Status status = consumer->Start(); !status.ok()) return status;
  return std::unique_ptr<AssignedConsumer>(std::move(consumer));
}

}  // namespace stockalert::kafka
