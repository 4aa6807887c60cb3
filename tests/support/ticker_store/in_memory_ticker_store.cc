#include "tests/support/ticker_store/in_memory_ticker_store.h"

#include <algorithm>
#include <utility>

#include "services/ticker/store_errors.h"

namespace stockalert::testing {

using ticker::KeptPrices;
using ticker::SymbolList;
using ticker::SymbolPrices;
using ticker::TickerRow;

namespace {

// The symbols of the first, by what stands before them.
std::vector<std::string> Firsts(std::vector<std::pair<int64_t, std::string>> found, int limit) {
  std::sort(found.begin(), found.end());
  if (found.size() > static_cast<size_t>(limit)) found.resize(static_cast<size_t>(limit));
  std::vector<std::string> symbols;
  symbols.reserve(found.size());
  for (auto& [order, symbol] : found) symbols.push_back(std::move(symbol));
  return symbols;
}

}  // namespace

absl::StatusOr<std::vector<TickerRow>> InMemoryTickerStore::Find(const std::vector<std::string>& symbols) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<TickerRow> found;
  for (const auto& [symbol, row] : rows_) {
    if (std::find(symbols.begin(), symbols.end(), symbol) != symbols.end())
      found.push_back({symbol, row.create_time_us});
  }
  return found;
}

absl::StatusOr<std::vector<TickerRow>> InMemoryTickerStore::Register(const std::vector<std::string>& symbols,
                                                                     int64_t now_us, int64_t hold_until_us,
                                                                     const std::string& user) {
  std::lock_guard lock(mutex_);
  ++registrations_;
  if (!failure_.ok()) return failure_;
  for (const std::string& symbol : symbols) {
    const auto row = rows_.find(symbol);
    if (row != rows_.end() && !row->second.token.empty() && row->second.deleting_until_us > now_us) {
      return ticker::TickerBeingDeleted(symbol);
    }
  }
  std::map<std::string, TickerRow> answer;
  bool changed = false;
  for (const std::string& symbol : symbols) {
    auto [row, is_new] = rows_.try_emplace(symbol, Row{now_us, 0, "", 0, user});
    changed = changed || is_new;
    if (hold_until_us > 0) {
      row->second.hold_until_us = std::max(row->second.hold_until_us, hold_until_us);
      row->second.token.clear();
    }
    answer[symbol] = {symbol, row->second.create_time_us};
  }
  if (changed) ++version_;
  std::vector<TickerRow> rows;
  rows.reserve(answer.size());
  for (auto& [symbol, row] : answer) rows.push_back(row);
  return rows;
}

absl::StatusOr<std::vector<std::string>> InMemoryTickerStore::FindUnused(const std::string& user, int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<std::pair<int64_t, std::string>> found;
  for (const auto& [symbol, row] : rows_) {
    if (!user.empty() && row.user == user && row.used_time_us == 0) found.emplace_back(row.create_time_us, symbol);
  }
  return Firsts(std::move(found), limit);
}

absl::StatusOr<int64_t> InMemoryTickerStore::CountRegistered(const std::string& user, int64_t after_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  return std::count_if(rows_.begin(), rows_.end(), [&](const auto& row) {
    return row.second.user == user && row.second.create_time_us > after_us;
  });
}

absl::StatusOr<std::vector<std::string>> InMemoryTickerStore::FindDueForUseCheck(int64_t before_us, int64_t now_us,
                                                                                 int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<std::pair<int64_t, std::string>> found;
  for (const auto& [symbol, row] : rows_) {
    if (row.looked_time_us <= before_us && row.create_time_us <= before_us && row.hold_until_us <= now_us) {
      found.emplace_back(row.looked_time_us, symbol);
    }
  }
  return Firsts(std::move(found), limit);
}

absl::Status InMemoryTickerStore::MarkUseChecked(const std::vector<std::string>& symbols, bool used, int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  for (const std::string& symbol : symbols) {
    const auto row = rows_.find(symbol);
    if (row == rows_.end()) continue;
    row->second.looked_time_us = now_us;
    if (used) row->second.used_time_us = std::max(row->second.used_time_us, now_us);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<TickerRow>> InMemoryTickerStore::List(const std::string& after, int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<TickerRow> rows;
  for (auto row = rows_.upper_bound(after); row != rows_.end() && static_cast<int>(rows.size()) < limit; ++row) {
    rows.push_back({row->first, row->second.create_time_us});
  }
  return rows;
}

absl::Status InMemoryTickerStore::MarkDeleting(const std::string& symbol, const std::string& token, int64_t now_us,
                                               int64_t until_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const auto row = rows_.find(symbol);
  if (row == rows_.end()) return ticker::TickerNotFound(symbol);
  Row& found = row->second;
  if (found.hold_until_us > now_us) return ticker::TickerHeld(symbol);
  if (!found.token.empty() && found.token != token && found.deleting_until_us > now_us)
    return ticker::TickerDeletedByAnother(symbol);
  found.token = token;
  found.deleting_until_us = until_us;
  return absl::OkStatus();
}

absl::Status InMemoryTickerStore::Unmark(const std::string& symbol, const std::string& token) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const auto row = rows_.find(symbol);
  if (row != rows_.end() && row->second.token == token) row->second.token.clear();
  return absl::OkStatus();
}

absl::StatusOr<bool> InMemoryTickerStore::DeleteMarked(const std::string& symbol, const std::string& token) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const auto row = rows_.find(symbol);
  if (row == rows_.end() || row->second.token != token) return false;
  rows_.erase(row);
  ++version_;
  return true;
}

