// Claims a process's ports before it opens its first connection.
//
// Linux gives free ports to outgoing connections, also of this process: a port that a service listens on only after
// connecting to its database may by then be the local end of that very connection. So a service claims all its ports
// first. A claimed port is bound, but nothing listens on it: no outgoing connection gets it, and whoever connects to it
// is refused at once. The server that listens there later binds it as well; then the claim is released.
//
// A claim does not lock out another server that claims the same port: the first to listen gets it, and the other learns
// that from RetryWhileTaken.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/config/address.h"

namespace stockalert::net {

// How long to retry a port that is taken: its holder may be about to end.
inline constexpr absl::Duration kPortPatience = absl::Seconds(10);

// Calls `take` until it is OK, at most for `patience`. UNAVAILABLE: the port is still taken; says by whom. CANCELLED:
// the process was asked to stop. Any other error of `take` ends it at once.
absl::Status RetryWhileTaken(const std::string& address, absl::Duration patience,
                             const std::function<absl::Status()>& take);

// Belongs to one thread.
class PortClaims {
 public:
  // `addresses` such as "127.0.0.1:50051". There is nothing to claim for an empty address or port 0 (any free port).
  // INVALID_ARGUMENT: not an address. Otherwise as RetryWhileTaken.
  static absl::StatusOr<PortClaims> Claim(const std::vector<std::string>& addresses,
                                          absl::Duration patience = kPortPatience);
  PortClaims() = default;
  PortClaims(PortClaims&& other) noexcept;
  PortClaims& operator=(PortClaims&& other) noexcept;
  ~PortClaims();

  // To be called once the servers listen on all claimed ports.
  void Release();

 private:
  absl::Status ClaimOne(const config::Address& address);

  std::vector<int> sockets_;
};

}  // namespace stockalert::net
