// The evaluator's rules around the fold, each by itself. tests/simulation/evaluator has them all at once, with crashes.
#include <catch2/catch.hpp>

#include <algorithm>
#include <set>

#include "services/evaluator/log_carry_over.h"
#include "stockalert/internal/v1/events.pb.h"
#include "tests/unit/evaluator/logic_fixture.h"

namespace stockalert::evaluator {
namespace {

constexpr int64_t kTarget = 100'000'000;

TEST_CASE("a record's effects are committed and sent in order, with its trace") {
  testing::InMemoryEvaluatorStore store;
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Edges(2, kTarget);
  TestEvaluator evaluator(store);
  REQUIRE(evaluator.Run(log) == NextStep::kGoOn);
  CHECK_FALSE(evaluator.logic.has_progress());
  const auto triggers = store.AllTriggers();
  REQUIRE(triggers.size() == 2);
  CHECK(triggers[0].trigger.trigger_number == 1);
  CHECK(triggers[0].trigger.offset == 2);
  CHECK(triggers[1].trigger.trigger_number == 2);
  REQUIRE(evaluator.publisher.rows.size() >= 3);
  internal::v1::AlertEvent confirmed;
  REQUIRE(confirmed.ParseFromString(evaluator.publisher.rows[0].value));
  CHECK(confirmed.change_confirmed().alert_id() == kAlertA);
  CHECK(evaluator.publisher.rows[0].traceparent.substr(0, 5) == "00-0a");
  CHECK(evaluator.relay.backlog() == 0);
  CHECK(store.AcquirePartition(0, "look")->progress == Progress{5, 0});
}

TEST_CASE("the row and the checkpoint have the checksum of the record before them, wherever they end") {
  testing::InMemoryEvaluatorStore inner;
  FailingStore store(inner);
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Alert(kAlertB, kTarget);
  log.Edges(2, kTarget);
  log.Quote(kTarget - 2);
  const auto check_moves = [&] {
    for (const CommitBatch& batch : store.commits) {
      REQUIRE(batch.moves.size() == 1);
      const PartitionMove& move = batch.moves.front();
      CAPTURE(move.to.next_offset, move.to.next_ordinal);
      std::optional<int64_t> expected;
      if (move.to.next_offset > 0) expected = ChecksumOf(log.at(move.to.next_offset - 1));
      CHECK(move.last_record_checksum == expected);
    }
  };
  {
    // One effect a transaction: some end within a record.
    TestEvaluator evaluator(store, 1);
    REQUIRE(evaluator.Run(log) == NextStep::kGoOn);
    CHECK(std::any_of(store.commits.begin(), store.commits.end(),
                      [](const CommitBatch& batch) { return batch.moves.front().to.next_ordinal > 0; }));
    check_moves();
    const auto draft = evaluator.logic.TakeDraft(0);
    REQUIRE(draft.has_value());
    CHECK(draft->last_record_checksum == ChecksumOf(log.at(log.size() - 1)));
    REQUIRE(store.WriteCheckpoint(EvaluatorLogic::Encode(*draft), draft->epoch).ok());
  }
  store.commits.clear();
  // From the checkpoint on: the first record after it has effects, so that the one before is the checkpoint's.
  log.Quote(kTarget);
  TestEvaluator again(store, 1);
  REQUIRE(again.Run(log) == NextStep::kGoOn);
  REQUIRE(store.commits.size() == 2);
  CHECK(store.commits.front().moves.front().to == Progress{log.size() - 1, 1});
  check_moves();
}

TEST_CASE("a replay emits nothing, and goes on after it") {
  testing::InMemoryEvaluatorStore store;
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Edges(5, kTarget);
  {
    REQUIRE(TestEvaluator(store).Run(log) == NextStep::kGoOn);
  }
  log.Edges(1, kTarget);
  TestEvaluator again(store);
  REQUIRE(again.Run(log) == NextStep::kGoOn);
  CHECK(store.AllTriggers().size() == 6);
  CHECK(again.logic.counters().records_replayed == 11);
  CHECK(again.logic.counters().triggers_committed == 1);
}

TEST_CASE("a checkpoint shortens the replay") {
  testing::InMemoryEvaluatorStore store;
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Edges(5, kTarget);
  {
    TestEvaluator first(store);
    REQUIRE(first.Run(log) == NextStep::kGoOn);
    auto draft = first.logic.TakeDraft(0);
    REQUIRE(draft.has_value());
    REQUIRE(store.WriteCheckpoint(EvaluatorLogic::Encode(*draft), draft->epoch).ok());
    first.logic.MarkCheckpointed(0, draft->epoch, draft->next_offset);
    CHECK_FALSE(first.logic.TakeDraft(0).has_value());
  }
  log.Edges(2, kTarget);
  SECTION("the newest") {
    TestEvaluator second(store);
    const auto start = second.AcquirePartition(log);
    REQUIRE(start.ok());
    CHECK(*start == 10);  // The last record of before is read again, to be compared.
    REQUIRE(second.Read(log, *start) == NextStep::kGoOn);
    REQUIRE(second.logic.Commit().ok());
    CHECK(second.logic.counters().records_replayed == 0);
    CHECK(store.AllTriggers().size() == 7);
  }
  SECTION("a rotten one is passed over") {
    store.CorruptNewestCheckpoint(0);
    TestEvaluator second(store);
    REQUIRE(second.Run(log) == NextStep::kGoOn);
    CHECK(second.logic.counters().checkpoints_unusable == 1);
    CHECK(second.logic.counters().records_replayed == 11);
    CHECK(store.AllTriggers().size() == 7);
  }
}

TEST_CASE("a replay that differs from what is recorded stops the partition") {
  testing::InMemoryEvaluatorStore store;
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Edges(8, kTarget);
  {
    REQUIRE(TestEvaluator(store).Run(log) == NextStep::kGoOn);
  }
  SECTION("a trigger is missing") { store.EraseTrigger(kAlertA, 4); }
  SECTION("the last trigger is missing") { store.EraseTrigger(kAlertA, 8); }
  SECTION("one too many") {
    PartitionRow row = *store.AcquirePartition(0, "hand");
    StoredTrigger extra = store.AllTriggers().front();
    extra.trigger.alert_id = kAlertB;
    extra.trigger.offset = 3;
    REQUIRE(store
                .Commit({.moves = {{.partition = 0,
                                    .epoch = row.epoch,
                                    .from = row.progress,
                                    .to = row.progress,
                                    .cluster_id = row.log.cluster_id,
                                    .last_record_checksum = row.last_record_checksum,
                                    .next_outbox_sequence = row.next_outbox_sequence}},
                         .triggers = {extra},
                         .outbox = {},
                         .acknowledged = {}})
                .ok());
  }
  const size_t recorded = store.AllTriggers().size();
  log.Edges(1, kTarget);
  TestEvaluator again(store);
  CHECK(again.Run(log) == NextStep::kStop);
  REQUIRE(again.logic.stopped().contains(0));
  CHECK(again.logic.stopped().at(0).find("other triggers than were recorded") != std::string::npos);
  CHECK(again.logic.counters().partitions_stopped == 1);
  CHECK(store.AllTriggers().size() == recorded);
  CHECK_FALSE(again.logic.TakeDraft(0).has_value());
}

TEST_CASE("a gap, a poison record and a malformed quote") {
  testing::InMemoryEvaluatorStore store;
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Edges(1, kTarget);
  TestEvaluator evaluator(store);
  SECTION("offsets are missing") {
    REQUIRE(evaluator.AcquirePartition(log).ok());
    REQUIRE(evaluator.logic.Apply(0, log.at(0)) == NextStep::kGoOn);
    CHECK(evaluator.logic.Apply(0, log.at(2)) == NextStep::kStop);
    REQUIRE(evaluator.logic.Commit().ok());
    CHECK(store.AcquirePartition(0, "look")->progress == Progress{1, 0});  // What came before is kept.
  }
  SECTION("bytes that are no record") {
    log.AddRaw("AAPL", "garbage");
    log.Edges(1, kTarget);
    CHECK(evaluator.Run(log) == NextStep::kStop);
    CHECK(evaluator.logic.stopped().contains(0));
    CHECK(store.AllTriggers().size() == 1);
    CHECK(store.AcquirePartition(0, "look")->progress == Progress{3, 0});
  }
  SECTION("bytes that are no record, given up by an operator") {
    log.AddRaw("AAPL", "garbage");
    log.Edges(1, kTarget);
    AlertEventRelay& relay = evaluator.relay;
    EvaluatorLogic told(store, relay, {.owner = "test", .skipped_records = {{0, 3}}});
    REQUIRE(told.AcquirePartition(0, log.facts()).ok());
    for (int64_t offset = 0; offset < log.size(); ++offset) REQUIRE(told.Apply(0, log.at(offset)) == NextStep::kGoOn);
    REQUIRE(told.Commit().ok());
    CHECK(told.counters().records_given_up == 1);
    CHECK(store.AllTriggers().size() == 2);
  }
  SECTION("a quote under another key is skipped") {
    record::Quote quote;
    quote.symbol = "MSFT";
    quote.price_micros = kTarget;
    log.AddRaw("AAPL", record::EncodeRecord(quote).SerializeAsString());
    log.Edges(1, kTarget);
    CHECK(evaluator.Run(log) == NextStep::kGoOn);
    CHECK(evaluator.logic.counters().quotes_malformed == 1);
    CHECK(store.AllTriggers().size() == 2);
  }
  SECTION("records that retention took before they were evaluated") {
    REQUIRE(evaluator.Run(log) == NextStep::kGoOn);
    log.Edges(3, kTarget);
    log.low = 5;
    TestEvaluator late(store);
    CHECK(absl::IsFailedPrecondition(late.AcquirePartition(log).status()));
    CHECK(late.logic.stopped().contains(0));
  }
}

TEST_CASE("what a settled suspicion makes happen is recorded, compared and sent as its record's") {
  testing::InMemoryEvaluatorStore store;
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Quote(kTarget - 1);
  log.Add(record::SplitSuspected{"AAPL", 0, 0});
  log.Edges(3, kTarget);
  const int64_t settled_at = log.size();
  {
    // Two transactions, and a crash between them.
    FailingStore failing(store);
    TestEvaluator first(failing, 2);
    REQUIRE(first.Run(log) == NextStep::kGoOn);
    CHECK(store.AllTriggers().empty());
    const auto draft = first.logic.TakeDraft(0);
    REQUIRE(draft.has_value());
    REQUIRE(store.WriteCheckpoint(EvaluatorLogic::Encode(*draft), draft->epoch).ok());
    log.Add(record::SplitDismissed{"AAPL", 0, 0});
    REQUIRE(first.Read(log, settled_at) == NextStep::kGoOn);
    failing.fail = [&](const CommitBatch&) {
      return store.AllTriggers().empty() ? absl::OkStatus() : absl::UnavailableError("away");
    };
    CHECK_FALSE(first.logic.Commit().ok());
    CHECK(store.AllTriggers().size() == 2);
  }
  SECTION("from the checkpoint") {}
  SECTION("from the beginning") { store.CorruptNewestCheckpoint(0); }
  log.Edges(1, kTarget);
  TestEvaluator again(store);
  REQUIRE(again.Run(log) == NextStep::kGoOn);
  const auto triggers = store.AllTriggers();
  REQUIRE(triggers.size() == 4);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(triggers[i].trigger.offset == settled_at);
    CHECK(triggers[i].trigger.trigger_number == static_cast<int64_t>(i) + 1);
  }
  TestEvaluator compared(store);
  CHECK(compared.Run(log) == NextStep::kGoOn);
}

TEST_CASE("where as many records are held as may be, the partition stops until more may be") {
  testing::InMemoryEvaluatorStore store;
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Quote(kTarget - 1);
  log.Add(record::SplitSuspected{"AAPL", 0, 0});
  log.Quote(kTarget);
  log.Quote(kTarget - 1);
  log.symbol = "MSFT";
  log.Quote(kTarget);
  log.symbol = "AAPL";
  const auto run = [&](int64_t held_records_max) {
    TestEvaluator process(store);
    EvaluatorLogic logic(store, process.relay, {.owner = "test", .held_records_max = held_records_max});
    for (int64_t offset = *logic.AcquirePartition(0, log.facts()); offset < log.size(); ++offset) {
      if (logic.Apply(0, log.at(offset)) == NextStep::kStop) break;
    }
    CHECK(logic.Commit().ok());
    CHECK_FALSE(logic.may_pass(0));
    return logic.stopped();
  };
  SECTION("the record that would be one too many, and not what settles it") {
    CHECK(run(2).empty());
    log.Add(record::SplitDismissed{"AAPL", 0, 0});
    CHECK(run(2).empty());
    CHECK(store.AllTriggers().size() == 1);
  }
  SECTION("a quote too many") {
    log.Quote(kTarget);
    log.Add(record::SplitDismissed{"AAPL", 0, 0});
    const auto stopped = run(2);
    REQUIRE(stopped.contains(0));
    CHECK(stopped.at(0).find("AAPL") != std::string::npos);
    CHECK(stopped.at(0).find("--held_records_max") != std::string::npos);
    CHECK(store.AllTriggers().empty());
    CHECK(store.AcquirePartition(0, "look")->progress == Progress{6, 0});
    // Nothing is dropped.
    CHECK(run(3).empty());
    CHECK(store.AllTriggers().size() == 2);
  }
}

TEST_CASE("a record with many triggers spans transactions, and a crash between them loses none") {
  for (int crash_after = 0; crash_after < 8; ++crash_after) {
    testing::InMemoryEvaluatorStore store;
    Log log;
    std::vector<std::string> ids;
    for (char c = 'a'; c <= 'f'; ++c) {
      ids.push_back(std::string(kAlertA));
      ids.back()[0] = c;
      log.Alert(ids.back(), kTarget);
    }
    log.Edges(2, kTarget);
    // Fails for good once it has made so many commits: a crash.
    class Dying final : public EvaluatorStore {
     public:
      Dying(EvaluatorStore& inner, int commits) : inner_(inner), left_(commits) {}
      absl::StatusOr<PartitionRow> AcquirePartition(int32_t p, const PartitionOwner& o) override {
        return inner_.AcquirePartition(p, o);
      }
      absl::StatusOr<std::optional<PartitionHolder>> FindHolder(int32_t p) override { return inner_.FindHolder(p); }
      absl::StatusOr<std::vector<StoredCheckpoint>> LoadCheckpoints(int32_t p, int64_t g) override {
        return inner_.LoadCheckpoints(p, g);
      }
      absl::Status Commit(const CommitBatch& batch) override {
        return left_-- > 0 ? inner_.Commit(batch) : absl::UnavailableError("dead");
      }
      absl::Status WriteCheckpoint(const StoredCheckpoint& c, int64_t e) override {
        return inner_.WriteCheckpoint(c, e);
      }
      absl::Status AdoptLog(const PartitionRow& r, const StoredCheckpoint& c) override { return inner_.AdoptLog(r, c); }
      absl::StatusOr<std::vector<StoredTrigger>> ReadTriggers(int32_t p, int64_t g, Progress f, size_t n) override {
        return inner_.ReadTriggers(p, g, f, n);
      }
      absl::StatusOr<std::vector<RecordedSplit>> ReadSplits(int32_t p, int64_t g, Progress f, size_t n) override {
        return inner_.ReadSplits(p, g, f, n);
      }
      absl::StatusOr<std::vector<OutboxRow>> ReadOutbox(int32_t p, int64_t a, size_t n) override {
        return inner_.ReadOutbox(p, a, n);
      }
      absl::Status DeleteOutbox(const std::vector<OutboxAcknowledgement>& a) override { return inner_.DeleteOutbox(a); }
      absl::Status Ready() override { return inner_.Ready(); }

     private:
      EvaluatorStore& inner_;
      int left_;
    } dying(store, crash_after);
    {
      TestEvaluator(dying, 4).Run(log);
    }
    TestEvaluator next(store, 4);
    INFO("crash after commit " << crash_after);
    REQUIRE(next.Run(log) == NextStep::kGoOn);
    CHECK(store.AllTriggers().size() == 12);
    std::set<std::pair<std::string, int64_t>> identities;
    for (const StoredTrigger& row : store.AllTriggers())
      identities.emplace(row.trigger.alert_id, row.trigger.trigger_number);
    CHECK(identities.size() == 12);
    CHECK(next.relay.backlog() == 0);
  }
}

TEST_CASE("whoever lost a partition commits nothing and drops everything") {
  testing::InMemoryEvaluatorStore store;
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Edges(1, kTarget);
  TestEvaluator zombie(store);
  const auto start = zombie.AcquirePartition(log);
  REQUIRE(zombie.Read(log, *start) == NextStep::kGoOn);
  TestEvaluator owner(store);
  REQUIRE(owner.AcquirePartition(log).ok());
  CHECK(IsFenced(zombie.logic.Commit()));
  CHECK(zombie.logic.partitions().empty());
  CHECK(zombie.publisher.rows.empty());
  REQUIRE(owner.Read(log, 0) == NextStep::kGoOn);
  REQUIRE(owner.logic.Commit().ok());
  CHECK(store.AllTriggers().size() == 1);
}

TEST_CASE("on another log, state and numbers are kept and its oldest record is next") {
  testing::InMemoryEvaluatorStore store;
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Edges(2, kTarget);
  {
    TestEvaluator first(store);
    REQUIRE(first.Run(log) == NextStep::kGoOn);
    auto draft = first.logic.TakeDraft(0);
    REQUIRE(store.WriteCheckpoint(EvaluatorLogic::Encode(*draft), draft->epoch).ok());
  }
  // After the checkpoint: a third trigger, and an alert that the checkpoint does not know.
  log.Alert(kAlertB, kTarget);
  log.Edges(1, kTarget);
  {
    REQUIRE(TestEvaluator(store).Run(log) == NextStep::kGoOn);
  }
  REQUIRE(store.AllTriggers().size() == 4);

  Log other;
  SECTION("another cluster") { other.cluster_id = "cluster-2"; }
  SECTION("the topic was made anew") {}
  SECTION("the same length, other records") {
    for (int64_t i = 0; i < log.size(); ++i) other.Quote(kTarget - 5);
  }
  const int64_t prefix = other.size();
  other.Quote(kTarget - 1);
  other.Alert(kAlertB, kTarget);  // Published again: continues with number 2.
  for (int i = 0; i < 2; ++i) {
    record::Quote quote;
    quote.symbol = "AAPL";
    quote.price_micros = i == 0 ? kTarget - 1 : kTarget;
    quote.event_time_us = 1'767'366'001'000'000 + i;
    quote.publisher_epoch = 2;
    quote.sequence = i + 1;
    other.Add(quote);
  }
  TestEvaluator evaluator(store);
  auto start = evaluator.AcquirePartition(other);
  REQUIRE(start.ok());
  NextStep next_step = evaluator.Read(other, *start);
  if (prefix > 0) {
    REQUIRE(next_step == NextStep::kOtherLog);
    start = evaluator.logic.AdoptOtherLog(0, other.facts());
    REQUIRE(start.ok());
    CHECK(*start == 0);
    next_step = evaluator.Read(other, *start);
  }
  REQUIRE(next_step == NextStep::kGoOn);
  REQUIRE(evaluator.logic.Commit().ok());
  CHECK(evaluator.logic.counters().logs_adopted == 1);
  std::map<std::string, std::set<int64_t>> numbers;
  for (const StoredTrigger& row : store.AllTriggers()) numbers[row.trigger.alert_id].insert(row.trigger.trigger_number);
  CHECK(numbers[kAlertA] == std::set<int64_t>{1, 2, 3, 4});
  CHECK(numbers[kAlertB] == std::set<int64_t>{1, 2});
  // And it goes on from there after a restart.
  TestEvaluator after(store);
  CHECK(after.Run(other) == NextStep::kGoOn);
  CHECK(store.AllTriggers().size() == 6);
}

TEST_CASE("what was held is not evaluated again where the lost log had settled it") {
  fold::FoldState state;
  for (const char* name : {"AAPL", "MSFT"}) {
    fold::SavedSymbol& symbol = state.symbols.emplace_back();
    symbol.symbol = name;
    symbol.held_records.emplace();
  }
  StoredTrigger row;
  row.trigger.alert_id = kAlertA;
  row.trigger.symbol = "AAPL";
  row.trigger.trigger_number = 1;
  CarryOver(state, {row});
  CHECK_FALSE(state.symbols[0].held_records.has_value());
  CHECK(state.symbols[1].held_records.has_value());
}

TEST_CASE("a ONCE alert that triggered in the lost log stays ended") {
  fold::FoldState state;
  StoredTrigger row;
  row.trigger.alert_id = kAlertA;
  row.trigger.symbol = "AAPL";
  row.trigger.revision = 2;
  row.trigger.trigger_number = 5;
  row.trigger.price_micros = kTarget;
  row.trigger.ends_alert = true;
  CarryOver(state, {row});
  auto fold = fold::Fold::Restore(state);
  REQUIRE(fold.ok());
  record::AlertChange change;
  change.alert_id = kAlertA;
  change.symbol = "AAPL";
  change.revision = 2;
  change.armed_revision = 1;
  change.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, kTarget};
  record::Quote quote;
  quote.symbol = "AAPL";
  quote.price_micros = kTarget;
  quote.event_time_us = 1;
  fold::Outcome outcome;
  fold->Apply(change, {0, 0}, &outcome);  // Published again, as it was.
  fold->Apply(quote, {1, 0}, &outcome);
  CHECK(outcome.triggers.empty());
  change.revision = change.armed_revision = 3;  // Armed anew by its user.
  fold->Apply(change, {2, 0}, &outcome);
  fold->Apply(quote, {3, 0}, &outcome);
  REQUIRE(outcome.triggers.size() == 1);
  CHECK(outcome.triggers[0].trigger_number == 6);
}

