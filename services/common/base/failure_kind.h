// Whether a retry can help: what the adapter that saw a failure knows, for the code that has to decide.
//
// The adapters mark their statuses (common/postgres/sqlstate.h has the table for Postgres); a status without a mark is
// judged by its code. Pure and thread-safe.
#pragma once

#include "absl/status/status.h"

namespace stockalert::base {

enum class FailureKind {
  // It passes by itself or an operator ends it: the store or the broker is away, full, busy, read-only, or set up
  // wrongly. Every other record would fail, too: try the same again.
  kPassing,
  // The record itself is at fault: it would fail for ever in any healthy installation.
  kOfRecord,
  // Neither is certain (a bug, a broken row): the record is held, so that nothing is lost, and the others go on.
  kUnclear,
};

// `status`, which must not be OK, with the mark.
absl::Status WithFailureKind(absl::Status status, FailureKind kind);
// `made` with the mark of `cause`: for rewording a failure.
absl::Status WithFailureKindOf(absl::Status made, const absl::Status& cause);
// Of a status that is not OK.
FailureKind FailureKindOf(const absl::Status& status);

}  // namespace stockalert::base
