// Random logs of one partition: quotes, whole-state alert changes and restarts, as publishers and alert services would
// write them, with what goes wrong in between: late, repeated and refused quotes, republished and overtaken changes,
// zombies; splits, and changes that are stated in prices of before; suspected splits, settled by one, by a dismissal or
// not at all; days' highs and lows, likely and unlikely ones.
//
// Prices lie on a small grid, and often exactly at a bound of some alert, so that equalities happen; some logs are
// mostly small moves. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/domain/condition/definition.h"
#include "services/domain/price/split_ratio.h"
#include "services/domain/record/event.h"
#include "tests/simulation/evaluator/random.h"

namespace stockalert::simulation {

struct PlacedEvent {
  record::Place place;
  record::Event event;
};

class EventGenerator {
 public:
  explicit EventGenerator(uint64_t seed) : EventGenerator(Random(seed)) {}
  explicit EventGenerator(Random random);

  PlacedEvent Next();
  // Of a fuzzer's bytes: whether all are used.
  bool exhausted() const { return random_.exhausted(); }

 private:
  struct Market {
    int64_t price_micros = 0;
    int64_t time_us = 0;
    int64_t base_micros = 100'000'000;  // What the grid is built around.
    std::vector<record::Split> splits;
    // Since a suspicion that nothing has surely settled, and the split that its prices allow for already.
    bool may_be_held = false;
    std::optional<price::SplitRatio> foreseen;
    int64_t sequence = 0;
    std::vector<int64_t> recent;         // Prices, for bounds that are measured from them.
    std::vector<record::Quote> history;  // For repetitions.
  };
  struct Known {
    record::AlertChange latest;
    std::vector<record::AlertChange> published;
  };

  record::Event NextQuote();
  record::Event NextSplit(const std::string& symbol);
  record::Event NextSuspicion(const std::string& symbol);
  record::Event NextDismissal(const std::string& symbol);
  record::Event NextSettlement(const std::string& symbol);
  price::SplitRatio RandomRatio(const Market& market);
  static void ScalePrices(price::SplitRatio ratio, Market& market);
  // Epoch and sequence of a record that is no quote: mostly the next ones.
  std::pair<int64_t, int64_t> NextPublished(Market& market);
  void AddRange(record::Quote& quote);
  record::Event NextChange();
  condition::Definition RandomDefinition(const std::string& symbol);
  condition::Condition RandomCondition(const std::string& symbol);
  int64_t GridPrice(const std::string& symbol);
  int64_t InterestingPrice(const std::string& symbol);
  void StepTime(Market& market);

  Random random_;
  record::Place place_;
  std::vector<std::string> symbols_;
  std::map<std::string, Market> markets_;
  std::map<std::string, Known> alerts_;
  std::vector<std::string> ids_;
  int64_t epoch_ = 0;
  market::Session session_ = market::Session::kRegular;
  // What kind of a log this is.
  double quote_share_;
  double figures_share_;
  double restart_share_;
  double day_share_;
  double late_share_;
  double range_share_;
  double split_share_;
  double suspicion_share_;
  double settlement_share_;
  bool mixes_rules_;
  record::Rules rules_ = record::kNewestRules;
  bool with_publisher_;
  bool with_sessions_;
  bool single_kind_;
  int64_t kind_;
  int64_t alerts_max_;
  int64_t half_grid_steps_;
  // Long stretches in which the price hardly moves: what the fold puts off meanwhile has to come out right.
  bool calm_;
};

}  // namespace stockalert::simulation
