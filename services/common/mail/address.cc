#include "services/common/mail/address.h"

#include <algorithm>

namespace stockalert::mail {
namespace {

constexpr size_t kLocalBytesMax = 64;
constexpr size_t kDomainBytesMax = 253;
constexpr size_t kLabelBytesMax = 63;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlnum(char c) { return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
// RFC 5322, 3.2.3.
bool IsAtomText(char c) { return IsAlnum(c) || std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string::npos; }

// Whether `fits` holds of each part between dots, none of which is empty.
template <typename Fits>
bool EachPart(std::string_view text, Fits fits) {
  for (;;) {
    const size_t dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    if (part.empty() || !fits(part)) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool IsAtom(std::string_view part) { return std::all_of(part.begin(), part.end(), IsAtomText); }

bool IsLabel(std::string_view part) {
  return part.size() <= kLabelBytesMax && part.front() != '-' && part.back() != '-' &&
         std::all_of(part.begin(), part.end(), [](char c) { return IsAlnum(c) || c == '-'; });
}

bool IsDomain(std::string_view domain) {
  const size_t last_dot = domain.rfind('.');
  if (last_dot == std::string_view::npos || domain.size() > kDomainBytesMax || !EachPart(domain, IsLabel)) return false;
  // Not an IPv4 address.
  const std::string_view top = domain.substr(last_dot + 1);
  return !std::all_of(top.begin(), top.end(), IsDigit);
}

}  // namespace

absl::StatusOr<std::string> ParseAddress(std::string_view text) {
  const absl::Status wrong = absl::InvalidArgumentError("must be one mail address, as in ann@example.org, and no name");
  if (text.empty()) return absl::InvalidArgumentError("is required");
  if (text.size() > kAddressBytesMax) return absl::InvalidArgumentError("must have at most 254 characters");
  const size_t at = text.find('@');
  if (at == std::string_view::npos || text.find('@', at + 1) != std::string_view::npos) return wrong;
  const std::string_view local = text.substr(0, at), domain = text.substr(at + 1);
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (!std::all_of(local.begin(), local.end(), is_ascii))
    return absl::InvalidArgumentError("must have ASCII characters only before the @");
  if (!std::all_of(domain.begin(), domain.end(), is_ascii))
    return absl::InvalidArgumentError("must have its domain in the ASCII form, as in xn--bcher-kva.example");
  // Some readers would take it for an encoded word (RFC 2047) nevertheless.
  if (local.find("=?") != std::string_view::npos) return wrong;
  if (local.size() > kLocalBytesMax || !EachPart(local, IsAtom) || !IsDomain(domain)) return wrong;
  std::string address(text);
  for (size_t i = at; i < address.size(); ++i) {
    if (address[i] >= 'A' && address[i] <= 'Z') address[i] = static_cast<char>(address[i] - 'A' + 'a');
  }
  return address;
}

std::string DomainOf(const std::string& address) { return address.substr(address.find('@') + 1); }

}  // namespace stockalert::mail
