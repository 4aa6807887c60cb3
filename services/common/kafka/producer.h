// Writes records to Kafka: acknowledged by all in-sync replicas, in order, partitioned by murmur2 as every client here
// does.
//
// Producer is the interface that services hold (tests/support has an in-memory one); CreateProducer makes the real one
// on librdkafka. Thread-safe. A record is never given up silently: each call ends in exactly one answer, and a failed
// one is counted (stockalert_kafka_produce_failures_total) and logged.
//
// A deadline of ProduceAndWait bounds the call alone: the record may still arrive afterwards, until `message_timeout`
// has passed. So does a retry: consumers deduplicate. Idempotence of the producer is off (librdkafka 2.0.2's fatal
// errors); with one request in flight a retry cannot reorder.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/kafka/message.h"
#include "services/common/kafka/security.h"

namespace prometheus {
class Registry;
}

namespace stockalert::kafka {

// Settings handed to librdkafka as they are, after ours.
using ExtraSettings = std::vector<std::pair<std::string, std::string>>;

struct ProducerOptions {
  std::string bootstrap;  // host:port,host:port
  Security security = {};
  std::string client_id;
  // How long librdkafka itself tries to deliver a record, retries included.
  absl::Duration message_timeout = absl::Seconds(30);
  // How long a record may wait for others to share its request.
  absl::Duration linger = absl::Milliseconds(1);
  // Connections to each broker, between which keys are shared out: a key keeps its own, and so its order. librdkafka
  // sends a request a partition, one after the other, so that on a single one the records of many partitions wait for
  // each other. 1 to 16.
  int lanes = 1;
  // The bounded queue of each lane: a record beyond it fails at once with RESOURCE_EXHAUSTED.
  int queue_messages_max = 100'000;
  int queue_kib_max = 64 * 1024;
  // Looked up as soon as a broker answers, so that the first record of each need not wait for that (about a second).
  std::vector<std::string> topics;
  ExtraSettings extra;
  std::shared_ptr<prometheus::Registry> registry;  // None: counted, but not exposed.
};

struct DeliveryReport {
  int32_t partition = 0;
  int64_t offset = 0;
};

// Runs once a record, on the producer's own thread (or the caller's, where the record is refused at once): must be
// quick, must not call the producer's waiting functions.
using DeliveryCallback = std::function<void(const absl::StatusOr<DeliveryReport>&)>;

class Producer {
 public:
  virtual ~Producer() = default;

  // Queues the record; `done` (may be empty) hears its end. Never blocks.
  // UNAVAILABLE: not delivered within message_timeout. RESOURCE_EXHAUSTED: the queue is full. INVALID_ARGUMENT: too
  // large, or no such topic or partition.
  virtual void ProduceAsync(const std::string& topic, std::string_view key, std::string_view value,
                            const Headers& headers, DeliveryCallback done) = 0;

  // Waits for the acknowledgement, at most until `deadline`. DEADLINE_EXCEEDED: no answer yet, the record may still
  // arrive.
  absl::StatusOr<DeliveryReport> ProduceAndWait(const std::string& topic, std::string_view key, std::string_view value,
                                                const Headers& headers, absl::Time deadline);

  // Waits until everything queued has been answered. DEADLINE_EXCEEDED where that takes longer.
  virtual absl::Status Flush(absl::Time deadline) = 0;
};

// INVALID_ARGUMENT for settings that librdkafka refuses. The broker need not be there yet. Destruction flushes for at
// most a second and answers what is left with CANCELLED.
absl::StatusOr<std::unique_ptr<Producer>> CreateProducer(const ProducerOptions& options);

}  // namespace stockalert::kafka
