#include "services/ticker/ticker_logic.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/domain/market/symbol.h"
#include "services/ticker/store_errors.h"

namespace stockalert::ticker {
namespace {

// A hold is written this much longer than asked for, so that a flood of registrations of one symbol writes its row once
// in such a time.
constexpr int64_t kHoldSlackUs = 2'000'000;
constexpr size_t kHoldsMax = 100'000;
constexpr int64_t kCountIntervalUs = 5'000'000;
// What is left of a call's time for its answer to arrive.
constexpr absl::Duration kAnswerTime = absl::Milliseconds(50);
// Each look asks two services about every unused ticker of a user.
constexpr int kLooksPerUserPerMinute = 6;
constexpr int kForgottenAtOnce = 100;

std::vector<std::string> Unique(std::vector<std::string> symbols) {
  std::sort(symbols.begin(), symbols.end());
  symbols.erase(std::unique(symbols.begin(), symbols.end()), symbols.end());
  return symbols;
}

absl::StatusOr<std::vector<std::string>> NormalizeAll(const std::vector<std::string>& symbols,
                                                      const std::vector<std::string>& fields) {
  base::FieldViolations violations;
  std::vector<std::string> normal;
  for (size_t i = 0; i < symbols.size(); ++i) {
    if (std::optional<std::string> symbol = market::NormalizeSymbol(symbols[i])) {
      normal.push_back(*std::move(symbol));
    } else {
      violations.Add(fields[i], market::kSymbolRule);
    }
  }
  if (!violations.ok()) return violations.ToStatus();
  return normal;
}

// An administrator is nobody in particular.
std::string OwnerOf(const std::string& user) { return base::IsUuid(user) ? user : ""; }

// What a caller is told to wait, at the least and at the most.
constexpr absl::Duration kRetryMin = absl::Seconds(1);
constexpr absl::Duration kRetryMax = absl::Hours(1);

absl::Status SourceBusy() {
  return base::ResourceExhausted("SOURCE_BUSY", "too many calls wait for the source of prices; try again in a moment",
                                 kRetryMin);
}

absl::Time Sooner(absl::Time deadline, absl::Duration timeout) { return std::min(deadline, absl::Now() + timeout); }

}  // namespace

absl::Status ToStatus(const SymbolProblem& problem) {
  if (problem.not_in_plan) {
    return base::FailedPrecondition(kReasonNotInPlan,
                                    absl::StrCat("there is no price of ", problem.symbol,
                                                 ": the operator's plan at the source of prices does not include it"),
                                    {{"symbol", problem.symbol}});
  }
  return base::MakeError(
      absl::StatusCode::kUnavailable,
      absl::StrCat("there is no price of ", problem.symbol, ": the source does not answer for it; try again later"),
      {.reason = kReasonSourceUnavailable,
       .metadata = {{"symbol", problem.symbol}},
       .violations = {},
       .retry_delay = std::clamp(problem.retry_after, kRetryMin, kRetryMax)});
}

TickerLogic::TickerLogic(const TickerLogicOptions& options, TickerStore& store, PriceStore& price_store,
                         PriceBoard& board, Fetcher& fetcher, TickerUse& use, const base::Clock& clock,
                         const base::MonotonicClock& monotonic_clock, base::IdSource& ids)
    : options_(options),
      store_(store),
      price_store_(price_store),
      board_(board),
      fetcher_(fetcher),
      use_(use),
      clock_(clock),
      ids_(ids),
      quotes_of_users_(monotonic_clock, base::TokenBuckets::Rate::PerMinute(options.quotes_per_user_per_minute)),
      looks_of_users_(monotonic_clock, base::TokenBuckets::Rate::PerMinute(kLooksPerUserPerMinute)),
      lookups_(options.lookups_max, options.lookups_per_user_max),
      quote_calls_(std::numeric_limits<size_t>::max(), options.quote_calls_per_user_max),
      quote_fetcher_(fetcher, options.fetch_timeout),
      monotonic_clock_(monotonic_clock) {}

std::vector<TickerView> TickerLogic::WithPrices(std::vector<TickerRow> tickers,
                                                const std::vector<std::string>& order) const {
  std::map<std::string, TickerRow> by_symbol;
  for (TickerRow& ticker : tickers) by_symbol[ticker.symbol] = std::move(ticker);
  std::vector<SymbolPrices> prices = board_.Get(order);
  std::vector<TickerView> views;
  views.reserve(order.size());
  for (size_t i = 0; i < order.size(); ++i) views.push_back({by_symbol.at(order[i]), std::move(prices[i])});
  return views;
}

std::vector<TickerRow> TickerLogic::FindHeld(const std::vector<std::string>& symbols, int64_t until_us) {
  std::vector<TickerRow> rows;
  base::MutexLock lock(mutex_);
  for (const std::string& symbol : symbols) {
    const auto held = holds_.find(symbol);
    if (held == holds_.end() || held->second.until_us < until_us) return {};
    rows.push_back(held->second.ticker);
  }
  return rows;
}

void TickerLogic::RememberHolds(const std::vector<TickerRow>& tickers, int64_t until_us) {
  base::MutexLock lock(mutex_);
  if (holds_.size() + tickers.size() > kHoldsMax) holds_.clear();
  for (const TickerRow& ticker : tickers) {
    Hold& hold = holds_[ticker.symbol];
    hold = {ticker, std::max(hold.until_us, until_us)};
  }
}

absl::StatusOr<std::vector<TickerRow>> TickerLogic::AdmitAll(const std::vector<std::string>& order,
                                                             const std::vector<std::string>& fields,
                                                             const std::string& user, const trace::Context& trace,
                                                             absl::Time deadline) {
  const std::vector<std::string> unique = Unique(order);
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<TickerRow> rows, store_.Find(unique));
  if (rows.size() == unique.size()) return rows;
  STOCKALERT_RETURN_IF_ERROR(CheckUnusedQuota(OwnerOf(user), unique.size() - rows.size(), trace, deadline));
  std::set<std::string> known;
  for (const TickerRow& row : rows) known.insert(row.symbol);
  STOCKALERT_RETURN_IF_ERROR(VerifySymbols(order, fields, std::move(known), user, trace, deadline));
  return rows;
}

