#include "services/common/grpc/request_validation.h"

#include <catch2/catch.hpp>
#include <set>

#include "stockalert/alert/v1/alert.pb.h"
#include "stockalert/internal/v1/alert_internal.pb.h"
#include "stockalert/internal/v1/fetcher.pb.h"
#include "stockalert/internal/v1/ticker_internal.pb.h"
#include "stockalert/internal/v1/user_internal.pb.h"
#include "stockalert/notification/v1/destination.pb.h"
#include "stockalert/notification/v1/notification.pb.h"
#include "stockalert/ticker/v1/ticker.pb.h"
#include "stockalert/user/v1/user.pb.h"

namespace stockalert::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Puts `count` elements, or a text of `bytes`, into the field.
void Fill(Message& message, const FieldDescriptor& field, int count, size_t bytes) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < count; ++i) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        if (field.is_repeated()) {
          reflection.AddString(&message, &field, std::string(bytes, 'x'));
        } else {
          reflection.SetString(&message, &field, std::string(bytes, 'x'));
        }
        break;
      case FieldDescriptor::CPPTYPE_MESSAGE:
        reflection.AddMessage(&message, &field);
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        reflection.AddEnumValue(&message, &field, 1);
        break;
      case FieldDescriptor::CPPTYPE_INT32:
        reflection.AddInt32(&message, &field, 1);
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        reflection.AddInt64(&message, &field, 1);
        break;
      default:
        FAIL("a repeated field of a kind that this test does not know: " << field.full_name());
    }
  }
}

// Whether the request is taken where the field, in a message at `place` below it, holds so much; and that a refusal
// names it.
bool IsTaken(Message& request, Message& place, const FieldDescriptor& field, int count, size_t bytes) {
  Fill(place, field, count, bytes);
  const absl::Status status = CheckRequestSize(request);
  place.GetReflection()->ClearField(&place, &field);
  if (status.ok()) return true;
  CHECK(absl::IsInvalidArgument(status));
  const auto details = base::FindErrorDetails(status);
  REQUIRE(details);
  REQUIRE(details->violations.size() == 1);
  CHECK(details->violations[0].field.find(field.name()) != std::string::npos);
  return false;
}

// Tries every field that may be large, in the request and in all that it holds.
void TryFields(Message& request, Message& place, std::set<const Descriptor*> seen, size_t& tried) {
  if (!seen.insert(place.GetDescriptor()).second) return;
  for (int i = 0; i < place.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *place.GetDescriptor()->field(i);
    INFO(request.GetTypeName() << ", " << field.full_name());
    if (field.is_repeated()) {
      CHECK(IsTaken(request, place, field, RepeatedMax(field), 1));
      CHECK_FALSE(IsTaken(request, place, field, RepeatedMax(field) + 1, 1));
      CHECK(RepeatedMax(field) <= 1000);
      ++tried;
    }
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      CHECK(IsTaken(request, place, field, 1, StringBytesMax(field)));
      CHECK_FALSE(IsTaken(request, place, field, 1, StringBytesMax(field) + 1));
      CHECK(StringBytesMax(field) <= 40'000);
      ++tried;
    }
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      const google::protobuf::Reflection& reflection = *place.GetReflection();
      Message& below =
          field.is_repeated() ? *reflection.AddMessage(&place, &field) : *reflection.MutableMessage(&place, &field);
      TryFields(request, below, seen, tried);
      reflection.ClearField(&place, &field);
    }
  }
}

TEST_CASE("every request of every service is bounded, field by field, and the refusal names the field") {
  size_t tried = 0;
  size_t methods = 0;
  for (const google::protobuf::FileDescriptor* file :
       {alert::v1::CreateAlertRequest::descriptor()->file(), user::v1::GetUserRequest::descriptor()->file(),
        ticker::v1::GetTickerRequest::descriptor()->file(),
        notification::v1::ListNotificationsRequest::descriptor()->file(),
        notification::v1::CreateDestinationRequest::descriptor()->file(),
        internal::v1::AuthenticateApiKeyRequest::descriptor()->file(),
        internal::v1::CountAlertsRequest::descriptor()->file(), internal::v1::LookupSymbolRequest::descriptor()->file(),
        internal::v1::GetLastPricesRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const Descriptor* type = file->service(s)->method(m)->input_type();
        const std::unique_ptr<Message> request(
            google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
        TryFields(*request, *request, {}, tried);
        ++methods;
      }
    }
  }
  CHECK(methods >= 40);
  CHECK(tried >= 100);
}

