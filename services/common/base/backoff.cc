#include "services/common/base/backoff.h"

#include <algorithm>
#include <random>
#include <utility>

namespace stockalert::base {

double RandomFraction() {
  thread_local std::mt19937_64 generator(std::random_device{}());
  return std::uniform_real_distribution<double>(0.0, 1.0)(generator);
}

Backoff::Backoff(const BackoffOptions& options, std::function<double()> random_fraction)
    : options_(options), random_fraction_(std::move(random_fraction)), pause_(options.initial) {}

absl::Duration Backoff::Next() {
  const absl::Duration full = std::min(pause_, options_.maximum);
  pause_ = std::min(full * options_.factor, options_.maximum);
  return full * (1.0 - options_.jitter * random_fraction_());
}

void Backoff::Reset() { pause_ = options_.initial; }

}  // namespace stockalert::base
