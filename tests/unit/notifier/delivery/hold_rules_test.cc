#include "services/notifier/delivery/hold_rules.h"

#include <catch2/catch.hpp>

namespace stockalert::notifier {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;
constexpr int64_t kSecond = 1'000'000;

StoredNotification Of(Kind kind, bool critical = false) {
  StoredNotification notification;
  notification.kind = kind;
  notification.routing.critical = critical;
  return notification;
}

TEST_CASE("in quiet hours all is held until they end, but what is critical or about a destination") {
  LaneHold lane{.per_minute_max = 5};
  CHECK(HoldOrCount(Of(Kind::kTrigger), kNow + 9, kNow, lane) == HoldReason::kQuietHours);
  CHECK(HoldOrCount(Of(Kind::kThrottled), kNow + 9, kNow, lane) == HoldReason::kQuietHours);
  CHECK(HoldOrCount(Of(Kind::kSplit), kNow + 9, kNow, lane) == HoldReason::kQuietHours);
  CHECK(lane.digest_due_us == kNow + 9);
  // Nothing was sent.
  CHECK(lane.minute.count == 0);
  CHECK(HoldOrCount(Of(Kind::kTrigger, true), kNow + 9, kNow, lane) == HoldReason::kNone);
  CHECK(HoldOrCount(Of(Kind::kThrottled, true), kNow + 9, kNow, lane) == HoldReason::kNone);
  CHECK(lane.minute.count == 2);
  CHECK(HoldOrCount(Of(Kind::kDestination), kNow + 9, kNow, lane) == HoldReason::kNone);
  CHECK(HoldOrCount(Of(Kind::kDigest), kNow + 9, kNow, lane) == HoldReason::kNone);
  CHECK(lane.minute.count == 2);
}

TEST_CASE("what is more than a minute's is held until the minute ends") {
  LaneHold lane{.per_minute_max = 3};
  CHECK(HoldOrCount(Of(Kind::kTrigger), {}, kNow, lane) == HoldReason::kNone);
  CHECK(HoldOrCount(Of(Kind::kThrottled), {}, kNow + 1, lane) == HoldReason::kNone);
  CHECK(HoldOrCount(Of(Kind::kDestination), {}, kNow + 1, lane) == HoldReason::kNone);
  CHECK(HoldOrCount(Of(Kind::kTrigger), {}, kNow + 2, lane) == HoldReason::kNone);
  CHECK(!lane.digest_due_us);
  CHECK(HoldOrCount(Of(Kind::kTrigger), {}, kNow + 3, lane) == HoldReason::kRate);
  CHECK(HoldOrCount(Of(Kind::kTrigger), {}, kNow + 60 * kSecond - 1, lane) == HoldReason::kRate);
  CHECK(lane.digest_due_us == kNow + 60 * kSecond);
  CHECK(HoldOrCount(Of(Kind::kTrigger), {}, kNow + 60 * kSecond, lane) == HoldReason::kNone);
  CHECK(lane.minute == AskWindow{kNow + 60 * kSecond, 1});
}

TEST_CASE("critical ones take part of the minute, and are never held") {
  LaneHold lane{.per_minute_max = 2};
  for (int i = 0; i < 5; ++i) CHECK(HoldOrCount(Of(Kind::kTrigger, true), {}, kNow, lane) == HoldReason::kNone);
  CHECK(lane.minute.count == 5);
  CHECK(HoldOrCount(Of(Kind::kTrigger), {}, kNow, lane) == HoldReason::kRate);
}

TEST_CASE("what is held already sets the time, unless it becomes quiet") {
  LaneHold lane{.per_minute_max = 1, .minute = {kNow, 1}, .digest_due_us = kNow + 5};
  CHECK(HoldOrCount(Of(Kind::kTrigger), {}, kNow + 1, lane) == HoldReason::kRate);
  CHECK(lane.digest_due_us == kNow + 5);
  CHECK(HoldOrCount(Of(Kind::kTrigger), kNow + 3600 * kSecond, kNow + 2, lane) == HoldReason::kQuietHours);
  CHECK(lane.digest_due_us == kNow + 3600 * kSecond);
}

}  // namespace
}  // namespace stockalert::notifier
