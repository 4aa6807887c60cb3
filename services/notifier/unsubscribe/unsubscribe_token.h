// What stands for a destination and its address in the link by which the reader of its mails unsubscribes.
//
// A token is made with the delivery keys and holds for as long as its key is configured and the address stays the same.
// It is good for nothing else, and nobody without a key can make one. The same for every mail to the destination, so
// that a mail that is sent again is the same mail. Pure and thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "services/common/secrets/secret_box.h"

namespace stockalert::notifier {

struct UnsubscribeTarget {
  std::string user_id;
  std::string destination_id;
  std::string address_tag;  // HasAddress compares it.
};

// 86 of [A-Za-z0-9_-]. The ids are UUIDs.
std::string MakeUnsubscribeToken(const secrets::SecretBox& secrets, std::string_view user_id,
                                 std::string_view destination_id, std::string_view address);

// None: it was not made with these keys.
std::optional<UnsubscribeTarget> ReadUnsubscribeToken(const secrets::SecretBox& secrets, std::string_view token);

// Whether the token was made for this address.
bool HasAddress(const secrets::SecretBox& secrets, const UnsubscribeTarget& target, std::string_view address);

}  // namespace stockalert::notifier
