// The database's roles: one a service, with rights on the rows of its own schema alone, and beside them `maintenance`
// (deploy/retention.sql, dead letters) and `audit` (reads what scripts/audit reads).
//
// stockalert-migrate makes them where its own role may, and grants what they need, again and again the same: what was
// granted besides on the mesh's tables is taken back. Default privileges cover the tables of later migrations. Where it
// may not, the operator runs what RolesSql says (`stockalert-migrate roles | psql`), and the check tells what is
// missing. Passwords never stand in SQL: what is sent is the SCRAM verifier, computed here. Not thread-safe; called by
// main alone.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/postgres/pool.h"
#include "services/tools/migrate/config.h"

namespace stockalert::migrate {

// What has a role: user, ticker, alert, evaluator, notifier, maintenance, audit.
const std::vector<std::string>& RoleKeys();

// Key → the role's name: "user=NAME,..." over the default stockalert_KEY. INVALID_ARGUMENT: unknown keys, names that
// are none, one name twice.
absl::StatusOr<std::map<std::string, std::string>> ParseRoleNames(const std::string& text);

// The SQL that makes the roles and grants them what they need, as psql and PQexec take it; may be run again. For a role
// with the right to make roles that owns the mesh's schemas, or a superuser, in the mesh's database, after the
// migrations.
std::string RolesSql(const std::map<std::string, std::string>& names);

// What is not as it has to be, in words: roles that are missing, rights that they lack or have too many. Empty: all is
// well.
absl::StatusOr<std::vector<std::string>> CheckRoles(postgres::Pool& pool,
                                                    const std::map<std::string, std::string>& names);

// Makes, grants, sets passwords and checks, as config.postgres_roles says: `off` does nothing, `auto` prints what it
// could not do and goes on, `required` is FAILED_PRECONDITION then. Runs after MigrateSchemas.
absl::Status MigrateRoles(postgres::Pool& pool, const Config& config);

}  // namespace stockalert::migrate
