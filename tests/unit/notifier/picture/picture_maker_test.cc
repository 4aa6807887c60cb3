#include "services/notifier/picture/picture_maker.h"

#include <catch2/catch.hpp>
#include <latch>
#include <thread>

#include "services/common/metrics/metrics.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/png/png.h"
#include "tests/support/sample_charts/sample_charts.h"
#include "tests/support/sample_charts/scripted_bars.h"

namespace stockalert::notifier {
namespace {

using testing::ScriptedBars;

ChartInput WithoutBars() {
  ChartInput chart = TargetChart();
  chart.bars.clear();
  return chart;
}

double Counted(const std::string& outcome) {
  return metrics::GetCounter("stockalert_notifier_pictures_total", "", {{"outcome", outcome}}).Value();
}

struct MakerFixture {
  explicit MakerFixture(const std::string& font_folder = kFontFolder)
      : maker(bars, ChartFont::Load(font_folder), clock) {}
  // The outcome that one more picture has.
  std::string Outcome() {
    const std::vector<std::string> names = {"drawn", "no_prices", "no_answer", "not_asked", "not_drawn", "no_font"};
    std::vector<double> before;
    for (const std::string& name : names) before.push_back(Counted(name));
    const std::optional<std::string> png = maker.Make(WithoutBars());
    std::string outcome;
    for (size_t i = 0; i < names.size(); ++i) outcome += Counted(names[i]) > before[i] ? names[i] : "";
    CHECK(png.has_value() == (outcome == "drawn"));
    return outcome;
  }
  void HasPrices() {
    bars.Answers([](const auto&) { return TargetChart().bars; });
  }
  void IsDown() {
    bars.Answers([](const auto&) { return absl::UnavailableError("no answer"); });
  }

  testing::FakeMonotonicClock clock;
  ScriptedBars bars;
  PictureMaker maker;
};

TEST_CASE("picture maker: draws the two hours before a trigger, and what came after it") {
  MakerFixture f;
  f.HasPrices();
  const ChartInput chart = WithoutBars();
  const std::optional<std::string> png = f.maker.Make(chart);
  REQUIRE(png);
  CHECK(testing::Png(*png).Count(ChartColors::kLine) > 500);
  const std::vector<ScriptedBars::Question> asked = {
      {"ACME", chart.trigger_us - 7'200'000'000, chart.trigger_us + 600'000'000, 240}};
  CHECK(f.bars.questions() == asked);
}

TEST_CASE("picture maker: without prices, or for a symbol that is gone, there is no picture") {
  MakerFixture f;
  CHECK(f.Outcome() == "no_prices");
  f.bars.Answers([](const auto&) { return absl::NotFoundError("no such ticker"); });
  CHECK(f.Outcome() == "no_prices");
  f.HasPrices();
  CHECK(f.Outcome() == "drawn");
}

TEST_CASE("picture maker: a ticker service that does not answer is asked every ten seconds, not for each mail") {
  MakerFixture f;
  f.IsDown();
  CHECK(f.Outcome() == "no_answer");
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 5; ++i) CHECK(f.Outcome() == "not_asked");
    f.clock.Advance(PictureMaker::kPause - absl::Microseconds(1));
    CHECK(f.Outcome() == "not_asked");
    f.clock.Advance(absl::Microseconds(1));
    CHECK(f.Outcome() == "no_answer");
  }
  CHECK(f.bars.questions().size() == 4);
  f.clock.Advance(PictureMaker::kPause);
  f.HasPrices();
  CHECK(f.Outcome() == "drawn");
  CHECK(f.Outcome() == "drawn");
}

TEST_CASE("picture maker: after a pause one mail asks, and the others do not wait for it") {
  MakerFixture f;
  f.IsDown();
  CHECK(f.Outcome() == "no_answer");
  f.clock.Advance(PictureMaker::kPause);
  std::latch asked(1), may_answer(1);
  f.bars.Answers([&](const auto&) -> ScriptedBars::Answer {
    asked.count_down();
    may_answer.wait();
    return TargetChart().bars;
  });
  std::optional<std::string> png;
  std::thread one([&] { png = f.maker.Make(WithoutBars()); });
  asked.wait();
  CHECK(f.Outcome() == "not_asked");
  may_answer.count_down();
  one.join();
  CHECK(png);
  CHECK(f.bars.questions().size() == 2);
  CHECK(f.Outcome() == "drawn");
}

TEST_CASE("picture maker: without a font nobody is asked") {
  MakerFixture f("/nonexistent");
  f.HasPrices();
  CHECK(f.Outcome() == "no_font");
  CHECK(f.bars.questions().empty());
}

}  // namespace
}  // namespace stockalert::notifier
