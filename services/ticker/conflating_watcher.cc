#include "services/ticker/conflating_watcher.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "services/common/metrics/metrics.h"

namespace stockalert::ticker {

void ConflatingWatcher::Collect(const internal::v1::QuoteRecord& quote) {
  base::MutexLock lock(mutex_);
  pending_.push_back(quote);
  if (pending_.size() > kPendingMax) Conflate();
}

void ConflatingWatcher::Deliver() {
  base::MutexLock lock(mutex_);
  while (!pending_.empty()) {
    const size_t count = std::min(pending_.size(), kQuotesAPushMax);
    const std::vector<internal::v1::QuoteRecord> quotes(pending_.begin(),
                                                        pending_.begin() + static_cast<std::ptrdiff_t>(count));
    if (!push_(quotes)) return;
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

void ConflatingWatcher::Conflate() {
  static auto& conflated =
      metrics::GetCounter("stockalert_ticker_quotes_conflated_total", "Quotes that a slow reader was spared");
  std::unordered_set<std::string_view> seen;
  std::vector<internal::v1::QuoteRecord> latest;
  for (auto quote = pending_.rbegin(); quote != pending_.rend(); ++quote) {
    if (seen.insert(quote->symbol()).second) latest.push_back(*quote);
  }
  conflated.Increment(static_cast<double>(pending_.size() - latest.size()));
  std::reverse(latest.begin(), latest.end());
  pending_ = std::move(latest);
}

}  // namespace stockalert::ticker
