#include "services/evaluator/evaluator_logic.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/base/abseil.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/trace/trace.h"
#include "services/domain/record/alert_event_codec.h"
#include "services/domain/record/log_record.h"
#include "services/evaluator/checkpoint_codec.h"
#include "services/evaluator/log_carry_over.h"

namespace stockalert::evaluator {
namespace {

// Compared with what is recorded: of a replayed record, all of its effects.
constexpr size_t kAllEffects = SIZE_MAX;

bool SameTrigger(const record::Trigger& a, const record::Trigger& b) {
  return a.alert_id == b.alert_id && a.symbol == b.symbol && a.revision == b.revision &&
         a.trigger_number == b.trigger_number && a.price_micros == b.price_micros &&
         a.event_time_us == b.event_time_us && a.price_before_micros == b.price_before_micros &&
         a.reference_micros == b.reference_micros && a.offset == b.offset && a.late == b.late &&
         a.late_from_us == b.late_from_us && a.ends_alert == b.ends_alert;
}

// Failures that pass by themselves; anything else would come again each time.
bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsAborted(status) ||
         absl::IsResourceExhausted(status) || absl::IsCancelled(status);
}

void Add(const fold::Counters& more, fold::Counters& total) {
  total.quotes_accepted += more.quotes_accepted;
  total.quotes_refused += more.quotes_refused;
  total.quotes_late += more.quotes_late;
  total.quotes_repeated += more.quotes_repeated;
  total.changes_applied += more.changes_applied;
  total.changes_skipped += more.changes_skipped;
  total.triggers += more.triggers;
  total.edges_swallowed += more.edges_swallowed;
}

fold::Counters operator-(const fold::Counters& a, const fold::Counters& b) {
  return {.quotes_accepted = a.quotes_accepted - b.quotes_accepted,
          .quotes_refused = a.quotes_refused - b.quotes_refused,
          .quotes_late = a.quotes_late - b.quotes_late,
          .quotes_repeated = a.quotes_repeated - b.quotes_repeated,
          .changes_applied = a.changes_applied - b.changes_applied,
          .changes_skipped = a.changes_skipped - b.changes_skipped,
          .triggers = a.triggers - b.triggers,
          .edges_swallowed = a.edges_swallowed - b.edges_swallowed};
}

}  // namespace

int64_t ChecksumOf(const LogEntry& entry) {
  // FNV-1a: no guard against malice, only against another record in the same place.
  uint64_t hash = 14695981039346656037u;
  const auto mix = [&hash](std::string_view bytes) {
    for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211u;
  };
  mix(entry.key);
  mix("\xff");
  mix(entry.value);
  for (int shift = 0; shift < 64; shift += 8) {
    hash = (hash ^ ((static_cast<uint64_t>(entry.log_time_us) >> shift) & 0xff)) * 1099511628211u;
  }
  return static_cast<int64_t>(hash);
}

size_t EvaluatorLogic::EffectsOf(const fold::Outcome& outcome) {
  return outcome.triggers.size() + outcome.confirmations.size() + outcome.statuses.size() + outcome.splits.size();
}

// The record that was read last. Its checksum is for the row and for checkpoints, which few records are the last of: it
// is computed when one of these asks. Until then a copy of the record costs a fraction of that.
class EvaluatorLogic::LastRecord {
 public:
  void SetChecksum(std::optional<int64_t> checksum) {
    checksum_ = checksum;
    is_known_ = true;
  }
  void Set(const LogEntry& entry) {
    log_time_us_ = entry.log_time_us;
    key_.assign(entry.key);
    value_.assign(entry.value);
    is_known_ = false;
  }
  // None where no record was read.
  std::optional<int64_t> checksum() const {
    if (!is_known_) {
      checksum_ =
          ChecksumOf({.offset = 0, .log_time_us = log_time_us_, .key = key_, .value = value_, .traceparent = {}});
      is_known_ = true;
    }
    return checksum_;
  }

 private:
  int64_t log_time_us_ = 0;
  std::string key_, value_;
  mutable bool is_known_ = true;
  mutable std::optional<int64_t> checksum_;  // Where it is known.
};

struct EvaluatorLogic::Partition {
  PartitionRow row;  // As committed.
  fold::Fold fold;
  fold::Counters counted_before;        // By the fold, when it was taken.
  int64_t next_offset = 0;              // Of the record to fold next.
  Progress live_from;                   // What is below has been committed before: it is compared, not emitted.
  LastRecord last_record;               // At next_offset - 1.
  std::map<int64_t, int64_t> expected;  // Offset → the checksum that the record there must have.
  std::optional<std::string> stopped;
  bool passes = false;                // The cause of the stop may pass by itself.
  std::deque<PendingRecord> pending;  // What of it waits for its commit.
  int64_t checkpointed_offset = -1;   // Of the last checkpoint.
  std::optional<Draft> draft;         // While its state is being copied.
  bool wants_checkpoint = false;

