// How many users may be registered, per peer and in all: RegisterUser needs no key, so it is the one call that anybody can flood.
//
// Token buckets that refill steadily. Thread-safe; remembers a bounded number of peers. A limit is this process's own: with n instances
// of the service it is n times as high.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/status.h"
#include "services/common/base/clock.h"

namespace stockalert::user {

class RegistrationLimit {
 public:
  RegistrationLimit(int64_t per_minute, int64_t per_peer_per_minute, const base::Clock& clock, size_t peers_max = 10'000);

  // `peer` as gRPC names it ("ipv4:127.0.0.1:41234"); its port does not count, and of an IPv6 address the first 64 bits do.
  // RESOURCE_EXHAUSTED (REGISTRATION_RATE) with the delay after which to try again.
  absl::Status Take(std::string_view peer);

 private:
  struct Bucket {
    double tokens = 0;
    int64_t filled_us = 0;
  };
  // How long until there is a token, in µs; 0: there is one.
  static int64_t Refill(Bucket& bucket, int64_t per_minute, int64_t now_us);

  const int64_t per_minute_;
  const int64_t per_peer_per_minute_;
  const base::Clock& clock_;
  const size_t peers_max_;
  std::mutex mutex_;
  Bucket all_;                                      // Guarded by mutex_.
  std::unordered_map<std::string, Bucket> peers_;  // Guarded by mutex_.
};

// "ipv4:127.0.0.1:41234" → "ipv4:127.0.0.1".
std::string PeerWithoutPort(std::string_view peer);

}  // namespace stockalert::user
