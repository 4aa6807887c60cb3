#include "services/notifier/settings/settings_logic.h"

#include <catch2/catch.hpp>

#include "services/common/base/error.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/settings_store/in_memory_settings_store.h"

namespace stockalert::notifier {
namespace {

constexpr char kUser[] = "11111111-1111-4111-8111-111111111111";

SettingsUpdate Quiet(std::vector<AskedQuietHours> hours) {
  SettingsUpdate update;
  update.quiet_hours = std::move(hours);
  return update;
}

SettingsUpdate Zone(const std::string& zone) {
  SettingsUpdate update;
  update.time_zone = zone;
  return update;
}

SettingsUpdate Decimals(std::optional<int> decimals) {
  SettingsUpdate update;
  update.price_decimals = decimals;
  return update;
}

std::vector<std::string> FieldsOf(const absl::Status& status) {
  std::vector<std::string> fields;
  if (const auto details = base::FindErrorDetails(status)) {
    for (const auto& violation : details->violations) fields.push_back(violation.field);
  }
  return fields;
}

TEST_CASE("an update changes what it names, and an empty value is that of the beginning") {
  NotificationSettings settings;
  REQUIRE(ApplyUpdate(Zone("Europe/Berlin"), settings).ok());
  REQUIRE(ApplyUpdate(Decimals(3), settings).ok());
  REQUIRE(ApplyUpdate(Quiet({{{7, 1}, "22:00", "07:30"}}), settings).ok());
  CHECK(settings.time_zone == "Europe/Berlin");
  CHECK(settings.price_decimals == 3);
  CHECK(settings.quiet_hours == std::vector<QuietHours>{{{1, 7}, 1320, 450}});
  REQUIRE(ApplyUpdate({}, settings).ok());
  CHECK(settings.price_decimals == 3);
  REQUIRE(ApplyUpdate(Zone(""), settings).ok());
  REQUIRE(ApplyUpdate(Decimals(std::nullopt), settings).ok());
  REQUIRE(ApplyUpdate(Quiet({}), settings).ok());
  CHECK(settings == NotificationSettings());
}

TEST_CASE("each mistake names its field, all at once") {
  struct Case {
    SettingsUpdate update;
    std::vector<std::string> fields;
  };
  const AskedQuietHours good{{}, "22:00", "07:00"};
  SettingsUpdate several = Quiet({good, {{8}, "7:00", "24:00"}});
  several.time_zone = "Mars";
  several.price_decimals = 7;
  const Case cases[] = {
      {Zone("libc:UTC"), {"settings.time_zone"}},
      {Decimals(-1), {"settings.price_decimals"}},
      {Decimals(7), {"settings.price_decimals"}},
      {Quiet({good, good, {{}, "22:00", ""}}), {"settings.quiet_hours[2].end_time"}},
      {Quiet({{{}, "22", "07:00"}}), {"settings.quiet_hours[0].start_time"}},
      {Quiet({{{0}, "22:00", "07:00"}}), {"settings.quiet_hours[0].days"}},
      {Quiet({{{3, 3}, "22:00", "07:00"}}), {"settings.quiet_hours[0].days"}},
      {Quiet(std::vector<AskedQuietHours>(15, good)), {"settings.quiet_hours"}},
      {Quiet({{{}, "00:00", "00:00"}}), {"settings.quiet_hours"}},
      {several,
       {"settings.time_zone", "settings.price_decimals", "settings.quiet_hours[1].days",
        "settings.quiet_hours[1].start_time", "settings.quiet_hours[1].end_time"}},
  };
  for (const Case& one : cases) {
    NotificationSettings settings;
    CHECK(FieldsOf(ApplyUpdate(one.update, settings)) == one.fields);
  }
  NotificationSettings settings;
  CHECK(ApplyUpdate(Quiet(std::vector<AskedQuietHours>(14, good)), settings).ok());
}

TEST_CASE("a change is stored and told, unless it is refused") {
  testing::InMemorySettingsStore store;
  testing::FakeClock clock;
  int told = 0;
  SettingsLogic logic(store, clock, [&] { ++told; });
  const auto any = [](const NotificationSettings&) { return absl::OkStatus(); };
  CHECK(*logic.Get(kUser) == NotificationSettings());
  REQUIRE(logic.Update(kUser, Zone("UTC"), any).ok());
  CHECK(told == 1);
  CHECK(logic.Get(kUser)->time_zone == "UTC");
  const auto other = [](const NotificationSettings&) { return base::EtagMismatch(); };
  CHECK(base::ReasonOf(logic.Update(kUser, Zone("CET"), other).status()) == "ETAG_MISMATCH");
  CHECK(base::ReasonOf(logic.Update(kUser, Zone("x"), any).status()) == "INVALID_FIELD");
  CHECK(told == 1);
  CHECK(logic.Get(kUser)->time_zone == "UTC");
}

}  // namespace
}  // namespace stockalert::notifier
