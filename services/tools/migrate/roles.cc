#include "services/tools/migrate/roles.h"

#include <libpq-fe.h>
#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/postgres/migration.h"
#include "services/common/postgres/transaction.h"
#include "services/tools/migrate/migrate.h"

namespace stockalert::migrate {
namespace {

using Names = std::map<std::string, std::string>;

constexpr char kMaintenance[] = "maintenance";
constexpr char kAudit[] = "audit";

const std::vector<std::string>& ServicesWithSchemas() {
  static const auto* const kServices = new std::vector<std::string>{"user", "ticker", "alert", "evaluator", "notifier"};
  return *kServices;
}

std::string SchemaOf(const std::string& service) { return absl::StrCat("stockalert_", service); }

// `columns` empty: the whole table.
struct Right {
  const char* key;
  const char* privilege;
  const char* table;
  const char* columns;
};

// Beside a service's rights on its own schema. What deploy/retention.sql and scripts/audit do, and no more.
constexpr Right kRights[] = {
    {"evaluator", "SELECT", "mesh.topics", ""},
    {kMaintenance, "SELECT", "stockalert_evaluator.partitions", "partition, log_generation"},
    {kMaintenance, "SELECT", "stockalert_evaluator.checkpoints", "partition, log_generation, next_offset"},
    {kMaintenance, "SELECT", "stockalert_evaluator.triggers",
     "alert_id, trigger_number, partition, log_generation, record_offset"},
    {kMaintenance, "DELETE", "stockalert_evaluator.triggers", ""},
    {kMaintenance, "SELECT", "stockalert_alert.triggers", "alert_id, number, create_time_us"},
    {kMaintenance, "DELETE", "stockalert_alert.triggers", ""},
    {kMaintenance, "SELECT", "stockalert_alert.trigger_outbox", "alert_id, number"},
    {kMaintenance, "SELECT", "stockalert_alert.alerts", "id, request_id, create_time_us"},
    {kMaintenance, "UPDATE", "stockalert_alert.alerts", "request_id, request_fingerprint"},
    {kMaintenance, "SELECT", "stockalert_notifier.notifications", "id, create_time_us"},
    {kMaintenance, "DELETE", "stockalert_notifier.notifications", ""},
    {kMaintenance, "SELECT", "stockalert_notifier.deliveries",
     "id, destination_id, notification_id, digest_id, state, create_time_us"},
    {kMaintenance, "DELETE", "stockalert_notifier.deliveries", ""},
    {kMaintenance, "SELECT", "stockalert_notifier.delivery_attempts", "delivery_id"},
    {kMaintenance, "DELETE", "stockalert_notifier.delivery_attempts", ""},
    {kMaintenance, "SELECT", "stockalert_notifier.destinations", "id, delete_time_us"},
    {kMaintenance, "DELETE", "stockalert_notifier.destinations", ""},
    {kMaintenance, "SELECT", "stockalert_notifier.delivery_lanes", "destination_id"},
    {kMaintenance, "DELETE", "stockalert_notifier.delivery_lanes", ""},
    {kMaintenance, "SELECT", "stockalert_ticker.bars", "start_us"},
    {kMaintenance, "DELETE", "stockalert_ticker.bars", ""},
    {kMaintenance, "SELECT", "stockalert_user.api_keys", "id, create_time_us"},
    {kMaintenance, "SELECT", "stockalert_user.requests", "api_key_id"},
    {kMaintenance, "DELETE", "stockalert_user.requests", ""},
    {kAudit, "SELECT", "stockalert_evaluator.triggers", ""},
    {kAudit, "SELECT", "stockalert_alert.triggers", ""},
    {kAudit, "SELECT", "stockalert_alert.alerts",
     "id, user_id, revision, delivery, destination_ids, critical, symbol, deleted, triggered, expire_time_us, "
     "splits_applied"},
    {kAudit, "SELECT", "stockalert_alert.owners", "user_id, deleted"},
    {kAudit, "SELECT", "stockalert_alert.split_tellings", "symbol, number, create_time_us"},
    {kAudit, "SELECT", "stockalert_alert.splits", "symbol, number, numerator, denominator, create_time_us"},
    {kAudit, "SELECT", "stockalert_ticker.splits", "symbol, number, numerator, denominator, log_offset"},
    {kAudit, "SELECT", "stockalert_notifier.destinations",
     "id, user_id, kind, is_default, state, disable_reason, create_time_us, update_time_us, verify_time_us, "
     "verify_ask_time_us, disable_time_us, delete_time_us"},
    {kAudit, "SELECT", "stockalert_notifier.deliveries",
     "id, user_id, destination_id, notification_id, kind, state, attempt_count, schedule_count, replay_count, "
     "next_attempt_time_us, create_time_us, end_time_us, last_error, hold_reason, digest_id"},
    {kAudit, "SELECT", "stockalert_notifier.delivery_attempts", "delivery_id, number, http_status"},
    {kAudit, "SELECT", "stockalert_notifier.delivery_lanes", ""},
    {kAudit, "SELECT", "stockalert_notifier.notifications",
     "id, user_id, sequence, create_time_us, kind, key, alert_id, trigger_number, price_micros, event_time_us, "
     "price_before_micros, late, throttled, folded_count, critical, rerouted, destination_id, symbol, split"},
};
// What could not be handled lies in a table of this name in its service's schema, where the service has one.
constexpr char kDeadLetters[] = "dead_letters";
// `stockalert-migrate deadletters` lists, replays, drops and takes them.
constexpr char kDeadLetterRights[] = "SELECT, INSERT, UPDATE, DELETE";

std::string Quoted(const std::string& role) { return absl::StrCat("\"", role, "\""); }

// As a literal in SQL; names have no quotes in them.
std::string Literal(const std::string& text) { return absl::StrCat("'", text, "'"); }

std::string CreateSql(const Names& names) {
  std::string sql;
  for (const auto& [key, role] : names) {
    absl::StrAppend(&sql, "DO $$ BEGIN CREATE ROLE ", Quoted(role),
                    " LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;\n"
                    "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;\n");
  }
  return sql;
}

// Of what the mesh's owner may grant; `names` are roles that are there.
std::string GrantsSql(const Names& names) {
  std::string sql;
  std::vector<std::string> schemas = {"mesh"};
  for (const std::string& service : ServicesWithSchemas()) schemas.push_back(SchemaOf(service));
  std::vector<std::string> everybody = {"PUBLIC"};
  for (const auto& [key, role] : names) everybody.push_back(Quoted(role));
  const std::string all = absl::StrJoin(everybody, ", ");
  for (const std::string& schema : schemas) {
    absl::StrAppend(&sql, "REVOKE ALL ON SCHEMA ", schema, " FROM ", all, ";\n");
    absl::StrAppend(&sql, "REVOKE ALL ON ALL TABLES IN SCHEMA ", schema, " FROM ", all, ";\n");
    absl::StrAppend(&sql, "REVOKE ALL ON ALL SEQUENCES IN SCHEMA ", schema, " FROM ", all, ";\n");
  }
  for (const std::string& service : ServicesWithSchemas()) {
    const auto found = names.find(service);
    if (found == names.end()) continue;
    const std::string schema = SchemaOf(service);
    const std::string role = Quoted(found->second);
    absl::StrAppend(&sql, "GRANT USAGE ON SCHEMA ", schema, " TO ", role, ";\n");
    absl::StrAppend(&sql, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ", schema, " TO ", role, ";\n");
    absl::StrAppend(&sql, "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA ", schema, " TO ", role, ";\n");
    absl::StrAppend(&sql, "ALTER DEFAULT PRIVILEGES IN SCHEMA ", schema,
                    " GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ", role, ";\n");
    absl::StrAppend(&sql, "ALTER DEFAULT PRIVILEGES IN SCHEMA ", schema, " GRANT USAGE, SELECT ON SEQUENCES TO ", role,
                    ";\n");
  }
  std::set<std::pair<std::string, std::string>> usage;
  for (const Right& right : kRights) {
    const auto found = names.find(right.key);
    if (found == names.end()) continue;
    const std::string table = right.table;
    if (usage.emplace(right.key, table.substr(0, table.find('.'))).second) {
      absl::StrAppend(&sql, "GRANT USAGE ON SCHEMA ", table.substr(0, table.find('.')), " TO ", Quoted(found->second),
                      ";\n");
    }
    const std::string columns = *right.columns == '\0' ? "" : absl::StrCat(" (", right.columns, ")");
    absl::StrAppend(&sql, "GRANT ", right.privilege, columns, " ON ", table, " TO ", Quoted(found->second), ";\n");
  }
  if (const auto found = names.find(kMaintenance); found != names.end()) {
    for (const std::string& service : ServicesWithSchemas()) {
      const std::string table = absl::StrCat(SchemaOf(service), ".", kDeadLetters);
      absl::StrAppend(&sql, "DO $$ BEGIN IF to_regclass('", table, "') IS NOT NULL THEN GRANT USAGE ON SCHEMA ",
                      SchemaOf(service), " TO ", Quoted(found->second), "; GRANT ", kDeadLetterRights, " ON ", table,
                      " TO ", Quoted(found->second), "; END IF; END $$;\n");
    }
  }
  // The database's own: as far as the role at work may.
  absl::StrAppend(&sql,
                  "DO $$ BEGIN REVOKE CREATE ON SCHEMA public FROM PUBLIC;\n"
                  "EXCEPTION WHEN insufficient_privilege OR invalid_schema_name THEN NULL; END $$;\n");
  std::vector<std::string> roles(everybody.begin() + 1, everybody.end());
  if (!roles.empty()) {
    absl::StrAppend(
        &sql,
        "DO $$ BEGIN EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());\n",
        "EXECUTE format('GRANT CONNECT ON DATABASE %I TO ", absl::StrJoin(roles, ", "), "', current_database());\n",
        "EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;\n");
  }
  return sql;
}

// In a cluster that is the mesh's alone: nobody has business in its other databases.
constexpr char kOwnClusterSql[] =
    "DO $$ DECLARE other text; BEGIN\n"
    "FOR other IN SELECT datname FROM pg_database WHERE datname <> current_database() LOOP\n"
    "  BEGIN EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', other);\n"
    "  EXCEPTION WHEN invalid_catalog_name OR insufficient_privilege OR internal_error THEN NULL; END;\n"
    "END LOOP; END $$;\n";

// How the connected role stands.
struct Standing {
  bool may_create = false;
  Names there;
  Names missing;
};

absl::StatusOr<Standing> Look(postgres::Pool& pool, const Names& names) {
  return postgres::Read(pool, "migrate.roles", [&](postgres::Connection& connection) -> absl::StatusOr<Standing> {
    Standing standing;
    int may = 0;
    connection.sql() << "SELECT CAST(rolsuper OR rolcreaterole AS integer) FROM pg_roles WHERE rolname = current_user",
        soci::into(may);
    standing.may_create = may != 0;
    for (const auto& [key, role] : names) {
      int count = 0;
      connection.sql() << "SELECT CAST(count(*) AS integer) FROM pg_roles WHERE rolname = :role", soci::use(role),
          soci::into(count);
      (count > 0 ? standing.there : standing.missing)[key] = role;
    }
    return standing;
  });
}

absl::Status Execute(postgres::Pool& pool, const std::string& sql) {
  return postgres::Transact(pool, "migrate.roles", postgres::Idempotency::kIdempotent,
                            [&](postgres::Connection& connection) -> absl::Status {
                              STOCKALERT_RETURN_IF_ERROR(postgres::LockMigrations(connection));
                              return postgres::ExecuteScript(connection, sql);
                            });
}

// The files' passwords by role; keys without a file have none.
absl::StatusOr<Names> ReadPasswords(const std::string& folder, const Names& names) {
  Names passwords;
  if (folder.empty()) return passwords;
  for (const auto& [key, role] : names) {
    const std::filesystem::path path = std::filesystem::path(folder) / key;
    std::error_code error;
    if (!std::filesystem::exists(path, error) && !error) continue;
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    const std::string password(absl::StripAsciiWhitespace(text.str()));
    if (!file || password.size() < 16 || password.find('\0') != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("--postgres_role_passwords_dir: ", path.string(),
                       " cannot be read, or holds no password of at least 16 characters"));
    }
    passwords[role] = password;
  }
  return passwords;
}

absl::Status SetPasswords(postgres::Pool& pool, const Names& passwords) {
  if (passwords.empty()) return absl::OkStatus();
  return postgres::Transact(
      pool, "migrate.passwords", postgres::Idempotency::kIdempotent,
      [&](postgres::Connection& connection) -> absl::Status {
        STOCKALERT_RETURN_IF_ERROR(postgres::LockMigrations(connection));
        auto* backend = static_cast<soci::postgresql_session_backend*>(connection.sql().get_backend());
        for (const auto& [role, password] : passwords) {
          const std::unique_ptr<char, void (*)(void*)> verifier(
              PQencryptPasswordConn(backend->conn_, password.c_str(), role.c_str(), "scram-sha-256"), PQfreemem);
          if (!verifier) return absl::InternalError(absl::StrCat("no verifier could be made for the role ", role));
          absl::Status set = postgres::ExecuteScript(
              connection, absl::StrCat("ALTER ROLE ", Quoted(role), " PASSWORD ", Literal(verifier.get())));
          if (!set.ok()) return absl::Status(set.code(), absl::StrCat("the password of ", role, ": ", set.message()));
        }
        return absl::OkStatus();
      });
}

// What stands above all rights, such as SUPERUSER. None: there is no such role.
std::optional<std::string> PowersOf(soci::session& sql, const std::string& role) {
  int count = 0;
  std::string powers;
  sql << "SELECT CAST(count(*) AS integer), coalesce(max(concat_ws(', ', CASE WHEN rolsuper THEN 'SUPERUSER' END, "
         "CASE WHEN rolcreaterole THEN 'CREATEROLE' END, CASE WHEN rolcreatedb THEN 'CREATEDB' END, "
         "CASE WHEN rolreplication THEN 'REPLICATION' END, CASE WHEN rolbypassrls THEN 'BYPASSRLS' END)), '') "
         "FROM pg_roles WHERE rolname = :role",
      soci::use(role), soci::into(count), soci::into(powers);
  if (count == 0) return std::nullopt;
  return powers;
}

// What it can do with each table ("schema.table SELECT"), by column where not as a whole.
std::set<std::string> RightsOf(soci::session& sql, const std::string& role) {
  std::vector<std::string> found(4096);
  sql << "SELECT n.nspname || '.' || c.relname || ' ' || p.privilege FROM pg_class c "
         "JOIN pg_namespace n ON n.oid = c.relnamespace "
         "CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('REFERENCES'), "
         "('TRIGGER')) p (privilege) "
         "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') "
         "AND (n.nspname = 'mesh' OR n.nspname LIKE 'stockalert\\_%') "
         "AND has_schema_privilege(:role, n.oid, 'USAGE') AND (has_table_privilege(:role, c.oid, p.privilege) OR "
         "(p.privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') "
         "AND has_any_column_privilege(:role, c.oid, p.privilege)))",
      soci::use(role, "role"), soci::into(found);
  return {found.begin(), found.end()};
}

std::set<std::string> NeededRights(soci::session& sql, const std::string& key) {
  const std::vector<std::string>& services = ServicesWithSchemas();
  // As variables: SOCI keeps references.
  const std::string own = SchemaOf(key);
  const int is_service = std::find(services.begin(), services.end(), key) != services.end() ? 1 : 0;
  const int is_maintenance = key == kMaintenance ? 1 : 0;
  std::vector<std::string> tables(1024);
  sql << "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
         "WHERE c.relkind IN ('r', 'p') AND ((n.nspname = :own AND :is_service = 1) "
         "OR (c.relname = 'dead_letters' AND n.nspname LIKE 'stockalert\\_%' AND :is_maintenance = 1))",
      soci::use(own, "own"), soci::use(is_service, "is_service"), soci::use(is_maintenance, "is_maintenance"),
      soci::into(tables);
  std::set<std::string> needed;
  for (const std::string& table : tables) {
    for (const char* privilege : {"SELECT", "INSERT", "UPDATE", "DELETE"})
      needed.insert(absl::StrCat(table, " ", privilege));
  }
  for (const Right& right : kRights) {
    if (key == right.key) needed.insert(absl::StrCat(right.table, " ", right.privilege));
  }
  return needed;
}

// Adds to `wrong` what the role has beyond what it needs, and what it lacks.
void CheckRole(soci::session& sql, const std::string& key, const std::string& role, std::vector<std::string>& wrong) {
  const std::optional<std::string> powers = PowersOf(sql, role);
  if (!powers) {
    wrong.push_back(absl::StrCat("the role ", role, " is missing"));
    return;
  }
  if (!powers->empty()) wrong.push_back(absl::StrCat("the role ", role, " has ", *powers, ", which it does not need"));
  const std::set<std::string> has = RightsOf(sql, role);
  const std::set<std::string> needed = NeededRights(sql, key);
  for (const std::string& right : needed) {
    if (!has.contains(right)) wrong.push_back(absl::StrCat("the role ", role, " lacks ", right));
  }
  for (const std::string& right : has) {
    if (!needed.contains(right)) wrong.push_back(absl::StrCat("the role ", role, " should not have ", right));
  }
  std::vector<std::string> creates(64);
  sql << "SELECT nspname FROM pg_namespace "
         "WHERE (nspname = 'mesh' OR nspname = 'public' OR nspname LIKE 'stockalert\\_%') "
         "AND has_schema_privilege(:role, oid, 'CREATE')",
      soci::use(role), soci::into(creates);
  for (const std::string& schema : creates)
    wrong.push_back(absl::StrCat("the role ", role, " should not have CREATE on the schema ", schema));
}

}  // namespace

const std::vector<std::string>& RoleKeys() {
  static const auto* const kKeys = [] {
    auto* keys = new std::vector<std::string>(ServicesWithSchemas());
    keys->emplace_back(kMaintenance);
    keys->emplace_back(kAudit);
    return keys;
  }();
  return *kKeys;
}

absl::StatusOr<std::map<std::string, std::string>> ParseRoleNames(const std::string& text) {
  Names names;
  for (const std::string& key : RoleKeys()) names[key] = absl::StrCat("stockalert_", key);
  for (const absl::string_view item : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(item, absl::MaxSplits('=', 1));
    const std::string key(absl::StripAsciiWhitespace(parts.first));
    const std::string role(absl::StripAsciiWhitespace(parts.second));
    const bool plain = !role.empty() && role.size() <= 63 && std::all_of(role.begin(), role.end(), [](unsigned char c) {
      return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.' || c == '@';
    });
    if (!names.contains(key) || !plain) {
      return absl::InvalidArgumentError(absl::StrCat("--postgres_role_names: '", item, "' is not KEY=ROLE, with ",
                                                     absl::StrJoin(RoleKeys(), ", "),
                                                     " as KEY and letters, digits and _ - . @ in ROLE"));
    }
    names[key] = role;
  }
  std::set<std::string> taken;
  for (const auto& [key, role] : names) {
    if (!taken.insert(role).second) {
      return absl::InvalidArgumentError(absl::StrCat("--postgres_role_names: ", role, " is there twice: a role each"));
    }
  }
  return names;
}

std::string RolesSql(const std::map<std::string, std::string>& names) {
  return absl::StrCat(
      "-- Run in the mesh's database by the owner of its schemas, with the right to make roles, or by a superuser.\n"
      "-- The roles have no passwords yet: \\password ROLE, or certificates and pg_hba.conf.\nBEGIN;\n",
      CreateSql(names), GrantsSql(names), "COMMIT;\n");
}

absl::StatusOr<std::vector<std::string>> CheckRoles(postgres::Pool& pool,
                                                    const std::map<std::string, std::string>& names) {
  return postgres::Read(pool, "migrate.check_roles",
                        [&](postgres::Connection& connection) -> absl::StatusOr<std::vector<std::string>> {
                          std::vector<std::string> wrong;
                          for (const auto& [key, role] : names) CheckRole(connection.sql(), key, role, wrong);
                          return wrong;
                        });
}

absl::Status MigrateRoles(postgres::Pool& pool, const Config& config) {
  if (config.postgres_roles == "off") return absl::OkStatus();
  STOCKALERT_ASSIGN_OR_RETURN(const Names names, ParseRoleNames(config.postgres_role_names));
  STOCKALERT_RETURN_IF_ERROR(Execute(pool, kTopicsTableSql));
  STOCKALERT_ASSIGN_OR_RETURN(Standing standing, Look(pool, names));
  absl::Status status;
  if (!standing.missing.empty() && standing.may_create) {
    status = Execute(pool, CreateSql(standing.missing));
    if (status.ok()) {
      for (const auto& [key, role] : standing.missing) log::Info("made the role", {{"for", key}, {"role", role}});
      STOCKALERT_ASSIGN_OR_RETURN(standing, Look(pool, names));
    }
  }
  if (status.ok()) status = Execute(pool, GrantsSql(standing.there));
  if (status.ok() && config.postgres_own_cluster) status = Execute(pool, kOwnClusterSql);
  if (status.ok()) {
    STOCKALERT_ASSIGN_OR_RETURN(const Names passwords,
                                ReadPasswords(config.postgres_role_passwords_dir, standing.there));
    status = SetPasswords(pool, passwords);
  }
  std::vector<std::string> wrong;
  if (!status.ok()) wrong.push_back(std::string(status.message()));
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> found, CheckRoles(pool, names));
  wrong.insert(wrong.end(), found.begin(), found.end());
  if (wrong.empty()) {
    log::Info("each service has its role, with rights on its own schema alone", {{"roles", names.size()}});
    return absl::OkStatus();
  }
  for (const std::string& what : wrong) log::Warning("roles", {{"wrong", what}});
  std::fputs(RolesSql(names).c_str(), stdout);
  std::fflush(stdout);
  if (config.postgres_roles == "required") {
    return absl::FailedPreconditionError(
        absl::StrCat("the database's roles are not as the services need them: ", wrong.front(),
                     wrong.size() > 1 ? absl::StrCat(" (and ", wrong.size() - 1, " more)") : "",
                     ". The SQL above makes them: let one run it who may"));
  }
  log::Warning(
      "the database's roles are not as they should be; with one role for all, each service can read and change what is "
      "the others'. "
      "The next version will not start so: let somebody who may run the SQL above");
  return absl::OkStatus();
}

}  // namespace stockalert::migrate
