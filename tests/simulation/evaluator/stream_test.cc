// The program behind scripts/semantics against the auditor's own reading of streams, over random streams of users'
// commands and over random logs in their text form. Seeds as in differential_test.cc.
#include <chrono>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "services/evaluator/semantics/stream_replay.h"
#include "tests/simulation/evaluator/event_generator.h"
#include "tests/simulation/evaluator/event_text.h"
#include "tests/simulation/evaluator/random.h"
#include "tests/simulation/evaluator/shrink.h"
#include "tests/simulation/evaluator/stream_generator.h"
#include "tests/support/auditor/stream.h"

namespace stockalert::simulation {
namespace {

using nlohmann::json;

constexpr int64_t kIterations = 300;
constexpr int64_t kSecondsMax = 6;
constexpr uint64_t kSeed = 1'957;

// A line of the output with what may be said in more than one way taken out.
std::string Plain(json line) {
  line.erase("why");
  return line.dump();
}

std::string PlainLines(const std::string& text) {
  std::string plain;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    plain += Plain(json::parse(text.substr(begin, end - begin))) + "\n";
    begin = end == std::string::npos ? text.size() : end + 1;
  }
  return plain;
}

// The first difference, or nothing.
std::optional<std::string> Run(const std::vector<std::string>& lines) {
  evaluator::StreamReplay replay;
  auditor::StreamAuditor auditor;
  const auto states = [&] {
    std::string got;
    replay.PrintStates(&got);
    std::string want;
    for (const auto& state : auditor.States()) want += Plain(state) + "\n";
    return std::make_pair(PlainLines(got), want);
  };
  for (const std::string& line : lines) {
    std::string out;
    const absl::Status status = replay.ApplyLine(line, &out);
    if (!status.ok()) return "the replay refused a line: " + std::string(status.message()) + "\n  at " + line + "\n";
    std::string want;
    for (const auto& happened : auditor.Apply(json::parse(line))) want += Plain(happened) + "\n";
    const std::string got = PlainLines(out);
    if (got != want) return absl::StrCat("expected\n", want, "got\n", got, "  at ", line, "\n");
    const auto [got_states, want_states] = states();
    if (got_states != want_states)
      return absl::StrCat("expected\n", want_states, "got\n", got_states, "  at ", line, "\n");
  }
  return std::nullopt;
}

void Simulate(const std::function<std::vector<std::string>(uint64_t)>& generate) {
  const uint64_t first_seed = static_cast<uint64_t>(FromEnvironment("STOCKALERT_SIMULATION_SEED", kSeed));
  const int64_t iterations = FromEnvironment("STOCKALERT_SIMULATION_ITERATIONS", kIterations);
  const int64_t seconds_max = FromEnvironment("STOCKALERT_SIMULATION_SECONDS", kSecondsMax);
  const auto begin = std::chrono::steady_clock::now();
  int64_t done = 0;
  for (; done < iterations; ++done) {
    if (std::chrono::steady_clock::now() - begin > std::chrono::seconds(seconds_max)) break;
    const uint64_t seed = first_seed + static_cast<uint64_t>(done);
    std::vector<std::string> lines = generate(seed);
    if (!Run(lines).has_value()) continue;
    lines = Shrink<std::string>(lines, [](const std::vector<std::string>& some) { return Run(some).has_value(); });
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    FAIL("STOCKALERT_SIMULATION_SEED=" << seed << "\n" << text << Run(lines).value_or("gone"));
  }
  std::cout << "seeds " << first_seed << " to " << first_seed + static_cast<uint64_t>(done) - 1 << "\n";
  CHECK(done > 0);
}

TEST_CASE("random streams of commands and quotes", "[simulation]") {
  Simulate([](uint64_t seed) {
    StreamGenerator generator(seed);
    std::vector<std::string> lines;
    lines.reserve(150);
    for (int i = 0; i < 150; ++i) lines.push_back(generator.NextLine());
    return lines;
  });
}

TEST_CASE("random logs in their text form", "[simulation]") {
  Simulate([](uint64_t seed) {
    EventGenerator generator(seed);
    std::vector<std::string> lines;
    lines.reserve(120);
    for (int i = 0; i < 120; ++i) lines.push_back(EventLine(generator.Next()));
    return lines;
  });
}

}  // namespace
}  // namespace stockalert::simulation
