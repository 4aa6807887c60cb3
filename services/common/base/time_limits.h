// Which numbers can be times.
#pragma once

#include <cstdint>

namespace stockalert::base {

// The last microsecond of the year 9999: a protobuf Timestamp holds no later time.
inline constexpr int64_t kTimeUsMax = 253'402'300'799'999'999;

}  // namespace stockalert::base
