#include "services/user/email.h"

#include <catch2/catch.hpp>

namespace stockalert::user {
namespace {

TEST_CASE("addresses are kept as given and compared in lower case") {
  const auto email = ParseEmail("  Ann.O'Neil+Alerts@Mail.Example.ORG ");
  REQUIRE(email.ok());
  CHECK(email->address == "Ann.O'Neil+Alerts@Mail.Example.ORG");
  CHECK(email->key == "ann.o'neil+alerts@mail.example.org");
  CHECK(ParseEmail(std::string(64, 'a') + "@" + std::string(63, 'b') + "." + std::string(63, 'c') + ".org").ok());
}

TEST_CASE("text that is not an e-mail address is refused") {
  for (const std::string& text : {std::string(""),
                                  std::string("   "),
                                  std::string("ann"),
                                  std::string("@example.org"),
                                  std::string("ann@"),
                                  std::string("ann@localhost"),
                                  std::string("ann@example..org"),
                                  std::string(".ann@example.org"),
                                  std::string("ann.@example.org"),
                                  std::string("a..b@example.org"),
                                  std::string("ann@.example.org"),
                                  std::string("ann@example.org."),
                                  std::string("ann@-example.org"),
                                  std::string("ann@example.org-"),
                                  std::string("a b@example.org"),
                                  std::string("ann@exam ple.org"),
                                  std::string("a@b@example.org"),
                                  std::string("ann@example_x.org"),
                                  std::string("änn@example.org"),
                                  std::string("ann@exämple.org"),
                                  std::string("ann@example.org\n"),
                                  std::string("ann\0@example.org", 16),
                                  std::string("\xff@example.org"),
                                  std::string("\"ann\"@example.org"),
                                  std::string("<ann@example.org>"),
                                  std::string(65, 'a') + "@example.org",
                                  std::string("ann@") + std::string(64, 'b') + ".org",
                                  std::string("a@") + std::string(252, 'b') + ".org"}) {
    INFO(text);
    CHECK(ParseEmail(text).status().code() == absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace stockalert::user
