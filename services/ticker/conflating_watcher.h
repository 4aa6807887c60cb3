// Between the board and one client's stream: passes every quote to a client that keeps up, and to a slower one only the
// latest of each symbol.
//
// Thread-safe. Bounded by kPendingMax quotes (or the number of symbols that are watched, where that is more).
#pragma once

#include <functional>
#include <vector>

#include "services/common/base/mutex.h"
#include "services/ticker/price_board.h"

namespace stockalert::ticker {

class ConflatingWatcher final : public QuoteWatcher {
 public:
  static constexpr size_t kPendingMax = 256;
  static constexpr size_t kQuotesAPushMax = 100;

  // Sends the quotes, or returns false if the client's queue is full. Must not call back into the watcher.
  using Push = std::function<bool(const std::vector<internal::v1::QuoteRecord>& quotes)>;
  explicit ConflatingWatcher(Push push) : push_(std::move(push)) {}

  void Collect(const internal::v1::QuoteRecord& quote) override;
  // Pushes what waits; also to be called when the client's queue has become empty.
  void Deliver() override;

 private:
  void Conflate() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Push push_;
  base::Mutex mutex_;
  std::vector<internal::v1::QuoteRecord> pending_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace stockalert::ticker