absl::StatusOr<std::vector<std::string>> TickerLogic::CheckRegistration(const std::vector<std::string>& symbols,
                                                                        const std::vector<std::string>& fields,
                                                                        const std::string& user,
                                                                        const trace::Context& trace,
                                                                        absl::Time deadline) {
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<std::string> order, NormalizeAll(symbols, fields));
  STOCKALERT_RETURN_IF_ERROR(AdmitAll(order, fields, user, trace, deadline).status());
  return order;
}

absl::StatusOr<std::vector<TickerView>> TickerLogic::Register(const std::vector<std::string>& symbols,
                                                              const std::vector<std::string>& fields, int32_t hold_ms,
                                                              const std::string& user, const trace::Context& trace,
                                                              absl::Time deadline) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> order, NormalizeAll(symbols, fields));
  const int64_t now_us = clock_.NowUs();
  const int64_t wanted_us = hold_ms > 0 ? now_us + int64_t{hold_ms} * 1000 : 0;
  const std::vector<std::string> unique = Unique(order);
  if (hold_ms > 0) {
    std::vector<TickerRow> held = FindHeld(unique, wanted_us);
    if (!held.empty()) return WithPrices(std::move(held), order);
  }

  STOCKALERT_ASSIGN_OR_RETURN(std::vector<TickerRow> rows, AdmitAll(order, fields, user, trace, deadline));
  if (rows.size() == unique.size() && hold_ms == 0) return WithPrices(std::move(rows), order);
  const int64_t hold_until_us = hold_ms > 0 ? wanted_us + kHoldSlackUs : 0;
  STOCKALERT_ASSIGN_OR_RETURN(rows, store_.Register(unique, now_us, hold_until_us, OwnerOf(user)));
  if (hold_ms > 0) RememberHolds(rows, hold_until_us);
  return WithPrices(std::move(rows), order);
}

absl::Status TickerLogic::VerifySymbols(const std::vector<std::string>& order, const std::vector<std::string>& fields,
                                        std::set<std::string> known, const std::string& user,
                                        const trace::Context& trace, absl::Time deadline) {
  const Bulkhead::Place place = lookups_.Enter(user);
  if (!place) return SourceBusy();
  base::FieldViolations violations;
  for (size_t i = 0; i < order.size(); ++i) {
    if (!known.insert(order[i]).second) continue;
    STOCKALERT_ASSIGN_OR_RETURN(const LookedUp found,
                                fetcher_.Lookup(order[i], user, trace, Sooner(deadline, options_.lookup_timeout)));
    switch (found.knowledge) {
      case Knowledge::kKnown:
      case Knowledge::kNoList:
        break;
      case Knowledge::kUnknown:
        violations.Add(fields[i], absl::StrCat("the source of prices knows no symbol ", order[i]), "UNKNOWN_SYMBOL");
        break;
      case Knowledge::kNotInPlan:
        violations.Add(fields[i],
                       absl::StrCat("the operator's plan at the source of prices does not include ", order[i]),
                       kReasonNotInPlan);
        break;
      case Knowledge::kAskLater:
        // All or none: what is wrong is said first, for waiting does not mend it; and without this one the others need
        // not be asked for now.
        if (!violations.ok()) return violations.ToStatus();
        return base::MakeError(absl::StatusCode::kUnavailable,
                               absl::StrCat("the source of prices cannot tell now whether it knows ", order[i],
                                            "; nothing was registered: try again later"),
                               {.reason = kReasonSymbolUnverified,
                                .metadata = {{"symbol", order[i]}, {"field", fields[i]}},
                                .violations = {},
                                .retry_delay = std::clamp(found.retry_after, kRetryMin, kRetryMax)});
    }
  }
  return violations.ToStatus();
}

