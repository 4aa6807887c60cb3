// A consumer group as a service's reader sees it, in memory, that does what a test says: rebalances, errors and the end
// of a member come as they are told. Pausing holds nothing back: what was fetched before may come all the same. No
// librdkafka, so that the thread sanitizer sees the reader.
//
// Thread-safe but for its members, which belong to the reader's thread. Must outlive them.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "services/common/kafka/consumer.h"

namespace stockalert::testing {

class ScriptedGroup {
 public:
  using Made = absl::StatusOr<std::unique_ptr<kafka::GroupConsumer>>;

  // Makes the topics, of one partition each.
  explicit ScriptedGroup(const std::vector<std::string>& topics);

  // What a reader makes its members by. A member begins where the group has committed, else at the beginning.
  std::function<Made()> maker() {
    return [this] { return Make(); };
  }
  // Of the calls of maker from now on; OK ends that.
  void FailToMake(absl::Status status);
  // A record at the end of the topic's partition.
  void Produce(const std::string& topic, const std::string& key, const std::string& value);
  // Members read nothing from now on, or go on.
  void HoldBack(bool hold);
  // What one poll brings instead of records.
  void ReturnFromNextPoll(kafka::PollResult said);

  int tries() const;    // Calls of maker,
  int members() const;  // and those that made one.
  int polls() const;    // Of all members.
  int records() const;  // That polls brought.
  std::map<kafka::TopicPartition, int64_t> committed() const;
  std::vector<std::pair<kafka::TopicPartition, int64_t>> seeks() const;

 private:
  class Member;
  Made Make();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<kafka::TopicPartition, std::vector<kafka::QueuedRecord>> logs_;  // Guarded by mutex_, as what follows.
  absl::Status failure_;
  bool holding_back_ = false;
  std::deque<kafka::PollResult> said_;
  int tries_ = 0, members_ = 0, polls_ = 0, records_ = 0;
  std::map<kafka::TopicPartition, int64_t> committed_;
  std::vector<std::pair<kafka::TopicPartition, int64_t>> seeks_;
};

}  // namespace stockalert::testing
