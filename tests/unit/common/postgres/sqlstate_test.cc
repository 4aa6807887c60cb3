#include "services/common/postgres/sqlstate.h"

#include <catch2/catch.hpp>

namespace stockalert::postgres {
namespace {

using base::FailureKind;

TEST_CASE("only errors that are certainly the record's own are of the record") {
  for (const char* state : {"22021", "22P02", "22003", "22001", "22P05", "22008", "23502", "23514", "54000", "54001"}) {
    INFO(state);
    CHECK(FailureKindOfSqlState(state) == FailureKind::kOfRecord);
  }
}

TEST_CASE("what passes, or an operator has to mend, is tried again: nothing of it is put aside") {
  for (const char* state : {"08006", "08001", "25006", "40001", "40P01", "53000", "53100", "53200", "53300",
                            "55P03", "55006", "57014", "57P01", "57P03", "58030", "28P01", "3D000", "3F000",
                            "42501", "42P01", "42703", "42883", "42704", "23505", "23503"}) {
    INFO(state);
    CHECK(FailureKindOfSqlState(state) == FailureKind::kPassing);
  }
}

TEST_CASE("what is neither holds its partition alone") {
  for (const char* state :
       {"", "     ", "42601", "42804", "21000", "0A000", "P0001", "XX000", "XX001", "22023", "23000", "221", "none"}) {
    INFO(state);
    CHECK(FailureKindOfSqlState(state) == FailureKind::kUnclear);
  }
}

}  // namespace
}  // namespace stockalert::postgres
