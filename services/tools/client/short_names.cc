#include "services/tools/client/short_names.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/tools/client/usage.h"
#include "services/tools/client/values.h"

namespace stockalert::client {
namespace {

// Of notifications and of deliveries.
constexpr int64_t kNewestMax = 10'000;

template <typename Item>
absl::StatusOr<std::vector<std::string>> NamesOf(absl::StatusOr<std::vector<Item>> items) {
  if (!items.ok()) return items.status();
  std::vector<std::string> names;
  for (const Item& item : *items) names.push_back(item.name());
  return names;
}

absl::Status Ambiguous(const std::string& given, const std::string& kind, const std::vector<std::string>& matches) {
  constexpr size_t kShownMax = 10;
  std::string message = absl::StrCat("more than one ", kind, " begins with ", given, ":");
  for (size_t i = 0; i < matches.size() && i < kShownMax; ++i) absl::StrAppend(&message, " ", IdOf(matches[i]));
  if (matches.size() > kShownMax) absl::StrAppend(&message, " and ", matches.size() - kShownMax, " more");
  return WrongUsage(message);
}

}  // namespace

ShortNames ShortNames::OfAlerts(CommandContext& context) {
  return ShortNames("alerts", "alert", "ALERT_NOT_FOUND", [&context] {
    alert::v1::ListAlertsRequest request;
    request.set_parent(kOwn);
    return NamesOf(context.List(&Alerts::ListAlerts, request, 0, &alert::v1::ListAlertsResponse::mutable_alerts));
  });
}

ShortNames ShortNames::OfNotifications(CommandContext& context) {
  return ShortNames("notifications", "notification", "NOTIFICATION_NOT_FOUND", [&context] {
    notification::v1::ListNotificationsRequest request;
    request.set_parent(kOwn);
    return NamesOf(context.List(&Notifications::ListNotifications, request, kNewestMax,
                                &notification::v1::ListNotificationsResponse::mutable_notifications,
                                /*tells_of_more=*/false));
  });
}

ShortNames ShortNames::OfKeys(CommandContext& context) {
  return ShortNames("apiKeys", "key", "API_KEY_NOT_FOUND", [&context] {
    user::v1::ListApiKeysRequest request;
    request.set_parent(kOwn);
    return NamesOf(context.List(&Users::ListApiKeys, request, 0, &user::v1::ListApiKeysResponse::mutable_api_keys));
  });
}

ShortNames ShortNames::OfDestinations(CommandContext& context) {
  return ShortNames("destinations", "destination", "DESTINATION_NOT_FOUND", [&context] {
    notification::v1::ListDestinationsRequest request;
    request.set_parent(kOwn);
    return NamesOf(context.List(&Destinations::ListDestinations, request, 0,
                                &notification::v1::ListDestinationsResponse::mutable_destinations));
  });
}

ShortNames ShortNames::OfDeliveries(CommandContext& context) {
  return ShortNames("deliveries", "delivery", "DELIVERY_NOT_FOUND", [&context] {
    notification::v1::ListDeliveriesRequest request;
    request.set_parent(kOwn);
    return NamesOf(context.List(&Destinations::ListDeliveries, request, kNewestMax,
                                &notification::v1::ListDeliveriesResponse::mutable_deliveries,
                                /*tells_of_more=*/false));
  });
}

absl::StatusOr<std::string> ShortNames::Resolve(const std::string& given) {
  const std::string id = absl::AsciiStrToLower(given);
  if (given.find('/') != std::string::npos || base::IsUuid(id)) return NameOf(given, collection_);
  if (given.empty()) return WrongUsage(absl::StrCat("an empty text names no ", kind_));
  if (!names_) {
    STOCKALERT_ASSIGN_OR_RETURN(names_, list_());
  }
  std::vector<std::string> matches;
  for (const std::string& name : *names_) {
    if (IdOf(name) == id) return name;
    if (absl::StartsWith(IdOf(name), id)) matches.push_back(name);
  }
  if (matches.size() > 1) return Ambiguous(given, kind_, matches);
  if (matches.empty()) {
    return base::NotFound(missing_reason_, absl::StrCat("you have no ", kind_, " whose id begins with ", given));
  }
  return matches.front();
}

absl::StatusOr<std::vector<std::string>> ShortNames::ResolveAll(const std::vector<std::string>& given) {
  std::vector<std::string> names;
  for (const std::string& one : given) {
    STOCKALERT_ASSIGN_OR_RETURN(std::string name, Resolve(one));
    names.push_back(std::move(name));
  }
  return names;
}

}  // namespace stockalert::client