  // The recorded triggers that the replay has still to bring about: a window of the store's rows.
  std::deque<StoredTrigger> recorded;
  Progress recorded_next;  // Rows from here on have not been read back.
  bool recorded_all = true;

  bool is_live() const { return next_offset >= live_from.next_offset; }
};

struct EvaluatorLogic::Base {
  StoredCheckpoint checkpoint;
  fold::FoldState state;
  fold::Fold fold;
};

EvaluatorLogic::EvaluatorLogic(EvaluatorStore& store, AlertEventRelay& relay, const Options& options)
    : store_(store), relay_(relay), options_(options), rows_max_(options.commit_rows_max) {}
EvaluatorLogic::~EvaluatorLogic() = default;

absl::StatusOr<int64_t> EvaluatorLogic::AcquirePartition(int32_t partition, const LogFacts& facts) {
  DropPartition(partition);
  STOCKALERT_ASSIGN_OR_RETURN(PartitionRow row,
                              store_.AcquirePartition(partition, {options_.owner, options_.owner_address}));
  auto taken = std::make_unique<Partition>();
  taken->row = std::move(row);
  absl::StatusOr<int64_t> start = LoadPartition(*taken, facts);
  // A stopped partition stays with us, to be seen; one that could not be loaded yet does not.
  if (!start.ok() && !taken->stopped) return start;
  relay_.BeginPartition(partition, taken->row.next_outbox_sequence);
  partitions_[partition] = std::move(taken);
  return start;
}

absl::StatusOr<int64_t> EvaluatorLogic::AdoptOtherLog(int32_t partition, const LogFacts& facts) {
  auto found = partitions_.find(partition);
  if (found == partitions_.end()) return absl::NotFoundError("the partition is not this evaluator's");
  // Whatever of the other log was folded meanwhile is not committed: a difference shows before anything new is folded.
  ForgetPending(partition, *found->second);
  absl::StatusOr<int64_t> start = AdoptLog(*found->second, facts);
  if (IsFenced(start.status())) DropPartition(partition);
  UpdateHasProgress();
  return start;
}

absl::StatusOr<std::optional<EvaluatorLogic::Base>> EvaluatorLogic::FindBaseCheckpoint(const PartitionRow& row) {
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<StoredCheckpoint> checkpoints,
                              store_.LoadCheckpoints(row.partition, row.log.log_generation));
  for (StoredCheckpoint& checkpoint : checkpoints) {
    absl::Status unusable;
    if (checkpoint.next_offset > row.progress.next_offset) {
      unusable = absl::DataLossError("it is ahead of the partition's progress");
    } else if (absl::StatusOr<fold::FoldState> state = DecodeCheckpoint(checkpoint.state); !state.ok()) {
      unusable = state.status();
    } else if (absl::StatusOr<fold::Fold> fold = fold::Fold::Restore(*state); !fold.ok()) {
      unusable = fold.status();
    } else {
      return Base{std::move(checkpoint), *std::move(state), *std::move(fold)};
    }
    ++counters_.checkpoints_unusable;
    log::Error("a checkpoint cannot be used; the one before it, or the whole log, is replayed instead",
               {{"partition", row.partition}, {"next_offset", checkpoint.next_offset}, {"status", unusable}});
  }
  return std::optional<Base>();
}