TEST_CASE("a database that is away delays a commit and loses nothing") {
  class Away final : public EvaluatorStore {
   public:
    explicit Away(EvaluatorStore& inner) : inner_(inner) {}
    absl::StatusOr<PartitionRow> AcquirePartition(int32_t p, const PartitionOwner& o) override {
      return inner_.AcquirePartition(p, o);
    }
    absl::StatusOr<std::optional<PartitionHolder>> FindHolder(int32_t p) override { return inner_.FindHolder(p); }
    absl::StatusOr<std::vector<StoredCheckpoint>> LoadCheckpoints(int32_t p, int64_t g) override {
      return inner_.LoadCheckpoints(p, g);
    }
    absl::Status Commit(const CommitBatch& batch) override {
      if (lose_answer) {
        inner_.Commit(batch).IgnoreError();
        return absl::UnavailableError("the answer was lost");
      }
      return away ? absl::UnavailableError("away") : inner_.Commit(batch);
    }
    absl::Status WriteCheckpoint(const StoredCheckpoint& c, int64_t e) override { return inner_.WriteCheckpoint(c, e); }
    absl::Status AdoptLog(const PartitionRow& r, const StoredCheckpoint& c) override { return inner_.AdoptLog(r, c); }
    absl::StatusOr<std::vector<StoredTrigger>> ReadTriggers(int32_t p, int64_t g, Progress f, size_t n) override {
      return inner_.ReadTriggers(p, g, f, n);
    }
    absl::StatusOr<std::vector<RecordedSplit>> ReadSplits(int32_t p, int64_t g, Progress f, size_t n) override {
      return inner_.ReadSplits(p, g, f, n);
    }
    absl::StatusOr<std::vector<OutboxRow>> ReadOutbox(int32_t p, int64_t a, size_t n) override {
      return inner_.ReadOutbox(p, a, n);
    }
    absl::Status DeleteOutbox(const std::vector<OutboxAcknowledgement>& a) override { return inner_.DeleteOutbox(a); }
    absl::Status Ready() override { return inner_.Ready(); }
    bool away = false;
    bool lose_answer = false;

   private:
    EvaluatorStore& inner_;
  };
  testing::InMemoryEvaluatorStore inner;
  Away store(inner);
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Edges(2, kTarget);
  TestEvaluator evaluator(store);
  REQUIRE(evaluator.Read(log, *evaluator.AcquirePartition(log)) == NextStep::kGoOn);
  SECTION("refused") { store.away = true; }
  SECTION("carried out, but not answered") { store.lose_answer = true; }
  CHECK(absl::IsUnavailable(evaluator.logic.Commit()));
  const int64_t before = log.size();
  log.Edges(1, kTarget);  // More comes in meanwhile.
  REQUIRE(evaluator.Read(log, before) == NextStep::kGoOn);
  store.away = store.lose_answer = false;
  REQUIRE(evaluator.logic.Commit().ok());
  CHECK_FALSE(evaluator.logic.has_progress());
  CHECK(inner.AllTriggers().size() == 3);
  REQUIRE(evaluator.relay.Pump().ok());
  CHECK(evaluator.relay.backlog() == 0);
}

