#include "services/tools/log/log_reader.h"

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/partitioner.h"
#include "services/common/kafka/topic_admin.h"
#include "services/tools/log/stream_printer.h"

namespace stockalert::logtool {
namespace {

constexpr size_t kMessagesMax = 5'000;

class Reading {
 public:
  Reading(const LogReaderOptions& options, kafka::AssignedConsumer& consumer, std::FILE* out, std::FILE* notes)
      : options_(options), consumer_(consumer), out_(out), notes_(notes) {}

  // [begin, end) of each.
  struct Span {
    int64_t begin = 0;
    int64_t end = 0;
  };

  absl::StatusOr<Span> SpanOf(int32_t partition) {
    STOCKALERT_ASSIGN_OR_RETURN(const kafka::Watermarks marks,
                                consumer_.QueryWatermarks({kafka::kPricesTopic, partition}, options_.timeout));
    // Whoever does not say where to begin takes what is printed for the whole log.
    Span span{options_.from_offset.value_or(0), marks.high};
    if (span.begin < marks.low) {
      std::fprintf(notes_, "stockalert-log: partition %d: the log begins at offset %lld\n", partition,
                   static_cast<long long>(marks.low));
      span.begin = marks.low;
    }
    if (span.begin > marks.high) span.begin = marks.high;
    return span;
  }

  // To the end as it is now.
  absl::Status ReadToEnd(int32_t partition) {
    STOCKALERT_ASSIGN_OR_RETURN(const Span span, SpanOf(partition));
    if (span.begin >= span.end) return absl::OkStatus();
    STOCKALERT_RETURN_IF_ERROR(consumer_.Assign({{{kafka::kPricesTopic, partition}, span.begin}}));
    absl::Time deadline = absl::Now() + options_.timeout;
    for (int64_t next = span.begin; next < span.end;) {
      STOCKALERT_ASSIGN_OR_RETURN(const kafka::PollResult polled, Poll());
      for (const kafka::Message& message : polled.messages) {
        deadline = absl::Now() + options_.timeout;
        next = message.offset() + 1;
        if (message.offset() < span.end) STOCKALERT_RETURN_IF_ERROR(Take(message));
      }
      STOCKALERT_RETURN_IF_ERROR(Write());
      if (absl::Now() > deadline) {
        return absl::UnavailableError(
            absl::StrCat("the broker does not deliver partition ", partition, " beyond offset ", next));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Follow(const std::vector<int32_t>& partitions) {
    std::map<kafka::TopicPartition, int64_t> places;
    for (const int32_t partition : partitions) {
      STOCKALERT_ASSIGN_OR_RETURN(const Span span, SpanOf(partition));
      places[{kafka::kPricesTopic, partition}] = span.begin;
    }
    STOCKALERT_RETURN_IF_ERROR(consumer_.Assign(places));
    for (;;) {
      STOCKALERT_ASSIGN_OR_RETURN(const kafka::PollResult polled, Poll());
      for (const kafka::Message& message : polled.messages) STOCKALERT_RETURN_IF_ERROR(Take(message));
      STOCKALERT_RETURN_IF_ERROR(Write());
    }
  }

  // The end of the notes, and whatever was printed before an error.
  void Finish() {
    (void)Write();
    std::fprintf(notes_, "stockalert-log: %lld printed, %lld sent again (skipped), %lld malformed (skipped)\n",
                 static_cast<long long>(printer_.printed()), static_cast<long long>(printer_.skipped_repeats()),
                 static_cast<long long>(printer_.skipped_malformed()));
  }

 private:
  absl::StatusOr<kafka::PollResult> Poll() {
    kafka::PollResult polled = consumer_.Poll(absl::Milliseconds(200), kMessagesMax);
    if (!polled.fatal.ok()) return polled.fatal;
    if (!polled.errors.empty()) return polled.errors.front().status;
    return polled;
  }

  absl::Status Take(const kafka::Message& message) {
    if (!options_.symbol.empty() && message.key() != options_.symbol) return absl::OkStatus();
    return printer_.Print(message.key(), message.value(), message.offset(), &text_);
  }

  absl::Status Write() {
    if (text_.empty()) return absl::OkStatus();
    const bool written = std::fwrite(text_.data(), 1, text_.size(), out_) == text_.size() && std::fflush(out_) == 0;
    text_.clear();
    return written ? absl::OkStatus() : absl::CancelledError("the output is closed");
  }

  const LogReaderOptions& options_;
  kafka::AssignedConsumer& consumer_;
  std::FILE* const out_;
  std::FILE* const notes_;
  StreamPrinter printer_;
  std::string text_;
};

}  // namespace

absl::Status ReadLog(const LogReaderOptions& options, std::FILE* out, std::FILE* notes) {
  kafka::AssignedConsumerOptions consumer_options;
  consumer_options.bootstrap = options.kafka_bootstrap;
  consumer_options.security = options.kafka_security;
  consumer_options.client_id = "stockalert-log";
  consumer_options.report_ends = false;
  consumer_options.extra = options.extra;
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<kafka::AssignedConsumer> consumer,
                              kafka::AssignedConsumer::Create(consumer_options));
  STOCKALERT_ASSIGN_OR_RETURN(const int count, consumer->CountPartitions(kafka::kPricesTopic, options.timeout));
  std::vector<int32_t> partitions;
  if (options.partition) {
    if (*options.partition >= count) {
      return absl::OutOfRangeError(absl::StrCat("the topic prices has the partitions 0 to ", count - 1));
    }
    partitions = {*options.partition};
  } else if (!options.symbol.empty()) {
    partitions = {kafka::PartitionOf(options.symbol, count)};
  } else {
    for (int32_t i = 0; i < count; ++i) partitions.push_back(i);
  }
  Reading reading(options, *consumer, out, notes);
  absl::Status status = [&]() -> absl::Status {
    if (options.follow) return reading.Follow(partitions);
    for (const int32_t partition : partitions) STOCKALERT_RETURN_IF_ERROR(reading.ReadToEnd(partition));
    return absl::OkStatus();
  }();
  reading.Finish();
  return status;
}

}  // namespace stockalert::logtool
