#include "services/evaluator/postgres_evaluator_store.h"

#include <soci/soci.h>

#include <utility>

#include "services/common/base/status_macros.h"
#include "services/common/base/text.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/transaction.h"

namespace stockalert::evaluator {
namespace {

using postgres::BigintArray;
using postgres::BooleanArray;
using postgres::ByteaArray;
using postgres::ByteaLiteral;
using postgres::BytesFromHex;
using postgres::Connection;
using postgres::Idempotency;
using postgres::TextArray;
using postgres::Transact;
using postgres::UuidArray;
using OptionalColumn = std::vector<std::optional<int64_t>>;

// As the ticker service keeps it, which publishes it again by that.
constexpr size_t kSplitIdBytesMax = 64;

std::optional<int64_t> ToOptional(int64_t value, soci::indicator indicator) {
  if (indicator == soci::i_null) return std::nullopt;
  return value;
}

// The statements of the hot path are prepared once a connection, and kept with it.
struct MoveStatement {
  explicit MoveStatement(soci::session& sql)
      : statement((
            sql.prepare << "UPDATE stockalert_evaluator.partitions AS p SET next_offset = m.to_offset, "
                           "next_ordinal = m.to_ordinal, next_outbox_sequence = m.outbox_sequence, "
                           "cluster_id = m.cluster_id, last_record_checksum = m.checksum "
                           "FROM unnest(CAST(:partitions AS integer[]), CAST(:epochs AS bigint[]), "
                           "CAST(:from_offsets AS bigint[]), CAST(:from_ordinals AS bigint[]), "
                           "CAST(:to_offsets AS bigint[]), CAST(:to_ordinals AS bigint[]), "
                           "CAST(:sequences AS bigint[]), CAST(:clusters AS text[]), CAST(:checksums AS bigint[])) "
                           "AS m (partition, epoch, from_offset, from_ordinal, to_offset, to_ordinal, outbox_sequence, "
                           "cluster_id, checksum) "
                           "WHERE p.partition = m.partition AND p.epoch = m.epoch AND p.next_offset = m.from_offset "
                           "AND p.next_ordinal = m.from_ordinal",
            soci::use(partitions), soci::use(epochs), soci::use(from_offsets), soci::use(from_ordinals),
            soci::use(to_offsets), soci::use(to_ordinals), soci::use(sequences), soci::use(clusters),
            soci::use(checksums))) {}

  void Fill(const std::vector<PartitionMove>& moves) {
    std::vector<int64_t> p, e, fo, fn, to, tn, s;
    std::vector<std::string> c;
    OptionalColumn k;
    for (const PartitionMove& move : moves) {
      p.push_back(move.partition);
      e.push_back(move.epoch);
      fo.push_back(move.from.next_offset);
      fn.push_back(move.from.next_ordinal);
      to.push_back(move.to.next_offset);
      tn.push_back(move.to.next_ordinal);
      s.push_back(move.next_outbox_sequence);
      c.push_back(move.cluster_id);
      k.push_back(move.last_record_checksum);
    }
    partitions = BigintArray(p);
    epochs = BigintArray(e);
    from_offsets = BigintArray(fo);
    from_ordinals = BigintArray(fn);
    to_offsets = BigintArray(to);
    to_ordinals = BigintArray(tn);
    sequences = BigintArray(s);
    clusters = TextArray(c);
    checksums = BigintArray(k);
  }

  std::string partitions, epochs, from_offsets, from_ordinals, to_offsets, to_ordinals, sequences, clusters, checksums;
  soci::statement statement;
};

struct TriggerStatement {
  explicit TriggerStatement(soci::session& sql)
      : statement(
            (sql.prepare << "INSERT INTO stockalert_evaluator.triggers (alert_id, trigger_number, symbol, revision, "
                            "price_micros, event_time_us, price_before_micros, reference_micros, partition, "
                            "log_generation, record_offset, ordinal, late, ends_alert, late_from_us) "
                            "SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:numbers AS bigint[]), "
                            "CAST(:symbols AS text[]), CAST(:revisions AS bigint[]), CAST(:prices AS bigint[]), "
                            "CAST(:times AS bigint[]), CAST(:befores AS bigint[]), CAST(:references AS bigint[]), "
                            "CAST(:partitions AS integer[]), CAST(:generations AS bigint[]), "
                            "CAST(:offsets AS bigint[]), CAST(:ordinals AS bigint[]), CAST(:lates AS boolean[]), "
                            "CAST(:ends AS boolean[]), CAST(:late_froms AS bigint[]))",
             soci::use(ids), soci::use(numbers), soci::use(symbols), soci::use(revisions), soci::use(prices),
             soci::use(times), soci::use(befores), soci::use(references), soci::use(partitions), soci::use(generations),
             soci::use(offsets), soci::use(ordinals), soci::use(lates), soci::use(ends), soci::use(late_froms))) {}

