// The one place where the fold asks what kind an alert is of. A kind of condition that is missing here, or that misses
// a member of ConditionKind, does not compile.
#pragma once

#include <cstdlib>
#include <utility>
#include <variant>

#include "services/domain/condition/definition.h"
#include "services/domain/fold/kind.h"
#include "services/domain/fold/kind_channel.h"
#include "services/domain/fold/kind_date_percent.h"
#include "services/domain/fold/kind_percent.h"
#include "services/domain/fold/kind_target.h"
#include "services/domain/fold/kind_trailing.h"
#include "services/domain/fold/kind_window_percent.h"

namespace stockalert::fold {

// A percentage is three kinds, by what it is measured from.
template <typename Visitor>
decltype(auto) WithKind(const condition::PercentChange& change, Visitor&& visitor) {
  switch (change.reference) {
    case condition::PercentReference::kArming:
    case condition::PercentReference::kGiven:
      return visitor(FixedPercentKind(change));
    case condition::PercentReference::kPreviousClose:
      return visitor(DatePercentKind(change, market::DateFigure::kPreviousClose));
    case condition::PercentReference::kDayOpen:
      return visitor(DatePercentKind(change, market::DateFigure::kDayOpen));
    case condition::PercentReference::kWindow:
      return visitor(WindowPercentKind(change));
  }
  std::abort();  // No enumerator: whoever made the definition broke the rules.
}

// Calls `visitor` with the kind that the condition is of.
template <typename Visitor>
decltype(auto) VisitKind(const condition::Condition& condition, Visitor&& visitor) {
  return std::visit(
      [&](const auto& of) -> decltype(auto) {
        return WithKind(of, [&](const ConditionKind auto& kind) -> decltype(auto) { return visitor(kind); });
      },
      condition);
}

}  // namespace stockalert::fold
