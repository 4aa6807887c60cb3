// stockalert-bench-index: what a quote costs in the fold, and what an alert takes there, beside two plain ways to do
// it.
//
// Prints one row: fired=K ns_per_quote=… bytes_per_alert=… multimap_ns=… scan_ns=… add_ns=… remove_ns=… snapshot_ms=…
// restore_ms=… steps_per_quote=… (of the index) stall_ms=… (the longest that a snapshot in parts holds up the fold)
// crash_fired=… crash_ms=… (one quote of 0.01 of the first symbol, at the end of all: what it sets off at once).
//
// The workload, so that others can repeat it: splitmix64 with seed 42; for each of N alerts symbol = next mod S, side =
// next mod 2 (0 at or above, 1 at or below), distance = 50 + next mod 5000 cents from 100.00; one quote of 100.00 for
// each symbol; then Q times symbol = next mod S, and its price += next mod 11 - 5 cents, at least 1.00. All alerts are
// ONCE. With --mixed every kind of alert is among them, in eight equal parts; with --rising all are trailing ones, and
// every quote is a cent above the one before. The plain ways, which know targets alone, are left out then.
//
// The fold is asked as the evaluator asks it: records with the symbol's text. multimap_ns: a hash table of symbols with
// two std::multimap of levels each. scan_ns: the same with a list of alerts, all of which are looked at; of the first
// quotes only, as many as take two seconds.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "services/domain/fold/fold.h"