// Two partitions with an alert each; partition 1's is refused by the store.
struct TwoPartitions {
  TwoPartitions() : store(inner) {
    first.Alert(kAlertA, kTarget);
    first.Edges(1, kTarget);
    second.symbol = "MSFT";
    second.Alert(kAlertB, kTarget);
    second.Edges(1, kTarget);
  }
  static bool Has(const CommitBatch& batch, int32_t partition) {
    return std::any_of(batch.moves.begin(), batch.moves.end(),
                       [&](const PartitionMove& move) { return move.partition == partition; });
  }
  testing::InMemoryEvaluatorStore inner;
  FailingStore store;
  Log first;
  Log second;
};

TEST_CASE("an effect that cannot be stored stops its partition, and the others of the transaction go on") {
  TwoPartitions world;
  TestEvaluator evaluator(world.store);
  bool refuses = true;
  world.store.fail = [&](const CommitBatch& batch) {
    return refuses && TwoPartitions::Has(batch, 1) ? absl::FailedPreconditionError("a check is violated")
                                                   : absl::OkStatus();
  };
  REQUIRE(evaluator.Read(world.first, *evaluator.AcquirePartition(world.first, 0), 0) == NextStep::kGoOn);
  REQUIRE(evaluator.Read(world.second, *evaluator.AcquirePartition(world.second, 1), 1) == NextStep::kGoOn);
  REQUIRE(evaluator.logic.Commit().ok());
  CHECK_FALSE(evaluator.logic.blocked());
  CHECK_FALSE(evaluator.logic.has_progress());
  CHECK_FALSE(evaluator.logic.has_effects());
  REQUIRE(evaluator.logic.stopped().size() == 1);
  CHECK(evaluator.logic.stopped().at(1).find("cannot be stored") != std::string::npos);
  CHECK(evaluator.logic.may_pass(1));
  CHECK(evaluator.logic.progress(0) == Progress{3, 0});
  CHECK(evaluator.logic.progress(1) == Progress{0, 0});
  REQUIRE(world.inner.AllTriggers().size() == 1);
  CHECK(world.inner.AllTriggers()[0].trigger.alert_id == kAlertA);
  // The other one alone is not tried apart again, and goes on.
  world.store.commits.clear();
  const int64_t before = world.first.size();
  world.first.Edges(1, kTarget);
  REQUIRE(evaluator.Read(world.first, before, 0) == NextStep::kGoOn);
  CHECK(evaluator.logic.Apply(1, world.second.at(0)) == NextStep::kStop);
  REQUIRE(evaluator.logic.Commit().ok());
  CHECK(world.store.commits.size() == 1);
  // Taken anew while the cause is there it stops again; when it is gone, all of it is made up for, once.
  REQUIRE(evaluator.Read(world.second, *evaluator.AcquirePartition(world.second, 1), 1) == NextStep::kGoOn);
  REQUIRE(evaluator.logic.Commit().ok());
  CHECK(evaluator.logic.stopped().contains(1));
  refuses = false;
  REQUIRE(evaluator.Read(world.second, *evaluator.AcquirePartition(world.second, 1), 1) == NextStep::kGoOn);
  REQUIRE(evaluator.logic.Commit().ok());
  CHECK(evaluator.logic.stopped().empty());
  CHECK(world.inner.AllTriggers().size() == 3);
  CHECK(evaluator.logic.counters().partitions_stopped == 2);
}

