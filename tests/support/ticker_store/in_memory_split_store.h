// A SplitStore in memory, with the tickers that a test names. Thread-safe.
#pragma once

#include <algorithm>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "services/common/base/error.h"
#include "services/ticker/split_store.h"
#include "services/ticker/store_errors.h"

namespace stockalert::testing {

class InMemorySplitStore final : public ticker::SplitStore {
 public:
  void Register(const std::string& symbol) {
    std::lock_guard lock(mutex_);
    tickers_.insert(symbol);
  }
  // As the log's reader does.
  void NoteInLog(const std::string& symbol, int64_t number) {
    std::lock_guard lock(mutex_);
    for (Row& one : rows_) {
      if (one.row.split.symbol == symbol && one.row.split.number == number) one.row.in_log = true;
    }
  }

  // As the log's reader does where the log is another one.
  void LoseLog() {
    std::lock_guard lock(mutex_);
    for (Row& one : rows_) {
      one.row.lost = one.row.in_log;
      if (one.row.lost) one.next_attempt_us = 0;
    }
  }

  // As a database that was restored from a backup of before, once the log's reader has found the splits again.
  void ForgetRequests() {
    std::lock_guard lock(mutex_);
    for (Row& one : rows_) one.request_id.clear();
  }

  absl::StatusOr<ticker::SplitRow> Declare(const record::Split& split, const std::string& request_id,
                                           int64_t now_us) override {
    std::lock_guard lock(mutex_);
    int64_t last = 0;
    const bool lost = std::ranges::any_of(
        rows_, [&](const Row& one) { return one.row.split.symbol == split.symbol && one.row.lost; });
    bool pending = lost;
    for (const Row& one : rows_) {
      const record::Split& kept = one.row.split;
      if (one.request_id == request_id || (kept.symbol == split.symbol && kept.split_id == split.split_id)) {
        if (kept.symbol == split.symbol && kept.ratio == split.ratio &&
            kept.effective_time_us == split.effective_time_us) {
          if (!one.row.in_log && lost) return base::FailedPrecondition(ticker::kReasonSplitPending, "one is lost");
          return one.row;
        }
        return base::InvalidField("request_id", "was used", ticker::kReasonSplitRequestReused);
      }
      if (kept.symbol != split.symbol) continue;
      last = std::max(last, kept.number);
      pending = pending || !one.row.in_log;
    }
    if (!tickers_.contains(split.symbol)) return ticker::TickerNotFound(split.symbol);
    if (pending) return base::FailedPrecondition(ticker::kReasonSplitPending, "one is pending");
    Row added{{split, now_us}, request_id, 1, now_us + ticker::kSplitAttemptPauseUs};
    added.row.split.number = last + 1;
    rows_.push_back(added);
    ticker::SplitRow first = added.row;
    first.is_first = true;
    return first;
  }

  absl::Status Withdraw(const record::Split& split) override {
    std::lock_guard lock(mutex_);
    std::erase_if(rows_, [&](const Row& one) {
      return one.row.split.split_id == split.split_id && !one.row.in_log && one.attempts == 1;
    });
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<ticker::SplitRow>> Find(const std::string& symbol, int64_t number) override {
    std::lock_guard lock(mutex_);
    for (const Row& one : rows_) {
      if (one.row.split.symbol == symbol && one.row.split.number == number) return std::optional(one.row);
    }
    return std::optional<ticker::SplitRow>();
  }

  absl::StatusOr<std::vector<ticker::SplitRow>> ClaimPending(int64_t now_us, int limit) override {
    std::lock_guard lock(mutex_);
    std::vector<ticker::SplitRow> claimed;
    const auto is_due = [](const Row& one) { return !one.row.in_log || one.row.lost; };
    for (Row& one : rows_) {
      const record::Split& split = one.row.split;
      const bool is_next = std::ranges::none_of(rows_, [&](const Row& other) {
        return other.row.split.symbol == split.symbol && other.row.split.number < split.number && is_due(other);
      });
      if (!is_due(one) || !is_next) continue;
      if (one.next_attempt_us > now_us || claimed.size() == static_cast<size_t>(limit)) continue;
      ++one.attempts;
      one.next_attempt_us = now_us + ticker::kSplitAttemptPauseUs;
      claimed.push_back(one.row);
    }
    return claimed;
  }

  absl::Status NoteFound(const record::Split& split, ticker::LogPlace) override {
    std::lock_guard lock(mutex_);
    for (Row& one : rows_) {
      if (one.row.split == split) one.row.lost = false;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<ticker::SplitRow>> List(const std::string& symbol,
                                                     const std::optional<ticker::SplitPlace>& after,
                                                     int limit) override {
    std::lock_guard lock(mutex_);
    const auto place = [](const std::string& of, int64_t number) { return std::pair(of, -number); };
    std::vector<ticker::SplitRow> found;
    for (const Row& one : rows_) {
      const record::Split& split = one.row.split;
      if (!symbol.empty() && split.symbol != symbol) continue;
      if (after && place(split.symbol, split.number) <= place(after->symbol, after->number)) continue;
      found.push_back(one.row);
    }
    std::ranges::sort(found, {},
                      [&](const ticker::SplitRow& row) { return place(row.split.symbol, row.split.number); });
    if (found.size() > static_cast<size_t>(limit)) found.resize(static_cast<size_t>(limit));
    return found;
  }

 private:
  struct Row {
    ticker::SplitRow row;
    std::string request_id;
    int attempts = 0;
    int64_t next_attempt_us = 0;
  };
  std::mutex mutex_;
  std::set<std::string> tickers_;  // Guarded by mutex_, as what follows.
  std::vector<Row> rows_;
};

}  // namespace stockalert::testing