absl::StatusOr<int64_t> EvaluatorLogic::LoadPartition(Partition& partition, const LogFacts& facts) {
  PartitionRow& row = partition.row;
  const bool untouched = row.progress == Progress() && !row.last_record_checksum;
  const bool other_log =
      untouched
          ? facts.low_offset > 0  // The log is older than this database: what it has lost already cannot be asked for.
          : (!row.log.cluster_id.empty() && row.log.cluster_id != facts.cluster_id) ||
                facts.high_offset < row.progress.next_offset + (row.progress.next_ordinal > 0 ? 1 : 0);
  if (other_log) return AdoptLog(partition, facts);
  row.log.cluster_id = facts.cluster_id;

  STOCKALERT_ASSIGN_OR_RETURN(std::optional<Base> base, FindBaseCheckpoint(row));
  int64_t begin = 0;
  std::optional<int64_t> begin_checksum;
  if (base) {
    begin = base->checkpoint.next_offset;
    begin_checksum = base->checkpoint.last_record_checksum;
    partition.fold = std::move(base->fold);
    partition.checkpointed_offset = begin;
  } else if (row.log.log_generation > 1) {
    StopPartition(
        partition,
        "no checkpoint of it can be used, and this log began without the state of the one before: restore the "
        "database from a backup");
    return absl::FailedPreconditionError(*partition.stopped);
  }
  if (facts.low_offset > begin) {
    StopPartition(
        partition,
        absl::StrCat("the log begins at ", facts.low_offset, ", and the state needs its records from ", begin,
                     " on: records were deleted before they were evaluated. Lengthen the topic's retention; to go on "
                     "without them, see services/evaluator/README.md, 'A gap'"));
    return absl::FailedPreconditionError(*partition.stopped);
  }
  partition.counted_before = partition.fold.counters();
  partition.next_offset = begin;
  partition.last_record.SetChecksum(begin_checksum);
  partition.live_from = row.progress;
  partition.recorded_next = {begin, 0};
  partition.recorded_all = !(partition.recorded_next < row.progress);
  int64_t start = begin;
  if (begin_checksum && facts.low_offset < begin) {
    start = begin - 1;
    partition.expected[start] = *begin_checksum;
  }
  if (row.last_record_checksum && row.progress.next_offset > start) {
    partition.expected[row.progress.next_offset - 1] = *row.last_record_checksum;
  }
  return start;
}

absl::StatusOr<std::vector<RecordedSplit>> EvaluatorLogic::ReadSplitsSince(const PartitionRow& row, Progress from) {
  std::vector<RecordedSplit> splits;
  for (;;) {
    STOCKALERT_ASSIGN_OR_RETURN(
        std::vector<RecordedSplit> rows,
        store_.ReadSplits(row.partition, row.log.log_generation, from, options_.compare_rows_max));
    splits.insert(splits.end(), rows.begin(), rows.end());
    if (rows.size() < options_.compare_rows_max) return splits;
    from = {rows.back().offset, rows.back().ordinal + 1};
  }
}

absl::StatusOr<int64_t> EvaluatorLogic::AdoptLog(Partition& partition, const LogFacts& facts) {
  PartitionRow row = partition.row;
  STOCKALERT_ASSIGN_OR_RETURN(std::optional<Base> base, FindBaseCheckpoint(row));
  fold::FoldState state;
  Progress from;
  if (base) {
    state = std::move(base->state);
    from.next_offset = base->checkpoint.next_offset;
  }
  const Progress checkpointed = from;
  std::vector<StoredTrigger> since;
  for (;;) {
    STOCKALERT_ASSIGN_OR_RETURN(
        std::vector<StoredTrigger> rows,
        store_.ReadTriggers(row.partition, row.log.log_generation, from, options_.compare_rows_max));
    const bool last = rows.size() < options_.compare_rows_max;
    if (!rows.empty()) from = {rows.back().trigger.offset, rows.back().ordinal + 1};
    since.insert(since.end(), std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end()));
    if (last) break;
  }
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<RecordedSplit> splits, ReadSplitsSince(row, checkpointed));
  if (const absl::Status carried = CarrySplitsOver(state, splits); !carried.ok()) {
    StopPartition(partition, absl::StrCat("its state cannot be carried into another log: ", carried.message()));
    return absl::FailedPreconditionError(*partition.stopped);
  }
  CarryOver(state, since);
  absl::StatusOr<fold::Fold> fold = fold::Fold::Restore(state);
  if (!fold.ok()) {
    StopPartition(partition, absl::StrCat("its state cannot be carried into another log: ", fold.status().message()));
    return absl::FailedPreconditionError(*partition.stopped);
  }
  const std::string before = row.log.cluster_id;
  row.log = {facts.cluster_id, row.log.log_generation + 1};
  row.progress = {facts.low_offset, 0};
  row.last_record_checksum.reset();
  StoredCheckpoint checkpoint;
  checkpoint.partition = row.partition;
  checkpoint.log_generation = row.log.log_generation;
  checkpoint.next_offset = facts.low_offset;
  checkpoint.state = EncodeCheckpoint(state);
  STOCKALERT_RETURN_IF_ERROR(store_.AdoptLog(row, checkpoint));
  ++counters_.logs_adopted;
  log::Warning(
      "the partition's log is another one than before: state and trigger numbers are kept, and the oldest record is "
      "next. "
      "Alerts that were set in the log that is gone are armed again by ResyncAlerts of the alert service",
      {{"partition", row.partition},
       {"cluster_before", before},
       {"cluster", facts.cluster_id},
       {"next_offset", facts.low_offset}});
  Add(partition.fold.counters() - partition.counted_before, folded_before_);
  partition.row = row;
  partition.fold = *std::move(fold);
  partition.draft.reset();
  partition.counted_before = partition.fold.counters();
  partition.next_offset = facts.low_offset;
  partition.live_from = row.progress;
  partition.last_record.SetChecksum(std::nullopt);
  partition.expected.clear();
  partition.recorded.clear();
  partition.recorded_all = true;
  partition.checkpointed_offset = facts.low_offset;
  partition.stopped.reset();
  return facts.low_offset;
}

