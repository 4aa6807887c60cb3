// Fetches current prices so that callers who want the same symbol at the same time share one fetch.
//
// Thread-safe. A fetch continues to its own deadline even if the caller that began it gives up: others may wait for it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/mutex.h"
#include "services/ticker/peers.h"

namespace stockalert::ticker {

class QuoteFetcher {
 public:
  // `fetcher` must outlive it.
  QuoteFetcher(Fetcher& fetcher, absl::Duration fetch_timeout) : fetcher_(fetcher), fetch_timeout_(fetch_timeout) {}
  // Waits for what it began, at most fetch_timeout.
  ~QuoteFetcher();
  QuoteFetcher(const QuoteFetcher&) = delete;
  QuoteFetcher& operator=(const QuoteFetcher&) = delete;

  // A price, or why there is none where that is known.
  struct Answer {
    std::optional<internal::v1::QuoteRecord> quote;
    std::optional<SymbolProblem> problem;
  };
  // In the order asked. A fetch that begins here uses the share of `user`. Blocks, at most until `deadline`
  // (DEADLINE_EXCEEDED).
  absl::StatusOr<std::vector<Answer>> Fetch(const std::vector<std::string>& symbols, const std::string& user,
                                            const trace::Context& trace, absl::Time deadline);

  // Callers who wait now; for tests.
  size_t waiting() const;

 private:
  absl::StatusOr<std::vector<Answer>> FetchOnce(const std::vector<std::string>& symbols, const std::string& user,
                                                const trace::Context& trace, absl::Time deadline, bool* others_share);
  struct Flight {
    std::vector<std::string> symbols;
    bool done = false;  // Guarded by mutex_, as what follows.
    absl::Status status;
    std::unordered_map<std::string, Answer> answers;
  };
  void Land(const std::shared_ptr<Flight>& flight, absl::StatusOr<FetchedQuotes> fetched);

  Fetcher& fetcher_;
  const absl::Duration fetch_timeout_;
  mutable base::Mutex mutex_;
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  base::ConditionVariable landed_;
  std::unordered_map<std::string, std::shared_ptr<Flight>> flights_ ABSL_GUARDED_BY(mutex_);  // By symbol.
};

}  // namespace stockalert::ticker
