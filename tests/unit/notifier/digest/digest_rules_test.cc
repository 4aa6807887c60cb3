#include "services/notifier/digest/digest_rules.h"

#include <catch2/catch.hpp>

#include "absl/strings/str_cat.h"

namespace stockalert::notifier {
namespace {

NewNotification Of(std::vector<HeldGroup> groups) { return DigestOf({"u", "d", std::move(groups)}, "id", 77); }

TEST_CASE("a digest says how many were held, why, and which") {
  const NewNotification digest = Of({{"AAPL at or above 150", 3, 3}, {"TSLA below 200", 1, 1}});
  CHECK(digest.summary == "4 notifications held in quiet hours: AAPL at or above 150 (3 times); TSLA below 200");
  CHECK(digest.kind == Kind::kDigest);
  CHECK(digest.id == "id");
  CHECK(digest.key == "d/id");
  CHECK(digest.user_id == "u");
  CHECK(digest.destination_id == "d");
  CHECK(digest.folded_count == 4);
  CHECK(digest.event_time_us == 77);
  CHECK(!digest.routing.critical);
  CHECK(Of({{"A", 2, 0}}).summary == "2 notifications more than are sent one by one within a minute: A (2 times)");
  CHECK(Of({{"A", 2, 1}}).summary ==
        "2 notifications held in quiet hours, or more than are sent one by one within a minute: A (2 times)");
}

TEST_CASE("what a digest does not name is counted") {
  std::vector<HeldGroup> groups = {{"", 4, 4}};
  for (int i = 0; i < 12; ++i) groups.push_back({absl::StrCat("s", i), 2, 2});
  const std::string summary = Of(groups).summary;
  CHECK(summary.find("28 notifications held in quiet hours: s0 (2 times); s1") == 0);
  CHECK(summary.find("s9 (2 times); and 8 more") != std::string::npos);
  CHECK(summary.find("s10") == std::string::npos);
  // All are older than notifications are kept.
  CHECK(Of({{"", 4, 4}}).summary == "4 notifications held in quiet hours");
}

TEST_CASE("a digest is short, whatever its notifications say") {
  std::vector<HeldGroup> groups;
  for (int i = 0; i < 1000; ++i) groups.push_back({absl::StrCat(i, std::string(5000, 'x'), "\xC3\xA9"), 1'000'000, 0});
  const NewNotification digest = Of(groups);
  CHECK(digest.summary.size() < 2048);
  CHECK(digest.folded_count == 1'000'000'000);
}

}  // namespace
}  // namespace stockalert::notifier
