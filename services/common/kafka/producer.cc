#include "services/common/kafka/producer.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>

#include <atomic>
#include <deque>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/common/kafka/client.h"
#include "services/common/log/log.h"
#include "services/common/process/liveness.h"

namespace stockalert::kafka {
namespace {

// How long a producer that is made anew may hold records back for those before them.
constexpr absl::Duration kRenewalPatience = absl::Seconds(5);

class RdKafkaProducer final : public Producer {
 public:
  explicit RdKafkaProducer(std::shared_ptr<prometheus::Registry> registry)
      : registry_(std::move(registry)),
        produced_(CounterFamily(registry_, "stockalert_kafka_produced_total", "Records acknowledged by the broker.")),
        failures_(
            CounterFamily(registry_, "stockalert_kafka_produce_failures_total", "Records that were not delivered.")) {}

  absl::Status Start(const ProducerOptions& options) {
    options_ = options;
    renewal_.emplace(options.security);
    if (absl::Status status = Make(&client_, &topics_); !status.ok()) return status;
    heartbeat_.Beat();
    answers_ = std::thread([this] {
      while (!stopping_.load(std::memory_order_relaxed)) {
        heartbeat_.Beat();
        rd_kafka_poll(client_, 100);
        if (renewal_->IsDue()) Renew();
      }
    });
    return absl::OkStatus();
  }

  absl::Status Make(rd_kafka_t** made, std::vector<rd_kafka_topic_t*>* topics) {
    const ProducerOptions& options = options_;
    Settings settings(options.bootstrap, options.security, options.client_id);
    settings.Set("acks", "all")
        .Set("enable.idempotence", "false")
        .Set("max.in.flight.requests.per.connection", "1")
        .Set("partitioner", "murmur2_random")
        .SetMs("message.timeout.ms", options.message_timeout)
        .SetMs("linger.ms", options.linger)
        .Set("request.timeout.ms", "10000")
        .Set("queue.buffering.max.messages", absl::StrCat(options.queue_messages_max))
        .Set("queue.buffering.max.kbytes", absl::StrCat(options.queue_kib_max))
        .Set(options.extra);
    rd_kafka_conf_set_opaque(settings.conf(), this);
    rd_kafka_conf_set_dr_msg_cb(settings.conf(), OnDelivery);
    rd_kafka_conf_set_error_cb(settings.conf(), OnError);
    absl::StatusOr<rd_kafka_t*> client = settings.New(RD_KAFKA_PRODUCER);
    if (!client.ok()) return client.status();
    *made = *client;
    // Having its handle makes librdkafka ask for a topic's partitions.
    for (const std::string& topic : options.topics) {
      if (rd_kafka_topic_t* handle = rd_kafka_topic_new(*made, topic.c_str(), nullptr)) topics->push_back(handle);
    }
    return absl::OkStatus();
  }

  ~RdKafkaProducer() override {
    if (client_ == nullptr) return;
    Flush(absl::Now() + absl::Seconds(1)).IgnoreError();
    stopping_ = true;
    answers_.join();
    heartbeat_.End();
    if (const int left = rd_kafka_outq_len(client_); left > 0) {
      log::Warning("Kafka producer ends with undelivered records: their callers are told, and publish them again",
                   {{"records", left}});
      rd_kafka_purge(client_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    }
    rd_kafka_flush(client_, 1000);  // Runs the callbacks of what was purged.
    Destroy(client_, topics_);
  }

  void ProduceAsync(const std::string& topic, std::string_view key, std::string_view value, const Headers& headers,
                    DeliveryCallback done) override {
    auto callback = std::make_unique<DeliveryCallback>(std::move(done));
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
    bool held = false;
    {
      base::ReaderLock lock(mutex_);
      held = holding_;
      if (!held) error = Send(topic, key, value, headers, callback);
    }
    if (held) {
      base::WriterLock lock(mutex_);
      if (!holding_) {
        error = Send(topic, key, value, headers, callback);
      } else if (held_.size() >= static_cast<size_t>(options_.queue_messages_max)) {
        error = RD_KAFKA_RESP_ERR__QUEUE_FULL;
      } else {
        held_.push_back({topic, std::string(key), std::string(value), headers, std::move(callback)});
        return;
      }
    }
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) Answer(*callback, topic, error, DeliveryReport{});
  }

  absl::Status Flush(absl::Time deadline) override {
    // rd_kafka_flush would run callbacks on this thread too: they are the answering thread's alone.
    const auto left = [this]() ABSL_LOCKS_EXCLUDED(mutex_) {
      base::ReaderLock lock(mutex_);
      return static_cast<size_t>(rd_kafka_outq_len(client_)) + held_.size();
    };
    const absl::Duration give_up = base::ToMonotonic(deadline);
    for (size_t records = left(); records > 0; records = left()) {
      if (base::MonotonicNow() >= give_up)
        return absl::DeadlineExceededError(absl::StrCat(records, " records are not acknowledged yet"));
      absl::SleepFor(absl::Milliseconds(1));
    }
    return absl::OkStatus();
  }

