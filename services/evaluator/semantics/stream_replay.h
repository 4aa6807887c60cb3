// Replays a stream of events, a line of JSON each, through the evaluator's own fold and the alert service's own rules,
// and says what happened. docs/semantics.md describes the format; the test vectors, scripts/semantics and the audit of
// a live log use it.
//
// Ops: quote, create, update, pause, resume, rearm, delete, clock, alert (a change as the log carries it, whole),
// restart, split, split_suspected and split_dismissed. Not thread-safe. A line that cannot be understood is an
// InvalidArgument and leaves the state as it was; a command that the rules refuse is no error: it prints
// {"rejected": …}.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "services/domain/condition/lifecycle.h"
#include "services/domain/fold/fold.h"
#include "services/domain/price/split_ratio.h"
#include "services/domain/record/event.h"

namespace stockalert::evaluator {

class StreamReplay {
 public:
  // Applies one line (empty ones do nothing) and appends what it made happen to `*out`, a line each.
  absl::Status ApplyLine(std::string_view line, std::string* out);

  // Appends the state of every alert that exists, by id.
  void PrintStates(std::string* out) const;

  const fold::Fold& fold() const { return fold_; }

 private:
  struct KnownAlert {
    std::string symbol;
    condition::AlertRecord record;
  };

  struct KnownSplits {
    int64_t last_number = 0;
    std::set<std::string> ids;
    std::map<int64_t, price::SplitRatio> ratios;  // By number.
  };

  void Apply(const record::Event& event, std::string* out);
  // What the rules decided, into the log as the alert service puts it there.
  void Publish(const std::string& id, const KnownAlert& alert, std::string* out);
  void Refuse(const std::string& id, const absl::Status& status, std::string* out) const;
  condition::Moment MomentOf(const std::string& symbol) const;
  bool IsHeld(const std::string& symbol) const;
  condition::ArmingMarket MarketOf(const std::string& symbol, condition::Sessions sessions) const;

  struct Parser;

  fold::Fold fold_;
  std::map<std::string, KnownAlert> alerts_;
  std::map<std::string, KnownSplits> splits_;  // By symbol.
  std::set<std::string> deleted_;              // Ids that never live again.
  int64_t wall_time_us_ = std::numeric_limits<int64_t>::min();
  record::Place place_;
};

}  // namespace stockalert::evaluator