void EvaluatorLogic::ForgetPending(int32_t number, Partition& partition) {
  for (const PendingRecord& record : partition.pending) pending_effects_ -= record.effects() - record.committed;
  partition.pending.clear();
  apart_.erase(number);
  if (!in_flight_) return;
  // A transaction whose outcome is unknown was built with this partition. Built again without it, it finds out by the
  // fence.
  const auto& moves = in_flight_->batch.moves;
  if (std::any_of(moves.begin(), moves.end(), [&](const PartitionMove& move) { return move.partition == number; }))
    in_flight_.reset();
}

void EvaluatorLogic::DropPartition(int32_t partition) {
  auto found = partitions_.find(partition);
  if (found == partitions_.end()) return;
  ForgetPending(partition, *found->second);
  Add(found->second->fold.counters() - found->second->counted_before, folded_before_);
  partitions_.erase(found);
  relay_.EndPartition(partition);
  UpdateHasProgress();
}

void EvaluatorLogic::DropAllPartitions() {
  for (const int32_t partition : partitions()) DropPartition(partition);
}

void EvaluatorLogic::UpdateHasProgress() {
  has_progress_ = std::any_of(partitions_.begin(), partitions_.end(), [](const auto& entry) {
    return Progress{entry.second->next_offset, 0} > entry.second->row.progress;
  });
}

NextStep EvaluatorLogic::StopPartition(Partition& partition, const std::string& why, Stop stop) {
  if (!partition.stopped) {
    ++counters_.partitions_stopped;
    log::Error(stop == Stop::kForNow ? "the partition is stopped: its alerts are not evaluated; it is taken anew and "
                                       "tried again until the cause is gone"
                                     : "the partition is stopped: its alerts are not evaluated until the cause is "
                                       "mended and the evaluator restarted",
               {{"partition", partition.row.partition}, {"next_offset", partition.next_offset}, {"why", why}});
    partition.stopped = why;
    partition.passes = stop == Stop::kForNow;
  } else if (stop == Stop::kForNow) {
    // What it stood for before is found again when it is taken anew.
    partition.stopped = why;
    partition.passes = true;
  }
  return NextStep::kStop;
}

void EvaluatorLogic::StopForNow(int32_t partition, const std::string& why) {
  auto found = partitions_.find(partition);
  if (found != partitions_.end()) StopPartition(*found->second, why, Stop::kForNow);
}

absl::Status EvaluatorLogic::ReadRecordedTriggers(Partition& partition, int64_t offset) {
  while (!partition.recorded_all &&
         (partition.recorded.empty() || partition.recorded.back().trigger.offset <= offset)) {
    STOCKALERT_ASSIGN_OR_RETURN(std::vector<StoredTrigger> rows,
                                store_.ReadTriggers(partition.row.partition, partition.row.log.log_generation,
                                                    partition.recorded_next, options_.compare_rows_max));
    partition.recorded_all = rows.size() < options_.compare_rows_max;
    for (StoredTrigger& row : rows) {
      const Progress place{row.trigger.offset, row.ordinal};
      partition.recorded_next = {place.next_offset, place.next_ordinal + 1};
      if (place < partition.live_from) {
        partition.recorded.push_back(std::move(row));
      } else {
        partition.recorded_all = true;
        break;
      }
    }
  }
  return absl::OkStatus();
}

// The first `compared` effects of the record at `offset` against the rows that are recorded for it; a text where they
// differ.
std::optional<std::string> EvaluatorLogic::FindDifference(Partition& partition, const fold::Outcome& outcome,
                                                          int64_t offset, size_t compared) {
  const size_t triggers = std::min(compared, outcome.triggers.size());
  for (size_t i = 0; i < triggers; ++i) {
    const record::Trigger& computed = outcome.triggers[i];
    if (partition.recorded.empty() || partition.recorded.front().trigger.offset != offset) {
      return absl::StrCat("a trigger of alert ", computed.alert_id, " (number ", computed.trigger_number,
                          ") is computed and not recorded");
    }
    const record::Trigger recorded = std::move(partition.recorded.front().trigger);
    partition.recorded.pop_front();
    if (!SameTrigger(computed, recorded)) {
      return absl::StrCat("a trigger of alert ", computed.alert_id, " (number ", computed.trigger_number,
                          ") is computed, and another is recorded: alert ", recorded.alert_id, " (number ",
                          recorded.trigger_number, ")");
    }
  }
  if (!partition.recorded.empty() && partition.recorded.front().trigger.offset <= offset) {
    const record::Trigger& recorded = partition.recorded.front().trigger;
    return absl::StrCat("a trigger of alert ", recorded.alert_id, " (number ", recorded.trigger_number,
                        ") is recorded and not computed");
  }
  if (compared != kAllEffects && compared > EffectsOf(outcome)) return "more effects are recorded than computed";
  return std::nullopt;
}

