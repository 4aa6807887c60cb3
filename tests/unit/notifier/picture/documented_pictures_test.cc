// The pictures of docs/delivery.md, which are drawn here from prices that were made up. To write them anew:
//
//   STOCKALERT_WRITE_PICTURES=1 ctest --test-dir build/dev -R unit/notifier_price_chart
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "services/notifier/picture/price_chart.h"
#include "tests/support/png/png.h"
#include "tests/support/sample_charts/sample_charts.h"

namespace stockalert::notifier {
namespace {

// Of 256; other versions of cairo and FreeType smooth edges a little differently.
constexpr int kDifferenceMax = 32;

int Difference(unsigned a, unsigned b) {
  int most = 0;
  for (const int shift : {0, 8, 16})
    most = std::max(most, std::abs(static_cast<int>((a >> shift) & 0xff) - static_cast<int>((b >> shift) & 0xff)));
  return most;
}

TEST_CASE("the pictures of the documentation are those that mails have") {
  const PriceChart chart(ChartFont::Load().value());
  for (const auto& [name, input] : {std::pair{"mail-target", TargetChart()}, {"mail-trailing", TrailingChart()}}) {
    const std::string path = std::string(STOCKALERT_PICTURES "/") + name + ".png";
    INFO(path);
    const absl::StatusOr<std::string> drawn = chart.Draw(input);
    REQUIRE(drawn.ok());
    if (std::getenv("STOCKALERT_WRITE_PICTURES") != nullptr) std::ofstream(path, std::ios::binary) << *drawn;
    std::ifstream file(path, std::ios::binary);
    REQUIRE(file);
    const testing::Png shown(std::string(std::istreambuf_iterator<char>(file), {}));
    const testing::Png now(*drawn);
    REQUIRE(shown.width() == now.width());
    REQUIRE(shown.height() == now.height());
    int different = 0;
    for (int y = 0; y < now.height(); ++y) {
      for (int x = 0; x < now.width(); ++x)
        different += Difference(shown.At(x, y), now.At(x, y)) > kDifferenceMax ? 1 : 0;
    }
    CHECK(different * 1000 < now.width() * now.height());
  }
}

}  // namespace
}  // namespace stockalert::notifier
