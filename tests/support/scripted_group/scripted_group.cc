#include "tests/support/scripted_group/scripted_group.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "absl/time/clock.h"

namespace stockalert::testing {

class ScriptedGroup::Member final : public kafka::GroupConsumer {
 public:
  Member(ScriptedGroup& group, std::unique_ptr<kafka::AssignedConsumer> reader,
         std::map<kafka::TopicPartition, int64_t> places)
      : group_(group), reader_(std::move(reader)), places_(std::move(places)) {}

  kafka::PollResult Poll(absl::Duration timeout, size_t messages_max) override {
    bool holding_back = false;
    {
      std::lock_guard lock(group_.mutex_);
      ++group_.polls_;
      if (!group_.said_.empty()) {
        kafka::PollResult said = std::move(group_.said_.front());
        group_.said_.pop_front();
        return said;
      }
      holding_back = group_.holding_back_;
    }
    if (holding_back) {
      absl::SleepFor(std::min(timeout, absl::Milliseconds(5)));
      return {};
    }
    kafka::PollResult polled = reader_->Poll(std::min(timeout, absl::Milliseconds(20)), messages_max);
    for (const kafka::Message& message : polled.messages)
      places_[{std::string(message.topic()), message.partition()}] = message.offset() + 1;
    std::lock_guard lock(group_.mutex_);
    group_.records_ += static_cast<int>(polled.messages.size());
    return polled;
  }
  void CommitAsync(const std::map<kafka::TopicPartition, int64_t>& next_offsets) override {
    std::lock_guard lock(group_.mutex_);
    for (const auto& [partition, offset] : next_offsets) group_.committed_[partition] = offset;
  }
  absl::Status Seek(const kafka::TopicPartition& partition, int64_t next_offset, absl::Duration) override {
    {
      std::lock_guard lock(group_.mutex_);
      group_.seeks_.emplace_back(partition, next_offset);
    }
    places_[partition] = next_offset;
    return reader_->Assign(places_);
  }
  absl::StatusOr<kafka::Watermarks> QueryWatermarks(const kafka::TopicPartition& partition,
                                                    absl::Duration timeout) override {
    return reader_->QueryWatermarks(partition, timeout);
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
  void Wake() override { reader_->Wake(); }

 private:
  ScriptedGroup& group_;
  const std::unique_ptr<kafka::AssignedConsumer> reader_;
  std::map<kafka::TopicPartition, int64_t> places_;  // Where reading goes on.
};

ScriptedGroup::ScriptedGroup(std::vector<std::string> topics) : topics_(std::move(topics)) {
  for (const std::string& topic : topics_) kafka_.CreateTopic(topic, 1);
  kafka::ProducerOptions options;
  options.bootstrap = kafka_.bootstrap();
  options.client_id = "test";
  producer_ = *kafka::CreateProducer(options);
}

ScriptedGroup::Made ScriptedGroup::Make() {
  std::map<kafka::TopicPartition, int64_t> places;
  {
    std::lock_guard lock(mutex_);
    ++tries_;
    if (!failure_.ok()) return failure_;
    ++members_;
    for (const std::string& topic : topics_) {
      const auto committed = committed_.find({topic, 0});
      places[{topic, 0}] = committed == committed_.end() ? kafka::kBeginning : committed->second;
    }
  }
  kafka::AssignedConsumerOptions options;
  options.bootstrap = kafka_.bootstrap();
  options.client_id = "test";
  options.fetch_wait_max = absl::Milliseconds(10);
  options.report_ends = false;
  auto reader = kafka::AssignedConsumer::Create(options);
  if (!reader.ok()) return reader.status();
  if (absl::Status assigned = (*reader)->Assign(places); !assigned.ok()) return assigned;
  return std::make_unique<Member>(*this, *std::move(reader), std::move(places));
}

void ScriptedGroup::FailToMake(absl::Status status) {
  std::lock_guard lock(mutex_);
  failure_ = std::move(status);
}

void ScriptedGroup::Produce(const std::string& topic, const std::string& key, const std::string& value) {
  const auto delivered = producer_->ProduceAndWait(topic, key, value, {}, absl::Now() + absl::Seconds(20));
  if (!delivered.ok()) throw std::runtime_error(delivered.status().ToString());
}

void ScriptedGroup::HoldBack(bool hold) {
  std::lock_guard lock(mutex_);
  holding_back_ = hold;
}

void ScriptedGroup::Say(kafka::PollResult said) {
  std::lock_guard lock(mutex_);
  said_.push_back(std::move(said));
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
