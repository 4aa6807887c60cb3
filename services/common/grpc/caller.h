// What every handler gets about its caller, and the limits of the call.
#pragma once

#include <optional>
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
  std::string peer;     // The client's address, as peer.h finds it: "192.0.2.1".
  // On internal ports: the calling service ("ticker"); empty where the call carried only the token that all share.
  std::string service = {};
};

// Turns a bearer key into a caller. Thread-safe. May block until `deadline`.
class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // What Authenticate would answer, if it is known without a call; else nothing. Never blocks: for gRPC's own threads.
  virtual std::optional<absl::StatusOr<Caller>> Find(std::string_view) { return std::nullopt; }
  // Whether the key was valid a short while ago, even if it has to be checked again. Never blocks.
  virtual bool HasKnown(std::string_view) { return false; }
  // UNAUTHENTICATED: no such key, expired or revoked. UNAVAILABLE: unknown for now (the call is refused).
  virtual absl::StatusOr<Caller> Authenticate(std::string_view api_key, const trace::Context& trace,
                                              absl::Time deadline) = 0;
};

}  // namespace stockalert::rpc