TEST_CASE("a million elements are refused by their number, without a look at each") {
  alert::v1::ListAlertsRequest request;
  for (int i = 0; i < 1'000'000; ++i) request.add_states(static_cast<alert::v1::Alert::State>(99));
  const absl::Status status = CheckRequestSize(request);
  REQUIRE(absl::IsInvalidArgument(status));
  CHECK(base::FindErrorDetails(status)->violations ==
        std::vector<base::FieldViolation>{{"states", "must have at most 100 elements"}});
  alert::v1::BatchCreateAlertsRequest deep;
  deep.add_requests();
  deep.add_requests()->mutable_alert()->set_note(std::string(kStringBytesMax + 1, 'x'));
  CHECK(base::FindErrorDetails(CheckRequestSize(deep))->violations.front().field == "requests[1].alert.note");
}

TEST_CASE("lengths count characters, not bytes, and invalid UTF-8 is refused") {
  CHECK(CountCharacters("") == 0);
  CHECK(CountCharacters("abc\t\n") == 5);
  CHECK(CountCharacters("äöü€😀") == 5);
  for (const std::string& text :
       {std::string("a\0b", 3), std::string("\x01"), std::string("\x7f"), std::string("\xff"), std::string("\xc3"),
        std::string("\xc0\x80"), std::string("\xed\xa0\x80"), std::string("\xf4\x90\x80\x80"), std::string("\xe2\x82"),
        std::string("\x80"), std::string("\xc2\x85"), std::string("\xf8\x88\x80\x80\x80")}) {
    CHECK_FALSE(CountCharacters(text).has_value());
  }
}

TEST_CASE("text must be valid UTF-8 without control characters, and of an allowed length") {
  struct Row {
    std::string text;
    size_t min, max;
    bool ok;
  };
  const Row rows[] = {
      {"", 0, 5, true},   {"", 1, 5, false},       {"äöü", 1, 3, true},  {"abcd", 1, 3, false},
      {"a", 2, 3, false}, {"a\xff", 0, 10, false}, {"😀😀", 1, 2, true}, {std::string("\0", 1), 0, 5, false}};
  for (const Row& row : rows) {
    base::FieldViolations violations;
    CHECK(CheckText(violations, "note", row.text, row.min, row.max) == row.ok);
    CHECK(violations.ok() == row.ok);
  }
  const auto said_of = [](const std::string& text) {
    base::FieldViolations violations;
    CheckText(violations, "note", text, 2, 3);
    return base::FindErrorDetails(violations.ToStatus())->violations.at(0).description;
  };
  CHECK(said_of("") == "is required");
  CHECK(said_of("a") == "must have 2 to 3 characters");
}

TEST_CASE("request ids of the allowed characters and length are accepted, others refused") {
  for (const std::string& id : {std::string(""), std::string("a"), std::string("A-z_09"), std::string(64, 'x')}) {
    base::FieldViolations violations;
    CHECK(CheckRequestId(violations, "request_id", id));
  }
  for (const std::string& id : {std::string("a b"), std::string("ä"), std::string(65, 'x'), std::string("a/b"),
                                std::string("\0", 1), std::string("a\n")}) {
    base::FieldViolations violations;
    CHECK_FALSE(CheckRequestId(violations, "request_id", id));
  }
}

TEST_CASE("a field mask selects allowed fields, and unknown paths are refused") {
  const std::set<std::string> allowed = {"display_name", "email"};
  base::FieldViolations violations;
  google::protobuf::FieldMask mask;
  CHECK(ResolveFieldMask(violations, "update_mask", mask, allowed, {"email"}) == std::set<std::string>{"email"});
  mask.add_paths("display_name");
  CHECK(ResolveFieldMask(violations, "update_mask", mask, allowed, {"email"}) == std::set<std::string>{"display_name"});
  mask.add_paths("*");
  CHECK(ResolveFieldMask(violations, "update_mask", mask, allowed, {}) == allowed);
  CHECK(violations.ok());
  mask.add_paths("name");
  CHECK(ResolveFieldMask(violations, "update_mask", mask, allowed, {}).empty());
  CHECK_FALSE(violations.ok());
}

TEST_CASE("an etag matches only its own resource and version, or is absent") {
  const std::string etag = MakeEtag("id", 3);
  CHECK(CheckEtag(etag, "id", 3).ok());
  CHECK(CheckEtag("", "id", 3).ok());
  CHECK(CheckEtag(etag, "id", 4).code() == absl::StatusCode::kAborted);
  CHECK(CheckEtag(etag, "other", 3).code() == absl::StatusCode::kAborted);
  CHECK(CheckEtag("\xff", "id", 3).code() == absl::StatusCode::kAborted);
}

}  // namespace
}  // namespace stockalert::rpc
