// Slack, Discord, Telegram, ntfy, Pushover, Teams and an Apprise API server on one port of the loopback device, as far
// as messages are sent to them: each checks what its documentation limits (format, lengths, mentions, rate), and
// answers as it is documented.
//
// Thread-safe. What breaks a limit is refused as the service would, and noted in violations().
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/common/base/mutex.h"
#include "tests/support/hostile_receiver/hostile_receiver.h"

namespace stockalert::testing {

struct ChatMessage {
  std::string service;  // "slack"
  std::string path;
  std::string text;      // All that a person reads.
  int priority = 0;      // Of ntfy and Pushover.
  absl::Duration after;  // Since the service began.
};

class ChatServices {
 public:
  ChatServices();

  // "http://127.0.0.1:1234"
  std::string origin() const;
  // What was taken, in the order of arrival.
  std::vector<ChatMessage> messages() const;
  std::vector<ChatMessage> MessagesOf(const std::string& service) const;
  std::vector<std::string> violations() const;
  // Requests to the service, the refused ones too.
  int requests(const std::string& service) const;
  // What the next request to the service is answered, whatever it is: as of hostile_receiver's Answer.
  void AnswerNext(const std::string& service, const std::string& answer);

 private:
  struct Rate {
    int most = 0;
    absl::Duration within;
  };
  void Serve(ReceiverConnection& connection);
  std::string Reply(const ReceivedRequest& request);
  // Whether one more request fits the rate.
  bool TakeTurn(const std::string& key, const Rate& rate, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable base::Mutex mutex_;
  std::vector<ChatMessage> messages_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> violations_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> requests_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::deque<std::string>> next_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::deque<absl::Duration>> turns_ ABSL_GUARDED_BY(mutex_);
  const absl::Duration begin_;
  HostileReceiver receiver_;  // Its threads use what is above.
};

}  // namespace stockalert::testing
