// A record read from Kafka, its place, and the headers that a record may carry.
//
// A Message owns librdkafka's memory: it moves, does not copy, and must be destroyed before the consumer that gave it.
// The views that it hands out live as long as it does. It belongs to one thread at a time. A QueuedRecord is a copy,
// and a Message can be made of one: by consumers that are not librdkafka's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct rd_kafka_message_s;

namespace stockalert::kafka {

struct Header {
  std::string name;
  std::string value;
};
using Headers = std::vector<Header>;

// The W3C trace context travels in this header, from a quote to its notification.
inline constexpr char kTraceparentHeader[] = "traceparent";

// Headers that carry `traceparent`; none where it is empty.
Headers TraceHeaders(std::string_view traceparent);

struct TopicPartition {
  std::string topic;
  int32_t partition = 0;
  auto operator<=>(const TopicPartition&) const = default;
};

struct QueuedRecord {
  TopicPartition partition;
  int64_t offset = 0;
  int64_t log_time_us = 0;
  std::string key;
  std::string value;
  std::string traceparent;
  Headers headers = {};  // As they came, where there is more than the traceparent.
};

// All headers of a record.
Headers HeadersOf(const QueuedRecord& record);

class Message {
 public:
  // Takes ownership of `raw`, which is a record, not an error event.
  explicit Message(rd_kafka_message_s* raw);
  explicit Message(QueuedRecord record);
  Message(Message&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)), record_(std::move(other.record_)) {}
  Message& operator=(Message&& other) noexcept {
    std::swap(raw_, other.raw_);
    std::swap(record_, other.record_);
    return *this;
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  ~Message();

  std::string_view topic() const;
  int32_t partition() const;
  int64_t offset() const;
  // Empty where the record has none.
  std::string_view key() const;
  std::string_view value() const;
  // The broker's append time where the topic keeps it (LogAppendTime), else the producer's; 0 where unknown.
  int64_t log_time_us() const;
  // The last header of that name.
  std::optional<std::string_view> FindHeader(std::string_view name) const;
  // All headers, in their order, with whatever bytes they have.
  Headers headers() const;
  // The valid part of the traceparent header (trace::ValidTraceparent); empty where it is missing or invalid.
  std::string_view traceparent() const;

 private:
  // One of them, but for a Message that was moved from.
  rd_kafka_message_s* raw_ = nullptr;
  std::unique_ptr<const QueuedRecord> record_;
};

}  // namespace stockalert::kafka
