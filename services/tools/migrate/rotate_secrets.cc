#include "services/tools/migrate/rotate_secrets.h"

#include <soci/soci.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/security.h"
#include "services/common/postgres/transaction.h"
#include "services/common/version/version.h"

namespace stockalert::migrate {
namespace {

using postgres::Connection;
using postgres::Idempotency;
using secrets::SecretBox;
using soci::into;
using soci::use;

constexpr int kBatch = 200;
constexpr int64_t kProgressEvery = 10'000;
constexpr char kFirstId[] = "00000000-0000-0000-0000-000000000000";
constexpr int kSecretsLost = 3;  // destinations.disable_reason.

// A table with sealed texts, and the column of the ids that they are sealed for.
struct SealedTable {
  std::string name, owner;
  std::vector<std::string> columns;
};

// The tables that may have some; in each all columns whose names begin with "sealed".
const std::map<std::string, std::string>& KnownOwners() {
  static const auto& owners =
      *new std::map<std::string, std::string>{{"destinations", "id"}, {"code_mails", "user_id"}};
  return owners;
}

// A row's sealed texts, in the order of the columns.
struct SealedRow {
  std::string id;
  int disable_reason = 0;
  std::vector<std::string> texts;
};

struct BatchOutcome {
  std::string last_id;  // Empty: there was none left.
  RotationCounts counts;
};

absl::StatusOr<std::vector<SealedTable>> FindSealedTables(postgres::Pool& pool) {
  return postgres::Read(
      pool, "secrets.columns", [&](Connection& connection) -> absl::StatusOr<std::vector<SealedTable>> {
        std::string table, column;
        soci::statement statement =
            (connection.sql().prepare << "SELECT CAST(c.relname AS text), CAST(a.attname AS text) "
                                         "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
                                         "JOIN pg_namespace n ON n.oid = c.relnamespace "
                                         "WHERE n.nspname = 'stockalert_notifier' AND c.relkind IN ('r', 'p') "
                                         "AND a.attnum > 0 AND NOT a.attisdropped AND a.attname LIKE 'sealed%' "
                                         "ORDER BY c.relname DESC, a.attname",
             into(table), into(column));
        statement.execute(false);
        std::vector<SealedTable> tables;
        while (statement.fetch()) {
          const auto owner = KnownOwners().find(table);
          if (owner == KnownOwners().end()) {
            return absl::FailedPreconditionError(absl::StrCat(
                "the table ", table, " has secrets, too, in the column ", column,
                ", which this version cannot encrypt anew: use the stockalert-migrate of the notifiers' version"));
          }
          if (tables.empty() || tables.back().name != table) tables.push_back({table, owner->second, {}});
          tables.back().columns.push_back(column);
        }
        if (tables.empty())
          return absl::FailedPreconditionError("the database has no destinations: run stockalert-migrate first");
        return tables;
      });
}

// Sealed texts have no spaces.
std::string SelectRows(const SealedTable& table) {
  std::string texts;
  for (const std::string& column : table.columns)
    absl::StrAppend(&texts, texts.empty() ? "" : " || ' ' || ", "d.", column);
  const std::string reason = table.name == "destinations" ? "CAST(d.disable_reason AS int)" : "0";
  return absl::StrCat("SELECT CAST(d.", table.owner, " AS text), ", reason, ", ", texts, " FROM stockalert_notifier.",
                      table.name, " d WHERE d.", table.owner);
}

std::vector<SealedRow> FetchRows(soci::statement& statement, const std::string& query) {
  SealedRow row;
  std::string texts;
  statement.exchange(into(row.id));
  statement.exchange(into(row.disable_reason));
  statement.exchange(into(texts));
  statement.alloc();
  statement.prepare(query);
  statement.define_and_bind();
  statement.execute(false);
  std::vector<SealedRow> rows;
  while (statement.fetch()) {
    row.texts = absl::StrSplit(texts, ' ');
    rows.push_back(row);
  }
  return rows;
}

bool HasSecrets(const SealedRow& row) {
  for (const std::string& text : row.texts) {
    if (!text.empty()) return true;
  }
  return false;
}

bool HasOldSecrets(const SealedRow& row, const SecretBox& box) {
  for (const std::string& text : row.texts) {
    if (!text.empty() && box.IsSealedByOldKey(text)) return true;
  }
  return false;
}

// All texts of the row or, if one of them cannot be decrypted, none.
absl::Status Reseal(const SecretBox& box, SealedRow& row) {
  std::vector<std::string> texts = row.texts;
  for (std::string& text : texts) {
    if (text.empty() || !box.IsSealedByOldKey(text)) continue;
    STOCKALERT_ASSIGN_OR_RETURN(const std::string secret, box.Open(text, row.id));
    text = box.Seal(secret, row.id);
  }
  row.texts = std::move(texts);
  return absl::OkStatus();
}

void CountUnreadable(const SealedRow& row, const absl::Status& why, RotationCounts& counts) {
  if (row.disable_reason == kSecretsLost) {
    ++counts.lost;
    return;
  }
  ++counts.unreadable_count;
  if (counts.unreadable.size() < kUnreadableShownMax) counts.unreadable.push_back(row.id);
  ++counts.causes[std::string(why.message())];
}

void LockLanes(soci::session& sql, const std::string& ids) {
  std::string id;
  soci::statement statement = (sql.prepare << "SELECT CAST(destination_id AS text) FROM "
                                              "stockalert_notifier.delivery_lanes "
                                              "WHERE destination_id = ANY(CAST(:ids AS uuid[])) "
                                              "ORDER BY destination_id FOR UPDATE",
                               use(ids, "ids"), into(id));
  statement.execute(false);
  while (statement.fetch()) {
  }
}

void WriteRows(soci::session& sql, const SealedTable& table, const std::vector<SealedRow>& rows) {
  const std::vector<std::string>& columns = table.columns;
  std::vector<std::string> ids;
  std::vector<std::vector<std::string>> texts(columns.size());
  for (const SealedRow& row : rows) {
    ids.push_back(row.id);
    for (size_t i = 0; i < columns.size(); ++i) texts[i].push_back(row.texts[i]);
  }
  std::map<std::string, std::string> arrays = {{"ids", postgres::UuidArray(ids)}};
  std::string sets, unnested, names;
  for (size_t i = 0; i < columns.size(); ++i) {
    const std::string name = absl::StrCat("texts", i);
    arrays[name] = postgres::TextArray(texts[i]);
    absl::StrAppend(&sets, i == 0 ? "" : ", ", columns[i], " = x.", name);
    absl::StrAppend(&unnested, ", CAST(:", name, " AS text[])");
    absl::StrAppend(&names, ", ", name);
  }
  soci::statement statement(sql);
  for (const auto& [name, text] : arrays) statement.exchange(use(text, name));
  statement.alloc();
  statement.prepare(absl::StrCat("UPDATE stockalert_notifier.", table.name, " AS d SET ", sets,
                                 " FROM unnest(CAST(:ids AS uuid[])", unnested, ") AS x(id", names, ") WHERE d.",
                                 table.owner, " = x.id"));
  statement.define_and_bind();
  statement.execute(true);
}

BatchOutcome RotateBatch(soci::session& sql, const SealedTable& table, const SecretBox& box, const std::string& after,
                         int batch) {
  BatchOutcome outcome;
  std::vector<std::string> old;
  {
    soci::statement statement(sql);
    statement.exchange(use(after, "after"));
    statement.exchange(use(batch, "batch"));
    for (const SealedRow& row : FetchRows(
             statement,
             absl::StrCat(SelectRows(table), " > CAST(:after AS uuid) ORDER BY d.", table.owner, " LIMIT :batch"))) {
      outcome.last_id = row.id;
      if (HasSecrets(row)) ++outcome.counts.rows;
      if (HasOldSecrets(row, box)) old.push_back(row.id);
    }
  }
  if (old.empty()) return outcome;
  const std::string ids = postgres::UuidArray(old);
  // Lanes have the ids of destinations alone.
  LockLanes(sql, ids);
  soci::statement statement(sql);
  statement.exchange(use(ids, "ids"));
  std::vector<SealedRow> written;
  for (SealedRow& row : FetchRows(statement, absl::StrCat(SelectRows(table), " = ANY(CAST(:ids AS uuid[])) ORDER BY d.",
                                                          table.owner, " FOR UPDATE"))) {
    if (!HasOldSecrets(row, box)) continue;  // A notifier was faster.
    if (const absl::Status status = Reseal(box, row); !status.ok()) {
      CountUnreadable(row, status, outcome.counts);
    } else {
      written.push_back(std::move(row));
    }
  }
  if (!written.empty()) WriteRows(sql, table, written);
  outcome.counts.resealed = static_cast<int64_t>(written.size());
  return outcome;
}

void Add(const RotationCounts& more, RotationCounts& counts) {
  counts.rows += more.rows;
  counts.resealed += more.resealed;
  counts.lost += more.lost;
  counts.unreadable_count += more.unreadable_count;
  for (const std::string& id : more.unreadable) {
    if (counts.unreadable.size() < kUnreadableShownMax) counts.unreadable.push_back(id);
  }
  for (const auto& [cause, count] : more.causes) counts.causes[cause] += count;
}

absl::StatusOr<RotationCounts> RotateOnce(postgres::Pool& pool, const SealedTable& table, const SecretBox& box,
                                          int batch) {
  RotationCounts counts;
  for (std::string after = kFirstId;;) {
    STOCKALERT_ASSIGN_OR_RETURN(const BatchOutcome outcome,
                                postgres::Transact(pool, "secrets.rotate", Idempotency::kIdempotent,
                                                   [&](Connection& connection) -> absl::StatusOr<BatchOutcome> {
                                                     return RotateBatch(connection.sql(), table, box, after, batch);
                                                   }));
    if (outcome.last_id.empty()) return counts;
    const int64_t before = counts.rows;
    Add(outcome.counts, counts);
    after = outcome.last_id;
    if (before / kProgressEvery != counts.rows / kProgressEvery) {
      log::Info("encrypting secrets anew",
                {{"table", table.name}, {"rows", counts.rows}, {"encrypted_anew", counts.resealed}});
    }
  }
}

}  // namespace

absl::StatusOr<RotationCounts> RotateSecrets(postgres::Pool& pool, const SecretBox& box, int batch) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<SealedTable> tables, FindSealedTables(pool));
  int64_t resealed = 0;
  // What is created meanwhile may lie before the place that is reached: so until a pass finds nothing.
  for (int pass = 1; pass <= kRotationPassesMax; ++pass) {
    RotationCounts counts;
    for (const SealedTable& table : tables) {
      STOCKALERT_ASSIGN_OR_RETURN(const RotationCounts of_table, RotateOnce(pool, table, box, batch));
      Add(of_table, counts);
    }
    resealed += counts.resealed;
    if (counts.resealed == 0) {
      counts.resealed = resealed;
      return counts;
    }
  }
  return absl::AbortedError(
      "new secrets are still encrypted with an older key: restart all notifiers with this file of keys, then run this "
      "again");
}

