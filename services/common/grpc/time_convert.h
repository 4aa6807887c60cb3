// Protobuf's Timestamp and Duration to and from microseconds. Pure and thread-safe.
#pragma once

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace stockalert::rpc {

// INVALID_ARGUMENT on `field`: outside of 1970 to 9999, or nanoseconds not from 0 to 999,999,999. Below a microsecond
// it is cut off.
absl::StatusOr<int64_t> TimestampToUs(const google::protobuf::Timestamp& timestamp, std::string_view field);
google::protobuf::Timestamp TimestampFromUs(int64_t us);

// INVALID_ARGUMENT on `field`: beyond ±100 years, or signs of seconds and nanoseconds that differ.
absl::StatusOr<int64_t> DurationToUs(const google::protobuf::Duration& duration, std::string_view field);
google::protobuf::Duration DurationFromUs(int64_t us);

}  // namespace stockalert::rpc
