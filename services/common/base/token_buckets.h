// Rate limits by key: each key has a token bucket that fills at a steady rate.
//
// Thread-safe and bounded. Only full buckets are forgotten: a key without a bucket counts as having a full one. When
// there are more keys than fit, the rest share one bucket, so that nobody gets a full one by bringing many other keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "absl/time/time.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"

namespace stockalert::base {

class TokenBuckets {
 public:
  struct Rate {
    double per_s = 1;  // How fast a bucket fills; above 0.
    double burst = 1;  // What a full one holds; at least 1.
    // `count` a minute; all of them may come at once.
    static Rate PerMinute(int64_t count) { return {static_cast<double>(count) / 60.0, static_cast<double>(count)}; }
  };

  // `clock` must outlive it.
  TokenBuckets(const MonotonicClock& clock, const Rate& rate, size_t keys_max = 100'000);

  // None: the tokens were taken. Otherwise none were, and there will be enough of them after the returned time. Asking
  // for more than a full bucket holds asks for a full bucket.
  std::optional<absl::Duration> TryAcquire(const std::string& key, double tokens = 1);
  // What TryAcquire would return, without taking anything.
  std::optional<absl::Duration> TimeUntilAvailable(const std::string& key, double tokens = 1);
  // How full the key's bucket is, 0 to 1.
  double FillLevel(const std::string& key);
  const Rate& rate() const { return rate_; }
  size_t size() const;

 private:
  struct Bucket {
    double tokens = 0;
    int64_t as_of_us = 0;
  };
  double TokensAt(const Bucket& bucket, int64_t now_us) const;
  std::optional<absl::Duration> AcquireOrCheck(const std::string& key, double tokens, bool take);
  // The key's own bucket, made where there is room; else the shared one.
  Bucket& Find(const std::string& key, int64_t now_us) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const MonotonicClock& clock_;
  const Rate rate_;
  const size_t keys_max_;
  mutable Mutex mutex_;
  std::unordered_map<std::string, Bucket> buckets_ ABSL_GUARDED_BY(mutex_);
  Bucket shared_ ABSL_GUARDED_BY(mutex_);  // Of those beyond keys_max_.
  int64_t swept_us_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace stockalert::base