void DeclareRotateSecrets(config::Parser& parser, RotateSecretsConfig& config) {
  postgres::DeclareDatabase(parser, config.postgres_url);
  parser.AddString("delivery_keys_file", &config.delivery_keys_file, config::kRequired,
                   "the notifiers' file of keys: the first one encrypts, and the older ones are needed to decrypt");
}

namespace {

absl::StatusOr<RotationCounts> Rotate(const RotateSecretsConfig& config, const SecretBox& box) {
  postgres::PoolOptions options;
  options.url = config.postgres_url;
  options.application_name = "stockalert-migrate";
  options.connections_max = 1;
  STOCKALERT_ASSIGN_OR_RETURN(const std::unique_ptr<postgres::Pool> pool, postgres::Pool::Create(options));
  return RotateSecrets(*pool, box, kBatch);
}

int Report(const RotationCounts& counts, const std::string& key_id) {
  std::printf("%lld rows with secrets, %lld encrypted anew with the key %s, %lld lost before, %lld unreadable\n",
              static_cast<long long>(counts.rows), static_cast<long long>(counts.resealed), key_id.c_str(),
              static_cast<long long>(counts.lost), static_cast<long long>(counts.unreadable_count));
  if (counts.unreadable_count == 0) return 0;
  for (const auto& [cause, count] : counts.causes)
    log::Error("secrets were left as they are", {{"cause", cause}, {"rows", count}});
  for (const std::string& id : counts.unreadable) log::Error("its secrets were left as they are", {{"id", id}});
  log::Error("remove no key: add those that are missing to the file, and run this again");
  return 1;
}

}  // namespace