// Folds the record, or passes it over where that is allowed; none: the partition halts.
// True: the record would be kept, and as many are kept of its symbol as may be.
bool EvaluatorLogic::StopWhereHoldIsFull(Partition& partition, const record::Event& event) {
  if (partition.fold.held_record_count() < options_.held_records_max) return false;
  const bool may_settle =
      std::holds_alternative<record::Split>(event) || std::holds_alternative<record::SplitDismissed>(event);
  const std::string& symbol = record::SymbolOf(event);
  const std::optional<fold::SymbolView> view = partition.fold.FindSymbol(symbol);
  if (may_settle || !view.has_value() || view->held_records.value_or(0) < options_.held_records_max) return false;
  StopPartition(partition,
                absl::StrCat("a split of ", symbol, " is suspected, and ", *view->held_records,
                             " of its records are kept, as many as may be: declare the split or dismiss it, and "
                             "raise --held_records_max, for the settlement comes after what is still to be read"));
  return true;
}

std::optional<EvaluatorLogic::PendingRecord> EvaluatorLogic::FoldRecord(int32_t number, Partition& partition,
                                                                        const LogEntry& entry) {
  const record::ReadRecord decoded = record::ReadLogRecord(entry.key, entry.value);
  PendingRecord made;
  made.offset = entry.offset;
  made.log_time_us = entry.log_time_us;
  switch (decoded.soundness) {
    case record::Soundness::kSound:
      if (StopWhereHoldIsFull(partition, decoded.event)) return std::nullopt;
      partition.fold.Apply(decoded.event, {entry.offset, entry.log_time_us}, &made.outcome);
      if (std::holds_alternative<record::Split>(decoded.event) && made.outcome.splits.empty() && partition.is_live()) {
        ++counters_.splits_skipped;
        log::Warning(
            "a split is skipped: its number or its id is another split's (was a database restored from a backup?); "
            "compare with ListSplits, and declare it again where it is not there",
            {{"symbol", record::SymbolOf(decoded.event)}, {"partition", number}, {"offset", entry.offset}});
      }
      if (std::holds_alternative<record::SplitSuspected>(decoded.event) && !made.outcome.statuses.empty()) {
        log::Warning("a split is suspected: nothing of the symbol is evaluated until it is declared or dismissed",
                     {{"symbol", record::SymbolOf(decoded.event)}, {"partition", number}, {"offset", entry.offset}});
      }
      break;
    case record::Soundness::kUndecodable:
      if (!options_.skipped_records.contains({number, entry.offset})) {
        StopPartition(partition,
                      absl::StrCat("the record at offset ", entry.offset, " cannot be understood: ", decoded.problem));
        return std::nullopt;
      }
      ++counters_.records_given_up;
      log::Warning("a record that cannot be understood is skipped, as the operator said",
                   {{"partition", number}, {"offset", entry.offset}, {"problem", decoded.problem}});
      break;
    case record::Soundness::kMalformedQuote:
      if (!partition.is_live()) break;
      ++counters_.quotes_malformed;
      log::Warning("a malformed quote is skipped: its publisher sent what no quote is",
                   {{"partition", number}, {"offset", entry.offset}, {"problem", decoded.problem}});
      break;
  }
  ++counters_.records;
  return made;
}

