// Says in what two lists of triggers differ, in words for a person; nothing where they do not.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "services/domain/record/event.h"

namespace stockalert::simulation {

std::string TriggerText(const record::Trigger& trigger);
std::optional<std::string> Difference(const std::vector<record::Trigger>& got,
                                      const std::vector<record::Trigger>& want);

}  // namespace stockalert::simulation
