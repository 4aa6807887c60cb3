#include "services/fetcher/publisher_lease.h"

#include <catch2/catch.hpp>

#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::fetcher {
namespace {

using Kind = LeaseTurns::Change::Kind;

struct MemoryKeeper final : LeaseKeeper {
  absl::StatusOr<Lease> Renew(int64_t epoch, bool release) override {
    if (!failure.ok()) return failure;
    if (epoch == lease.highest_epoch) {
      ++lease.renewals;
      lease.released = lease.released || release;
    }
    return lease;
  }
  absl::StatusOr<int64_t> Acquire(int64_t if_highest_is) override {
    if (!failure.ok()) return failure;
    if (if_highest_is != lease.highest_epoch) return absl::AbortedError("changed");
    lease.highest_epoch = std::max(lease.highest_epoch, lease.log_epoch) + 1;
    lease.released = false;
    return lease.highest_epoch;
  }
  Lease lease{1, 0, false, 0};
  absl::Status failure;
};

struct Fixture {
  LeaseTurns::Change RunOnce() {
    clock.Advance(absl::Milliseconds(500));
    return turns.RunOnce();
  }
  testing::FakeMonotonicClock clock;
  MemoryKeeper keeper;
  LeaseTurns turns{keeper, clock, absl::Seconds(3), 1};
};

TEST_CASE("one whose epoch is the highest renews and goes on, also while nobody answers") {
  Fixture f;
  for (int i = 0; i < 10; ++i) CHECK(f.RunOnce().kind == Kind::kNone);
  CHECK(f.keeper.lease.renewals == 10);
  for (const absl::Status& failure : {absl::UnavailableError("down"), absl::UnimplementedError("old")}) {
    f.keeper.failure = failure;
    for (int i = 0; i < 20; ++i) CHECK(f.RunOnce().kind == Kind::kNone);
    CHECK(f.turns.holds());
  }
}

TEST_CASE("the older one stands by while the newer renews, and takes over within five seconds when that ends") {
  Fixture f;
  f.keeper.lease = {2, 100, false, 0};
  CHECK(f.RunOnce().kind == Kind::kLost);
  CHECK_FALSE(f.turns.holds());
  for (int i = 0; i < 40; ++i) {
    ++f.keeper.lease.renewals;
    CHECK(f.RunOnce().kind == Kind::kNone);
  }
  int turns = 0;
  LeaseTurns::Change change;
  while (change.kind == Kind::kNone && turns < 100) {
    change = f.RunOnce();
    ++turns;
  }
  CHECK(change.kind == Kind::kGained);
  CHECK(change.epoch == 3);
  CHECK(turns * absl::Milliseconds(500) < absl::Seconds(5));
  CHECK(f.RunOnce().kind == Kind::kNone);
  CHECK(f.turns.holds());
}

TEST_CASE("a newer one that lets go is followed at once") {
  Fixture f;
  f.keeper.lease = {2, 100, true, 0};
  CHECK(f.RunOnce().kind == Kind::kLost);
  const LeaseTurns::Change change = f.RunOnce();
  CHECK(change.kind == Kind::kGained);
  CHECK(change.epoch == 3);
}

TEST_CASE("time without answers does not count as the newer publisher's silence") {
  Fixture f;
  f.keeper.lease = {2, 100, false, 0};
  CHECK(f.RunOnce().kind == Kind::kLost);
  CHECK(f.RunOnce().kind == Kind::kNone);
  f.keeper.failure = absl::UnavailableError("down");
  for (int i = 0; i < 20; ++i) CHECK(f.RunOnce().kind == Kind::kNone);
  f.keeper.failure = absl::OkStatus();
  for (int i = 0; i < 6; ++i) CHECK(f.RunOnce().kind == Kind::kNone);
  CHECK(f.RunOnce().kind == Kind::kGained);
}

TEST_CASE("of two that stand by one alone takes over") {
  Fixture f;
  f.keeper.lease = {7, 100, false, 0};
  LeaseTurns other(f.keeper, f.clock, absl::Seconds(3), 2);
  CHECK(f.RunOnce().kind == Kind::kLost);
  CHECK(other.RunOnce().kind == Kind::kLost);
  for (int i = 0; i < 20; ++i) {
    (void)f.RunOnce();
    (void)other.RunOnce();
    CHECK(!(f.turns.holds() && other.holds()));
  }
  CHECK(f.turns.holds() != other.holds());
  CHECK(f.keeper.lease.highest_epoch == 8);
}

TEST_CASE("quotes of the log with a higher epoch than was ever given make it take a new one at once") {
  Fixture f;
  f.keeper.lease.log_epoch = 50;
  LeaseTurns::Change change = f.RunOnce();
  CHECK(change.kind == Kind::kGained);
  CHECK(change.epoch == 51);
  CHECK(f.RunOnce().kind == Kind::kNone);
  // A database that knows of fewer than this one's own.
  f.keeper.lease.highest_epoch = 3;
  f.keeper.lease.log_epoch = 51;
  change = f.RunOnce();
  CHECK(change.epoch == 52);
}

TEST_CASE("who ends lets go, who stands by has nothing to let go of") {
  Fixture f;
  f.turns.Release();
  CHECK(f.keeper.lease.released);
  Fixture g;
  g.keeper.lease = {2, 0, false, 0};
  (void)g.RunOnce();
  g.turns.Release();
  CHECK_FALSE(g.keeper.lease.released);
}

}  // namespace
}  // namespace stockalert::fetcher
