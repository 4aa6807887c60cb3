// Where a key's records go: the partition that every client with partitioner murmur2 (Java's, librdkafka's
// murmur2_random) chooses.
//
// Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace stockalert::kafka {

// `key` must not be empty (such records go anywhere); `partitions` > 0.
int32_t PartitionOf(std::string_view key, int partitions);

}  // namespace stockalert::kafka