TEST_CASE("each partition of a refused transaction is tried by itself, over passing failures too") {
  TwoPartitions world;
  TestEvaluator evaluator(world.store, 1);  // A transaction an effect.
  int away = 0;
  world.store.fail = [&](const CommitBatch& batch) -> absl::Status {
    if (batch.moves.size() > 1 || TwoPartitions::Has(batch, 1)) return absl::InternalError("no such column");
    if (away > 0 && away-- > 0) return absl::UnavailableError("away");
    return absl::OkStatus();
  };
  REQUIRE(evaluator.Read(world.first, *evaluator.AcquirePartition(world.first, 0), 0) == NextStep::kGoOn);
  REQUIRE(evaluator.Read(world.second, *evaluator.AcquirePartition(world.second, 1), 1) == NextStep::kGoOn);
  // Progress of both, the effects of the first: one transaction has both only where there is room.
  away = 2;
  CHECK(absl::IsUnavailable(evaluator.logic.Commit()));
  CHECK(evaluator.logic.blocked());
  CHECK(absl::IsUnavailable(evaluator.logic.Commit()));
  REQUIRE(evaluator.logic.Commit().ok());
  CHECK_FALSE(evaluator.logic.blocked());
  CHECK(evaluator.logic.progress(0) == Progress{3, 0});
  CHECK(evaluator.logic.stopped().contains(1));
  CHECK(world.inner.AllTriggers().size() == 1);
}