absl::StatusOr<SymbolList> InMemoryTickerStore::ListSymbols(int64_t known_version, const std::string& after,
                                                            int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  SymbolList list;
  list.version = version_;
  list.unchanged = after.empty() && version_ == known_version;
  if (list.unchanged) return list;
  for (auto row = rows_.upper_bound(after); row != rows_.end(); ++row) {
    if (static_cast<int>(list.symbols.size()) == limit) {
      list.more = true;
      break;
    }
    list.symbols.push_back(row->first);
  }
  return list;
}

absl::StatusOr<int64_t> InMemoryTickerStore::CountTickers() {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  return static_cast<int64_t>(rows_.size());
}

absl::StatusOr<int64_t> InMemoryTickerStore::NextPublisherEpoch(int64_t above, int64_t if_highest_is) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  if (if_highest_is != 0 && if_highest_is != epoch_) return ticker::PublisherChanged();
  epoch_ = std::max(epoch_, above) + 1;
  return epoch_;
}

absl::StatusOr<ticker::PublisherLeaseRow> InMemoryTickerStore::RenewPublisher(int64_t epoch, bool release) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  if (epoch == epoch_) {
    ++renewals_;
    if (release) released_ = epoch;
  }
  return ticker::PublisherLeaseRow{epoch_, renewals_, released_ == epoch_};
}

void InMemoryTickerStore::Fail(absl::Status status) {
  std::lock_guard lock(mutex_);
  failure_ = std::move(status);
}

int InMemoryTickerStore::registrations() const {
  std::lock_guard lock(mutex_);
  return registrations_;
}

absl::StatusOr<KeptPrices> InMemoryPriceStore::Load() {
  std::lock_guard lock(mutex_);
  KeptPrices kept;
  for (const auto& [symbol, prices] : symbols_) kept.symbols.push_back(prices);
  kept.next_offsets = next_offsets_;
  return kept;
}

absl::Status InMemoryPriceStore::Save(const KeptPrices& prices) {
  std::lock_guard lock(mutex_);
  for (const SymbolPrices& symbol : prices.symbols) {
    const auto [kept, is_new] = symbols_.try_emplace(symbol.symbol, symbol);
    if (!is_new && kept->second.offset < symbol.offset) kept->second = symbol;
  }
  for (const ticker::LoggedSplit& one : prices.splits) {
    if (!splits_[one.split.symbol].insert(one.split.number).second) continue;
    for (auto& [start_us, bar] : bars_[one.split.symbol]) ticker::ScaleBar(one.split.ratio, bar);
  }
  for (const ticker::SymbolBars& bars : prices.bars) {
    const auto saved = std::ranges::find(prices.symbols, bars.symbol, &SymbolPrices::symbol);
    if (saved == prices.symbols.end() || saved->offset < symbols_.at(bars.symbol).offset) continue;
    std::map<int64_t, ticker::MinuteBar>& kept = bars_[bars.symbol];
    if (bars.forget_from_us) kept.erase(kept.lower_bound(*bars.forget_from_us), kept.end());
    for (const ticker::MinuteBar& bar : bars.bars) {
      const auto [found, is_new] = kept.try_emplace(bar.start_us, bar);
      if (!is_new) ticker::MergeBar(bar, found->second);
    }
  }
  for (const auto& [partition, next_offset] : prices.next_offsets) {
    const auto [kept, is_new] = next_offsets_.try_emplace(partition, next_offset);
    if (!is_new) kept->second = std::max(kept->second, next_offset);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ticker::MinuteBar>> InMemoryPriceStore::LastBars(const std::string& symbol, int64_t start_us,
                                                                            int64_t end_us, int limit) {
  std::lock_guard lock(mutex_);
  std::vector<ticker::MinuteBar> found;
  const std::map<int64_t, ticker::MinuteBar>& kept = bars_[symbol];
  for (auto bar = kept.rbegin(); bar != kept.rend() && found.size() < static_cast<size_t>(limit); ++bar) {
    if (bar->first >= start_us && bar->first < end_us) found.push_back(bar->second);
  }
  return found;
}

absl::StatusOr<bool> InMemoryPriceStore::AdoptLog(const std::string& cluster_id) {
  std::lock_guard lock(mutex_);
  if (cluster_id_ == cluster_id) return false;
  cluster_id_ = cluster_id;
  bool forgets = !next_offsets_.empty();
  next_offsets_.clear();
  for (auto& [symbol, prices] : symbols_) {
    forgets = forgets || prices.offset >= 0;
    prices.offset = -1;
  }
  return forgets;
}

absl::Status InMemoryPriceStore::ForgetPlaces(int32_t partition) {
  std::lock_guard lock(mutex_);
  next_offsets_.erase(partition);
  for (auto& [symbol, prices] : symbols_) {
    if (prices.partition == partition) prices.offset = -1;
  }
  return absl::OkStatus();
}

}  // namespace stockalert::testing
