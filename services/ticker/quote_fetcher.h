// Fetches current prices so that callers who want the same symbol at the same time share one fetch.
//
// Thread-safe. A fetch that has begun goes on to its own deadline even where the caller that began it gives up: others may wait for it.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
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

  // In the order asked; none where the source has no price. Blocks, at most until `deadline` (DEADLINE_EXCEEDED).
  absl::StatusOr<std::vector<std::optional<internal::v1::QuoteRecord>>> Fetch(const std::vector<std::string>& symbols,
                                                                              const trace::Context& trace, absl::Time deadline);

 private:
  struct Flight {
    std::vector<std::string> symbols;
    bool done = false;  // Guarded by mutex_, as what follows.
    absl::Status status;
    std::unordered_map<std::string, internal::v1::QuoteRecord> quotes;
  };
  void Land(const std::shared_ptr<Flight>& flight, absl::StatusOr<std::vector<internal::v1::QuoteRecord>> fetched);

  Fetcher& fetcher_;
  const absl::Duration fetch_timeout_;
  std::mutex mutex_;
  std::condition_variable landed_;
  std::unordered_map<std::string, std::shared_ptr<Flight>> flights_;  // By symbol. Guarded by mutex_.
};

}  // namespace stockalert::ticker
