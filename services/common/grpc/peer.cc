#include "services/common/grpc/peer.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/abseil.h"

namespace stockalert::rpc {
namespace {

// More entries than any chain of proxies writes are somebody's play.
constexpr int kHopsMax = 32;
// The longest address in text, with a port and a zone.
constexpr size_t kAddressBytesMax = 100;
constexpr std::array<uint8_t, 12> kMappedV4 = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool IsPort(std::string_view text) {
  return !text.empty() && text.size() <= 5 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// An address as proxies write it: bare, with a port, in brackets, in quotes.
std::optional<IpAddress> ParseHop(std::string_view text) {
  text = Trim(text);
  if (text.size() > kAddressBytesMax) return std::nullopt;
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && (rest.front() != ':' || !IsPort(rest.substr(1)))) return std::nullopt;
    const std::optional<IpAddress> address = IpAddress::Parse(text.substr(1, end - 1));
    return address;
  }
  // One colon alone parts an IPv4 address from its port.
  const size_t colon = text.find(':');
  if (colon != std::string_view::npos && text.find(':', colon + 1) == std::string_view::npos) {
    if (!IsPort(text.substr(colon + 1))) return std::nullopt;
    text = text.substr(0, colon);
  }
  return IpAddress::Parse(text);
}

}  // namespace

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  if (text.size() > kAddressBytesMax) return std::nullopt;
  const bool has_colon = text.find(':') != std::string_view::npos;
  if (const size_t zone = text.find('%'); zone != std::string_view::npos) {
    if (!has_colon || zone + 1 == text.size()) return std::nullopt;
    text = text.substr(0, zone);
  }
  const std::string copy(text);  // Ends in NUL, as inet_pton wants it.
  if (copy.find('\0') != std::string::npos) return std::nullopt;
  IpAddress address;
  if (!has_colon) {
    if (inet_pton(AF_INET, copy.c_str(), address.bytes_.data()) != 1) return std::nullopt;
    address.v4_ = true;
    return address;
  }
  if (inet_pton(AF_INET6, copy.c_str(), address.bytes_.data()) != 1) return std::nullopt;
  if (std::equal(kMappedV4.begin(), kMappedV4.end(), address.bytes_.begin())) {
    IpAddress v4;
    v4.v4_ = true;
    std::copy(address.bytes_.begin() + 12, address.bytes_.end(), v4.bytes_.begin());
    return v4;
  }
  return address;
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(v4_ ? AF_INET : AF_INET6, bytes_.data(), text, sizeof(text));
  return text;
}

std::string IpAddress::Network(int bits) const {
  bits = std::min(bits, size() * 8);
  IpAddress network = *this;
  for (int i = 0; i < size(); ++i) {
    const int kept = std::clamp(bits - i * 8, 0, 8);
    network.bytes_[static_cast<size_t>(i)] &= static_cast<uint8_t>(0xff00 >> kept);
  }
  return absl::StrCat(network.ToString(), "/", bits);
}

bool IpAddress::InNetwork(const IpAddress& network, int bits) const {
  if (v4_ != network.v4_) return false;
  for (int i = 0; i < size() && bits > i * 8; ++i) {
    const auto mask = static_cast<uint8_t>(0xff00 >> std::min(bits - i * 8, 8));
    const auto at = static_cast<size_t>(i);
    if (((bytes_[at] ^ network.bytes_[at]) & mask) != 0) return false;
  }
  return true;
}

absl::StatusOr<TrustedProxies> TrustedProxies::Parse(std::string_view networks) {
  TrustedProxies trusted;
  while (!networks.empty()) {
    const size_t comma = networks.find(',');
    const std::string_view one = Trim(networks.substr(0, comma));
    networks = comma == std::string_view::npos ? "" : networks.substr(comma + 1);
    const size_t slash = one.find('/');
    const std::optional<IpAddress> address = IpAddress::Parse(one.substr(0, slash));
    int bits = address && address->is_v4() ? 32 : 128;
    bool good = address.has_value();
    if (good && slash != std::string_view::npos) {
      const std::string_view text = one.substr(slash + 1);
      const int bits_max = bits;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
      good = error == std::errc() && end == text.data() + text.size() && bits >= 0 && bits <= bits_max;
    }
    // Its own network: a bit beyond is a typing error that would trust others than was meant.
    if (good) good = address->Network(bits) == absl::StrCat(address->ToString(), "/", bits);
    if (!good) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", base::ToAbsl(one),
                       "' is no network: write 10.0.0.0/8, 192.0.2.7 or 2001:db8::/48, no bit set behind the prefix"));
    }
    trusted.networks_.push_back({*address, bits});
  }
  return trusted;
}

bool TrustedProxies::Contains(const IpAddress& address) const {
  return std::any_of(networks_.begin(), networks_.end(),
                     [&](const Network& network) { return address.InNetwork(network.address, network.bits); });
}

std::optional<IpAddress> AddressOfPeer(std::string_view grpc_peer) {
  if (grpc_peer.starts_with("ipv4:")) return ParseHop(grpc_peer.substr(5));
  if (!grpc_peer.starts_with("ipv6:")) return std::nullopt;
  // A URI, whose brackets and zone may be percent-encoded.
  std::string text(grpc_peer.substr(5));
  for (const auto& [code, character] :
       {std::pair{"%5B", "["}, {"%5b", "["}, {"%5D", "]"}, {"%5d", "]"}, {"%25", "%"}}) {
    for (size_t at = text.find(code); at != std::string::npos; at = text.find(code, at + 1))
      text.replace(at, 3, character);
  }
  return ParseHop(text);
}

std::string ClientAddress(std::string_view grpc_peer, std::string_view forwarded_for, const TrustedProxies& trusted) {
  std::optional<IpAddress> client = AddressOfPeer(grpc_peer);
  if (!client) return std::string(grpc_peer.substr(0, kAddressBytesMax));
  for (int hop = 0; hop < kHopsMax && !forwarded_for.empty() && trusted.Contains(*client); ++hop) {
    const size_t comma = forwarded_for.rfind(',');
    const std::optional<IpAddress> before =
        ParseHop(comma == std::string_view::npos ? forwarded_for : forwarded_for.substr(comma + 1));
    if (!before) break;
    client = before;
    forwarded_for = comma == std::string_view::npos ? "" : forwarded_for.substr(0, comma);
  }
  return client->ToString();
}

ClientNetworks NetworksOf(std::string_view client_address) {
  const std::optional<IpAddress> address = IpAddress::Parse(client_address);
  if (!address) return {std::string(client_address), std::string(client_address)};
  return address->is_v4() ? ClientNetworks{address->Network(32), address->Network(24)}
                          : ClientNetworks{address->Network(64), address->Network(48)};
}

}  // namespace stockalert::rpc
