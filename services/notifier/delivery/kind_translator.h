// Translates deliveries by the kind of their destination: decrypts its settings and keys, and has the kind make the
// request and judge the reply. Pure and thread-safe. Keys of destinations that were sent to lately are kept ready, in
// memory only.
#pragma once

#include <string>
#include <unordered_map>

#include "services/common/base/mutex.h"
#include "services/common/secrets/secret_box.h"
#include "services/common/webhook/webhook_signature.h"
#include "services/notifier/delivery/delivery_translator.h"
#include "services/notifier/delivery/kinds/kinds.h"

namespace stockalert::notifier {

using secrets::SecretBox;

// Of about 1 KiB each; more than a worker has lanes.
inline constexpr size_t kSignersKeptMax = 4'096;

class KindTranslator final : public DeliveryTranslator {
 public:
  // What is given must outlive it.
  KindTranslator(const Kinds& kinds, const SecretBox& secrets);

  absl::StatusOr<OutgoingRequest> Compose(const Destination& destination, const DueDelivery& due,
                                          int64_t now_us) override;
  void HideSecrets(const Destination& destination, ServiceReply& reply) override;
  Verdict Judge(const Destination& destination, const Delivery& delivery, const ServiceReply& reply,
                int64_t now_us) override;

  size_t signers_kept() {
    const base::MutexLock lock(mutex_);
    return signers_.size();
  }

 private:
  // Puts what proves that the destination belongs to its user into the notice.
  absl::Status AddProof(const DestinationKind& kind, const Destination& destination, const Delivery& delivery,
                        int64_t now_us, message::Notice& notice) const;
  absl::Status AddSigners(const Destination& destination, Parcel& parcel);
  absl::StatusOr<webhook::Signer> SignerOf(const std::string& sealed, const std::string& owner);

  const Kinds& kinds_;
  const SecretBox& secrets_;
  struct KeptSigner {
    std::string owner;
    webhook::Signer signer;
  };
  base::Mutex mutex_;
  std::unordered_map<std::string, KeptSigner> signers_ ABSL_GUARDED_BY(mutex_);  // By the sealed text.
};

}  // namespace stockalert::notifier
