// What the evaluator knows of an alert, as the API tells it. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "stockalert/alert/v1/alert.pb.h"
#include "stockalert/internal/v1/evaluator_internal.pb.h"

namespace stockalert::alert {

// `name`: of the alert. INTERNAL: a definition that this version cannot read.
absl::StatusOr<v1::AlertExplanation> ToMessage(const std::string& name, const std::string& symbol,
                                               const internal::v1::FoldedAlert& folded);

// `distance` in 1e-4 of a percent of `price_micros` (above 0), rounded half to even; the nearest limit where that is
// beyond 64 bits.
int64_t PercentOf(int64_t distance_micros, int64_t price_micros);

}  // namespace stockalert::alert
