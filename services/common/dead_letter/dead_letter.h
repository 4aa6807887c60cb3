// A record of Kafka that its service can never store, or can never understand, kept with its place and its cause in the
// table dead_letters of the service's own schema, until an operator has it replayed or drops it (stockalert-migrate
// deadletters).
//
// Only a record that is certainly at fault itself goes there (base::FailureKind::kOfRecord, or bytes that are no
// message). Bounded: a store with too many open letters refuses more, and then the partition of the record is held
// instead.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/kafka/record_queue.h"

namespace stockalert::dead_letter {

struct DeadLetter {
  kafka::TopicPartition place;
  int64_t offset = 0;
  std::string key;
  std::string value;
  kafka::Headers headers;
  int64_t log_time_us = 0;
  std::string cause;  // Without values.
};

// What may be open at once: beyond either, Add refuses.
struct Bounds {
  int64_t letters_max = 10'000;
  int64_t bytes_max = int64_t{256} * 1024 * 1024;
};

class DeadLetterStore {
 public:
  virtual ~DeadLetterStore() = default;
  // All or none, in one transaction. The same record of the same place is kept once: adding it again changes nothing,
  // also after it was replayed. RESOURCE_EXHAUSTED, of base::FailureKind::kUnclear: no room. Else as the store's own
  // statuses: UNAVAILABLE...
  virtual absl::Status Add(const std::vector<DeadLetter>& letters, int64_t now_us) = 0;
  // Whether this record of this place is stored, replayed or not: an operator may have put aside the record that holds
  // a partition.
  virtual absl::StatusOr<bool> Has(const DeadLetter& letter) = 0;
  // How many are open: neither replayed nor dropped.
  virtual absl::StatusOr<int64_t> CountOpen() = 0;
};

// The letter of a record.
DeadLetter MakeDeadLetter(const kafka::QueuedRecord& record, std::string cause);

// Adds to stockalert_dead_letters_total. Calling it with 0 letters starts the series, so that the first letter is an
// increase.
void CountDeadLetters(const std::string& topic, size_t letters);
// Counts the letter and logs what to do about it.
void ReportDeadLetter(const DeadLetter& letter);

// The gauge stockalert_dead_letters, measured now and then by the thread that has it.
class DeadLetterGauge {
 public:
  // `store` must outlive it.
  explicit DeadLetterGauge(DeadLetterStore& store, absl::Duration interval = absl::Seconds(15));
  // Asks the store, where it is time again.
  void Measure(absl::Time now);
  void MeasureSoon();

 private:
  DeadLetterStore& store_;
  const absl::Duration interval_;
  absl::Time next_ = absl::InfinitePast();
};

}  // namespace stockalert::dead_letter