TEST_CASE("what blocks is the transaction itself: it goes with its partitions") {
  TwoPartitions world;
  TestEvaluator evaluator(world.store);
  bool away = true;
  world.store.fail = [&](const CommitBatch&) { return away ? absl::UnavailableError("away") : absl::OkStatus(); };
  REQUIRE(evaluator.Read(world.first, *evaluator.AcquirePartition(world.first, 0), 0) == NextStep::kGoOn);
  REQUIRE(evaluator.Read(world.second, *evaluator.AcquirePartition(world.second, 1), 1) == NextStep::kGoOn);
  REQUIRE(absl::IsUnavailable(evaluator.logic.Commit()));
  REQUIRE(evaluator.logic.blocked());
  SECTION("of all") {
    evaluator.logic.DropAllPartitions();
    CHECK_FALSE(evaluator.logic.blocked());
    CHECK_FALSE(evaluator.logic.has_progress());
    CHECK(evaluator.logic.pending_effects() == 0);
    REQUIRE(evaluator.logic.Commit().ok());
  }
  SECTION("of one: the other's part is tried by itself") {
    evaluator.logic.DropPartition(0);
    CHECK_FALSE(evaluator.logic.blocked());
    CHECK(evaluator.logic.has_progress());
    CHECK(evaluator.logic.has_effects());
    away = false;
    REQUIRE(evaluator.logic.Commit().ok());
    REQUIRE(world.inner.AllTriggers().size() == 1);
    CHECK(world.inner.AllTriggers()[0].trigger.alert_id == kAlertB);
  }
}

