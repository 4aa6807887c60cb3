// Alerts, notifications, destinations and the like by the beginning of their ids: as much of it as tells them apart is
// enough.
//
// The first beginning that has to be looked up lists what the caller has; full ids and names cost no call. Not
// thread-safe.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/tools/client/context.h"

namespace stockalert::client {

class ShortNames {
 public:
  static ShortNames OfAlerts(CommandContext& context);
  // Of the newest ten thousand.
  static ShortNames OfNotifications(CommandContext& context);
  static ShortNames OfKeys(CommandContext& context);
  static ShortNames OfDestinations(CommandContext& context);
  // Of the newest ten thousand.
  static ShortNames OfDeliveries(CommandContext& context);

  // The full name. NOT_FOUND: nothing begins so. INVALID_ARGUMENT (WRONG_USAGE): more than one does; it says which.
  absl::StatusOr<std::string> Resolve(const std::string& given);
  absl::StatusOr<std::vector<std::string>> ResolveAll(const std::vector<std::string>& given);

 private:
  using ListNames = std::function<absl::StatusOr<std::vector<std::string>>()>;
  ShortNames(std::string collection, std::string kind, std::string missing_reason, ListNames list)
      : collection_(std::move(collection)),
        kind_(std::move(kind)),
        missing_reason_(std::move(missing_reason)),
        list_(std::move(list)) {}

  const std::string collection_;  // "alerts"
  const std::string kind_;        // "alert"
  const std::string missing_reason_;
  const ListNames list_;
  std::optional<std::vector<std::string>> names_;
};

}  // namespace stockalert::client
