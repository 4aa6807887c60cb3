#include "services/common/base/backoff.h"

#include <catch2/catch.hpp>

namespace stockalert::base {
namespace {

TEST_CASE("pauses double up to the maximum, and begin again after a success") {
  Backoff backoff({.initial = absl::Milliseconds(100), .maximum = absl::Milliseconds(350)}, [] { return 0.0; });
  CHECK(backoff.Next() == absl::Milliseconds(100));
  CHECK(backoff.Next() == absl::Milliseconds(200));
  CHECK(backoff.Next() == absl::Milliseconds(350));
  CHECK(backoff.Next() == absl::Milliseconds(350));
  backoff.Reset();
  CHECK(backoff.Next() == absl::Milliseconds(100));
}

TEST_CASE("jitter shortens a pause by at most its share") {
  Backoff backoff({.initial = absl::Milliseconds(100), .maximum = absl::Seconds(1), .jitter = 0.5},
                  [] { return 0.999; });
  const absl::Duration pause = backoff.Next();
  CHECK(pause >= absl::Milliseconds(50));
  CHECK(pause < absl::Milliseconds(51));
  for (int i = 0; i < 1000; ++i) {
    const double fraction = RandomFraction();
    REQUIRE(fraction >= 0.0);
    REQUIRE(fraction < 1.0);
  }
}

}  // namespace
}  // namespace stockalert::base