  void Fill(const std::vector<StoredTrigger>& rows) {
    std::vector<std::string> id, symbol;
    std::vector<int64_t> number, revision, price, time, partition, generation, offset, ordinal;
    OptionalColumn before, reference, late_from;
    std::vector<bool> late, end;
    for (const StoredTrigger& row : rows) {
      const record::Trigger& trigger = row.trigger;
      id.push_back(trigger.alert_id);
      number.push_back(trigger.trigger_number);
      symbol.push_back(trigger.symbol);
      revision.push_back(trigger.revision);
      price.push_back(trigger.price_micros);
      time.push_back(trigger.event_time_us);
      before.push_back(trigger.price_before_micros);
      reference.push_back(trigger.reference_micros);
      partition.push_back(row.partition);
      generation.push_back(row.log_generation);
      offset.push_back(trigger.offset);
      ordinal.push_back(row.ordinal);
      late.push_back(trigger.late);
      late_from.push_back(trigger.late_from_us);
      end.push_back(trigger.ends_alert);
    }
    ids = UuidArray(id);
    numbers = BigintArray(number);
    symbols = TextArray(symbol);
    revisions = BigintArray(revision);
    prices = BigintArray(price);
    times = BigintArray(time);
    befores = BigintArray(before);
    references = BigintArray(reference);
    partitions = BigintArray(partition);
    generations = BigintArray(generation);
    offsets = BigintArray(offset);
    ordinals = BigintArray(ordinal);
    lates = BooleanArray(late);
    late_froms = BigintArray(late_from);
    ends = BooleanArray(end);
  }

  std::string ids, numbers, symbols, revisions, prices, times, befores, references, partitions, generations, offsets,
      ordinals, lates, ends, late_froms;
  soci::statement statement;
};

struct OutboxStatement {
  explicit OutboxStatement(soci::session& sql)
      : statement((
            sql.prepare << "INSERT INTO stockalert_evaluator.outbox (partition, sequence, key, value, traceparent) "
                           "SELECT * FROM unnest(CAST(:partitions AS integer[]), CAST(:sequences AS bigint[]), "
                           "CAST(:keys AS text[]), CAST(:vals AS bytea[]), CAST(:traceparents AS text[]))",
            soci::use(partitions), soci::use(sequences), soci::use(keys), soci::use(values), soci::use(traceparents))) {
  }

  void Fill(const std::vector<OutboxRow>& rows) {
    std::vector<int64_t> partition, sequence;
    std::vector<std::string> key, value, traceparent;
    for (const OutboxRow& row : rows) {
      partition.push_back(row.partition);
      sequence.push_back(row.sequence);
      key.push_back(row.key);
      value.push_back(row.value);
      traceparent.push_back(row.traceparent);
    }
    partitions = BigintArray(partition);
    sequences = BigintArray(sequence);
    keys = TextArray(key);
    values = ByteaArray(value);
    traceparents = TextArray(traceparent);
  }

  std::string partitions, sequences, keys, values, traceparents;
  soci::statement statement;
};

struct SplitStatement {
  explicit SplitStatement(soci::session& sql)
      : statement(
            (sql.prepare << "INSERT INTO stockalert_evaluator.splits (partition, log_generation, record_offset, "
                            "ordinal, symbol, number, split_id, numerator, denominator, effective_time_us) "
                            "SELECT * FROM unnest(CAST(:partitions AS integer[]), CAST(:generations AS bigint[]), "
                            "CAST(:offsets AS bigint[]), CAST(:ordinals AS bigint[]), CAST(:symbols AS text[]), "
                            "CAST(:numbers AS bigint[]), CAST(:ids AS text[]), CAST(:numerators AS bigint[]), "
                            "CAST(:denominators AS bigint[]), CAST(:times AS bigint[]))",
             soci::use(partitions), soci::use(generations), soci::use(offsets), soci::use(ordinals), soci::use(symbols),
             soci::use(numbers), soci::use(ids), soci::use(numerators), soci::use(denominators), soci::use(times))) {}