TEST_CASE("a transaction that takes too long for the database is made smaller, down to one effect") {
  testing::InMemoryEvaluatorStore inner;
  FailingStore store(inner);
  store.fail = [](const CommitBatch& batch) {
    return batch.outbox.size() > 1 ? absl::DeadlineExceededError("statement timeout") : absl::OkStatus();
  };
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Edges(8, kTarget);
  TestEvaluator evaluator(store);
  REQUIRE(evaluator.Read(log, *evaluator.AcquirePartition(log)) == NextStep::kGoOn);
  int tries = 0;
  while (evaluator.logic.has_progress() && ++tries < 100) {
    const absl::Status status = evaluator.logic.Commit();
    CHECK(evaluator.logic.blocked() == !status.ok());
  }
  CHECK_FALSE(evaluator.logic.has_progress());
  CHECK(inner.AllTriggers().size() == 8);
  // And larger again where they go through.
  store.fail = {};
  store.commits.clear();
  const int64_t before = log.size();
  log.Edges(20, kTarget);
  REQUIRE(evaluator.Read(log, before) == NextStep::kGoOn);
  REQUIRE(evaluator.logic.Commit().ok());
  CHECK(inner.AllTriggers().size() == 28);
  CHECK(store.commits.size() < 10);
}

TEST_CASE("effects are counted while they wait, and not after") {
  testing::InMemoryEvaluatorStore inner;
  FailingStore store(inner);
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Edges(2, kTarget);
  TestEvaluator evaluator(store, 2);
  REQUIRE(evaluator.Read(log, *evaluator.AcquirePartition(log)) == NextStep::kGoOn);
  // A confirmation, what is known of the symbol, two triggers.
  const size_t effects = evaluator.logic.pending_effects();
  REQUIRE(effects >= 3);
  CHECK(evaluator.logic.has_effects());
  SECTION("committed, in parts") {
    int left = 1;
    store.fail = [&](const CommitBatch&) { return left-- > 0 ? absl::OkStatus() : absl::UnavailableError("away"); };
    CHECK(absl::IsUnavailable(evaluator.logic.Commit()));
    CHECK(evaluator.logic.pending_effects() == effects - 2);
    store.fail = {};
    REQUIRE(evaluator.logic.Commit().ok());
  }
  SECTION("dropped") { evaluator.logic.DropPartition(0); }
  SECTION("refused") {
    store.fail = [](const CommitBatch&) { return absl::FailedPreconditionError("refused"); };
    REQUIRE(evaluator.logic.Commit().ok());
  }
  CHECK(evaluator.logic.pending_effects() == 0);
  CHECK_FALSE(evaluator.logic.has_effects());
  CHECK_FALSE(evaluator.logic.has_progress());
}

TEST_CASE("a checkpoint holds nothing that is not committed") {
  testing::InMemoryEvaluatorStore inner;
  FailingStore store(inner);
  Log log;
  log.Alert(kAlertA, kTarget);
  TestEvaluator evaluator(store, 1);
  REQUIRE(evaluator.Read(log, *evaluator.AcquirePartition(log)) == NextStep::kGoOn);
  CHECK_FALSE(evaluator.logic.TakeDraft(0).has_value());
  REQUIRE(evaluator.logic.Commit().ok());
  REQUIRE(evaluator.logic.TakeDraft(0).has_value());
  // A record without effects is progress all the same.
  log.Quote(kTarget - 5);
  evaluator.logic.Apply(0, log.at(1));
  REQUIRE(evaluator.logic.Commit().ok());
  log.Quote(kTarget - 4);
  REQUIRE(evaluator.logic.Apply(0, log.at(2)) == NextStep::kGoOn);
  REQUIRE_FALSE(evaluator.logic.has_effects());
  REQUIRE(evaluator.logic.has_progress());
  CHECK_FALSE(evaluator.logic.TakeDraft(0).has_value());
  REQUIRE(evaluator.logic.Commit().ok());
  CHECK(evaluator.logic.TakeDraft(0)->next_offset == 3);
}

