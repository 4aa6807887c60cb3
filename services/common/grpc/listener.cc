#include "services/common/grpc/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "services/common/base/monotonic_clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/config/address.h"
#include "services/common/grpc/server_limits.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/net/open_port.h"

namespace stockalert::rpc {
namespace {

constexpr int kBacklog = 1024;
// How long the loop sleeps at most, and how long after a failure.
constexpr int kTurnMs = 1000;
constexpr int kPauseMs = 50;
// Looking for closed connections costs a call of the system each.
constexpr absl::Duration kLookInterval = absl::Seconds(1);
constexpr absl::Duration kLookIntervalMin = absl::Milliseconds(20);
// Accepted before the other sockets have their turn.
constexpr int kAcceptsMax = 64;

// A socket's identity; 0 where the descriptor is closed.
ino_t SocketOf(int fd) {
  struct stat info{};
  return fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode) ? info.st_ino : 0;
}

prometheus::Counter& RefusedOf(const std::string& port, const char* bound) {
  return metrics::GetCounter("stockalert_rpc_refused_connections_total",
                             "Connections that were closed at once, by the bound they were above",
                             {{"port", port}, {"bound", bound}});
}

void SetOption(int fd, int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof(value)); }

// No address gets more than half.
ListenerOptions Fit(ListenerOptions options) {
  options.connections_max = ConnectionsThatFit(options.connections_max);
  options.connections_per_address_max =
      std::min(options.connections_per_address_max, std::max<size_t>(options.connections_max / 2, 1));
  return options;
}

// None for other families.
std::optional<IpAddress> AddressOf(const sockaddr_storage& address) {
  if (address.ss_family != AF_INET && address.ss_family != AF_INET6) return std::nullopt;
  const void* ip = address.ss_family == AF_INET
                       ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in&>(address).sin_addr)
                       : static_cast<const void*>(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (inet_ntop(address.ss_family, ip, text.data(), text.size()) == nullptr) return std::nullopt;
  return IpAddress::Parse(text.data());
}

}  // namespace

std::string NetworkOf(const sockaddr_storage& address) {
  const std::optional<IpAddress> ip = AddressOf(address);
  if (!ip) return "";
  return ip->is_v4() ? ip->ToString() : ip->Network(64);
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Listen(const ListenerOptions& options) {
  STOCKALERT_ASSIGN_OR_RETURN(const config::Address address, config::ParseAddress(options.address));
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<int> sockets, net::OpenPort(address, kBacklog));
  const int wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake < 0) {
    for (const int socket : sockets) close(socket);
    return absl::UnavailableError("no file is left for it");
  }
  const int port = net::PortOf(sockets.front());
  return std::unique_ptr<Listener>(new Listener(options, std::move(sockets), port, wake));
}

Listener::Listener(const ListenerOptions& options, std::vector<int> sockets, int port, int wake)
    : options_(Fit(options)),
      sockets_(std::move(sockets)),
      port_(port),
      wake_(wake),
      open_(metrics::GetGauge("stockalert_rpc_open_connections", "Connections that are open, as last looked",
                              {{"port", options.name}})),
      heartbeat_("accept_" + options.name) {
  for (const char* bound : {"all", "address", "files"}) RefusedOf(options.name, bound);
}

Listener::~Listener() {
  Stop();
  close(wake_);
}

void Listener::Serve(std::unique_ptr<::grpc::experimental::ExternalConnectionAcceptor> acceptor) {
  acceptor_ = std::move(acceptor);
  heartbeat_.Beat();
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "grpc-accept");
}

void Listener::Stop() {
  const uint64_t one = 1;
  static_cast<void>(!write(wake_, &one, sizeof(one)));
  if (thread_.joinable()) thread_.join();
  if (std::exchange(stopped_, true)) return;
  heartbeat_.End();
  open_.Set(0);
  for (const int socket : sockets_) close(socket);
}

void Listener::Run() {
  std::vector<pollfd> polled;
  for (const int socket : sockets_) polled.push_back({socket, POLLIN, 0});
  polled.push_back({wake_, POLLIN, 0});
  for (;;) {
    heartbeat_.Beat();
    poll(polled.data(), polled.size(), kTurnMs);
    if ((polled.back().revents & POLLIN) != 0) return;
    for (size_t i = 0; i + 1 < polled.size(); ++i) {
      if (polled[i].revents != 0) AcceptFrom(polled[i].fd);
    }
    if (base::MonotonicNow() >= next_look_) ForgetClosed();
  }
}

void Listener::AcceptFrom(int socket) {
  for (int i = 0; i < kAcceptsMax; ++i) {
    sockaddr_storage address{};
    socklen_t length = sizeof(address);
    const int fd = accept4(socket, reinterpret_cast<sockaddr*>(&address), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      // No file or memory for it now. Clients wait, and are accepted once there is.
      static log::Limiter limiter(absl::Seconds(5));
      if (const auto suppressed = limiter.Allow()) {
        log::Error("no connection can be accepted now; trying again",
                   {{"port", options_.name}, {"why", strerror(errno)}, {"suppressed", *suppressed}});
      }
      ++refused_;
      RefusedOf(options_.name, "files").Increment();
      pollfd stop{wake_, POLLIN, 0};
      poll(&stop, 1, kPauseMs);
      return;
    }
    Forget(fd);  // What had this descriptor has been closed.
    const std::optional<IpAddress> ip = AddressOf(address);
    const bool trusted = ip && options_.trusted_proxies.Contains(*ip);
    const std::string peer = trusted ? "" : NetworkOf(address);
    if (const char* bound = FindExceededLimit(peer)) {
      Refuse(fd, bound);
      continue;
    }
    SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    connections_[fd] = Connection{SocketOf(fd), peer};
    ++of_peer_[peer];
    open_.Set(static_cast<double>(connections_.size()));
    ::grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
    parameters.listener_fd = socket;
    parameters.fd = fd;
    acceptor_->HandleNewConnection(&parameters);
  }
}

const char* Listener::FindExceededLimit(const std::string& peer) {
  const auto find = [&]() -> const char* {
    if (connections_.size() >= options_.connections_max) return "all";
    const auto found = peer.empty() ? of_peer_.end() : of_peer_.find(peer);
    return found != of_peer_.end() && found->second >= options_.connections_per_address_max ? "address" : nullptr;
  };
  const char* bound = find();
  // Perhaps some were closed since the last look; but whoever connects without end must not make us look each time.
  if (bound == nullptr || base::MonotonicNow() < next_look_ - kLookInterval + kLookIntervalMin) return bound;
  ForgetClosed();
  return find();
}

void Listener::ForgetClosed() {
  next_look_ = base::MonotonicNow() + kLookInterval;
  std::vector<int> closed;
  for (const auto& [fd, connection] : connections_) {
    if (SocketOf(fd) != connection.socket) closed.push_back(fd);
  }
  for (const int fd : closed) Forget(fd);
  open_.Set(static_cast<double>(connections_.size()));
}

void Listener::Forget(int fd) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  const auto count = of_peer_.find(found->second.peer);
  if (--count->second == 0) of_peer_.erase(count);
  connections_.erase(found);
}

void Listener::Refuse(int fd, const char* bound) {
  ++refused_;
  RefusedOf(options_.name, bound).Increment();
  static log::Limiter limiter(absl::Seconds(5));
  if (const auto suppressed = limiter.Allow()) {
    log::Warning("a connection above the bound was closed",
                 {{"port", options_.name}, {"bound", bound}, {"suppressed", *suppressed}});
  }
  // By a reset: nothing of it stays behind here.
  const linger reset{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  close(fd);
}

}  // namespace stockalert::rpc
