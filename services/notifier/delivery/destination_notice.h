// The notifications that tell users what has become of their destinations, the same in every store. Pure.
#pragma once

#include <cstdint>

#include "services/notifier/delivery/delivery_types.h"
#include "services/notifier/notification_store.h"

namespace stockalert::notifier {

// A destination that has just been verified or disabled.
struct DestinationTurn {
  Destination destination;  // As it is now.
  int64_t time_us = 0;
};

// Of the kind DESTINATION, without an id.
NewNotification NoticeOfTurn(const DestinationTurn& turn);

}  // namespace stockalert::notifier
