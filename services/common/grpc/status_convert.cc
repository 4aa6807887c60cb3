#include "services/common/grpc/status_convert.h"

#include <google/protobuf/any.pb.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "services/common/base/abseil.h"
#include "services/common/base/error.h"

namespace stockalert::rpc {
namespace {

constexpr char kInternalText[] = "an internal error; the service's log says more";

// What one error may take of them, so that some of each kind fit. A message counts as it goes over the wire.
constexpr size_t kMessageBytesMax = 1024;
constexpr size_t kFieldBytesMax = 200;
constexpr size_t kDescriptionBytesMax = 300;
constexpr size_t kMetadataValueBytesMax = 200;
constexpr size_t kMetadataEntriesMax = 8;
// "and 1000000 more" and its framing.
constexpr size_t kMoreBytes = 32;
constexpr char kCut[] = "...";

struct Said {
  std::string reason;
  std::string message;
};

// What a status says that no factory of ours made: from a library, or with a system's own words.
Said Plain(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return {"UNAVAILABLE", "a part of the mesh does not answer: try again"};
    case absl::StatusCode::kAborted:
      return {"CONFLICT", "another change came between: try again"};
    case absl::StatusCode::kDeadlineExceeded:
      return {"DEADLINE_EXCEEDED", "the call's deadline has passed"};
    case absl::StatusCode::kCancelled:
      return {"CANCELLED", "the call was cancelled"};
    case absl::StatusCode::kResourceExhausted:
      return {"OVERLOADED", "too much at once: try again later"};
    case absl::StatusCode::kInvalidArgument:
      return {"INVALID_ARGUMENT", std::string(base::ToStd(status.message()))};
    case absl::StatusCode::kNotFound:
      return {"NOT_FOUND", std::string(base::ToStd(status.message()))};
    case absl::StatusCode::kAlreadyExists:
      return {"ALREADY_EXISTS", "it exists already"};
    case absl::StatusCode::kPermissionDenied:
      return {"PERMISSION_DENIED", std::string(base::ToStd(status.message()))};
    case absl::StatusCode::kUnauthenticated:
      return {"UNAUTHENTICATED", std::string(base::ToStd(status.message()))};
    case absl::StatusCode::kFailedPrecondition:
      return {"FAILED_PRECONDITION", "not possible in the present state"};
    case absl::StatusCode::kOutOfRange:
      return {"OUT_OF_RANGE", std::string(base::ToStd(status.message()))};
    case absl::StatusCode::kUnimplemented:
      return {"UNIMPLEMENTED", std::string(base::ToStd(status.message()))};
    default:
      return {"INTERNAL", kInternalText};
  }
}

// `grpc-message` is percent-encoded: all but printable ASCII takes three bytes.
size_t EncodedSize(char c) { return c >= 0x20 && c <= 0x7e && c != '%' ? 1 : 3; }

// The beginning of the text, cut between two characters where `cost` of its bytes comes to more than `budget`.
template <typename Cost>
std::string Cut(std::string_view text, size_t budget, Cost cost) {
  size_t spent = 0;
  size_t fits = 0;  // Up to here it stays within the budget with the mark behind it.
  for (size_t i = 0; i < text.size(); ++i) {
    const bool begins_character = (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80;
    if (begins_character && spent + sizeof(kCut) - 1 <= budget) fits = i;
    spent += cost(text[i]);
    if (spent > budget) return std::string(text.substr(0, fits)) + kCut;
  }
  return std::string(text);
}

std::string CutBytes(std::string_view text, size_t budget) {
  return Cut(text, budget, [](char) { return size_t{1}; });
}

std::string More(size_t count) { return "and " + std::to_string(count) + " more"; }

// The first of the violations alone: all that fit are in the details, and are not sent twice.
std::string MessageOf(const std::vector<base::FieldViolation>& violations) {
  const base::FieldViolation& first = violations.front();
  std::string text = CutBytes(first.field, kFieldBytesMax) + (first.field.empty() ? "" : ": ") +
                     CutBytes(first.description, kDescriptionBytesMax);
  if (violations.size() > 1) text += "; " + More(violations.size() - 1);
  return text;
}

// Adds as many of the violations as leave the details within `bytes_max`, and how many there were beyond.
void AddViolations(const std::vector<base::FieldViolation>& violations, size_t bytes_max, google::rpc::Status& wire) {
  google::rpc::BadRequest bad_request;
  // The type's URL and the framing of the Any.
  size_t bytes = wire.ByteSizeLong() + sizeof("type.googleapis.com/google.rpc.BadRequest") + 16;
  size_t added = 0;
  for (const base::FieldViolation& violation : violations) {
    google::rpc::BadRequest::FieldViolation one;
    one.set_field(CutBytes(violation.field, kFieldBytesMax));
    one.set_description(CutBytes(violation.description, kDescriptionBytesMax));
    const size_t cost = one.ByteSizeLong() + 4;
    const bool last = added + 1 == violations.size();
    if (added == kViolationsMax || bytes + cost + (last ? 0 : kMoreBytes) > bytes_max) break;
    bytes += cost;
    ++added;
    *bad_request.add_field_violations() = std::move(one);
  }
  if (added < violations.size()) bad_request.add_field_violations()->set_description(More(violations.size() - added));
  wire.add_details()->PackFrom(bad_request);
}

bool IsInternal(absl::StatusCode code) {
  return code == absl::StatusCode::kInternal || code == absl::StatusCode::kUnknown ||
         code == absl::StatusCode::kDataLoss;
}

}  // namespace

::grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return ::grpc::Status::OK;
  Said said = Plain(status);
  const std::optional<base::ErrorDetails> details = base::FindErrorDetails(status);
  const bool internal = IsInternal(status.code());
  if (details && !internal) {
    said.message = std::string(base::ToStd(status.message()));
    if (!details->reason.empty()) said.reason = details->reason;
  }
  const auto code = static_cast<::grpc::StatusCode>(internal ? absl::StatusCode::kInternal : status.code());

