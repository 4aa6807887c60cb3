// Decides where the notifier may send webhooks: to the Internet, but not into its own network.
//
// A URL is checked when it is registered (ParseUrl), so that its user learns what is wrong with it. What protects the
// network is MayConnect, which checks the real address of each connection, so that a name that resolves to another
// address later gains nothing. Pure (no name is resolved here), thread-safe.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace stockalert::notifier {

inline constexpr size_t kDestinationUrlBytesMax = 2000;

struct DestinationUrl {
  std::string url;    // To be requested: scheme and host in lower case, a numeric host as an address.
  std::string host;   // Without brackets: a name in lower case, or an address.
  int port = 0;       // The scheme's default if the URL has none.
  std::string shown;  // Without the parts that may be secret: "https://hooks.example.com/…".
};

class EgressGuard {
 public:
  // Only https to the Internet.
  EgressGuard() = default;
  // `allow`: networks that are always allowed, "10.20.0.0/16,fd00:1::/64,192.0.2.7"; if there are any, ParseUrl also
  // leaves names of internal networks ("receiver", "x.internal") to MayConnect. `allow_http`: URLs without TLS.
  // INVALID_ARGUMENT: names the text that is not a network.
  static absl::StatusOr<EgressGuard> Create(std::string_view allow, bool allow_http);

  // INVALID_ARGUMENT: not an absolute URL of at most kDestinationUrlBytesMax bytes, of https (or http, where allowed),
  // without user information and fragment. PERMISSION_DENIED: an address, a name or a port that nothing is sent to. A
  // host that libc would read as an address in any notation (decimal, octal, hexadecimal, short) is checked as that
  // address. The message is for the user: it says why, and contains nothing of the URL.
  absl::StatusOr<DestinationUrl> ParseUrl(std::string_view text) const;

  // Whether a connection to this peer may be opened. False for anything but IPv4 and IPv6.
  bool MayConnect(const sockaddr& peer) const;

 private:
  // IPv4 as ::ffff:a.b.c.d.
  using Address = std::array<uint8_t, 16>;
  struct Network {
    Address address = {};
    int bits = 0;
  };
  static absl::StatusOr<Network> ParseNetwork(std::string_view text);
  static bool Contains(const Network& network, const Address& address);
  bool MayReach(const Address& address) const;
  absl::StatusOr<std::string> JudgeHost(std::string_view host) const;
  absl::StatusOr<std::string> JudgeAddress(const Address& address) const;

  std::vector<Network> allowed_;
  bool allow_http_ = false;
};

}  // namespace stockalert::notifier