NextStep EvaluatorLogic::Apply(int32_t number, const LogEntry& entry) {
  auto found = partitions_.find(number);
  if (found == partitions_.end()) return NextStep::kStop;
  Partition& partition = *found->second;
  if (partition.stopped) return NextStep::kStop;

  if (auto expected = partition.expected.find(entry.offset); expected != partition.expected.end()) {
    if (expected->second != ChecksumOf(entry)) return NextStep::kOtherLog;
    partition.expected.erase(expected);
  }
  if (entry.offset < partition.next_offset) return NextStep::kGoOn;  // Only read to be checked, or read twice.
  if (entry.offset > partition.next_offset) {
    return StopPartition(partition, absl::StrCat("after offset ", partition.next_offset - 1, " the broker gave ",
                                                 entry.offset, ": records are missing between them"));
  }
  const bool replayed = !partition.is_live();
  // Of the record where an earlier process stopped, the first effects may be committed already.
  size_t committed = 0;
  if (replayed) {
    committed = kAllEffects;
  } else if (entry.offset == partition.live_from.next_offset) {
    committed = static_cast<size_t>(partition.live_from.next_ordinal);
  }
  if (committed > 0 && !ReadRecordedTriggers(partition, entry.offset).ok()) return NextStep::kAgain;
  std::optional<PendingRecord> made = FoldRecord(number, partition, entry);
  if (!made) return NextStep::kStop;
  if (replayed) ++counters_.records_replayed;
  if (committed > 0) {
    if (const auto difference = FindDifference(partition, made->outcome, entry.offset, committed)) {
      return StopPartition(partition, absl::StrCat("replaying the record at offset ", entry.offset,
                                                   " gives other triggers than were recorded: ", *difference));
    }
  }
  const bool has_effects = !replayed && made->effects() > committed;
  // A commit may end before or after a record that has effects.
  if (has_effects) made->checksum_before = partition.last_record.checksum();
  partition.last_record.Set(entry);
  partition.next_offset = entry.offset + 1;
  if (replayed) return NextStep::kGoOn;
  has_progress_ = true;
  made->committed = committed;
  if (has_effects) {
    made->checksum = partition.last_record.checksum();
    pending_effects_ += made->effects() - committed;
    if (trace::Parse(entry.traceparent)) made->traceparent = std::string(entry.traceparent);
    partition.pending.push_back(*std::move(made));
  }
  return NextStep::kGoOn;
}

// What of one partition goes into the transaction: of its effects as many as there is room for, and where that is all
// of them, its whole progress.
void EvaluatorLogic::AddPart(int32_t number, const Partition& partition, InFlight& built) const {
  const PartitionRow& row = partition.row;
  if (Progress{partition.next_offset, 0} <= row.progress) return;
  InFlight::Part part;
  PartitionMove move{.partition = number,
                     .epoch = row.epoch,
                     .from = row.progress,
                     .to = row.progress,
                     .cluster_id = row.log.cluster_id,
                     .last_record_checksum = row.last_record_checksum,
                     .next_outbox_sequence = row.next_outbox_sequence};
  for (const PendingRecord& record : partition.pending) {
    const size_t effects = record.effects();
    const size_t room = rows_max_ - built.effects;
    const size_t first = record.committed;
    const size_t last = std::min(effects, first + room);
    if (first == last) break;
    const fold::Outcome& outcome = record.outcome;
    for (size_t i = first; i < last; ++i) {
      OutboxRow outgoing;
      outgoing.partition = number;
      outgoing.sequence = move.next_outbox_sequence++;
      outgoing.traceparent = record.traceparent;
      size_t at = i;
      if (at < outcome.triggers.size()) {
        const record::Trigger& trigger = outcome.triggers[at];
        outgoing.key = trigger.alert_id;
        outgoing.value = record::EncodeAlertEvent(record::PlacedTrigger{trigger, number, record.log_time_us});
        built.batch.triggers.push_back({trigger, number, row.log.log_generation, static_cast<int64_t>(i)});
      } else if (at -= outcome.triggers.size(); at < outcome.confirmations.size()) {
        outgoing.key = outcome.confirmations[at].alert_id;
        outgoing.value = record::EncodeAlertEvent(outcome.confirmations[at], number);
      } else if (at -= outcome.confirmations.size(); at < outcome.statuses.size()) {
        outgoing.key = outcome.statuses[at].symbol;
        outgoing.value = record::EncodeAlertEvent(record::PlacedStatus{outcome.statuses[at], number});
      } else {
        at -= outcome.statuses.size();
        outgoing.key = outcome.splits[at].symbol;
        built.batch.splits.push_back(
            {outcome.splits[at], number, row.log.log_generation, record.offset, static_cast<int64_t>(i)});
        outgoing.value = record::EncodeAlertEvent(record::PlacedSplit{outcome.splits[at], number, record.offset});
      }
      built.batch.outbox.push_back(std::move(outgoing));
    }
    built.effects += last - first;
    part.effects += last - first;
    if (last < effects) {
      part.effects_of_next = last;
      move.to = {record.offset, static_cast<int64_t>(last)};
      move.last_record_checksum = record.checksum_before;
      break;
    }
    ++part.records_done;
    move.to = {record.offset + 1, 0};
    move.last_record_checksum = record.checksum;
  }
  if (part.records_done == partition.pending.size()) {
    move.to = {partition.next_offset, 0};
    move.last_record_checksum = partition.last_record.checksum();
  }
  if (move.to == move.from) return;  // No room was left for it: it goes with the next transaction.
  built.batch.moves.push_back(std::move(move));
  built.parts.push_back(part);
}

