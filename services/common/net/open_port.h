// Sockets that are bound to an address: for who listens there, and for who claims it until then.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "services/common/config/address.h"

namespace stockalert::net {

// One socket for "0.0.0.0" and "::", of both families where the machine has both; else one for each address of the
// host's name, all with one port. Non-blocking; the caller closes them. With `backlog` above 0 they listen, else they
// are bound alone. UNAVAILABLE: the host is not known, or the port cannot be had: of a name's addresses all or none.
// Thread-safe.
absl::StatusOr<std::vector<int>> OpenPort(const config::Address& address, int backlog);

// The port that a socket is bound to; 0 where it is none.
int PortOf(int socket);

}  // namespace stockalert::net
