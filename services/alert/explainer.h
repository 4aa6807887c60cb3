// What the evaluator knows of an alert. Thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "services/common/grpc/caller.h"
#include "stockalert/internal/v1/evaluator_internal.pb.h"

namespace stockalert::alert {

class Explainer {
 public:
  virtual ~Explainer() = default;
  // Blocks until the call's deadline at most. UNAVAILABLE (EVALUATOR_UNAVAILABLE), or with the evaluator's own reason
  // (evaluator_internal.proto); RESOURCE_EXHAUSTED (EVALUATOR_BUSY).
  virtual absl::StatusOr<internal::v1::FoldedAlert> Explain(const std::string& alert_id, const std::string& symbol,
                                                            const rpc::CallContext& call) = 0;
};

}  // namespace stockalert::alert
