// Who calls, and with what limits: what every handler is given.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/trace/trace.h"

namespace stockalert::rpc {

// What a bearer key proves.
struct Caller {
  std::string user_id = {};  // Empty for the administrator's key, which is no user's.
  std::string key_id = {};
  bool is_administrator = false;
  bool read_only = false;
  absl::Time expire_time = absl::InfiniteFuture();
};

struct CallContext {
  Caller caller;  // Empty where the method needs no key, and on internal ports.
  trace::Context trace;
  absl::Time deadline;  // Never infinite.
  std::string peer;     // "ipv4:127.0.0.1:41234"
};

// Turns a bearer key into a caller. Thread-safe. May block until `deadline`.
class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // UNAUTHENTICATED: no such key, expired or revoked. UNAVAILABLE: cannot be told now (the call is refused).
  virtual absl::StatusOr<Caller> Authenticate(std::string_view api_key, const trace::Context& trace, absl::Time deadline) = 0;
};

}  // namespace stockalert::rpc
