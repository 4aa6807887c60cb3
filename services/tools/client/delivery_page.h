// Destinations and deliveries as people read them. Pure and thread-safe.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "services/tools/client/terminal.h"
#include "stockalert/notification/v1/destination.pb.h"

namespace stockalert::client {

// "ACTIVE", and why a DISABLED one is: "DISABLED: it answered 410 Gone".
Cell StateOf(const notification::v1::Destination& destination);
Cell StateOf(const notification::v1::Delivery& delivery);
// "webhook".
std::string KindOf(const notification::v1::Destination& destination);
// What tells it from others of its kind: "https://hooks.slack.com/…", "@channel".
std::string AddressOf(const notification::v1::Destination& destination);
// "notification", "verification", "test".
std::string KindOf(const notification::v1::Delivery& delivery);

// Lines of a label and a value.
std::vector<std::pair<std::string, Cell>> PageOf(const notification::v1::Destination& destination);
std::vector<std::pair<std::string, Cell>> PageOf(const notification::v1::Delivery& delivery);

// The last attempts, oldest first.
Table AttemptsOf(const notification::v1::Delivery& delivery);

}  // namespace stockalert::client
