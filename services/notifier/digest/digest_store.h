// Makes digests of the deliveries that are held, once they are due.
//
// Thread-safe; calls block, bounded by the store's own timeouts. UNAVAILABLE (DATABASE_UNAVAILABLE) if the database
// does not answer; all calls may be repeated. Any number of instances share the work: a user whose row another one has
// locked is left out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace stockalert::notifier {

struct DigestBounds {
  int lanes_max = 100;            // Of one call.
  int deliveries_max = 10'000;    // Of one digest; what is left comes in another one.
  int deliveries_total = 20'000;  // About so many in one call.
};

struct DigestResult {
  int digests = 0;                            // Notifications of the kind DIGEST.
  int64_t digested = 0;                       // Deliveries that they stand for.
  int64_t released = 0;                       // Single ones, queued as they are.
  int64_t postponed = 0;                      // Lanes whose user is quiet: they come when that ends.
  int64_t cancelled = 0;                      // Of destinations that are disabled or deleted.
  bool more = false;                          // More may be due now.
  std::optional<int64_t> oldest_due_us = {};  // Of what was digested or released.
  std::vector<std::string> users = {};        // For whom something was queued; once for each.
};

class DigestStore {
 public:
  virtual ~DigestStore() = default;
  // In one transaction, for lanes whose digest is due, longest due first: what is held for a destination becomes one
  // notification of the kind DIGEST with one delivery; a single one is queued itself; in quiet hours all stays held
  // until they end; what is held for a disabled or deleted destination is cancelled.
  virtual absl::StatusOr<DigestResult> MakeDigests(const DigestBounds& bounds, int64_t now_us) = 0;
};

}  // namespace stockalert::notifier
