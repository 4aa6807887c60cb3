#include "services/evaluator/outbox_relay.h"

#include <algorithm>
#include <utility>

namespace stockalert::evaluator {
namespace {
constexpr size_t kReadRowsMax = 2'000;
}  // namespace

OutboxRelay::OutboxRelay(EvaluatorStore& store, EventPublisher& publisher, size_t window_max)
    : store_(store), publisher_(publisher), window_max_(window_max) {}

void OutboxRelay::Begin(int32_t partition, int64_t next_sequence) {
  End(partition);
  Lane& lane = lanes_[partition];
  lane.token = next_token_++;
  lane.end = next_sequence;
}

void OutboxRelay::End(int32_t partition) {
  auto lane = lanes_.find(partition);
  if (lane == lanes_.end()) return;
  for (const auto& [sequence, answered] : lane->second.under_way) under_way_ -= answered ? 0 : 1;
  lanes_.erase(lane);
}

void OutboxRelay::EndAll() {
  lanes_.clear();
  under_way_ = 0;
}

void OutboxRelay::Add(std::vector<OutboxRow> committed) {
  for (OutboxRow& row : committed) {
    auto found = lanes_.find(row.partition);
    if (found == lanes_.end()) continue;
    Lane& lane = found->second;
    const int64_t expected = lane.ready.empty() ? lane.next_to_send : lane.ready.back().sequence + 1;
    lane.end = row.sequence + 1;
    // What does not follow on what is in memory, or is too much for it, is read back from the store in its turn.
    if (!lane.failed && row.sequence == expected && lane.ready.size() < window_max_) lane.ready.push_back(std::move(row));
  }
}

absl::Status OutboxRelay::Pump() {
  TakeAnswers();
  absl::Status status;
  for (auto& [partition, lane] : lanes_) {
    if (absl::Status sent = Send(partition, lane); !sent.ok()) status = sent;
  }
  TakeAnswers();  // A publisher may answer at once.
  return status;
}

void OutboxRelay::TakeAnswers() {
  std::vector<Answer> answers;
  {
    const std::lock_guard lock(inbox_->mutex);
    answers.swap(inbox_->answers);
  }
  for (const Answer& answer : answers) {
    auto found = lanes_.find(answer.partition);
    if (found == lanes_.end() || found->second.token != answer.token) continue;
    Lane& lane = found->second;
    auto row = lane.under_way.find(answer.sequence);
    if (row == lane.under_way.end() || row->second) continue;
    row->second = true;
    --under_way_;
    if (!answer.delivered) {
      ++failures_;
      // Nothing from this row on counts as the broker's: it and what follows go out again, in their order.
      if (!lane.failed || answer.sequence < lane.failed_from) lane.failed_from = answer.sequence;
      lane.failed = true;
    }
  }
  for (auto& [partition, lane] : lanes_) {
    while (!lane.under_way.empty() && lane.under_way.begin()->second &&
           !(lane.failed && lane.under_way.begin()->first >= lane.failed_from)) {
      lane.acknowledged = lane.under_way.begin()->first;
      lane.under_way.erase(lane.under_way.begin());
    }
    if (!lane.failed) continue;
    const bool all_answered =
        std::all_of(lane.under_way.begin(), lane.under_way.end(), [](const auto& row) { return row.second; });
    if (!all_answered) continue;
    lane.under_way.clear();
    lane.ready.clear();
    lane.next_to_send = lane.failed_from;
    lane.failed = false;
  }
}

absl::Status OutboxRelay::Send(int32_t partition, Lane& lane) {
  while (!lane.failed && lane.next_to_send < lane.end && under_way_ < window_max_) {
    std::vector<OutboxRow> rows;
    if (!lane.ready.empty() && lane.ready.front().sequence == lane.next_to_send) {
      while (!lane.ready.empty() && rows.size() + under_way_ < window_max_) {
        rows.push_back(std::move(lane.ready.front()));
        lane.ready.pop_front();
      }
      lane.next_to_send = rows.back().sequence + 1;
    } else {
      const size_t rows_max = std::min(kReadRowsMax, window_max_ - under_way_);
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
    for (const OutboxRow& row : rows) lane.under_way.emplace(row.sequence, false);
    under_way_ += rows.size();
    for (const OutboxRow& row : rows) {
      publisher_.Publish(row, [inbox = inbox_, partition, token = lane.token, sequence = row.sequence](bool delivered) {
        const std::lock_guard lock(inbox->mutex);
        inbox->answers.push_back({partition, token, sequence, delivered});
      });
    }
    // Sequences that an earlier owner has relayed are gone from the store, and no row of this process waits for them.
    if (lane.under_way.empty()) lane.acknowledged = std::max(lane.acknowledged, lane.next_to_send - 1);
  }
  return absl::OkStatus();
}

std::vector<OutboxAcknowledgement> OutboxRelay::TakeAcknowledged() const {
  std::vector<OutboxAcknowledgement> acknowledged;
  for (const auto& [partition, lane] : lanes_) {
    if (lane.acknowledged > lane.deleted) acknowledged.push_back({partition, lane.acknowledged});
  }
  return acknowledged;
}

void OutboxRelay::MarkDeleted(const std::vector<OutboxAcknowledgement>& acknowledged) {
  for (const OutboxAcknowledgement& deleted : acknowledged) {
    auto lane = lanes_.find(deleted.partition);
    if (lane != lanes_.end()) lane->second.deleted = std::max(lane->second.deleted, deleted.sequence);
  }
}

int64_t OutboxRelay::backlog() const {
  int64_t rows = 0;
  for (const auto& [partition, lane] : lanes_) {
    rows += static_cast<int64_t>(lane.under_way.size()) + (lane.end - lane.next_to_send);
  }
  return rows;
}

}  // namespace stockalert::evaluator
