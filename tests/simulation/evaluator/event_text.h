// Events as lines of a stream (docs/semantics.md, "Event streams"), so that a failing simulation can be read and
// replayed.
#pragma once

#include <string>
#include <vector>

#include "services/domain/condition/definition.h"
#include "tests/simulation/evaluator/event_generator.h"

namespace stockalert::simulation {

std::string EventLine(const PlacedEvent& placed);
std::string StreamText(const std::vector<PlacedEvent>& events);

}  // namespace stockalert::simulation
