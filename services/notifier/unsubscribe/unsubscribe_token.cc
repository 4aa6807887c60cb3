#include "services/notifier/unsubscribe/unsubscribe_token.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/abseil.h"
#include "services/common/base/ids.h"

namespace stockalert::notifier {
namespace {

// Of each part: the user, the destination, the address's tag, the tag of all of them.
constexpr size_t kPartBytes = 16;
constexpr size_t kTokenBytes = 4 * kPartBytes;

std::string BytesOfUuid(std::string_view uuid) {
  std::string digits;
  for (const char c : uuid) {
    if (c != '-') digits += c;
  }
  return absl::HexStringToBytes(digits);
}

std::string UuidOf(std::string_view bytes) {
  const std::string digits = base::HexEncode(bytes);
  return absl::StrCat(digits.substr(0, 8), "-", digits.substr(8, 4), "-", digits.substr(12, 4), "-",
                      digits.substr(16, 4), "-", digits.substr(20));
}

std::string AddressText(std::string_view user_id, std::string_view destination_id, std::string_view address) {
  return absl::StrCat("unsubscribe address\n", base::ToAbsl(user_id), "\n", base::ToAbsl(destination_id), "\n",
                      base::ToAbsl(address));
}

std::string TargetText(const UnsubscribeTarget& target) {
  return absl::StrCat("unsubscribe\n", target.user_id, "\n", target.destination_id, "\n", target.address_tag);
}

}  // namespace

std::string MakeUnsubscribeToken(const secrets::SecretBox& secrets, std::string_view user_id,
                                 std::string_view destination_id, std::string_view address) {
  UnsubscribeTarget target{std::string(user_id), std::string(destination_id), ""};
  target.address_tag = secrets.Tag(AddressText(user_id, destination_id, address)).substr(0, 2 * kPartBytes);
  const std::string tag = secrets.Tag(TargetText(target)).substr(0, 2 * kPartBytes);
  return base::Base64UrlEncode(absl::StrCat(BytesOfUuid(user_id), BytesOfUuid(destination_id),
                                            absl::HexStringToBytes(target.address_tag), absl::HexStringToBytes(tag)));
}

std::optional<UnsubscribeTarget> ReadUnsubscribeToken(const secrets::SecretBox& secrets, std::string_view token) {
  if (token.size() > 2 * kTokenBytes) return std::nullopt;
  const std::optional<std::string> bytes = base::Base64UrlDecode(token);
  if (!bytes || bytes->size() != kTokenBytes) return std::nullopt;
  const std::string_view all = *bytes;
  UnsubscribeTarget target{UuidOf(all.substr(0, kPartBytes)), UuidOf(all.substr(kPartBytes, kPartBytes)),
                           base::HexEncode(all.substr(2 * kPartBytes, kPartBytes))};
  if (!secrets.IsTag(base::HexEncode(all.substr(3 * kPartBytes)), TargetText(target))) return std::nullopt;
  return target;
}

bool HasAddress(const secrets::SecretBox& secrets, const UnsubscribeTarget& target, std::string_view address) {
  return secrets.IsTag(target.address_tag, AddressText(target.user_id, target.destination_id, address));
}

}  // namespace stockalert::notifier
