#include "services/common/mail/server_gate.h"

#include <catch2/catch.hpp>

#include "services/common/metrics/metrics.h"
#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::mail {
namespace {

const base::BackoffOptions kPauses = {.initial = absl::Seconds(1), .maximum = absl::Seconds(60), .jitter = 0};

double Available() { return metrics::GetGauge("stockalert_mail_server_available", "").Value(); }

TEST_CASE("a fault closes the gate for longer each time, up to the maximum; a sign of life opens it") {
  testing::FakeMonotonicClock clock;
  ServerGate gate(kPauses, clock);
  CHECK(gate.Wait() == absl::ZeroDuration());
  CHECK(Available() == 1);
  for (const int seconds : {1, 2, 4, 8, 16, 32, 60, 60}) {
    gate.NoteFault(gate.round(), "away");
    CHECK(gate.Wait() == absl::Seconds(seconds));
    CHECK(Available() == 0);
    clock.Advance(absl::Seconds(seconds) - absl::Microseconds(1));
    CHECK(gate.Wait() == absl::Microseconds(1));
    clock.Advance(absl::Microseconds(1));
    CHECK(gate.Wait() == absl::ZeroDuration());
  }
  gate.NoteAlive();
  CHECK(Available() == 1);
  gate.NoteFault(gate.round(), "away");
  CHECK(gate.Wait() == absl::Seconds(1));
}

TEST_CASE("tries that began together count as one") {
  testing::FakeMonotonicClock clock;
  ServerGate gate(kPauses, clock);
  const int64_t round = gate.round();
  const double faults = metrics::GetCounter("stockalert_mail_server_faults_total", "").Value();
  for (int i = 0; i < 10; ++i) gate.NoteFault(round, "away");
  CHECK(gate.Wait() == absl::Seconds(1));
  CHECK(metrics::GetCounter("stockalert_mail_server_faults_total", "").Value() == faults + 1);
}

TEST_CASE("a try that succeeds late opens a closed gate") {
  testing::FakeMonotonicClock clock;
  ServerGate gate(kPauses, clock);
  gate.NoteFault(gate.round(), "away");
  gate.NoteAlive();
  CHECK(gate.Wait() == absl::ZeroDuration());
}

}  // namespace
}  // namespace stockalert::mail
