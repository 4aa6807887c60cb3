// What becomes of one batch of records: most are stored together; those that never can be are found by halving and go
// to the dead letters; one that is not understood, or fails for a reason that nobody can be sure of, holds its own
// partition and nobody else.
//
// Pure but for what it is given to call; no thread of its own. Bounded: a batch of n records costs at most 2n - 1
// tries, 2 log2(n) + 1 with a single one at fault.
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

// What reading a record has made of it.
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
  // Whether the item is kept already, because an operator has put it aside: then nothing stands still at it. May be
  // empty: no.
  std::function<absl::StatusOr<bool>(size_t index)> is_kept = {};
};

// `items` in their order within each partition. An error is one that passes (base::FailureKind::kPassing): the same
// batch is to be settled again, whatever was stored of it already.
absl::StatusOr<Settled> Settle(const std::vector<Item>& items, const Actions& actions);

}  // namespace stockalert::dead_letter
