#include "services/evaluator/checkpoint_codec.h"

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/domain/record/definition_codec.h"
#include "services/domain/record/log_record.h"
#include "stockalert/internal/v1/checkpoint.pb.h"

namespace stockalert::evaluator {
namespace {

namespace pb = stockalert::internal::v1;

constexpr char kMagic[] = {'S', 'A', 'F', 'C'};
constexpr size_t kMagicSize = sizeof(kMagic);
constexpr size_t kWordSize = 4;
// Symbols, alerts and tombstones in a part. A symbol with a long window is the largest of them by far, and still small.
constexpr int kItemsPerPart = 4096;

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  constexpr uint32_t kCastagnoliReversed = 0x82f63b78;
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kCastagnoliReversed : 0);
    table[byte] = crc;
  }
  return table;
}

uint32_t Crc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = MakeCrcTable();
  uint32_t crc = 0xffffffff;
  for (char c : bytes) crc = kTable[(crc ^ static_cast<unsigned char>(c)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

void AppendWord(uint32_t word, std::string* out) {
  for (int i = 0; i < 4; ++i) out->push_back(static_cast<char>((word >> (8 * i)) & 0xff));
}

uint32_t ReadWord(std::string_view bytes, size_t at) {
  uint32_t word = 0;
  for (size_t i = 0; i < kWordSize; ++i) {
    word |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  }
  return word;
}

void Encode(const fold::PricePoint& point, pb::CheckpointPrice* out) {
  out->set_price_micros(point.price_micros);
  out->set_time_us(point.time_us);
}

fold::PricePoint Decode(const pb::CheckpointPrice& in) { return {in.price_micros(), in.time_us()}; }

void Encode(const fold::SavedBook& book, pb::CheckpointBook* out) {
  if (book.last.has_value()) Encode(*book.last, out->mutable_last());
  for (const fold::SavedWindow& window : book.windows) {
    pb::CheckpointWindow* encoded = out->add_windows();
    encoded->set_window_us(window.window_us);
    encoded->set_up(window.up);
    for (const fold::PricePoint& rung : window.rungs) Encode(rung, encoded->add_rungs());
  }
}

fold::SavedBook Decode(const pb::CheckpointBook& in) {
  fold::SavedBook book;
  if (in.has_last()) book.last = Decode(in.last());
  for (const pb::CheckpointWindow& encoded : in.windows()) {
    fold::SavedWindow& window = book.windows.emplace_back();
    window.window_us = encoded.window_us();
    window.up = encoded.up();
    for (const pb::CheckpointPrice& rung : encoded.rungs()) window.rungs.push_back(Decode(rung));
  }
  return book;
}

void Encode(const fold::SavedSymbol& symbol, pb::CheckpointSymbol* out) {
  out->set_symbol(symbol.symbol);
  out->set_publisher_epoch(symbol.publisher_epoch);
  out->set_sequence(symbol.sequence);
  if (symbol.last_event_time_us) out->set_last_event_time_us(*symbol.last_event_time_us);
  out->set_date(symbol.date);
  if (symbol.first_reference_micros[0]) out->set_first_previous_close_micros(*symbol.first_reference_micros[0]);
  if (symbol.latest_reference_micros[0]) out->set_latest_previous_close_micros(*symbol.latest_reference_micros[0]);
  if (symbol.first_reference_micros[1]) out->set_first_day_open_micros(*symbol.first_reference_micros[1]);
  if (symbol.latest_reference_micros[1]) out->set_latest_day_open_micros(*symbol.latest_reference_micros[1]);
  Encode(symbol.books[0], out->mutable_regular());
  Encode(symbol.books[1], out->mutable_extended());
  out->set_rules(static_cast<int32_t>(symbol.rules));
  out->set_first_rules_of_date(static_cast<int32_t>(symbol.first_rules_of_date));
  if (!symbol.range.empty()) {
    out->set_range_high_micros(symbol.range.high_micros);
    out->set_range_low_micros(symbol.range.low_micros);
  }
  for (const fold::SavedSplit& split : symbol.splits) {
    pb::CheckpointSplit* encoded = out->add_splits();
    encoded->set_split_id(split.split_id);
    encoded->set_number(split.number);
    encoded->set_numerator(split.ratio.numerator);
    encoded->set_denominator(split.ratio.denominator);
  }
  if (!symbol.held_records.has_value()) return;
  pb::CheckpointHold* hold = out->mutable_hold();
  for (const record::Event& event : *symbol.held_records) *hold->add_records() = record::EncodeRecord(event);
}

absl::StatusOr<fold::SavedSymbol> Decode(const pb::CheckpointSymbol& in) {
  fold::SavedSymbol symbol;
  symbol.symbol = in.symbol();
  symbol.publisher_epoch = in.publisher_epoch();
  symbol.sequence = in.sequence();
  if (in.has_last_event_time_us()) symbol.last_event_time_us = in.last_event_time_us();
  symbol.date = in.date();
  if (in.has_first_previous_close_micros()) symbol.first_reference_micros[0] = in.first_previous_close_micros();
  if (in.has_latest_previous_close_micros()) symbol.latest_reference_micros[0] = in.latest_previous_close_micros();
  if (in.has_first_day_open_micros()) symbol.first_reference_micros[1] = in.first_day_open_micros();
  if (in.has_latest_day_open_micros()) symbol.latest_reference_micros[1] = in.latest_day_open_micros();
  symbol.books[0] = Decode(in.regular());
  symbol.books[1] = Decode(in.extended());
  const std::optional<market::Rules> rules = record::DecodeRules(in.rules());
  const std::optional<market::Rules> first_rules = record::DecodeRules(in.first_rules_of_date());
  if (!rules.has_value() || !first_rules.has_value()) {
    return absl::DataLossError(absl::StrCat("checkpoint: symbol ", in.symbol(), " is of rules that are not known"));
  }
  symbol.rules = *rules;
  symbol.first_rules_of_date = *first_rules;
  if (in.has_range_high_micros()) symbol.range = {in.range_high_micros(), in.range_low_micros()};
  for (const pb::CheckpointSplit& split : in.splits()) {
    if (split.numerator() <= 0 || split.denominator() <= 0) {
      return absl::DataLossError(absl::StrCat("checkpoint: a split of ", in.symbol(), " has no ratio"));
    }
    symbol.splits.push_back({split.split_id(), split.number(), {split.numerator(), split.denominator()}});
  }
  if (!in.has_hold()) return symbol;
  symbol.held_records.emplace();
  for (const pb::LogRecord& held : in.hold().records()) {
    record::ReadRecord read = record::JudgeRecord(in.symbol(), held);
    if (read.soundness != record::Soundness::kSound) {
      return absl::DataLossError(absl::StrCat("checkpoint: a record that ", in.symbol(), " holds: ", read.problem));
    }
    symbol.held_records->push_back(std::move(read.event));
  }
  return symbol;
}

void Encode(const fold::SavedLeg& leg, pb::CheckpointLeg* out) {
  out->set_ready(leg.ready);
  out->set_reference_micros(leg.reference_micros);
  for (const fold::PricePoint& entry : leg.window_entries) Encode(entry, out->add_window_entries());
}

fold::SavedLeg Decode(const pb::CheckpointLeg& in) {
  fold::SavedLeg leg;
  leg.ready = in.ready();
  leg.reference_micros = in.reference_micros();
  for (const pb::CheckpointPrice& entry : in.window_entries()) leg.window_entries.push_back(Decode(entry));
  return leg;
}

pb::CheckpointResidence Encode(fold::Residence residence) {
  switch (residence) {
    case fold::Residence::kOut:
      return pb::CHECKPOINT_RESIDENCE_OUT;
    case fold::Residence::kFresh:
      return pb::CHECKPOINT_RESIDENCE_FRESH;
    case fold::Residence::kAwaitingReference:
      return pb::CHECKPOINT_RESIDENCE_AWAITING_REFERENCE;
    case fold::Residence::kIndexed:
      return pb::CHECKPOINT_RESIDENCE_INDEXED;
  }
  return pb::CHECKPOINT_RESIDENCE_UNSPECIFIED;
}

std::optional<fold::Residence> Decode(pb::CheckpointResidence in) {
  switch (in) {
    case pb::CHECKPOINT_RESIDENCE_OUT:
      return fold::Residence::kOut;
    case pb::CHECKPOINT_RESIDENCE_FRESH:
      return fold::Residence::kFresh;
    case pb::CHECKPOINT_RESIDENCE_AWAITING_REFERENCE:
      return fold::Residence::kAwaitingReference;
    case pb::CHECKPOINT_RESIDENCE_INDEXED:
      return fold::Residence::kIndexed;
    default:
      return std::nullopt;
  }
}

void Encode(const fold::SavedAlert& alert, pb::CheckpointAlert* out) {
  out->set_id(alert.id);
  out->set_symbol(alert.symbol);
  *out->mutable_definition() = record::EncodeDefinition(alert.definition);
  out->set_revision(alert.revision);
  out->set_armed_revision(alert.armed_revision);
  out->set_trigger_number(alert.trigger_number);
  out->set_paused(alert.paused);
  out->set_ended(alert.ended);
  out->set_expired(alert.expired);
  out->set_begun(alert.begun);
  out->set_activated(alert.activated);
  out->set_own_reference(alert.own_reference);
  out->set_residence(Encode(alert.residence));
  if (alert.last_trigger_time_us) out->set_last_trigger_time_us(*alert.last_trigger_time_us);
  out->set_last_trigger_date(alert.last_trigger_date);
  out->set_date_stamp(alert.date_stamp);
  out->set_has_own_price_before(alert.has_own_price_before);
  if (alert.own_price_before_micros) out->set_own_price_before_micros(*alert.own_price_before_micros);
  Encode(alert.legs[0], out->mutable_up());
  Encode(alert.legs[1], out->mutable_down());
  out->set_since_last_quote(alert.since_last_quote);
}

absl::StatusOr<fold::SavedAlert> Decode(const pb::CheckpointAlert& in) {
  fold::SavedAlert alert;
  alert.id = in.id();
  alert.symbol = in.symbol();
  absl::StatusOr<condition::Definition> definition = record::DecodeDefinition(in.definition());
  const std::optional<fold::Residence> residence = Decode(in.residence());
  if (!definition.ok() || !residence.has_value()) {
    return absl::DataLossError(absl::StrCat("checkpoint: alert ", in.id(), " cannot be understood"));
  }
  alert.definition = *std::move(definition);
  alert.residence = *residence;
  alert.revision = in.revision();
  alert.armed_revision = in.armed_revision();
  alert.trigger_number = in.trigger_number();
  alert.paused = in.paused();
  alert.ended = in.ended();
  alert.expired = in.expired();
  alert.begun = in.begun();
  alert.activated = in.activated();
  alert.own_reference = in.own_reference();
  if (in.has_last_trigger_time_us()) alert.last_trigger_time_us = in.last_trigger_time_us();
  alert.last_trigger_date = in.last_trigger_date();
  alert.date_stamp = in.date_stamp();
  alert.has_own_price_before = in.has_own_price_before();
  if (in.has_own_price_before_micros()) alert.own_price_before_micros = in.own_price_before_micros();
  alert.legs[0] = Decode(in.up());
  alert.legs[1] = Decode(in.down());
  alert.since_last_quote = in.since_last_quote();
  return alert;
}

// Collects items into parts and frames each full one.
class PartWriter {
 public:
  explicit PartWriter(std::string* out) : out_(out) {}

  pb::CheckpointPart& NextItem() {
    if (items_ == kItemsPerPart) Flush();
    ++items_;
    return part_;
  }

  void Flush() {
    const std::string bytes = part_.SerializeAsString();
    if (!bytes.empty()) {
      AppendWord(static_cast<uint32_t>(bytes.size()), out_);
      out_->append(bytes);
    }
    part_.Clear();
    items_ = 0;
  }

 private:
  std::string* const out_;
  pb::CheckpointPart part_;
  int items_ = 0;
};

uint32_t FormatVersionFor(const fold::FoldState& state) {
  uint32_t version = 1;
  for (const fold::SavedSymbol& symbol : state.symbols) {
    if (symbol.held_records.has_value()) return 3;
    if (symbol.rules != market::Rules::kFirst || !symbol.splits.empty()) version = 2;
  }
  return version;
}

absl::Status Broken(const char* what) { return absl::DataLossError(absl::StrCat("checkpoint: ", what)); }

}  // namespace

std::string EncodeCheckpoint(const fold::FoldState& state) {
  std::string out(kMagic, kMagicSize);
  AppendWord(FormatVersionFor(state), &out);
  PartWriter writer(&out);
  pb::CheckpointTotals* totals = writer.NextItem().mutable_totals();
  totals->set_symbol_count(static_cast<int64_t>(state.symbols.size()));
  totals->set_alert_count(static_cast<int64_t>(state.alerts.size()));
  totals->set_tombstone_count(static_cast<int64_t>(state.tombstones.size()));
  totals->set_log_time_us(state.log_time_us);
  totals->set_quotes_accepted(state.counters.quotes_accepted);
  totals->set_quotes_refused(state.counters.quotes_refused);
  totals->set_quotes_late(state.counters.quotes_late);
  totals->set_quotes_repeated(state.counters.quotes_repeated);
  totals->set_changes_applied(state.counters.changes_applied);
  totals->set_changes_skipped(state.counters.changes_skipped);
  totals->set_triggers(state.counters.triggers);
  totals->set_edges_swallowed(state.counters.edges_swallowed);
  const auto in_order = [](const auto& all, const auto& key) {
    std::vector<decltype(all.data())> sorted;
    sorted.reserve(all.size());
    for (const auto& one : all) sorted.push_back(&one);
    std::sort(sorted.begin(), sorted.end(), [&key](const auto* a, const auto* b) { return key(*a) < key(*b); });
    return sorted;
  };
  using fold::SavedAlert;
  using fold::SavedSymbol;
  const auto name_of = [](const SavedSymbol& symbol) -> const std::string& { return symbol.symbol; };
  const auto id_of = [](const SavedAlert& alert) { return std::tie(alert.symbol, alert.id); };
  for (const SavedSymbol* symbol : in_order(state.symbols, name_of)) Encode(*symbol, writer.NextItem().add_symbols());
  for (const SavedAlert* alert : in_order(state.alerts, id_of)) Encode(*alert, writer.NextItem().add_alerts());
  for (const fold::SavedTombstone& tombstone : state.tombstones) {
    pb::CheckpointTombstone* encoded = writer.NextItem().add_tombstones();
    encoded->set_id(tombstone.id);
    encoded->set_revision(tombstone.revision);
    encoded->set_log_time_us(tombstone.log_time_us);
  }
  writer.Flush();
  AppendWord(0, &out);
  AppendWord(Crc32c(out), &out);
  return out;
}

absl::StatusOr<fold::FoldState> DecodeCheckpoint(std::string_view bytes) {
  if (bytes.size() < kMagicSize + 3 * kWordSize ||
      bytes.substr(0, kMagicSize) != std::string_view(kMagic, kMagicSize)) {
    return Broken("it is cut short, or none");
  }
  const size_t guarded_size = bytes.size() - kWordSize;
  if (Crc32c(bytes.substr(0, guarded_size)) != ReadWord(bytes, guarded_size)) return Broken("the checksum differs");
  const uint32_t version = ReadWord(bytes, kMagicSize);
  if (version < 1 || version > kCheckpointFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "checkpoint: format ", version, " is not known to this program, which knows 1 to ", kCheckpointFormatVersion));
  }
  fold::FoldState state;
  std::optional<pb::CheckpointTotals> totals;
  size_t at = kMagicSize + kWordSize;
  while (true) {
    if (guarded_size - at < kWordSize) return Broken("a part is missing");
    const size_t size = ReadWord(bytes, at);
    at += kWordSize;
    if (size == 0) break;
    if (guarded_size - at < size) return Broken("a part is cut short");
    pb::CheckpointPart part;
    if (!part.ParseFromArray(bytes.data() + at, static_cast<int>(size))) return Broken("a part cannot be parsed");
    at += size;
    if (part.has_totals()) totals = part.totals();
    for (const pb::CheckpointSymbol& encoded : part.symbols()) {
      absl::StatusOr<fold::SavedSymbol> symbol = Decode(encoded);
      if (!symbol.ok()) return symbol.status();
      state.symbols.push_back(*std::move(symbol));
    }
    for (const pb::CheckpointAlert& encoded : part.alerts()) {
      absl::StatusOr<fold::SavedAlert> alert = Decode(encoded);
      if (!alert.ok()) return alert.status();
      state.alerts.push_back(*std::move(alert));
    }
    for (const pb::CheckpointTombstone& tombstone : part.tombstones()) {
      state.tombstones.push_back({tombstone.id(), tombstone.revision(), tombstone.log_time_us()});
    }
  }
  if (at != guarded_size) return Broken("there is something after its end");
  if (!totals.has_value() || totals->symbol_count() != static_cast<int64_t>(state.symbols.size()) ||
      totals->alert_count() != static_cast<int64_t>(state.alerts.size()) ||
      totals->tombstone_count() != static_cast<int64_t>(state.tombstones.size())) {
    return Broken("it does not hold what it says");
  }
  state.log_time_us = totals->log_time_us();
  state.counters.quotes_accepted = totals->quotes_accepted();
  state.counters.quotes_refused = totals->quotes_refused();
  state.counters.quotes_late = totals->quotes_late();
  state.counters.quotes_repeated = totals->quotes_repeated();
  state.counters.changes_applied = totals->changes_applied();
  state.counters.changes_skipped = totals->changes_skipped();
  state.counters.triggers = totals->triggers();
  state.counters.edges_swallowed = totals->edges_swallowed();
  return state;
}

}  // namespace stockalert::evaluator
