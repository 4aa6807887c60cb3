#include "services/common/grpc/time_convert.h"

#include "services/common/base/error.h"

namespace stockalert::rpc {
namespace {

constexpr int64_t kMicrosPerSecond = 1'000'000;
constexpr int64_t kTimestampSecondsMax = 253'402'300'799;  // 9999-12-31T23:59:59Z
constexpr int64_t kDurationSecondsMax = 100LL * 366 * 86'400;
constexpr int32_t kNanosMax = 999'999'999;

}  // namespace

absl::StatusOr<int64_t> TimestampToUs(const google::protobuf::Timestamp& timestamp, std::string_view field) {
  if (timestamp.seconds() < 0 || timestamp.seconds() > kTimestampSecondsMax || timestamp.nanos() < 0 ||
      timestamp.nanos() > kNanosMax) {
    return base::InvalidField(field, "must be a time from 1970 to 9999");
  }
  return timestamp.seconds() * kMicrosPerSecond + timestamp.nanos() / 1000;
}

google::protobuf::Timestamp TimestampFromUs(int64_t us) {
  int64_t seconds = us / kMicrosPerSecond;
  int64_t rest = us % kMicrosPerSecond;
  if (rest < 0) {
    rest += kMicrosPerSecond;
    --seconds;
  }
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(seconds);
  timestamp.set_nanos(static_cast<int32_t>(rest * 1000));
  return timestamp;
}

absl::StatusOr<int64_t> DurationToUs(const google::protobuf::Duration& duration, std::string_view field) {
  const bool in_range = duration.seconds() >= -kDurationSecondsMax && duration.seconds() <= kDurationSecondsMax &&
                        duration.nanos() >= -kNanosMax && duration.nanos() <= kNanosMax;
  const bool same_sign =
      !(duration.seconds() > 0 && duration.nanos() < 0) && !(duration.seconds() < 0 && duration.nanos() > 0);
  if (!in_range || !same_sign) return base::InvalidField(field, "must be a duration of at most 100 years");
  return duration.seconds() * kMicrosPerSecond + duration.nanos() / 1000;
}

google::protobuf::Duration DurationFromUs(int64_t us) {
  google::protobuf::Duration duration;
  duration.set_seconds(us / kMicrosPerSecond);
  duration.set_nanos(static_cast<int32_t>(us % kMicrosPerSecond * 1000));
  return duration;
}

}  // namespace stockalert::rpc
