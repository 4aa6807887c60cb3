#include "services/common/dead_letter/settling_handler.h"

#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/status_macros.h"

namespace stockalert::dead_letter {

SettlingHandler::SettlingHandler(const std::vector<std::string>& topics, RecordApplier& applier,
                                 DeadLetterStore& dead_letters, const base::Clock& clock, const HeldOptions& options)
    : applier_(applier),
      dead_letters_(dead_letters),
      clock_(clock),
      held_(topics, options),
      open_letters_(dead_letters) {
  for (const std::string& topic : topics) CountDeadLetters(topic, 0);
}

absl::StatusOr<std::vector<std::string>> SettlingHandler::FindLanes(const std::vector<kafka::Message>& messages) {
  return applier_.FindLanes(messages);
}

void SettlingHandler::Read(const std::vector<kafka::QueuedRecord>& records) {
  std::vector<Reading> readings = applier_.Read(records);
  items_.clear();
  items_.reserve(records.size());
  for (size_t i = 0; i < records.size(); ++i) {
    items_.push_back({records[i].partition, records[i].offset, readings[i].disposition, std::move(readings[i].cause)});
  }
}

absl::StatusOr<std::map<kafka::TopicPartition, int64_t>> SettlingHandler::Settle(
    kafka::GroupConsumer& consumer, const std::vector<kafka::QueuedRecord>& records,
    const std::function<void()>& beat) {
  Actions actions;
  actions.apply = [&](const std::vector<size_t>& indices) {
    beat();
    return applier_.Apply(indices);
  };
  actions.keep = [&](const std::vector<Refused>& refused) { return Keep(records, refused); };
  actions.is_kept = [&](size_t index) { return dead_letters_.Has(MakeDeadLetter(records[index], "")); };
  STOCKALERT_ASSIGN_OR_RETURN(const dead_letter::Settled settled, dead_letter::Settle(items_, actions));
  held_.OnBatchSettled(consumer, items_, settled);
  std::map<kafka::TopicPartition, int64_t> offsets;
  for (const auto& [place, held] : settled.held) offsets[place] = held.offset;
  return offsets;
}

absl::Status SettlingHandler::Keep(const std::vector<kafka::QueuedRecord>& records,
                                   const std::vector<Refused>& refused) {
  std::vector<DeadLetter> letters;
  letters.reserve(refused.size());
  for (const Refused& one : refused) letters.push_back(MakeDeadLetter(records[one.index], one.cause));
  STOCKALERT_RETURN_IF_ERROR(dead_letters_.Add(letters, clock_.NowUs()));
  for (const DeadLetter& letter : letters) ReportDeadLetter(letter);
  open_letters_.MeasureSoon();
  return absl::OkStatus();
}

void SettlingHandler::OnFailed() { held_.MarkBlocked(); }

void SettlingHandler::OnSettled() { held_.MarkUnblocked(); }

void SettlingHandler::BeforePoll(kafka::GroupConsumer& consumer) {
  held_.ResumeDue(consumer);
  open_letters_.Measure(absl::Now());
}

void SettlingHandler::AfterPoll(kafka::PollResult& polled) { held_.FilterPolled(polled); }

void SettlingHandler::OnMoved(const kafka::TopicPartition& partition) { held_.Forget(partition); }

void SettlingHandler::OnJoining() { held_.Clear(); }

}  // namespace stockalert::dead_letter
