#include "services/common/log/log.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace stockalert::log {
namespace {

TEST_CASE("a line is one JSON object with typed fields") {
  const std::string line = Format(Level::kWarning, "it \"broke\"\n",
                                  {{"alert_id", "a1"},
                                   {"count", 3},
                                   {"ratio", 0.5},
                                   {"late", true},
                                   {"error", absl::NotFoundError("gone")},
                                   {"took", absl::Milliseconds(5)},
                                   {"trace_id", "abc"}},
                                  absl::FromUnixMicros(1'500'000));
  CHECK(line.find('\n') == std::string::npos);
  const nlohmann::json json = nlohmann::json::parse(line);
  CHECK(json["time"] == "1970-01-01T00:00:01.500000Z");
  CHECK(json["level"] == "warning");
  CHECK(json["message"] == "it \"broke\"\n");
  CHECK(json["trace_id"] == "abc");
  CHECK(json["fields"]["alert_id"] == "a1");
  CHECK(json["fields"]["count"] == 3);
  CHECK(json["fields"]["ratio"] == 0.5);
  CHECK(json["fields"]["late"] == true);
  CHECK(json["fields"]["error"] == "NOT_FOUND: gone");
  CHECK(json["fields"]["took"] == "5ms");
  CHECK_FALSE(json["fields"].contains("trace_id"));
}

TEST_CASE("bytes that are no UTF-8 do not break a line") {
  const std::string line = Format(Level::kError, "\xff\xfe", {{"x", std::string("a\0b\xc3", 4)}}, absl::Now());
  CHECK_NOTHROW(nlohmann::json::parse(line));
}

TEST_CASE("log levels are read by their exact names") {
  CHECK(ParseLevel("debug") == Level::kDebug);
  CHECK(ParseLevel("error") == Level::kError);
  CHECK_FALSE(ParseLevel("ERROR"));
  CHECK_FALSE(ParseLevel(""));
}

TEST_CASE("a limiter lets one through an interval and counts the rest") {
  Limiter limiter(absl::Hours(1));
  CHECK(limiter.Allow() == 0);
  CHECK_FALSE(limiter.Allow());
  Limiter open(absl::ZeroDuration());
  CHECK(open.Allow());
  CHECK(open.Allow());
}

}  // namespace
}  // namespace stockalert::log
