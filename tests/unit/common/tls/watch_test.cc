#include "services/common/tls/watch.h"

#include <catch2/catch.hpp>

#include "services/common/metrics/metrics.h"
#include "services/common/tls/files.h"
#include "tests/support/certificates/certificates.h"

namespace stockalert::tls {
namespace {

double Gauge(const std::string& name) { return metrics::GetGauge(name, "", {{"file_role", "test"}}).Value(); }

// The watch has a thread of its own, whose looks cannot be seen but by what they set.
bool Becomes(const std::string& name, double value) {
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (Gauge(name) != value) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return true;
}

TEST_CASE("a watch shows expiry, unfit files, and that they were mended") {
  const testing::Authority authority("a");
  const absl::Time first = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()) + 1000);
  const absl::Time second = first + absl::Seconds(1000);
  testing::Wanted wanted;
  wanted.end = first;
  const testing::Identity before = authority.Issue(wanted);
  wanted.end = second;
  const testing::Identity after = authority.Issue(wanted);
  testing::SwappedFolder folder({{"crt", before.certificate}, {"key", before.key}});
  const std::string certificate = folder.Path("crt");
  const std::string key = folder.Path("key");
  const Watch watch({{.role = "test",
                      .paths = {certificate, key},
                      .check = [=] { return CheckIdentity({"--cert", certificate}, {"--key", key}, Purpose::kServer); },
                      .on_change = "used"}},
                    absl::Milliseconds(5));
  const std::string expiry = "stockalert_tls_certificate_expiry_time_seconds";
  const std::string unusable = "stockalert_tls_files_unusable";
  REQUIRE(Becomes(expiry, static_cast<double>(absl::ToUnixSeconds(first))));
  CHECK(Gauge(unusable) == 0);

  folder.Swap({{"crt", after.certificate}, {"key", before.key}});
  REQUIRE(Becomes(unusable, 1));
  CHECK(Gauge(expiry) == static_cast<double>(absl::ToUnixSeconds(first)));

  folder.Swap({{"crt", after.certificate}, {"key", after.key}});
  REQUIRE(Becomes(unusable, 0));
  CHECK(Gauge(expiry) == static_cast<double>(absl::ToUnixSeconds(second)));
}

}  // namespace
}  // namespace stockalert::tls
