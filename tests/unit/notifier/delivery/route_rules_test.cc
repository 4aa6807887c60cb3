#include "services/notifier/delivery/route_rules.h"

#include <catch2/catch.hpp>

namespace stockalert::notifier {
namespace {

using Ids = std::vector<std::string>;

// A default one, another one, and of each one that is not ACTIVE.
const std::vector<ExistingDestination> kOfUser = {
    {"default", true, true}, {"idle default", false, true}, {"other", true, false}, {"idle other", false, false}};

StoredNotification Of(message::Route route, const Ids& named = {}) {
  StoredNotification notification;
  notification.routing = {route, named, false};
  return notification;
}

TEST_CASE("a trigger goes where its alert says, to those that are ACTIVE") {
  struct Case {
    message::Route route;
    Ids named;
    Ids chosen;
    bool rerouted;
  };
  const Case cases[] = {
      {message::Route::kDefaults, {}, {"default"}, false},
      {message::Route::kNone, {}, {}, false},
      {message::Route::kNamed, {"other"}, {"other"}, false},
      {message::Route::kNamed, {"other", "default"}, {"default", "other"}, false},
      {message::Route::kNamed, {"gone", "other"}, {"other"}, false},
      // One that exists and is not ACTIVE misses it, as a default one does.
      {message::Route::kNamed, {"idle other", "gone"}, {}, false},
      {message::Route::kNamed, {"idle other", "other"}, {"other"}, false},
      {message::Route::kNamed, {"gone"}, {"default"}, true},
      {message::Route::kNamed, {}, {"default"}, true},
  };
  for (const Case& one : cases) {
    StoredNotification notification = Of(one.route, one.named);
    notification.summary = "AAPL at or above 150";
    CHECK(ChooseDestinations(kOfUser, notification) == one.chosen);
    CHECK(notification.rerouted == one.rerouted);
    CHECK(notification.summary == (one.rerouted ? "AAPL at or above 150. Sent to the default destinations: those that "
                                                  "the alert names do not exist any more"
                                                : "AAPL at or above 150"));
  }
}

TEST_CASE("a user without destinations gets nothing, and is told where nothing is left of what the alert names") {
  StoredNotification notification = Of(message::Route::kNamed, {"gone"});
  CHECK(ChooseDestinations({}, notification).empty());
  CHECK(notification.rerouted);
  notification = Of(message::Route::kDefaults);
  CHECK(ChooseDestinations({}, notification).empty());
  CHECK(!notification.rerouted);
}

TEST_CASE("a throttled trigger goes nowhere, and what is about a destination goes to all others") {
  StoredNotification throttled = Of(message::Route::kNamed, {"gone"});
  throttled.throttled = true;
  CHECK(ChooseDestinations(kOfUser, throttled).empty());
  CHECK(!throttled.rerouted);
  StoredNotification notice;
  notice.kind = Kind::kDestination;
  notice.destination_id = "default";
  CHECK(ChooseDestinations(kOfUser, notice) == Ids{"other"});
  notice.destination_id = "idle other";
  CHECK(ChooseDestinations(kOfUser, notice) == Ids{"default", "other"});
}

}  // namespace
}  // namespace stockalert::notifier
