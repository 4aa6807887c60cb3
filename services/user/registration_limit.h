// How many users may be registered, by network and in all: RegisterUser needs no key, so it is the one call that
// anybody can flood.
//
// Token buckets that refill steadily. An address (IPv6: a /64) has its limit, and four times as much the network around
// it (IPv4: /24, IPv6: /48), so that one who has many addresses has not as many limits. Of the limit over all, the
// lower half is for those who took little in the last hour: the less they took, the more of it. So neither one network
// nor many can use it up, and whoever comes from elsewhere is let in. Who shares an address with a flood shares its
// limit, too; nothing tells them apart before they have a key.
//
// Thread-safe; remembers a bounded number of networks. A limit is this process's own: with n instances of the service
// it is n times as high.
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
  absl::Status Take(std::string_view peer);

 private:
  base::Mutex mutex_;  // What is asked of several buckets is taken from all of them.
  base::TokenBuckets all_;
  base::TokenBuckets wide_;
  base::TokenBuckets narrow_;
  base::TokenBuckets recent_;  // By the wide network.
};

}  // namespace stockalert::user
