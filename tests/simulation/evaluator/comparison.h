// Says in what two lists of triggers differ, in words for a person; nothing where they do not.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "services/evaluator/core/event.h"

namespace stockalert::simulation {

std::string TriggerText(const evaluator::Trigger& trigger);
std::optional<std::string> Difference(const std::vector<evaluator::Trigger>& got,
                                      const std::vector<evaluator::Trigger>& want);

}  // namespace stockalert::simulation
