#include "services/domain/record/event.h"

namespace stockalert::record {

const std::string& SymbolOf(const Event& event) {
  return std::visit([](const auto& kind) -> const std::string& { return kind.symbol; }, event);
}

}  // namespace stockalert::record
