#include "services/notifier/delivery/route_rules.h"

#include <algorithm>

namespace stockalert::notifier {
namespace {

constexpr char kRerouted[] = ". Sent to the default destinations: those that the alert names do not exist any more";

}  // namespace

std::vector<std::string> ChooseDestinations(const std::vector<ExistingDestination>& of_user,
                                            StoredNotification& notification) {
  if (notification.throttled || notification.routing.route == message::Route::kNone) return {};
  const std::vector<std::string>& named = notification.routing.destination_ids;
  const auto is_named = [&](const ExistingDestination& one) {
    return std::find(named.begin(), named.end(), one.id) != named.end();
  };
  bool by_name = notification.routing.route == message::Route::kNamed;
  if (by_name && std::none_of(of_user.begin(), of_user.end(), is_named)) {
    notification.rerouted = true;
    notification.summary += kRerouted;
    by_name = false;
  }
  std::vector<std::string> chosen;
  for (const ExistingDestination& one : of_user) {
    const bool wanted = notification.kind == Kind::kDestination ? one.id != notification.destination_id
                        : by_name                               ? is_named(one)
                                                                : one.is_default;
    if (one.is_active && wanted) chosen.push_back(one.id);
  }
  return chosen;
}

}  // namespace stockalert::notifier
