// The fold's events and outcomes as Protobuf: records of the topic `prices` in, messages of `alert-events` out. Pure
// and thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "services/domain/record/event.h"
#include "services/domain/record/log_record.h"
#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::record {

struct DecodedRecord {
  Soundness soundness = Soundness::kUndecodable;
  std::string problem;  // Empty where sound.
  Event event;          // Where sound.
};

DecodedRecord DecodeRecord(std::string_view key, std::string_view value);

// The other way, for publishers in tests and tools. The caller sets the key: SymbolOf.
std::string EncodeRecord(const Event& event);

// Serialized internal.v1.AlertEvent. `log_time_us`: when the broker appended the record that triggered.
std::string EncodeAlertEvent(const Trigger& trigger, int32_t partition, int64_t log_time_us);
std::string EncodeAlertEvent(const Confirmation& confirmation, int32_t partition);
std::string EncodeAlertEvent(const SymbolStatus& status, int32_t partition);

}  // namespace stockalert::record
