// Destinations and deliveries as the API shows them, and the settings that it is given: the message of a kind is
// translated to JSON and back, whatever the kind. Pure and thread-safe.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "services/notifier/delivery/delivery_types.h"
#include "services/notifier/delivery/destination_logic.h"
#include "services/notifier/delivery/destination_store.h"
#include "services/notifier/delivery/kinds/kinds.h"
#include "stockalert/notification/v1/destination.pb.h"

namespace stockalert::notifier {

inline constexpr char kDestinationName[] = "users/{user}/destinations/{destination}";
inline constexpr char kDeliveryName[] = "users/{user}/deliveries/{delivery}";

// `now_us`: previous secrets that have expired by then are not shown.
notification::v1::Destination ToDestination(const Destination& stored, const Kinds& kinds, int64_t now_us);
// The path of a setting in a field mask.
std::string KindPath(const DestinationKind& kind, std::string_view input);
// The settings in the oneof. None: it is not set.
std::optional<AskedSettings> FindSettings(const notification::v1::Destination& asked);
// Those of its `inputs` that are set: "slack.webhook_url".
std::set<std::string> FindSetInputs(const notification::v1::Destination& asked, const Kinds& kinds);
// The fields of `kind` in `paths`, as `asked` has them, also the empty ones. None: `paths` has none.
std::optional<AskedSettings> FindChanges(const notification::v1::Destination& asked, const DestinationKind& kind,
                                         const std::set<std::string>& paths);
notification::v1::Delivery ToDelivery(const Delivery& stored);
notification::v1::Delivery ToDelivery(const DeliveryWithAttempts& stored);

}  // namespace stockalert::notifier
