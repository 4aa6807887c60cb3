#include "services/notifier/delivery/retry_schedule.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace stockalert::notifier {
namespace {

constexpr int64_t kNowUs = 1'700'000'000'000'000;  // 2023-11-14 22:13:20 UTC, a Tuesday.
constexpr double kMiddle = 0.5;                    // No jitter.

Verdict Failed(std::optional<absl::Duration> retry_after = std::nullopt) {
  return {VerdictKind::kRetry, "failed", retry_after};
}

absl::Duration PauseOf(const RetryDecision& decision) { return absl::Microseconds(decision.next_attempt_us - kNowUs); }

TEST_CASE("the whole schedule: eleven attempts over three days") {
  const std::vector<absl::Duration> pauses = {
      absl::ZeroDuration(), absl::Seconds(5), absl::Minutes(1), absl::Minutes(5), absl::Minutes(30), absl::Hours(2),
      absl::Hours(5),       absl::Hours(10),  absl::Hours(14),  absl::Hours(20),  absl::Hours(24)};
  REQUIRE(pauses.size() == kAttemptsMax);
  absl::Duration all;
  for (int number = 1; number <= kAttemptsMax; ++number) {
    INFO(number);
    const absl::Duration pause = pauses[static_cast<size_t>(number - 1)];
    CHECK(PauseBefore(number) == pause);
    all += pause;
    if (number == 1) continue;
    const RetryDecision decision = DecideNext(number - 1, Failed(), kMiddle, kNowUs);
    CHECK(decision.step == DeliveryStep::kRetry);
    CHECK(PauseOf(decision) == pause);
  }
  CHECK(all > absl::Hours(72));
  CHECK(DecideNext(kAttemptsMax, Failed(), kMiddle, kNowUs).step == DeliveryStep::kFailed);
  CHECK(DecideNext(kAttemptsMax + 1, Failed(), kMiddle, kNowUs).step == DeliveryStep::kFailed);
}

TEST_CASE("a pause varies by up to ten percent either way") {
  for (int made = 1; made < kAttemptsMax; ++made) {
    INFO(made);
    const absl::Duration pause = PauseBefore(made + 1);
    const auto at = [&](double fraction) { return PauseOf(DecideNext(made, Failed(), fraction, kNowUs)); };
    CHECK(at(0) == 0.9 * pause);
    CHECK(at(0.25) == 0.95 * pause);
    CHECK(at(0.999999) > 1.0999 * pause);
    CHECK(at(0.999999) <= 1.1 * pause);
  }
}

TEST_CASE("what a verdict means") {
  const std::pair<VerdictKind, DeliveryStep> cases[] = {{VerdictKind::kDelivered, DeliveryStep::kSucceeded},
                                                        {VerdictKind::kGone, DeliveryStep::kDisable},
                                                        {VerdictKind::kRefused, DeliveryStep::kFailed},
                                                        {VerdictKind::kRetry, DeliveryStep::kRetry}};
  for (const auto& [kind, step] : cases) CHECK(DecideNext(1, {kind, "", {}}, kMiddle, kNowUs).step == step);
}

TEST_CASE("the last attempt may succeed and may disable, too") {
  CHECK(DecideNext(kAttemptsMax, {}, kMiddle, kNowUs).step == DeliveryStep::kSucceeded);
  CHECK(DecideNext(kAttemptsMax, {VerdictKind::kGone, "", {}}, kMiddle, kNowUs).step == DeliveryStep::kDisable);
  CHECK(DecideNext(kAttemptsMax, Failed(absl::Seconds(1)), kMiddle, kNowUs).step == DeliveryStep::kFailed);
}

TEST_CASE("a request for quiet is obeyed where it is later than the schedule") {
  const auto after = [&](int made, absl::Duration retry_after) {
    return PauseOf(DecideNext(made, Failed(retry_after), kMiddle, kNowUs));
  };
  CHECK(after(1, absl::Minutes(10)) == absl::Minutes(10));
  CHECK(after(1, absl::Seconds(6)) == absl::Seconds(6));
  CHECK(after(1, absl::Seconds(4)) == absl::Seconds(5));
  CHECK(after(1, absl::ZeroDuration()) == absl::Seconds(5));
  CHECK(after(5, absl::Minutes(10)) == absl::Hours(2));
  CHECK(after(1, absl::Hours(24)) == absl::Hours(24));
  CHECK(after(1, absl::Hours(25)) == absl::Hours(24));
  CHECK(after(1, absl::InfiniteDuration()) == absl::Hours(24));
  CHECK(after(1, -absl::InfiniteDuration()) == absl::Seconds(5));
  // The schedule's longest pause with its jitter is later still.
  CHECK(PauseOf(DecideNext(10, Failed(absl::InfiniteDuration()), 0.999, kNowUs)) > absl::Hours(24));
}

struct Header {
  std::string value;
  absl::Duration pause;
};

TEST_CASE("Retry-After is parsed as seconds and as a date in each form") {
  const Header headers[] = {
      {"0", absl::ZeroDuration()},
      {"1", absl::Seconds(1)},
      {"120", absl::Minutes(2)},
      {" 120\t", absl::Minutes(2)},
      {"000120", absl::Minutes(2)},
      {"86400", absl::Hours(24)},
      {"86401", absl::Hours(24)},
      {"9223372036854775807", absl::Hours(24)},
      {"9223372036854775808", absl::Hours(24)},
      {std::string(10'000, '9'), absl::Hours(24)},
      {"Tue, 14 Nov 2023 22:23:20 GMT", absl::Minutes(10)},
      {"Tue, 14 Nov 2023 22:13:21 GMT", absl::Seconds(1)},
      {"Tue, 14 Nov 2023 22:13:20 GMT", absl::ZeroDuration()},
      {"Tue, 14 Nov 2023 22:13:19 GMT", absl::ZeroDuration()},
      {"Thu, 01 Jan 1970 00:00:00 GMT", absl::ZeroDuration()},
      {"Wed, 15 Nov 2023 22:13:20 GMT", absl::Hours(24)},
      {"Wed, 15 Nov 2023 22:13:21 GMT", absl::Hours(24)},
      {"Fri, 31 Dec 9999 23:59:59 GMT", absl::Hours(24)},
      {"Tuesday, 14-Nov-23 22:23:20 GMT", absl::Minutes(10)},
      {"Tue Nov 14 22:23:20 2023", absl::Minutes(10)},
      {"Thu Nov  2 22:23:20 2023", absl::ZeroDuration()},
  };
  for (const Header& header : headers) {
    INFO(header.value.substr(0, 40));
    CHECK(ParseRetryAfter(header.value, kNowUs) == header.pause);
  }
}

TEST_CASE("a malformed Retry-After is ignored") {
  for (const char* value : {"",
                            " ",
                            "-1",
                            "+1",
                            "1.5",
                            "1e3",
                            "0x10",
                            "1 2",
                            "10s",
                            "soon",
                            "NaN",
                            "inf",
                            "Tue, 14 Nov 2023 22:23:20",
                            "Tue, 14 Nov 2023 22:23:20 CET",
                            "Tue, 14 Nov 2023 25:23:20 GMT",
                            "Tue, 31 Feb 2023 22:23:20 GMT",
                            "2023-11-14T22:23:20Z",
                            "14 Nov 2023 22:23:20 GMT",
                            "Tue, 14 Nov 2023 22:23:20 GMT, 120",
                            "1\n2",
                            "\xd9\xa1\xd9\xa2"}) {
    INFO(value);
    CHECK_FALSE(ParseRetryAfter(value, kNowUs).has_value());
  }
  CHECK_FALSE(ParseRetryAfter(std::string("1\0002", 3), kNowUs).has_value());
  CHECK_FALSE(ParseRetryAfter(std::string(100'000, 'x'), kNowUs).has_value());
}

}  // namespace
}  // namespace stockalert::notifier
