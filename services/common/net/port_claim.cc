#include "services/common/net/port_claim.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/net/port_holder.h"
#include "services/common/process/run_main.h"

namespace stockalert::net {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(250);

// -1 where it cannot be had; errno says why.
int BindTo(const sockaddr* address, socklen_t length, bool both_families) {
  const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  // So that dying connections of an earlier run are in nobody's way, and the server may bind it besides.
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const int v6_only = both_families ? 0 : 1;
  if (address->sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only));
  if (bind(fd, address, length) == 0) return fd;
  const int why = errno;
  close(fd);
  errno = why;
  return -1;
}

}  // namespace

absl::Status RetryTaken(const std::string& address, absl::Duration patience,
                        const std::function<absl::Status()>& take) {
  STOCKALERT_ASSIGN_OR_RETURN(const config::Address parsed, config::ParseAddress(address));
  const absl::Time give_up = absl::Now() + patience;
  for (bool told = false;; told = true) {
    const absl::Status status = take();
    if (!absl::IsUnavailable(status)) return status;
    const std::string holder = DescribeHolder(parsed);
    if (absl::Now() >= give_up) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", address, " (", status.message(), "): ", holder,
                                                 ". End it, or choose another address by its flag"));
    }
    if (!told) {
      log::Warning("a port is taken; trying again", {{"address", address}, {"why", status}, {"holder", holder}});
    }
    if (process::AwaitStopRequest(kPause)) return absl::CancelledError("asked to stop");
  }
}

absl::StatusOr<PortClaims> PortClaims::Take(const std::vector<std::string>& addresses, absl::Duration patience) {
  PortClaims claims;
  for (const std::string& address : addresses) {
    if (address.empty()) continue;
    STOCKALERT_ASSIGN_OR_RETURN(const config::Address parsed, config::ParseAddress(address));
    if (parsed.port == 0) continue;
    STOCKALERT_RETURN_IF_ERROR(RetryTaken(address, patience, [&] { return claims.TakeOne(parsed); }));
  }
  return claims;
}

PortClaims::PortClaims(PortClaims&& other) noexcept : sockets_(std::exchange(other.sockets_, {})) {}

PortClaims& PortClaims::operator=(PortClaims&& other) noexcept {
  std::swap(sockets_, other.sockets_);
  return *this;
}

PortClaims::~PortClaims() { Release(); }

void PortClaims::Release() {
  for (const int socket : sockets_) close(socket);
  sockets_.clear();
}

absl::Status PortClaims::TakeOne(const config::Address& address) {
  if (address.host == "0.0.0.0" || address.host == "::") {
    // All addresses, of both families where the machine has both: as the server will listen.
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_addr = in6addr_any;
    any.sin6_port = htons(static_cast<uint16_t>(address.port));
    const int fd = BindTo(reinterpret_cast<const sockaddr*>(&any), sizeof(any), true);
    if (fd >= 0) {
      sockets_.push_back(fd);
      return absl::OkStatus();
    }
    if (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL) return absl::UnavailableError(strerror(errno));
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(address.host.c_str(), absl::StrCat(address.port).c_str(), &hints, &found);
      error != 0) {
    return absl::UnavailableError(absl::StrCat("the host is not known: ", gai_strerror(error)));
  }
  std::vector<int> bound;
  int why = EADDRNOTAVAIL;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const int fd = BindTo(one->ai_addr, one->ai_addrlen, false);
    if (fd >= 0) {
      bound.push_back(fd);
      continue;
    }
    why = errno;
    if (why != EADDRINUSE) continue;
    // Half a name's addresses would be half a claim.
    for (const int socket : bound) close(socket);
    bound.clear();
    break;
  }
  freeaddrinfo(found);
  if (bound.empty()) return absl::UnavailableError(strerror(why));
  sockets_.insert(sockets_.end(), bound.begin(), bound.end());
  return absl::OkStatus();
}

}  // namespace stockalert::net
