#include "services/user/email.h"

#include <algorithm>

namespace stockalert::user {
namespace {

constexpr size_t kAddressMax = 254;
constexpr size_t kLocalMax = 64;
constexpr size_t kLabelMax = 63;

bool IsAlnum(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Parts between dots, each 1 to `part_max` characters that `allowed` takes.
template <typename Allowed>
bool AreDottedParts(std::string_view text, size_t part_max, Allowed allowed) {
  for (;;) {
    const size_t dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    if (part.empty() || part.size() > part_max || !std::all_of(part.begin(), part.end(), allowed)) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

}  // namespace

absl::StatusOr<Email> ParseEmail(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  if (text.empty()) return absl::InvalidArgumentError("is required");
  if (text.size() > kAddressMax) return absl::InvalidArgumentError("must have at most 254 characters");
  absl::Status wrong = absl::InvalidArgumentError("must be an e-mail address, as in ann@example.org");
  const size_t at = text.find('@');
  if (at == std::string_view::npos) return wrong;
  const std::string_view local = text.substr(0, at);
  const std::string_view domain = text.substr(at + 1);
  const bool local_ok =
      local.size() <= kLocalMax && AreDottedParts(local, kLocalMax, [](char c) {
        return IsAlnum(c) || std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
      });
  const bool domain_ok = domain.find('.') != std::string_view::npos &&
                         AreDottedParts(domain, kLabelMax, [](char c) { return IsAlnum(c) || c == '-'; }) &&
                         domain.front() != '-' && domain.back() != '-';
  if (!local_ok || !domain_ok) return wrong;
  Email email{std::string(text), std::string(text)};
  for (char& c : email.key) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return email;
}

}  // namespace stockalert::user
