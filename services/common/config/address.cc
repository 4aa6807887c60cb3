#include "services/common/config/address.h"

#include <algorithm>
#include <charconv>

#include "services/common/base/abseil.h"

namespace stockalert::config {

absl::StatusOr<Address> ParseAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) {
    return absl::InvalidArgumentError("must be HOST:PORT, as in 127.0.0.1:50051");
  }
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (host.front() == '[' && host.back() == ']' && host.size() > 2) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return absl::InvalidArgumentError("must have an IPv6 address in brackets, as in [::1]:50051");
  }
  const bool plain = std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
           c == '_' || c == ':';
  });
  if (!plain) return absl::InvalidArgumentError("has a host with characters that no host has");
  Address address;
  const auto [end, error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), address.port);
  if (error != std::errc() || end != port_text.data() + port_text.size() || address.port < 0 || address.port > 65535) {
    return absl::InvalidArgumentError("must end in a port from 0 to 65535");
  }
  address.host = std::string(host);
  return address;
}

}  // namespace stockalert::config
