// The messages of the topic `alert-events`: encoded by the evaluator, decoded by its readers. Pure and thread-safe.
//
// Decoding answers INVALID_ARGUMENT (the text carries no values) for an id or a symbol that is malformed, a number
// below 1, or a price or time out of bounds.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "services/domain/record/event.h"
#include "stockalert/internal/v1/events.pb.h"

namespace stockalert::record {

// A trigger in the log that made it: its partition, and when the broker appended the record that triggered.
struct PlacedTrigger {
  Trigger trigger;
  int32_t partition = 0;
  int64_t log_time_us = 0;  // 0: not told.
};

struct PlacedStatus {
  SymbolStatus status;
  int32_t partition = 0;
};

// A split that the fold has applied, and its place.
struct PlacedSplit {
  Split split;
  int32_t partition = 0;
  int64_t offset = 0;
};

// Also what a message of the topic `triggers` carries. The revision is not judged: not every reader asks for it.
internal::v1::AlertTriggered EncodeTrigger(const PlacedTrigger& placed);
absl::StatusOr<PlacedTrigger> DecodeTrigger(const internal::v1::AlertTriggered& encoded);

absl::StatusOr<Confirmation> DecodeConfirmation(const internal::v1::ChangeConfirmed& encoded);
absl::StatusOr<PlacedStatus> DecodeSymbolStatus(const internal::v1::SymbolStatusChanged& encoded);
absl::StatusOr<PlacedSplit> DecodeSplit(const internal::v1::SplitApplied& encoded);

// Serialized internal.v1.AlertEvent.
std::string EncodeAlertEvent(const PlacedTrigger& placed);
std::string EncodeAlertEvent(const Confirmation& confirmation, int32_t partition);
std::string EncodeAlertEvent(const PlacedStatus& placed);
std::string EncodeAlertEvent(const PlacedSplit& placed);

}  // namespace stockalert::record
