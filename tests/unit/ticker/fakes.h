// The peers of the ticker service's logic, in memory. Thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/common/base/error.h"
#include "services/ticker/peers.h"

namespace stockalert::ticker {

class MemoryFetcher final : public Fetcher {
 public:
  absl::StatusOr<Knowledge> Lookup(const std::string& symbol, const trace::Context&, absl::Time) override {
    std::lock_guard lock(mutex);
    lookups.push_back(symbol);
    if (!failure.ok()) return failure;
    return unknown.contains(symbol) ? Knowledge::kUnknown : knows_all ? Knowledge::kKnown : Knowledge::kCannotTell;
  }
  void FetchAsync(const std::vector<std::string>& symbols, const trace::Context&, absl::Time, Fetched done) override {
    std::unique_lock lock(mutex);
    fetches.push_back(symbols);
    begun.notify_all();
    if (hold) {
      held.push_back([this, symbols, done] { Finish(symbols, done); });
      return;
    }
    lock.unlock();
    Finish(symbols, done);
  }
  absl::StatusOr<int> Publish(const std::vector<internal::v1::QuoteRecord>& given, const trace::Context&, absl::Time) override {
    std::lock_guard lock(mutex);
    if (!failure.ok()) return failure;
    published.insert(published.end(), given.begin(), given.end());
    return static_cast<int>(given.size());
  }
  void SetQuote(const std::string& symbol, int64_t price) {
    std::lock_guard lock(mutex);
    quotes[symbol].set_symbol(symbol);
    quotes[symbol].set_price_micros(price);
  }
  // Ends the fetches that are held, and holds no more.
  void Release() {
    std::vector<std::function<void()>> ended;
    {
      std::lock_guard lock(mutex);
      hold = false;
      ended.swap(held);
    }
    for (const auto& end : ended) end();
  }
  void AwaitFetches(size_t count) {
    std::unique_lock lock(mutex);
    begun.wait(lock, [&] { return fetches.size() >= count; });
  }

  std::mutex mutex;
  std::condition_variable begun;
  absl::Status failure;
  bool knows_all = false;
  std::set<std::string> unknown;
  std::vector<std::string> lookups;
  bool hold = false;
  std::vector<std::function<void()>> held;
  std::vector<std::vector<std::string>> fetches;
  std::map<std::string, internal::v1::QuoteRecord> quotes;
  std::vector<internal::v1::QuoteRecord> published;

 private:
  void Finish(const std::vector<std::string>& symbols, const Fetched& done) {
    std::vector<internal::v1::QuoteRecord> found;
    absl::Status status;
    {
      std::lock_guard lock(mutex);
      status = failure;
      for (const std::string& symbol : symbols) {
        if (quotes.contains(symbol)) found.push_back(quotes[symbol]);
      }
    }
    if (status.ok()) {
      done(std::move(found));
    } else {
      done(status);
    }
  }
};

class MemoryTickerUse final : public TickerUse {
 public:
  absl::StatusOr<int64_t> CountFollowers(const std::string&, const trace::Context&, absl::Time) override {
    if (while_asked) while_asked();
    return followers;
  }
  absl::StatusOr<int64_t> CountAlerts(const std::string&, const trace::Context&, absl::Time) override { return alerts; }
  absl::StatusOr<int64_t> followers = 0;
  absl::StatusOr<int64_t> alerts = 0;
  std::function<void()> while_asked;
};

}  // namespace stockalert::ticker
