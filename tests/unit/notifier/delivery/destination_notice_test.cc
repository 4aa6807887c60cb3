#include "services/notifier/delivery/destination_notice.h"

#include <catch2/catch.hpp>

#include <set>

#include "services/notifier/delivery/settle_rules.h"

namespace stockalert::notifier {
namespace {

Destination Phone() {
  Destination destination;
  destination.id = "33333333-3333-4333-8333-333333333333";
  destination.user_id = "11111111-1111-4111-8111-111111111111";
  destination.display_name = "Phone";
  destination.address_shown = "https://hooks.example.com/...";
  destination.state = DestinationState::kActive;
  return destination;
}

TEST_CASE("what has become of a destination is told by its name and cause") {
  const NewNotification verified = NoticeOfTurn({Phone(), 7});
  CHECK(verified.kind == Kind::kDestination);
  CHECK(verified.key == "33333333-3333-4333-8333-333333333333/verified/7");
  CHECK(verified.user_id == Phone().user_id);
  CHECK(verified.destination_id == Phone().id);
  CHECK(!verified.destination_disabled);
  CHECK(verified.event_time_us == 7);
  CHECK(verified.summary == "Destination Phone is verified: notifications are sent to it from now on");
  Destination disabled = Phone();
  disabled.state = DestinationState::kDisabled;
  std::set<std::string> summaries;
  for (const DisableReason reason : {DisableReason::kGone, DisableReason::kFailing, DisableReason::kSecretsLost}) {
    disabled.disable_reason = reason;
    const NewNotification notice = NoticeOfTurn({disabled, 8});
    CHECK(notice.destination_disabled);
    CHECK(notice.key == "33333333-3333-4333-8333-333333333333/disabled/8");
    CHECK(notice.summary.starts_with("Destination Phone is disabled: "));
    summaries.insert(notice.summary);
  }
  CHECK(summaries.size() == 3);
}

TEST_CASE("one without a name is told by its address, cut where it is long") {
  Destination destination = Phone();
  destination.display_name.clear();
  CHECK(NoticeOfTurn({destination, 7}).summary.starts_with("Destination https://hooks.example.com/... is verified"));
  destination.address_shown = std::string(3000, 'x');
  CHECK(NoticeOfTurn({destination, 7}).summary.size() < 300);
}

TEST_CASE("a verification of what is ACTIVE already is not told") {
  CHECK(IsTold(AttemptEffect::kVerified, DestinationState::kUnverified));
  CHECK(!IsTold(AttemptEffect::kVerified, DestinationState::kActive));
  CHECK(IsTold(AttemptEffect::kDisabled, DestinationState::kActive));
  CHECK(!IsTold(AttemptEffect::kNone, DestinationState::kActive));
}

}  // namespace
}  // namespace stockalert::notifier