  if (details && !internal && !details->violations.empty()) said.message = MessageOf(details->violations);
  said.message = Cut(said.message, kMessageBytesMax, EncodedSize);
  size_t message_bytes = 0;
  for (const char c : said.message) message_bytes += EncodedSize(c);

  google::rpc::Status wire;
  wire.set_code(code);
  // What reads the details wants the very message of the status in them.
  wire.set_message(said.message);
  google::rpc::ErrorInfo info;
  info.set_reason(CutBytes(said.reason, kMetadataValueBytesMax));
  info.set_domain(kErrorDomain);
  if (details && !internal) {
    for (const auto& [key, value] : details->metadata) {
      if (static_cast<size_t>(info.metadata_size()) == kMetadataEntriesMax || key.size() > kMetadataValueBytesMax)
        break;
      (*info.mutable_metadata())[key] = CutBytes(value, kMetadataValueBytesMax);
    }
  }
  google::rpc::RetryInfo retry;
  if (details && details->retry_delay) {
    const int64_t delay_us = absl::ToInt64Microseconds(*details->retry_delay);
    retry.mutable_retry_delay()->set_seconds(delay_us / 1'000'000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(delay_us % 1'000'000) * 1000);
  }
  // What is left of the bytes once base64 has made four of three.
  const size_t details_max = (kErrorBytesMax - message_bytes) / 4 * 3 - 4;
  const auto pack = [&] {
    wire.clear_details();
    wire.add_details()->PackFrom(info);
    if (details && details->retry_delay) wire.add_details()->PackFrom(retry);
  };
  pack();
  if (wire.ByteSizeLong() > details_max) {
    // Only a fault of ours makes so much metadata; what is wrong still gets through.
    info.clear_metadata();
    pack();
  }
  if (details && !internal && !details->violations.empty()) {
    AddViolations(details->violations, details_max, wire);
    // As readers expect them: what is wrong before when to try again.
    if (wire.details_size() == 3) wire.mutable_details()->SwapElements(1, 2);
  }
  return ::grpc::Status(code, said.message, wire.SerializeAsString());
}

absl::Status FromGrpc(const ::grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  google::rpc::Status wire;
  base::ErrorDetails details;
  bool found = false;
  if (!status.error_details().empty() && wire.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& any : wire.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::BadRequest bad_request;
      google::rpc::RetryInfo retry;
      if (any.Is<google::rpc::ErrorInfo>() && any.UnpackTo(&info)) {
        found = true;
        details.reason = info.reason();
        for (const auto& [key, value] : info.metadata()) details.metadata[key] = value;
      } else if (any.Is<google::rpc::BadRequest>() && any.UnpackTo(&bad_request)) {
        for (const auto& violation : bad_request.field_violations()) {
          details.violations.push_back({violation.field(), violation.description()});
        }
      } else if (any.Is<google::rpc::RetryInfo>() && any.UnpackTo(&retry)) {
        details.retry_delay =
            absl::Seconds(retry.retry_delay().seconds()) + absl::Nanoseconds(retry.retry_delay().nanos());
      }
    }
  }
  if (!found) return absl::Status(code, base::ToAbsl(status.error_message()));
  return base::MakeError(code, status.error_message(), details);
}

}  // namespace stockalert::rpc
