#include "services/fetcher/replay_log.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/kafka/partitioner.h"
#include "services/common/kafka/topic_admin.h"
#include "services/domain/record/log_record.h"

namespace stockalert::fetcher {

KafkaReplayLog::KafkaReplayLog(std::string bootstrap, kafka::Security security, absl::Duration timeout,
                               kafka::ExtraSettings extra)
    : bootstrap_(std::move(bootstrap)), security_(std::move(security)), timeout_(timeout), extra_(std::move(extra)) {}

absl::StatusOr<std::optional<ReplayMark>> KafkaReplayLog::FindLast(const std::string& symbol) {
  if (consumer_ == nullptr) {
    kafka::AssignedConsumerOptions options;
    options.bootstrap = bootstrap_;
    options.security = security_;
    options.client_id = "stockalert-fetcher-replay";
    options.report_ends = false;
    options.extra = extra_;
    STOCKALERT_ASSIGN_OR_RETURN(consumer_, kafka::AssignedConsumer::Create(options));
  }
  STOCKALERT_ASSIGN_OR_RETURN(const int partitions, consumer_->CountPartitions(kafka::kPricesTopic, timeout_));
  const kafka::TopicPartition partition{kafka::kPricesTopic, kafka::PartitionOf(symbol, partitions)};
  STOCKALERT_ASSIGN_OR_RETURN(const kafka::Watermarks marks, consumer_->QueryWatermarks(partition, timeout_));
  // Further and further back: what is looked for is mostly at the very end, and there may be nothing at all.
  int64_t end = marks.high;
  for (int64_t length = 1'000; end > marks.low; length *= 10) {
    const int64_t begin = std::max(marks.low, end - length);
    STOCKALERT_ASSIGN_OR_RETURN(std::optional<ReplayMark> found, FindLastIn(partition, begin, end, symbol));
    if (found) return found;
    end = begin;
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<ReplayMark>> KafkaReplayLog::FindLastIn(const kafka::TopicPartition& partition,
                                                                     int64_t begin, int64_t end,
                                                                     const std::string& symbol) {
  STOCKALERT_RETURN_IF_ERROR(consumer_->Assign({{partition, begin}}));
  std::optional<ReplayMark> last;
  absl::Time deadline = absl::Now() + timeout_;
  for (int64_t next = begin; next < end;) {
    kafka::PollResult polled = consumer_->Poll(absl::Milliseconds(200), 1'000);
    if (!polled.fatal.ok()) {
      absl::Status fatal = polled.fatal;
      polled = kafka::PollResult();
      consumer_.reset();
      return fatal;
    }
    if (!polled.errors.empty()) return polled.errors.front().status;
    if (!polled.messages.empty()) deadline = absl::Now() + timeout_;
    for (const kafka::Message& message : polled.messages) {
      next = message.offset() + 1;
      if (message.offset() >= end || message.key() != symbol) continue;
      const auto run = message.FindHeader(kReplayRunHeader);
      if (!run) continue;
      record::ReadRecord read = record::ReadLogRecord(message.key(), message.value());
      if (read.soundness != record::Soundness::kSound) continue;
      ReplayMark mark{std::string(*run), std::nullopt, std::nullopt, ""};
      int64_t position = 0;
      if (const auto text = message.FindHeader(kReplayPositionHeader);
          text && absl::SimpleAtoi(absl::string_view(text->data(), text->size()), &position))
        mark.position = position;
      if (const auto file = message.FindHeader(kReplayFileHeader)) mark.file = std::string(*file);
      if (read.record.has_quote()) mark.quote = std::move(*read.record.mutable_quote());
      last = std::move(mark);
    }
    if (absl::Now() > deadline)
      return absl::UnavailableError(absl::StrCat("the broker does not deliver the records of ", symbol));
  }
  return last;
}

}  // namespace stockalert::fetcher