int RunRotateSecrets(int argc, const char* const* argv) {
  RotateSecretsConfig config;
  config::Parser parser("stockalert-migrate rotate-secrets",
                        "Encrypts the secrets of all destinations with the first key of the file", version::Text());
  DeclareRotateSecrets(parser, config);
  const config::ParseResult parsed = parser.Parse(argc, argv);
  if (parsed.kind == config::ParseResult::Kind::kShow) {
    std::fputs(parsed.text.c_str(), stdout);
    return 0;
  }
  std::vector<std::string> errors = parsed.errors;
  std::optional<SecretBox> box;
  if (errors.empty()) {
    absl::StatusOr<SecretBox> read = SecretBox::FromFile(config.delivery_keys_file);
    if (read.ok()) box = *std::move(read);
    if (!box) errors.push_back(absl::StrCat("--delivery_keys_file: ", read.status().message()));
  }
  for (const std::string& error : errors) std::fprintf(stderr, "stockalert-migrate: %s\n", error.c_str());
  if (!errors.empty()) return 2;
  log::Configure("stockalert-migrate", log::Level::kInfo);
  const absl::StatusOr<RotationCounts> counts = Rotate(config, *box);
  if (!counts.ok()) {
    log::Error("what was done before this is done; mend it and run it again", {{"status", counts.status()}});
    return 1;
  }
  return Report(*counts, box->sealing_key_id());
}

}  // namespace stockalert::migrate
