// Where a call comes from: derives the client's address from what gRPC and proxies say, for logs and limits.
//
// Anybody can write `X-Forwarded-For`, so only the entries that trusted proxies wrote are believed. Pure and
// thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace stockalert::rpc {

// An IPv4 or IPv6 address. An IPv4-mapped IPv6 address (::ffff:192.0.2.1) is the IPv4 address.
class IpAddress {
 public:
  // "192.0.2.1", "2001:db8::1", "fe80::1%eth0" (the zone does not count). None for anything else, a port included.
  static std::optional<IpAddress> Parse(std::string_view text);

  bool is_v4() const { return v4_; }
  // Its normal form: "2001:db8::1".
  std::string ToString() const;
  // The network of its first bits, "2001:db8:1:2::/64"; more bits than it has are all of them.
  std::string Network(int bits) const;
  bool InNetwork(const IpAddress& network, int bits) const;
  bool operator==(const IpAddress&) const = default;

 private:
  int size() const { return v4_ ? 4 : 16; }
  std::array<uint8_t, 16> bytes_{};  // The first 4 of an IPv4 address.
  bool v4_ = false;
};

// The networks of proxies that are trusted: "10.0.0.0/8,192.0.2.7,2001:db8::/48".
class TrustedProxies {
 public:
  // INVALID_ARGUMENT says which is wrong. Empty: none.
  static absl::StatusOr<TrustedProxies> Parse(std::string_view networks);
  bool Contains(const IpAddress& address) const;
  bool empty() const { return networks_.empty(); }

 private:
  struct Network {
    IpAddress address;
    int bits = 0;
  };
  std::vector<Network> networks_;
};

// The address of "ipv4:192.0.2.1:41234" and "ipv6:%5B2001:db8::1%5D:41234", as gRPC names peers; none of "unix:/path".
std::optional<IpAddress> AddressOfPeer(std::string_view grpc_peer);

// The client's address. `forwarded_for` is the header with all its lines joined by commas. It is read from the end,
// proxy by proxy, as long as the writer of the entry is trusted; the first address that is not trusted is the client.
// If a trusted proxy wrote something that is not an address, that proxy counts as the client: anybody may have written
// the entries before. A peer without an address (a Unix socket) gives gRPC's name for it.
std::string ClientAddress(std::string_view grpc_peer, std::string_view forwarded_for, const TrustedProxies& trusted);

// The networks around an address of ClientAddress, the narrow one first: what one customer usually has, and the most
// that one may have. IPv4: /32, /24. IPv6: /64, /48. Other text: itself, twice.
struct ClientNetworks {
  std::string narrow;
  std::string wide;
};
ClientNetworks NetworksOf(std::string_view client_address);

}  // namespace stockalert::rpc
