// What an answer, or its absence, means for a delivery.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace stockalert::notifier {

enum class VerdictKind : uint8_t {
  kDelivered,
  kRetry,    // It may succeed later.
  kRefused,  // It never will, but other deliveries to the same destination may.
  kGone,     // The destination does not exist any more, or wants no more messages.
};

struct Verdict {
  VerdictKind kind = VerdictKind::kDelivered;
  std::string error;  // A sentence for the user, without secrets. Empty: delivered.
  // Of kRetry: the service asked for quiet for that long, for all deliveries to the destination.
  std::optional<absl::Duration> retry_after;
};

}  // namespace stockalert::notifier
