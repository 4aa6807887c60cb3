// Takes webhooks for somebody who wants to see them: verifies each, answers verifications, and hands over the others.
//
// A message with a wrong signature or an old time is refused with 401 and counted. Take is called by one thread; what
// arrives meanwhile waits, at most kWaitingMax messages, beyond which the sender is told to come again later (503).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/webhook/webhook_signature.h"

namespace stockalert::client {

struct ReceivedWebhook {
  std::string webhook_id, type, title, body;
};

class WebhookReceiver {
 public:
  static constexpr size_t kWaitingMax = 1000;

  // `keys`: of the destination; which of them its sender uses does not matter. INVALID_ARGUMENT: `address` is none;
  // UNAVAILABLE: it cannot be listened on.
  static absl::StatusOr<std::unique_ptr<WebhookReceiver>> Start(const std::string& address, webhook::Keys keys);
  ~WebhookReceiver();

  int port() const;
  // The next message, in the order of arrival, each webhook-id once; none: there was none until `deadline`.
  std::optional<ReceivedWebhook> Take(absl::Time deadline);
  int64_t refused() const;

 private:
  struct Impl;
  explicit WebhookReceiver(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace stockalert::client
