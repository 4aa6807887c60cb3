#include "services/user/registration_limit.h"

#include <algorithm>
#include <optional>

#include "services/common/base/error.h"
#include "services/common/grpc/peer.h"

namespace stockalert::user {
namespace {

constexpr char kAll[] = "";
// How much of what a network registered counts against it, and for how long: a minute's allowance alone is full again
// before a flood is over.
constexpr base::TokenBuckets::Rate kRecent = {10.0 / 3600.0, 10.0};

}  // namespace

RegistrationLimit::RegistrationLimit(int64_t per_minute, int64_t per_peer_per_minute, const base::MonotonicClock& clock,
                                     size_t networks_max)
    : all_(clock, base::TokenBuckets::Rate::PerMinute(per_minute), 1),
      wide_(clock, base::TokenBuckets::Rate::PerMinute(kWidePerNarrow * per_peer_per_minute), networks_max),
      narrow_(clock, base::TokenBuckets::Rate::PerMinute(per_peer_per_minute), networks_max),
      recent_(clock, kRecent, networks_max) {}

absl::Status RegistrationLimit::TryAcquire(std::string_view peer) {
  const rpc::ClientNetworks networks = rpc::NetworksOf(peer);
  base::MutexLock lock(mutex_);
  // The wide one first: an address of a network that has nothing left is not even remembered.
  std::optional<absl::Duration> wait = wide_.TimeUntilAvailable(networks.wide);
  if (!wait) wait = narrow_.TimeUntilAvailable(networks.narrow);
  if (!wait) wait = all_.TimeUntilAvailable(kAll);
  if (!wait) {
    // Who has registered much in the last hour leaves the lower half of the whole to others, who has registered little
    // a part of it.
    const double needed = (1.0 - recent_.FillLevel(networks.wide)) / 2.0;
    const double left = all_.FillLevel(kAll);
    // The whole is full after a minute.
    if (left + 1e-9 < needed) wait = absl::Minutes(1) * (needed - left);
  }
  if (wait) {
    return base::ResourceExhausted("REGISTRATION_RATE", "too many registrations at once: try again a little later",
                                   std::max(*wait, absl::Milliseconds(1)));
  }
  wide_.TryAcquire(networks.wide);
  narrow_.TryAcquire(networks.narrow);
  recent_.TryAcquire(networks.wide);
  all_.TryAcquire(kAll);
  return absl::OkStatus();
}

}  // namespace stockalert::user
