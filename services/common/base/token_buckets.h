// How much each of many keys may do: a token bucket each, which fills at a steady rate.
//
// Thread-safe and bounded. Only full buckets are forgotten, which a key without one has, too. Where there are more keys
// than fit, those beyond share one bucket: so nobody gets a full one by bringing many others.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "absl/time/time.h"
#include "services/common/base/monotonic_clock.h"

namespace stockalert::base {

class TokenBuckets {
 public:
  struct Rate {
    double per_s = 1;  // How fast a bucket fills; above 0.
    double burst = 1;  // What a full one holds; at least 1.
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
  // The key's own bucket, or where it would have none the one that all have or share; under mutex_.
  Bucket& Find(const std::string& key, int64_t now_us);

  const MonotonicClock& clock_;
  const Rate rate_;
  const size_t keys_max_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Bucket> buckets_;  // Guarded by mutex_.
  Bucket shared_;                                    // Guarded by mutex_: of those beyond keys_max_.
  int64_t swept_us_ = 0;                             // Guarded by mutex_.
};

}  // namespace stockalert::base
