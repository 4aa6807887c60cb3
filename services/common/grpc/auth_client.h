// Authenticates bearer keys by asking the user service, whose answers are kept for at most 5 s.
//
// Thread-safe; calls for different keys do not wait for each other. Fails closed: while the user service does not
// answer, only keys checked within the last 5 s are accepted. Keys are kept as hashes. Wrong keys are remembered too,
// in a cache of their own: a repeated wrong key does not reach the user service, and a flood of wrong keys cannot evict
// right ones.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/common/grpc/caller.h"
#include "services/common/grpc/channel.h"

namespace stockalert::rpc {

// Whether the text can be a key at all: 16 to 200 printable characters, like the keys that the user service issues and
// an administrator's.
bool IsKeyLike(std::string_view api_key);

struct CachingOptions {
  // How long an answer may be reused. 0: right keys are checked at each call.
  absl::Duration keep = absl::Seconds(4);
  // The same for "no such key", which can change only for an administrator's key that is being replaced.
  absl::Duration keep_refused = absl::Seconds(10);
  size_t entries_max = 100'000;  // Of each kind.
};

// Keeps another authenticator's answers (callers, and UNAUTHENTICATED) for a while.
class CachingAuthenticator final : public Authenticator {
 public:
  static constexpr absl::Duration kKeepMax = absl::Seconds(5);

  // Keys expire by the wall clock; answers are kept by the monotonic one. All arguments must outlive the object.
  CachingAuthenticator(Authenticator& source, const base::Clock& wall_clock, const base::MonotonicClock& clock,
                       const CachingOptions& options = CachingOptions());
  std::optional<absl::StatusOr<Caller>> Find(std::string_view api_key) override;
  bool HasKnown(std::string_view api_key) override;
  absl::StatusOr<Caller> Authenticate(std::string_view api_key, const trace::Context& trace,
                                      absl::Time deadline) override;

 private:
  struct Known {
    Caller caller;
    int64_t until_us = 0;
  };
  std::optional<absl::StatusOr<Caller>> FindHash(const std::string& hash);
  // Makes room for one more, of what has ended if need be.
  template <typename Entries, typename IsOver>
  void MakeRoom(Entries& entries, int64_t& swept_us, int64_t now_us, IsOver is_over) const;

  Authenticator& source_;
  const base::Clock& wall_clock_;
  const base::MonotonicClock& clock_;
  const CachingOptions options_;
  base::Mutex mutex_;
  std::unordered_map<std::string, Known> known_
      ABSL_GUARDED_BY(mutex_);  // By the key's hash; kept beyond their time, for HasKnown.
  std::unordered_map<std::string, int64_t> refused_ ABSL_GUARDED_BY(mutex_);  // By the key's hash: until when.
  int64_t known_swept_us_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t refused_swept_us_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Asks stockalert.internal.v1.UserInternalService, without keeping anything.
class UserServiceAuthenticator final : public Authenticator {
 public:
  // `user_service` must outlive it.
  explicit UserServiceAuthenticator(const Peer& user_service, absl::Duration timeout = absl::Seconds(2));
  ~UserServiceAuthenticator() override;
  absl::StatusOr<Caller> Authenticate(std::string_view api_key, const trace::Context& trace,
                                      absl::Time deadline) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace stockalert::rpc
