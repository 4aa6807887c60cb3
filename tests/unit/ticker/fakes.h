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
#include "services/ticker/price_board.h"

namespace stockalert::ticker {

class MemoryFetcher final : public Fetcher {
 public:
  absl::StatusOr<LookedUp> Lookup(const std::string& symbol, const std::string& user, const trace::Context&,
                                  absl::Time) override {
    std::unique_lock lock(mutex);
    lookups.push_back(symbol);
    users.push_back(user);
    begun.notify_all();
    while (hold_lookups) released.wait(lock);
    if (!failure.ok()) return failure;
    if (unknown.contains(symbol)) return LookedUp{Knowledge::kUnknown, {}};
    if (not_in_plan.contains(symbol)) return LookedUp{Knowledge::kNotInPlan, {}};
    if (ask_later.contains(symbol)) return LookedUp{Knowledge::kAskLater, ask_later[symbol]};
    return LookedUp{knows_all ? Knowledge::kKnown : Knowledge::kNoList, {}};
  }
  void FetchAsync(const std::vector<std::string>& symbols, const std::string& user, const trace::Context&, absl::Time,
                  Fetched done) override {
    std::unique_lock lock(mutex);
    fetches.push_back(symbols);
    users.push_back(user);
    begun.notify_all();
    if (hold) {
      held.push_back([this, symbols, done] { Finish(symbols, done); });
      return;
    }
    lock.unlock();
    Finish(symbols, done);
  }
  absl::StatusOr<std::vector<LogPlace>> Publish(const std::vector<internal::v1::QuoteRecord>& given,
                                                const trace::Context&, absl::Time) override {
    std::lock_guard lock(mutex);
    if (!failure.ok()) return failure;
    published.insert(published.end(), given.begin(), given.end());
    std::vector<LogPlace> places;
    for (const internal::v1::QuoteRecord& quote : given) {
      if (says_places) places.push_back(Append(quote));
    }
    return places;
  }
  // Into the log; its reader is as quick as it gets.
  LogPlace Append(const internal::v1::QuoteRecord& quote) {
    BoardRecord entry;
    entry.kind = BoardRecord::Kind::kQuote;
    entry.place = {1, next_offset++};
    entry.quote = quote;
    if (board != nullptr) board->Apply({entry});
    return entry.place;
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
  // Ends those that are held, and goes on holding.
  void EndHeld() {
    std::vector<std::function<void()>> ended;
    {
      std::lock_guard lock(mutex);
      ended.swap(held);
    }
    for (const auto& end : ended) end();
  }
  void AwaitFetches(size_t count) {
    std::unique_lock lock(mutex);
    begun.wait(lock, [&] { return fetches.size() >= count; });
  }
  void AwaitLookups(size_t count) {
    std::unique_lock lock(mutex);
    begun.wait(lock, [&] { return lookups.size() >= count; });
  }
  void HoldLookups(bool held_now) {
    std::lock_guard lock(mutex);
    hold_lookups = held_now;
    released.notify_all();
  }

  // The log's reader.
  PriceBoard* board = nullptr;
  int64_t next_offset = 0;
  // False: as a fetcher of the version before.
  bool says_places = true;
  std::mutex mutex;
  std::condition_variable begun;
  std::condition_variable released;
  bool hold_lookups = false;
  std::set<std::string> not_in_plan;
  std::map<std::string, absl::Duration> ask_later;
  std::vector<SymbolProblem> problems;
  std::vector<std::string> users;
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
    FetchedQuotes found;
    absl::Status status;
    {
      std::lock_guard lock(mutex);
      status = failure;
      for (const std::string& symbol : symbols) {
        if (!quotes.contains(symbol)) continue;
        found.quotes.push_back(quotes[symbol]);
        if (status.ok()) Append(quotes[symbol]);
      }
      found.problems = problems;
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
  absl::StatusOr<int64_t> CountFollowers(const std::string& symbol, const trace::Context&, absl::Time) override {
    if (while_asked) while_asked();
    ++asked;
    return followed.contains(symbol) ? 1 : followers;
  }
  absl::StatusOr<int64_t> CountAlerts(const std::string&, const trace::Context&, absl::Time) override { return alerts; }
  std::set<std::string> followed;
  int asked = 0;
  absl::StatusOr<int64_t> followers = 0;
  absl::StatusOr<int64_t> alerts = 0;
  std::function<void()> while_asked;
};

}  // namespace stockalert::ticker
