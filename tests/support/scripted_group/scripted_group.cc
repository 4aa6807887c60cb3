#include "tests/support/scripted_group/scripted_group.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace stockalert::testing {

class ScriptedGroup::Member final : public kafka::GroupConsumer {
 public:
  Member(ScriptedGroup& group, std::map<kafka::TopicPartition, int64_t> places)
      : group_(group), places_(std::move(places)) {}

  kafka::PollResult Poll(absl::Duration timeout, size_t messages_max) override {
    std::unique_lock lock(group_.mutex_);
    ++group_.polls_;
    const auto has_news = [this] { return woken_ || !group_.said_.empty() || (!group_.holding_back_ && HasMore()); };
    group_.changed_.wait_for(lock, absl::ToChronoMilliseconds(std::min(timeout, absl::Milliseconds(20))), has_news);
    woken_ = false;
    kafka::PollResult polled;
    if (!group_.said_.empty()) {
      polled = std::move(group_.said_.front());
      group_.said_.pop_front();
      return polled;
    }
    if (group_.holding_back_) return polled;
    for (auto& [partition, place] : places_) {
      const std::vector<kafka::QueuedRecord>& log = group_.logs_.at(partition);
      while (place < static_cast<int64_t>(log.size()) && polled.messages.size() < messages_max)
        polled.messages.emplace_back(log[static_cast<size_t>(place++)]);
    }
    group_.records_ += static_cast<int>(polled.messages.size());
    return polled;
  }
  void CommitAsync(const std::map<kafka::TopicPartition, int64_t>& next_offsets) override {
    std::lock_guard lock(group_.mutex_);
    for (const auto& [partition, offset] : next_offsets) group_.committed_[partition] = offset;
  }
  absl::Status Seek(const kafka::TopicPartition& partition, int64_t next_offset, absl::Duration) override {
    std::lock_guard lock(group_.mutex_);
    group_.seeks_.emplace_back(partition, next_offset);
    places_[partition] = next_offset;
    return absl::OkStatus();
  }
  absl::StatusOr<kafka::Watermarks> QueryWatermarks(const kafka::TopicPartition& partition, absl::Duration) override {
    std::lock_guard lock(group_.mutex_);
    return kafka::Watermarks{0, static_cast<int64_t>(group_.logs_.at(partition).size())};
  }
  absl::Status StartAt(const std::map<kafka::TopicPartition, int64_t>&) override {
    return absl::UnimplementedError("of an owner");
  }
  absl::Status StopReading(const std::vector<kafka::TopicPartition>&) override {
    return absl::UnimplementedError("of an owner");
  }
  absl::Status Pause(const std::vector<kafka::TopicPartition>&) override { return absl::OkStatus(); }
  absl::Status Resume(const std::vector<kafka::TopicPartition>&) override { return absl::OkStatus(); }
  absl::StatusOr<std::string> ClusterId(absl::Duration) override { return "scripted"; }
  void Wake() override {
    std::lock_guard lock(group_.mutex_);
    woken_ = true;
    group_.changed_.notify_all();
  }

 private:
  bool HasMore() const {
    return std::any_of(places_.begin(), places_.end(), [this](const auto& entry) {
      return entry.second < static_cast<int64_t>(group_.logs_.at(entry.first).size());
    });
  }

  ScriptedGroup& group_;
  std::map<kafka::TopicPartition, int64_t>
      places_;  // Where reading goes on. Guarded by the group's mutex, as the next.
  bool woken_ = false;
};

ScriptedGroup::ScriptedGroup(const std::vector<std::string>& topics) {
  for (const std::string& topic : topics) logs_[{topic, 0}];
}

ScriptedGroup::Made ScriptedGroup::Make() {
  std::lock_guard lock(mutex_);
  ++tries_;
  if (!failure_.ok()) return failure_;
  ++members_;
  std::map<kafka::TopicPartition, int64_t> places;
  for (const auto& [partition, log] : logs_) {
    const auto committed = committed_.find(partition);
    places[partition] = committed == committed_.end() ? 0 : committed->second;
  }
  return std::make_unique<Member>(*this, std::move(places));
}

void ScriptedGroup::FailToMake(absl::Status status) {
  std::lock_guard lock(mutex_);
  failure_ = std::move(status);
}

void ScriptedGroup::Produce(const std::string& topic, const std::string& key, const std::string& value) {
  std::lock_guard lock(mutex_);
  const kafka::TopicPartition partition{topic, 0};
  std::vector<kafka::QueuedRecord>& log = logs_.at(partition);
  log.push_back({partition, static_cast<int64_t>(log.size()), absl::ToUnixMicros(absl::Now()), key, value, "", {}});
  changed_.notify_all();
}

void ScriptedGroup::HoldBack(bool hold) {
  std::lock_guard lock(mutex_);
  holding_back_ = hold;
  changed_.notify_all();
}

void ScriptedGroup::ReturnFromNextPoll(kafka::PollResult said) {
  std::lock_guard lock(mutex_);
  said_.push_back(std::move(said));
  changed_.notify_all();
}

int ScriptedGroup::tries() const {
  std::lock_guard lock(mutex_);
  return tries_;
}

int ScriptedGroup::members() const {
  std::lock_guard lock(mutex_);
  return members_;
}

int ScriptedGroup::polls() const {
  std::lock_guard lock(mutex_);
  return polls_;
}

int ScriptedGroup::records() const {
  std::lock_guard lock(mutex_);
  return records_;
}

std::map<kafka::TopicPartition, int64_t> ScriptedGroup::committed() const {
  std::lock_guard lock(mutex_);
  return committed_;
}

std::vector<std::pair<kafka::TopicPartition, int64_t>> ScriptedGroup::seeks() const {
  std::lock_guard lock(mutex_);
  return seeks_;
}

}  // namespace stockalert::testing
