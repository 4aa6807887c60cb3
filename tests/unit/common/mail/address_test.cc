#include "services/common/mail/address.h"

#include <catch2/catch.hpp>
#include <string>

#include "services/common/base/abseil.h"

namespace stockalert::mail {
namespace {

const std::string kLongestLocal(64, 'a');
const std::string kLongestLabel(63, 'b');
// 64 + 1 + 189 = 254 bytes.
const std::string kLongest =
    kLongestLocal + "@" + kLongestLabel + "." + kLongestLabel + "." + std::string(57, 'c') + ".org";

TEST_CASE("an address is taken as it is, its domain in lower case") {
  struct Case {
    std::string text, address;
  };
  for (const Case& one : std::vector<Case>{{"ann@example.org", "ann@example.org"},
                                           {"Ann@Example.ORG", "Ann@example.org"},
                                           {"a@b.co", "a@b.co"},
                                           {"ann.b.c@mail.example.org", "ann.b.c@mail.example.org"},
                                           {"ann+alerts@example.org", "ann+alerts@example.org"},
                                           {"!#$%&'*+-/?=^_`{|}~@example.org", "!#$%&'*+-/?=^_`{|}~@example.org"},
                                           {"1@2.example", "1@2.example"},
                                           {"-ann-@example.org", "-ann-@example.org"},
                                           {"ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"},
                                           {"ann@a-b.example", "ann@a-b.example"},
                                           {"ann@4u.example", "ann@4u.example"},
                                           {"ann@example.x2", "ann@example.x2"},
                                           {kLongestLocal + "@example.org", kLongestLocal + "@example.org"},
                                           {"ann@" + kLongestLabel + ".org", "ann@" + kLongestLabel + ".org"},
                                           {kLongest, kLongest}}) {
    CAPTURE(one.text);
    const auto address = ParseAddress(one.text);
    REQUIRE(address.ok());
    CHECK(*address == one.address);
  }
  REQUIRE(kLongest.size() == kAddressBytesMax);
}

TEST_CASE("whatever is not one plain address is refused, and not repeated") {
  for (const std::string& text : std::vector<std::string>{"",
                                                          " ",
                                                          "ann",
                                                          "@",
                                                          "ann@",
                                                          "@example.org",
                                                          "ann@example",
                                                          "ann@@example.org",
                                                          "ann@b@example.org",
                                                          " ann@example.org",
                                                          "ann@example.org ",
                                                          "ann @example.org",
                                                          "ann@ example.org",
                                                          "ann@exam ple.org",
                                                          "Ann <ann@example.org>",
                                                          "<ann@example.org>",
                                                          "ann@example.org,bob@example.org",
                                                          "ann@example.org;bob@example.org",
                                                          "ann@example.org bob@example.org",
                                                          "\"ann\"@example.org",
                                                          "\"a b\"@example.org",
                                                          "ann(comment)@example.org",
                                                          "ann@example.org(comment)",
                                                          "ann@[192.0.2.1]",
                                                          "ann@[IPv6:2001:db8::1]",
                                                          "ann@192.0.2.1",
                                                          "ann@example.123",
                                                          ".ann@example.org",
                                                          "ann.@example.org",
                                                          "ann..b@example.org",
                                                          "ann@.example.org",
                                                          "ann@example.org.",
                                                          "ann@example..org",
                                                          "ann@-example.org",
                                                          "ann@example-.org",
                                                          "ann@exa_mple.org",
                                                          "ann@example.-org",
                                                          "ann\\@example.org",
                                                          "ann:b@example.org",
                                                          "=?UTF-8?Q?a?=@example.org",
                                                          "mailto:ann@example.org",
                                                          "group:ann@example.org;",
                                                          "ann%0d%0a@exa%mple.org",
                                                          "ann@example.org\r\nBcc: b@example.org",
                                                          "ann@example.org\n",
                                                          "ann\r@example.org",
                                                          "ann@exam\r\nple.org",
                                                          "\r\nann@example.org",
                                                          "ann\t@example.org",
                                                          std::string("ann\0@example.org", 16),
                                                          std::string("ann@example.org\0", 16),
                                                          "ann@example.org\x7f",
                                                          "ann@b\xc3\xbc"
                                                          "cher.example",
                                                          "\xc3\xa4nn@example.org",
                                                          "ann@example.org\xe2\x80\xa8",
                                                          "ann@example.\xff",
                                                          kLongestLocal + "a@example.org",
                                                          "ann@" + kLongestLabel + "b.org",
                                                          "a" + kLongest,
                                                          std::string(100'000, 'a') + "@example.org",
                                                          std::string(100'000, '@')}) {
    CAPTURE(text);
    const absl::Status status = ParseAddress(text).status();
    CHECK(absl::IsInvalidArgument(status));
    const std::string message(base::ToStd(status.message()));
    CHECK(message.find("b@example.org") == std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
  }
}

TEST_CASE("an international address is told what it must be instead") {
  CHECK(std::string(base::ToStd(ParseAddress("ann@b\xc3\xbc"
                                             "cher.example")
                                    .status()
                                    .message()))
            .find("xn--") != std::string::npos);
  CHECK(std::string(base::ToStd(ParseAddress("\xc3\xa4@example.org").status().message())).find("before the @") !=
        std::string::npos);
}

TEST_CASE("the domain of an address") { CHECK(DomainOf("ann@example.org") == "example.org"); }

}  // namespace
}  // namespace stockalert::mail
