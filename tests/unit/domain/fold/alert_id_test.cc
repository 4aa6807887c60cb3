#include "services/domain/fold/alert_id.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace stockalert::fold {
namespace {

TEST_CASE("ids come back as the texts that they were, and are equal where these are") {
  const std::vector<std::string> texts = {"",
                                          "a",
                                          "a-much-longer-name-than-fits-into-a-string-itself",
                                          "0b5f8a3e-1c2d-4e6f-8a9b-0c1d2e3f4a5b",
                                          "0b5f8a3e-1c2d-4e6f-8a9b-0c1d2e3f4a5c",
                                          "0B5F8A3E-1C2D-4E6F-8A9B-0C1D2E3F4A5B",
                                          "0b5f8a3e11c2d-4e6f-8a9b-0c1d2e3f4a5b",
                                          "0b5f8a3e-1c2d-4e6f-8a9b-0c1d2e3f4a5",
                                          "0b5f8a3e-1c2d-4e6f-8a9b-0c1d2e3f4a5g",
                                          "00000000-0000-0000-8a9b-0c1d2e3f4a5b",
                                          "00000000-0000-0000-0000-000000000000",
                                          "ffffffff-ffff-ffff-ffff-ffffffffffff"};
  absl::flat_hash_map<AlertId, size_t> places;
  for (size_t i = 0; i < texts.size(); ++i) {
    CHECK(AlertId(texts[i]).Text() == texts[i]);
    REQUIRE(places.try_emplace(AlertId(texts[i]), i).second);
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    REQUIRE(places.contains(AlertId(texts[i])));
    CHECK(places.at(AlertId(texts[i])) == i);
    for (size_t j = 0; j < texts.size(); ++j) CHECK((AlertId(texts[i]) == AlertId(texts[j])) == (i == j));
  }
}

TEST_CASE("ids are copied, moved and overwritten as values are") {
  for (const std::string text : {"name", "0b5f8a3e-1c2d-4e6f-8a9b-0c1d2e3f4a5b"}) {
    AlertId id(text);
    const AlertId copy = id;
    CHECK(copy == id);
    AlertId moved = std::move(id);
    CHECK(moved.Text() == text);
    AlertId other("other");
    other = moved;
    CHECK(other.Text() == text);
    other = AlertId("other");
    CHECK(other.Text() == "other");
    AlertId& same = moved;
    moved = same;
    CHECK(moved.Text() == text);
    CHECK(copy.Text() == text);
  }
}

}  // namespace
}  // namespace stockalert::fold
