#include "tests/simulation/evaluator/comparison.h"

#include <sstream>

namespace stockalert::simulation {

std::string TriggerText(const record::Trigger& trigger) {
  std::ostringstream text;
  text << trigger.alert_id << " n=" << trigger.trigger_number << " revision=" << trigger.revision
       << " symbol=" << trigger.symbol << " price=" << trigger.price_micros << " time=" << trigger.event_time_us
       << " before=" << trigger.price_before_micros.value_or(-1)
       << " reference=" << trigger.reference_micros.value_or(-1) << " offset=" << trigger.offset
       << (trigger.late ? " late from " + std::to_string(trigger.late_from_us.value_or(-1)) : "")
       << (trigger.ends_alert ? " ends" : "");
  return text.str();
}

std::optional<std::string> Difference(const std::vector<record::Trigger>& got,
                                      const std::vector<record::Trigger>& want) {
  std::string got_text;
  std::string want_text;
  for (const record::Trigger& trigger : got) got_text += "    " + TriggerText(trigger) + "\n";
  for (const record::Trigger& trigger : want) want_text += "    " + TriggerText(trigger) + "\n";
  if (got_text == want_text) return std::nullopt;
  return "  expected\n" + want_text + "  got\n" + got_text;
}

}  // namespace stockalert::simulation
