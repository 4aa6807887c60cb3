#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "services/tools/client/quiet_hours.h"
#include "tests/unit/tools/client/fake_mesh.h"

namespace stockalert::client {
namespace {

using Args = std::vector<std::string>;

struct Mesh {
  FakeMesh mesh;
  Home home;
  Mesh() {
    home.Use(mesh);
    home.variables["STOCKALERT_API_KEY"] = kKey;
  }
  Ran Run(Args args) {
    args.insert(args.begin(), {"notifications", "settings"});
    return home.Run(args);
  }
};

bool Says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST_CASE("quiet hours are read and written with the days on which they begin") {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"22:00-07:00", "22:00-07:00"},
      {" mon  22:00-07:00", "mon 22:00-07:00"},
      {"Mon-Wed,sun 22:00-07:00", "mon,tue,wed,sun 22:00-07:00"},
      {"sat-mon 0:00-x", "sat,sun,mon 0:00-x"},  // The mesh refuses those times.
  };
  for (const auto& [text, shown] : table) {
    const auto hours = ParseQuietHours(text);
    REQUIRE(hours.ok());
    CHECK(FormatQuietHours(*hours) == shown);
  }
  for (const char* text : {"", "mon", "22:00", "mon 22:00", "xyz 22:00-07:00", "mon-tue-wed 22:00-07:00", "mon, 1-2",
                           "mon tue 22:00-07:00", "22:00-07:00-08:00"})
    CHECK_FALSE(ParseQuietHours(text).ok());
}

TEST_CASE("settings are shown as a page") {
  Mesh mesh;
  const Ran ran = mesh.Run({"show"});
  CHECK(ran.code == 0);
  CHECK(Says(ran.out, "Europe/Berlin"));
  CHECK(Says(ran.out, "sat,sun 22:00-09:00"));
  CHECK(Says(ran.out, "all"));
}

TEST_CASE("an update names what its flags give, and no more") {
  Mesh mesh;
  CHECK(mesh.Run({"update", "--quiet_hours", "22:00-07:00", "--quiet_hours", "sat,sun 07:00-09:00", "--etag", "e"})
            .code == 0);
  CHECK(mesh.Run({"update", "--time_zone", "UTC", "--price_decimals", "2"}).code == 0);
  CHECK(mesh.Run({"update", "--price_decimals", "all", "--no_quiet_hours"}).code == 0);
  const auto changes = mesh.mesh.settings_changes();
  REQUIRE(changes.size() == 3);
  CHECK(changes[0].settings().name() == "users/me/notificationSettings");
  CHECK(changes[0].settings().etag() == "e");
  CHECK(changes[0].settings().quiet_hours_size() == 2);
  CHECK(changes[0].settings().quiet_hours(1).days_size() == 2);
  CHECK(changes[0].update_mask().ShortDebugString() == "paths: \"quiet_hours\"");
  CHECK(changes[1].settings().price_decimals() == 2);
  CHECK(changes[1].update_mask().paths_size() == 2);
  CHECK(!changes[2].settings().has_price_decimals());
  CHECK(changes[2].settings().quiet_hours().empty());
  CHECK(changes[2].update_mask().paths_size() == 2);
}

TEST_CASE("what is wrong with settings is told by its flag") {
  Mesh mesh;
  for (const Args& args :
       {Args{"update"}, Args{"update", "--quiet_hours", "late"}, Args{"update", "--price_decimals", "x"},
        Args{"update", "--quiet_hours", "22:00-07:00", "--no_quiet_hours"}})
    CHECK(mesh.Run(args).code == 2);
  const Ran ran = mesh.Run({"update", "--time_zone", "Mars"});
  CHECK(ran.code == 5);
  CHECK(Says(ran.err, "--time_zone: must be a name"));
}

TEST_CASE("a destination's number within a minute is given on creation and by updates") {
  Mesh mesh;
  CHECK(mesh.home.Run({"destination", "create", "webhook", "--url", "https://hooks.example.com/1", "--per_minute", "7"})
            .code == 0);
  CHECK(mesh.home.Run({"destination", "update", "users/1/destinations/d", "--per_minute", "600"}).code == 0);
  CHECK(mesh.mesh.created_destinations().back().destination().notifications_per_minute_max() == 7);
  const auto changes = mesh.mesh.destination_changes();
  REQUIRE(changes.size() == 1);
  CHECK(changes[0].destination().notifications_per_minute_max() == 600);
  CHECK(changes[0].update_mask().ShortDebugString() == "paths: \"notifications_per_minute_max\"");
  CHECK(mesh.home.Run({"destination", "update", "d", "--per_minute", "60001"}).code == 2);
}

}  // namespace
}  // namespace stockalert::client
