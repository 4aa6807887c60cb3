// Keys are changed on a real Postgres.
#include "services/tools/migrate/rotate_secrets.h"

#include <catch2/catch.hpp>
#include <cstdio>
#include <fstream>

#include <soci/soci.h>
#include "absl/strings/str_cat.h"

#include "services/common/base/ids.h"
#include "services/common/postgres/transaction.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::migrate {
namespace {

constexpr char kOldKey[] = "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
constexpr char kNewKey[] = "k2 HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

secrets::SecretBox Box(const std::string& text) { return *secrets::SecretBox::FromText(text); }

struct Rotation {
  Rotation() {
    database.Migrate("notifier");
    // What is not of interest here is empty.
    database.Execute(
        "DO $$ DECLARE c record; BEGIN FOR c IN SELECT column_name FROM information_schema.columns "
        "WHERE table_schema = 'stockalert_notifier' AND table_name = 'destinations' AND data_type = 'text' "
        "AND is_nullable = 'NO' AND column_default IS NULL LOOP EXECUTE format('ALTER TABLE "
        "stockalert_notifier.destinations ALTER COLUMN %I SET DEFAULT %L', c.column_name, ''); END LOOP; END $$");
  }

  // An empty `previous` stays empty.
  std::string Insert(const secrets::SecretBox& box, const std::string& previous, int disable_reason = 0) {
    const std::string id = base::SystemIdSource().NewUuid();
    database.Execute(absl::StrCat(
        "INSERT INTO stockalert_notifier.destinations (id, user_id, kind, is_default, state, disable_reason, "
        "sealed_secrets, sealed_previous_secrets, create_time_us, update_time_us, version) VALUES ('",
        id, "', '", id, "', 1, true, 2, ", disable_reason, ", '", box.Seal("secret " + id, id), "', '",
        previous.empty() ? "" : box.Seal(previous, id), "', 7, 8, 9)"));
    database.Execute(absl::StrCat("INSERT INTO stockalert_notifier.delivery_lanes (destination_id, user_id, due_us) ",
                                  "VALUES ('", id, "', '", id, "', 0)"));
    return id;
  }
  std::string Read(const std::string& column, const std::string& id) {
    const auto text = postgres::Read(*pool, "test.read", [&](postgres::Connection& connection) {
      std::string value;
      connection.sql() << absl::StrCat("SELECT ", column, " FROM stockalert_notifier.destinations WHERE id = '", id,
                                       "'"),
          soci::into(value);
      return absl::StatusOr<std::string>(value);
    });
    return text.value();
  }