  void Fill(const std::vector<RecordedSplit>& rows) {
    std::vector<int64_t> partition, generation, offset, ordinal, number, numerator, denominator, time;
    std::vector<std::string> symbol, id;
    for (const RecordedSplit& row : rows) {
      partition.push_back(row.partition);
      generation.push_back(row.log_generation);
      offset.push_back(row.offset);
      ordinal.push_back(row.ordinal);
      symbol.push_back(row.split.symbol);
      number.push_back(row.split.number);
      // It is whatever the log's record says, and a text of Postgres cannot hold everything.
      id.push_back(base::StorableText(row.split.split_id, kSplitIdBytesMax));
      numerator.push_back(row.split.ratio.numerator);
      denominator.push_back(row.split.ratio.denominator);
      time.push_back(row.split.effective_time_us);
    }
    partitions = BigintArray(partition);
    generations = BigintArray(generation);
    offsets = BigintArray(offset);
    ordinals = BigintArray(ordinal);
    symbols = TextArray(symbol);
    numbers = BigintArray(number);
    ids = TextArray(id);
    numerators = BigintArray(numerator);
    denominators = BigintArray(denominator);
    times = BigintArray(time);
  }

  std::string partitions, generations, offsets, ordinals, symbols, numbers, ids, numerators, denominators, times;
  soci::statement statement;
};

struct AcknowledgeStatement {
  explicit AcknowledgeStatement(soci::session& sql)
      : statement((sql.prepare << "DELETE FROM stockalert_evaluator.outbox AS o "
                                  "USING unnest(CAST(:partitions AS integer[]), CAST(:sequences AS bigint[])) "
                                  "AS a (partition, sequence) "
                                  "WHERE o.partition = a.partition AND o.sequence <= a.sequence",
                   soci::use(partitions), soci::use(sequences))) {}

  void Fill(const std::vector<OutboxAcknowledgement>& rows) {
    std::vector<int64_t> partition, sequence;
    for (const OutboxAcknowledgement& row : rows) {
      partition.push_back(row.partition);
      sequence.push_back(row.sequence);
    }
    partitions = BigintArray(partition);
    sequences = BigintArray(sequence);
  }