// The numbers of the splits that were sent to the alert service, in their order.
std::vector<int64_t> SplitsSent(const TestEvaluator& evaluator) {
  std::vector<int64_t> numbers;
  for (const OutboxRow& row : evaluator.publisher.rows) {
    internal::v1::AlertEvent event;
    REQUIRE(event.ParseFromString(row.value));
    if (event.has_split()) numbers.push_back(event.split().number());
  }
  return numbers;
}

TEST_CASE(
    "on another log, splits after the checkpoint are applied by their rows, and told of again as they come again") {
  testing::InMemoryEvaluatorStore store;
  const record::Split splits[] = {
      {"AAPL", "s1", 1, {4, 1}, 0}, {"AAPL", "s2", 2, {5, 1}, 0}, {"AAPL", "s3", 3, {2, 1}, 0}};
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Add(splits[0]);
  {
    TestEvaluator evaluator(store);
    REQUIRE(evaluator.Run(log) == NextStep::kGoOn);
    // A checkpoint that knows the first.
    const auto draft = evaluator.logic.TakeDraft(0);
    REQUIRE(draft.has_value());
    REQUIRE(store.WriteCheckpoint(EvaluatorLogic::Encode(*draft), draft->epoch).ok());
  }
  log.Add(splits[1]);
  log.Quote(kTarget / 20 - 1);
  log.Quote(kTarget / 20);
  log.Add(splits[2]);
  {
    TestEvaluator evaluator(store);
    REQUIRE(evaluator.Run(log) == NextStep::kGoOn);
    // The first one's row was still in the outbox.
    CHECK(SplitsSent(evaluator) == std::vector<int64_t>{1, 2, 3});
  }
  REQUIRE(store.AllTriggers().size() == 1);

  Log other;
  other.cluster_id = "cluster-2";
  for (const record::Split& split : splits) other.Add(split);
  for (const int64_t price : {kTarget / 40 - 1, kTarget / 40}) {
    record::Quote quote;
    quote.symbol = "AAPL";
    quote.price_micros = price;
    quote.event_time_us = 1'767'366'001'000'000 + other.size();
    quote.publisher_epoch = 2;
    quote.sequence = other.size();
    other.Add(quote);
  }
  TestEvaluator evaluator(store);
  const auto start = evaluator.AcquirePartition(other);
  REQUIRE(start.ok());
  CHECK(std::get<condition::PriceTarget>(evaluator.logic.fold(0)->FindAlert(kAlertA)->definition.condition)
            .price_micros == kTarget / 40);
  REQUIRE(evaluator.Read(other, *start) == NextStep::kGoOn);
  REQUIRE(evaluator.logic.Commit().ok());
  REQUIRE(evaluator.relay.Pump().ok());
  // Those rows again, and then the new log's.
  CHECK(SplitsSent(evaluator) == std::vector<int64_t>{1, 2, 3, 1, 2, 3});
  CHECK(store.AllTriggers().size() == 2);
  CHECK(evaluator.logic.counters().splits_skipped == 0);
  // Rows of a log are of that log alone: nothing of them is applied to the next one.
  const auto rows = store.ReadSplits(0, 2, {0, 0}, 10);
  REQUIRE(rows.ok());
  CHECK(rows->size() == 3);
}

TEST_CASE("splits that a checkpoint lacks are carried over in their order, and settle what it holds") {
  record::AlertChange change;
  change.alert_id = kAlertA;
  change.symbol = "AAPL";
  change.revision = change.armed_revision = 1;
  change.splits_applied = 1;
  change.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, kTarget};
  fold::Fold before;
  fold::Outcome told;
  before.Apply(record::Split{"AAPL", "s1", 1, {4, 1}, 0}, {1, 0}, &told);
  before.Apply(record::SplitSuspected{"AAPL"}, {2, 0}, &told);
  before.Apply(change, {3, 0}, &told);
  fold::FoldState state = before.Snapshot();
  REQUIRE(state.symbols.at(0).held_records.has_value());
  const auto stored = [](record::Split split, int64_t offset) {
    return RecordedSplit{std::move(split), 0, 1, offset, 0};
  };
  REQUIRE(CarrySplitsOver(state, {stored({"AAPL", "s1", 1, {4, 1}, 0}, 5), stored({"AAPL", "s2", 2, {2, 1}, 0}, 6),
                                  stored({"AAPL", "s3", 3, {1, 4}, 0}, 7), stored({"MSFT", "m1", 1, {3, 1}, 0}, 8)})
              .ok());
  REQUIRE(state.symbols.size() == 2);
  CHECK(state.symbols[0].splits ==
        std::vector<fold::SavedSplit>{{"s1", 1, {4, 1}}, {"s2", 2, {2, 1}}, {"s3", 3, {1, 4}}});
  CHECK_FALSE(state.symbols[0].held_records.has_value());
  CHECK(state.symbols[1].splits == std::vector<fold::SavedSplit>{{"m1", 1, {3, 1}}});
  REQUIRE(state.alerts.size() == 1);
  CHECK(std::get<condition::PriceTarget>(state.alerts[0].definition.condition).price_micros == kTarget * 2);
}

TEST_CASE("a split that is committed wants a checkpoint") {
  testing::InMemoryEvaluatorStore store;
  Log log;
  log.Alert(kAlertA, kTarget);
  TestEvaluator evaluator(store);
  REQUIRE(evaluator.Run(log) == NextStep::kGoOn);
  CHECK_FALSE(evaluator.logic.wants_checkpoint(0));
  log.Add(record::Split{"AAPL", "s1", 1, {4, 1}, 0});
  REQUIRE(evaluator.logic.Apply(0, log.at(1)) == NextStep::kGoOn);
  CHECK_FALSE(evaluator.logic.wants_checkpoint(0));
  REQUIRE(evaluator.logic.Commit().ok());
  CHECK(evaluator.logic.wants_checkpoint(0));
  CHECK_FALSE(evaluator.logic.wants_checkpoint(1));
  const auto draft = evaluator.logic.TakeDraft(0);
  REQUIRE(draft.has_value());
  CHECK_FALSE(evaluator.logic.wants_checkpoint(0));
  REQUIRE(store.WriteCheckpoint(EvaluatorLogic::Encode(*draft), draft->epoch).ok());
  // Another one under its number is no news.
  log.Add(record::Split{"AAPL", "s2", 1, {4, 1}, 0});
  REQUIRE(evaluator.logic.Apply(0, log.at(2)) == NextStep::kGoOn);
  REQUIRE(evaluator.logic.Commit().ok());
  CHECK_FALSE(evaluator.logic.wants_checkpoint(0));
  CHECK(evaluator.logic.counters().splits_skipped == 1);

  Log other;
  other.cluster_id = "cluster-2";
  other.Quote(kTarget / 4 - 1);
  other.Quote(kTarget / 4);
  TestEvaluator after(store);
  const auto start = after.AcquirePartition(other);
  REQUIRE(start.ok());
  REQUIRE(after.Read(other, *start) == NextStep::kGoOn);
  REQUIRE(after.logic.Commit().ok());
  CHECK(store.AllTriggers().size() == 1);
}

