// Handles the batches of a consumer group's worker whose records may be unreadable, impossible to store, or of a newer
// version: stores them, makes dead letters of those that can never be stored, and holds the partition of a record that
// must not be skipped (settle.h).
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

// What reading a record has found.
struct Reading {
  Item::Disposition disposition = Item::Disposition::kApply;
  std::string cause;  // Of kDeadLetter and kHold, without values.
};

// How a service reads and stores records.
class RecordApplier {
 public:
  virtual ~RecordApplier() = default;
  // The lane (a user) of each message: lanes take turns. After an error it is asked again.
  virtual absl::StatusOr<std::vector<std::string>> FindLanes(const std::vector<kafka::Message>& messages) = 0;
  // Returns one reading a record, and keeps the decoded records for Apply until the next call.
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
  void OnFailed() override;
  void OnSettled() override;
  void BeforePoll(kafka::GroupConsumer& consumer) override;
  void AfterPoll(kafka::PollResult& polled) override;
  void OnMoved(const kafka::TopicPartition& partition) override;
  void OnJoining() override;

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
