// Suspected splits: the symbol's records are kept, and evaluated once that is settled. Random ones are compared with
// the auditor.
#include <catch2/catch.hpp>

#include "tests/unit/domain/fold/log_builder.h"

namespace stockalert::fold {
namespace {

using Fired = std::vector<std::string>;

const Fired kNone;

record::SplitSuspected Suspicion(int64_t sequence = 0) { return {"AAPL", sequence == 0 ? 0 : 1, sequence}; }
record::SplitDismissed Dismissal(int64_t sequence = 0) { return {"AAPL", sequence == 0 ? 0 : 1, sequence}; }
record::Split FourForOne(int64_t number = 1) {
  return {"AAPL", "split-" + std::to_string(number), number, {4, 1}, kOpenUs};
}

bool IsHeld(const LogBuilder& log) { return log.fold.FindSymbol("AAPL")->held_records.has_value(); }

record::Quote Published(int64_t units, int64_t sequence, int64_t time_us) {
  record::Quote quote;
  quote.symbol = "AAPL";
  quote.price_micros = units * kUnit;
  quote.event_time_us = time_us;
  quote.publisher_epoch = 1;
  quote.sequence = sequence;
  return quote;
}

TEST_CASE("nothing of a held symbol is evaluated until a split settles it, and then as if that had stood first") {
  LogBuilder log;
  log.Price(400);
  log.Create("up", Of(Above(440)));
  log.Create("falls", Of(Falls(10)));
  log.Price(401);
  CHECK(log.Send(Suspicion()) == kNone);
  REQUIRE(log.outcome.statuses.size() == 1);
  CHECK(log.outcome.statuses[0].held);
  CHECK(log.outcome.statuses[0].offset == log.place().offset);
  CHECK(log.fold.FindAlert("up")->held);
  const int64_t last_us = log.fold.FindSymbol("AAPL")->last_event_time_us.value();
  CHECK(log.Price(100) == kNone);
  CHECK(log.Price(111) == kNone);
  CHECK(log.outcome.statuses.empty());
  CHECK(log.fold.FindSymbol("AAPL")->last_event_time_us == last_us);
  CHECK(log.fold.FindSymbol("AAPL")->last_regular_price_micros == 401 * kUnit);
  CHECK(log.fold.FindSymbol("AAPL")->held_records == 2);
  CHECK(log.fold.held_record_count() == 2);
  CHECK(log.fold.held_symbol_count() == 1);

  CHECK(log.Send(FourForOne()) == Fired{"up#1"});
  const record::Trigger& trigger = log.outcome.triggers[0];
  CHECK(trigger.price_micros == 111 * kUnit);
  CHECK(trigger.price_before_micros == 100 * kUnit);
  CHECK(trigger.reference_micros == 110 * kUnit);
  CHECK(trigger.event_time_us == log.time_us() - kSecondUs);
  CHECK(trigger.offset == log.place().offset);
  REQUIRE(log.outcome.statuses.size() == 1);
  CHECK_FALSE(log.outcome.statuses[0].held);
  CHECK_FALSE(log.fold.FindAlert("up")->held);
  CHECK_FALSE(IsHeld(log));
  CHECK(log.fold.held_record_count() == 0);
  CHECK(log.fold.held_symbol_count() == 0);
  CHECK(log.Price(99) == Fired{"falls#1"});
}

TEST_CASE("a dismissal has the prices evaluated as they are") {
  LogBuilder log;
  log.Price(400);
  log.Create("falls", Of(Falls(10)));
  log.Send(Suspicion());
  log.Price(100);
  log.Price(105);
  CHECK(log.Send(Dismissal()) == Fired{"falls#1"});
  CHECK(log.outcome.triggers[0].price_micros == 100 * kUnit);
  CHECK(log.Send(Dismissal()) == kNone);
  CHECK(log.outcome.statuses.empty());
}

TEST_CASE("triggers of held quotes come in the order of the quotes") {
  LogBuilder log;
  log.Price(400);
  log.Create("b", Of(Above(500)));
  log.Create("a", Of(Below(300)));
  log.Send(Suspicion());
  log.Price(500);
  log.Price(300);
  CHECK(log.Send(Dismissal()) == Fired{"b#1", "a#1"});
}

TEST_CASE("changes of a held symbol are confirmed at once, once, and apply at their places") {
  LogBuilder log;
  log.Price(400);
  log.Create("old", Of(Above(440)));
  log.Send(Suspicion());
  log.Price(450);
  log.Create("new", Of(Above(440)));
  REQUIRE(log.outcome.confirmations.size() == 1);
  CHECK(log.outcome.confirmations[0] == record::Confirmation{"new", 1, log.place().offset});
  CHECK_FALSE(log.fold.FindAlert("new").has_value());
  log.Pause("new");
  CHECK(log.outcome.confirmations[0].revision == 2);
  // Sent again, late: the highest revision is what will be known.
  record::AlertChange again = log.Last("new");
  again.revision = 1;
  log.Send(again);
  CHECK(log.outcome.confirmations[0].revision == 2);
  log.Resume("new");
  log.Delete("old");
  CHECK(log.outcome.confirmations[0] == record::Confirmation{"old", 2, log.place().offset});
  CHECK(log.fold.FindAlert("old").has_value());
  // The quote was before the deletion, and before the other alert.
  CHECK(log.Send(Dismissal()) == Fired{"old#1"});
  CHECK(log.outcome.confirmations.empty());
  CHECK_FALSE(log.fold.FindAlert("old").has_value());
  CHECK(log.fold.FindAlert("new")->revision == 3);
  CHECK(log.Price(441) == Fired{"new#1"});
  record::AlertChange dead = log.Last("old");
  log.Send(Suspicion());
  dead.revision = 1;
  dead.deleted = false;
  log.Send(dead);
  CHECK(log.outcome.confirmations[0].revision == 2);
  log.Send(Dismissal());
  CHECK_FALSE(log.fold.FindAlert("old").has_value());
}

TEST_CASE("a change that says another symbol than its alert has is not kept") {
  LogBuilder log;
  log.Create("a", Of(Above(440)));
  log.Send(record::SplitSuspected{"MSFT", 0, 0});
  record::AlertChange change = log.Last("a");
  change.symbol = "MSFT";
  change.revision = 7;
  log.Send(change);
  CHECK(log.outcome.confirmations[0].revision == 1);
  CHECK(log.fold.FindSymbol("MSFT")->held_records == 0);
}

TEST_CASE("what was changed in a hold is stated in prices of before the split that settles it") {
  LogBuilder log;
  log.Price(400);
  log.Send(Suspicion());
  log.Create("before", Of(Above(440)));
  log.Create("after", Of(Above(120)));
  record::AlertChange after = log.Last("after");
  after.revision = after.armed_revision = 2;
  after.splits_applied = 1;
  log.Send(after);
  log.Send(FourForOne());
  CHECK(log.Price(109) == kNone);
  CHECK(log.Price(110) == Fired{"before#1"});
  CHECK(log.Price(120) == Fired{"after#1"});
}

TEST_CASE("refused prices are counted at once, late and repeated ones where they are evaluated") {
  LogBuilder log;
  log.Send(Published(400, 1, kOpenUs));
  log.Send(Suspicion(2));
  CHECK(IsHeld(log));
  log.Price(0);
  CHECK(log.fold.counters().quotes_refused == 1);
  log.Send(Published(401, 3, kOpenUs + 5));
  log.Send(Published(402, 3, kOpenUs + 6));
  log.Send(Published(403, 4, kOpenUs + 4));
  CHECK(log.fold.counters().quotes_accepted == 1);
  log.Send(Dismissal(5));
  CHECK_FALSE(IsHeld(log));
  CHECK(log.fold.counters().quotes_accepted == 2);
  CHECK(log.fold.counters().quotes_repeated == 1);
  CHECK(log.fold.counters().quotes_late == 1);
  // Only what was evaluated counts as seen: the dismissal does not stand before the quotes.
  CHECK(log.Send(Published(404, 5, kOpenUs + 7)) == kNone);
  CHECK(log.fold.counters().quotes_accepted == 3);
}

TEST_CASE("suspicions and dismissals that come again are skipped") {
  LogBuilder log;
  log.Send(Published(400, 5, kOpenUs));
  log.Send(Suspicion(5));
  CHECK_FALSE(IsHeld(log));
  log.Send(Suspicion(6));
  CHECK(IsHeld(log));
  log.Send(Suspicion(6));
  CHECK(log.outcome.statuses.empty());
  log.Send(Dismissal(6));
  CHECK(IsHeld(log));
  log.Send(Dismissal(7));
  CHECK_FALSE(IsHeld(log));
  log.Send(Suspicion(6));
  CHECK_FALSE(IsHeld(log));
  log.Send(Published(401, 8, kOpenUs + 1));
  log.Send(Suspicion(9));
  // The one that settled the first.
  log.Send(Dismissal(7));
  CHECK(IsHeld(log));
}

TEST_CASE("a suspicion of a held symbol does not count as seen") {
  LogBuilder log;
  log.Send(Published(400, 1, kOpenUs));
  log.Send(Suspicion(2));
  log.Send(Suspicion(9));
  log.Send(Published(401, 3, kOpenUs + 1));
  log.Send(Dismissal(4));
  CHECK_FALSE(IsHeld(log));
  CHECK(log.fold.counters().quotes_accepted == 2);
}

TEST_CASE("a copy that is under way has nothing of a record that is kept meanwhile, of whatever kind") {
  LogBuilder log;
  log.Price(400);
  log.Create("a", Of(Above(440)));
  log.Send(Suspicion());
  record::AlertChange change = log.Last("a");
  change.revision = 2;
  record::Quote quote = Published(401, 0, kOpenUs + kSecondUs);
  quote.publisher_epoch = 0;
  for (const record::Event& event :
       {record::Event(change), record::Event(quote), record::Event(record::Restart{"AAPL"}), record::Event(Dismissal()),
        record::Event(Suspicion())}) {
    const FoldState before = log.fold.Snapshot();
    log.fold.BeginSnapshot();
    log.Send(event);
    CHECK(log.fold.ContinueSnapshot(1'000'000));
    FoldState copy = log.fold.TakeSnapshot();
    PutInOrder(&copy);
    CHECK(copy == before);
  }
}

TEST_CASE("a split that is known settles nothing; a symbol may be held that was never heard of") {
  LogBuilder log;
  log.Send(Suspicion());
  CHECK(IsHeld(log));
  log.Send(FourForOne());
  CHECK_FALSE(IsHeld(log));
  log.Send(Suspicion());
  log.Send(FourForOne());
  CHECK(IsHeld(log));
  log.Send(FourForOne(2));
  CHECK_FALSE(IsHeld(log));
}

TEST_CASE("a restart in a hold stands where it stood") {
  LogBuilder log;
  log.At(kOpenUs + 100 * kSecondUs).Price(400);
  log.Create("falls", Of(Falls(10)));
  log.Send(Suspicion());
  log.Send(record::Restart{"AAPL"});
  CHECK(log.outcome.statuses.empty());
  CHECK(IsHeld(log));
  log.At(kOpenUs).Price(100);
  CHECK(log.Send(Dismissal()) == kNone);
  CHECK(log.fold.FindSymbol("AAPL")->last_event_time_us == kOpenUs);
  CHECK(log.Price(90) == Fired{"falls#1"});
}

TEST_CASE("other symbols do not wait") {
  LogBuilder log;
  log.Create("a", Of(Above(440)));
  log.Send(record::SplitSuspected{"MSFT", 0, 0});
  CHECK(log.Price(441) == Fired{"a#1"});
}

TEST_CASE("a hold survives a restore, and a copy is of when it was begun") {
  LogBuilder log;
  log.Price(400);
  log.Create("up", Of(Above(440)));
  log.Send(Suspicion());
  log.Price(450);
  const FoldState before = log.fold.Snapshot();
  log.fold.BeginSnapshot();
  log.Price(460);
  log.Pause("up");
  CHECK(log.fold.ContinueSnapshot(1'000'000));
  FoldState copy = log.fold.TakeSnapshot();
  PutInOrder(&copy);
  CHECK(copy == before);
  log.fold.BeginSnapshot();
  const FoldState present = log.fold.Snapshot();
  log.Send(Dismissal());
  CHECK(log.fold.ContinueSnapshot(1'000'000));
  FoldState held = log.fold.TakeSnapshot();
  PutInOrder(&held);
  CHECK(held == present);

  log.fold = Fold::Restore(held).value();
  CHECK(log.fold.held_record_count() == 3);
  CHECK(log.fold.held_symbol_count() == 1);
  CHECK(log.Send(Dismissal()) == Fired{"up#1"});
  log.fold = Fold::Restore(before).value();
  CHECK(log.Send(FourForOne()) == Fired{"up#1"});
}

TEST_CASE("a state that holds what no fold would is refused") {
  LogBuilder log;
  log.Send(Suspicion());
  log.Price(400);
  FoldState state = log.fold.Snapshot();
  REQUIRE(state.symbols.size() == 1);
  REQUIRE(state.symbols[0].held_records.has_value());
  FoldState other = state;
  other.symbols[0].held_records->push_back(record::Restart{"MSFT"});
  CHECK_FALSE(Fold::Restore(other).ok());
  other = state;
  other.symbols[0].held_records->push_back(Suspicion());
  CHECK_FALSE(Fold::Restore(other).ok());
  CHECK(Fold::Restore(state).ok());
}

}  // namespace
}  // namespace stockalert::fold