TEST_CASE("a checkpoint ahead of the progress is not used") {
  testing::InMemoryEvaluatorStore store;
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Edges(3, kTarget);
  {
    // A state after all seven records, of a process that had committed three of them.
    testing::InMemoryEvaluatorStore elsewhere;
    TestEvaluator ahead(elsewhere);
    REQUIRE(ahead.Run(log) == NextStep::kGoOn);
    StoredCheckpoint checkpoint = EvaluatorLogic::Encode(*ahead.logic.TakeDraft(0));
    TestEvaluator behind(store);
    const int64_t start = *behind.AcquirePartition(log);
    for (int64_t offset = start; offset < 3; ++offset)
      REQUIRE(behind.logic.Apply(0, log.at(offset)) == NextStep::kGoOn);
    REQUIRE(behind.logic.Commit().ok());
    REQUIRE(store.AllTriggers().size() == 1);
    REQUIRE(store.WriteCheckpoint(checkpoint, behind.logic.TakeDraft(0)->epoch).ok());
  }
  TestEvaluator again(store);
  REQUIRE(again.Run(log) == NextStep::kGoOn);
  CHECK(again.logic.counters().checkpoints_unusable == 1);
  CHECK(again.logic.counters().records_replayed == 3);
  CHECK(store.AllTriggers().size() == 3);
}

TEST_CASE("a checkpoint written under an earlier epoch does not count for the present one") {
  testing::InMemoryEvaluatorStore store;
  Log log;
  log.Alert(kAlertA, kTarget);
  TestEvaluator evaluator(store);
  REQUIRE(evaluator.Run(log) == NextStep::kGoOn);
  const auto before = evaluator.logic.TakeDraft(0);
  REQUIRE(before.has_value());
  REQUIRE(evaluator.Run(log) == NextStep::kGoOn);  // Taken anew; the answer comes late.
  evaluator.logic.MarkCheckpointed(0, before->epoch, before->next_offset);
  const auto draft = evaluator.logic.TakeDraft(0);
  REQUIRE(draft.has_value());
  CHECK(draft->epoch > before->epoch);
  evaluator.logic.MarkCheckpointed(0, draft->epoch, draft->next_offset);
  CHECK_FALSE(evaluator.logic.TakeDraft(0).has_value());
}

TEST_CASE("what the folds counted never falls") {
  testing::InMemoryEvaluatorStore store;
  Log log;
  log.Alert(kAlertA, kTarget);
  log.Edges(2, kTarget);
  TestEvaluator evaluator(store);
  REQUIRE(evaluator.Run(log) == NextStep::kGoOn);
  CHECK(evaluator.logic.fold_counters().quotes_accepted == 4);
  evaluator.logic.DropPartition(0);
  CHECK(evaluator.logic.fold_counters().quotes_accepted == 4);
  REQUIRE(evaluator.Run(log) == NextStep::kGoOn);
  CHECK(evaluator.logic.fold_counters().quotes_accepted == 8);
}

TEST_CASE("a split is told at its place, again where it comes again, and another under its number or id is not") {
  testing::InMemoryEvaluatorStore store;
  Log log;
  log.Alert(kAlertA, kTarget);
  const auto split = [&](int64_t number, const std::string& id) {
    log.Add(record::Split{log.symbol, id, number, {4, 1}, 1'767'366'000'000'000});
  };
  split(1, "s1");
  split(1, "s1");
  split(2, "s1");
  log.Quote(kTarget / 4);
  const auto told = [](const RecordingPublisher& publisher) {
    std::vector<internal::v1::SplitApplied> splits;
    for (const OutboxRow& row : publisher.rows) {
      internal::v1::AlertEvent event;
      REQUIRE(event.ParseFromString(row.value));
      if (!event.has_split()) continue;
      CHECK(row.key == event.split().symbol());
      splits.push_back(event.split());
    }
    return splits;
  };
  {
    TestEvaluator evaluator(store);
    REQUIRE(evaluator.Run(log) == NextStep::kGoOn);
    const auto splits = told(evaluator.publisher);
    REQUIRE(splits.size() == 2);
    CHECK(splits[1].offset() == 2);
    CHECK(splits[1].split_id() == "s1");
    CHECK(splits[0].number() == 1);
    CHECK(splits[0].split_id() == "s1");
    CHECK(splits[0].numerator() == 4);
    CHECK(splits[0].denominator() == 1);
    CHECK(splits[0].effective_time_us() == 1'767'366'000'000'000);
    CHECK(splits[0].offset() == 1);
    CHECK(store.AllTriggers().size() == 1);
  }
  split(2, "s2");
  TestEvaluator again(store);
  REQUIRE(again.Run(log) == NextStep::kGoOn);
  const auto splits = told(again.publisher);
  // The first one may come again, for its row was still there.
  REQUIRE(!splits.empty());
  CHECK(splits.back().number() == 2);
  CHECK(std::count_if(splits.begin(), splits.end(), [](const auto& one) { return one.number() == 2; }) == 1);
}

}  // namespace
}  // namespace stockalert::evaluator
