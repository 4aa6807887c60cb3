// Pauses between retries: exponential, bounded, with jitter from an injected source of randomness. Not thread-safe.
#pragma once

#include <functional>

#include "absl/time/time.h"

namespace stockalert::base {

struct BackoffOptions {
  absl::Duration initial = absl::Milliseconds(50);
  absl::Duration maximum = absl::Seconds(2);
  double factor = 2.0;
  // A pause is drawn from [pause × (1 − jitter), pause].
  double jitter = 0.5;
};

// Uniform in [0, 1); not for secrets. Thread-safe.
double RandomFraction();

class Backoff {
 public:
  explicit Backoff(const BackoffOptions& options, std::function<double()> random_fraction = RandomFraction);

  // The pause before the next try.
  absl::Duration Next();
  // After a success.
  void Reset();

 private:
  const BackoffOptions options_;
  const std::function<double()> random_fraction_;
  absl::Duration pause_;
};

}  // namespace stockalert::base
