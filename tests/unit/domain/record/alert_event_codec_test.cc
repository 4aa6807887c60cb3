#include "services/domain/record/alert_event_codec.h"

#include <catch2/catch.hpp>

#include <functional>
#include <vector>

namespace stockalert::record {
namespace {

namespace pb = ::stockalert::internal::v1;

constexpr char kAlertId[] = "6c1d7f0e-3f0a-4d6b-9f55-0d2b8f6f4a11";

PlacedTrigger SomeTrigger() {
  PlacedTrigger placed;
  placed.trigger = {.alert_id = kAlertId,
                    .symbol = "AAPL",
                    .revision = 3,
                    .trigger_number = 7,
                    .price_micros = 101'000'000,
                    .event_time_us = 1'741'273'200'000'000,
                    .price_before_micros = 99'000'000,
                    .reference_micros = 100'000'000,
                    .offset = 42,
                    .late = true,
                    .late_from_us = 1'741'273'199'000'000,
                    .ends_alert = true};
  placed.partition = 5;
  placed.log_time_us = 1'741'273'200'100'000;
  return placed;
}

TEST_CASE("a trigger is read as it was written") {
  PlacedTrigger placed = SomeTrigger();
  for (bool whole : {true, false}) {
    if (!whole) {
      placed.trigger.price_before_micros = placed.trigger.reference_micros = std::nullopt;
      placed.trigger.late_from_us.reset();
    }
    pb::AlertEvent event;
    REQUIRE(event.ParseFromString(EncodeAlertEvent(placed)));
    const auto read = DecodeTrigger(event.triggered());
    REQUIRE(read.ok());
    CHECK(read->trigger == placed.trigger);
    CHECK(read->partition == placed.partition);
    CHECK(read->log_time_us == placed.log_time_us);
  }
}

TEST_CASE("a confirmation and a status are read as they were written") {
  const Confirmation confirmation{kAlertId, 4, 9};
  pb::AlertEvent event;
  REQUIRE(event.ParseFromString(EncodeAlertEvent(confirmation, 5)));
  const auto confirmed = DecodeConfirmation(event.change_confirmed());
  REQUIRE(confirmed.ok());
  CHECK(*confirmed == confirmation);

  const PlacedStatus placed{{"AAPL", true, false, 1'741'273'200'000'000, 11, true}, 5};
  REQUIRE(event.ParseFromString(EncodeAlertEvent(placed)));
  const auto status = DecodeSymbolStatus(event.symbol_status());
  REQUIRE(status.ok());
  CHECK(status->status == placed.status);
  CHECK(status->partition == 5);
}

TEST_CASE("a trigger with impossible values is refused") {
  const std::vector<std::function<void(pb::AlertTriggered&)>> spoil = {
      [](auto& t) { t.set_alert_id("a1"); },    [](auto& t) { t.set_symbol("aapl"); },
      [](auto& t) { t.set_trigger_number(0); }, [](auto& t) { t.set_price_micros(0); },
      [](auto& t) { t.set_event_time_us(-1); }, [](auto& t) { t.set_late_from_us(-1); },
  };
  for (const auto& one : spoil) {
    pb::AlertTriggered encoded = EncodeTrigger(SomeTrigger());
    one(encoded);
    CHECK(DecodeTrigger(encoded).status().code() == absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
TEST_CASE("a split is told as it was, and one that cannot be is refused") {
  const PlacedSplit placed{{"AAPL", "s1", 3, {4, 1}, 1'767'366'000'000'000}, 2, 17};
  internal::v1::AlertEvent event;
  REQUIRE(event.ParseFromString(EncodeAlertEvent(placed)));
  REQUIRE(event.has_split());
  const absl::StatusOr<PlacedSplit> read = DecodeSplit(event.split());
  REQUIRE(read.ok());
  CHECK(read->split.symbol == "AAPL");
  CHECK(read->split.split_id == "s1");
  CHECK(read->split.number == 3);
  CHECK(read->split.ratio == price::SplitRatio{4, 1});
  CHECK(read->split.effective_time_us == placed.split.effective_time_us);
  CHECK(read->partition == 2);
  CHECK(read->offset == 17);
  const auto refused = [&](const std::function<void(internal::v1::SplitApplied&)>& change) {
    internal::v1::SplitApplied changed = event.split();
    change(changed);
    return absl::IsInvalidArgument(DecodeSplit(changed).status());
  };
  CHECK(refused([](auto& split) { split.set_symbol("no symbol"); }));
  CHECK(refused([](auto& split) { split.set_number(0); }));
  CHECK(refused([](auto& split) { split.set_numerator(0); }));
  CHECK(refused([](auto& split) { split.set_denominator(kSplitSharesMax + 1); }));
  event.mutable_split()->set_effective_time_us(-1);
  CHECK(DecodeSplit(event.split())->split.effective_time_us == 0);
}

}  // namespace stockalert::record
