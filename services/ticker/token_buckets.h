// How much each of many callers may do: a token bucket each, which fills at a steady rate.
//
// Thread-safe and bounded: callers that have not used theirs are forgotten.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "absl/time/time.h"
#include "services/common/base/monotonic_clock.h"

namespace stockalert::ticker {

class TokenBuckets {
 public:
  // A full bucket has `per_minute` tokens and gets as many a minute. `clock` must outlive it.
  TokenBuckets(const base::MonotonicClock& clock, int per_minute, size_t callers_max = 100'000);

  // Takes `tokens`, or none of them and answers after what time there will be enough. More than a full bucket has are
  // as many as it has.
  std::optional<absl::Duration> Take(const std::string& caller, int tokens);

 private:
  struct Bucket {
    double tokens = 0;
    int64_t as_of_us = 0;
  };
  double Filled(const Bucket& bucket, int64_t now_us) const;

  const base::MonotonicClock& clock_;
  const double capacity_;
  const size_t callers_max_;
  std::mutex mutex_;
  std::unordered_map<std::string, Bucket> buckets_;  // Guarded by mutex_. A caller without one has a full one.
};

}  // namespace stockalert::ticker