 private:
  struct Held {
    std::string topic, key, value;
    Headers headers;
    std::unique_ptr<DeliveryCallback> callback;
  };

  // A client that has read the TLS files that lie there now takes the place of the old one, once that has delivered
  // what it was given: so the order of records stays. Records that come meanwhile are held. Where the broker does not
  // take them in time, the old one stays, and the next look tries again.
  void Renew() {
    rd_kafka_t* other = nullptr;
    std::vector<rd_kafka_topic_t*> other_topics;
    Renewal renewal(options_.security);
    if (const absl::Status status = Make(&other, &other_topics); !status.ok()) {
      log::Error("Kafka producer: the swapped TLS files cannot be used; the old ones are still", {{"error", status}});
      return;
    }
    {
      base::WriterLock lock(mutex_);
      holding_ = true;
    }
    const absl::Duration give_up = base::MonotonicNow() + kRenewalPatience;
    while (rd_kafka_outq_len(client_) > 0 && base::MonotonicNow() < give_up && !stopping_) rd_kafka_poll(client_, 10);
    std::vector<std::pair<Held, rd_kafka_resp_err_t>> refused;
    bool renewed = false;
    {
      base::WriterLock lock(mutex_);
      if (rd_kafka_outq_len(client_) == 0) {
        std::swap(client_, other);
        std::swap(topics_, other_topics);
        renewed = true;
      }
      for (Held& record : held_) {
        const rd_kafka_resp_err_t error = Send(record.topic, record.key, record.value, record.headers, record.callback);
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR) refused.emplace_back(std::move(record), error);
      }
      held_.clear();
      holding_ = false;
    }
    for (const auto& [record, error] : refused) Answer(*record.callback, record.topic, error, DeliveryReport{});
    Destroy(other, other_topics);
    if (!renewed) return;
    renewal_.emplace(std::move(renewal));
    log::Info("Kafka producer: a new client uses the swapped TLS files", {{"client", options_.client_id}});
  }

  static void Destroy(rd_kafka_t* client, const std::vector<rd_kafka_topic_t*>& topics) {
    for (rd_kafka_topic_t* handle : topics) rd_kafka_topic_destroy(handle);
    rd_kafka_destroy(client);
  }

  // Takes the callback, unless the record is refused.
  rd_kafka_resp_err_t Send(const std::string& topic, std::string_view key, std::string_view value,
                           const Headers& headers, std::unique_ptr<DeliveryCallback>& callback)
      ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    rd_kafka_headers_t* raw_headers = nullptr;
    if (!headers.empty()) {
      raw_headers = rd_kafka_headers_new(headers.size());
      for (const Header& header : headers) {
        rd_kafka_header_add(raw_headers, header.name.data(), static_cast<ssize_t>(header.name.size()),
                            header.value.data(), static_cast<ssize_t>(header.value.size()));
      }
    }
    // librdkafka does not write to what it copies, but its signature has no const.
    const rd_kafka_resp_err_t error =
        rd_kafka_producev(client_, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                          RD_KAFKA_V_KEY(key.empty() ? nullptr : const_cast<char*>(key.data()), key.size()),
                          RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()),
                          RD_KAFKA_V_HEADERS(raw_headers), RD_KAFKA_V_OPAQUE(callback.get()), RD_KAFKA_V_END);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
      static_cast<void>(callback.release());  // OnDelivery has it now.
    } else if (raw_headers != nullptr) {
      rd_kafka_headers_destroy(raw_headers);
    }
    return error;  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): what was released is librdkafka's, until
                   // OnDelivery.
  }

  static void OnDelivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    auto* self = static_cast<RdKafkaProducer*>(opaque);
    std::unique_ptr<DeliveryCallback> done(static_cast<DeliveryCallback*>(message->_private));
    self->Answer(*done, message->rkt == nullptr ? "" : rd_kafka_topic_name(message->rkt), message->err,
                 DeliveryReport{message->partition, message->offset});
  }

  static void OnError(rd_kafka_t*, int error, const char* reason, void*) {
    static log::Limiter limiter(absl::Seconds(5));
    if (const auto suppressed = limiter.Allow()) {
      log::Warning("Kafka producer: the broker has a problem; records wait and are tried again",
                   {{"reason", reason},
                    {"error", rd_kafka_err2name(static_cast<rd_kafka_resp_err_t>(error))},
                    {"suppressed", *suppressed}});
    }
  }

  void Answer(const DeliveryCallback& done, const std::string& topic, rd_kafka_resp_err_t error,
              DeliveryReport delivery) {
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
      produced_.Add({{"topic", topic}}).Increment();
      if (done) done(delivery);
      return;
    }
    failures_.Add({{"topic", topic}, {"error", rd_kafka_err2name(error)}}).Increment();
    static log::Limiter limiter(absl::Seconds(5));
    if (const auto suppressed = limiter.Allow()) {
      log::Warning("Kafka: a record was not delivered; whoever produced it is told",
                   {{"topic", topic}, {"error", rd_kafka_err2str(error)}, {"suppressed", *suppressed}});
    }
    if (done) done(ToStatus(error, absl::StrCat("writing to ", topic)));
  }

  std::shared_ptr<prometheus::Registry> registry_;
  prometheus::Family<prometheus::Counter>& produced_;
  prometheus::Family<prometheus::Counter>& failures_;
  ProducerOptions options_;
  base::SharedMutex mutex_;
  rd_kafka_t* client_ = nullptr;           // Changed by the answering thread alone, under mutex_.
  std::vector<rd_kafka_topic_t*> topics_;  // Handles held so that their metadata is kept.
  bool holding_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Held> held_ ABSL_GUARDED_BY(mutex_);
  std::optional<Renewal> renewal_;  // The answering thread's.
  std::atomic<bool> stopping_{false};
  process::Heartbeat heartbeat_{"kafka_producer"};
  std::thread answers_;
};