absl::StatusOr<SymbolList> TickerLogic::ListSymbols(int64_t known_version, int page_size, const std::string& after) {
  const int limit = page_size == 0 ? kSymbolsUnpagedMax : std::min(page_size, kSymbolsPageMax);
  STOCKALERT_ASSIGN_OR_RETURN(SymbolList list, store_.ListSymbols(known_version, after, limit));
  // What a fetcher says that it has is compared with this count, so it is not the fetcher's.
  bool count_now = false;
  {
    base::MutexLock lock(mutex_);
    const int64_t now_us = monotonic_clock_.NowUs();
    count_now = list.version != counted_version_ && now_us >= next_count_us_;
    if (count_now) next_count_us_ = now_us + kCountIntervalUs;
  }
  if (count_now) {
    const absl::StatusOr<int64_t> count = store_.CountTickers();
    if (count.ok()) {
      static auto& tickers = metrics::GetGauge("stockalert_ticker_tickers", "Registered tickers");
      tickers.Set(static_cast<double>(*count));
      base::MutexLock lock(mutex_);
      counted_version_ = list.version;
    }
  }
  if (page_size == 0 && list.more) {
    static log::Limiter limiter(absl::Minutes(1));
    if (limiter.Allow()) {
      log::Error("there are more tickers than a fetcher of version 0.1 can hear of: upgrade it",
                 {{"told", list.symbols.size()}});
    }
  }
  return list;
}

absl::StatusOr<TickerView> TickerLogic::Get(const std::string& symbol) {
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<TickerRow> rows, store_.Find({symbol}));
  if (rows.empty()) return TickerNotFound(symbol);
  return TickerView{std::move(rows.front()), std::move(board_.Get({symbol}).front())};
}

absl::StatusOr<std::vector<TickerView>> TickerLogic::List(const std::string& after, int limit) {
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<TickerRow> rows, store_.List(after, limit));
  std::vector<std::string> order;
  order.reserve(rows.size());
  for (const TickerRow& row : rows) order.push_back(row.symbol);
  return WithPrices(std::move(rows), order);
}

absl::Status TickerLogic::Delete(const std::string& symbol, const trace::Context& trace, absl::Time deadline) {
  const std::string token = ids_.NewUuid();
  const int64_t now_us = clock_.NowUs();
  STOCKALERT_RETURN_IF_ERROR(
      store_.MarkDeleting(symbol, token, now_us, now_us + absl::ToInt64Microseconds(options_.mark_life)));
  // From here on nobody registers it until the mark is gone, so that nobody begins to use it; whoever was about to had
  // a hold.
  const auto keep = [&](absl::Status why) {
    if (const absl::Status status = store_.Unmark(symbol, token); !status.ok()) {
      log::Warning(
          "a ticker's mark could not be taken back; registrations of it are refused until it runs out",
          {{"symbol", symbol}, {"mark_life", options_.mark_life}, {"status", status}, {"trace_id", trace.trace_id}});
    }
    return why;
  };
  if (board_.Get({symbol}).front().hold.has_value()) {
    // Nobody could settle it any more.
    return keep(base::FailedPrecondition(
        kReasonTickerInUse,
        absl::StrCat("tickers/", symbol, " is held because a split is suspected: declare it or dismiss it first"),
        {{"symbol", symbol}}));
  }
  const absl::StatusOr<int64_t> followers =
      use_.CountFollowers(symbol, trace, Sooner(deadline, options_.count_timeout));
  if (!followers.ok()) return keep(followers.status());
  const absl::StatusOr<int64_t> alerts = use_.CountAlerts(symbol, trace, Sooner(deadline, options_.count_timeout));
  if (!alerts.ok()) return keep(alerts.status());
  if (*followers > 0 || *alerts > 0) {
    return keep(base::FailedPrecondition(
        kReasonTickerInUse,
        absl::StrCat("tickers/", symbol, " is followed by ", *followers, " users and has ", *alerts,
                     " alerts: these must go first"),
        {{"symbol", symbol}, {"followers", absl::StrCat(*followers)}, {"alerts", absl::StrCat(*alerts)}}));
  }
  STOCKALERT_ASSIGN_OR_RETURN(const bool deleted, store_.DeleteMarked(symbol, token));
  if (!deleted) {
    return base::Aborted(kReasonTickerInUse,
                         absl::StrCat("tickers/", symbol, " was registered again meanwhile and is kept"));
  }
  base::MutexLock lock(mutex_);
  holds_.erase(symbol);
  return absl::OkStatus();
}

