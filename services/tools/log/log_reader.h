// Reads partitions of `prices` to their ends, or on and on, and prints them. Used by main alone.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/kafka/producer.h"

namespace stockalert::logtool {

struct LogReaderOptions {
  std::string kafka_bootstrap;
  kafka::Security kafka_security;
  // One symbol's records; its partition is found. Empty: all.
  std::string symbol;
  // One partition; none: the symbol's, or all, one after the other.
  std::optional<int32_t> partition;
  // Where to begin; none: at the oldest record.
  std::optional<int64_t> from_offset;
  // Goes on at the end until the output is closed or the process ended; partitions are mixed then.
  bool follow = false;
  absl::Duration timeout = absl::Seconds(15);
  kafka::ExtraSettings extra;
};

// Writes to `out`; to `notes` a line about what was left out. UNAVAILABLE: the broker does not answer. DATA_LOSS: a
// record that cannot be understood; what came before it has been printed. CANCELLED: `out` is closed.
absl::Status ReadLog(const LogReaderOptions& options, std::FILE* out, std::FILE* notes);

}  // namespace stockalert::logtool