// Shares the keys out between several.
class LaneProducer final : public Producer {
 public:
  explicit LaneProducer(std::vector<std::unique_ptr<Producer>> lanes) : lanes_(std::move(lanes)) {}

  // Side by side: each may take its second to flush.
  ~LaneProducer() override {
    std::vector<std::thread> ends;
    ends.reserve(lanes_.size());
    for (std::unique_ptr<Producer>& lane : lanes_) ends.emplace_back([&lane] { lane.reset(); });
    for (std::thread& end : ends) end.join();
  }

  void ProduceAsync(const std::string& topic, std::string_view key, std::string_view value, const Headers& headers,
                    DeliveryCallback done) override {
    // As partitions are chosen: where their number is a multiple of the lanes', a partition's records share requests.
    // No topic is looked at.
    const int32_t lane = rd_kafka_msg_partitioner_murmur2(nullptr, key.data(), key.size(),
                                                          static_cast<int32_t>(lanes_.size()), nullptr, nullptr);
    lanes_[static_cast<size_t>(lane)]->ProduceAsync(topic, key, value, headers, std::move(done));
  }

  absl::Status Flush(absl::Time deadline) override {
    absl::Status first;
    for (const auto& lane : lanes_) first.Update(lane->Flush(deadline));
    return first;
  }

 private:
  std::vector<std::unique_ptr<Producer>> lanes_;
};

}  // namespace

absl::StatusOr<DeliveryReport> Producer::ProduceAndWait(const std::string& topic, std::string_view key,
                                                        std::string_view value, const Headers& headers,
                                                        absl::Time deadline) {
  // Shared with the callback, which may come long after the deadline.
  struct Answer {
    base::Mutex mutex;
    base::ConditionVariable answered;
    std::optional<absl::StatusOr<DeliveryReport>> result ABSL_GUARDED_BY(mutex);
  };
  auto answer = std::make_shared<Answer>();
  ProduceAsync(topic, key, value, headers, [answer](const absl::StatusOr<DeliveryReport>& result) {
    base::MutexLock lock(answer->mutex);
    answer->result = result;
    answer->answered.NotifyOne();
  });
  base::MutexLock lock(answer->mutex);
  answer->answered.WaitFor(lock, deadline - absl::Now(),
                           [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(answer->mutex) { return answer->result.has_value(); });
  if (!answer->result) {
    return absl::DeadlineExceededError(absl::StrCat("no broker acknowledged the record for ", topic,
                                                    " within the call's deadline; it may still arrive"));
  }
  return *answer->result;
}

absl::StatusOr<std::unique_ptr<Producer>> CreateProducer(const ProducerOptions& options) {
  if (options.lanes < 1 || options.lanes > 16)
    return absl::InvalidArgumentError(absl::StrCat(options.lanes, " lanes: 1 to 16"));
  std::vector<std::unique_ptr<Producer>> lanes;
  for (int i = 0; i < options.lanes; ++i) {
    auto lane = std::make_unique<RdKafkaProducer>(options.registry);
    if (absl::Status status = lane->Start(options); !status.ok()) return status;
    lanes.push_back(std::move(lane));
  }
  if (lanes.size() == 1) return std::move(lanes.front());
  return std::make_unique<LaneProducer>(std::move(lanes));
}

}  // namespace stockalert::kafka
