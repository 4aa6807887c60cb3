#include "services/common/mail/inline_part.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace stockalert::mail {
namespace {

MailHead HeadOfPart() {
  MailHead head;
  head.from = "alerts@example.org";
  head.id = "msg_0123-ab";
  return head;
}

TEST_CASE("the fields of a part, and by what the HTML shows it") {
  const auto lines = PartHeaderLines(HeadOfPart(), {.name = "chart", .type = "image/png", .bytes = "x"});
  REQUIRE(lines.ok());
  CHECK(*lines == std::vector<std::string>{"Content-ID: <chart.msg_0123-ab@example.org>",
                                           "Content-Disposition: inline; filename=\"chart.png\""});
  CHECK(UrlOfPart(HeadOfPart(), "chart") == "cid:chart.msg_0123-ab@example.org");
}

TEST_CASE("no value of a part adds a field") {
  const auto refused = [](const std::string& name, const std::string& type) {
    return absl::IsInvalidArgument(PartHeaderLines(HeadOfPart(), {.name = name, .type = type, .bytes = "x"}).status());
  };
  CHECK_FALSE(refused("chart_2-a", "image/svg"));
  CHECK(refused("chart", "image"));
  for (const std::string& evil :
       std::vector<std::string>{"", "a b", "a\r\nBcc: eve@example.org", "a\"; x=\"", "a>", "a@b", "a.b", "\xc3\xa4",
                                "a/b", std::string("a\0", 2), std::string(65, 'a')}) {
    CAPTURE(evil);
    CHECK(refused(evil, "image/png"));
    CHECK(refused("chart", "image/" + evil));
    CHECK(refused("chart", evil + "/png"));
  }
}

}  // namespace
}  // namespace stockalert::mail
