#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <string>

#include "tests/unit/evaluator/logic_fixture.h"

namespace stockalert::evaluator {
namespace {

std::vector<int64_t> Sequences(const std::vector<OutboxRow>& rows) {
  std::vector<int64_t> sequences;
  sequences.reserve(rows.size());
  for (const OutboxRow& row : rows) sequences.push_back(row.sequence);
  return sequences;
}

// Commits rows [first, last] of partition 0.
std::vector<OutboxRow> CommitRows(EvaluatorStore& store, int64_t first, int64_t last) {
  const PartitionRow row = *store.AcquirePartition(0, "test");
  CommitBatch batch;
  batch.moves = {{.partition = 0,
                  .epoch = row.epoch,
                  .from = row.progress,
                  .to = {row.progress.next_offset + 1, 0},
                  .cluster_id = "c",
                  .last_record_checksum = std::nullopt,
                  .next_outbox_sequence = last + 1}};
  for (int64_t sequence = first; sequence <= last; ++sequence) batch.outbox.push_back({0, sequence, "k", "v", ""});
  REQUIRE(store.Commit(batch).ok());
  return batch.outbox;
}

TEST_CASE("what an earlier owner left goes out before what comes new") {
  testing::InMemoryEvaluatorStore store;
  CommitRows(store, 1, 3);
  RecordingPublisher publisher;
  AlertEventRelay relay(store, publisher);
  relay.BeginPartition(0, 4);
  relay.Add(CommitRows(store, 4, 5));
  REQUIRE(relay.Pump().ok());
  CHECK(Sequences(publisher.rows) == std::vector<int64_t>{1, 2, 3, 4, 5});
  CHECK(relay.backlog() == 0);
  const auto acknowledged = relay.FindAcknowledged();
  REQUIRE(acknowledged.size() == 1);
  CHECK(acknowledged[0].sequence == 5);
  REQUIRE(store.DeleteOutbox(acknowledged).ok());
  relay.MarkDeleted(acknowledged);
  CHECK(relay.FindAcknowledged().empty());
  CHECK(store.AllOutbox().empty());
}

TEST_CASE("the window is bounded, and what did not fit is read back") {
  testing::InMemoryEvaluatorStore store;
  RecordingPublisher publisher;
  publisher.hold = true;
  AlertEventRelay relay(store, publisher, 4);
  relay.BeginPartition(0, 1);
  relay.Add(CommitRows(store, 1, 20));
  REQUIRE(relay.Pump().ok());
  CHECK(publisher.rows.size() == 4);
  for (int round = 0; round < 40 && relay.backlog() > 0; ++round) {
    while (!publisher.held.empty()) {
      publisher.held.front()(true);
      publisher.held.pop_front();
    }
    REQUIRE(relay.Pump().ok());
    CHECK(publisher.held.size() <= 4);
  }
  std::vector<int64_t> all;
  for (int64_t sequence = 1; sequence <= 20; ++sequence) all.push_back(sequence);
  CHECK(Sequences(publisher.rows) == all);
}

TEST_CASE("an alert that triggers once is not behind the triggers of others, in its partition or another") {
  testing::InMemoryEvaluatorStore store;
  RecordingPublisher publisher;
  publisher.hold = true;
  AlertEventRelay relay(store, publisher, 4'000);
  relay.BeginPartition(0, 1);
  relay.BeginPartition(1, 1);
  // One commit: a hundred triggers of each of thirty alerts, then one of another in their partition, and one in another
  // partition.
  CommitBatch batch;
  for (const int32_t partition : {0, 1}) {
    const PartitionRow row = *store.AcquirePartition(partition, "test");
    batch.moves.push_back({.partition = partition,
                           .epoch = row.epoch,
                           .from = row.progress,
                           .to = {row.progress.next_offset + 1, 0},
                           .cluster_id = "c",
                           .last_record_checksum = std::nullopt,
                           .next_outbox_sequence = partition == 0 ? 3002 : 2});
  }
  for (int64_t i = 0; i < 3000; ++i) batch.outbox.push_back({0, i + 1, "noisy" + std::to_string(i % 30), "v", ""});
  batch.outbox.push_back({0, 3001, "quiet", "v", ""});
  batch.outbox.push_back({1, 1, "elsewhere", "v", ""});
  REQUIRE(store.Commit(batch).ok());
  relay.Add(batch.outbox);
  std::map<std::string, size_t> first;
  std::map<std::string, int64_t> last;
  bool in_order = true;
  for (int round = 0; round < 100 && relay.backlog() > 0; ++round) {
    REQUIRE(relay.Pump().ok());
    CHECK(publisher.held.size() <= 2'000);
    // One at a time, so that what is sent next is seen, too.
    for (int answers = 0; answers < 500 && !publisher.held.empty(); ++answers) {
      publisher.held.front()(true);
      publisher.held.pop_front();
    }
  }
  REQUIRE(publisher.rows.size() == 3002);
  for (size_t i = 0; i < publisher.rows.size(); ++i) {
    const OutboxRow& row = publisher.rows[i];
    first.emplace(row.key, i);
    in_order = in_order && last[row.key] < row.sequence;
    last[row.key] = row.sequence;
  }
  CHECK(in_order);
  CHECK(first.at("quiet") < 40);
  CHECK(first.at("elsewhere") < 100);
  CHECK(relay.FindAcknowledged().front().sequence == 3001);
}

TEST_CASE("what had not been sent when something failed goes out with it again") {
  testing::InMemoryEvaluatorStore store;
  RecordingPublisher publisher;
  publisher.hold = true;
  AlertEventRelay relay(store, publisher, 4);
  relay.BeginPartition(0, 1);
  // Two alerts in turns: 1 and 4 are sent before 2 and 3.
  const PartitionRow row = *store.AcquirePartition(0, "test");
  CommitBatch batch;
  batch.moves = {{.partition = 0,
                  .epoch = row.epoch,
                  .from = row.progress,
                  .to = {row.progress.next_offset + 1, 0},
                  .cluster_id = "c",
                  .last_record_checksum = std::nullopt,
                  .next_outbox_sequence = 9}};
  for (int64_t sequence = 1; sequence <= 8; ++sequence)
    batch.outbox.push_back({0, sequence, sequence % 4 == 0 ? "b" : "a", "v", ""});
  REQUIRE(store.Commit(batch).ok());
  relay.Add(batch.outbox);
  REQUIRE(relay.Pump().ok());
  CHECK(Sequences(publisher.rows) == std::vector<int64_t>{1, 4, 2, 3});
  publisher.held[0](true);
  publisher.held[1](false);
  publisher.held.erase(publisher.held.begin(), publisher.held.begin() + 2);
  for (int round = 0; round < 20 && relay.backlog() > 0; ++round) {
    REQUIRE(relay.Pump().ok());
    while (!publisher.held.empty()) {
      publisher.held.front()(true);
      publisher.held.pop_front();
    }
  }
  REQUIRE(relay.Pump().ok());
  CHECK(relay.backlog() == 0);
  CHECK(relay.FindAcknowledged().front().sequence == 8);
  for (int64_t sequence = 1; sequence <= 8; ++sequence) {
    CAPTURE(sequence);
    const std::vector<int64_t> sent = Sequences(publisher.rows);
    CHECK(std::count(sent.begin(), sent.end(), sequence) >= 1);
  }
}

TEST_CASE("a row that was not delivered is sent again, with all that follow it") {
  testing::InMemoryEvaluatorStore store;
  RecordingPublisher publisher;
  publisher.hold = true;
  AlertEventRelay relay(store, publisher);
  relay.BeginPartition(0, 1);
  relay.Add(CommitRows(store, 1, 4));
  REQUIRE(relay.Pump().ok());
  REQUIRE(publisher.held.size() == 4);
  publisher.held[0](true);
  publisher.held[1](false);
  publisher.held[2](true);
  REQUIRE(relay.Pump().ok());
  CHECK(publisher.rows.size() == 4);  // One is under way yet.
  CHECK(relay.FindAcknowledged().front().sequence == 1);
  auto last = publisher.held[3];
  publisher.held.clear();
  publisher.hold = false;
  last(true);
  last(true);  // Twice does no harm.
  REQUIRE(relay.Pump().ok());
  CHECK(Sequences(publisher.rows) == std::vector<int64_t>{1, 2, 3, 4, 2, 3, 4});
  CHECK(relay.failures() == 1);
  CHECK(relay.FindAcknowledged().front().sequence == 4);
}

TEST_CASE("answers of an ownership that is over count for nothing") {
  testing::InMemoryEvaluatorStore store;
  RecordingPublisher publisher;
  publisher.hold = true;
  AlertEventRelay relay(store, publisher);
  relay.BeginPartition(0, 1);
  relay.Add(CommitRows(store, 1, 2));
  REQUIRE(relay.Pump().ok());
  relay.EndPartition(0);
  relay.BeginPartition(0, 3);
  auto stale = publisher.held;
  publisher.held.clear();
  REQUIRE(relay.Pump().ok());
  for (auto& answer : stale) answer(true);
  REQUIRE(relay.Pump().ok());
  CHECK(relay.backlog() == 2);
  for (auto& answer : publisher.held) answer(true);
  REQUIRE(relay.Pump().ok());
  CHECK(relay.backlog() == 0);
}

TEST_CASE("a store that is away is asked once a turn, and what is in memory goes out all the same") {
  testing::InMemoryEvaluatorStore inner;
  FailingStore store(inner);
  store.outbox_away = true;
  RecordingPublisher publisher;
  AlertEventRelay relay(store, publisher);
  for (int32_t partition = 0; partition < 3; ++partition)
    relay.BeginPartition(partition, 5);  // Four rows each are left from before.
  relay.BeginPartition(3, 1);
  relay.Add({{3, 1, "k", "v", ""}});
  CHECK(absl::IsUnavailable(relay.Pump()));
  CHECK(store.outbox_reads == 1);
  REQUIRE(publisher.rows.size() == 1);
  CHECK(publisher.rows[0].partition == 3);
  store.outbox_away = false;
  REQUIRE(relay.Pump().ok());
  CHECK(store.outbox_reads == 4);
  CHECK(relay.backlog() == 0);
}

}  // namespace
}  // namespace stockalert::evaluator
