// Limits how many users may be registered, by network and in total: RegisterUser needs no key, so anybody can flood it.
//
// Token buckets that refill steadily. An address (IPv6: a /64) has its limit, and the network around it (IPv4: /24,
// IPv6: /48) has four times that, so that many addresses do not mean as many limits. The lower half of the total limit
// is reserved for networks that registered little in the last hour: the less, the more of it they may use. So no
// network, and no number of them, can use it up, and a newcomer from elsewhere is let in. Whoever shares an address
// with a flood shares its limit; nothing distinguishes them before they have a key.
//
// Thread-safe; remembers a bounded number of networks. Limits are per process: n instances of the service allow n times
// as much.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/common/base/token_buckets.h"

namespace stockalert::user {

class RegistrationLimit {
 public:
  // What a /24 or /48 may take, in limits of one address.
  static constexpr int64_t kWidePerNarrow = 4;

  RegistrationLimit(int64_t per_minute, int64_t per_peer_per_minute, const base::MonotonicClock& clock,
                    size_t networks_max = 10'000);

  // `peer` is the client's address as rpc::CallContext has it. RESOURCE_EXHAUSTED (REGISTRATION_RATE) with the delay
  // after which to try again.
  absl::Status TryAcquire(std::string_view peer);

 private:
  base::Mutex mutex_;  // What is asked of several buckets is taken from all of them.
  base::TokenBuckets all_;
  base::TokenBuckets wide_;
  base::TokenBuckets narrow_;
  base::TokenBuckets recent_;  // By the wide network.
};

}  // namespace stockalert::user
