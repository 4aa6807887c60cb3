#include "services/common/kafka/message.h"

#include <librdkafka/rdkafka.h>

#include <utility>

#include "services/common/trace/sound.h"

namespace stockalert::kafka {

Headers TraceHeaders(std::string_view traceparent) {
  if (traceparent.empty()) return {};
  return {Header{kTraceparentHeader, std::string(traceparent)}};
}

Headers HeadersOf(const QueuedRecord& record) {
  return record.headers.empty() ? TraceHeaders(record.traceparent) : record.headers;
}

Message::Message(rd_kafka_message_s* raw) : raw_(raw) {}

Message::Message(QueuedRecord record) : record_(std::make_unique<const QueuedRecord>(std::move(record))) {}

Message::~Message() {
  if (raw_ != nullptr) rd_kafka_message_destroy(raw_);
}

std::string_view Message::topic() const {
  if (record_) return record_->partition.topic;
  return raw_->rkt == nullptr ? "" : rd_kafka_topic_name(raw_->rkt);
}

int32_t Message::partition() const { return record_ ? record_->partition.partition : raw_->partition; }
int64_t Message::offset() const { return record_ ? record_->offset : raw_->offset; }

std::string_view Message::key() const {
  if (record_) return record_->key;
  return raw_->key == nullptr ? std::string_view()
                              : std::string_view(static_cast<const char*>(raw_->key), raw_->key_len);
}

std::string_view Message::value() const {
  if (record_) return record_->value;
  return raw_->payload == nullptr ? std::string_view()
                                  : std::string_view(static_cast<const char*>(raw_->payload), raw_->len);
}

int64_t Message::log_time_us() const {
  if (record_) return record_->log_time_us;
  rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  const int64_t time_ms = rd_kafka_message_timestamp(raw_, &type);
  return time_ms < 0 ? 0 : time_ms * 1000;
}

std::optional<std::string_view> Message::FindHeader(std::string_view name) const {
  if (record_) {
    if (record_->headers.empty() && name == kTraceparentHeader && !record_->traceparent.empty())
      return record_->traceparent;
    for (auto header = record_->headers.rbegin(); header != record_->headers.rend(); ++header) {
      if (header->name == name) return header->value;
    }
    return std::nullopt;
  }
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(raw_, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return std::nullopt;
  const void* value = nullptr;
  size_t size = 0;
  if (rd_kafka_header_get_last(headers, std::string(name).c_str(), &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return std::nullopt;
  }
  return std::string_view(static_cast<const char*>(value), size);
}

Headers Message::headers() const {
  if (record_) return HeadersOf(*record_);
  Headers all;
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(raw_, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return all;
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
    all.push_back({name, value == nullptr ? std::string() : std::string(static_cast<const char*>(value), size)});
  }
  return all;
}

std::string_view Message::traceparent() const {
  return trace::ValidTraceparent(FindHeader(kTraceparentHeader).value_or(std::string_view()));
}

}  // namespace stockalert::kafka
