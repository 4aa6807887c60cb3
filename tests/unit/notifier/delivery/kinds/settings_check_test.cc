#include "services/notifier/delivery/kinds/settings_check.h"

#include "tests/unit/notifier/delivery/kinds/kind_fixture.h"

namespace stockalert::notifier {
namespace {

TEST_CASE("every wrong field is named, with the kind before it") {
  const nlohmann::json asked = {{"a", "x"}, {"number", 7}, {"url", "https://127.0.0.1/"}};
  SettingsCheck check("slack", asked);
  CHECK(check.ToStatus().ok());
  CHECK(check.Text("a") == "x");
  CHECK(check.Text("number").empty());
  CHECK(check.Text("absent").empty());
  CHECK(check.Require("a"));
  CHECK_FALSE(check.Require("absent"));
  CHECK_FALSE(check.Url("url", EgressGuard()).has_value());
  const auto details = base::FindErrorDetails(check.ToStatus());
  REQUIRE(details.has_value());
  REQUIRE(details->violations.size() == 2);
  CHECK(details->violations[0].field == "destination.slack.absent");
  CHECK(details->violations[1].field == "destination.slack.url");
}

TEST_CASE("an address that is not sent to has a reason of its own") {
  const nlohmann::json asked = {{"url", "https://127.0.0.1/"}};
  SettingsCheck check("ntfy", asked);
  CHECK_FALSE(check.Url("url", EgressGuard()).has_value());
  CHECK(base::ReasonOf(check.ToStatus()) == "EGRESS_REFUSED");
}

}  // namespace
}  // namespace stockalert::notifier
