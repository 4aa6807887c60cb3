// What a consumer group's worker does with records that may be unreadable, unstorable or of a version to come: it has
// them stored, puts aside what never can be, and holds the partition of what must not be passed (settle.h).
//
// Belongs to the worker's thread. What it is given must outlive it.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/base/clock.h"
#include "services/common/dead_letter/dead_letter.h"
#include "services/common/dead_letter/held_partitions.h"
#include "services/common/dead_letter/settle.h"
#include "services/common/kafka/group_worker.h"

namespace stockalert::dead_letter {

// What reading a record has made of it.
struct Reading {
  Item::Disposition disposition = Item::Disposition::kApply;
  std::string cause;  // Of kDeadLetter and kHold, without values.
};

// What a service makes of records.
class RecordApplier {
 public:
  virtual ~RecordApplier() = default;
  // In whose turn each is applied. An error: to be asked again.
  virtual absl::StatusOr<std::vector<std::string>> FindLanes(const std::vector<kafka::Message>& messages) = 0;
  // A reading each. Keeps what they ask for until the next call.
  virtual std::vector<Reading> Read(const std::vector<kafka::QueuedRecord>& records) = 0;
  // Stores those of the records that were read last, given in order, all or none; storing one again changes nothing.
  virtual absl::Status Apply(const std::vector<size_t>& indices) = 0;
};

class SettlingHandler final : public kafka::GroupHandler {
 public:
  SettlingHandler(const std::vector<std::string>& topics, RecordApplier& applier, DeadLetterStore& dead_letters,
                  const base::Clock& clock, const HeldOptions& options);

  absl::StatusOr<std::vector<std::string>> FindLanes(const std::vector<kafka::Message>& messages) override;
  void Read(const std::vector<kafka::QueuedRecord>& records) override;
  absl::StatusOr<std::map<kafka::TopicPartition, int64_t>> Settle(kafka::GroupConsumer& consumer,
                                                                  const std::vector<kafka::QueuedRecord>& records,
                                                                  const std::function<void()>& beat) override;
  void Failed() override;
  void Settled() override;
  void BeforePoll(kafka::GroupConsumer& consumer) override;
  void AfterPoll(kafka::PollResult& polled) override;
  void Moved(const kafka::TopicPartition& partition) override;
  void Joining() override;

 private:
  absl::Status Keep(const std::vector<kafka::QueuedRecord>& records, const std::vector<Refused>& refused);

  RecordApplier& applier_;
  DeadLetterStore& dead_letters_;
  const base::Clock& clock_;
  HeldPartitions held_;
  DeadLetterGauge open_letters_;
  std::vector<Item> items_;  // Of the batch that was read last.
};

}  // namespace stockalert::dead_letter
