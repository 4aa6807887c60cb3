// docs/semantics/vectors.jsonl held against both implementations: the auditor in this process, and the evaluator's fold
// as the program stockalert-semantics.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/support/auditor/stream.h"

namespace stockalert {
namespace {

using nlohmann::json;

struct Happened {
  std::vector<json> triggers;
  std::map<std::string, std::string> states;
  std::vector<json> rejections;
};

const std::vector<json>& Vectors() {
  static const std::vector<json> vectors = [] {
    std::ifstream file(STOCKALERT_VECTORS);
    std::vector<json> read;
    for (std::string line; std::getline(file, line);) read.push_back(json::parse(line));
    return read;
  }();
  return vectors;
}

// A trigger with its prices in one spelling.
json Comparable(const json& line) {
  json trigger;
  for (const char* field : {"trigger", "n", "revision", "time", "offset", "late"}) trigger[field] = line.at(field);
  for (const char* field : {"price", "before"}) {
    trigger[field] =
        line.at(field).is_null() ? json() : json(auditor::DecimalCount(line.at(field).get<std::string>(), 6).value());
  }
  for (const char* field : {"from", "to"}) {
    if (line.contains(field)) trigger[field] = line.at(field);
  }
  return trigger;
}

void Add(const json& line, Happened* happened) {
  if (line.contains("trigger")) happened->triggers.push_back(Comparable(line));
  if (line.contains("state")) happened->states[line.at("state")] = line.at("is");
  if (line.contains("rejected"))
    happened->rejections.push_back({{"rejected", line.at("rejected")}, {"code", line.at("code")}});
}

Happened Expected(const json& vector) {
  Happened happened;
  for (const json& trigger : vector.at("triggers")) Add(trigger, &happened);
  happened.states = vector.at("states").get<std::map<std::string, std::string>>();
  if (vector.contains("rejections")) happened.rejections = vector.at("rejections").get<std::vector<json>>();
  return happened;
}

Happened ByAuditor(const json& vector) {
  auditor::StreamAuditor auditor;
  Happened happened;
  for (const json& event : vector.at("events")) {
    for (const auto& line : auditor.Apply(event)) Add(line, &happened);
  }
  for (const auto& line : auditor.States()) Add(line, &happened);
  return happened;
}

void RequireSame(const Happened& got, const Happened& want) {
  CHECK(got.triggers == want.triggers);
  CHECK(got.states == want.states);
  CHECK(got.rejections == want.rejections);
}

TEST_CASE("the vectors are complete and well formed", "[vectors]") {
  REQUIRE(Vectors().size() >= 500);
  std::set<std::string> names;
  std::set<std::string> conditions;
  for (const json& vector : Vectors()) {
    INFO(vector.at("name"));
    CHECK(names.insert(vector.at("name")).second);
    CHECK_FALSE(vector.at("about").get<std::string>().empty());
    for (const json& event : vector.at("events")) {
      if (!event.contains("condition")) continue;
      const json& condition = event.at("condition");
      const std::string policy = event.value("policy", "");
      const std::string what = condition.at("op").get<std::string>() + "/" + condition.value("reference", "");
      conditions.insert(what);
      conditions.insert(condition.at("op").get<std::string>() + "/" + policy);
    }
  }
  for (const char* op : {"AT_OR_ABOVE", "AT_OR_BELOW", "CROSSES", "UP", "DOWN", "EITHER", "FALLS_FROM_HIGH",
                         "RISES_FROM_LOW", "ENTERS", "LEAVES"}) {
    for (const char* policy : {"ONCE", "REPEAT"}) CHECK(conditions.count(std::string(op) + "/" + policy) == 1);
  }
  for (const char* reference : {"ARMING", "GIVEN", "PREV_CLOSE", "DAY_OPEN", "WINDOW"}) {
    for (const char* op : {"UP", "DOWN"}) CHECK(conditions.count(std::string(op) + "/" + reference) == 1);
  }
}

// What users of price alerts complain of elsewhere; docs/semantics.md has the same table.
TEST_CASE("a vector exists for each known pitfall", "[vectors]") {
  std::set<std::string> names;
  for (const json& vector : Vectors()) names.insert(vector.at("name"));
  const std::vector<std::pair<const char*, std::vector<const char*>>> complaints = {
      {"an exact touch never fires",
       {"above/exact-touch", "below/exact-touch", "crosses/touch-once", "enters/lower-border", "percent-up/exact",
        "falls/amount-exact"}},
      {"a jump over the price is missed", {"above/gap-across", "crosses/up-and-down", "percent-up/gap"}},
      {"fires again all day after one wick",
       {"above/no-repeat-while-beyond", "above/hysteresis", "crosses/hysteresis-small-moves"}},
      {"percent alerts spam", {"percent-up/rebase", "percent-up/rebase-from-a-gap", "percent-either/rebase-both-ways"}},
      {"fires at creation or at restart",
       {"above/wait-already-met", "above/reject-met", "restart/wait", "restart/triggered-stays",
        "log/republished-after-the-trigger"}},
      {"a false alert after a reconnect",
       {"order/late-quote-dropped", "order/duplicate-quote", "order/late-does-not-extend"}},
      {"fires on yesterday's close before the open",
       {"sessions/yesterdays-close-before-the-open", "sessions/closed-counts-for-none", "prev-close/new-date-waits"}},
      {"a zero quote fires below",
       {"below/zero-quote", "below/negative-quote", "numbers/zero-leaves-no-trace", "gap/zero-low"}},
      {"a spike between two quotes is missed",
       {"gap/above", "gap/below", "gap/by-a-closed-quote", "gap/first-quote-of-a-date"}},
      {"it fires on a spike from before the alert was set",
       {"gap/known-high", "gap/armed-after-the-quote-before", "gap/resumed-after-the-quote-before"}},
      {"yesterday's high, sent again before the open, fires today",
       {"figures/closed-quote-after-midnight", "figures/high-before-half-past-nine"}},
      {"a split fires everything", {"split/fall-fires-nothing", "split/target", "split/does-not-arm"}},
      {"it fires on prices of after a split that is known later",
       {"hold/nothing-meanwhile", "hold/split-settles", "hold/created-in-a-hold"}},
  };
  for (const auto& [complaint, vectors] : complaints) {
    for (const char* vector : vectors) {
      INFO(complaint << ": " << vector);
      CHECK(names.count(vector) == 1);
    }
  }
}

TEST_CASE("the auditor gets every vector right", "[vectors]") {
  for (const json& vector : Vectors()) {
    INFO(vector.at("name") << ": " << vector.at("about"));
    RequireSame(ByAuditor(vector), Expected(vector));
  }
}

#ifdef STOCKALERT_SEMANTICS

// Runs the program over the vector's events; its exit status and what it printed.
Happened ByProgram(const std::string& program, const json& vector, int* status) {
  char path[] = "/tmp/stockalert-vector-XXXXXX";
  const int descriptor = mkstemp(path);
  REQUIRE(descriptor >= 0);
  close(descriptor);
  {
    std::ofstream file(path);
    for (const json& event : vector.at("events")) file << event.dump() << '\n';
  }
  Happened happened;
  FILE* pipe = popen(("'" + program + "' < " + path).c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  char buffer[4096];
  while (const size_t count = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, count);
  *status = pclose(pipe);
  std::remove(path);
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) Add(json::parse(line), &happened);
  }
  return happened;
}

TEST_CASE("the evaluator's fold gets every vector right", "[vectors]") {
  for (const json& vector : Vectors()) {
    INFO(vector.at("name") << ": " << vector.at("about"));
    int status = -1;
    const Happened got = ByProgram(STOCKALERT_SEMANTICS, vector, &status);
    CHECK(status == 0);
    RequireSame(got, Expected(vector));
  }
}

#endif  // STOCKALERT_SEMANTICS

}  // namespace
}  // namespace stockalert
