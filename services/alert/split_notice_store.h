// Who has to be told of a split: an outbox of its own, which SaveSplits opens with each new split.
//
// The users of a famous symbol's alerts may be very many, so that they are found a bounded number of alerts at a time;
// where the counting stands is saved with what it has found. As AlertStore: thread-safe, each call one bounded
// transaction, UNAVAILABLE where the database does not answer. Any number of instances may work side by side.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/alert/alert_types.h"

namespace stockalert::alert {

// How long a notice belongs to the instance that claimed it: longer than its producer tries to send it.
inline constexpr int64_t kSplitNoticeClaimUs = 40'000'000;

class SplitNoticeStore {
 public:
  virtual ~SplitNoticeStore() = default;

  // Counts on for one split, of those that were told of by `before_us`: looks at up to `alerts_max` alerts of its
  // symbol. An alert counts for its user if the split has scaled it (it was created in prices of before), and if it is
  // not deleted and had neither triggered for good nor expired when the split was told of. True: there may be more to
  // count at once.
  virtual absl::StatusOr<bool> CountAlerts(int64_t before_us, int alerts_max) = 0;

  // Claims for kSplitNoticeClaimUs at most `limit` notices, of splits that are counted to the end, which no instance
  // has claimed.
  virtual absl::StatusOr<std::vector<PassedSplit>> ClaimNotices(int64_t now_us, int limit) = 0;
  // The topic has these. Harmless if repeated.
  virtual absl::Status RemoveNotices(const std::vector<PassedSplit>& notices) = 0;

  // Forgets the splits whose users are all told, and returns them.
  virtual absl::StatusOr<std::vector<ToldSplit>> EndTold() = 0;
  // Splits whose users are not all told.
  virtual absl::StatusOr<int64_t> CountOpen() = 0;
};

}  // namespace stockalert::alert
