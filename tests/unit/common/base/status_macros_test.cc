#include "services/common/base/status_macros.h"

#include <catch2/catch.hpp>
#include <memory>

namespace stockalert::base {
namespace {

absl::StatusOr<std::unique_ptr<int>> Make(int value) {
  if (value < 0) return absl::OutOfRangeError("negative");
  return std::make_unique<int>(value);
}

absl::StatusOr<int> Sum(int a, int b) {
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<int> first, Make(a));
  STOCKALERT_ASSIGN_OR_RETURN(const std::unique_ptr<int> second, Make(b));
  STOCKALERT_RETURN_IF_ERROR(absl::OkStatus());
  return *first + *second;
}

TEST_CASE("values are assigned, errors returned") {
  CHECK(*Sum(1, 2) == 3);
  CHECK(Sum(-1, 2).status() == absl::OutOfRangeError("negative"));
  CHECK(Sum(1, -2).status() == absl::OutOfRangeError("negative"));
}

}  // namespace
}  // namespace stockalert::base
