// Where an alert's notifications go, as plain data: what the alert service keeps and the notifier resolves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace stockalert::message {

// Numbered as stockalert.alert.v1.Alert.Delivery and stockalert.internal.v1.TriggerMessage.Delivery.
enum class Route : uint8_t { kDefaults = 1, kNamed = 2, kNone = 3 };

inline constexpr size_t kNamedDestinationsMax = 10;

struct Routing {
  Route route = Route::kDefaults;
  std::vector<std::string> destination_ids = {};  // UUIDs; of kNamed, in its user's order.
  bool critical = false;                          // Sent with high priority where that is known.
  bool operator==(const Routing&) const = default;
};

}  // namespace stockalert::message
