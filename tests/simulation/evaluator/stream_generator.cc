#include "tests/simulation/evaluator/stream_generator.h"

#include <algorithm>

namespace stockalert::simulation {

using nlohmann::ordered_json;

namespace {

constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kDayUs = 86'400 * kSecondUs;
constexpr int64_t kStartUs = 1'741'271'460 * kSecondUs;

std::string Halves(int64_t count) {
  const std::string sign = count < 0 ? "-" : "";
  const int64_t magnitude = count < 0 ? -count : count;
  return sign + std::to_string(magnitude / 2) + (magnitude % 2 == 1 ? ".5" : "");
}

}  // namespace

StreamGenerator::StreamGenerator(uint64_t seed) : random_(seed) {
  symbols_ = {"AAPL"};
  if (random_.Chance(0.4)) symbols_.push_back("MSFT");
  if (random_.Chance(0.2)) symbols_.push_back("TSLA");
  for (const std::string& symbol : symbols_) markets_[symbol].time_us = kStartUs + random_.Between(0, 1);
  clock_us_ = kStartUs;
  restart_share_ = random_.Pick({0.0, 0.0, 0.02});
  suspicion_share_ = random_.Pick({0.0, 0.02, 0.06});
  figures_share_ = random_.Pick({0.0, 0.1, 0.4});
  bad_share_ = random_.Pick({0.0, 0.04});
  with_sessions_ = random_.Chance(0.5);
}

std::string StreamGenerator::NextLine() {
  offset_ += random_.Chance(0.3) ? random_.Between(2, 5) : 1;
  ordered_json line;
  const auto some_id = [&]() -> std::string {
    return ids_.empty() || random_.Chance(0.01) ? "a99" : random_.Pick(ids_);
  };
  const int64_t what = random_.Between(0, 99);
  if (random_.Chance(restart_share_)) {
    const std::string symbol = random_.Pick(symbols_);
    if (random_.Chance(0.7)) markets_[symbol].time_us -= random_.Between(0, 2 * kDayUs);
    line = {{"op", "restart"}, {"symbol", symbol}, {"offset", offset_}};
  } else if (random_.Chance(suspicion_share_)) {
    const std::string symbol = random_.Pick(symbols_);
    line = random_.Chance(0.3) ? Split(symbol)
                               : ordered_json{{"op", random_.Chance(0.5) ? "split_suspected" : "split_dismissed"},
                                              {"symbol", symbol},
                                              {"offset", offset_}};
  } else if (what < 10 || (ids_.empty() && what < 60)) {
    line = Create();
  } else if (what < 15 && !ids_.empty()) {
    line = Update();
  } else if (what < 18) {
    line = {{"op", "pause"}, {"id", some_id()}};
  } else if (what < 23) {
    line = {{"op", "resume"}, {"id", some_id()}};
  } else if (what < 26) {
    line = {{"op", "rearm"}, {"id", some_id()}};
  } else if (what < 27) {
    line = {{"op", "delete"}, {"id", some_id()}};
  } else if (what < 29) {
    clock_us_ = std::max(
        clock_us_, markets_[random_.Pick(symbols_)].time_us + random_.Pick<int64_t>({0, 0, 1, kSecondUs, kDayUs}));
    line = {{"op", "clock"}, {"time", clock_us_}};
  } else {
    line = Quote();
  }
  return line.dump();
}

std::string StreamGenerator::Price(const std::string& symbol) {
  if (random_.Chance(bad_share_)) return random_.Pick<std::string>({"0", "-1", "1000000000001", "99.0000001", "x", ""});
  Market& market = markets_[symbol];
  const int64_t half_steps =
      random_.Chance(0.5) ? random_.Between(184, 216) : market.half_steps + random_.Between(-4, 4);
  return Halves(std::max<int64_t>(half_steps, 1));
}

ordered_json StreamGenerator::Quote() {
  const std::string symbol = random_.Pick(symbols_);
  Market& market = markets_[symbol];
  if (random_.Chance(0.04)) {
    market.time_us += random_.Between(kDayUs / 3, kDayUs);
  } else {
    market.time_us += random_.Pick<int64_t>(
        {0, 0, 1, kSecondUs, 10 * kSecondUs, 10 * kSecondUs, 20 * kSecondUs, 30 * kSecondUs, 60 * kSecondUs});
  }
  int64_t time_us = market.time_us;
  if (random_.Chance(0.03)) time_us -= random_.Pick<int64_t>({1, kSecondUs});
  market.half_steps +=
      random_.Chance(0.2) ? random_.Between(-12, 12) : random_.Pick<int64_t>({0, 0, 0, 1, -1, 1, -1, 2, -2, 3, -3});
  market.half_steps = std::clamp<int64_t>(market.half_steps, 170, 230);
  std::string price = Halves(market.half_steps);
  if (random_.Chance(0.02)) {
    price = random_.Pick<std::string>({"0", "0.000000", "-0.5", "-93", "1000000000000.5", "104.0000001", "NaN", "1e2"});
    time_us += random_.Chance(0.5) ? 3600 * kSecondUs : 0;
  } else if (random_.Chance(0.1)) {
    price = random_.Pick<std::string>({"99.999999", "100.000001", "100.50", "101.000000000", "97.25", "102.99"});
  }
  if (with_sessions_ && random_.Chance(0.1)) {
    session_ = random_.Pick<std::string>({"PRE", "REGULAR", "REGULAR", "POST", "CLOSED"});
  }
  ordered_json line{{"op", "quote"},   {"symbol", symbol},    {"price", price},
                    {"time", time_us}, {"session", session_}, {"offset", offset_}};
  for (const char* figure : {"prev_close", "day_open"}) {
    if (random_.Chance(figures_share_))
      line[figure] = random_.Chance(0.05) ? std::string("0") : Halves(random_.Between(190, 210));
  }
  return line;
}

// There and back, so that prices stay where they are.
ordered_json StreamGenerator::Split(const std::string& symbol) {
  Market& market = markets_[symbol];
  const std::string ratio = market.has_more_shares ? "1/2" : "2/1";
  market.has_more_shares = !market.has_more_shares;
  return {{"op", "split"}, {"symbol", symbol}, {"ratio", ratio}, {"time", market.time_us}, {"offset", offset_}};
}

ordered_json StreamGenerator::Condition(const std::string& symbol, bool* takes_hysteresis) {
  const auto percent = [&]() -> std::string {
    if (random_.Chance(bad_share_)) return random_.Pick<std::string>({"0", "-1", "100", "150", "0.00001"});
    return random_.Pick<std::string>({"0.5", "1", "2", "2.5", "3", "5", "0.0001"});
  };
  const int64_t kind = random_.Between(0, 3);
  *takes_hysteresis = kind == 0 || kind == 3;
  if (kind == 0) {
    return {{"kind", "target"},
            {"op", random_.Pick<std::string>({"AT_OR_ABOVE", "AT_OR_BELOW", "CROSSES", "CROSSES"})},
            {"price", Price(symbol)}};
  }
  if (kind == 1) {
    const std::string reference =
        random_.Pick<std::string>({"ARMING", "PREV_CLOSE", "DAY_OPEN", "GIVEN", "WINDOW", "WINDOW"});
    ordered_json condition{{"kind", "percent"},
                           {"op", random_.Pick<std::string>({"UP", "DOWN", "EITHER"})},
                           {"percent", percent()},
                           {"reference", reference}};
    if (reference == "GIVEN") condition["given"] = Price(symbol);
    if (reference == "WINDOW") {
      condition["window_us"] = random_.Chance(bad_share_) ? 0 : random_.Pick<int64_t>({10, 60, 120, 600}) * kSecondUs;
    }
    return condition;
  }
  if (kind == 2) {
    ordered_json condition{{"kind", "trailing"},
                           {"op", random_.Pick<std::string>({"FALLS_FROM_HIGH", "RISES_FROM_LOW"})}};
    if (random_.Chance(0.5)) {
      condition["amount"] = random_.Chance(bad_share_) ? "0" : random_.Pick<std::string>({"0.5", "1", "2", "3", "5"});
    } else {
      condition["percent"] = percent();
    }
    if (random_.Chance(0.4)) condition["activation"] = Price(symbol);
    return condition;
  }
  const int64_t low = random_.Between(184, 212);
  return {{"kind", "channel"},
          {"op", random_.Pick<std::string>({"ENTERS", "LEAVES"})},
          {"low", Halves(low)},
          {"high", random_.Chance(bad_share_) ? Halves(low) : Halves(low + random_.Pick<int64_t>({1, 2, 4, 10}))}};
}

ordered_json StreamGenerator::Expiry(const std::string& symbol) {
  if (random_.Chance(0.6)) return nullptr;
  const int64_t now = markets_[symbol].time_us;
  return now + random_.Pick<int64_t>({-1, 0, 1, 30 * kSecondUs, 120 * kSecondUs, 600 * kSecondUs, kDayUs});
}

ordered_json StreamGenerator::Create() {
  const std::string symbol = random_.Pick(symbols_);
  const std::string id = "a" + std::to_string(ids_.size() + 1);
  ids_.push_back(id);
  symbol_of_[id] = symbol;
  bool takes_hysteresis = false;
  const ordered_json condition = Condition(symbol, &takes_hysteresis);
  const std::string policy = random_.Pick<std::string>({"ONCE", "REPEAT", "REPEAT", "ONCE_A_DAY"});
  ordered_json line{{"op", "create"}, {"id", id}, {"symbol", symbol}, {"condition", condition}, {"policy", policy}};
  if (policy == "REPEAT" ? random_.Chance(0.7) : random_.Chance(0.2)) {
    line["cooldown_us"] = policy == "REPEAT" || random_.Chance(bad_share_)
                              ? random_.Pick<int64_t>({10, 30, 60, 300}) * kSecondUs
                              : int64_t{0};
  }
  if (takes_hysteresis || random_.Chance(bad_share_)) {
    line["hysteresis"] = random_.Chance(bad_share_) ? "-1" : random_.Pick<std::string>({"0", "0", "0.5", "1", "2"});
  }
  line["creation"] = random_.Pick<std::string>({"FIRE_IF_MET", "FIRE_IF_MET", "WAIT_FOR_CROSS", "REJECT_IF_MET"});
  line["sessions"] = with_sessions_ && random_.Chance(0.5) ? "EXTENDED" : "REGULAR";
  line["expire_time"] = random_.Chance(0.7) ? ordered_json() : Expiry(symbol);
  return line;
}

ordered_json StreamGenerator::Update() {
  const std::string id = random_.Pick(ids_);
  const std::string symbol = symbol_of_[id];
  ordered_json line{{"op", "update"}, {"id", id}};
  const int64_t what = random_.Between(0, 5);
  if (what == 0 || what == 1) {
    bool takes_hysteresis = false;
    line["condition"] = Condition(symbol, &takes_hysteresis);
    line["hysteresis"] = takes_hysteresis ? random_.Pick<std::string>({"0", "0.5", "1"}) : std::string("0");
  } else if (what == 2) {
    line["policy"] = random_.Pick<std::string>({"ONCE", "REPEAT", "ONCE_A_DAY"});
    line["cooldown_us"] = line["policy"] == "REPEAT" ? random_.Pick<int64_t>({0, 30, 300}) * kSecondUs : int64_t{0};
  } else if (what == 3) {
    line["creation"] = random_.Pick<std::string>({"FIRE_IF_MET", "WAIT_FOR_CROSS", "REJECT_IF_MET"});
  } else if (what == 4) {
    line["sessions"] = random_.Pick<std::string>({"REGULAR", "EXTENDED"});
  }
  if (what == 5 || random_.Chance(0.1)) line["expire_time"] = Expiry(symbol);
  return line;
}

}  // namespace stockalert::simulation
