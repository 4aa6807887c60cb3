#include "services/common/grpc/time_convert.h"

#include <catch2/catch.hpp>

namespace stockalert::rpc {
namespace {

google::protobuf::Timestamp Timestamp(int64_t seconds, int32_t nanos) {
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(seconds);
  timestamp.set_nanos(nanos);
  return timestamp;
}

google::protobuf::Duration Duration(int64_t seconds, int32_t nanos) {
  google::protobuf::Duration duration;
  duration.set_seconds(seconds);
  duration.set_nanos(nanos);
  return duration;
}

TEST_CASE("timestamps become microseconds and back, and invalid ones are refused") {
  CHECK(*TimestampToUs(Timestamp(1, 500'000'999), "t") == 1'500'000);
  CHECK(*TimestampToUs(Timestamp(0, 0), "t") == 0);
  CHECK(*TimestampToUs(Timestamp(253'402'300'799, 999'999'999), "t") == 253'402'300'799'999'999);
  for (const auto& bad : {Timestamp(-1, 0), Timestamp(253'402'300'800, 0), Timestamp(0, -1),
                          Timestamp(0, 1'000'000'000), Timestamp(INT64_MAX, 0), Timestamp(INT64_MIN, 0)}) {
    CHECK(TimestampToUs(bad, "t").status().code() == absl::StatusCode::kInvalidArgument);
  }
  for (const int64_t us : {int64_t{0}, int64_t{1}, int64_t{1'767'366'000'123'456}})
    CHECK(*TimestampToUs(TimestampFromUs(us), "t") == us);
  CHECK(TimestampFromUs(-1).seconds() == -1);
  CHECK(TimestampFromUs(-1).nanos() == 999'999'000);
}

TEST_CASE("durations become microseconds and back, and invalid ones are refused") {
  CHECK(*DurationToUs(Duration(2, 500'000'000), "d") == 2'500'000);
  CHECK(*DurationToUs(Duration(-2, -500'000'000), "d") == -2'500'000);
  for (const auto& bad : {Duration(1, -1), Duration(-1, 1), Duration(0, 1'000'000'000), Duration(INT64_MAX, 0),
                          Duration(INT64_MIN, 0), Duration(0, INT32_MIN)}) {
    CHECK(DurationToUs(bad, "d").status().code() == absl::StatusCode::kInvalidArgument);
  }
  for (const int64_t us : {int64_t{0}, int64_t{-1}, int64_t{3'600'000'001}})
    CHECK(*DurationToUs(DurationFromUs(us), "d") == us);
}

}  // namespace
}  // namespace stockalert::rpc