  testing::TestDatabase database;
  std::unique_ptr<postgres::Pool> pool = database.NewPool();
};

TEST_CASE("all secrets are encrypted with the first key, and their texts stay") {
  Rotation rotation;
  const auto old_box = Box(kOldKey), both = Box(absl::StrCat(kNewKey, kOldKey)), new_box = Box(kNewKey);
  std::vector<std::string> ids;
  for (int i = 0; i < 25; ++i) ids.push_back(rotation.Insert(old_box, i % 2 == 0 ? "before" : ""));
  const std::string current = rotation.Insert(new_box, "");
  const std::string sealed = rotation.Read("sealed_secrets", current);
  const auto counts = RotateSecrets(*rotation.pool, both, /*batch=*/4);
  REQUIRE(counts.ok());
  CHECK(counts->rows == 26);
  CHECK(counts->resealed == 25);
  CHECK(counts->unreadable_count == 0);
  for (size_t i = 0; i < ids.size(); ++i) {
    CHECK(new_box.Open(rotation.Read("sealed_secrets", ids[i]), ids[i]).value() == "secret " + ids[i]);
    const std::string previous = rotation.Read("sealed_previous_secrets", ids[i]);
    if (i % 2 != 0) CHECK(previous.empty());
    if (i % 2 == 0) CHECK(new_box.Open(previous, ids[i]).value() == "before");
  }
  CHECK(rotation.Read("sealed_secrets", current) == sealed);  // It was not touched.
  // The settings did not change.
  CHECK(rotation.database.Count("SELECT count(*) FROM stockalert_notifier.destinations "
                                "WHERE update_time_us = 8 AND version = 9") == 26);
  const auto again = RotateSecrets(*rotation.pool, both, 4);
  REQUIRE(again.ok());
  CHECK(again->resealed == 0);
}

TEST_CASE("what an interrupted rotation left is done by the next one") {
  Rotation rotation;
  const auto old_box = Box(kOldKey), both = Box(absl::StrCat(kNewKey, kOldKey));
  for (int i = 0; i < 10; ++i) rotation.Insert(old_box, "");
  // The fourth update of a row fails, as if the connection had ended there.
  rotation.database.Execute(
      "CREATE SEQUENCE public.updates; CREATE FUNCTION public.stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "IF nextval('public.updates') > 4 THEN RAISE EXCEPTION 'stopped'; END IF; RETURN NEW; END $$; "
      "CREATE TRIGGER stop BEFORE UPDATE ON stockalert_notifier.destinations FOR EACH ROW "
      "EXECUTE FUNCTION public.stop()");
  CHECK_FALSE(RotateSecrets(*rotation.pool, both, /*batch=*/2).ok());
  rotation.database.Execute("DROP TRIGGER stop ON stockalert_notifier.destinations");
  const auto counts = RotateSecrets(*rotation.pool, both, 2);
  REQUIRE(counts.ok());
  CHECK(counts->rows == 10);
  CHECK(counts->resealed == 6);
}

TEST_CASE("what no key of the file decrypts is left as it is, counted and named") {
  Rotation rotation;
  const auto old_box = Box(kOldKey), new_box = Box(kNewKey);
  const std::string unreadable = rotation.Insert(old_box, "");
  rotation.Insert(old_box, "", /*disable_reason=*/3);  // Lost, and disabled for that: nobody waits for it.
  const std::string fine = rotation.Insert(new_box, "");
  const std::string url = rotation.Read("sealed_secrets", unreadable);
  const auto counts = RotateSecrets(*rotation.pool, new_box, 10);
  REQUIRE(counts.ok());
  CHECK(counts->rows == 3);
  CHECK(counts->resealed == 0);
  CHECK(counts->lost == 1);
  CHECK(counts->unreadable_count == 1);
  CHECK(counts->unreadable == std::vector<std::string>{unreadable});
  REQUIRE(counts->causes.size() == 1);
  CHECK(counts->causes.begin()->first.find("k1") != std::string::npos);
  CHECK(rotation.Read("sealed_secrets", unreadable) == url);
  CHECK(new_box.Open(rotation.Read("sealed_secrets", fine), fine).ok());
}

TEST_CASE("the addresses of mails that wait are encrypted for their users") {
  Rotation rotation;
  rotation.database.Execute(
      "CREATE TABLE IF NOT EXISTS stockalert_notifier.code_mails (user_id uuid PRIMARY KEY, sealed_content text NOT "
      "NULL, expire_time_us bigint NOT NULL)");
  const auto old_box = Box(kOldKey), new_box = Box(kNewKey), both = Box(absl::StrCat(kNewKey, kOldKey));
  const std::string id = base::SystemIdSource().NewUuid();
  rotation.database.Execute(
      absl::StrCat("INSERT INTO stockalert_notifier.code_mails (user_id, sealed_content, expire_time_us) VALUES ('", id,
                   "', '", old_box.Seal("ada@example.com", id), "', 1)"));
  rotation.Insert(old_box, "");
  const auto counts = RotateSecrets(*rotation.pool, both, 10);
  INFO(counts.status());
  REQUIRE(counts.ok());
  CHECK(counts->resealed == 2);
  const auto text = postgres::Read(*rotation.pool, "test.read", [&](postgres::Connection& connection) {
    std::string value;
    connection.sql() << "SELECT sealed_content FROM stockalert_notifier.code_mails", soci::into(value);
    return absl::StatusOr<std::string>(value);
  });
  CHECK(new_box.Open(*text, id).value() == "ada@example.com");
}

TEST_CASE("secrets in a table that this version does not know stop the rotation") {
  Rotation rotation;
  rotation.database.Execute("CREATE TABLE stockalert_notifier.later (id uuid, sealed_token text)");
  const auto counts = RotateSecrets(*rotation.pool, Box(kOldKey), 10);
  CHECK(absl::IsFailedPrecondition(counts.status()));
  CHECK(std::string(counts.status().message()).find("later") != std::string::npos);
}

TEST_CASE("the command refuses to begin without keys, and says what became of it") {
  Rotation rotation;
  const std::string keys = absl::StrCat("/tmp/", testing::UniqueName("keys"));
  const std::string url_file = absl::StrCat("/tmp/", testing::UniqueName("url"));
  const std::string& database = rotation.database.url();
  std::ofstream(url_file) << database << (database.find('?') == std::string::npos ? '?' : '&') << "sslmode=disable";
  const std::string url = absl::StrCat("--postgres_url_file=", url_file);
  const std::string file = absl::StrCat("--delivery_keys_file=", keys);
  const char* arguments[] = {"rotate-secrets", url.c_str(), file.c_str()};
  CHECK(RunRotateSecrets(2, arguments) == 2);  // No file is named.
  CHECK(RunRotateSecrets(3, arguments) == 2);  // It is not there.
  std::ofstream(keys) << kNewKey;
  CHECK(RunRotateSecrets(3, arguments) == 0);
  rotation.Insert(Box(kOldKey), "");
  CHECK(RunRotateSecrets(3, arguments) == 1);
  std::ofstream(keys) << kNewKey << kOldKey;
  CHECK(RunRotateSecrets(3, arguments) == 0);
  std::remove(keys.c_str());
  std::remove(url_file.c_str());
}

}  // namespace
}  // namespace stockalert::migrate
