// How much each of many keys may do: a token bucket each, which fills at a steady rate.
//
// Thread-safe and bounded. Only full buckets are forgotten, which a key without one has, too. Where there are more keys
// than fit, those beyond share one bucket: so nobody gets a full one by bringing many others.
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
    // So many a minute, which may come at once.
    static Rate PerMinute(int64_t count) { return {static_cast<double>(count) / 60.0, static_cast<double>(count)}; }
  };

  // `clock` must outlive it.
  TokenBuckets(const MonotonicClock& clock, const Rate& rate, size_t keys_max = 100'000);

  // Takes the tokens, or none of them and answers after what time there will be enough. More than a full bucket holds
  // are as many as it holds.
  std::optional<absl::Duration> Take(const std::string& key, double tokens = 1);
  // What Take would answer, without taking.
  std::optional<absl::Duration> Wait(const std::string& key, double tokens = 1);
  // How full the key's bucket is, 0 to 1.
  double Level(const std::string& key);
  const Rate& rate() const { return rate_; }
  size_t size() const;

 private:
  struct Bucket {
    double tokens = 0;
    int64_t as_of_us = 0;
  };
  double Filled(const Bucket& bucket, int64_t now_us) const;
  std::optional<absl::Duration> Ask(const std::string& key, double tokens, bool take);
  // The key's own bucket, or where it would have none the one that all have or share.
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
