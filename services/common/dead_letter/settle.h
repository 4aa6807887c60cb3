// Settles one batch of records. Most are stored together. Those that can never be stored are found by bisection and go
// to the dead letters. One that is not understood yet, or that fails for an unclear reason, holds its own partition and
// no other.
//
// Does no I/O but through its Actions; no thread of its own. Bounded: a batch of n records costs at most 2n - 1 tries,
// 2 log2(n) + 1 with a single record at fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/kafka/message.h"

namespace stockalert::dead_letter {

// A record of the batch, and what reading it has found.
struct Item {
  enum class Disposition {
    kApply,       // To be stored.
    kPassOver,    // Nothing of it concerns this service.
    kDeadLetter,  // Never will be understood.
    kHold,        // A newer version may understand it: nothing of its partition goes past it.
  };
  kafka::TopicPartition place;
  int64_t offset = 0;
  Disposition disposition = Disposition::kApply;
  std::string cause;  // Of kDeadLetter and kHold, without values.
};

struct Refused {
  size_t index = 0;  // Of the item.
  std::string cause;
};

struct Held {
  int64_t offset = 0;
  size_t index = 0;
  std::string cause;
};

struct Settled {
  // Where each partition of the batch goes on: behind its last record, or at the one that holds it.
  std::map<kafka::TopicPartition, int64_t> next_offsets;
  std::map<kafka::TopicPartition, Held> held;
  size_t applied = 0;
  size_t dead_letters = 0;
};

struct Actions {
  // Stores these items, given in order, all or none; storing one again changes nothing.
  std::function<absl::Status(const std::vector<size_t>& indices)> apply;
  // Keeps these as dead letters, all or none; keeping one again changes nothing.
  std::function<absl::Status(const std::vector<Refused>& refused)> keep;
  // Whether the item is a dead letter already because an operator put it aside; then it holds nothing. May be empty,
  // which means no.
  std::function<absl::StatusOr<bool>(size_t index)> is_kept = {};
};

// `items` must be in order within each partition. Returns only errors that pass (base::FailureKind::kPassing): settle
// the same batch again, whatever of it was stored already.
absl::StatusOr<Settled> Settle(const std::vector<Item>& items, const Actions& actions);

}  // namespace stockalert::dead_letter
