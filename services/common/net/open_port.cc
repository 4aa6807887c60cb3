#include "services/common/net/open_port.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace stockalert::net {
namespace {

// -1 where it cannot be had; errno says why.
int OpenOne(const sockaddr* address, socklen_t length, bool both_families, int backlog) {
  const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  // An address whose last connections are still dying may be taken; one that is listened on may not.
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const int v6_only = both_families ? 0 : 1;
  if (address->sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only));
  if (bind(fd, address, length) == 0 && (backlog == 0 || listen(fd, backlog) == 0)) return fd;
  const int why = errno;
  close(fd);
  errno = why;
  return -1;
}

}  // namespace

int PortOf(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

absl::StatusOr<std::vector<int>> OpenPort(const config::Address& address, int backlog) {
  if (address.host == "0.0.0.0" || address.host == "::") {
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_addr = in6addr_any;
    any.sin6_port = htons(static_cast<uint16_t>(address.port));
    const int fd = OpenOne(reinterpret_cast<const sockaddr*>(&any), sizeof(any), true, backlog);
    if (fd >= 0) return std::vector<int>{fd};
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
  std::vector<int> sockets;
  int why = EADDRNOTAVAIL;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    sockaddr_storage at{};
    memcpy(&at, one->ai_addr, one->ai_addrlen);
    // Of a name that has several addresses, all get the one port.
    if (address.port == 0 && !sockets.empty()) {
      const uint16_t port = htons(static_cast<uint16_t>(PortOf(sockets.front())));
      (at.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(at).sin6_port
                                : reinterpret_cast<sockaddr_in&>(at).sin_port) = port;
    }
    const int fd = OpenOne(reinterpret_cast<const sockaddr*>(&at), one->ai_addrlen, false, backlog);
    if (fd >= 0) {
      sockets.push_back(fd);
    } else if (errno == EADDRINUSE) {
      // Half an address would serve half of the clients.
      for (const int taken : sockets) close(taken);
      sockets.clear();
      why = EADDRINUSE;
      break;
    } else {
      why = errno;
    }
  }
  freeaddrinfo(found);
  if (sockets.empty()) return absl::UnavailableError(strerror(why));
  return sockets;
}

}  // namespace stockalert::net