absl::Status TickerLogic::CheckUnusedQuota(const std::string& user, size_t more, const trace::Context& trace,
                                           absl::Time deadline) {
  if (user.empty()) return absl::OkStatus();
  static auto& refusals =
      metrics::GetCounter("stockalert_ticker_quota_refusals_total",
                          "Registrations refused for the user's unused tickers, or for those of a day");
  STOCKALERT_ASSIGN_OR_RETURN(
      const int64_t of_day, store_.CountRegistered(user, clock_.NowUs() - absl::ToInt64Microseconds(absl::Hours(24))));
  if (of_day + static_cast<int64_t>(more) > options_.new_per_user_per_day) {
    refusals.Increment();
    return base::ResourceExhausted(
        kReasonTickerQuota,
        absl::StrCat("you may register ", options_.new_per_user_per_day,
                     " tickers in 24 hours that were not registered before: try again later"),
        absl::Hours(1), {{"limit", absl::StrCat(options_.new_per_user_per_day)}});
  }
  const auto limit = static_cast<size_t>(options_.unused_per_user_max);
  for (const bool looked : {false, true}) {
    STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> unused,
                                store_.FindUnused(user, options_.unused_per_user_max));
    if (unused.size() + more <= limit) return absl::OkStatus();
    // They may be in use since; but for a user who keeps asking others are not asked again and again.
    if (looked || looks_of_users_.TryAcquire(user)) break;
    STOCKALERT_RETURN_IF_ERROR(CheckUse(unused, trace, deadline));
  }
  refusals.Increment();
  return base::ResourceExhausted(
      kReasonTickerQuota,
      absl::StrCat("you may have ", limit,
                   " tickers registered that nobody follows or has an alert on: follow them, set "
                   "alerts, or wait until they are forgotten"),
      absl::Minutes(1), {{"limit", absl::StrCat(limit)}});
}

absl::Status TickerLogic::CheckUse(const std::vector<std::string>& symbols, const trace::Context& trace,
                                   absl::Time deadline) {
  std::vector<std::string> used;
  std::vector<std::string> unused;
  absl::Status status;
  for (const std::string& symbol : symbols) {
    absl::StatusOr<int64_t> users = use_.CountFollowers(symbol, trace, Sooner(deadline, options_.count_timeout));
    if (users.ok() && *users == 0) users = use_.CountAlerts(symbol, trace, Sooner(deadline, options_.count_timeout));
    status = users.status();
    if (!status.ok()) break;
    (*users > 0 ? used : unused).push_back(symbol);
  }
  // What was found out counts, also where the rest could not be.
  if (!used.empty()) STOCKALERT_RETURN_IF_ERROR(store_.MarkUseChecked(used, true, clock_.NowUs()));
  if (!unused.empty()) STOCKALERT_RETURN_IF_ERROR(store_.MarkUseChecked(unused, false, clock_.NowUs()));
  return status;
}

absl::StatusOr<int> TickerLogic::ForgetUnused(const trace::Context& trace, absl::Time deadline) {
  static auto& forgotten =
      metrics::GetCounter("stockalert_ticker_forgotten_total", "Tickers forgotten since nobody used them for long");
  const int64_t now_us = clock_.NowUs();
  STOCKALERT_ASSIGN_OR_RETURN(
      const std::vector<std::string> symbols,
      store_.FindDueForUseCheck(now_us - absl::ToInt64Microseconds(options_.forget_unused_after), now_us,
                                kForgottenAtOnce));
  int looked_at = 0;
  for (const std::string& symbol : symbols) {
    const absl::Status status = Delete(symbol, trace, deadline);
    if (status.ok()) {
      forgotten.Increment();
    } else if (base::ReasonOf(status) == kReasonTickerInUse) {
      STOCKALERT_RETURN_IF_ERROR(store_.MarkUseChecked({symbol}, true, clock_.NowUs()));
    } else if (!absl::IsNotFound(status) && !absl::IsAborted(status)) {
      return status;
    }
    ++looked_at;
  }
  return looked_at;
}

