// The body of a webhook: JSON with `type`, `timestamp` and `data`, as docs/delivery.md describes it. Fields are
// only ever added. Pure and thread-safe.
#pragma once

#include <cstddef>
#include <string>

#include "services/domain/message/notice.h"

namespace stockalert::message {

inline constexpr size_t kWebhookBodyBytesMax = 20'000;

// At most kWebhookBodyBytesMax bytes of valid UTF-8: other bytes of the notice are left out, and texts of more than
// 2 KiB (less, if they would not fit) are cut. The same notice gives the same bytes.
std::string WebhookMessage(const Notice& notice);

}  // namespace stockalert::message
