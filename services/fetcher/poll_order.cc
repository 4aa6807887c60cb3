#include "services/fetcher/poll_order.h"

#include <algorithm>
#include <vector>

namespace stockalert::fetcher {

int64_t PollOrder::DueUs(const Entry& entry) {
  if (entry.polled_us == 0) return 0;
  return std::max(entry.polled_us, std::min(entry.streamed_us, entry.polled_us + kStreamedCreditUs));
}

void PollOrder::Dequeue(const std::string& symbol, const Entry& entry) {
  if (ready_.erase({DueUs(entry), symbol}) == 0) aside_.erase({entry.not_before_us, symbol});
}

void PollOrder::Enqueue(const std::string& symbol, const Entry& entry) {
  if (entry.under_way) return;
  if (entry.not_before_us > 0) {
    aside_.insert({entry.not_before_us, symbol});
  } else {
    ready_.insert({DueUs(entry), symbol});
  }
}

void PollOrder::AdjustCount(State state, int by) {
  if (state == State::kDenied) denied_ += static_cast<size_t>(by);
  if (state == State::kFailed) failed_ += static_cast<size_t>(by);
}

void PollOrder::SetSymbols(const std::set<std::string>& symbols) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (symbols.contains(it->first)) {
      ++it;
      continue;
    }
    Dequeue(it->first, it->second);
    AdjustCount(it->second.state, -1);
    it = entries_.erase(it);
  }
  for (const std::string& symbol : symbols) {
    const auto [entry, is_new] = entries_.try_emplace(symbol);
    if (is_new) Enqueue(symbol, entry->second);
  }
}

std::optional<std::string> PollOrder::Next(int64_t now_us) {
  while (!aside_.empty() && aside_.begin()->first <= now_us) {
    const std::string symbol = aside_.begin()->second;
    aside_.erase(aside_.begin());
    Entry& entry = entries_.at(symbol);
    entry.not_before_us = 0;
    Enqueue(symbol, entry);
  }
  if (ready_.empty()) return std::nullopt;
  return ready_.begin()->second;
}

std::optional<std::string> PollOrder::NextAside() const {
  if (aside_.empty()) return std::nullopt;
  return aside_.begin()->second;
}

void PollOrder::MarkUnderWay(const std::string& symbol) {
  const auto found = entries_.find(symbol);
  if (found == entries_.end()) return;
  Dequeue(symbol, found->second);
  found->second.not_before_us = 0;
  found->second.under_way = true;
}

void PollOrder::OnEnded(const std::string& symbol, State state, int64_t now_us, absl::Duration pause_min,
                        absl::Duration pause_max) {
  const auto found = entries_.find(symbol);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  Dequeue(symbol, entry);
  AdjustCount(entry.state, -1);
  AdjustCount(state, 1);
  entry.times = state == State::kFine ? 0 : (entry.state == state ? entry.times + 1 : 1);
  entry.state = state;
  entry.under_way = false;
  entry.polled_us = now_us;
  entry.not_before_us = 0;
  if (state != State::kFine) {
    const absl::Duration pause = std::min(pause_max, pause_min * (int64_t{1} << std::min(entry.times - 1, 20)));
    entry.not_before_us = now_us + absl::ToInt64Microseconds(pause);
  }
  Enqueue(symbol, entry);
}

void PollOrder::OnPolled(const std::string& symbol, int64_t now_us) { OnEnded(symbol, State::kFine, now_us, {}, {}); }
void PollOrder::OnFailed(const std::string& symbol, int64_t now_us) {
  OnEnded(symbol, State::kFailed, now_us, kFailedPauseMin, kFailedPauseMax);
}
void PollOrder::OnDenied(const std::string& symbol, int64_t now_us) {
  OnEnded(symbol, State::kDenied, now_us, kDeniedPauseMin, kDeniedPauseMax);
}

void PollOrder::Release(const std::string& symbol) {
  const auto found = entries_.find(symbol);
  if (found == entries_.end() || !found->second.under_way) return;
  found->second.under_way = false;
  Enqueue(symbol, found->second);
}

void PollOrder::OnStreamed(const std::string& symbol, int64_t now_us) {
  const auto found = entries_.find(symbol);
  if (found == entries_.end()) return;
  const bool waits = !found->second.under_way;
  if (waits) Dequeue(symbol, found->second);
  found->second.streamed_us = now_us;
  if (waits) Enqueue(symbol, found->second);
}

std::optional<PollOrder::Aside> PollOrder::AsideOf(const std::string& symbol, int64_t now_us) const {
  const auto found = entries_.find(symbol);
  if (found == entries_.end() || found->second.not_before_us <= now_us) return std::nullopt;
  return Aside{found->second.state == State::kDenied, absl::Microseconds(found->second.not_before_us - now_us)};
}

void PollOrder::Forgive(State state) {
  for (auto& [symbol, entry] : entries_) {
    if (entry.state != state) continue;
    if (!entry.under_way) Dequeue(symbol, entry);
    AdjustCount(state, -1);
    entry.state = State::kFine;
    entry.times = 0;
    entry.not_before_us = 0;
    Enqueue(symbol, entry);
  }
}

void PollOrder::ForgiveFailures() { Forgive(State::kFailed); }
void PollOrder::ForgiveDenials() { Forgive(State::kDenied); }

}  // namespace stockalert::fetcher