namespace stockalert::bench {
namespace {

using condition::Definition;
using Clock = std::chrono::steady_clock;

constexpr int64_t kCent = 10'000;  // Micros.
constexpr int64_t kStartCents = 10'000;
constexpr int64_t kBeginUs = 1'700'059'800'000'000;  // A Wednesday, 9:50 in New York.
constexpr int64_t kHour = int64_t{3600} * 1'000'000;

class SplitMix64 {
 public:
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_ = 42;
};

struct Flags {
  int64_t alerts = 1'000'000;
  int64_t symbols = 10'000;
  int64_t quotes = 10'000'000;
  bool mixed = false;
  bool rising = false;
};

struct Wanted {
  int64_t symbol = 0;
  bool above = false;
  int64_t distance_cents = 0;
  int64_t level_cents() const { return above ? kStartCents + distance_cents : kStartCents - distance_cents; }
};

struct Move {
  int64_t symbol = 0;
  int64_t price_micros = 0;
};

struct Workload {
  std::vector<std::string> names;
  std::vector<std::string> ids;
  std::vector<Wanted> alerts;
  std::vector<Move> moves;
};

std::string IdOf(int64_t number) {
  SplitMix64 random;
  const auto high = static_cast<uint64_t>(number) * 0x9e3779b97f4a7c15ULL;
  const std::string hex = absl::StrFormat("%016x%016x", high, high ^ random.Next());
  return hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" + hex.substr(16, 4) + "-" +
         hex.substr(20, 12);
}

Workload Make(const Flags& flags) {
  Workload workload;
  SplitMix64 random;
  const auto below = [&random](int64_t limit) {
    return static_cast<int64_t>(random.Next() % static_cast<uint64_t>(limit));
  };
  for (int64_t i = 0; i < flags.symbols; ++i) workload.names.push_back("SYM" + std::to_string(i));
  for (int64_t i = 0; i < flags.alerts; ++i) {
    Wanted wanted;
    wanted.symbol = below(flags.symbols);
    wanted.above = below(2) == 0;
    wanted.distance_cents = 50 + below(5000);
    workload.alerts.push_back(wanted);
    workload.ids.push_back(IdOf(i));
  }
  std::vector<int64_t> cents(static_cast<size_t>(flags.symbols), kStartCents);
  for (int64_t i = 0; i < flags.quotes; ++i) {
    const int64_t symbol = below(flags.symbols);
    int64_t& price = cents[static_cast<size_t>(symbol)];
    const int64_t step = below(11) - 5;
    price = flags.rising ? price + 1 : std::max<int64_t>(price + step, 100);
    workload.moves.push_back({symbol, price * kCent});
  }
  return workload;
}

Definition TargetOf(const Wanted& wanted) {
  Definition definition;
  definition.condition = condition::PriceTarget{
      wanted.above ? condition::TargetOp::kAtOrAbove : condition::TargetOp::kAtOrBelow, wanted.level_cents() * kCent};
  return definition;
}

condition::PercentChange PercentOf(const Wanted& wanted, condition::PercentReference reference) {
  condition::PercentChange change;
  change.op = wanted.above ? condition::PercentOp::kUp : condition::PercentOp::kEither;
  change.percent_e4 = wanted.distance_cents * 100;  // One cent of 100.00 is 0.01 %.
  change.reference = reference;
  if (reference == condition::PercentReference::kGiven) change.given_price_micros = kStartCents * kCent;
  return change;
}

Definition TrailingOf(const Wanted& wanted) {
  condition::TrailingChange change;
  change.op = condition::TrailingOp::kFallsFromHigh;
  change.percent_e4 = wanted.distance_cents * 100;
  Definition definition;
  definition.condition = change;
  return definition;
}

// Of every kind, by turns.
Definition MixedOf(const Wanted& wanted, int64_t number) {
  using condition::PercentReference;
  Definition definition;
  switch (number % 8) {
    case 0:
      return TargetOf(wanted);
    case 1:
      definition.condition = condition::PriceTarget{condition::TargetOp::kCrosses, wanted.level_cents() * kCent};
      break;
    case 2:
      definition.condition =
          PercentOf(wanted, number / 8 % 2 == 0 ? PercentReference::kArming : PercentReference::kGiven);
      break;
    case 3:
      definition.condition =
          PercentOf(wanted, number / 8 % 2 == 0 ? PercentReference::kPreviousClose : PercentReference::kDayOpen);
      break;
    case 4: {
      condition::PercentChange change = PercentOf(wanted, PercentReference::kWindow);
      change.window_us = number / 8 % 2 == 0 ? kHour : kHour / 12;
      definition.condition = change;
      break;
    }
    case 5: {
      condition::TrailingChange change;
      change.op = wanted.above ? condition::TrailingOp::kRisesFromLow : condition::TrailingOp::kFallsFromHigh;
      if (number / 8 % 2 == 0) {
        change.percent_e4 = wanted.distance_cents * 100;
      } else {
        change.amount_micros = wanted.distance_cents * kCent;
      }
      definition.condition = change;
      break;
    }
    case 6:
      definition.condition =
          condition::Channel{condition::ChannelOp::kLeaves, (kStartCents - wanted.distance_cents) * kCent,
                             (kStartCents + wanted.distance_cents) * kCent};
      break;
    default:
      definition.condition = condition::Channel{condition::ChannelOp::kEnters, wanted.level_cents() * kCent,
                                                (wanted.level_cents() + 20) * kCent};
      if (!wanted.above)
        definition.condition = condition::Channel{condition::ChannelOp::kEnters, (wanted.level_cents() - 20) * kCent,
                                                  wanted.level_cents() * kCent};
      break;
  }
  return definition;
}

double Ns(Clock::time_point begin, int64_t count) {
  const auto elapsed = std::chrono::duration<double, std::nano>(Clock::now() - begin);
  return elapsed.count() / static_cast<double>(std::max<int64_t>(count, 1));
}

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t all = 0;
  int64_t resident = 0;
  statm >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

class FoldRun {
 public:
  FoldRun(const Flags& flags, const Workload& workload) : flags_(flags), workload_(workload) {}

