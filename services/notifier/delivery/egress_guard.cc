#include "services/notifier/delivery/egress_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/base/abseil.h"

namespace stockalert::notifier {
namespace {

using Bytes16 = std::array<uint8_t, 16>;

constexpr size_t kNetworksMax = 100;
constexpr size_t kNameBytesMax = 253;
constexpr size_t kLabelBytesMax = 63;

// IPv4 networks that are not the Internet (IANA's registry of special-purpose addresses, multicast and reserved), and
// an address that one cloud uses internally on every machine.
constexpr const char* kRefusedIpv4[] = {
    "0.0.0.0/8",         // This network; 0.0.0.0 is this machine.
    "10.0.0.0/8",        // Private.
    "100.64.0.0/10",     // Shared by a provider's customers; one cloud's metadata.
    "127.0.0.0/8",       // Loopback.
    "168.63.129.16/32",  // Azure's platform, from within it.
    "169.254.0.0/16",    // Link-local; most clouds' metadata.
    "172.16.0.0/12",     // Private.
    "192.0.0.0/24",      // Protocols; one cloud's metadata.
    "192.0.2.0/24",      // Documentation.
    "192.88.99.0/24",    // Relays of 6to4.
    "192.168.0.0/16",    // Private.
    "198.18.0.0/15",     // Benchmarks.
    "198.51.100.0/24",   // Documentation.
    "203.0.113.0/24",    // Documentation.
    "224.0.0.0/4",       // Multicast.
    "240.0.0.0/4",       // Reserved; broadcast.
};

// Networks within the assigned IPv6 space (2000::/3); everything outside it is refused: loopback, link-local, unique
// local, multicast, and the forms that were for IPv4 (::a.b.c.d, ::ffff:0:a.b.c.d, 64:ff9b:1::/48).
constexpr const char* kRefusedIpv6[] = {
    "2001::/23",      // Protocols: Teredo, which leads to an IPv4 address; benchmarks; ORCHID.
    "2001:db8::/32",  // Documentation.
    "2002::/16",      // 6to4, which leads to an IPv4 address.
    "3fff::/20",      // Documentation.
};

// Ports of well-known services other than HTTP, so that we send them nothing that they could take for their protocol.
constexpr uint16_t kRefusedPorts[] = {
    0,    1,    7,    9,    11,   13,   15,   17,   19,   20,   21,   22,   23,    25,    37,    42,   43,   53,
    69,   77,   79,   87,   95,   101,  102,  103,  104,  109,  110,  111,  113,   115,   117,   119,  123,  135,
    137,  138,  139,  143,  161,  162,  179,  389,  427,  445,  465,  512,  513,   514,   515,   526,  530,  531,
    532,  540,  548,  554,  556,  563,  587,  601,  636,  873,  989,  990,  993,   995,   1433,  1521, 1719, 1720,
    1723, 2049, 2181, 2379, 2380, 3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432,  5672,  5900,  6000, 6379, 6432,
    6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9042, 9092, 9093, 9094, 10080, 11211, 27017,
};

// Names that only internal networks resolve.
constexpr const char* kInternalSuffixes[] = {
    "localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa", "svc",
};

Bytes16 Mapped(uint32_t ipv4) {
  return {0,
          0,
          0,
          0,
          0,
          0,
          0,
          0,
          0,
          0,
          0xff,
          0xff,
          static_cast<uint8_t>(ipv4 >> 24),
          static_cast<uint8_t>(ipv4 >> 16),
          static_cast<uint8_t>(ipv4 >> 8),
          static_cast<uint8_t>(ipv4)};
}

uint32_t LastFour(const Bytes16& address) {
  return (uint32_t{address[12]} << 24) | (uint32_t{address[13]} << 16) | (uint32_t{address[14]} << 8) | address[15];
}

bool BeginsWith(const Bytes16& address, const Bytes16& prefix, int bits) {
  const int bytes = bits / 8;
  if (std::memcmp(address.data(), prefix.data(), static_cast<size_t>(bytes)) != 0) return false;
  if (bits % 8 == 0) return true;
  const auto mask = static_cast<uint8_t>(0xff << (8 - bits % 8));
  const auto at = static_cast<size_t>(bytes);
  return (address[at] & mask) == (prefix[at] & mask);
}

bool IsMapped(const Bytes16& address) { return BeginsWith(address, Mapped(0), 96); }

// 64:ff9b::a.b.c.d: the address of an IPv4-only host in an IPv6-only network.
bool IsNat64(const Bytes16& address) { return BeginsWith(address, {0x00, 0x64, 0xff, 0x9b}, 96); }

// …:0:5efe:a.b.c.d or …:200:5efe:a.b.c.d, within any network.
bool IsIsatap(const Bytes16& address) {
  return (address[8] & 0xfd) == 0 && address[9] == 0 && address[10] == 0x5e && address[11] == 0xfe;
}

std::optional<Bytes16> ParseStrictAddress(const std::string& text) {
  in_addr ipv4 = {};
  if (inet_pton(AF_INET, text.c_str(), &ipv4) == 1) return Mapped(ntohl(ipv4.s_addr));
  Bytes16 ipv6 = {};
  if (inet_pton(AF_INET6, text.c_str(), ipv6.data()) == 1) return ipv6;
  return std::nullopt;
}

std::string AddressText(const Bytes16& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (IsMapped(address)) {
    const in_addr ipv4{htonl(LastFour(address))};
    inet_ntop(AF_INET, &ipv4, text, sizeof(text));
  } else {
    inet_ntop(AF_INET6, address.data(), text, sizeof(text));
  }
  return text;
}

// One part of an address as inet_aton reads it: decimal, 0 octal, 0x hexadecimal.
std::optional<uint64_t> ParsePart(std::string_view text) {
  uint64_t base = 10;
  if (text.size() > 1 && text[0] == '0') {
    const bool hex = text[1] == 'x';
    base = hex ? 16 : 8;
    text.remove_prefix(hex ? 2 : 1);
  }
  if (text.empty()) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : (c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99);
    if (static_cast<uint64_t>(digit) >= base) return std::nullopt;
    value = value * base + static_cast<uint64_t>(digit);
    if (value > 0xffffffff) return std::nullopt;
  }
  return value;
}

// Whether libc could read it as a number: then it is not the last label of a domain.
bool IsNumeric(std::string_view label) {
  if (label.starts_with("0x")) {
    return std::all_of(label.begin() + 2, label.end(),
                       [](char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); });
  }
  return std::all_of(label.begin(), label.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Like inet_aton: one to four parts, of which the last has all remaining bytes.
std::optional<uint32_t> ParseLooseIpv4(const std::vector<std::string>& parts) {
  if (parts.size() > 4) return std::nullopt;
  uint64_t value = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::optional<uint64_t> part = ParsePart(parts[i]);
    const size_t bytes = i + 1 < parts.size() ? 1 : 5 - parts.size();
    if (!part || (*part >> (8 * bytes)) != 0) return std::nullopt;
    value = (value << (8 * bytes)) | *part;
  }
  return static_cast<uint32_t>(value);
}

bool IsLabel(std::string_view label) {
  return !label.empty() && label.size() <= kLabelBytesMax && label.front() != '-' && label.back() != '-' &&
         std::all_of(label.begin(), label.end(), [](char c) {
           return absl::ascii_islower(static_cast<unsigned char>(c)) ||
                  absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-' || c == '_';
         });
}

bool IsInternalName(absl::string_view name) {
  if (!absl::StrContains(name, '.')) return true;
  return std::any_of(std::begin(kInternalSuffixes), std::end(kInternalSuffixes),
                     [&](const char* suffix) { return absl::EndsWith(name, absl::StrCat(".", suffix)); });
}

absl::Status Wrong(absl::string_view what) { return absl::InvalidArgumentError(what); }
absl::Status Refused(absl::string_view what) { return absl::PermissionDeniedError(what); }

// The parts of a URL. The text is printable ASCII.
struct SplitUrl {
  bool tls = true;
  std::string host;  // In lower case; with its brackets, if any.
  std::optional<std::string> port;
  std::string rest;  // From the path on; begins with '/'.
};

absl::StatusOr<SplitUrl> Split(std::string_view text) {
  const std::string lower = absl::AsciiStrToLower(base::ToAbsl(text));
  SplitUrl url;
  url.tls = absl::StartsWith(lower, "https://");
  if (!url.tls && !absl::StartsWith(lower, "http://")) return Wrong("must begin with https://");
  const size_t begin = url.tls ? 8 : 7;
  const size_t end = std::min(lower.find_first_of("/?", begin), lower.size());
  const std::string authority = lower.substr(begin, end - begin);
  if (absl::StrContains(authority, '@')) return Wrong("must not contain user information");
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.find(':', bracket == std::string::npos ? 0 : bracket);
  url.host = authority.substr(0, colon);
  if (colon != std::string::npos) url.port = authority.substr(colon + 1);
  url.rest = std::string(text.substr(end));
  if (url.rest.empty() || url.rest[0] != '/') url.rest.insert(url.rest.begin(), '/');
  return url;
}

absl::StatusOr<int> JudgePort(const SplitUrl& url) {
  if (!url.port) return url.tls ? 443 : 80;
  int port = 0;
  const bool digits = !url.port->empty() && url.port->size() <= 5 &&
                      std::all_of(url.port->begin(), url.port->end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || !absl::SimpleAtoi(*url.port, &port) || port > 65535) return Wrong("has an invalid port");
  if (std::find(std::begin(kRefusedPorts), std::end(kRefusedPorts), port) != std::end(kRefusedPorts)) {
    return Refused("has the port of a service other than HTTP, to which this installation does not send");
  }
  return port;
}

absl::Status CheckCharacters(std::string_view text) {
  constexpr std::string_view kNotInUrls = "\"<>\\^`{|}";
  if (text.empty()) return Wrong("must not be empty");
  if (text.size() > kDestinationUrlBytesMax) return Wrong("must have at most 2000 characters");
  for (const char c : text) {
    if (c < 0x21 || c > 0x7e || kNotInUrls.find(c) != std::string_view::npos) {
      return Wrong("contains a character that URLs cannot: percent-encode it, or in a host name write it as xn--");
    }
    if (c == '#') return Wrong("must not contain a fragment");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EgressGuard::Network> EgressGuard::ParseNetwork(std::string_view text) {
  const std::string all(text);
  const size_t slash = all.find('/');
  const std::optional<Bytes16> address = ParseStrictAddress(all.substr(0, slash));
  const absl::Status wrong =
      absl::InvalidArgumentError(absl::StrCat("\"", all, "\" is not a network such as 10.1.0.0/16"));
  if (!address) return wrong;
  const int before = all.find(':') == std::string::npos ? 96 : 0;
  Network network{*address, 128};
  if (slash != std::string::npos) {
    const std::string length = all.substr(slash + 1);
    int bits = 0;
    if (length.empty() || length.size() > 3 || !absl::ascii_isdigit(static_cast<unsigned char>(length[0])) ||
        !absl::SimpleAtoi(length, &bits) || bits > 128 - before) {
      return wrong;
    }
    network.bits = before + bits;
  }
  for (int bit = network.bits; bit < 128; ++bit) {
    if ((network.address[static_cast<size_t>(bit / 8)] >> (7 - bit % 8)) & 1) return wrong;
  }
  return network;
}

bool EgressGuard::Contains(const Network& network, const Address& address) {
  return BeginsWith(address, network.address, network.bits);
}

absl::StatusOr<EgressGuard> EgressGuard::Create(std::string_view allow, bool allow_http) {
  EgressGuard guard;
  guard.allow_http_ = allow_http;
  if (absl::StripAsciiWhitespace(base::ToAbsl(allow)).empty()) return guard;
  for (const absl::string_view part : absl::StrSplit(base::ToAbsl(allow), ',')) {
    absl::StatusOr<Network> network = ParseNetwork(base::ToStd(absl::StripAsciiWhitespace(part)));
    if (!network.ok()) return network.status();
    if (guard.allowed_.size() >= kNetworksMax) return absl::InvalidArgumentError("more than 100 networks");
    guard.allowed_.push_back(*network);
  }
  return guard;
}

bool EgressGuard::MayReach(const Address& address) const {
  static const std::vector<Network> refused = [] {
    std::vector<Network> networks;
    for (const char* text : kRefusedIpv4) networks.push_back(ParseNetwork(text).value());
    for (const char* text : kRefusedIpv6) networks.push_back(ParseNetwork(text).value());
    return networks;
  }();
  const auto in = [&](const std::vector<Network>& networks) {
    return std::any_of(networks.begin(), networks.end(), [&](const Network& n) { return Contains(n, address); });
  };
  if (in(allowed_)) return true;
  if (in(refused)) return false;
  if (IsMapped(address)) return true;
  if (IsNat64(address)) return MayReach(Mapped(LastFour(address)));
  if (!BeginsWith(address, {0x20}, 3)) return false;
  return !IsIsatap(address) || MayReach(Mapped(LastFour(address)));
}

bool EgressGuard::MayConnect(const sockaddr& peer) const {
  // Copied, because libraries may align it only as a sockaddr.
  if (peer.sa_family == AF_INET) {
    sockaddr_in ipv4 = {};
    std::memcpy(&ipv4, &peer, sizeof(ipv4));
    return MayReach(Mapped(ntohl(ipv4.sin_addr.s_addr)));
  }
  if (peer.sa_family != AF_INET6) return false;
  sockaddr_in6 ipv6 = {};
  std::memcpy(&ipv6, reinterpret_cast<const char*>(&peer), sizeof(ipv6));
  Address address = {};
  std::memcpy(address.data(), &ipv6.sin6_addr, address.size());
  return MayReach(address);
}

absl::StatusOr<std::string> EgressGuard::JudgeAddress(const Address& address) const {
  if (!MayReach(address)) return Refused("has an address to which this installation does not send");
  const std::string text = AddressText(address);
  return IsMapped(address) ? text : absl::StrCat("[", text, "]");
}

absl::StatusOr<std::string> EgressGuard::JudgeHost(std::string_view host) const {
  if (host.starts_with("[")) {
    Address address = {};
    const std::string inner(host.substr(1, host.size() - std::min<size_t>(host.size(), 2)));
    if (!host.ends_with("]") || inet_pton(AF_INET6, inner.c_str(), address.data()) != 1) {
      return Wrong("has brackets around something other than an IPv6 address");
    }
    return JudgeAddress(address);
  }
  if (host.ends_with(".")) host.remove_suffix(1);
  const std::vector<std::string> labels = absl::StrSplit(base::ToAbsl(host), '.');
  if (host.size() > kNameBytesMax || !std::all_of(labels.begin(), labels.end(), IsLabel)) {
    return Wrong("has a host that is neither a name nor an address");
  }
  if (IsNumeric(labels.back())) {
    const std::optional<uint32_t> ipv4 = ParseLooseIpv4(labels);
    if (!ipv4) return Wrong("has a host that ends with a number but is not an address");
    return JudgeAddress(Mapped(*ipv4));
  }
  // If networks are allowed, internal names are, too; the address decides.
  if (allowed_.empty() && IsInternalName(base::ToAbsl(host))) {
    return Refused("has the name of an internal host, to which this installation does not send");
  }
  return std::string(host);
}

absl::StatusOr<DestinationUrl> EgressGuard::ParseUrl(std::string_view text) const {
  if (absl::Status status = CheckCharacters(text); !status.ok()) return status;
  const absl::StatusOr<SplitUrl> split = Split(text);
  if (!split.ok()) return split.status();
  if (!split->tls && !allow_http_) return Wrong("must begin with https://");
  const absl::StatusOr<std::string> host = JudgeHost(split->host);
  if (!host.ok()) return host.status();
  const absl::StatusOr<int> port = JudgePort(*split);
  if (!port.ok()) return port.status();
  DestinationUrl url;
  std::string origin = absl::StrCat(split->tls ? "https://" : "http://", *host);
  if (*port != (split->tls ? 443 : 80)) absl::StrAppend(&origin, ":", *port);
  url.url = absl::StrCat(origin, split->rest);
  url.shown = absl::StrCat(origin, split->rest == "/" ? "/" : "/…");
  url.host = absl::StartsWith(*host, "[") ? host->substr(1, host->size() - 2) : *host;
  url.port = *port;
  return url;
}

}  // namespace stockalert::notifier
