#include "services/domain/condition/lifecycle.h"

#include <catch2/catch.hpp>

#include <vector>

#include "services/domain/price/decimal.h"

namespace stockalert::condition {
namespace {

constexpr int64_t kUnit = price::kMicrosPerUnit;
constexpr int64_t kNowUs = 1'000'000'000;

Moment At(int64_t wall_us, std::optional<int64_t> last_event_us = std::nullopt) {
  return {wall_us, last_event_us, true};
}

Definition Above(int64_t units) {
  Definition definition;
  definition.condition = PriceTarget{TargetOp::kAtOrAbove, units * kUnit};
  return definition;
}

AlertRecord Created(const Definition& definition) {
  const absl::StatusOr<AlertRecord> record = CreateAlert(definition, At(kNowUs), {});
  REQUIRE(record.ok());
  return *record;
}

void CheckRefused(const absl::StatusOr<AlertRecord>& record, absl::StatusCode code, const std::string& reason) {
  REQUIRE_FALSE(record.ok());
  CHECK(record.status().code() == code);
  CHECK(RefusalReason(record.status()) == reason);
}

TEST_CASE("an alert is created at revision 1, armed by it") {
  const AlertRecord record = Created(Above(100));
  CHECK(record.revision == 1);
  CHECK(record.armed_revision == 1);
  CHECK(ShownState(record, At(kNowUs), false, false) == AlertState::kActive);
}

TEST_CASE("a creation that breaks a rule is refused, with the field") {
  CheckRefused(CreateAlert(Above(0), At(kNowUs), {}), absl::StatusCode::kInvalidArgument, kReasonInvalidDefinition);
  CHECK(RefusalField(CreateAlert(Above(0), At(kNowUs), {}).status()) == "condition.price_target.price");
  Definition late = Above(100);
  late.expire_time_us = kNowUs;
  CheckRefused(CreateAlert(late, At(kNowUs), {}), absl::StatusCode::kInvalidArgument, kReasonExpiryNotInFuture);
  CHECK(RefusalField(CreateAlert(late, At(kNowUs), {}).status()) == "expire_time");
  CHECK(CreateAlert(late, At(kNowUs - 1), {}).ok());
  Moment replay = At(kNowUs);
  replay.refuse_past_expiry = false;
  CHECK(CreateAlert(late, replay, {}).ok());
}

TEST_CASE("REJECT_IF_MET looks at the level at the last price") {
  struct Case {
    Condition condition;
    ArmingMarket market;
    bool met;
  };
  const int64_t p = 100 * kUnit;
  const auto percent = [](PercentOp op, PercentReference reference) {
    return PercentChange{op, 20'000, reference, 100 * kUnit, 1'000'000};
  };
  const std::vector<Case> cases = {
      {PriceTarget{TargetOp::kAtOrAbove, p}, {p, {}, {}}, true},
      {PriceTarget{TargetOp::kAtOrAbove, p}, {p - 1, {}, {}}, false},
      {PriceTarget{TargetOp::kAtOrAbove, p}, {{}, {}, {}}, false},
      {PriceTarget{TargetOp::kAtOrBelow, p}, {p, {}, {}}, true},
      {PriceTarget{TargetOp::kAtOrBelow, p}, {p + 1, {}, {}}, false},
      {PriceTarget{TargetOp::kCrosses, p}, {p, {}, {}}, false},
      {Channel{ChannelOp::kEnters, p - 1, p + 1}, {p, {}, {}}, false},
      {Channel{ChannelOp::kLeaves, p + 1, p + 2}, {p, {}, {}}, false},
      {TrailingChange{TrailingOp::kFallsFromHigh, 1, 0, std::nullopt}, {p, {}, {}}, false},
      {percent(PercentOp::kUp, PercentReference::kArming), {p, {}, {}}, false},
      {percent(PercentOp::kUp, PercentReference::kWindow), {p, {}, {}}, false},
      {percent(PercentOp::kUp, PercentReference::kGiven), {102 * kUnit, {}, {}}, true},
      {percent(PercentOp::kUp, PercentReference::kGiven), {102 * kUnit - 1, {}, {}}, false},
      {percent(PercentOp::kDown, PercentReference::kGiven), {98 * kUnit, {}, {}}, true},
      {percent(PercentOp::kUp, PercentReference::kGiven), {98 * kUnit, {}, {}}, false},
      {percent(PercentOp::kEither, PercentReference::kGiven), {98 * kUnit, {}, {}}, true},
      {percent(PercentOp::kEither, PercentReference::kGiven), {102 * kUnit, {}, {}}, true},
      {percent(PercentOp::kUp, PercentReference::kPreviousClose), {102 * kUnit, {}, {}}, false},
      {percent(PercentOp::kUp, PercentReference::kPreviousClose), {102 * kUnit, p, {}}, true},
      {percent(PercentOp::kUp, PercentReference::kDayOpen), {102 * kUnit, p, {}}, false},
      {percent(PercentOp::kUp, PercentReference::kDayOpen), {102 * kUnit, {}, p}, true},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    CAPTURE(i);
    Definition definition;
    definition.condition = cases[i].condition;
    CHECK(IsMetAtArming(definition, cases[i].market) == cases[i].met);
    CHECK(CreateAlert(definition, At(kNowUs), cases[i].market).ok());
    definition.creation_policy = CreationPolicy::kRejectIfMet;
    const absl::StatusOr<AlertRecord> record = CreateAlert(definition, At(kNowUs), cases[i].market);
    CHECK(record.ok() == !cases[i].met);
    if (!record.ok()) CheckRefused(record, absl::StatusCode::kFailedPrecondition, kReasonConditionAlreadyMet);
  }
}

TEST_CASE("what passes REJECT_IF_MET goes into the log as WAIT_FOR_CROSS, and is kept as it was asked for") {
  Definition definition = Above(100);
  definition.creation_policy = CreationPolicy::kRejectIfMet;
  const AlertRecord record = Created(definition);
  CHECK(record.definition.creation_policy == CreationPolicy::kRejectIfMet);
  CHECK(DefinitionForLog(record.definition).creation_policy == CreationPolicy::kWaitForCross);
  definition.creation_policy = CreationPolicy::kFireIfMet;
  CHECK(DefinitionForLog(definition) == definition);
}

TEST_CASE("an update raises the revision by one, and arms where it changes what is watched") {
  const AlertRecord record = Created(Above(100));
  const absl::StatusOr<AlertRecord> same = UpdateAlert(record, Above(100), false, At(kNowUs));
  REQUIRE(same.ok());
  CHECK(*same == record);

  const absl::StatusOr<AlertRecord> noted = UpdateAlert(record, Above(100), true, At(kNowUs));
  REQUIRE(noted.ok());
  CHECK(noted->revision == 2);
  CHECK(noted->armed_revision == 1);

  Definition expiring = Above(100);
  expiring.expire_time_us = kNowUs + 1;
  const absl::StatusOr<AlertRecord> moved = UpdateAlert(record, expiring, false, At(kNowUs));
  REQUIRE(moved.ok());
  CHECK(moved->revision == 2);
  CHECK(moved->armed_revision == 1);

  const absl::StatusOr<AlertRecord> armed = UpdateAlert(*moved, Above(101), false, At(kNowUs));
  REQUIRE(armed.ok());
  CHECK(armed->revision == 3);
  CHECK(armed->armed_revision == 3);

  expiring.expire_time_us = kNowUs;
  CheckRefused(UpdateAlert(record, expiring, false, At(kNowUs)), absl::StatusCode::kInvalidArgument,
               kReasonExpiryNotInFuture);
  CheckRefused(UpdateAlert(record, Above(0), false, At(kNowUs)), absl::StatusCode::kInvalidArgument,
               kReasonInvalidDefinition);
}

TEST_CASE("an update that arms leaves a paused alert paused and makes a triggered one active") {
  AlertRecord record = *PauseAlert(Created(Above(100)), At(kNowUs));
  const absl::StatusOr<AlertRecord> paused = UpdateAlert(record, Above(101), false, At(kNowUs));
  REQUIRE(paused.ok());
  CHECK(paused->paused);
  CHECK(paused->armed_revision == 3);

  record = RecordTrigger(Created(Above(100)), 1, true);
  CHECK(ShownState(record, At(kNowUs), false, false) == AlertState::kTriggered);
  const absl::StatusOr<AlertRecord> noted = UpdateAlert(record, Above(100), true, At(kNowUs));
  REQUIRE(noted.ok());
  CHECK(noted->triggered);
  const absl::StatusOr<AlertRecord> armed = UpdateAlert(record, Above(101), false, At(kNowUs));
  REQUIRE(armed.ok());
  CHECK(ShownState(*armed, At(kNowUs), false, false) == AlertState::kActive);
}

TEST_CASE("pausing twice and resuming what is active change nothing") {
  const AlertRecord record = Created(Above(100));
  CHECK(*ResumeAlert(record, At(kNowUs)) == record);
  const AlertRecord paused = *PauseAlert(record, At(kNowUs));
  CHECK(paused.revision == 2);
  CHECK(paused.armed_revision == 1);
  CHECK(ShownState(paused, At(kNowUs), false, false) == AlertState::kPaused);
  CHECK(*PauseAlert(paused, At(kNowUs)) == paused);
  const AlertRecord resumed = *ResumeAlert(paused, At(kNowUs));
  CHECK(resumed.revision == 3);
  CHECK_FALSE(resumed.paused);
}

TEST_CASE("rearm makes active, from paused and triggered too") {
  const AlertRecord record = Created(Above(100));
  CHECK(RearmAlert(record, At(kNowUs))->armed_revision == 2);
  CHECK_FALSE(RearmAlert(*PauseAlert(record, At(kNowUs)), At(kNowUs))->paused);
  const AlertRecord rearmed = *RearmAlert(RecordTrigger(record, 1, true), At(kNowUs));
  CHECK_FALSE(rearmed.triggered);
  CHECK(ShownState(rearmed, At(kNowUs), false, false) == AlertState::kActive);
}

TEST_CASE("a triggered alert takes no pause and no resume") {
  const AlertRecord record = RecordTrigger(Created(Above(100)), 1, true);
  CheckRefused(PauseAlert(record, At(kNowUs)), absl::StatusCode::kFailedPrecondition, kReasonAlertTriggered);
  CheckRefused(ResumeAlert(record, At(kNowUs)), absl::StatusCode::kFailedPrecondition, kReasonAlertTriggered);
}

TEST_CASE("an expired alert takes only an update that moves its expiry past the clock and the last quote") {
  Definition definition = Above(100);
  definition.expire_time_us = kNowUs + 10;
  const AlertRecord record = *PauseAlert(Created(definition), At(kNowUs));
  for (const Moment& moment : {At(kNowUs + 10), At(kNowUs, kNowUs + 10)}) {
    CHECK(ShownState(record, moment, false, false) == AlertState::kExpired);
    CheckRefused(PauseAlert(record, moment), absl::StatusCode::kFailedPrecondition, kReasonAlertExpired);
    CheckRefused(ResumeAlert(record, moment), absl::StatusCode::kFailedPrecondition, kReasonAlertExpired);
    CheckRefused(RearmAlert(record, moment), absl::StatusCode::kFailedPrecondition, kReasonAlertExpired);
    CheckRefused(UpdateAlert(record, definition, true, moment), absl::StatusCode::kFailedPrecondition,
                 kReasonAlertExpired);
    Definition wanted = definition;
    wanted.condition = PriceTarget{TargetOp::kCrosses, kUnit};
    CheckRefused(UpdateAlert(record, wanted, false, moment), absl::StatusCode::kFailedPrecondition,
                 kReasonAlertExpired);
    wanted = definition;
    wanted.expire_time_us = kNowUs + 11;
    const absl::StatusOr<AlertRecord> moved = UpdateAlert(record, wanted, false, moment);
    REQUIRE(moved.ok());
    CHECK(moved->armed_revision == 3);
    CHECK(ShownState(*moved, moment, false, false) == AlertState::kActive);
    wanted.expire_time_us.reset();
    CHECK(UpdateAlert(record, wanted, false, moment)->armed_revision == 3);
  }
  Definition wanted = definition;
  wanted.expire_time_us = kNowUs + 11;
  CheckRefused(UpdateAlert(record, wanted, false, At(kNowUs, kNowUs + 11)), absl::StatusCode::kFailedPrecondition,
               kReasonAlertExpired);
  CHECK(ShownState(record, At(kNowUs + 9, kNowUs + 9), false, false) == AlertState::kPaused);
}

TEST_CASE("an alert at its end is TRIGGERED, not EXPIRED, and can be rearmed") {
  Definition definition = Above(100);
  definition.expire_time_us = kNowUs + 10;
  const AlertRecord record = RecordTrigger(Created(definition), 1, true);
  CHECK(ShownState(record, At(kNowUs + 20), false, false) == AlertState::kTriggered);
  CHECK(RearmAlert(record, At(kNowUs + 20)).ok());
}

TEST_CASE("a trigger counts for the arming that it is of") {
  const AlertRecord record = Created(Above(100));
  CHECK(RecordTrigger(record, 1, false) == record);
  const AlertRecord paused = *PauseAlert(record, At(kNowUs));
  CHECK(RecordTrigger(paused, 1, true).triggered);
  CHECK(ShownState(RecordTrigger(paused, 1, true), At(kNowUs), false, false) == AlertState::kTriggered);
  const AlertRecord rearmed = *RearmAlert(record, At(kNowUs));
  CHECK(RecordTrigger(rearmed, 1, true) == rearmed);
  CHECK(RecordTrigger(rearmed, 2, true).triggered);
  const AlertRecord deleted = *DeleteAlert(record);
  CHECK(RecordTrigger(deleted, 1, true) == deleted);
}

TEST_CASE("a deleted alert refuses every call") {
  const AlertRecord record = *DeleteAlert(Created(Above(100)));
  CHECK(record.revision == 2);
  CHECK(ShownState(record, At(kNowUs), false, false) == AlertState::kDeleted);
  for (const absl::StatusOr<AlertRecord>& refused :
       {DeleteAlert(record), PauseAlert(record, At(kNowUs)), ResumeAlert(record, At(kNowUs)),
        RearmAlert(record, At(kNowUs)), UpdateAlert(record, Above(1), true, At(kNowUs))}) {
    CheckRefused(refused, absl::StatusCode::kNotFound, kReasonAlertDeleted);
  }
}

TEST_CASE("WAITING is for the date's reference that the alert needs") {
  Definition definition;
  definition.condition = PercentChange{PercentOp::kUp, 1, PercentReference::kPreviousClose, 0, 0};
  AlertRecord record = Created(definition);
  CHECK(ShownState(record, At(kNowUs), false, true) == AlertState::kWaiting);
  CHECK(ShownState(record, At(kNowUs), true, false) == AlertState::kActive);
  CHECK(ShownState(*PauseAlert(record, At(kNowUs)), At(kNowUs), false, false) == AlertState::kPaused);
  definition.condition = PercentChange{PercentOp::kUp, 1, PercentReference::kDayOpen, 0, 0};
  record = Created(definition);
  CHECK(ShownState(record, At(kNowUs), true, false) == AlertState::kWaiting);
  CHECK(ShownState(record, At(kNowUs), false, true) == AlertState::kActive);
}

}  // namespace
TEST_CASE("what a split has brought together is refused where it is set, and no reason to refuse the rest") {
  Definition narrow;
  narrow.condition = Channel{ChannelOp::kLeaves, 1, 1};
  narrow.hysteresis_micros = 1;
  AlertRecord record;
  record.definition = narrow;
  Moment moment;
  moment.wall_time_us = 1;
  const auto noted = UpdateAlert(record, narrow, /*other_fields_change=*/true, moment);
  REQUIRE(noted.ok());
  CHECK(noted->revision == 2);
  CHECK(noted->armed_revision == 1);
  Definition expiring = narrow;
  expiring.expire_time_us = 1'000'000;
  CHECK(UpdateAlert(record, expiring, false, moment).ok());
  Definition changed = narrow;
  changed.hysteresis_micros = 2;
  CHECK(RefusalField(UpdateAlert(record, changed, false, moment).status()) == "condition.channel.low");
}

}  // namespace stockalert::condition
