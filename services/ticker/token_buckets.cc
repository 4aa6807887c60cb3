#include "services/ticker/token_buckets.h"

#include <algorithm>

namespace stockalert::ticker {
namespace {

constexpr double kMinuteUs = 60e6;

}  // namespace

TokenBuckets::TokenBuckets(const base::MonotonicClock& clock, int per_minute, size_t callers_max)
    : clock_(clock), capacity_(std::max(per_minute, 1)), callers_max_(callers_max) {}

double TokenBuckets::Filled(const Bucket& bucket, int64_t now_us) const {
  const double passed_us = static_cast<double>(std::max<int64_t>(now_us - bucket.as_of_us, 0));
  return std::min(capacity_, bucket.tokens + passed_us * capacity_ / kMinuteUs);
}

std::optional<absl::Duration> TokenBuckets::Take(const std::string& caller, int tokens) {
  const double wanted = std::min<double>(tokens, capacity_);
  const int64_t now_us = clock_.NowUs();
  std::lock_guard lock(mutex_);
  if (buckets_.size() >= callers_max_ && !buckets_.contains(caller)) {
    std::erase_if(buckets_, [&](const auto& entry) { return Filled(entry.second, now_us) >= capacity_; });
    // So many callers within a minute: none is remembered rather than one refused.
    if (buckets_.size() >= callers_max_) buckets_.clear();
  }
  Bucket& bucket = buckets_.try_emplace(caller, Bucket{capacity_, now_us}).first->second;
  bucket = {Filled(bucket, now_us), now_us};
  if (bucket.tokens < wanted) return absl::Microseconds((wanted - bucket.tokens) * kMinuteUs / capacity_);
  bucket.tokens -= wanted;
  return std::nullopt;
}

}  // namespace stockalert::ticker
