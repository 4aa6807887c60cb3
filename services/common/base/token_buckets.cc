#include "services/common/base/token_buckets.h"

#include <algorithm>

namespace stockalert::base {
namespace {

// Looking through all buckets takes a moment: not for every key that finds no place.
constexpr int64_t kSweepIntervalUs = 1'000'000;

}  // namespace

TokenBuckets::TokenBuckets(const MonotonicClock& clock, const Rate& rate, size_t keys_max)
    : clock_(clock), rate_(rate), keys_max_(keys_max), shared_{rate.burst, clock.NowUs()} {}

double TokenBuckets::TokensAt(const Bucket& bucket, int64_t now_us) const {
  const double passed_s = static_cast<double>(std::max<int64_t>(now_us - bucket.as_of_us, 0)) / 1e6;
  return std::min(rate_.burst, bucket.tokens + passed_s * rate_.per_s);
}

TokenBuckets::Bucket& TokenBuckets::Find(const std::string& key, int64_t now_us) {
  const auto found = buckets_.find(key);
  if (found != buckets_.end()) return found->second;
  if (buckets_.size() >= keys_max_ && now_us - swept_us_ >= kSweepIntervalUs) {
    swept_us_ = now_us;
    std::erase_if(buckets_, [&](const auto& entry) { return TokensAt(entry.second, now_us) >= rate_.burst; });
  }
  if (buckets_.size() >= keys_max_) return shared_;
  return buckets_.try_emplace(key, Bucket{rate_.burst, now_us}).first->second;
}

std::optional<absl::Duration> TokenBuckets::AcquireOrCheck(const std::string& key, double tokens, bool take) {
  const double wanted = std::min(tokens, rate_.burst);
  const int64_t now_us = clock_.NowUs();
  MutexLock lock(mutex_);
  Bucket& bucket = Find(key, now_us);
  bucket = {TokensAt(bucket, now_us), now_us};
  // Rounding must not make one who waited as long as was said wait again.
  if (bucket.tokens + 1e-6 < wanted) return absl::Microseconds((wanted - bucket.tokens) / rate_.per_s * 1e6 + 1);
  if (take) bucket.tokens = std::max(0.0, bucket.tokens - wanted);
  return std::nullopt;
}

std::optional<absl::Duration> TokenBuckets::TryAcquire(const std::string& key, double tokens) {
  return AcquireOrCheck(key, tokens, true);
}

std::optional<absl::Duration> TokenBuckets::TimeUntilAvailable(const std::string& key, double tokens) {
  return AcquireOrCheck(key, tokens, false);
}

double TokenBuckets::FillLevel(const std::string& key) {
  const int64_t now_us = clock_.NowUs();
  MutexLock lock(mutex_);
  return TokensAt(Find(key, now_us), now_us) / rate_.burst;
}

size_t TokenBuckets::size() const {
  MutexLock lock(mutex_);
  return buckets_.size();
}

}  // namespace stockalert::base
