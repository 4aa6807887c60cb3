#include "services/notifier/notification_convert.h"

#include <catch2/catch.hpp>

#include "services/common/base/error.h"
#include "services/common/grpc/page_token.h"
#include "services/common/grpc/time_convert.h"

namespace stockalert::notifier {
namespace {

constexpr char kUser[] = "11111111-1111-4111-8111-111111111111";
constexpr char kOther[] = "22222222-2222-4222-8222-222222222222";

TEST_CASE("a notification is shown with its names, decimals and times") {
  StoredNotification stored;
  stored.id = "44444444-4444-4444-8444-444444444444";
  stored.user_id = kUser;
  stored.alert_id = "33333333-3333-4333-8333-333333333333";
  stored.trigger_number = 12;
  stored.symbol = "AAPL";
  stored.price_micros = 150'250'000;
  stored.event_time_us = 1'767'366'000'000'001;
  stored.sequence = 5;
  stored.create_time_us = 7;
  notification::v1::Notification shown = ToNotification(stored);
  CHECK(shown.name() == std::string("users/") + kUser + "/notifications/" + stored.id);
  CHECK(shown.alert() == std::string("users/") + kUser + "/alerts/" + stored.alert_id);
  CHECK(shown.trigger() == shown.alert() + "/triggers/12");
  CHECK(shown.price() == "150.25");
  CHECK(shown.event_time().nanos() == 1000);
  CHECK(rpc::TimestampToUs(shown.create_time(), "t").value() == 7);
  CHECK(shown.price_before().empty());
  CHECK(shown.reference().empty());
  CHECK(!shown.has_acknowledge_time());
  CHECK(shown.cursor() == EncodeCursor(kUser, 5));
  stored.price_before_micros = 1;
  stored.reference_micros = 150'000'000;
  stored.acknowledge_time_us = 8;
  shown = ToNotification(stored);
  CHECK(shown.price_before() == "0.000001");
  CHECK(shown.reference() == "150");
  CHECK(rpc::TimestampToUs(shown.acknowledge_time(), "t").value() == 8);
}

TEST_CASE("a notification of throttled triggers has their number, and neither alert nor price") {
  StoredNotification stored;
  stored.kind = Kind::kThrottled;
  stored.id = "44444444-4444-4444-8444-444444444444";
  stored.user_id = kUser;
  stored.folded_count = 943;
  stored.summary = "943 triggers throttled";
  stored.sequence = 5;
  const notification::v1::Notification shown = ToNotification(stored);
  CHECK(shown.kind() == notification::v1::Notification::KIND_THROTTLED);
  CHECK(shown.folded_count() == 943);
  CHECK(shown.summary() == "943 triggers throttled");
  CHECK(shown.alert().empty());
  CHECK(shown.trigger().empty());
  CHECK(shown.price().empty());
  CHECK(shown.cursor() == EncodeCursor(kUser, 5));
  StoredNotification trigger;
  trigger.throttled = true;
  trigger.price_micros = 1;
  CHECK(ToNotification(trigger).kind() == notification::v1::Notification::KIND_TRIGGER);
  CHECK(ToNotification(trigger).throttled());
}

TEST_CASE("a notification about a destination has its name, and none of an alert") {
  StoredNotification stored;
  stored.kind = Kind::kDestination;
  stored.id = "44444444-4444-4444-8444-444444444444";
  stored.user_id = kUser;
  stored.destination_id = "55555555-5555-4555-8555-555555555555";
  stored.summary = "Destination Phone is disabled";
  const notification::v1::Notification shown = ToNotification(stored);
  CHECK(shown.kind() == notification::v1::Notification::KIND_DESTINATION);
  CHECK(shown.destination() == std::string("users/") + kUser + "/destinations/" + stored.destination_id);
  CHECK(shown.summary() == stored.summary);
  CHECK(!shown.destination_disabled());
  CHECK(shown.alert().empty());
  CHECK(shown.price().empty());
}

TEST_CASE("a notification of a split has its ratio and the number of alerts, and none of an alert") {
  StoredNotification stored;
  stored.kind = Kind::kSplit;
  stored.id = "44444444-4444-4444-8444-444444444444";
  stored.user_id = kUser;
  stored.symbol = "AAPL";
  stored.split = message::SplitNews{3, {4, 1}, 7, 2};
  notification::v1::Notification shown = ToNotification(stored);
  CHECK(shown.kind() == notification::v1::Notification::KIND_SPLIT);
  CHECK(shown.symbol() == "AAPL");
  CHECK(shown.split().name() == "tickers/AAPL/splits/3");
  CHECK(shown.split().numerator() == 4);
  CHECK(shown.split().denominator() == 1);
  CHECK(rpc::TimestampToUs(shown.split().effective_time(), "t").value() == 7);
  CHECK(shown.split().alert_count() == 2);
  CHECK(shown.alert().empty());
  CHECK(shown.trigger().empty());
  CHECK(shown.price().empty());
  stored.split->effective_time_us = 0;
  CHECK(!ToNotification(stored).split().has_effective_time());
  CHECK(!ToNotification(StoredNotification()).has_split());
}

TEST_CASE("a notification says that it is critical, and that it went elsewhere than its alert says") {
  StoredNotification stored;
  stored.user_id = kUser;
  stored.summary = "AAPL at or above 150";
  CHECK(!ToNotification(stored).critical());
  CHECK(!ToNotification(stored).rerouted());
  stored.routing.critical = true;
  stored.rerouted = true;
  CHECK(ToNotification(stored).critical());
  CHECK(ToNotification(stored).rerouted());
}

TEST_CASE("a cursor is valid for its user only") {
  for (const int64_t sequence : {int64_t{0}, int64_t{1}, int64_t{1} << 60}) {
    CHECK(DecodeCursor(kUser, EncodeCursor(kUser, sequence)).value() == sequence);
    CHECK(!DecodeCursor(kOther, EncodeCursor(kUser, sequence)).ok());
  }
  const std::string scope = rpc::PageScope("WatchNotifications", kUser);
  for (const std::string& cursor :
       {std::string(), std::string("5"), std::string("!!"), EncodeCursor(kUser, 5) + "A",
        rpc::EncodePageToken(scope, {"-1"}), rpc::EncodePageToken(scope, {"1x"}), rpc::EncodePageToken(scope, {""}),
        rpc::EncodePageToken(scope, {"99999999999999999999"}), rpc::EncodePageToken(scope, {"1", "2"}),
        rpc::EncodePageToken(rpc::PageScope("ListNotifications", kUser), {"1"})}) {
    CAPTURE(cursor);
    const auto refused = DecodeCursor(kUser, cursor);
    CHECK(refused.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(base::FindErrorDetails(refused.status())->violations.at(0).field == "cursor");
  }
}

}  // namespace
}  // namespace stockalert::notifier
