// The flags of `alert create`, and the alert that they make. Not thread-safe.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "stockalert/alert/v1/alert.pb.h"

namespace stockalert::client {

struct AlertFlags {
  std::string symbol;
  std::string at_or_above, at_or_below, crosses;
  std::string up, down, either, from = "arming", given, window;
  std::string falls_from_high, rises_from_low, activation;
  std::string enters, leaves;
  std::string policy = "once", cooldown, hysteresis, creation = "fire_if_met", sessions = "regular", expires, note;

  void Declare(CLI::App& command);
  // INVALID_ARGUMENT: not exactly one condition, or a value that cannot be read. What the values mean is the service's
  // to judge.
  absl::StatusOr<alert::v1::Alert> Make(absl::Time now) const;
};

}  // namespace stockalert::client
