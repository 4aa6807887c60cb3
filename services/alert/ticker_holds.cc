#include "services/alert/ticker_holds.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/status_macros.h"

namespace stockalert::alert {

TickerHolds::TickerHolds(Upstream& upstream, const base::MonotonicClock& clock)
    : upstream_(upstream),
      clock_(clock),
      questions_({.waiting_max = 1024, .weight_max = kSplitNumbersAskedMax},
                 [this](const std::vector<Question>& group) { return FindSplitNumbers(group); }) {}

std::vector<absl::StatusOr<RegisteredTicker>> TickerHolds::Register(const std::vector<std::string>& symbols,
                                                                    const rpc::CallContext& call) {
  const int64_t deadline_us = clock_.NowUs() + absl::ToInt64Microseconds(call.deadline - absl::Now());
  std::vector<absl::StatusOr<RegisteredTicker>> tickers;
  std::vector<size_t> held;
  Question question{{}, call};
  for (const std::string& symbol : symbols) {
    {
      base::MutexLock lock(mutex_);
      if (const auto known = holds_.find(symbol); known != holds_.end() && known->second.until_us >= deadline_us) {
        held.push_back(tickers.size());
        question.symbols.push_back(known->second.symbol);
        tickers.push_back(RegisteredTicker{known->second.symbol});
        continue;
      }
    }
    tickers.push_back(RegisterOne(symbol, call));
    if (!tickers.back().ok()) return tickers;
  }
  if (held.empty()) return tickers;
  const size_t weight = held.size();
  const absl::StatusOr<SplitNumbers> answer = questions_.Call(std::move(question), weight, call.deadline);
  const absl::Status status = answer.ok() ? answer->status() : answer.status();
  for (const size_t i : held) {
    if (!status.ok()) {
      tickers.resize(i, absl::UnknownError(""));
      tickers.push_back(status);
      return tickers;
    }
    if (const auto number = (*answer)->find(tickers[i]->symbol); number != (*answer)->end()) {
      tickers[i]->split_number = number->second;
    }
  }
  return tickers;
}

absl::StatusOr<RegisteredTicker> TickerHolds::RegisterOne(const std::string& symbol, const rpc::CallContext& call) {
  const int64_t now_us = clock_.NowUs();
  const absl::Duration remaining = std::max(call.deadline - absl::Now(), absl::ZeroDuration());
  const absl::Duration hold = std::min(remaining + kReuse, kHoldMax);
  STOCKALERT_ASSIGN_OR_RETURN(RegisteredTicker ticker, upstream_.RegisterTicker(symbol, hold, call));
  base::MutexLock lock(mutex_);
  if (holds_.size() >= kHoldsMax && !holds_.contains(symbol)) holds_.clear();
  Hold& known = holds_[symbol];
  known = {ticker.symbol, std::max(known.until_us, now_us + absl::ToInt64Microseconds(hold))};
  return ticker;
}

std::vector<TickerHolds::SplitNumbers> TickerHolds::FindSplitNumbers(const std::vector<Question>& group) {
  std::set<std::string> symbols;
  // One call's short deadline must not be another's.
  rpc::CallContext call = group.front().call;
  for (const Question& question : group) {
    symbols.insert(question.symbols.begin(), question.symbols.end());
    call.deadline = std::max(call.deadline, question.call.deadline);
  }
  return {group.size(), upstream_.GetSplitNumbers({symbols.begin(), symbols.end()}, call)};
}

}  // namespace stockalert::alert
