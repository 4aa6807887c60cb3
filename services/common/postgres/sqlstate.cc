#include "services/common/postgres/sqlstate.h"

#include <array>

namespace stockalert::postgres {

base::FailureKind FailureKindOfSqlState(std::string_view sqlstate) {
  struct Rule {
    std::string_view start;
    base::FailureKind kind;
  };
  using base::FailureKind;
  // The first that fits.
  static constexpr std::array kRules = {
      Rule{"22023", FailureKind::kUnclear},  // A setting or an argument that is no data of the record's.
      Rule{"22", FailureKind::kOfRecord},    Rule{"23502", FailureKind::kOfRecord},
      Rule{"23514", FailureKind::kOfRecord}, Rule{"54", FailureKind::kOfRecord},
      Rule{"08", FailureKind::kPassing},     Rule{"25006", FailureKind::kPassing},
      Rule{"40", FailureKind::kPassing},     Rule{"53", FailureKind::kPassing},
      Rule{"55", FailureKind::kPassing},     Rule{"57", FailureKind::kPassing},
      Rule{"58", FailureKind::kPassing},     Rule{"28", FailureKind::kPassing},
      Rule{"3D", FailureKind::kPassing},     Rule{"3F", FailureKind::kPassing},
      Rule{"42501", FailureKind::kPassing},  Rule{"42P01", FailureKind::kPassing},
      Rule{"42703", FailureKind::kPassing},  Rule{"42883", FailureKind::kPassing},
      Rule{"42704", FailureKind::kPassing},  Rule{"23505", FailureKind::kPassing},
      Rule{"23503", FailureKind::kPassing},
  };
  if (sqlstate.size() != 5) return FailureKind::kUnclear;
  for (const Rule& rule : kRules) {
    if (sqlstate.starts_with(rule.start)) return rule.kind;
  }
  return FailureKind::kUnclear;
}

}  // namespace stockalert::postgres