absl::Status TickerLogic::CheckRegistered(const std::vector<std::string>& symbols) {
  const std::vector<std::string> unique = Unique(symbols);
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<TickerRow> rows, store_.Find(unique));
  std::set<std::string> known;
  for (const TickerRow& row : rows) known.insert(row.symbol);
  for (const std::string& symbol : symbols) {
    if (!known.contains(symbol)) return TickerNotFound(symbol);
  }
  return absl::OkStatus();
}

absl::StatusOr<Quotes> TickerLogic::GetQuotes(const std::vector<std::string>& symbols, const rpc::Caller& caller,
                                              const trace::Context& trace, absl::Time deadline) {
  STOCKALERT_RETURN_IF_ERROR(CheckRegistered(symbols));
  const std::vector<std::string> unique = Unique(symbols);
  if (!caller.is_administrator) {
    if (const auto wait = quotes_of_users_.TryAcquire(caller.user_id, static_cast<double>(unique.size()))) {
      return base::ResourceExhausted("QUOTE_RATE_LIMIT",
                                     absl::StrCat("at most ", options_.quotes_per_user_per_minute,
                                                  " prices a minute are fetched for a user: wait, or WatchQuotes"),
                                     wait);
    }
  }
  const Bulkhead::Place place = quote_calls_.Enter(caller.user_id);
  if (!place) return SourceBusy();
  STOCKALERT_ASSIGN_OR_RETURN(auto fetched, quote_fetcher_.Fetch(unique, caller.user_id, trace, deadline));
  std::vector<internal::v1::QuoteRecord> published;
  for (QuoteFetcher::Answer& answer : fetched) {
    if (answer.quote.has_value()) published.push_back(*std::move(answer.quote));
  }
  // The truth is the log: what was fetched may be late there, and what came after it is newer.
  if (!board_.AwaitRead(published, Sooner(deadline - kAnswerTime, options_.read_timeout))) {
    STOCKALERT_RETURN_IF_ERROR(board_.CheckFresh(options_.last_price_staleness_max));
  }
  const std::vector<SymbolPrices> latest = board_.Get(unique);
  std::map<std::string, internal::v1::QuoteRecord> by_symbol;
  Quotes answer;
  for (size_t i = 0; i < unique.size(); ++i) {
    if (latest[i].latest.has_value()) {
      by_symbol[unique[i]] = *latest[i].latest;
    } else if (fetched[i].problem.has_value()) {
      answer.problems.push_back(*std::move(fetched[i].problem));
    }
  }
  for (const std::string& symbol : symbols) {
    if (const auto quote = by_symbol.find(symbol); quote != by_symbol.end()) answer.quotes.push_back(quote->second);
  }
  return answer;
}

absl::StatusOr<std::vector<std::optional<QuoteOutcome>>> TickerLogic::Publish(
    const std::vector<internal::v1::QuoteRecord>& quotes, const trace::Context& trace, absl::Time deadline) {
  std::vector<std::string> symbols;
  symbols.reserve(quotes.size());
  for (const internal::v1::QuoteRecord& quote : quotes) symbols.push_back(quote.symbol());
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<TickerRow> rows, store_.Find(Unique(symbols)));
  std::set<std::string> known;
  for (const TickerRow& row : rows) known.insert(row.symbol);
  base::FieldViolations violations;
  for (size_t i = 0; i < symbols.size(); ++i) {
    if (known.contains(symbols[i])) continue;
    violations.Add(absl::StrCat("quotes[", i, "].symbol"),
                   absl::StrCat(symbols[i], " is not registered: RegisterTicker first"), kReasonTickerNotFound);
    known.insert(symbols[i]);  // Said once a symbol.
  }
  if (!violations.ok()) return violations.ToStatus();
  const PriceBoard::OutcomeMemory memory(board_);
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<LogPlace> places,
                              fetcher_.Publish(quotes, trace, Sooner(deadline, options_.publish_timeout)));
  if (places.size() != quotes.size()) return std::vector<std::optional<QuoteOutcome>>(quotes.size());
  return memory.Await(places, Sooner(deadline - kAnswerTime, options_.outcome_timeout));
}

absl::StatusOr<std::vector<SymbolPrices>> TickerLogic::LastPrices(const std::vector<std::string>& symbols) {
  STOCKALERT_RETURN_IF_ERROR(board_.CheckFresh(options_.last_price_staleness_max));
  return board_.Get(symbols);
}

}  // namespace stockalert::ticker
