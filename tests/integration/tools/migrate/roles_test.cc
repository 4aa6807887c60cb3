// Each role of the database against every table of the mesh, on a real Postgres: what is its own works, everything else
// is refused.
#include "services/tools/migrate/roles.h"

#include <libpq-fe.h>
#include <sys/wait.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/tools/migrate/migrate.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::migrate {
namespace {

constexpr char kRefused[] = "42501";

// A connection of its own. `Try` answers the SQLSTATE, and rolls back what it did.
class Session {
 public:
  explicit Session(const std::string& url) : connection_(PQconnectdb(url.c_str())) {}
  ~Session() { PQfinish(connection_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  bool connected() const { return PQstatus(connection_) == CONNECTION_OK; }
  std::string Try(const std::string& sql) {
    Run("BEGIN");
    const std::string state = Run(sql);
    Run("ROLLBACK");
    return state;
  }
  std::string Run(const std::string& sql) {
    PGresult* result = PQexec(connection_, sql.c_str());
    const ExecStatusType status = PQresultStatus(result);
    std::string state = "00000";
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
      const char* field = PQresultErrorField(result, PG_DIAG_SQLSTATE);
      state = field == nullptr ? "no connection" : field;
      error_ = PQresultErrorMessage(result);
    }
    rows_.clear();
    for (int row = 0; row < PQntuples(result); ++row) rows_.emplace_back(PQgetvalue(result, row, 0));
    PQclear(result);
    return state;
  }
  const std::vector<std::string>& rows() const { return rows_; }
  const std::string& error() const { return error_; }

 private:
  PGconn* connection_;
  std::vector<std::string> rows_;
  std::string error_;
};

// A migrated database with roles that only this test has, and files of their passwords.
class World {
 public:
  World() : tag_(testing::UniqueName("r")), passwords_(std::filesystem::temp_directory_path() / tag_) {
    std::filesystem::create_directory(passwords_);
    std::vector<std::string> names;
    for (const std::string& key : RoleKeys()) {
      names.push_back(absl::StrCat(key, "=", Role(key)));
      std::ofstream(passwords_ / key) << "password of " << Role(key) << "\n";
    }
    config.postgres_url = database.url();
    config.schema_dir = std::string(STOCKALERT_SOURCE_DIR) + "/services";
    config.postgres_role_names = absl::StrJoin(names, ",");
    config.postgres_role_passwords_dir = passwords_.string();
    config.postgres_roles = "required";
    REQUIRE(MigrateSchemas(*pool, config).ok());
  }
  ~World() {
    for (const std::string& key : RoleKeys()) {
      Session owner(database.url());
      owner.Run(absl::StrCat("DROP OWNED BY \"", Role(key), "\""));
      owner.Run(absl::StrCat("DROP ROLE \"", Role(key), "\""));
    }
    std::filesystem::remove_all(passwords_);
  }
  std::string Role(const std::string& key) const { return absl::StrCat(tag_, "_", key); }
  std::string Url(const std::string& key, const std::string& database_name = "") const {
    return As(Role(key), "password%20of%20" + Role(key), database_name);
  }
  // The same server, by another role.
  std::string As(const std::string& role, const std::string& password, const std::string& database_name = "") const {
    const std::string& url = database.url();
    const size_t at = url.find('@');
    std::string rest = url.substr(at);
    if (!database_name.empty()) rest = absl::StrCat(rest.substr(0, rest.find('/')), "/", database_name);
    return absl::StrCat("postgresql://", role, ":", password, rest);
  }
  std::map<std::string, std::string> names() const { return *ParseRoleNames(config.postgres_role_names); }
  std::vector<std::string> Rows(const std::string& sql) const {
    Session owner(database.url());
    REQUIRE(owner.Run(sql) == "00000");
    return owner.rows();
  }
  // "stockalert_user.users" and every other table of the mesh.
  std::vector<std::string> Tables() const {
    return Rows(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind = 'r' AND (n.nspname = 'mesh' OR n.nspname LIKE 'stockalert\\_%') ORDER BY 1");
  }
  std::string FirstColumn(const std::string& table) const {
    return Rows(absl::StrCat(
        "SELECT attname FROM pg_attribute WHERE attrelid = '", table,
        "'::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = '' ORDER BY attnum LIMIT 1"))[0];
  }

  testing::TestDatabase database;
  std::unique_ptr<postgres::Pool> pool = database.NewPool(2);
  Config config;

 private:
  const std::string tag_;
  const std::filesystem::path passwords_;
};

// The exit code of a shell's command, and what it said.
std::pair<int, std::string> RunShell(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");  // NOLINT(cert-env33-c): the test's own words.
  REQUIRE(pipe != nullptr);
  std::string said;
  std::array<char, 4096> buffer;
  while (const size_t size = fread(buffer.data(), 1, buffer.size(), pipe)) said.append(buffer.data(), size);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, said};
}

std::string SchemaOf(const std::string& table) { return table.substr(0, table.find('.')); }

// Every way to touch a table, none of which changes a row. A DELETE or UPDATE without a row needs the right all the
// same.
std::vector<std::pair<std::string, std::string>> Ways(const World& world, const std::string& table) {
  const std::string column = world.FirstColumn(table);
  return {{"SELECT", absl::StrCat("SELECT ", column, " FROM ", table, " LIMIT 1")},
          {"INSERT",
           absl::StrCat("INSERT INTO ", table, " (", column, ") SELECT ", column, " FROM ", table, " WHERE false")},
          {"UPDATE", absl::StrCat("UPDATE ", table, " SET ", column, " = ", column, " WHERE false")},
          {"DELETE", absl::StrCat("DELETE FROM ", table, " WHERE false")},
          {"TRUNCATE", absl::StrCat("TRUNCATE ", table)},
          {"DROP", absl::StrCat("DROP TABLE ", table)},
          {"ALTER", absl::StrCat("ALTER TABLE ", table, " ADD COLUMN more integer")},
          {"LOCK", absl::StrCat("LOCK TABLE ", table, " IN ACCESS EXCLUSIVE MODE")}};
}

TEST_CASE("a service's role works with the rows of its own schema, and is refused everything else") {
  World world;
  REQUIRE(MigrateRoles(*world.pool, world.config).ok());
  const std::vector<std::string> tables = world.Tables();
  REQUIRE(tables.size() > 15);
  std::set<std::string> schemas;
  for (const std::string& table : tables) schemas.insert(SchemaOf(table));
  REQUIRE(schemas.size() == 6);
  int refused = 0;
  for (const char* key : {"user", "ticker", "alert", "evaluator", "notifier"}) {
    Session session(world.Url(key));
    REQUIRE(session.connected());
    const std::string own = absl::StrCat("stockalert_", key);
    for (const std::string& table : tables) {
      const bool is_own = SchemaOf(table) == own;
      for (const auto& [way, sql] : Ways(world, table)) {
        const bool may =
            (is_own && (way == "SELECT" || way == "INSERT" || way == "UPDATE" || way == "DELETE" || way == "LOCK")) ||
            (std::string(key) == "evaluator" && table == "mesh.topics" && way == "SELECT");
        INFO(key << ": " << sql);
        const std::string state = session.Try(sql);
        CHECK(state == (may ? "00000" : kRefused));
        refused += may ? 0 : 1;
      }
    }
    for (const std::string& schema : schemas)
      CHECK(session.Try(absl::StrCat("CREATE TABLE ", schema, ".mine (a integer)")) == kRefused);
    CHECK(session.Try("CREATE TABLE public.mine (a integer)") == kRefused);
    CHECK(session.Try("CREATE TEMPORARY TABLE mine (a integer)") == kRefused);
    CHECK(session.Try("CREATE SCHEMA mine") == kRefused);
    CHECK(session.Try("CREATE ROLE mine") == kRefused);
    CHECK(session.Try(absl::StrCat("SET ROLE \"", world.Role("audit"), "\"")) == kRefused);
    CHECK(session.Try("SELECT pg_read_file('/etc/passwd')") == kRefused);
    CHECK(session.Try("COPY (SELECT 1) TO PROGRAM 'true'") == kRefused);
    CHECK(session.Try("SELECT rolpassword FROM pg_authid") == kRefused);
  }
  // An identity column's sequence comes along.
  Session user(world.Url("user"));
  CHECK(user.Try("INSERT INTO stockalert_user.outbox (user_id, delete_time_us, traceparent) VALUES (gen_random_uuid(), "
                 "1, '')") == "00000");
  std::printf("ways refused: %d\n", refused);
}

TEST_CASE("the audit's role reads what the audit reads, and writes nothing") {
  World world;
  REQUIRE(MigrateRoles(*world.pool, world.config).ok());
  Session session(world.Url("audit"));
  REQUIRE(session.connected());
  // The queries of scripts/audit.
  for (const char* sql :
       {"SELECT alert_id, trigger_number, revision, price_micros, event_time_us, price_before_micros, late, "
        "record_offset "
        "FROM stockalert_evaluator.triggers",
        "SELECT alert_id, number, revision, price_micros, event_time_us, price_before_micros, late, log_offset, "
        "withheld, throttled "
        "FROM stockalert_alert.triggers",
        "SELECT alert_id, trigger_number, price_micros, event_time_us, price_before_micros, late, "
        "CASE WHEN key IS NOT NULL THEN throttled END FROM stockalert_notifier.notifications WHERE kind = 1",
        "SELECT user_id, count(*) FILTER (WHERE throttled), sum(folded_count) FROM stockalert_notifier.notifications "
        "WHERE throttled OR kind = 2 GROUP BY user_id",
        "SELECT DISTINCT t.alert_id FROM stockalert_evaluator.triggers t JOIN stockalert_alert.alerts a ON a.id = "
        "t.alert_id "
        "JOIN stockalert_alert.owners o ON o.user_id = a.user_id WHERE o.deleted UNION SELECT DISTINCT t.alert_id "
        "FROM stockalert_evaluator.triggers t WHERE NOT EXISTS (SELECT FROM stockalert_alert.alerts a WHERE a.id = "
        "t.alert_id)",
        "SELECT d.id, d.is_default, d.state, d.verify_time_us, d.disable_time_us, v.last_error, v.schedule_count, "
        "a.number, "
        "a.http_status, l.due_us, l.lease_until_us, n.sequence FROM stockalert_notifier.destinations d "
        "JOIN stockalert_notifier.deliveries v ON v.destination_id = d.id "
        "JOIN stockalert_notifier.delivery_attempts a ON a.delivery_id = v.id "
        "JOIN stockalert_notifier.delivery_lanes l ON l.destination_id = d.id "
        "JOIN stockalert_notifier.notifications n ON n.id = v.notification_id",
        "SELECT a.delivery, a.destination_ids, a.critical, n.critical, n.rerouted, n.destination_id "
        "FROM stockalert_notifier.notifications n JOIN stockalert_alert.triggers t ON t.alert_id = n.alert_id "
        "JOIN stockalert_alert.alerts a ON a.id = t.alert_id AND a.revision = t.revision",
        "SELECT symbol, number, numerator, denominator FROM stockalert_alert.splits",
        "SELECT symbol, number, create_time_us FROM stockalert_alert.split_tellings",
        "SELECT s.create_time_us, a.symbol, a.deleted, a.triggered, a.expire_time_us, a.splits_applied, "
        "n.symbol, n.split FROM stockalert_alert.splits s JOIN stockalert_alert.alerts a ON a.symbol = s.symbol "
        "JOIN stockalert_notifier.notifications n ON n.symbol = s.symbol",
        "SELECT symbol, number, numerator, denominator FROM stockalert_ticker.splits WHERE log_offset IS NOT NULL"}) {
    CHECK(session.Try(sql) == "00000");
  }
  for (const std::string& table : world.Tables()) {
    for (const auto& [way, sql] : Ways(world, table)) {
      if (way == "SELECT") continue;
      INFO(sql);
      CHECK(session.Try(sql) == kRefused);
    }
  }
  for (const char* sql :
       {"SELECT email FROM stockalert_user.users", "SELECT secret_sha256 FROM stockalert_user.api_keys",
        "SELECT note FROM stockalert_alert.alerts", "SELECT note FROM stockalert_notifier.notifications",
        "SELECT sealed_secrets FROM stockalert_notifier.destinations",
        "SELECT sealed_settings FROM stockalert_notifier.destinations",
        "SELECT sealed_code FROM stockalert_notifier.destinations",
        "SELECT address_shown FROM stockalert_notifier.destinations",
        "SELECT shown_settings FROM stockalert_notifier.destinations",
        "SELECT sealed_content FROM stockalert_notifier.code_mails",
        "SELECT answer FROM stockalert_notifier.delivery_attempts",
        "SELECT challenge FROM stockalert_notifier.deliveries", "SELECT state FROM stockalert_evaluator.checkpoints",
        "SELECT symbol FROM stockalert_ticker.tickers"}) {
    INFO(sql);
    CHECK(session.Try(sql) == kRefused);
  }
}

TEST_CASE("the maintenance's role runs deploy/retention.sql, and does nothing else") {
  World world;
  REQUIRE(MigrateRoles(*world.pool, world.config).ok());
  // As it is documented: by psql, with the role's own password.
  const std::string command = absl::StrCat("psql -X -q '", world.Url("maintenance"), "' -v kept_days=90 -f ",
                                           STOCKALERT_SOURCE_DIR, "/deploy/retention.sql >/dev/null");
  CHECK(std::system(command.c_str()) == 0);  // NOLINT(cert-env33-c): the test's own words.
  Session session(world.Url("maintenance"));
  REQUIRE(session.connected());
  // Whole tables, column by column: what retention.sql names, and no more.
  const std::set<std::string> deletes = {"stockalert_evaluator.triggers",
                                         "stockalert_alert.triggers",
                                         "stockalert_notifier.notifications",
                                         "stockalert_notifier.deliveries",
                                         "stockalert_notifier.delivery_attempts",
                                         "stockalert_notifier.destinations",
                                         "stockalert_notifier.delivery_lanes",
                                         "stockalert_user.requests",
                                         "stockalert_ticker.bars"};
  for (const std::string& table : world.Tables()) {
    const bool dead_letters = table.ends_with(".dead_letters");
    for (const auto& [way, sql] : Ways(world, table)) {
      if (way == "SELECT" || (dead_letters && (way == "INSERT" || way == "UPDATE" || way == "DELETE" || way == "LOCK")))
        continue;
      const bool may = deletes.contains(table) && (way == "DELETE" || way == "LOCK");
      INFO(sql);
      CHECK(session.Try(sql) == (may ? "00000" : kRefused));
    }
  }
  for (const char* sql :
       {"SELECT email FROM stockalert_user.users", "SELECT secret_sha256 FROM stockalert_user.api_keys",
        "SELECT user_id FROM stockalert_user.api_keys", "SELECT note FROM stockalert_alert.alerts",
        "UPDATE stockalert_alert.alerts SET note = ''", "UPDATE stockalert_alert.alerts SET paused = true",
        "SELECT price_micros FROM stockalert_alert.triggers", "SELECT summary FROM stockalert_notifier.notifications",
        "SELECT sealed_settings FROM stockalert_notifier.destinations",
        "SELECT answer FROM stockalert_notifier.delivery_attempts",
        "SELECT state FROM stockalert_evaluator.checkpoints", "SELECT symbol FROM stockalert_ticker.tickers",
        "SELECT close_micros FROM stockalert_ticker.bars", "CREATE TABLE stockalert_alert.mine (a integer)",
        "CREATE TABLE public.mine (a integer)"}) {
    INFO(sql);
    CHECK(session.Try(sql) == kRefused);
  }
}

TEST_CASE("deploy/retention.sql forgets deliveries with their attempts, and never what is still queued or held") {
  World world;
  REQUIRE(MigrateRoles(*world.pool, world.config).ok());
  Session owner(world.database.url());
  // Of old and new ones, by the last letter of their ids: 1 an old one that ended, 2 an old one that is queued, 3 a new
  // one, 4 an old one that is held, 5 an old one that 3 is a digest of.
  const auto id = [](char kind, int number) {
    return absl::StrCat("'", std::string(1, kind), "0000000-0000-4000-8000-00000000000", number, "'");
  };
  const std::map<int, std::string> states = {{1, "3, NULL, NULL"},
                                             {2, "1, 5, NULL"},
                                             {3, "3, NULL, NULL"},
                                             {4, "5, NULL, NULL"},
                                             {5, "6, NULL, " + id('a', 3)}};
  for (int number = 1; number <= 5; ++number) {
    const char* time = number == 3 ? "9000000000000000" : "5";
    REQUIRE(
        owner.Run(absl::StrCat(
            "INSERT INTO stockalert_notifier.notifications (id, user_id, sequence, alert_id, trigger_number, symbol, "
            "price_micros, event_time_us, late, summary, note, traceparent, create_time_us) VALUES (",
            id('a', number), ", ", id('b', 1), ", ", number, ", ", id('c', 1), ", ", number,
            ", 'X', 1, 1, false, '', '', '', ", time, ")")) == "00000");
    REQUIRE(owner.Run(
                absl::StrCat("INSERT INTO stockalert_notifier.deliveries (id, user_id, destination_id, "
                             "notification_id, kind, state, next_attempt_time_us, digest_id, create_time_us) VALUES (",
                             id('d', number), ", ", id('b', 1), ", ", id('e', number), ", ", id('a', number), ", 1, ",
                             states.at(number), ", ", time, ")")) == "00000");
    REQUIRE(owner.Run(absl::StrCat("INSERT INTO stockalert_notifier.delivery_attempts VALUES (", id('d', number),
                                   ", 1, 5, 5, 500, '', '')")) == "00000");
    REQUIRE(
        owner.Run(absl::StrCat(
            "INSERT INTO stockalert_notifier.destinations (id, user_id, kind, display_name, is_default, state, host, "
            "address_shown, shown_settings, public_key, sealed_settings, sealed_secrets, sealed_previous_secrets, "
            "create_time_us, update_time_us, delete_time_us) VALUES (",
            id('e', number), ", ", id('b', 1), ", 1, '', true, 2, '', '', '', '', '', '', '', 5, 5, 5)")) == "00000");
    REQUIRE(owner.Run(absl::StrCat("INSERT INTO stockalert_notifier.delivery_lanes (destination_id, user_id, due_us) "
                                   "VALUES (",
                                   id('e', number), ", ", id('b', 1), ", 5)")) == "00000");
  }
  const std::string command = absl::StrCat("psql -X -q '", world.Url("maintenance"), "' -v kept_days=90 -f ",
                                           STOCKALERT_SOURCE_DIR, "/deploy/retention.sql >/dev/null");
  REQUIRE(std::system(command.c_str()) == 0);  // NOLINT(cert-env33-c): the test's own words.
  for (const auto& [table, column] : std::map<std::string, std::string>{{"notifications", "id"},
                                                                        {"deliveries", "id"},
                                                                        {"delivery_attempts", "delivery_id"},
                                                                        {"destinations", "id"},
                                                                        {"delivery_lanes", "destination_id"}}) {
    INFO(table);
    CHECK(world.Rows(
              absl::StrCat("SELECT right(", column, "::text, 1) FROM stockalert_notifier.", table, " ORDER BY 1")) ==
          (table == "notifications" ? std::vector<std::string>{"2", "3", "4"}
                                    : std::vector<std::string>{"2", "3", "4", "5"}));
  }
}

TEST_CASE("deploy/retention.sql forgets bars of minutes that are long ago, after as many days as it is told") {
  World world;
  REQUIRE(MigrateRoles(*world.pool, world.config).ok());
  Session owner(world.database.url());
  for (const int days_ago : {0, 2, 29, 31}) {
    REQUIRE(
        owner.Run(absl::StrCat("INSERT INTO stockalert_ticker.bars SELECT 'AAPL', CAST(extract(epoch FROM now()) - ",
                               days_ago, " * 86400 AS bigint) * 1000000, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1")) == "00000");
  }
  const auto left_after = [&](const std::string& given) {
    const std::string command = absl::StrCat("psql -X -q '", world.Url("maintenance"), "' -v kept_days=90 ", given,
                                             " -f ", STOCKALERT_SOURCE_DIR, "/deploy/retention.sql >/dev/null 2>&1");
    const int exit = std::system(command.c_str());  // NOLINT(cert-env33-c): the test's own words.
    return std::pair(exit == 0, world.database.Count("SELECT count(*) FROM stockalert_ticker.bars"));
  };
  for (const char* bad : {"-v kept_bar_days=0", "-v kept_bar_days=1d", "-v kept_bar_days=", "-v kept_bar_days=-1"}) {
    INFO(bad);
    CHECK(left_after(bad) == std::pair(false, int64_t{4}));
  }
  CHECK(left_after("") == std::pair(true, int64_t{3}));
  CHECK(left_after("-v kept_bar_days=1") == std::pair(true, int64_t{1}));
}

TEST_CASE("deploy/retention.sql says in a sentence what it wants to be told, and touches nothing before") {
  const testing::TestDatabase database;  // It has none of the tables.
  for (const std::string given : {"", "-v kept_day=90", "-v kept_days", "-v kept_days=", "-v kept_days=13",
                                  "-v kept_days=-90", "-v kept_days=90.5", "-v kept_days=90d", "-v kept_days=1000000",
                                  "-v \"kept_days='90'\"", "-v 'kept_days=90; SELECT 1'"}) {
    INFO(given);
    const auto [code, said] = RunShell(absl::StrCat("psql -X '", database.url(), "' ", given, " -f ",
                                                    STOCKALERT_SOURCE_DIR, "/deploy/retention.sql 2>&1"));
    CHECK(code == 3);  // psql's, of a script that was stopped.
    CHECK_THAT(said,
               Catch::Matches(
                   "psql:[^\n]*: ERROR:  retention: kept_days must be a whole number of days, at least 14 [^\n]*\n"));
  }
}

TEST_CASE("a table of a later migration is covered before anybody runs the roles again, and drift is taken back") {
  World world;
  REQUIRE(MigrateRoles(*world.pool, world.config).ok());
  world.database.Execute("CREATE TABLE stockalert_alert.later (id bigint GENERATED BY DEFAULT AS IDENTITY, b serial)");
  Session alert(world.Url("alert"));
  CHECK(alert.Try("INSERT INTO stockalert_alert.later DEFAULT VALUES") == "00000");
  Session ticker(world.Url("ticker"));
  CHECK(ticker.Try("SELECT * FROM stockalert_alert.later") == kRefused);

  world.database.Execute(
      absl::StrCat("GRANT USAGE ON SCHEMA stockalert_user TO PUBLIC; GRANT SELECT ON stockalert_user.users TO \"",
                   world.Role("ticker"), "\""));
  REQUIRE(ticker.Try("SELECT email FROM stockalert_user.users") == "00000");
  CHECK(CheckRoles(*world.pool, world.names()).value().size() == 1);
  REQUIRE(MigrateRoles(*world.pool, world.config).ok());
  CHECK(ticker.Try("SELECT email FROM stockalert_user.users") == kRefused);
  // And again without harm.
  REQUIRE(MigrateRoles(*world.pool, world.config).ok());
  CHECK(alert.Try("SELECT * FROM stockalert_alert.alerts") == "00000");
}

TEST_CASE("a role with more power than it needs is told of") {
  World world;
  REQUIRE(MigrateRoles(*world.pool, world.config).ok());
  world.database.Execute(absl::StrCat("ALTER ROLE \"", world.Role("notifier"), "\" SUPERUSER"));
  const absl::Status refused = MigrateRoles(*world.pool, world.config);
  CHECK(absl::IsFailedPrecondition(refused));
  CHECK(std::string(refused.message()).find("SUPERUSER") != std::string::npos);
  world.config.postgres_roles = "auto";
  CHECK(MigrateRoles(*world.pool, world.config).ok());
  world.config.postgres_roles = "off";
  CHECK(MigrateRoles(*world.pool, world.config).ok());
}

TEST_CASE("passwords are set from files, never stand in SQL, and can be changed") {
  World world;
  REQUIRE(MigrateRoles(*world.pool, world.config).ok());
  CHECK(Session(world.Url("user")).connected());
  CHECK_FALSE(Session(world.As(world.Role("user"), "wrong")).connected());
  CHECK(world.Rows(absl::StrCat("SELECT rolpassword FROM pg_authid WHERE rolname = '", world.Role("user"), "'"))[0]
            .starts_with("SCRAM-SHA-256$"));
  std::ofstream(std::filesystem::path(world.config.postgres_role_passwords_dir) / "user")
      << "another password, long enough";
  REQUIRE(MigrateRoles(*world.pool, world.config).ok());
  CHECK_FALSE(Session(world.Url("user")).connected());
  CHECK(Session(world.As(world.Role("user"), "another%20password,%20long%20enough")).connected());
  std::ofstream(std::filesystem::path(world.config.postgres_role_passwords_dir) / "user") << "short";
  CHECK(absl::IsInvalidArgument(MigrateRoles(*world.pool, world.config)));
}

TEST_CASE("a migrating role without the right to make roles prints the SQL, and goes on with one role for all") {
  World world;
  const std::string plain = world.Role("plain");
  // It owns the database, as an operator's single role does.
  world.database.Execute(absl::StrCat("CREATE ROLE \"", plain, "\" LOGIN PASSWORD 'a-long-enough-password'"));
  const std::string name = testing::UniqueName("stockalert_t");
  Session server(world.database.url());
  REQUIRE(server.Run(absl::StrCat("CREATE DATABASE ", name, " OWNER \"", plain, "\"")) == "00000");
  const std::string url = world.As(plain, "a-long-enough-password", name);
  {
    const auto pool = testing::TestDatabase::NewPoolAt(url, 2);
    const absl::Status migrated = MigrateSchemas(*pool, world.config);
    INFO(migrated);
    REQUIRE(migrated.ok());
    world.config.postgres_role_passwords_dir = "";
    const absl::Status refused = MigrateRoles(*pool, world.config);
    CHECK(absl::IsFailedPrecondition(refused));
    CHECK(std::string(refused.message()).find("is missing") != std::string::npos);
    world.config.postgres_roles = "auto";
    CHECK(MigrateRoles(*pool, world.config).ok());
    // Somebody who may runs what was printed...
    Session administrator(world.As("", "", name)
                              .replace(0, world.As("", "", name).find('@'),
                                       world.database.url().substr(0, world.database.url().find('@'))));
    REQUIRE(administrator.connected());
    const std::string state = administrator.Run(RolesSql(world.names()));
    INFO(administrator.error());
    REQUIRE(state == "00000");
    // ...and all is well, now and after further runs of the plain role.
    world.config.postgres_roles = "required";
    CHECK(MigrateRoles(*pool, world.config).ok());
    CHECK(CheckRoles(*pool, world.names()).value().empty());
  }
  REQUIRE(server.Run(absl::StrCat("DROP DATABASE ", name, " WITH (FORCE)")) == "00000");
  CHECK(server.Run(absl::StrCat("DROP ROLE \"", plain, "\"")) == "00000");
}

TEST_CASE("in a cluster of the mesh's own a service's role connects to no other database") {
  World world;
  const std::string other = testing::UniqueName("stockalert_other");
  Session server(world.database.url());
  REQUIRE(server.Run(absl::StrCat("CREATE DATABASE ", other)) == "00000");
  REQUIRE(MigrateRoles(*world.pool, world.config).ok());
  CHECK(Session(world.Url("user", other)).connected());
  world.config.postgres_own_cluster = true;
  REQUIRE(MigrateRoles(*world.pool, world.config).ok());
  CHECK_FALSE(Session(world.Url("user", other)).connected());
  CHECK_FALSE(Session(world.Url("user", "postgres")).connected());
  CHECK(Session(world.Url("user")).connected());
  CHECK(server.Run(absl::StrCat("DROP DATABASE ", other, " WITH (FORCE)")) == "00000");
}

TEST_CASE("names of roles that cannot be meant are refused") {
  for (const char* text : {"stranger=x", "user", "user=", "user=a b", "user=a\"b", "user=a'b", "user=stockalert_ticker",
                           "user=x,ticker=x"}) {
    INFO(text);
    CHECK(absl::IsInvalidArgument(ParseRoleNames(text).status()));
  }
  CHECK(ParseRoleNames("").value().at("maintenance") == "stockalert_maintenance");
  CHECK(ParseRoleNames("user=svc-user@db").value().at("user") == "svc-user@db");
}

}  // namespace
}  // namespace stockalert::migrate
