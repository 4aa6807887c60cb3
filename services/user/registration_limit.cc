#include "services/user/registration_limit.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "services/common/base/error.h"

namespace stockalert::user {
namespace {

constexpr double kMicrosPerMinute = 60e6;

// The first four groups of an IPv6 address as it is written: what one customer usually has.
std::string NetworkOf(std::string_view address) {
  size_t end = 0;
  for (int groups = 0; end < address.size(); ++end) {
    if (address[end] == ':' && ++groups == 4) break;
  }
  return std::string(address.substr(0, end));
}

}  // namespace

std::string PeerWithoutPort(std::string_view peer) {
  if (peer.starts_with("ipv6:")) {
    // "ipv6:[::1]:123", its brackets sometimes percent-encoded.
    std::string_view address = peer.substr(5);
    for (const std::string_view bracket : {"[", "%5B"}) {
      if (address.starts_with(bracket)) address.remove_prefix(bracket.size());
    }
    for (const std::string_view bracket : {"]", "%5D"}) address = address.substr(0, address.find(bracket));
    return "ipv6:" + NetworkOf(address);
  }
  if (peer.starts_with("ipv4:")) return std::string(peer.substr(0, peer.rfind(':')));
  return std::string(peer);
}

RegistrationLimit::RegistrationLimit(int64_t per_minute, int64_t per_peer_per_minute, const base::Clock& clock, size_t peers_max)
    : per_minute_(per_minute), per_peer_per_minute_(per_peer_per_minute), clock_(clock), peers_max_(peers_max) {
  all_ = Bucket{static_cast<double>(per_minute_), clock_.NowUs()};
}

int64_t RegistrationLimit::Refill(Bucket& bucket, int64_t per_minute, int64_t now_us) {
  const double per_us = static_cast<double>(per_minute) / kMicrosPerMinute;
  const int64_t elapsed_us = std::max<int64_t>(0, now_us - bucket.filled_us);
  bucket.tokens = std::min(static_cast<double>(per_minute), bucket.tokens + static_cast<double>(elapsed_us) * per_us);
  bucket.filled_us = now_us;
  if (bucket.tokens >= 1.0) return 0;
  return static_cast<int64_t>(std::ceil((1.0 - bucket.tokens) / per_us));
}

absl::Status RegistrationLimit::Take(std::string_view peer) {
  const std::string key = PeerWithoutPort(peer);
  const int64_t now_us = clock_.NowUs();
  std::lock_guard lock(mutex_);
  if (peers_.size() >= peers_max_ && !peers_.contains(key)) {
    for (auto entry = peers_.begin(); entry != peers_.end();) {
      Refill(entry->second, per_peer_per_minute_, now_us);
      const bool full = entry->second.tokens >= static_cast<double>(per_peer_per_minute_);
      entry = full ? peers_.erase(entry) : std::next(entry);
    }
    // More peers at once than are remembered: the limit over all still holds.
    if (peers_.size() >= peers_max_) peers_.clear();
  }
  Bucket& own = peers_.try_emplace(key, Bucket{static_cast<double>(per_peer_per_minute_), now_us}).first->second;
  const int64_t wait_us = std::max(Refill(own, per_peer_per_minute_, now_us), Refill(all_, per_minute_, now_us));
  if (wait_us > 0) {
    return base::ResourceExhausted("REGISTRATION_RATE", "too many registrations at once: try again a little later",
                                   absl::Microseconds(wait_us));
  }
  own.tokens -= 1.0;
  all_.tokens -= 1.0;
  return absl::OkStatus();
}

}  // namespace stockalert::user
