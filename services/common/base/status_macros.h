// Early returns for absl::Status and absl::StatusOr.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define STOCKALERT_MACRO_JOIN_INNER(a, b) a##b
#define STOCKALERT_MACRO_JOIN(a, b) STOCKALERT_MACRO_JOIN_INNER(a, b)

// Returns the status of `expr` from the function where it is not OK.
#define STOCKALERT_RETURN_IF_ERROR(expr)                   \
  do {                                                     \
    ::absl::Status stockalert_status = (expr);             \
    if (!stockalert_status.ok()) return stockalert_status; \
  } while (false)

// Assigns the value of the StatusOr `expr` to `lhs` (which may declare a variable), or returns its status.
#define STOCKALERT_ASSIGN_OR_RETURN(lhs, expr) \
  STOCKALERT_ASSIGN_OR_RETURN_INNER(STOCKALERT_MACRO_JOIN(stockalert_or_, __LINE__), lhs, expr)
#define STOCKALERT_ASSIGN_OR_RETURN_INNER(result, lhs, expr) \
  auto result = (expr);                                      \
  if (!result.ok()) return std::move(result).status();       \
  lhs = std::move(result).value()
