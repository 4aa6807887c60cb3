#include "tests/simulation/evaluator/logs.h"

#include <cstdio>
#include <map>
#include <set>
#include <variant>

#include "services/domain/record/log_record.h"
#include "stockalert/internal/v1/events.pb.h"
#include "tests/simulation/evaluator/event_generator.h"
#include "tests/support/auditor/auditor.h"

namespace stockalert::simulation {

using record::AlertChange;
using record::Trigger;

namespace {

// The log takes UUIDs for ids; partitions must not share any.
std::string IdIn(int32_t partition, const std::string& id) {
  char text[40];
  std::snprintf(text, sizeof(text), "%08x-0000-4000-8000-%012d", static_cast<unsigned>(partition),
                std::stoi(id.substr(1)));
  return text;
}

}  // namespace

SimulatedLog MakeLog(uint64_t seed, int32_t partition, int64_t records) {
  SimulatedLog log;
  EventGenerator generator(seed * 31 + static_cast<uint64_t>(partition));
  auditor::Auditor auditor;
  for (int64_t offset = 0; offset < records; ++offset) {
    PlacedEvent placed = generator.Next();
    if (auto* change = std::get_if<AlertChange>(&placed.event)) {
      change->alert_id = IdIn(partition, change->alert_id);
      log.changes.emplace_back(change->alert_id, offset);
    }
    log.records.push_back({record::SymbolOf(placed.event), record::EncodeRecord(placed.event).SerializeAsString(),
                           placed.place.log_time_us});
    for (Trigger& trigger : auditor.Apply(offset, placed.event)) log.expected.push_back(std::move(trigger));
  }
  return log;
}

std::optional<std::string> FindUndelivered(const std::vector<SimulatedLog>& logs,
                                           const std::vector<std::string>& delivered, bool ordered,
                                           evaluator::EvaluatorStore& store) {
  std::map<std::pair<std::string, int64_t>, int64_t> expected;  // Trigger identity → offset.
  std::set<std::pair<std::string, int64_t>> confirmations;      // Alert id and offset.
  for (const SimulatedLog& log : logs) {
    for (const Trigger& trigger : log.expected) expected[{trigger.alert_id, trigger.trigger_number}] = trigger.offset;
    confirmations.insert(log.changes.begin(), log.changes.end());
  }
  std::map<std::string, int64_t> last_number;
  std::set<std::pair<std::string, int64_t>> triggered;
  for (const std::string& value : delivered) {
    internal::v1::AlertEvent event;
    if (!event.ParseFromString(value)) return "an event cannot be parsed";
    if (event.has_change_confirmed()) {
      confirmations.erase({event.change_confirmed().alert_id(), event.change_confirmed().offset()});
    }
    if (!event.has_triggered()) continue;
    const auto& trigger = event.triggered();
    const std::pair<std::string, int64_t> identity{trigger.alert_id(), trigger.trigger_number()};
    const auto found = expected.find(identity);
    if (found == expected.end() || found->second != trigger.offset()) {
      return "a trigger reached the broker that nobody expects: " + trigger.alert_id() + " number " +
             std::to_string(trigger.trigger_number());
    }
    if (!triggered.insert(identity).second) continue;  // Delivered twice: consumers know it by its identity.
    if (ordered && trigger.trigger_number() != ++last_number[trigger.alert_id()]) {
      return "triggers of alert " + trigger.alert_id() + " reached the broker out of their order";
    }
  }
  if (triggered.size() != expected.size()) {
    return std::to_string(expected.size() - triggered.size()) + " triggers never reached the broker";
  }
  if (!confirmations.empty()) return std::to_string(confirmations.size()) + " changes were never confirmed";
  for (size_t partition = 0; partition < logs.size(); ++partition) {
    const auto left = store.ReadOutbox(static_cast<int32_t>(partition), 0, 1'000'000);
    if (!left.ok() || !left->empty()) return "delivered events are left in the outbox";
  }
  return std::nullopt;
}

}  // namespace stockalert::simulation
