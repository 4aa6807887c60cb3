// The flags of `alert create` and `alert update`, and the alert or the change that they make. Not thread-safe.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "stockalert/alert/v1/alert.pb.h"

namespace stockalert::client {

// Empty: not given.
struct AlertFlags {
  std::string symbol;
  std::string at_or_above, at_or_below, crosses;
  std::string up, down, either, from, given, window;
  std::string falls_from_high, rises_from_low, activation;
  std::string enters, leaves;
  std::string policy, cooldown, hysteresis, creation, sessions, expires, note;
  std::string destinations;  // Ids or full names, separated by spaces.
  std::string delivery;      // "defaults" or "none".
  std::string critical;      // "true" or "false".

  // Those of a new alert, its symbol included.
  void Declare(CLI::App& command);
  // Those that can change.
  void DeclareChange(CLI::App& command);

  // INVALID_ARGUMENT (WRONG_USAGE): no condition, flags that contradict each other, or a value that cannot be read.
  // What the values mean is the service's to judge.
  absl::StatusOr<alert::v1::Alert> Make(absl::Time now) const;
  // Likewise; of the alert only what is to change is set, and named in the mask.
  absl::StatusOr<alert::v1::UpdateAlertRequest> MakeChange(absl::Time now) const;

  // Which of them makes a field of a request: "alert.condition.price_target.price" → "--at_or_above".
  std::string FlagOf(const std::string& field) const;

 private:
  struct Named {
    const char* flag;
    const std::string& value;
  };
  std::vector<Named> Conditions() const;
  // The condition's flags that are given.
  std::vector<std::string> GivenConditions() const;
  bool IsPercent() const { return !up.empty() || !down.empty() || !either.empty(); }
  bool IsTrailing() const { return !falls_from_high.empty() || !rises_from_low.empty(); }
  absl::Status CheckCondition() const;
  absl::Status CheckReference() const;
  absl::Status CheckPolicy(const std::string& policy_otherwise) const;
  absl::StatusOr<alert::v1::Condition> MakeCondition() const;
  // Returns whether it is to change where notifications go.
  absl::StatusOr<bool> SetDelivery(alert::v1::Alert& alert) const;

  bool changes_note_ = false;  // An empty one may be wanted.
};

}  // namespace stockalert::client
