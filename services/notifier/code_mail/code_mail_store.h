// Mails with codes that verify the addresses of users, queued by the intake (NotificationStore::StoreBatch), one for
// each user: a newer code replaces an older one.
//
// Thread-safe; calls block, bounded by the store's own timeouts. UNAVAILABLE (DATABASE_UNAVAILABLE) if the database
// does not answer; all calls may be repeated. Any number of instances share the queue: a mail that was claimed is not
// claimed again before `until_us`, so that it is sent by another one if this one dies.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stockalert::notifier {

struct QueuedCodeMail {
  std::string user_id;
  std::string sealed_content;  // SealCodeMail.
  int64_t expire_time_us = 0;  // With user_id, which code it is.
  int attempt_count = 0;       // With this one.
};

class CodeMailStore {
 public:
  virtual ~CodeMailStore() = default;
  // Those that are due, longest due first, at most `limit`. Forgets those whose code has expired.
  virtual absl::StatusOr<std::vector<QueuedCodeMail>> ClaimDue(int limit, int64_t until_us, int64_t now_us) = 0;
  // It is tried again at that time, unless a newer code has replaced it.
  virtual absl::Status PutBack(const QueuedCodeMail& mail, int64_t next_attempt_us) = 0;
  // It is not sent any more, and its content is forgotten; that there was this code is known until it expires.
  virtual absl::Status Finish(const QueuedCodeMail& mail) = 0;
};

}  // namespace stockalert::notifier
