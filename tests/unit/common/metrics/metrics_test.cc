#include "services/common/metrics/metrics.h"

#include <catch2/catch.hpp>

namespace stockalert::metrics {
namespace {

TEST_CASE("the same name and labels are the same metric") {
  GetCounter("stockalert_test_things_total", "Things", {{"kind", "a"}}).Increment();
  GetCounter("stockalert_test_things_total", "Things", {{"kind", "a"}}).Increment(2);
  GetCounter("stockalert_test_things_total", "Things", {{"kind", "b\"\n"}}).Increment();
  GetGauge("stockalert_test_level", "Level").Set(7);
  GetHistogram("stockalert_test_seconds", "Seconds").Observe(0.003);
  const std::string text = ExpositionText();
  CHECK(text.find("stockalert_test_things_total{kind=\"a\"} 3") != std::string::npos);
  CHECK(text.find("stockalert_test_things_total{kind=\"b\\\"\\n\"} 1") != std::string::npos);
  CHECK(text.find("stockalert_test_level 7") != std::string::npos);
  CHECK(text.find("stockalert_test_seconds_bucket{le=\"0.005\"} 1") != std::string::npos);
  CHECK(text.find("# TYPE stockalert_test_seconds histogram") != std::string::npos);
}

}  // namespace
}  // namespace stockalert::metrics
