// Random logs of partitions with what they must trigger by the auditor, and the comparison of that with what a
// simulated evaluator has stored and delivered in the end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/domain/record/event.h"
#include "services/evaluator/evaluator_store.h"

namespace stockalert::simulation {

struct SimulatedLog {
  struct Record {
    std::string key;
    std::string value;
    int64_t log_time_us = 0;
  };
  std::vector<Record> records;
  std::vector<record::Trigger> expected;                 // By the auditor, in order.
  std::vector<std::pair<std::string, int64_t>> changes;  // Alert id and offset of each.
  int64_t size() const { return static_cast<int64_t>(records.size()); }
};

SimulatedLog MakeLog(uint64_t seed, int32_t partition, int64_t records);

// Every expected trigger and every confirmation is among the delivered events (of alert-events, serialized), in the
// order of its alert where `ordered`, and no other trigger is; and the outbox is empty. Else what is wrong.
std::optional<std::string> FindUndelivered(const std::vector<SimulatedLog>& logs,
                                           const std::vector<std::string>& delivered, bool ordered,
                                           evaluator::EvaluatorStore& store);

}  // namespace stockalert::simulation