EvaluatorLogic::InFlight EvaluatorLogic::BuildBatch() const {
  InFlight built;
  for (const auto& [number, partition] : partitions_) {
    if (!apart_.empty() && *apart_.begin() != number) continue;
    AddPart(number, *partition, built);
  }
  built.batch.acknowledged = relay_.FindAcknowledged();
  // By itself means by itself: of the others not even what the broker has is forgotten.
  if (!apart_.empty()) {
    std::erase_if(built.batch.acknowledged,
                  [&](const OutboxAcknowledgement& row) { return row.partition != *apart_.begin(); });
  }
  return built;
}

void EvaluatorLogic::CommitPartsSeparately(const absl::Status& refusal) {
  const InFlight refused = *std::exchange(in_flight_, std::nullopt);
  if (refused.batch.moves.size() > 1) {
    log::Warning("the database refuses a transaction of several partitions; each is tried by itself",
                 {{"partitions", refused.batch.moves.size()}, {"status", refusal}});
    for (const PartitionMove& move : refused.batch.moves) apart_.insert(move.partition);
    return;
  }
  const int32_t number = refused.batch.moves.front().partition;
  Partition& partition = *partitions_.at(number);
  ForgetPending(number, partition);
  partition.next_offset = partition.row.progress.next_offset;
  StopPartition(
      partition,
      absl::StrCat(
          "its effects cannot be stored: ", refusal.message(),
          ". Look at what in stockalert_evaluator refuses them (a ",
          "constraint, a right, a full sequence, a read-only database) and take it away; nothing of them is skipped"),
      Stop::kForNow);
  UpdateHasProgress();
}

void EvaluatorLogic::ApplyCommitted() {
  InFlight done = *std::exchange(in_flight_, std::nullopt);
  rows_max_ = std::min(rows_max_ * 2, options_.commit_rows_max);
  ++counters_.commits;
  counters_.triggers_committed += static_cast<int64_t>(done.batch.triggers.size());
  counters_.events_committed += static_cast<int64_t>(done.batch.outbox.size());
  relay_.MarkDeleted(done.batch.acknowledged);
  for (size_t i = 0; i < done.parts.size(); ++i) {
    const PartitionMove& move = done.batch.moves[i];
    const InFlight::Part& part = done.parts[i];
    Partition& partition = *partitions_.at(move.partition);
    partition.row.progress = move.to;
    partition.row.last_record_checksum = move.last_record_checksum;
    partition.row.next_outbox_sequence = move.next_outbox_sequence;
    for (size_t done_record = 0; done_record < part.records_done; ++done_record)
      partition.wants_checkpoint |= !partition.pending[done_record].outcome.splits.empty();
    partition.pending.erase(partition.pending.begin(),
                            partition.pending.begin() + static_cast<std::ptrdiff_t>(part.records_done));
    if (part.effects_of_next > 0) partition.pending.front().committed = part.effects_of_next;
    pending_effects_ -= part.effects;
  }
  relay_.Add(std::move(done.batch.outbox));
  UpdateHasProgress();
}

absl::Status EvaluatorLogic::Commit() {
  while (has_progress_ || in_flight_) {
    if (!in_flight_) in_flight_ = BuildBatch();
    if (in_flight_->batch.moves.empty()) {
      in_flight_.reset();
      if (apart_.empty()) {
        UpdateHasProgress();
        break;
      }
      apart_.erase(apart_.begin());  // All of it is stored.
      continue;
    }
    const absl::Status status = store_.Commit(in_flight_->batch);
    if (status.ok()) {
      ApplyCommitted();
      continue;
    }
    ++counters_.commit_failures;
    if (IsFenced(status)) {
      ++counters_.fenced;
      log::Warning("fenced: another evaluator has taken a partition; everything is dropped, and the group joined again",
                   {{"partitions", partitions_.size()}});
      DropAllPartitions();
      return status;
    }
    if (absl::IsDeadlineExceeded(status) && in_flight_->effects > 1) {
      // It may be too much for the time that the database gives it: half of it next time. Should the whole have been
      // carried out after all, the fence tells.
      rows_max_ = std::max<size_t>(in_flight_->effects / 2, 1);
      in_flight_ = BuildBatch();
    }
    if (IsPassing(status)) return status;
    CommitPartsSeparately(status);  // It would fail for ever, and hold up the partitions that have no part in it.
  }
  apart_.clear();
  return absl::OkStatus();
}

