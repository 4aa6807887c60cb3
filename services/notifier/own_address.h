// Asks the user service for a user's own verified address.
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "services/common/grpc/channel.h"

namespace stockalert::notifier {

// Thread-safe; a call blocks for `timeout` at most.
class OwnAddress {
 public:
  // `user_service` must outlive it.
  explicit OwnAddress(const rpc::Peer& user_service, absl::Duration timeout = absl::Seconds(2));
  ~OwnAddress();

  // In its normal form. Empty: it is not verified, or the user service does not say, which is counted: then a code
  // does.
  std::string Find(const std::string& user_id) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace stockalert::notifier
