// Whether a retry can help, by SQLSTATE: the one table. Pure and thread-safe.
//
//   - of the record (it can go to the dead letters): 22 data exceptions except 22023; 23502 NOT NULL; 23514 CHECK; 54
//     limits of the program (a row too large for its index, a value nested too deep)
//   - passing (the same is tried again): 08 connection; 25006 read only; 40 conflicts; 53 disk, memory, connections; 55
//     locks, objects in use; 57 shutdown, cancelled, timeouts; 58 files of the server; 28, 3D, 3F, 42501 permissions,
//     database, schema (an operator mends these); 42P01, 42703, 42883, 42704 a missing table, column, function or type
//     (a migration has not run yet); 23505 unique (another instance was faster, and the next try sees its row); 23503
//     foreign key (the other row may come)
//   - unclear (the record's partition is held): everything else: other 42 (a bug of the program); 21; 0A; P0
//   (somebody's
//     trigger); XX broken pages; and errors that are not Postgres's
//
// A record is blamed only after it has failed alone.
#pragma once

#include <string_view>

#include "services/common/base/failure_kind.h"

namespace stockalert::postgres {

// Of five characters; anything else is unclear.
base::FailureKind FailureKindOfSqlState(std::string_view sqlstate);

}  // namespace stockalert::postgres
