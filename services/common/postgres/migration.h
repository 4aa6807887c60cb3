// Applies numbered SQL files to a schema, which it creates where it is missing, each once, each in a transaction of its
// own, under an advisory lock.
//
// What has been applied is recorded in mesh.migrations (schema, number, name, SHA-256). A file that was changed after
// it had been applied, and a number that is missing or used twice, are errors that change nothing. A database that is
// ahead of the files, as after a rollback, is left as it is, with a warning: schemas are compatible with the version
// before.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/postgres/pool.h"

namespace stockalert::postgres {

struct Migration {
  int number = 0;
  std::string name;  // The file's: "0001_users.sql".
  std::string sql;
  std::string sha256_hex;
};

// The files NNNN_name.sql of a folder, in order. NOT_FOUND: there are none. INVALID_ARGUMENT: numbers not 1, 2, 3...
absl::StatusOr<std::vector<Migration>> ReadMigrations(const std::string& folder);

// Keeps other migration jobs out of this database until the transaction's end.
absl::Status LockMigrations(Connection& connection);

// Runs the project's own SQL, several statements at once and without parameters. Answers what Postgres says of it: that
// holds nobody's data.
absl::Status ExecuteScript(Connection& connection, const std::string& sql);

// Returns the names of the files applied now. FAILED_PRECONDITION: the recorded ones differ from the files.
absl::StatusOr<std::vector<std::string>> ApplyMigrations(Pool& pool, const std::string& schema,
                                                         const std::vector<Migration>& migrations);

}  // namespace stockalert::postgres
