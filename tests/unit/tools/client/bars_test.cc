// The command `bars` and its picture.
#include <catch2/catch.hpp>
#include <sstream>

#include "services/tools/client/bar_picture.h"
#include "tests/unit/tools/client/fake_mesh.h"

namespace stockalert::client {
namespace {

// Of closing prices, oldest first.
std::vector<ticker_v1::Bar> Bars(const std::vector<std::string>& closes) {
  std::vector<ticker_v1::Bar> bars(closes.size());
  for (size_t i = 0; i < closes.size(); ++i) {
    bars[closes.size() - 1 - i].set_close(closes[i]);
    bars[closes.size() - 1 - i].mutable_start_time()->set_seconds(1'767'366'000 + static_cast<int64_t>(i) * 60);
  }
  return bars;
}

TEST_CASE("a sparkline goes from the lowest to the highest, oldest first, in no more columns than there are") {
  CHECK(Sparkline({}, 10).empty());
  CHECK(Sparkline(Bars({"1", "2", "3", "4", "5", "6", "7", "8"}), 10) == "▁▂▃▄▅▆▇█");
  CHECK(Sparkline(Bars({"3", "1", "2"}), 3) == "█▁▅");
  CHECK(Sparkline(Bars({"5", "5"}), 9) == "▅▅");
  CHECK(Sparkline(Bars({"1", "9", "1", "9"}), 2) == "▅▅");
  CHECK(Sparkline(Bars({"9", "1", "9", "2"}), 2) == "▁█");
  CHECK(Sparkline(Bars({"1", "2", "3"}), 0) == "▅");
  CHECK(Sparkline(Bars({"x", "1", "", "2", "-3"}), 9) == "▁█");
  CHECK(Sparkline(Bars(std::vector<std::string>(1000, "7")), 72).size() == 72 * std::string("▅").size());
}

TEST_CASE("a picture of bars says from what to what it goes, and is as wide as the terminal") {
  std::ostringstream out, err;
  Terminal terminal{out, err};
  CHECK(BarPicture(terminal, {}).empty());
  CHECK(BarPicture(terminal, Bars({"2.5", "1", "3"})) ==
        "▇▁█\nclosing prices from 2026-01-02 15:00:00Z to 2026-01-02 15:02:00Z, 1 to 3\n");
  terminal.columns = 30;
  const std::string picture = BarPicture(terminal, Bars(std::vector<std::string>(50, "7")));
  CHECK(WidthOf(picture.substr(0, picture.find('\n'))) == 30);
}

TEST_CASE("bars are listed as a table with a picture, or as JSON") {
  FakeMesh mesh;
  Home home;
  home.Use(mesh);
  home.variables["STOCKALERT_API_KEY"] = kKey;
  const Ran all = home.Run({"bars", "aapl"});
  CHECK(all.code == 0);
  CHECK(all.out ==
        "MINUTE                OPEN  HIGH   LOW  CLOSE\n"
        "2026-01-02 15:03:00Z   0.5     9  0.25      3\n"
        "2026-01-02 15:02:00Z   0.5     9  0.25      2\n"
        "2026-01-02 15:01:00Z   0.5     9  0.25      1\n"
        "\n▁▅█\nclosing prices from 2026-01-02 15:01:00Z to 2026-01-02 15:03:00Z, 1 to 3\n");
  const Ran one = home.Run({"bars", "AAPL", "--since", "2026-01-02T15:00:00Z"});
  CHECK(one.out.find("▁") == std::string::npos);
  const Ran json = home.Run({"--json", "bars", "AAPL", "--since", "2h"});
  CHECK(json.out ==
        "{\"startTime\":\"2026-01-02T15:03:00Z\",\"open\":\"0.5\",\"high\":\"9\",\"low\":\"0.25\",\"close\":\"3\"}\n");
  CHECK(home.Run({"bars"}).code == 2);
  const Ran wrong = home.Run({"bars", "AAPL", "--since", "yesterday"});
  CHECK(wrong.code == 2);
  CHECK(wrong.err.find("--since") != std::string::npos);
}

}  // namespace
}  // namespace stockalert::client
