// Which of its user's destinations get a notification, the same in every store. Pure.
#pragma once

#include <string>
#include <vector>

#include "services/notifier/notification_store.h"

namespace stockalert::notifier {

// A destination that is not deleted.
struct ExistingDestination {
  std::string id;
  bool is_active = false;
  bool is_default = false;
};

// Only ACTIVE ones are sent anything. A trigger goes where its alert says: to the defaults, to those that it names, or
// nowhere; where none of the named ones exists any more, `rerouted` is set, `summary` says so, and it goes to the
// defaults. (If one of them exists, but none is ACTIVE, nothing is sent, as with defaults that are not.) A SPLIT one
// goes to the defaults, a DESTINATION one to all others. A throttled trigger goes nowhere: the THROTTLED notification
// after it stands for it. `of_user`: all of its user's.
std::vector<std::string> ChooseDestinations(const std::vector<ExistingDestination>& of_user,
                                            StoredNotification& notification);

}  // namespace stockalert::notifier
