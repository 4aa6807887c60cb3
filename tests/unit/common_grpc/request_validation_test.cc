#include "services/common/grpc/request_validation.h"

#include <catch2/catch.hpp>

namespace stockalert::rpc {
namespace {

TEST_CASE("characters are counted as people count them, and what is no text is refused") {
  CHECK(CountCharacters("") == 0);
  CHECK(CountCharacters("abc\t\n") == 5);
  CHECK(CountCharacters("äöü€😀") == 5);
  for (const std::string& text : {std::string("a\0b", 3), std::string("\x01"), std::string("\x7f"), std::string("\xff"), std::string("\xc3"),
                                  std::string("\xc0\x80"), std::string("\xed\xa0\x80"), std::string("\xf4\x90\x80\x80"), std::string("\xe2\x82"),
                                  std::string("\x80"), std::string("\xc2\x85"), std::string("\xf8\x88\x80\x80\x80")}) {
    CHECK_FALSE(CountCharacters(text).has_value());
  }
}

TEST_CASE("text and its lengths") {
  struct Row {
    std::string text;
    size_t min, max;
    bool ok;
  };
  const Row rows[] = {{"", 0, 5, true},       {"", 1, 5, false},       {"äöü", 1, 3, true}, {"abcd", 1, 3, false},
                      {"a", 2, 3, false},     {"a\xff", 0, 10, false}, {"😀😀", 1, 2, true}, {std::string("\0", 1), 0, 5, false}};
  for (const Row& row : rows) {
    base::FieldViolations violations;
    CHECK(CheckText(violations, "note", row.text, row.min, row.max) == row.ok);
    CHECK(violations.ok() == row.ok);
  }
}

TEST_CASE("request ids") {
  for (const std::string& id : {std::string(""), std::string("a"), std::string("A-z_09"), std::string(64, 'x')}) {
    base::FieldViolations violations;
    CHECK(CheckRequestId(violations, "request_id", id));
  }
  for (const std::string& id : {std::string("a b"), std::string("ä"), std::string(65, 'x'), std::string("a/b"), std::string("\0", 1), std::string("a\n")}) {
    base::FieldViolations violations;
    CHECK_FALSE(CheckRequestId(violations, "request_id", id));
  }
}

TEST_CASE("field masks") {
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

TEST_CASE("etags") {
  const std::string etag = MakeEtag("id", 3);
  CHECK(CheckEtag(etag, "id", 3).ok());
  CHECK(CheckEtag("", "id", 3).ok());
  CHECK(CheckEtag(etag, "id", 4).code() == absl::StatusCode::kAborted);
  CHECK(CheckEtag(etag, "other", 3).code() == absl::StatusCode::kAborted);
  CHECK(CheckEtag("\xff", "id", 3).code() == absl::StatusCode::kAborted);
}

}  // namespace
}  // namespace stockalert::rpc
