// Whether trying again can help: what an adapter knows of a failure, on its way to whoever has to decide.
//
// The adapters mark their statuses (common/postgres/sqlstate.h has the table for Postgres); a status without a mark is
// judged by its code. Pure and thread-safe.
#pragma once

#include "absl/status/status.h"

namespace stockalert::base {

enum class FailureKind {
  // It passes, or an operator ends it: the store or the broker is away, full, busy, read-only, or not set up as it has
  // to be. Everything
  // else would fail as well: try the same again.
  kPassing,
  // The data itself: the same record would fail in any installation that is well, for ever.
  kOfRecord,
  // Neither is certain (a defect, a broken row): what fails is held, so that nothing is lost, and the rest goes on.
  kUnclear,
};

// `status`, which is not OK, marked.
absl::Status WithFailureKind(absl::Status status, FailureKind kind);
// `made`, marked as `cause` is: for whoever says a failure in other words.
absl::Status WithFailureKindOf(absl::Status made, const absl::Status& cause);
// Of a status that is not OK.
FailureKind FailureKindOf(const absl::Status& status);

}  // namespace stockalert::base