  std::string partitions, sequences;
  soci::statement statement;
};

template <typename Statement, typename Rows>
int64_t Execute(Connection& connection, const Rows& rows) {
  if (rows.empty()) return 0;
  Statement& kept = connection.KeptStatement<Statement>();
  kept.Fill(rows);
  kept.statement.execute(true);
  return kept.statement.get_affected_rows();
}

// Whether every move of the batch has been made by an earlier, unanswered try of the same commit.
bool WasCommitted(Connection& connection, const std::vector<PartitionMove>& moves) {
  for (const PartitionMove& move : moves) {
    int found = 0;
    connection.sql()
        << "SELECT count(*) FROM stockalert_evaluator.partitions WHERE partition = :partition AND epoch = :epoch "
           "AND next_offset = :next_offset AND next_ordinal = :next_ordinal AND next_outbox_sequence = :sequence",
        soci::use(move.partition), soci::use(move.epoch), soci::use(move.to.next_offset),
        soci::use(move.to.next_ordinal), soci::use(move.next_outbox_sequence), soci::into(found);
    if (found != 1) return false;
  }
  return true;
}

// Locks the partition's row against a change of its epoch until the end of the transaction.
bool HoldEpoch(Connection& connection, int32_t partition, int64_t epoch) {
  int64_t present = 0;
  soci::session& sql = connection.sql();
  sql << "SELECT epoch FROM stockalert_evaluator.partitions WHERE partition = :partition FOR SHARE",
      soci::use(partition), soci::into(present);
  return sql.got_data() && present == epoch;
}

void InsertCheckpoint(Connection& connection, const StoredCheckpoint& checkpoint, int64_t epoch) {
  soci::session& sql = connection.sql();
  const std::string state = ByteaLiteral(checkpoint.state);
  int64_t checksum = checkpoint.last_record_checksum.value_or(0);
  soci::indicator has_checksum = checkpoint.last_record_checksum ? soci::i_ok : soci::i_null;
  sql << "INSERT INTO stockalert_evaluator.checkpoints (partition, log_generation, next_offset, epoch, "
         "last_record_checksum, state, "
         "written_at) VALUES (:partition, :generation, :next_offset, :epoch, :checksum, CAST(:state AS bytea), now()) "
         "ON CONFLICT (partition, log_generation, next_offset) DO UPDATE SET epoch = excluded.epoch, "
         "last_record_checksum = excluded.last_record_checksum, state = excluded.state, written_at = "
         "excluded.written_at",
      soci::use(checkpoint.partition), soci::use(checkpoint.log_generation), soci::use(checkpoint.next_offset),
      soci::use(epoch), soci::use(checksum, has_checksum), soci::use(state);
  sql << "DELETE FROM stockalert_evaluator.checkpoints WHERE partition = :partition AND (log_generation, next_offset) "
         "NOT IN ("
         "SELECT log_generation, next_offset FROM stockalert_evaluator.checkpoints WHERE partition = :same_partition "
         "ORDER BY log_generation DESC, next_offset DESC LIMIT 2)",
      soci::use(checkpoint.partition), soci::use(checkpoint.partition);
}

}  // namespace

absl::StatusOr<PartitionRow> PostgresEvaluatorStore::AcquirePartition(int32_t partition, const PartitionOwner& owner) {
  return Transact(
      pool_, "evaluator.take", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<PartitionRow> {
        PartitionRow row;
        row.partition = partition;
        int64_t checksum = 0;
        soci::indicator has_checksum = soci::i_null;
        connection.sql()
            << "INSERT INTO stockalert_evaluator.partitions AS p (partition, epoch, next_offset, next_ordinal, "
               "next_outbox_sequence, cluster_id, log_generation, owner, owner_address, taken_at) "
               "VALUES (:partition, 1, 0, 0, 1, '', 1, :owner, :address, now()) "
               "ON CONFLICT (partition) DO UPDATE SET epoch = p.epoch + 1, owner = excluded.owner, "
               "owner_address = excluded.owner_address, taken_at = excluded.taken_at "
               "RETURNING epoch, next_offset, next_ordinal, next_outbox_sequence, cluster_id, log_generation, "
               "last_record_checksum",
            soci::use(partition), soci::use(owner.name), soci::use(owner.address), soci::into(row.epoch),
            soci::into(row.progress.next_offset), soci::into(row.progress.next_ordinal),
            soci::into(row.next_outbox_sequence), soci::into(row.log.cluster_id), soci::into(row.log.log_generation),
            soci::into(checksum, has_checksum);
        row.last_record_checksum = ToOptional(checksum, has_checksum);
        return row;
      });
}

absl::StatusOr<std::optional<PartitionHolder>> PostgresEvaluatorStore::FindHolder(int32_t partition) {
  return postgres::Read(
      pool_, "evaluator.find_holder", [&](Connection& connection) -> absl::StatusOr<std::optional<PartitionHolder>> {
        PartitionHolder holder;
        soci::session& sql = connection.sql();
        sql << "SELECT epoch, owner, owner_address FROM stockalert_evaluator.partitions WHERE partition = :partition",
            soci::use(partition), soci::into(holder.epoch), soci::into(holder.owner.name),
            soci::into(holder.owner.address);
        if (!sql.got_data()) return std::optional<PartitionHolder>();
        return std::optional<PartitionHolder>(std::move(holder));
      });
}

absl::StatusOr<std::vector<StoredCheckpoint>> PostgresEvaluatorStore::LoadCheckpoints(int32_t partition,
                                                                                      int64_t log_generation) {
  return postgres::Read(pool_, "evaluator.load_checkpoints",
                        [&](Connection& connection) -> absl::StatusOr<std::vector<StoredCheckpoint>> {
                          std::vector<StoredCheckpoint> checkpoints;
                          StoredCheckpoint checkpoint;
                          checkpoint.partition = partition;
                          checkpoint.log_generation = log_generation;
                          int64_t checksum = 0;
                          soci::indicator has_checksum = soci::i_null;
                          std::string state_hex;
                          soci::statement rows =
                              (connection.sql().prepare
                                   << "SELECT next_offset, last_record_checksum, encode(state, 'hex') "
                                      "FROM stockalert_evaluator.checkpoints "
                                      "WHERE partition = :partition AND log_generation = :generation "
                                      "ORDER BY next_offset DESC LIMIT 2",
                               soci::use(partition), soci::use(log_generation), soci::into(checkpoint.next_offset),
                               soci::into(checksum, has_checksum), soci::into(state_hex));
                          rows.execute();
                          while (rows.fetch()) {
                            checkpoint.last_record_checksum = ToOptional(checksum, has_checksum);
                            STOCKALERT_ASSIGN_OR_RETURN(checkpoint.state, BytesFromHex(state_hex));
                            checkpoints.push_back(checkpoint);
                          }
                          return checkpoints;
                        });
}

absl::Status PostgresEvaluatorStore::Commit(const CommitBatch& batch) {
  return Transact(pool_, "evaluator.commit", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
    const int64_t moved = Execute<MoveStatement>(connection, batch.moves);
    if (moved != static_cast<int64_t>(batch.moves.size())) {
      if (WasCommitted(connection, batch.moves)) return absl::OkStatus();
      return FencedError();
    }
    Execute<TriggerStatement>(connection, batch.triggers);
    Execute<SplitStatement>(connection, batch.splits);
    Execute<OutboxStatement>(connection, batch.outbox);
    Execute<AcknowledgeStatement>(connection, batch.acknowledged);
    return absl::OkStatus();
  });
}