  void Run() {
    for (const std::string& name : workload_.names) Quote(name, kStartCents * kCent);
    const int64_t before_bytes = ResidentBytes();
    const auto add_begin = Clock::now();
    for (size_t i = 0; i < workload_.alerts.size(); ++i) Change(static_cast<int64_t>(i), 1, /*deleted=*/false);
    add_ns_ = Ns(add_begin, flags_.alerts);
    bytes_ = static_cast<double>(ResidentBytes() - before_bytes) / static_cast<double>(flags_.alerts);
    const int64_t steps_before = fold_.index_steps();
    const auto begin = Clock::now();
    for (const Move& move : workload_.moves)
      Quote(workload_.names[static_cast<size_t>(move.symbol)], move.price_micros);
    quote_ns_ = Ns(begin, flags_.quotes);
    steps_ = static_cast<double>(fold_.index_steps() - steps_before) / static_cast<double>(flags_.quotes);
    fired_ = fold_.counters().triggers;
    const auto snapshot_begin = Clock::now();
    fold::FoldState state = fold_.Snapshot();
    snapshot_ms_ = Ns(snapshot_begin, 1'000'000);
    for (bool whole = false; !whole;) {
      const auto part_begin = Clock::now();
      if (stall_ms_ == 0) fold_.BeginSnapshot();
      whole = fold_.ContinueSnapshot(10'000);
      stall_ms_ = std::max(stall_ms_, Ns(part_begin, 1'000'000));
    }
    fold_.TakeSnapshot();
    const auto restore_begin = Clock::now();
    if (!fold::Fold::Restore(state).ok()) std::abort();
    restore_ms_ = Ns(restore_begin, 1'000'000);
    const int64_t removed = std::min<int64_t>(flags_.alerts, 100'000);
    const auto remove_begin = Clock::now();
    for (int64_t i = 0; i < removed; ++i) Change(i, 2, /*deleted=*/true);
    remove_ns_ = Ns(remove_begin, removed);
    const int64_t before_crash = fold_.counters().triggers;
    outcome_ = {};
    const auto crash_begin = Clock::now();
    Quote(workload_.names.front(), kCent);
    crash_ms_ = Ns(crash_begin, 1'000'000);
    crash_fired_ = fold_.counters().triggers - before_crash;
  }

  int64_t fired() const { return fired_; }
  void Print(double multimap_ns, double scan_ns) const {
    std::printf(
        "fired=%lld ns_per_quote=%.1f bytes_per_alert=%.0f multimap_ns=%.1f scan_ns=%.1f add_ns=%.0f "
        "remove_ns=%.0f snapshot_ms=%.0f restore_ms=%.0f steps_per_quote=%.3f stall_ms=%.1f crash_fired=%lld "
        "crash_ms=%.1f\n",
        static_cast<long long>(fired_), quote_ns_, bytes_, multimap_ns, scan_ns, add_ns_, remove_ns_, snapshot_ms_,
        restore_ms_, steps_, stall_ms_, static_cast<long long>(crash_fired_), crash_ms_);
  }

 private:
  void Apply(const record::Event& event) {
    ++offset_;
    fold_.Apply(event, {offset_, kBeginUs + offset_}, &outcome_);
    if (outcome_.triggers.size() + outcome_.confirmations.size() + outcome_.statuses.size() > 10'000) outcome_ = {};
  }

  void Quote(const std::string& symbol, int64_t price_micros) {
    record::Quote& quote = std::get<record::Quote>(quote_);
    quote.symbol = symbol;
    quote.price_micros = price_micros;
    quote.event_time_us = kBeginUs + offset_ * 100;
    quote.previous_close_micros = kStartCents * kCent;
    quote.day_open_micros = kStartCents * kCent;
    quote.publisher_epoch = 1;
    quote.sequence = offset_;
    Apply(quote_);
  }

  void Change(int64_t number, int64_t revision, bool deleted) {
    const Wanted& wanted = workload_.alerts[static_cast<size_t>(number)];
    record::AlertChange change;
    change.alert_id = workload_.ids[static_cast<size_t>(number)];
    change.symbol = workload_.names[static_cast<size_t>(wanted.symbol)];
    change.revision = revision;
    change.armed_revision = 1;
    change.deleted = deleted;
    change.definition = flags_.rising ? TrailingOf(wanted) : flags_.mixed ? MixedOf(wanted, number) : TargetOf(wanted);
    Apply(change);
  }

  const Flags& flags_;
  const Workload& workload_;
  fold::Fold fold_;
  fold::Outcome outcome_;
  record::Event quote_ = record::Quote{};
  int64_t offset_ = 0;
  int64_t fired_ = 0;
  double add_ns_ = 0, remove_ns_ = 0, quote_ns_ = 0, bytes_ = 0, snapshot_ms_ = 0, restore_ms_ = 0, steps_ = 0,
         stall_ms_ = 0, crash_ms_ = 0;
  int64_t crash_fired_ = 0;
};

// What a plain way fired, and what a quote cost it.
using Measured = std::pair<int64_t, double>;

Measured RunMultimap(const Workload& workload) {
  struct Levels {
    std::multimap<int64_t, int64_t> above, below;  // Level, negated for those below, to the alert's number.
  };
  std::unordered_map<std::string, Levels> symbols;
  for (size_t i = 0; i < workload.alerts.size(); ++i) {
    const Wanted& wanted = workload.alerts[i];
    Levels& levels = symbols[workload.names[static_cast<size_t>(wanted.symbol)]];
    const int64_t level = wanted.level_cents() * kCent;
    wanted.above ? levels.above.emplace(level, i) : levels.below.emplace(-level, i);
  }
  int64_t fired = 0;
  const auto take = [&fired](std::multimap<int64_t, int64_t>& levels, int64_t price) {
    while (!levels.empty() && levels.begin()->first <= price) {
      levels.erase(levels.begin());
      ++fired;
    }
  };
  const auto begin = Clock::now();
  for (const Move& move : workload.moves) {
    Levels& levels = symbols[workload.names[static_cast<size_t>(move.symbol)]];
    take(levels.above, move.price_micros);
    take(levels.below, -move.price_micros);
  }
  return {fired, Ns(begin, static_cast<int64_t>(workload.moves.size()))};
}

double ScanNs(const Workload& workload) {
  struct Scanned {
    int64_t level = 0;
    bool above = false;
    bool fired = false;
  };
  std::unordered_map<std::string, std::vector<Scanned>> symbols;
  for (const Wanted& wanted : workload.alerts)
    symbols[workload.names[static_cast<size_t>(wanted.symbol)]].push_back({wanted.level_cents() * kCent, wanted.above});
  int64_t quotes = 0;
  const auto begin = Clock::now();
  for (const Move& move : workload.moves) {
    for (Scanned& one : symbols[workload.names[static_cast<size_t>(move.symbol)]]) {
      const bool met = one.above ? move.price_micros >= one.level : move.price_micros <= one.level;
      if (met && !one.fired) one.fired = true;
    }
    ++quotes;
    if (Clock::now() - begin > std::chrono::seconds(2)) break;
  }
  return Ns(begin, quotes);
}

}  // namespace

int IndexMain(int argc, char** argv) {
  Flags flags;
  CLI::App app("What a quote costs in the fold, and what an alert takes");
  app.add_option("--alerts", flags.alerts, "")->check(CLI::Range(int64_t{1}, int64_t{100'000'000}));
  app.add_option("--symbols", flags.symbols, "")->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
  app.add_option("--quotes", flags.quotes, "")->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}));
  app.add_flag("--mixed", flags.mixed, "alerts of every kind, not targets alone");
  app.add_flag("--rising", flags.rising, "trailing alerts alone, and every quote is a cent above the one before");
  CLI11_PARSE(app, argc, argv);
  const Workload workload = Make(flags);
  FoldRun run(flags, workload);
  run.Run();
  double multimap_ns = 0;
  double scan_ns = 0;
  if (!flags.mixed && !flags.rising) {
    const Measured multimap = RunMultimap(workload);
    if (multimap.first != run.fired()) {
      std::fprintf(stderr, "stockalert-bench-index: the multimap fired %lld alerts, the fold %lld\n",
                   static_cast<long long>(multimap.first), static_cast<long long>(run.fired()));
      return 1;
    }
    multimap_ns = multimap.second;
    scan_ns = ScanNs(workload);
  }
  run.Print(multimap_ns, scan_ns);
  return 0;
}

}  // namespace stockalert::bench

int main(int argc, char** argv) { return stockalert::bench::IndexMain(argc, argv); }
