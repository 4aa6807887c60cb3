#include "services/notifier/delivery/destination_store.h"

#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"

namespace stockalert::notifier {

absl::Status DestinationNotFound() {
  return base::NotFound(kReasonDestinationNotFound,
                        "the destination does not exist, or is another user's: ListDestinations lists yours");
}

absl::Status DeliveryNotFound() {
  return base::NotFound(kReasonDeliveryNotFound,
                        "the delivery does not exist, is another user's, or is older than this installation keeps "
                        "deliveries: ListDeliveries lists yours");
}

absl::Status DestinationNotActive() {
  return base::FailedPrecondition(kReasonDestinationNotActive,
                                  "the destination is unverified, disabled or deleted: VerifyDestination verifies it, "
                                  "unless it is deleted");
}

absl::Status DeliveryQueuedAlready() {
  return base::FailedPrecondition(kReasonDeliveryQueued,
                                  "the delivery is still queued or held: wait until it has ended, or cancel it");
}

absl::Status DestinationQuota(int quota) {
  return base::ResourceExhausted(kReasonDestinationQuota, absl::StrCat("a user has at most ", quota,
                                                                       " destinations: delete one that is not needed"));
}

absl::Status RequestIdReused() {
  return base::InvalidField("request_id", "was used for a different request: choose a new one", "REQUEST_ID_REUSED");
}

absl::Status RecipientNotFound() { return base::NotFound("USER_NOT_FOUND", "there is no such user any more"); }

}  // namespace stockalert::notifier
