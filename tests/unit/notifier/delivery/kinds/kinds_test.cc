#include "services/notifier/delivery/kinds/kinds.h"

#include <set>

#include "tests/unit/notifier/delivery/kinds/kind_fixture.h"

namespace stockalert::notifier {
namespace {

TEST_CASE("each kind is found by its number and by its name, and there is one of each") {
  const Kinds& kinds = OfficialKinds();
  std::set<KindId> ids;
  std::set<std::string_view> fields;
  for (const auto& kind : kinds.all()) {
    CHECK(ids.insert(kind->traits().id).second);
    CHECK(fields.insert(kind->traits().field).second);
    CHECK(kinds.Find(kind->traits().id) == kind.get());
    CHECK(kinds.FindField(kind->traits().field) == kind.get());
    CHECK_FALSE(kind->traits().inputs.empty());
  }
  CHECK(kinds.Find(static_cast<KindId>(200)) == nullptr);
  CHECK(kinds.FindField("matrix") == nullptr);
}

TEST_CASE("no kind takes settings that are missing or that it did not write itself") {
  for (const auto& kind : OfficialKinds().all()) {
    INFO(kind->traits().field);
    CHECK(absl::IsInvalidArgument(kind->Check(nlohmann::json::object()).status()));
    Parcel parcel;
    parcel.settings = "no JSON";
    CHECK(absl::IsDataLoss(kind->Compose(parcel).status()));
  }
}

}  // namespace
}  // namespace stockalert::notifier
