#include "services/common/grpc/status_convert.h"

#include <catch2/catch.hpp>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "services/common/base/error.h"
#include "services/common/grpc/channel.h"

namespace stockalert::rpc {
namespace {

google::rpc::Status Wire(const ::grpc::Status& status) {
  google::rpc::Status wire;
  REQUIRE(wire.ParseFromString(status.error_details()));
  return wire;
}

TEST_CASE("every error carries an ErrorInfo, the same code and message inside and outside") {
  const absl::Status statuses[] = {base::NotFound("USER_NOT_FOUND", "no", {{"name", "users/1"}}),
                                   absl::UnavailableError("libpq: host db1"),
                                   absl::InternalError("SELECT * FROM users"),
                                   absl::UnknownError("bad_alloc"),
                                   base::Internal("secret"),
                                   absl::AbortedError("SQLSTATE 40001"),
                                   base::EtagMismatch()};
  for (const absl::Status& status : statuses) {
    const ::grpc::Status sent = ToGrpc(status);
    const google::rpc::Status wire = Wire(sent);
    INFO(status.ToString());
    CHECK(wire.code() == sent.error_code());
    CHECK(wire.message() == sent.error_message());
    google::rpc::ErrorInfo info;
    REQUIRE(wire.details_size() >= 1);
    REQUIRE(wire.details(0).UnpackTo(&info));
    CHECK(info.domain() == "stockalert.dev");
    CHECK_FALSE(info.reason().empty());
    for (const char* leak : {"SELECT", "libpq", "bad_alloc", "secret", "40001"}) {
      CHECK(sent.error_message().find(leak) == std::string::npos);
    }
  }
  CHECK(ToGrpc(absl::OkStatus()).ok());
  CHECK(ToGrpc(absl::UnknownError("x")).error_code() == ::grpc::StatusCode::INTERNAL);
}

TEST_CASE("violations, metadata and delays survive the way there and back") {
  base::FieldViolations violations;
  violations.Add("email", "is required");
  violations.Add("display_name", "must have 1 to 100 characters");
  const absl::Status statuses[] = {
      violations.ToStatus(),
      base::ResourceExhausted("RATE_LIMITED", "too many", absl::Milliseconds(1500), {{"limit", "5"}}),
      base::Unavailable("TICKER_SERVICE_UNAVAILABLE", "down"), base::AlreadyExists("EMAIL_TAKEN", "taken")};
  for (const absl::Status& status : statuses) {
    const absl::Status back = FromGrpc(ToGrpc(status));
    CHECK(back.code() == status.code());
    // Of several violations the message names the first.
    CHECK(back.message() ==
          (&status == &statuses[0] ? absl::string_view("email: is required; and 1 more") : status.message()));
    const auto expected = base::FindErrorDetails(status);
    const auto found = base::FindErrorDetails(back);
    REQUIRE(found);
    CHECK(found->reason == expected->reason);
    CHECK(found->metadata == expected->metadata);
    CHECK(found->violations == expected->violations);
    CHECK(found->retry_delay == expected->retry_delay);
  }
  google::rpc::BadRequest bad_request;
  REQUIRE(Wire(ToGrpc(statuses[0])).details(1).UnpackTo(&bad_request));
  CHECK(bad_request.field_violations_size() == 2);
}

// What the error takes of the headers: counted apart from the code that keeps it small.
size_t HeaderBytes(const ::grpc::Status& status) {
  size_t message = 0;
  for (const unsigned char c : status.error_message()) message += c < 0x20 || c > 0x7e || c == '%' ? 3 : 1;
  return message + (status.error_details().size() + 2) / 3 * 4;
}

TEST_CASE("an error stays small whatever it holds, and says how much it left out") {
  const auto violations = [](size_t count, const std::string& field, const std::string& description) {
    base::FieldViolations all;
    for (size_t i = 0; i < count; ++i) all.Add(field + "[" + std::to_string(i) + "]", description);
    return all.ToStatus();
  };
  std::string umlauts;
  for (int i = 0; i < 100'000; ++i) umlauts += "\u00e4";
  base::Metadata much;
  for (int i = 0; i < 1000; ++i) much["key " + std::to_string(i)] = std::string(300, 'v');
  const std::string symbol_rule =
      "must be 1 to 32 characters: a letter or digit, then letters, digits and . - : ^ = _ as in AAPL or BRK.B";
  const absl::Status statuses[] = {violations(20, "symbols", symbol_rule),
                                   violations(100, "requests[0].alert.condition.price_target.price", symbol_rule),
                                   violations(100'000, "states", "is no known value"),
                                   violations(3, std::string(10'000, 'f'), umlauts),
                                   violations(1, "name", umlauts),
                                   violations(21, umlauts, "%%%%"),
                                   base::NotFound("X", umlauts, much),
                                   base::NotFound("X", std::string(100'000, '%'), {{std::string(10'000, 'k'), "v"}}),
                                   base::NotFound(std::string(10'000, 'R'), "no"),
                                   base::ResourceExhausted("RATE_LIMITED", umlauts, absl::Seconds(1), much),
                                   absl::InvalidArgumentError(std::string(1'000'000, 'x'))};
  for (const absl::Status& status : statuses) {
    const ::grpc::Status sent = ToGrpc(status);
    INFO(sent.error_message());
    CHECK(HeaderBytes(sent) <= 4096);
    const google::rpc::Status wire = Wire(sent);
    CHECK(wire.message() == sent.error_message());
    const auto expected = base::FindErrorDetails(status);
    const auto found = base::FindErrorDetails(FromGrpc(sent));
    REQUIRE(found);
    if (!expected) continue;
    CHECK(found->retry_delay == expected->retry_delay);
    if (expected->violations.empty()) continue;
    REQUIRE_FALSE(found->violations.empty());
    CHECK(found->violations.size() <= kViolationsMax + 1);
    // What is there and what is said to be more are all there are.
    size_t told = found->violations.size();
    if (found->violations.back().field.empty()) {
      const std::string& more = found->violations.back().description;
      REQUIRE(more.starts_with("and "));
      told += std::stoul(more.substr(4)) - 1;
    }
    CHECK(told == expected->violations.size());
  }
  // Twenty ordinary ones, as many bad symbols make, are all there, and each once: none of them is in the message but
  // the first.
  const auto twenty = base::FindErrorDetails(FromGrpc(ToGrpc(statuses[0])));
  CHECK(twenty->violations.size() >= 15);
  CHECK(ToGrpc(statuses[0]).error_message() == "symbols[0]: " + symbol_rule + "; and 19 more");
  // A cut leaves no half of a character.
  const std::string cut = ToGrpc(statuses[6]).error_message();
  CHECK(cut.ends_with("\u00e4..."));
  // What fits is not cut.
  const std::string fits(1024, 'x');
  CHECK(ToGrpc(base::NotFound("X", fits)).error_message() == fits);
}

TEST_CASE("gRPC's own errors come back without a reason") {
  const absl::Status status = FromGrpc(::grpc::Status(::grpc::StatusCode::UNAVAILABLE, "failed to connect"));
  CHECK(status.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(status).empty());
  CHECK(FromGrpc(::grpc::Status(::grpc::StatusCode::INTERNAL, "x", "garbage\xff")).code() ==
        absl::StatusCode::kInternal);
}

TEST_CASE("a peer's failure becomes the caller's error") {
  CHECK(PeerFailure(absl::OkStatus(), "R", "ticker service").ok());
  const absl::Status unknown = base::InvalidField("symbol", "unknown", "UNKNOWN_SYMBOL");
  CHECK(PeerFailure(unknown, "R", "ticker service") == unknown);
  for (const absl::Status& status :
       {absl::UnavailableError("x"), absl::DeadlineExceededError("x"), absl::InternalError("x"),
        base::Unauthenticated("MESH_TOKEN_INVALID", "x"), absl::NotFoundError("x")}) {
    const absl::Status failure = PeerFailure(status, "TICKER_SERVICE_UNAVAILABLE", "ticker service");
    CHECK(failure.code() == absl::StatusCode::kUnavailable);
    CHECK(base::ReasonOf(failure) == "TICKER_SERVICE_UNAVAILABLE");
  }
}

}  // namespace
}  // namespace stockalert::rpc