std::optional<EvaluatorLogic::Draft> EvaluatorLogic::TakeDraft(int32_t number) {
  if (!BeginDraft(number)) return std::nullopt;
  return ContinueDraft(number, std::numeric_limits<int64_t>::max() / 2);
}

bool EvaluatorLogic::BeginDraft(int32_t number) {
  auto found = partitions_.find(number);
  if (found == partitions_.end()) return false;
  Partition& partition = *found->second;
  const bool settled = partition.row.progress == Progress{partition.next_offset, 0};
  if (partition.stopped || !partition.is_live() || !settled || partition.checkpointed_offset == partition.next_offset) {
    return false;
  }
  partition.wants_checkpoint = false;
  partition.fold.BeginSnapshot();
  partition.draft = Draft{.partition = number,
                          .epoch = partition.row.epoch,
                          .log_generation = partition.row.log.log_generation,
                          .next_offset = partition.next_offset,
                          .last_record_checksum = partition.last_record.checksum(),
                          .state = {}};
  return true;
}

std::optional<EvaluatorLogic::Draft> EvaluatorLogic::ContinueDraft(int32_t number, int64_t alerts_max) {
  if (!is_drafting(number)) return std::nullopt;
  Partition& partition = *partitions_.find(number)->second;
  if (!partition.fold.ContinueSnapshot(alerts_max)) return std::nullopt;
  Draft draft = *std::exchange(partition.draft, std::nullopt);
  draft.state = partition.fold.TakeSnapshot();
  return draft;
}

bool EvaluatorLogic::is_drafting(int32_t number) const {
  const auto found = partitions_.find(number);
  return found != partitions_.end() && found->second->draft.has_value();
}

bool EvaluatorLogic::wants_checkpoint(int32_t number) const {
  const auto found = partitions_.find(number);
  return found != partitions_.end() && found->second->wants_checkpoint;
}

StoredCheckpoint EvaluatorLogic::Encode(const Draft& draft) {
  return {.partition = draft.partition,
          .log_generation = draft.log_generation,
          .next_offset = draft.next_offset,
          .last_record_checksum = draft.last_record_checksum,
          .state = EncodeCheckpoint(draft.state)};
}

void EvaluatorLogic::MarkCheckpointed(int32_t number, int64_t epoch, int64_t next_offset) {
  auto found = partitions_.find(number);
  if (found != partitions_.end() && found->second->row.epoch == epoch) found->second->checkpointed_offset = next_offset;
}

std::vector<int32_t> EvaluatorLogic::partitions() const {
  std::vector<int32_t> numbers;
  numbers.reserve(partitions_.size());
  for (const auto& [number, partition] : partitions_) numbers.push_back(number);
  return numbers;
}

bool EvaluatorLogic::is_live(int32_t number) const {
  auto found = partitions_.find(number);
  return found != partitions_.end() && found->second->is_live();
}

std::optional<int64_t> EvaluatorLogic::epoch(int32_t number) const {
  auto found = partitions_.find(number);
  if (found == partitions_.end()) return std::nullopt;
  return found->second->row.epoch;
}

std::optional<int64_t> EvaluatorLogic::next_offset(int32_t number) const {
  auto found = partitions_.find(number);
  if (found == partitions_.end()) return std::nullopt;
  return found->second->next_offset;
}

std::optional<Progress> EvaluatorLogic::progress(int32_t number) const {
  auto found = partitions_.find(number);
  if (found == partitions_.end()) return std::nullopt;
  return found->second->row.progress;
}

bool EvaluatorLogic::has_progress(int32_t number) const {
  auto found = partitions_.find(number);
  return found != partitions_.end() && Progress{found->second->next_offset, 0} > found->second->row.progress;
}

bool EvaluatorLogic::may_pass(int32_t number) const {
  auto found = partitions_.find(number);
  return found != partitions_.end() && found->second->stopped && found->second->passes;
}

std::map<int32_t, std::string> EvaluatorLogic::stopped() const {
  std::map<int32_t, std::string> stopped;
  for (const auto& [number, partition] : partitions_) {
    if (partition->stopped) stopped[number] = *partition->stopped;
  }
  return stopped;
}

const fold::Fold* EvaluatorLogic::fold(int32_t number) const {
  auto found = partitions_.find(number);
  return found == partitions_.end() ? nullptr : &found->second->fold;
}

fold::Counters EvaluatorLogic::fold_counters() const {
  fold::Counters total = folded_before_;
  for (const auto& [number, partition] : partitions_)
    Add(partition->fold.counters() - partition->counted_before, total);
  return total;
}

}  // namespace stockalert::evaluator
