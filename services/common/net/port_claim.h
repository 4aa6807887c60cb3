// Ports that a process has before it opens its first connection.
//
// Linux lends ports to outgoing connections, of this process, too: a port that a service listens on only after it has
// connected to its database may by then be the local end of that very connection. So a service claims all its ports
// first of all. A claimed port is bound and not listened on: nothing that connects outwards gets it, and who connects
// to it is refused at once, as before the service was there. The server that listens there in the end binds it besides,
// and then the claim is let go.
//
// Against another server that claims the same port it is no lock: the first that listens has it, the other is told by
// RetryTaken.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/config/address.h"

namespace stockalert::net {

// How long a port that is taken is tried again: what has it may be about to end.
inline constexpr absl::Duration kPortPatience = absl::Seconds(10);

// Calls `take` until it is OK, at most for `patience`. UNAVAILABLE: it still cannot be had, why, and who has the port.
// CANCELLED: the process was asked to stop. What else `take` answers ends it at once.
absl::Status RetryTaken(const std::string& address, absl::Duration patience, const std::function<absl::Status()>& take);

// Belongs to one thread.
class PortClaims {
 public:
  // "127.0.0.1:50051". An empty address and port 0, which is whichever is free in the end, are nothing to claim.
  // INVALID_ARGUMENT: not an address. Else as RetryTaken.
  static absl::StatusOr<PortClaims> Take(const std::vector<std::string>& addresses,
                                         absl::Duration patience = kPortPatience);
  PortClaims() = default;
  PortClaims(PortClaims&& other) noexcept;
  PortClaims& operator=(PortClaims&& other) noexcept;
  ~PortClaims();

  // Once everything that was claimed is listened on.
  void Release();

 private:
  absl::Status TakeOne(const config::Address& address);

  std::vector<int> sockets_;
};

}  // namespace stockalert::net
