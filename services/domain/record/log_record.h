// Reads and writes the records of the topic `prices`, and says what is wrong with a bad one. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "services/domain/record/event.h"
#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::record {

enum class Soundness {
  kSound,
  // A quote that nobody may evaluate (no symbol, another symbol than its key, no session, a negative number): count it,
  // skip it.
  kMalformedQuote,
  // An unknown kind, bytes that are no record, or a change that cannot be understood: skipping it would lose an alert,
  // so the reader stops, visibly.
  kUndecodable,
};

struct ReadRecord {
  Soundness soundness = Soundness::kUndecodable;
  std::string problem;  // What is wrong, without values; empty where sound.
  internal::v1::LogRecord record;
  Event event;  // The same as plain data, where sound; of a deletion without its definition.
};

// Of QuoteRecord.rules; none where this program does not know them.
std::optional<Rules> DecodeRules(int32_t rules);

// A quote's price and event time are not judged here: the fold refuses and counts them by its own rules.
ReadRecord ReadLogRecord(std::string_view key, std::string_view value);
// The same of one that is parsed.
ReadRecord JudgeRecord(std::string_view key, internal::v1::LogRecord record);

// The inverse. The caller sets the key: SymbolOf.
internal::v1::LogRecord EncodeRecord(const Event& event);

}  // namespace stockalert::record
