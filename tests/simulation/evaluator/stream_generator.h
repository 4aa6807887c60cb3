// Random streams of events as users make them happen: creates, updates, pauses and the rest, good and bad, between
// quotes.
//
// A line of JSON each, as docs/semantics.md has it. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/simulation/evaluator/random.h"

namespace stockalert::simulation {

class StreamGenerator {
 public:
  explicit StreamGenerator(uint64_t seed);

  std::string NextLine();

 private:
  struct Market {
    int64_t half_steps = 200;  // The price, in halves.
    int64_t time_us = 0;
    bool has_more_shares = false;  // The last split gave more for one.
  };

  nlohmann::ordered_json Quote();
  nlohmann::ordered_json Split(const std::string& symbol);
  nlohmann::ordered_json Create();
  nlohmann::ordered_json Update();
  nlohmann::ordered_json Condition(const std::string& symbol, bool* takes_hysteresis);
  nlohmann::ordered_json Expiry(const std::string& symbol);
  std::string Price(const std::string& symbol);

  Random random_;
  std::vector<std::string> symbols_;
  std::map<std::string, Market> markets_;
  std::map<std::string, std::string> symbol_of_;
  std::vector<std::string> ids_;
  std::string session_ = "REGULAR";
  int64_t offset_ = 1000;
  int64_t clock_us_;
  double restart_share_;
  double suspicion_share_;
  double figures_share_;
  double bad_share_;
  bool with_sessions_;
};

}  // namespace stockalert::simulation
