#include "services/common/kafka/partitioner.h"

#include <librdkafka/rdkafka.h>

namespace stockalert::kafka {

int32_t PartitionOf(std::string_view key, int partitions) {
  // librdkafka's own function, which looks at nothing but the key and the count.
  return rd_kafka_msg_partitioner_murmur2(nullptr, key.data(), key.size(), partitions, nullptr, nullptr);
}

}  // namespace stockalert::kafka