absl::Status PostgresEvaluatorStore::WriteCheckpoint(const StoredCheckpoint& checkpoint, int64_t epoch) {
  return Transact(pool_, "evaluator.checkpoint", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
    if (!HoldEpoch(connection, checkpoint.partition, epoch)) return FencedError();
    InsertCheckpoint(connection, checkpoint, epoch);
    return absl::OkStatus();
  });
}

absl::Status PostgresEvaluatorStore::AdoptLog(const PartitionRow& row, const StoredCheckpoint& checkpoint) {
  return Transact(pool_, "evaluator.adopt_log", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
    soci::session& sql = connection.sql();
    int64_t checksum = row.last_record_checksum.value_or(0);
    soci::indicator has_checksum = row.last_record_checksum ? soci::i_ok : soci::i_null;
    const int64_t generation_before = row.log.log_generation - 1;
    int64_t epoch = 0;
    // Also true of a row that an earlier, unanswered try of this call has written.
    sql << "UPDATE stockalert_evaluator.partitions SET next_offset = :next_offset, next_ordinal = :next_ordinal, "
           "next_outbox_sequence = :sequence, cluster_id = :cluster, log_generation = :generation, "
           "last_record_checksum = :checksum WHERE partition = :partition AND epoch = :epoch "
           "AND log_generation IN (:generation_before, :generation_now) RETURNING epoch",
        soci::use(row.progress.next_offset), soci::use(row.progress.next_ordinal), soci::use(row.next_outbox_sequence),
        soci::use(row.log.cluster_id), soci::use(row.log.log_generation), soci::use(checksum, has_checksum),
        soci::use(row.partition), soci::use(row.epoch), soci::use(generation_before), soci::use(row.log.log_generation),
        soci::into(epoch);
    if (!sql.got_data()) return FencedError();
    InsertCheckpoint(connection, checkpoint, row.epoch);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<StoredTrigger>> PostgresEvaluatorStore::ReadTriggers(int32_t partition,
                                                                                int64_t log_generation, Progress from,
                                                                                size_t rows_max) {
  return postgres::Read(
      pool_, "evaluator.read_triggers", [&](Connection& connection) -> absl::StatusOr<std::vector<StoredTrigger>> {
        std::vector<StoredTrigger> triggers;
        const auto limit = static_cast<int64_t>(rows_max);
        StoredTrigger row;
        row.partition = partition;
        row.log_generation = log_generation;
        record::Trigger& trigger = row.trigger;
        int64_t before = 0, reference = 0, late_from = 0;
        int late = 0, ends = 0;
        soci::indicator has_before = soci::i_null, has_reference = soci::i_null, has_late_from = soci::i_null;
        soci::statement rows = (connection.sql().prepare
                                    << "SELECT CAST(alert_id AS text), trigger_number, symbol, revision, price_micros, "
                                       "event_time_us, price_before_micros, reference_micros, record_offset, ordinal, "
                                       "CAST(late AS integer), CAST(ends_alert AS integer), late_from_us "
                                       "FROM stockalert_evaluator.triggers "
                                       "WHERE partition = :partition AND log_generation = :generation "
                                       "AND (record_offset, ordinal) >= (:from_offset, :from_ordinal) "
                                       "ORDER BY record_offset, ordinal LIMIT :rows_max",
                                soci::use(partition), soci::use(log_generation), soci::use(from.next_offset),
                                soci::use(from.next_ordinal), soci::use(limit), soci::into(trigger.alert_id),
                                soci::into(trigger.trigger_number), soci::into(trigger.symbol),
                                soci::into(trigger.revision), soci::into(trigger.price_micros),
                                soci::into(trigger.event_time_us), soci::into(before, has_before),
                                soci::into(reference, has_reference), soci::into(trigger.offset),
                                soci::into(row.ordinal), soci::into(late), soci::into(ends),
                                soci::into(late_from, has_late_from));
        rows.execute();
        while (rows.fetch()) {
          trigger.price_before_micros = ToOptional(before, has_before);
          trigger.reference_micros = ToOptional(reference, has_reference);
          trigger.late = late != 0;
          trigger.late_from_us = ToOptional(late_from, has_late_from);
          trigger.ends_alert = ends != 0;
          triggers.push_back(row);
        }
        return triggers;
      });
}

absl::StatusOr<std::vector<RecordedSplit>> PostgresEvaluatorStore::ReadSplits(int32_t partition, int64_t log_generation,
                                                                              Progress from, size_t rows_max) {
  return postgres::Read(
      pool_, "evaluator.read_splits", [&](Connection& connection) -> absl::StatusOr<std::vector<RecordedSplit>> {
        std::vector<RecordedSplit> splits;
        const auto limit = static_cast<int64_t>(rows_max);
        RecordedSplit row;
        row.partition = partition;
        row.log_generation = log_generation;
        record::Split& split = row.split;
        soci::statement rows =
            (connection.sql().prepare
                 << "SELECT record_offset, ordinal, symbol, number, split_id, numerator, denominator, "
                    "effective_time_us FROM stockalert_evaluator.splits "
                    "WHERE partition = :partition AND log_generation = :generation "
                    "AND (record_offset, ordinal) >= (:from_offset, :from_ordinal) "
                    "ORDER BY record_offset, ordinal LIMIT :rows_max",
             soci::use(partition), soci::use(log_generation), soci::use(from.next_offset), soci::use(from.next_ordinal),
             soci::use(limit), soci::into(row.offset), soci::into(row.ordinal), soci::into(split.symbol),
             soci::into(split.number), soci::into(split.split_id), soci::into(split.ratio.numerator),
             soci::into(split.ratio.denominator), soci::into(split.effective_time_us));
        rows.execute();
        while (rows.fetch()) splits.push_back(row);
        return splits;
      });
}

absl::StatusOr<std::vector<OutboxRow>> PostgresEvaluatorStore::ReadOutbox(int32_t partition, int64_t after,
                                                                          size_t rows_max) {
  return postgres::Read(
      pool_, "evaluator.read_outbox", [&](Connection& connection) -> absl::StatusOr<std::vector<OutboxRow>> {
        std::vector<OutboxRow> outbox;
        const auto limit = static_cast<int64_t>(rows_max);
        OutboxRow row;
        row.partition = partition;
        std::string value_hex;
        soci::statement rows = (connection.sql().prepare << "SELECT sequence, key, encode(value, 'hex'), traceparent "
                                                            "FROM stockalert_evaluator.outbox "
                                                            "WHERE partition = :partition AND sequence > :after "
                                                            "ORDER BY sequence LIMIT :rows_max",
                                soci::use(partition), soci::use(after), soci::use(limit), soci::into(row.sequence),
                                soci::into(row.key), soci::into(value_hex), soci::into(row.traceparent));
        rows.execute();
        while (rows.fetch()) {
          STOCKALERT_ASSIGN_OR_RETURN(row.value, BytesFromHex(value_hex));
          outbox.push_back(row);
        }
        return outbox;
      });
}

absl::Status PostgresEvaluatorStore::DeleteOutbox(const std::vector<OutboxAcknowledgement>& acknowledged) {
  if (acknowledged.empty()) return absl::OkStatus();
  return Transact(pool_, "evaluator.delete_outbox", Idempotency::kIdempotent, [&](Connection& connection) {
    Execute<AcknowledgeStatement>(connection, acknowledged);
    return absl::OkStatus();
  });
}

}  // namespace stockalert::evaluator
