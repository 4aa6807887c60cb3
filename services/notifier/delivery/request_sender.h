// One attempt at a delivery. The worker decides what, when and how often; this sends, and returns the reply.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/time/time.h"
#include "services/notifier/delivery/outgoing_request.h"

namespace stockalert::notifier {

enum class AttemptFailure : uint8_t {
  kNone,            // There is a reply, whatever it says.
  kAddressRefused,  // This installation does not send to the host's address.
  kTimedOut,        // No answer in time.
  kNoAnswer,        // No connection, no TLS, or one that broke before an answer.
  kPostponed,       // The way to all destinations of its kind is closed: does not count, try again after `postpone`.
  kNotAttempted,    // No room, or the sender is being destroyed: does not count, try again.
};

struct AttemptResult {
  AttemptFailure failure = AttemptFailure::kNone;
  ServiceReply reply;       // Of kNone.
  absl::Duration duration;  // From Send to the end of the answer.
  absl::Duration postpone;  // Of kPostponed.
  std::string error;        // A sentence for the destination's user, without secrets. Empty for kNone.
};

// Thread-safe.
class RequestSender {
 public:
  // Called once: on the sender's thread, where it must be quick and may call Send; or within Send, if nothing is sent
  // (kNotAttempted, kAddressRefused).
  using Done = std::function<void(AttemptResult)>;

  virtual ~RequestSender() = default;
  // Ends within a bounded time.
  virtual void Send(const OutgoingRequest& request, Done done) = 0;
};

}  // namespace stockalert::notifier
