// What the store of settings promises, held against memory and, where STOCKALERT_TEST_POSTGRES names a server, against
// Postgres.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <functional>
#include <iostream>

#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/notifier/postgres_notification_store.h"
#include "services/notifier/settings/postgres_settings_store.h"
#include "tests/support/settings_store/in_memory_settings_store.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::notifier {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;

std::string NewId() { return base::SystemIdSource().NewUuid(); }

using DeleteUser = std::function<void(const std::string& user)>;

void ForEachStore(const std::function<void(SettingsStore&, const DeleteUser&)>& test) {
  SECTION("in memory") {
    testing::InMemorySettingsStore store;
    test(store, [&](const std::string& user) { store.DeleteUser(user); });
  }
  if (std::getenv("STOCKALERT_TEST_POSTGRES") == nullptr) {
    std::cerr << "STOCKALERT_TEST_POSTGRES is not set: only the in-memory store is held to the contract\n";
    return;
  }
  SECTION("postgres") {
    const testing::TestDatabase database;
    database.Migrate("notifier");
    const auto pool = database.NewPool(4);
    PostgresSettingsStore store(*pool);
    PostgresNotificationStore notifications(*pool);
    test(store, [&](const std::string& user) {
      REQUIRE(notifications.StoreBatch({.notifications = {}, .deletions = {{user, kNow}}}, kNow).ok());
    });
  }
}

TEST_CASE("settings are as at first until they are changed, and then keep every field") {
  ForEachStore([](SettingsStore& store, const DeleteUser&) {
    const std::string user = NewId();
    CHECK(*store.Get(user) == NotificationSettings());
    NotificationSettings wanted;
    wanted.time_zone = "Europe/Berlin";
    wanted.price_decimals = 0;
    wanted.quiet_hours = {{.days = {}, .start_minute = 1320, .end_minute = 420},
                          {.days = {6, 7}, .start_minute = 0, .end_minute = 0}};
    const auto changed = store.Change(
        user,
        [&](NotificationSettings& settings) {
          settings = wanted;
          return absl::OkStatus();
        },
        kNow);
    REQUIRE(changed.ok());
    wanted.version = 1;
    CHECK(*changed == wanted);
    CHECK(*store.Get(user) == wanted);
    CHECK(*store.Get(NewId()) == NotificationSettings());
    // Back to all decimals and no quiet hours.
    const auto cleared = store.Change(
        user,
        [](NotificationSettings& settings) {
          settings.price_decimals.reset();
          settings.quiet_hours.clear();
          return absl::OkStatus();
        },
        kNow);
    REQUIRE(cleared.ok());
    CHECK(cleared->version == 2);
    CHECK(!store.Get(user)->price_decimals);
    CHECK(store.Get(user)->quiet_hours.empty());
    CHECK(store.Get(user)->time_zone == "Europe/Berlin");
  });
}

TEST_CASE("a change that changes nothing keeps the version, and a refused one writes nothing") {
  ForEachStore([](SettingsStore& store, const DeleteUser&) {
    const std::string user = NewId();
    CHECK(store.Change(user, [](NotificationSettings&) { return absl::OkStatus(); }, kNow)->version == 0);
    const auto refused = store.Change(
        user,
        [](NotificationSettings& settings) {
          settings.time_zone = "UTC";
          return base::EtagMismatch();
        },
        kNow);
    CHECK(base::ReasonOf(refused.status()) == "ETAG_MISMATCH");
    CHECK(*store.Get(user) == NotificationSettings());
  });
}

TEST_CASE("settings go with their user, and do not come back") {
  ForEachStore([](SettingsStore& store, const DeleteUser& delete_user) {
    const std::string user = NewId();
    const SettingsChange change = [](NotificationSettings& settings) {
      settings.time_zone = "UTC";
      return absl::OkStatus();
    };
    REQUIRE(store.Change(user, change, kNow).ok());
    delete_user(user);
    CHECK(*store.Get(user) == NotificationSettings());
    CHECK(base::ReasonOf(store.Change(user, change, kNow).status()) == "USER_NOT_FOUND");
  });
}

}  // namespace
}  // namespace stockalert::notifier
