#include "services/evaluator/evaluator_store.h"

#include "absl/strings/cord.h"

namespace stockalert::evaluator {
namespace {
constexpr char kFencedPayload[] = "type.stockalert.dev/evaluator.fenced";
}  // namespace

absl::Status FencedError() {
  absl::Status status = absl::FailedPreconditionError("fenced: the partition is another evaluator's by now");
  status.SetPayload(kFencedPayload, absl::Cord("1"));
  return status;
}

bool IsFenced(const absl::Status& status) { return status.GetPayload(kFencedPayload).has_value(); }

}  // namespace stockalert::evaluator
