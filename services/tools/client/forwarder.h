// Sends notifications to a program on the user's own machine, as the notifier sends webhooks, or hands them to a
// command.
//
// Not thread-safe; each call blocks until the program has answered, for a bounded time.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/http/http_client.h"
#include "services/common/webhook/webhook_signature.h"
#include "services/domain/message/notice.h"
#include "stockalert/notification/v1/notification.pb.h"

namespace stockalert::client {

// The message of a notification. INTERNAL: this client does not know its form.
absl::StatusOr<message::Notice> NoticeOf(const notification::v1::Notification& notification);

// The result of forwarding one notification.
struct Forwarded {
  std::string webhook_id, type;
  std::optional<int> http_status;  // None: no answer, or nothing was sent.
  std::optional<int> exit_code;    // None: no command was run, or it did not end.
  std::string error;               // Empty: success.
};

class Forwarder {
 public:
  // To `url`, to `command`, or to both; an empty one is not used.
  Forwarder(webhook::Keys keys, std::string url, std::string command);

  Forwarded Forward(const notification::v1::Notification& notification);
  const webhook::Keys& keys() const { return keys_; }

 private:
  void Post(const std::string& body, Forwarded& result);
  void Run(const std::string& body, Forwarded& result) const;

  const webhook::Keys keys_;
  const std::string url_, command_;
  http::HttpClient client_;
};

}  // namespace stockalert::client
