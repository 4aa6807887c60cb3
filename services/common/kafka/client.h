// What producer, consumers and admin share: making a librdkafka client, its log lines, and its errors as absl::Status.
//
// Internal to this folder. Functions are thread-safe.
#pragma once

#include <librdkafka/rdkafka.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/kafka/producer.h"
#include "services/common/kafka/security.h"
#include "services/common/kafka/topic_admin.h"

namespace prometheus {
class Counter;
template <typename T>
class Family;
}  // namespace prometheus

namespace stockalert::kafka {

struct ConfDeleter {
  void operator()(rd_kafka_conf_t* conf) const { rd_kafka_conf_destroy(conf); }
};
struct ListDeleter {
  void operator()(rd_kafka_topic_partition_list_t* list) const { rd_kafka_topic_partition_list_destroy(list); }
};
struct QueueDeleter {
  void operator()(rd_kafka_queue_t* queue) const { rd_kafka_queue_destroy(queue); }
};
using PartitionList = std::unique_ptr<rd_kafka_topic_partition_list_t, ListDeleter>;
using Queue = std::unique_ptr<rd_kafka_queue_t, QueueDeleter>;

// Collects settings; the first that librdkafka refuses is what New answers with.
class Settings {
 public:
  Settings(const std::string& bootstrap, const Security& security, const std::string& client_id);
  Settings& Set(const std::string& name, const std::string& value);
  Settings& SetMs(const std::string& name, absl::Duration value);
  Settings& Set(const ExtraSettings& extra);
  rd_kafka_conf_t* conf() { return conf_.get(); }

  // The client; destroying it is the caller's.
  absl::StatusOr<rd_kafka_t*> New(rd_kafka_type_t type);

 private:
  std::unique_ptr<rd_kafka_conf_t, ConfDeleter> conf_;
  absl::Status status_;
};

// `what` says what was tried: "reading prices/3".
absl::Status ToStatus(rd_kafka_resp_err_t error, std::string_view what);

// At least 1 ms where positive: librdkafka's 0 means "do not wait".
int ToTimeoutMs(absl::Duration timeout);

// What an error says after "Kafka has no topic NAME": a broker does not tell the two apart.
inline constexpr char kNoTopic[] =
    ", or does not show it to this client: run stockalert-migrate, or see its rights (stockalert-migrate acls)";
// NOT_FOUND: the cluster has no such topic. Asking does not create it.
absl::StatusOr<TopicDescription> QueryTopic(rd_kafka_t* client, const std::string& topic, absl::Duration timeout);

absl::StatusOr<std::string> QueryClusterId(rd_kafka_t* client, absl::Duration timeout);

// A counter family in `registry`, or in a registry of its own where there is none.
prometheus::Family<prometheus::Counter>& CounterFamily(std::shared_ptr<prometheus::Registry>& registry,
                                                       const std::string& name, const std::string& help);

}  // namespace stockalert::kafka
