// What an EvaluatorStore promises, held against the in-memory store and, where STOCKALERT_TEST_POSTGRES names a server,
// Postgres.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>

#include "services/common/base/ids.h"
#include "services/evaluator/postgres_evaluator_store.h"
#include "tests/support/evaluator_store/in_memory_evaluator_store.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::evaluator {
namespace {

struct Database {
  testing::TestDatabase database;
  std::unique_ptr<postgres::Pool> pool;
  Database() {
    database.Migrate("evaluator");
    pool = database.NewPool();
  }
};

Database* TestDatabaseIfAny() {
  static const std::unique_ptr<Database> database = []() -> std::unique_ptr<Database> {
    const char* url = std::getenv("STOCKALERT_TEST_POSTGRES");
    if (url == nullptr || *url == '\0') {
      std::cerr << "STOCKALERT_TEST_POSTGRES is not set: only the in-memory store is held to the contract\n";
      return nullptr;
    }
    return std::make_unique<Database>();
  }();
  return database.get();
}

void ForEachStore(const std::function<void(EvaluatorStore&)>& test) {
  SECTION("in memory") {
    testing::InMemoryEvaluatorStore store;
    test(store);
  }
  SECTION("postgres") {
    if (Database* database = TestDatabaseIfAny()) {
      PostgresEvaluatorStore store(*database->pool);
      test(store);
    }
  }
}

int32_t NewPartition() {
  static int32_t next = 0;
  return ++next;
}

std::string NewId() {
  static base::SystemIdSource ids;
  return ids.NewUuid();
}

PartitionMove Move(const PartitionRow& row, Progress to) {
  return {.partition = row.partition,
          .epoch = row.epoch,
          .from = row.progress,
          .to = to,
          .cluster_id = "cluster",
          .last_record_checksum = 77,
          .next_outbox_sequence = row.next_outbox_sequence};
}

StoredTrigger NewTrigger(int32_t partition, int64_t offset, int64_t ordinal, bool full) {
  StoredTrigger row;
  row.partition = partition;
  row.ordinal = ordinal;
  row.trigger.alert_id = NewId();
  row.trigger.symbol = "BRK.B";
  row.trigger.revision = 3;
  row.trigger.trigger_number = 1;
  row.trigger.price_micros = 150'250'000;
  row.trigger.event_time_us = 1'767'366'000'000'001;
  if (full) {
    row.trigger.price_before_micros = 149'000'000;
    row.trigger.reference_micros = 150'000'000;
    row.trigger.late_from_us = 1'767'365'999'000'001;
  }
  row.trigger.offset = offset;
  row.trigger.late = full;
  row.trigger.ends_alert = full;
  return row;
}

void CheckSame(const StoredTrigger& a, const StoredTrigger& b) {
  CHECK(a.partition == b.partition);
  CHECK(a.log_generation == b.log_generation);
  CHECK(a.ordinal == b.ordinal);
  CHECK(a.trigger.alert_id == b.trigger.alert_id);
  CHECK(a.trigger.symbol == b.trigger.symbol);
  CHECK(a.trigger.revision == b.trigger.revision);
  CHECK(a.trigger.trigger_number == b.trigger.trigger_number);
  CHECK(a.trigger.price_micros == b.trigger.price_micros);
  CHECK(a.trigger.event_time_us == b.trigger.event_time_us);
  CHECK(a.trigger.price_before_micros == b.trigger.price_before_micros);
  CHECK(a.trigger.reference_micros == b.trigger.reference_micros);
  CHECK(a.trigger.offset == b.trigger.offset);
  CHECK(a.trigger.late == b.trigger.late);
  CHECK(a.trigger.late_from_us == b.trigger.late_from_us);
  CHECK(a.trigger.ends_alert == b.trigger.ends_alert);
}

TEST_CASE("who holds a partition, and where it answers, is known to all") {
  ForEachStore([](EvaluatorStore& store) {
    const int32_t partition = NewPartition();
    const auto nobody = store.FindHolder(partition);
    REQUIRE(nobody.ok());
    CHECK_FALSE(nobody->has_value());
    const PartitionRow first = *store.AcquirePartition(partition, {"one", "one.mesh:12056"});
    CHECK(store.FindHolder(partition)->value() == PartitionHolder{first.epoch, {"one", "one.mesh:12056"}});
    const PartitionRow second = *store.AcquirePartition(partition, "two");
    CHECK(store.FindHolder(partition)->value() == PartitionHolder{second.epoch, {"two", ""}});
  });
}

TEST_CASE("taking a partition raises its epoch and keeps the rest") {
  ForEachStore([](EvaluatorStore& store) {
    const int32_t partition = NewPartition();
    const auto first = store.AcquirePartition(partition, "one");
    REQUIRE(first.ok());
    CHECK(first->partition == partition);
    CHECK(first->progress == Progress{0, 0});
    CHECK(first->log == LogIdentity{"", 1});
    CHECK_FALSE(first->last_record_checksum.has_value());
    CHECK(first->next_outbox_sequence == 1);
    REQUIRE(store.Commit({.moves = {Move(*first, {5, 2})}, .triggers = {}, .outbox = {}, .acknowledged = {}}).ok());
    const auto second = store.AcquirePartition(partition, "two");
    REQUIRE(second.ok());
    CHECK(second->epoch > first->epoch);
    CHECK(second->progress == Progress{5, 2});
    CHECK(second->log == LogIdentity{"cluster", 1});
    CHECK(second->last_record_checksum == 77);
  });
}

TEST_CASE("a commit is all or nothing, and only the owner's") {
  ForEachStore([](EvaluatorStore& store) {
    const PartitionRow a = *store.AcquirePartition(NewPartition(), "one");
    const PartitionRow b = *store.AcquirePartition(NewPartition(), "one");
    CommitBatch batch;
    batch.moves = {Move(a, {10, 0}), Move(b, {20, 1})};
    batch.moves[0].next_outbox_sequence = 3;
    batch.triggers = {NewTrigger(a.partition, 9, 0, true), NewTrigger(b.partition, 20, 0, false)};
    batch.outbox = {{a.partition, 1, "key", std::string("\x00\xff\\\"{},", 7), "00-ab"},
                    {a.partition, 2, "k\"e\\y", "", ""}};

    SECTION("in order") {
      REQUIRE(store.Commit(batch).ok());
      const auto triggers = store.ReadTriggers(a.partition, 1, {0, 0}, 10);
      REQUIRE(triggers.ok());
      REQUIRE(triggers->size() == 1);
      CheckSame((*triggers)[0], batch.triggers[0]);
      const auto others = store.ReadTriggers(b.partition, 1, {0, 0}, 10);
      REQUIRE(others->size() == 1);
      CheckSame((*others)[0], batch.triggers[1]);
      const auto outbox = store.ReadOutbox(a.partition, 0, 10);
      REQUIRE(outbox.ok());
      CHECK(*outbox == batch.outbox);
      // Its answer was lost, and it is tried again.
      CHECK(store.Commit(batch).ok());
      CHECK(store.ReadOutbox(a.partition, 0, 10)->size() == 2);
    }
    SECTION("one of its partitions was taken") {
      REQUIRE(store.AcquirePartition(b.partition, "two").ok());
      CHECK(IsFenced(store.Commit(batch)));
      CHECK(store.ReadTriggers(a.partition, 1, {0, 0}, 10)->empty());
      CHECK(store.ReadOutbox(a.partition, 0, 10)->empty());
      CHECK(store.AcquirePartition(a.partition, "three")->progress == Progress{0, 0});
    }
    SECTION("its progress is not where it thinks") {
      REQUIRE(store.Commit({.moves = {Move(a, {4, 0})}, .triggers = {}, .outbox = {}, .acknowledged = {}}).ok());
      CHECK(IsFenced(store.Commit(batch)));
      CHECK(store.ReadTriggers(b.partition, 1, {0, 0}, 10)->empty());
    }
    SECTION("a trigger's identity is taken") {
      REQUIRE(store.Commit(batch).ok());
      const PartitionRow again = *store.AcquirePartition(a.partition, "one");
      CommitBatch twice;
      twice.moves = {Move(again, {11, 0})};
      twice.triggers = {batch.triggers[0]};
      twice.triggers[0].trigger.offset = 10;
      CHECK(absl::IsAlreadyExists(store.Commit(twice)));
      CHECK(store.AcquirePartition(a.partition, "one")->progress == Progress{10, 0});
    }
  });
}

TEST_CASE("triggers are read in their order, from a place on, a page at a time") {
  ForEachStore([](EvaluatorStore& store) {
    const PartitionRow row = *store.AcquirePartition(NewPartition(), "one");
    CommitBatch batch;
    batch.moves = {Move(row, {10, 0})};
    for (const auto& [offset, ordinal] : std::vector<std::pair<int, int>>{{7, 1}, {3, 0}, {7, 0}, {7, 2}, {9, 0}}) {
      batch.triggers.push_back(NewTrigger(row.partition, offset, ordinal, false));
    }
    REQUIRE(store.Commit(batch).ok());
    const auto places = [&](Progress from, size_t rows_max) {
      std::vector<std::pair<int64_t, int64_t>> read;
      const auto rows = store.ReadTriggers(row.partition, 1, from, rows_max);
      for (const auto& found : *rows) read.emplace_back(found.trigger.offset, found.ordinal);
      return read;
    };
    using Places = std::vector<std::pair<int64_t, int64_t>>;
    CHECK(places({0, 0}, 10) == Places{{3, 0}, {7, 0}, {7, 1}, {7, 2}, {9, 0}});
    CHECK(places({7, 1}, 2) == Places{{7, 1}, {7, 2}});
    CHECK(places({10, 0}, 10).empty());
    CHECK(store.ReadTriggers(row.partition, 2, {0, 0}, 10)->empty());
  });
}

TEST_CASE("splits are committed with their partition's move, and read in their order, a page at a time") {
  ForEachStore([](EvaluatorStore& store) {
    const PartitionRow row = *store.AcquirePartition(NewPartition(), "one");
    const auto split = [&](int64_t offset, int64_t ordinal) {
      return RecordedSplit{
          {"BRK.B", "id-" + std::to_string(offset), offset, {1'000'000, 3}, -5}, row.partition, 1, offset, ordinal};
    };
    CommitBatch batch;
    batch.moves = {Move(row, {10, 0})};
    batch.splits = {split(7, 1), split(3, 0), split(7, 0)};
    REQUIRE(store.Commit(batch).ok());
    REQUIRE(store.Commit(batch).ok());  // Again, after a lost answer.
    CHECK(*store.ReadSplits(row.partition, 1, {0, 0}, 10) == std::vector{split(3, 0), split(7, 0), split(7, 1)});
    CHECK(*store.ReadSplits(row.partition, 1, {3, 1}, 1) == std::vector{split(7, 0)});
    CHECK(store.ReadSplits(row.partition, 1, {7, 2}, 10)->empty());
    CHECK(store.ReadSplits(row.partition, 2, {0, 0}, 10)->empty());
    // Of a fenced commit none is there.
    CommitBatch fenced;
    fenced.moves = {Move(row, {12, 0})};
    fenced.splits = {split(11, 0)};
    CHECK(IsFenced(store.Commit(fenced)));
    CHECK(store.ReadSplits(row.partition, 1, {10, 0}, 10)->empty());
  });
}

TEST_CASE("outgoing events stay until they are acknowledged") {
  ForEachStore([](EvaluatorStore& store) {
    PartitionRow row = *store.AcquirePartition(NewPartition(), "one");
    CommitBatch batch;
    batch.moves = {Move(row, {1, 0})};
    for (int64_t sequence = 1; sequence <= 5; ++sequence)
      batch.outbox.push_back({row.partition, sequence, "k", "v", ""});
    batch.moves[0].next_outbox_sequence = 6;
    REQUIRE(store.Commit(batch).ok());
    CHECK(store.ReadOutbox(row.partition, 1, 2)->front().sequence == 2);
    REQUIRE(store.DeleteOutbox({{row.partition, 2}}).ok());
    CHECK(store.ReadOutbox(row.partition, 0, 10)->front().sequence == 3);
    row.progress = {1, 0};
    CommitBatch next;
    next.moves = {Move(row, {2, 0})};
    next.moves[0].next_outbox_sequence = 6;
    next.acknowledged = {{row.partition, 4}};
    REQUIRE(store.Commit(next).ok());
    const auto left = store.ReadOutbox(row.partition, 0, 10);
    REQUIRE(left->size() == 1);
    CHECK(left->front().sequence == 5);
    CHECK(store.AcquirePartition(row.partition, "two")->next_outbox_sequence == 6);
  });
}

TEST_CASE("two checkpoints are kept, and only the owner writes them") {
  ForEachStore([](EvaluatorStore& store) {
    const PartitionRow row = *store.AcquirePartition(NewPartition(), "one");
    const auto write = [&](int64_t offset, int64_t epoch) {
      StoredCheckpoint checkpoint;
      checkpoint.partition = row.partition;
      checkpoint.next_offset = offset;
      if (offset > 1) checkpoint.last_record_checksum = -offset;
      checkpoint.state = std::string("\0state\xff", 7) + std::to_string(offset);
      return store.WriteCheckpoint(checkpoint, epoch);
    };
    CHECK(store.LoadCheckpoints(row.partition, 1)->empty());
    for (const int64_t offset : {1, 2, 3}) REQUIRE(write(offset, row.epoch).ok());
    REQUIRE(write(3, row.epoch).ok());  // Again, after a lost answer.
    const auto kept = store.LoadCheckpoints(row.partition, 1);
    REQUIRE(kept.ok());
    REQUIRE(kept->size() == 2);
    CHECK((*kept)[0].next_offset == 3);
    CHECK((*kept)[0].last_record_checksum == -3);
    CHECK((*kept)[0].state == std::string("\0state\xff", 7) + "3");
    CHECK((*kept)[1].next_offset == 2);
    CHECK(store.LoadCheckpoints(row.partition, 2)->empty());
    REQUIRE(store.AcquirePartition(row.partition, "two").ok());
    CHECK(IsFenced(write(4, row.epoch)));
    CHECK(store.LoadCheckpoints(row.partition, 1)->front().next_offset == 3);
  });
}

TEST_CASE("another log begins with its own generation, place and checkpoint") {
  ForEachStore([](EvaluatorStore& store) {
    const PartitionRow before = *store.AcquirePartition(NewPartition(), "one");
    REQUIRE(store.Commit({.moves = {Move(before, {9, 0})}, .triggers = {}, .outbox = {}, .acknowledged = {}}).ok());
    PartitionRow row = before;
    row.progress = {2, 0};
    row.log = {"another", 2};
    row.last_record_checksum.reset();
    StoredCheckpoint checkpoint;
    checkpoint.partition = row.partition;
    checkpoint.log_generation = 2;
    checkpoint.next_offset = 2;
    checkpoint.state = "carried over";
    REQUIRE(store.AdoptLog(row, checkpoint).ok());
    REQUIRE(store.AdoptLog(row, checkpoint).ok());  // Again, after a lost answer.
    const PartitionRow taken = *store.AcquirePartition(row.partition, "two");
    CHECK(taken.progress == Progress{2, 0});
    CHECK(taken.log == LogIdentity{"another", 2});
    CHECK_FALSE(taken.last_record_checksum.has_value());
    CHECK(store.LoadCheckpoints(row.partition, 2)->front() == checkpoint);
    row.log.log_generation = 3;
    checkpoint.log_generation = 3;
    CHECK(IsFenced(store.AdoptLog(row, checkpoint)));  // Its epoch is over.
  });
}

TEST_CASE("a store that works is ready") {
  ForEachStore([](EvaluatorStore& store) { CHECK(store.Ready().ok()); });
}

}  // namespace
}  // namespace stockalert::evaluator
