#include "services/common/base/error.h"

#include <charconv>
#include <utility>

#include "absl/strings/cord.h"
#include "services/common/base/abseil.h"

namespace stockalert::base {
namespace {

constexpr char kPayloadUrl[] = "stockalert.dev/error_details";

// A payload is a row of netstrings ("5:hello"): reason, retry delay in µs or nothing, number of metadata, their keys
// and values, then fields and descriptions to the end.
void Put(std::string& out, std::string_view text) {
  out += std::to_string(text.size());
  out += ':';
  out += text;
}

class Reader {
 public:
  explicit Reader(std::string_view rest) : rest_(rest) {}
  bool empty() const { return rest_.empty(); }
  std::optional<std::string> ReadText() {
    size_t size = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), size);
    const size_t digits = static_cast<size_t>(end - rest_.data());
    if (error != std::errc() || digits >= rest_.size() || *end != ':' || size > rest_.size() - digits - 1)
      return std::nullopt;
    std::string text(rest_.substr(digits + 1, size));
    rest_.remove_prefix(digits + 1 + size);
    return text;
  }
  std::optional<int64_t> ReadNumber() {
    const std::optional<std::string> text = ReadText();
    int64_t number = 0;
    if (!text || text->empty()) return std::nullopt;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
    return number;
  }

 private:
  std::string_view rest_;
};

absl::Status Make(absl::StatusCode code, std::string_view reason, std::string_view message, Metadata metadata = {}) {
  return MakeError(code, message, ErrorDetails{std::string(reason), std::move(metadata), {}, std::nullopt});
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view message, const ErrorDetails& details) {
  std::string payload;
  Put(payload, details.reason);
  Put(payload, details.retry_delay ? std::to_string(absl::ToInt64Microseconds(*details.retry_delay)) : "");
  Put(payload, std::to_string(details.metadata.size()));
  for (const auto& [key, value] : details.metadata) {
    Put(payload, key);
    Put(payload, value);
  }
  for (const FieldViolation& violation : details.violations) {
    Put(payload, violation.field);
    Put(payload, violation.description);
  }
  absl::Status status(code, ToAbsl(message));
  status.SetPayload(kPayloadUrl, absl::Cord(payload));
  return status;
}

std::optional<ErrorDetails> FindErrorDetails(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadUrl);
  if (!payload) return std::nullopt;
  const std::string bytes(*payload);
  Reader reader(bytes);
  ErrorDetails details;
  std::optional<std::string> reason = reader.ReadText();
  if (!reason) return std::nullopt;
  details.reason = *std::move(reason);
  if (const std::optional<int64_t> delay_us = reader.ReadNumber()) details.retry_delay = absl::Microseconds(*delay_us);
  const std::optional<int64_t> count = reader.ReadNumber();
  if (!count) return std::nullopt;
  for (int64_t i = 0; i < *count; ++i) {
    std::optional<std::string> key = reader.ReadText();
    std::optional<std::string> value = reader.ReadText();
    if (!key || !value) return std::nullopt;
    details.metadata[*std::move(key)] = *std::move(value);
  }
  while (!reader.empty()) {
    std::optional<std::string> field = reader.ReadText();
    std::optional<std::string> description = reader.ReadText();
    if (!field || !description) return std::nullopt;
    details.violations.push_back({*std::move(field), *std::move(description)});
  }
  return details;
}

std::string ReasonOf(const absl::Status& status) {
  const std::optional<ErrorDetails> details = FindErrorDetails(status);
  return details ? details->reason : "";
}

absl::Status InvalidField(std::string_view field, std::string_view description, std::string_view reason) {
  FieldViolations violations;
  violations.Add(field, description, reason);
  return violations.ToStatus();
}

absl::Status InvalidArgument(std::string_view reason, std::string_view message) {
  return Make(absl::StatusCode::kInvalidArgument, reason, message);
}

absl::Status NotFound(std::string_view reason, std::string_view message, Metadata metadata) {
  return Make(absl::StatusCode::kNotFound, reason, message, std::move(metadata));
}

absl::Status AlreadyExists(std::string_view reason, std::string_view message, Metadata metadata) {
  return Make(absl::StatusCode::kAlreadyExists, reason, message, std::move(metadata));
}

absl::Status FailedPrecondition(std::string_view reason, std::string_view message, Metadata metadata) {
  return Make(absl::StatusCode::kFailedPrecondition, reason, message, std::move(metadata));
}

absl::Status Unauthenticated(std::string_view reason, std::string_view message) {
  return Make(absl::StatusCode::kUnauthenticated, reason, message);
}

absl::Status PermissionDenied(std::string_view reason, std::string_view message) {
  return Make(absl::StatusCode::kPermissionDenied, reason, message);
}

absl::Status Unavailable(std::string_view reason, std::string_view message, Metadata metadata) {
  return Make(absl::StatusCode::kUnavailable, reason, message, std::move(metadata));
}

absl::Status DeadlineExceeded(std::string_view reason, std::string_view message) {
  return Make(absl::StatusCode::kDeadlineExceeded, reason, message);
}

absl::Status Aborted(std::string_view reason, std::string_view message) {
  return Make(absl::StatusCode::kAborted, reason, message);
}

absl::Status EtagMismatch() {
  return Aborted("ETAG_MISMATCH",
                 "it has changed since the etag was read: read it again, then repeat the call with the new etag");
}

absl::Status ResourceExhausted(std::string_view reason, std::string_view message,
                               std::optional<absl::Duration> retry_delay, Metadata metadata) {
  return MakeError(absl::StatusCode::kResourceExhausted, message,
                   ErrorDetails{std::string(reason), std::move(metadata), {}, retry_delay});
}

absl::Status Internal(std::string_view message) { return Make(absl::StatusCode::kInternal, "INTERNAL", message); }

void FieldViolations::Add(std::string_view field, std::string_view description, std::string_view reason) {
  if (violations_.empty()) reason_ = reason;
  violations_.push_back({std::string(field), std::string(description)});
}

bool FieldViolations::Check(bool ok, std::string_view field, std::string_view description) {
  if (!ok) Add(field, description);
  return ok;
}

void FieldViolations::Merge(const absl::Status& status, std::string_view field, std::string_view prefix) {
  if (status.ok()) return;
  const auto below = [prefix](std::string_view path) {
    if (prefix.empty()) return std::string(path);
    return path.empty() ? std::string(prefix) : std::string(prefix) + "." + std::string(path);
  };
  const std::optional<ErrorDetails> details = FindErrorDetails(status);
  const std::string reason = details && !details->reason.empty() ? details->reason : kInvalidField;
  if (!details || details->violations.empty()) {
    Add(below(field), ToStd(status.message()), reason);
    return;
  }
  for (const FieldViolation& violation : details->violations)
    Add(below(violation.field), violation.description, reason);
}

absl::Status FieldViolations::ToStatus() const {
  if (ok()) return absl::OkStatus();
  std::string message;
  for (const FieldViolation& violation : violations_) {
    if (!message.empty()) message += "; ";
    message += violation.field + (violation.field.empty() ? "" : ": ") + violation.description;
  }
  return MakeError(absl::StatusCode::kInvalidArgument, message, ErrorDetails{reason_, {}, violations_, std::nullopt});
}

}  // namespace stockalert::base
