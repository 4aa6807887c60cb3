#include "services/evaluator/alert_event_relay.h"

#include <algorithm>
#include <utility>

namespace stockalert::evaluator {
namespace {
constexpr size_t kReadRowsMax = 2'000;
constexpr size_t kPublishedMax = 2'000;
// Rows that a partition may have under way however much others have.
constexpr size_t kOfPartitionMin = 200;
// Rows of a partition that are published in one turn.
constexpr size_t kTurn = 50;
}  // namespace

AlertEventRelay::AlertEventRelay(EvaluatorStore& store, EventPublisher& publisher, size_t window_max)
    : store_(store), publisher_(publisher), window_max_(window_max) {}

void AlertEventRelay::BeginPartition(int32_t partition, int64_t next_sequence) {
  EndPartition(partition);
  Lane& lane = lanes_[partition];
  lane.token = next_token_++;
  lane.end = next_sequence;
}

void AlertEventRelay::EndPartition(int32_t partition) {
  auto lane = lanes_.find(partition);
  if (lane == lanes_.end()) return;
  for (const auto& [sequence, state] : lane->second.under_way) {
    under_way_ -= state == State::kAnswered ? 0 : 1;
    published_ -= state == State::kPublished ? 1 : 0;
  }
  lanes_.erase(lane);
}

void AlertEventRelay::EndAllPartitions() {
  lanes_.clear();
  under_way_ = 0;
  published_ = 0;
}

void AlertEventRelay::Add(std::vector<OutboxRow> committed) {
  for (OutboxRow& row : committed) {
    auto found = lanes_.find(row.partition);
    if (found == lanes_.end()) continue;
    Lane& lane = found->second;
    const int64_t expected = lane.ready.empty() ? lane.next_to_send : lane.ready.back().sequence + 1;
    lane.end = row.sequence + 1;
    // What does not follow on what is in memory, or is too much for it, is read back from the store in its turn.
    if (!lane.failed && row.sequence == expected && lane.ready.size() < window_max_)
      lane.ready.push_back(std::move(row));
  }
}

absl::Status AlertEventRelay::Pump() {
  HandleAnswers();
  absl::Status status;
  bool may_read = true;
  for (auto& [partition, lane] : lanes_) {
    absl::Status staged = Stage(partition, lane, may_read);
    if (staged.ok()) continue;
    // A store that does not answer one answers none, and each question may last: the rest goes out from memory as far
    // as it is there.
    if (absl::IsUnavailable(staged) || absl::IsDeadlineExceeded(staged) || absl::IsResourceExhausted(staged))
      may_read = false;
    status = std::move(staged);
  }
  Publish();
  HandleAnswers();  // A publisher may answer at once.
  return status;
}

void AlertEventRelay::HandleAnswers() {
  std::vector<Answer> answers;
  {
    base::MutexLock lock(inbox_->mutex);
    answers.swap(inbox_->answers);
  }
  for (const Answer& answer : answers) {
    auto found = lanes_.find(answer.partition);
    if (found == lanes_.end() || found->second.token != answer.token) continue;
    Lane& lane = found->second;
    auto row = lane.under_way.find(answer.sequence);
    if (row == lane.under_way.end() || row->second != State::kPublished) continue;
    row->second = State::kAnswered;
    --under_way_;
    --published_;
    if (!answer.delivered) {
      ++failures_;
      // Nothing from this row on counts as the broker's: it and what follows go out again, in their order.
      if (!lane.failed || answer.sequence < lane.failed_from) lane.failed_from = answer.sequence;
      lane.failed = true;
      Unstage(lane);
    }
  }
  for (auto& [partition, lane] : lanes_) {
    while (!lane.under_way.empty() && lane.under_way.begin()->second == State::kAnswered &&
           !(lane.failed && lane.under_way.begin()->first >= lane.failed_from)) {
      lane.acknowledged = lane.under_way.begin()->first;
      lane.under_way.erase(lane.under_way.begin());
    }
    if (!lane.failed) continue;
    const bool all_answered = std::all_of(lane.under_way.begin(), lane.under_way.end(),
                                          [](const auto& row) { return row.second == State::kAnswered; });
    if (!all_answered) continue;
    lane.under_way.clear();
    lane.ready.clear();
    lane.next_to_send = lane.failed_from;
    lane.failed = false;
  }
}

// Takes back what the publisher has not been given: it is read again with what failed.
void AlertEventRelay::Unstage(Lane& lane) {
  while (!lane.staged.empty()) {
    const int64_t sequence = lane.staged.Pop().second.sequence;
    lane.failed_from = std::min(lane.failed_from, sequence);
    lane.under_way.erase(sequence);
    --under_way_;
  }
}

absl::Status AlertEventRelay::Stage(int32_t partition, Lane& lane, bool may_read) {
  const size_t own_min = std::min(kOfPartitionMin, window_max_);
  while (!lane.failed && lane.next_to_send < lane.end) {
    size_t room = window_max_ > under_way_ ? window_max_ - under_way_ : 0;
    if (lane.under_way.size() < own_min) room = std::max(room, own_min - lane.under_way.size());
    if (room == 0) break;
    std::vector<OutboxRow> rows;
    if (!lane.ready.empty() && lane.ready.front().sequence == lane.next_to_send) {
      while (!lane.ready.empty() && rows.size() < room) {
        rows.push_back(std::move(lane.ready.front()));
        lane.ready.pop_front();
      }
      lane.next_to_send = rows.back().sequence + 1;
    } else if (!may_read) {
      return absl::OkStatus();
    } else {
      const size_t rows_max = std::min(kReadRowsMax, room);
      absl::StatusOr<std::vector<OutboxRow>> read = store_.ReadOutbox(partition, lane.next_to_send - 1, rows_max);
      if (!read.ok()) return read.status();
      const int64_t memory_begins = lane.ready.empty() ? lane.end : lane.ready.front().sequence;
      const bool all_read = read->size() < rows_max;
      rows = *std::move(read);
      // What is in memory anyway is sent from there.
      while (!rows.empty() && rows.back().sequence >= memory_begins) rows.pop_back();
      if (all_read) {
        lane.next_to_send = memory_begins;
      } else {
        lane.next_to_send = rows.empty() ? memory_begins : rows.back().sequence + 1;
      }
    }
    under_way_ += rows.size();
    for (OutboxRow& row : rows) {
      lane.under_way.emplace(row.sequence, State::kStaged);
      const std::string key = row.key;
      lane.staged.Push(key, std::move(row));
    }
    // Sequences that an earlier owner has relayed are gone from the store, and no row of this process waits for them.
    if (lane.under_way.empty()) lane.acknowledged = std::max(lane.acknowledged, lane.next_to_send - 1);
  }
  return absl::OkStatus();
}

void AlertEventRelay::Publish() {
  const size_t published_max = std::min(kPublishedMax, window_max_);
  // Lanes that had nothing to give, one after another: a whole round of them ends it.
  size_t idle = 0;
  while (published_ < published_max && idle < lanes_.size()) {
    auto found = lanes_.lower_bound(next_partition_);
    if (found == lanes_.end()) found = lanes_.begin();
    Lane& lane = found->second;
    next_partition_ = found->first + 1;
    idle = lane.staged.empty() ? idle + 1 : 0;
    for (size_t i = 0; i < kTurn && published_ < published_max && !lane.staged.empty(); ++i) {
      const OutboxRow row = lane.staged.Pop().second;
      lane.under_way[row.sequence] = State::kPublished;
      ++published_;
      publisher_.Publish(
          row, [inbox = inbox_, partition = found->first, token = lane.token, sequence = row.sequence](bool delivered) {
            base::MutexLock lock(inbox->mutex);
            inbox->answers.push_back({partition, token, sequence, delivered});
          });
    }
  }
}

std::vector<OutboxAcknowledgement> AlertEventRelay::FindAcknowledged() const {
  std::vector<OutboxAcknowledgement> acknowledged;
  for (const auto& [partition, lane] : lanes_) {
    if (lane.acknowledged > lane.deleted) acknowledged.push_back({partition, lane.acknowledged});
  }
  return acknowledged;
}

void AlertEventRelay::MarkDeleted(const std::vector<OutboxAcknowledgement>& acknowledged) {
  for (const OutboxAcknowledgement& deleted : acknowledged) {
    auto lane = lanes_.find(deleted.partition);
    if (lane != lanes_.end()) lane->second.deleted = std::max(lane->second.deleted, deleted.sequence);
  }
}

int64_t AlertEventRelay::backlog() const {
  int64_t rows = 0;
  for (const auto& [partition, lane] : lanes_) {
    rows += static_cast<int64_t>(lane.under_way.size()) + (lane.end - lane.next_to_send);
  }
  return rows;
}

}  // namespace stockalert::evaluator
