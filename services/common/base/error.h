// The errors of StockAlert: absl::Status with a machine-readable reason, metadata, field violations and a retry delay.
//
// Handlers and logic make errors by these factories only; common/grpc turns them into google.rpc details once. `reason`
// is SCREAMING_SNAKE and part of the contract. `message` is for people: it says what is wrong and what to do, and holds
// no secret. Pure and thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace stockalert::base {

using Metadata = std::map<std::string, std::string>;

struct FieldViolation {
  std::string field;        // "condition.price_target.price"
  std::string description;  // "must be above 0"
  bool operator==(const FieldViolation&) const = default;
};

struct ErrorDetails {
  std::string reason;
  Metadata metadata;
  std::vector<FieldViolation> violations;
  std::optional<absl::Duration> retry_delay;
};

// `code` must not be OK.
absl::Status MakeError(absl::StatusCode code, std::string_view message, const ErrorDetails& details);
// None for a status that MakeError did not make.
std::optional<ErrorDetails> FindErrorDetails(const absl::Status& status);
// The reason, or empty.
std::string ReasonOf(const absl::Status& status);

inline constexpr char kInvalidField[] = "INVALID_FIELD";

// INVALID_ARGUMENT about one field.
absl::Status InvalidField(std::string_view field, std::string_view description,
                          std::string_view reason = kInvalidField);
// INVALID_ARGUMENT about no field in particular.
absl::Status InvalidArgument(std::string_view reason, std::string_view message);

absl::Status NotFound(std::string_view reason, std::string_view message, Metadata metadata = {});
absl::Status AlreadyExists(std::string_view reason, std::string_view message, Metadata metadata = {});
absl::Status FailedPrecondition(std::string_view reason, std::string_view message, Metadata metadata = {});
absl::Status Unauthenticated(std::string_view reason, std::string_view message);
absl::Status PermissionDenied(std::string_view reason, std::string_view message);
// Nothing was done; the same call may be tried again.
absl::Status Unavailable(std::string_view reason, std::string_view message, Metadata metadata = {});
absl::Status DeadlineExceeded(std::string_view reason, std::string_view message);
absl::Status Aborted(std::string_view reason, std::string_view message);
// ABORTED, ETAG_MISMATCH.
absl::Status EtagMismatch();
absl::Status ResourceExhausted(std::string_view reason, std::string_view message,
                               std::optional<absl::Duration> retry_delay = std::nullopt, Metadata metadata = {});
// `message` goes to the log only: clients see a fixed text.
absl::Status Internal(std::string_view message);

// Collects everything that is wrong with a request, to report it at once.
class FieldViolations {
 public:
  void Add(std::string_view field, std::string_view description, std::string_view reason = kInvalidField);
  // Adds the violation where `ok` is false; answers `ok`.
  bool Check(bool ok, std::string_view field, std::string_view description);
  // Takes over the violations of an INVALID_ARGUMENT (or, where it has none, its message on `field`), each below
  // `prefix` + '.'. Does nothing with OK.
  void Merge(const absl::Status& status, std::string_view field = "", std::string_view prefix = "");

  bool ok() const { return violations_.empty(); }
  // OK where there are none. The reason is that of the first violation.
  absl::Status ToStatus() const;

 private:
  std::string reason_;
  std::vector<FieldViolation> violations_;
};

}  // namespace stockalert::base
