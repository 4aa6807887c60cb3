// A fold's state as bytes, and back.
//
// Layout, numbers little-endian: "SAFC", format version (u32), then parts, each a length (u32, above 0) and a
// serialized internal.v1.CheckpointPart, then a length of 0 and the CRC-32C (u32) of all before it. Parts are small, so
// that a state of any size stays below Protobuf's limits and neither side needs a second copy of it.
//
// Pure functions; thread-safe: a snapshot may be encoded by another thread than the fold's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/domain/fold/fold_state.h"

namespace stockalert::evaluator {

// 2 has what quotes of rules with gaps and splits left behind, 3 the records of symbols that are held. A state is
// written in the lowest format that can say it, which programs of before can read.
inline constexpr uint32_t kCheckpointFormatVersion = 3;

std::string EncodeCheckpoint(const fold::FoldState& state);

// DataLoss: the bytes are not what EncodeCheckpoint wrote (cut short, or changed). FailedPrecondition: written in a
// format that this program does not know; load an older checkpoint, or replay the log.
absl::StatusOr<fold::FoldState> DecodeCheckpoint(std::string_view bytes);

}  // namespace stockalert::evaluator
