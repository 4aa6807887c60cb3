#include "services/common/postgres/migration.h"

#include <libpq-fe.h>
#include <openssl/sha.h>
#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "services/common/log/log.h"
#include "services/common/postgres/transaction.h"

namespace stockalert::postgres {
namespace {

// Two migration jobs at once wait for each other on this number (the mesh's own, chosen freely).
constexpr int64_t kAdvisoryLock = 0x53746f636b416c72;

std::string Sha256Hex(const std::string& text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::string hex;
  for (const unsigned char byte : digest) absl::StrAppend(&hex, absl::Hex(byte, absl::kZeroPad2));
  return hex;
}

}  // namespace

// Past SOCI, whose parser would take colons in it for parameters.
absl::Status ExecuteScript(Connection& connection, const std::string& sql) {
  auto* backend = static_cast<soci::postgresql_session_backend*>(connection.sql().get_backend());
  PGresult* result = PQexec(backend->conn_, sql.c_str());
  const ExecStatusType outcome = PQresultStatus(result);
  absl::Status status;
  if (outcome != PGRES_COMMAND_OK && outcome != PGRES_TUPLES_OK) {
    const char* sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char* text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    // Migrations are the project's own text: what Postgres says of them helps their author, and holds nobody's data.
    status = absl::InternalError(absl::StrCat(text == nullptr ? "the connection was lost" : text, " (SQLSTATE ",
                                              sqlstate == nullptr ? "08006" : sqlstate, ")"));
  }
  PQclear(result);
  return status;
}

absl::Status LockMigrations(Connection& connection) {
  connection.sql() << "SELECT CAST(pg_advisory_xact_lock(" << kAdvisoryLock << ") AS text)";
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Migration>> ReadMigrations(const std::string& folder) {
  std::vector<Migration> migrations;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".sql") continue;
    const bool numbered =
        name.size() > 5 && name[4] == '_' &&
        std::all_of(name.begin(), name.begin() + 4, [](unsigned char c) { return std::isdigit(c) != 0; });
    if (!numbered)
      return absl::InvalidArgumentError(absl::StrCat(folder, "/", name, ": name migrations NNNN_what.sql"));
    std::ifstream file(entry.path());
    std::stringstream text;
    text << file.rdbuf();
    if (!file) return absl::InternalError(absl::StrCat("cannot read ", folder, "/", name));
    Migration migration;
    migration.number = std::stoi(name.substr(0, 4));
    migration.name = name;
    migration.sql = text.str();
    migration.sha256_hex = Sha256Hex(migration.sql);
    migrations.push_back(std::move(migration));
  }
  if (error) return absl::NotFoundError(absl::StrCat("cannot read the folder ", folder, ": ", error.message()));
  if (migrations.empty()) return absl::NotFoundError(absl::StrCat(folder, " has no migrations"));
  std::sort(migrations.begin(), migrations.end(),
            [](const Migration& a, const Migration& b) { return a.name < b.name; });
  for (size_t i = 0; i < migrations.size(); ++i) {
    if (migrations[i].number != static_cast<int>(i) + 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(folder, "/", migrations[i].name, ": number ", i + 1, " was expected here"));
    }
  }
  return migrations;
}

absl::StatusOr<std::vector<std::string>> ApplyMigrations(Pool& pool, const std::string& schema,
                                                         const std::vector<Migration>& migrations) {
  std::vector<std::string> applied_now;
  // One a round, so that each has its own transaction; the last round finds nothing to do.
  for (size_t round = 0; round <= migrations.size(); ++round) {
    absl::StatusOr<std::string> applied = Transact(
        pool, "migrate.apply", Idempotency::kNotIdempotent, [&](Connection& connection) -> absl::StatusOr<std::string> {
          soci::session& sql = connection.sql();
          if (absl::Status locked = LockMigrations(connection); !locked.ok()) return locked;
          absl::Status prepared = ExecuteScript(connection,
                                                "CREATE SCHEMA IF NOT EXISTS mesh;"
                                                "CREATE TABLE IF NOT EXISTS mesh.migrations ("
                                                "  schema_name text NOT NULL,"
                                                "  number integer NOT NULL,"
                                                "  name text NOT NULL,"
                                                "  sha256 text NOT NULL,"
                                                "  applied_at timestamptz NOT NULL DEFAULT now(),"
                                                "  PRIMARY KEY (schema_name, number));");
          if (!prepared.ok()) return prepared;
          // The schema's name is the program's own, and plain.
          if (absl::Status created =
                  ExecuteScript(connection, absl::StrCat("CREATE SCHEMA IF NOT EXISTS ", schema, ";"));
              !created.ok()) {
            return created;
          }
          std::vector<int> numbers(10'000);
          std::vector<std::string> checksums(10'000);
          sql << "SELECT number, sha256 FROM mesh.migrations WHERE schema_name = :schema ORDER BY number",
              soci::use(schema), soci::into(numbers), soci::into(checksums);
          for (size_t i = 0; i < std::min(numbers.size(), migrations.size()); ++i) {
            if (numbers[i] != migrations[i].number || checksums[i] != migrations[i].sha256_hex) {
              return absl::FailedPreconditionError(
                  absl::StrCat(schema, ": ", migrations[i].name,
                               " was changed after it had been applied: restore it, and put "
                               "the change into a new file"));
            }
          }
          if (numbers.size() > migrations.size()) {
            log::Warning("the schema is a newer version's; it serves this one, too, if that was the next version",
                         {{"schema", schema}, {"applied", numbers.size()}, {"known", migrations.size()}});
          }
          if (numbers.size() >= migrations.size()) return std::string();
          const Migration& next = migrations[numbers.size()];
          if (absl::Status executed = ExecuteScript(connection, next.sql); !executed.ok()) {
            return absl::Status(executed.code(), absl::StrCat(schema, ": ", next.name, ": ", executed.message()));
          }
          sql << "INSERT INTO mesh.migrations (schema_name, number, name, sha256) VALUES (:schema, :number, :name, "
                 ":sha256)",
              soci::use(schema), soci::use(next.number), soci::use(next.name), soci::use(next.sha256_hex);
          return next.name;
        });
    if (!applied.ok()) return applied.status();
    if (applied->empty()) break;
    applied_now.push_back(*applied);
  }
  return applied_now;
}

}  // namespace stockalert::postgres
