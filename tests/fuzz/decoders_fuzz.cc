// Whatever bytes come: the decoders of the log, of events, of checkpoints and of streams end, and what they take is the
// same once it was written and read again. The first byte chooses the decoder.
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

#include "services/domain/record/alert_event_codec.h"
#include "services/domain/record/log_record.h"
#include "services/evaluator/checkpoint_codec.h"
#include "services/evaluator/semantics/stream_replay.h"
#include "stockalert/internal/v1/events.pb.h"

namespace stockalert {
namespace {

void Require(bool holds, const char* what) {
  if (holds) return;
  std::cerr << what << "\n";
  std::abort();
}

void ReadRecord(std::string_view bytes) {
  const record::ReadRecord read = record::ReadLogRecord("AAPL", bytes);
  if (read.soundness != record::Soundness::kSound) return;
  const record::ReadRecord again = record::ReadLogRecord("AAPL", record::EncodeRecord(read.event).SerializeAsString());
  Require(again.soundness == record::Soundness::kSound, "a record that was read is not sound once written");
  Require(again.event == read.event, "a record is another one once written");
}

void ReadEvent(std::string_view bytes) {
  internal::v1::AlertEvent event;
  if (!event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  if (const auto trigger = record::DecodeTrigger(event.triggered()); trigger.ok()) {
    const auto again = record::DecodeTrigger(record::EncodeTrigger(*trigger));
    Require(again.ok() && again->trigger == trigger->trigger, "a trigger is another one once written");
  }
  if (const auto status = record::DecodeSymbolStatus(event.symbol_status()); status.ok()) {
    internal::v1::AlertEvent written;
    Require(written.ParseFromString(record::EncodeAlertEvent(*status)), "a status cannot be read once written");
    const auto again = record::DecodeSymbolStatus(written.symbol_status());
    Require(again.ok() && again->status == status->status, "a status is another one once written");
  }
  record::DecodeConfirmation(event.change_confirmed()).IgnoreError();
}

uint32_t Crc32c(std::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
  }
  return ~crc;
}

void AppendWord(uint32_t word, std::string* out) {
  for (int i = 0; i < 4; ++i) out->push_back(static_cast<char>((word >> (8 * i)) & 0xff));
}

// The bytes as the one part of a checkpoint whose frame and checksum are right.
void ReadPart(std::string_view bytes) {
  std::string checkpoint = "SAFC";
  AppendWord(evaluator::kCheckpointFormatVersion, &checkpoint);
  AppendWord(static_cast<uint32_t>(bytes.size()), &checkpoint);
  checkpoint.append(bytes);
  if (!bytes.empty()) AppendWord(0, &checkpoint);
  AppendWord(Crc32c(checkpoint), &checkpoint);
  const auto state = evaluator::DecodeCheckpoint(checkpoint);
  if (!state.ok()) return;
  const auto again = evaluator::DecodeCheckpoint(evaluator::EncodeCheckpoint(*state));
  Require(again.ok(), "a checkpoint cannot be read once written");
}

void ReadStream(std::string_view bytes) {
  evaluator::StreamReplay replay;
  std::string out;
  while (!bytes.empty()) {
    const size_t end = std::min(bytes.find('\n'), bytes.size());
    replay.ApplyLine(bytes.substr(0, end), &out).IgnoreError();
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
  }
  replay.PrintStates(&out);
}

}  // namespace
}  // namespace stockalert

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      stockalert::ReadRecord(bytes);
      break;
    case 1:
      stockalert::ReadEvent(bytes);
      break;
    case 2:
      stockalert::evaluator::DecodeCheckpoint(bytes).IgnoreError();
      break;
    case 3:
      stockalert::ReadPart(bytes);
      break;
    default:
      stockalert::ReadStream(bytes);
  }
  return 0;
}
