#include "services/notifier/picture/chart_axis.h"

#include <catch2/catch.hpp>

namespace stockalert::notifier {
namespace {

std::vector<std::string> LabelsOf(const std::vector<AxisTick>& ticks) {
  std::vector<std::string> labels;
  for (const AxisTick& tick : ticks) labels.push_back(tick.label);
  return labels;
}

using Labels = std::vector<std::string>;

TEST_CASE("ticks of prices are round and exact") {
  CHECK(PriceTicks(147'910'000, 150'260'000, 6) == std::vector<AxisTick>{{148'000'000, "148.0"},
                                                                         {148'500'000, "148.5"},
                                                                         {149'000'000, "149.0"},
                                                                         {149'500'000, "149.5"},
                                                                         {150'000'000, "150.0"}});
  CHECK(LabelsOf(PriceTicks(147'910'000, 150'260'000, 4)) == Labels{"148", "149", "150"});
  CHECK(LabelsOf(PriceTicks(97, 103, 8)) ==
        Labels{"0.000097", "0.000098", "0.000099", "0.000100", "0.000101", "0.000102", "0.000103"});
  CHECK(LabelsOf(PriceTicks(0, 20, 4)) == Labels{"0.00000", "0.00001", "0.00002"});
  CHECK(LabelsOf(PriceTicks(999'000'000'000, 1'004'000'000'000, 4)) == Labels{"1000000", "1002000", "1004000"});
  CHECK(LabelsOf(PriceTicks(0, 1'100'000'000'000'000'000, 4)) == Labels{"0", "500000000000", "1000000000000"});
}

TEST_CASE("there are neither too many ticks of prices nor too few") {
  for (int64_t span = 1; span < 600'000'000'000'000'000; span = span * 13 / 10 + 1) {
    for (const int64_t low : {int64_t{0}, int64_t{1}, int64_t{149'999'999}}) {
      INFO(low << " and " << span);
      const std::vector<AxisTick> ticks = PriceTicks(low, low + span, 8);
      CHECK(ticks.size() <= 8);
      CHECK(ticks.size() >= (span < 8 ? 1 : 2));
      CHECK(ticks.front().at >= low);
      CHECK(ticks.back().at <= low + span);
    }
  }
}

int64_t At(const char* text) {
  absl::Time time;
  REQUIRE(absl::ParseTime(absl::RFC3339_full, text, &time, nullptr));
  return absl::ToUnixMicros(time);
}

absl::TimeZone Zone(const char* name) {
  absl::TimeZone zone;
  REQUIRE(absl::LoadTimeZone(name, &zone));
  return zone;
}

TEST_CASE("ticks of times are round on the user's clock") {
  const int64_t start = At("2026-11-23T15:12:00Z");
  CHECK(LabelsOf(TimeTicks(start, At("2026-11-23T17:12:00Z"), Zone("America/New_York"), 8)) ==
        Labels{"10:20", "10:40", "11:00", "11:20", "11:40", "12:00"});
  CHECK(LabelsOf(TimeTicks(start, At("2026-11-23T17:12:00Z"), Zone("Asia/Kathmandu"), 8)) ==
        Labels{"21:00", "21:20", "21:40", "22:00", "22:20", "22:40"});
  CHECK(TimeTicks(start, At("2026-11-23T15:14:30Z"), absl::UTCTimeZone(), 8) ==
        std::vector<AxisTick>{
            {start, "15:12"}, {At("2026-11-23T15:13:00Z"), "15:13"}, {At("2026-11-23T15:14:00Z"), "15:14"}});
  CHECK(LabelsOf(TimeTicks(At("2026-11-23T22:50:00Z"), At("2026-11-24T01:10:00Z"), absl::UTCTimeZone(), 6)) ==
        Labels{"23:00", "23:30", "24 Nov", "00:30", "01:00"});
  CHECK(TimeTicks(At("2026-11-01T00:00:00Z"), At("2026-12-01T00:00:00Z"), absl::UTCTimeZone(), 8).size() == 7);
}

TEST_CASE("ticks of times where the clocks change") {
  // An hour is left out, and another one comes twice.
  CHECK(LabelsOf(TimeTicks(At("2026-03-08T06:00:00Z"), At("2026-03-08T08:30:00Z"), Zone("America/New_York"), 6)) ==
        Labels{"01:00", "01:30", "03:00", "03:30", "04:00", "04:30"});
  const std::vector<AxisTick> twice =
      TimeTicks(At("2026-11-01T05:00:00Z"), At("2026-11-01T07:30:00Z"), Zone("America/New_York"), 6);
  for (size_t i = 1; i < twice.size(); ++i) CHECK(twice[i].at > twice[i - 1].at);
  CHECK(LabelsOf(twice) == Labels{"01:00", "01:30", "02:00", "02:30"});
}

TEST_CASE("ticks of times are never too many") {
  const int64_t start = At("2026-11-23T15:12:34Z");
  for (int64_t minutes = 1; minutes <= 30 * 1440; minutes = minutes * 11 / 10 + 1) {
    INFO(minutes);
    const size_t count = TimeTicks(start, start + minutes * 60'000'000, absl::UTCTimeZone(), 8).size();
    CHECK(count <= 8);
    CHECK(count >= 1);
  }
}

TEST_CASE("a price is written with the user's decimals, rounded half to even, or exactly") {
  CHECK(PriceLabel(150'000'000, std::nullopt) == "150.00");
  CHECK(PriceLabel(150'125'000, std::nullopt) == "150.125");
  CHECK(PriceLabel(100, std::nullopt) == "0.0001");
  CHECK(PriceLabel(1'000'000'000'000'000'000, std::nullopt) == "1000000000000.00");
  CHECK(PriceLabel(150'125'000, 2) == "150.12");
  CHECK(PriceLabel(150'135'000, 2) == "150.14");
  CHECK(PriceLabel(150'125'001, 2) == "150.13");
  CHECK(PriceLabel(150'124'999, 2) == "150.12");
  CHECK(PriceLabel(999'999, 0) == "1");
  CHECK(PriceLabel(500'000, 0) == "0");
  CHECK(PriceLabel(1'500'000, 0) == "2");
  CHECK(PriceLabel(150'125'000, 6) == "150.125000");
}

TEST_CASE("labels that would overlap make room for each other, and stay within their bounds") {
  using Places = std::vector<double>;
  CHECK(SpreadLabels({}, 10, 0, 100).empty());
  CHECK(SpreadLabels({50, 20}, 10, 0, 100) == Places{50, 20});
  CHECK(SpreadLabels({50, 50}, 10, 0, 100) == Places{45, 55});
  CHECK(SpreadLabels({52, 50}, 10, 0, 100) == Places{56, 46});
  CHECK(SpreadLabels({50, 40, 45}, 10, 0, 100) == Places{55, 35, 45});
  // The third one meets the first two only once they have moved apart.
  CHECK(SpreadLabels({50, 50, 56}, 10, 0, 100) == Places{42, 52, 62});
  CHECK(SpreadLabels({1, 0, 100}, 10, 0, 100) == Places{10, 0, 100});
  CHECK(SpreadLabels({100, 99}, 10, 0, 100) == Places{100, 90});
}

}  // namespace
}  // namespace stockalert::notifier
