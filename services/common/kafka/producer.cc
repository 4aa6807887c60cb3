#include "services/common/kafka/producer.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "services/common/kafka/client.h"
#include "services/common/log/log.h"

namespace stockalert::kafka {
namespace {

class RdKafkaProducer final : public Producer {
 public:
  explicit RdKafkaProducer(std::shared_ptr<prometheus::Registry> registry)
      : registry_(std::move(registry)),
        produced_(CounterFamily(registry_, "stockalert_kafka_produced_total", "Records acknowledged by the broker.")),
        failures_(CounterFamily(registry_, "stockalert_kafka_produce_failures_total", "Records that were not delivered.")) {}

  absl::Status Start(const ProducerOptions& options) {
    Settings settings(options.bootstrap, options.client_id);
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
    client_ = *client;
    // Having its handle makes librdkafka ask for a topic's partitions.
    for (const std::string& topic : options.topics) {
      if (rd_kafka_topic_t* handle = rd_kafka_topic_new(client_, topic.c_str(), nullptr)) topics_.push_back(handle);
    }
    answers_ = std::thread([this] {
      while (!stopping_.load(std::memory_order_relaxed)) rd_kafka_poll(client_, 100);
    });
    return absl::OkStatus();
  }

  ~RdKafkaProducer() override {
    if (client_ == nullptr) return;
    if (absl::Status flushed = Flush(absl::Now() + absl::Seconds(1)); !flushed.ok()) {
      log::Warning("Kafka producer ends with undelivered records: their callers are told, and publish them again",
                   {{"records", rd_kafka_outq_len(client_)}});
      rd_kafka_purge(client_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    }
    stopping_ = true;
    answers_.join();
    rd_kafka_flush(client_, 1000);  // Runs the callbacks of what was purged.
    for (rd_kafka_topic_t* handle : topics_) rd_kafka_topic_destroy(handle);
    rd_kafka_destroy(client_);
  }

  void ProduceAsync(const std::string& topic, std::string_view key, std::string_view value, const Headers& headers,
                    DeliveryCallback done) override {
    rd_kafka_headers_t* raw_headers = nullptr;
    if (!headers.empty()) {
      raw_headers = rd_kafka_headers_new(headers.size());
      for (const Header& header : headers) {
        rd_kafka_header_add(raw_headers, header.name.data(), static_cast<ssize_t>(header.name.size()), header.value.data(),
                            static_cast<ssize_t>(header.value.size()));
      }
    }
    auto* opaque = new DeliveryCallback(std::move(done));
    // librdkafka does not write to what it copies, but its signature has no const.
    const rd_kafka_resp_err_t error = rd_kafka_producev(
        client_, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(key.empty() ? nullptr : const_cast<char*>(key.data()), key.size()),
        RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()), RD_KAFKA_V_HEADERS(raw_headers),
        RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return;
    if (raw_headers != nullptr) rd_kafka_headers_destroy(raw_headers);
    std::unique_ptr<DeliveryCallback> owned(opaque);
    Answer(*owned, topic, error, Delivery{});
  }

  absl::Status Flush(absl::Time deadline) override {
    // rd_kafka_flush would run callbacks on this thread too: they are the answering thread's alone.
    while (rd_kafka_outq_len(client_) > 0) {
      if (absl::Now() >= deadline) {
        return absl::DeadlineExceededError(absl::StrCat(rd_kafka_outq_len(client_), " records are not acknowledged yet"));
      }
      absl::SleepFor(absl::Milliseconds(1));
    }
    return absl::OkStatus();
  }

 private:
  static void OnDelivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    auto* self = static_cast<RdKafkaProducer*>(opaque);
    std::unique_ptr<DeliveryCallback> done(static_cast<DeliveryCallback*>(message->_private));
    self->Answer(*done, message->rkt == nullptr ? "" : rd_kafka_topic_name(message->rkt), message->err,
                 Delivery{message->partition, message->offset});
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

  void Answer(const DeliveryCallback& done, const std::string& topic, rd_kafka_resp_err_t error, Delivery delivery) {
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
  rd_kafka_t* client_ = nullptr;
  std::vector<rd_kafka_topic_t*> topics_;  // Handles held so that their metadata is kept.
  std::atomic<bool> stopping_{false};
  std::thread answers_;
};

}  // namespace

absl::StatusOr<Delivery> Producer::ProduceAndWait(const std::string& topic, std::string_view key, std::string_view value,
                                                  const Headers& headers, absl::Time deadline) {
  // Shared with the callback, which may come long after the deadline.
  struct Answer {
    std::mutex mutex;
    std::condition_variable answered;
    std::optional<absl::StatusOr<Delivery>> result;
  };
  auto answer = std::make_shared<Answer>();
  ProduceAsync(topic, key, value, headers, [answer](const absl::StatusOr<Delivery>& result) {
    const std::lock_guard lock(answer->mutex);
    answer->result = result;
    answer->answered.notify_one();
  });
  std::unique_lock lock(answer->mutex);
  const absl::Duration patience = std::max(deadline - absl::Now(), absl::ZeroDuration());
  answer->answered.wait_for(lock, absl::ToChronoMicroseconds(patience), [&] { return answer->result.has_value(); });
  if (!answer->result) {
    return absl::DeadlineExceededError(absl::StrCat("no broker acknowledged the record for ", topic,
                                                    " within the call's deadline; it may still arrive"));
  }
  return *answer->result;
}

absl::StatusOr<std::unique_ptr<Producer>> CreateProducer(const ProducerOptions& options) {
  auto producer = std::make_unique<RdKafkaProducer>(options.registry);
  if (absl::Status status = producer->Start(options); !status.ok()) return status;
  return std::unique_ptr<Producer>(std::move(producer));
}

}  // namespace stockalert::kafka
