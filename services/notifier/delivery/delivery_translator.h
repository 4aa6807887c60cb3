// What the worker knows of the services that it delivers to: how to ask, and how to read the answer.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "services/notifier/delivery/delivery_store.h"
#include "services/notifier/delivery/outgoing_request.h"
#include "services/notifier/delivery/verdict.h"

namespace stockalert::notifier {

// Thread-safe.
class DeliveryTranslator {
 public:
  virtual ~DeliveryTranslator() = default;
  // The request of a delivery. FAILED_PRECONDITION: the delivery can never be made; the message is for its user.
  // NOT_FOUND, DATA_LOSS: the destination's secrets cannot be decrypted.
  virtual absl::StatusOr<OutgoingRequest> Compose(const Destination& destination, const DueDelivery& due,
                                                  int64_t now_us) = 0;
  // Takes out of a reply to such a request what it repeats of the destination's secrets: replies are shown.
  virtual void HideSecrets(const Destination& destination, ServiceReply& reply) = 0;
  // What the reply to such a request means.
  virtual Verdict Judge(const Destination& destination, const Delivery& delivery, const ServiceReply& reply,
                        int64_t now_us) = 0;
};

}  // namespace stockalert::notifier
