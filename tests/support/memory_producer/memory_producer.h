// A Kafka producer in memory: keeps what was produced, and answers at once, later, or with an error. Thread-safe.
#pragma once

#include <deque>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "services/common/kafka/producer.h"

namespace stockalert::testing {

class MemoryProducer final : public kafka::Producer {
 public:
  struct Record {
    std::string topic;
    std::string key;
    std::string value;
    kafka::Headers headers;
  };

  void ProduceAsync(const std::string& topic, std::string_view key, std::string_view value,
                    const kafka::Headers& headers, kafka::DeliveryCallback done) override {
    absl::Status status;
    kafka::DeliveryReport delivery;
    {
      std::lock_guard lock(mutex_);
      if (holding_) {
        held_.push_back({{topic, std::string(key), std::string(value), headers}, std::move(done)});
        return;
      }
      status = failure_;
      if (status.ok() && value.size() > bytes_max_) status = absl::InvalidArgumentError("the record is too large");
      if (status.ok() && std::string(key) == refused_key_) status = absl::InvalidArgumentError("the record is refused");
      if (status.ok()) {
        delivery.offset = static_cast<int64_t>(records_.size());
        records_.push_back({topic, std::string(key), std::string(value), headers});
      }
    }
    if (done) status.ok() ? done(delivery) : done(status);
  }

  absl::Status Flush(absl::Time) override { return absl::OkStatus(); }

  // The broker is away: nothing is answered until Release.
  void Hold() {
    std::lock_guard lock(mutex_);
    holding_ = true;
  }
  void Release() {
    std::deque<Held> held;
    {
      std::lock_guard lock(mutex_);
      holding_ = false;
      held.swap(held_);
      for (const Held& one : held) records_.push_back(one.record);
    }
    for (const Held& one : held) {
      if (one.done) one.done(kafka::DeliveryReport{});
    }
  }
  // Every later record is refused; OK ends that.
  void Fail(absl::Status status) {
    std::lock_guard lock(mutex_);
    failure_ = std::move(status);
  }

  // Records with this key, or above this size, are refused for what they are.
  void RefuseKey(const std::string& key) {
    std::lock_guard lock(mutex_);
    refused_key_ = key;
  }
  void RefuseAbove(size_t bytes) {
    std::lock_guard lock(mutex_);
    bytes_max_ = bytes;
  }

  std::vector<Record> records() const {
    std::lock_guard lock(mutex_);
    return records_;
  }

 private:
  struct Held {
    Record record;
    kafka::DeliveryCallback done;
  };
  mutable std::mutex mutex_;
  bool holding_ = false;                                   // Guarded by mutex_.
  absl::Status failure_;                                   // Guarded by mutex_.
  size_t bytes_max_ = std::numeric_limits<size_t>::max();  // Guarded by mutex_.
  std::string refused_key_ = "no key is this";             // Guarded by mutex_.
  std::deque<Held> held_;                                  // Guarded by mutex_.
  std::vector<Record> records_;                            // Guarded by mutex_.
};

}  // namespace stockalert::testing
