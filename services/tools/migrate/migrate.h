// Makes database and broker ready for the mesh: the job that runs before the services, once an installation or upgrade.
//
// Running it again is harmless, and two at once wait for each other (an advisory lock). Every wait is bounded; what it
// cannot do it says, and changes nothing further. Not thread-safe; called by main alone.
#pragma once

#include "absl/status/status.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/postgres/pool.h"
#include "services/tools/migrate/config.h"

namespace stockalert::migrate {

// What is recorded of the topics, where it is not there yet.
inline constexpr char kTopicsTableSql[] =
    "CREATE SCHEMA IF NOT EXISTS mesh;\n"
    "CREATE TABLE IF NOT EXISTS mesh.topics (\n"
    "  name text PRIMARY KEY,\n"
    "  partitions integer NOT NULL CHECK (partitions > 0),\n"
    "  recorded_at timestamptz NOT NULL DEFAULT now());\n";

// Applies the SQL files of every service below `config.schema_dir`, in the order of the services' names.
absl::Status MigrateSchemas(postgres::Pool& pool, const Config& config);

// Creates the topics that are missing, and holds those that are there to what the mesh relies on: the number of
// partitions of `prices` that was recorded at the first run (FAILED_PRECONDITION where it differs: a symbol must stay
// in its partition), and the broker's append time as a record's time.
absl::Status MigrateTopics(postgres::Pool& pool, kafka::TopicAdmin& admin, const Config& config);

// Both, the roles (roles.h) between them and the ACLs (acls.h) after them, after waiting for Postgres and Kafka.
absl::Status Migrate(const Config& config);

}  // namespace stockalert::migrate
