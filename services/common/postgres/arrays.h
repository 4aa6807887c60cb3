// Text forms of PostgreSQL values that SOCI does not bind by itself: arrays for unnest and = ANY, and bytea.
//
// Bind the text and cast it in SQL: `unnest(CAST(:ids AS uuid[]))`, `CAST(:blob AS bytea)`; read bytea by
// encode(column, 'hex'). (Use CAST, never `::`: SOCI's parser takes a colon for a parameter.) Pure and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace stockalert::postgres {

std::string BigintArray(const std::vector<int64_t>& values);
std::string BigintArray(const std::vector<std::optional<int64_t>>& values);  // An absent value is NULL.
std::string BooleanArray(const std::vector<bool>& values);
// Quotes and escapes; values must be free of NUL, which no text of PostgreSQL can hold (the cast then fails).
std::string TextArray(const std::vector<std::string>& values);
// Also for uuid[]: the cast refuses what is no uuid.
inline std::string UuidArray(const std::vector<std::string>& values) { return TextArray(values); }
// An array of bytea, for unnest(CAST(:x AS bytea[])).
std::string ByteaArray(const std::vector<std::string>& values);

// "\x0aff": what CAST(... AS bytea) reads.
std::string ByteaLiteral(std::string_view bytes);
// The other way, from encode(column, 'hex').
absl::StatusOr<std::string> BytesFromHex(std::string_view hex);

}  // namespace stockalert::postgres
