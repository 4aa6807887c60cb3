// Authenticates bearer keys by asking the user service, whose answers are kept for at most 5 s.
//
// Thread-safe; calls for different keys do not wait for each other. Fails closed: where the user service does not answer, only what
// was learnt within the last 5 s is known. Keys are kept as hashes. Wrong keys are remembered too, so that a flood of one of them does not
// reach the user service.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/common/grpc/caller.h"
#include "services/common/grpc/channel.h"

namespace stockalert::rpc {

// Keeps another authenticator's answers (callers, and UNAUTHENTICATED) for a while.
class CachingAuthenticator final : public Authenticator {
 public:
  static constexpr absl::Duration kKeepMax = absl::Seconds(5);

  CachingAuthenticator(Authenticator& source, const base::Clock& clock, absl::Duration keep = absl::Seconds(4),
                       size_t entries_max = 100'000);
  absl::StatusOr<Caller> Authenticate(std::string_view api_key, const trace::Context& trace, absl::Time deadline) override;

 private:
  struct Entry {
    absl::StatusOr<Caller> answer;
    int64_t until_us = 0;
  };

  Authenticator& source_;
  const base::Clock& clock_;
  const absl::Duration keep_;
  const size_t entries_max_;
  std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;  // By the key's hash. Guarded by mutex_.
};

// Asks stockalert.internal.v1.UserInternalService, without keeping anything.
class UserServiceAuthenticator final : public Authenticator {
 public:
  // `user_service` must outlive it.
  explicit UserServiceAuthenticator(const Peer& user_service, absl::Duration timeout = absl::Seconds(2));
  ~UserServiceAuthenticator() override;
  absl::StatusOr<Caller> Authenticate(std::string_view api_key, const trace::Context& trace, absl::Time deadline) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace stockalert::rpc
