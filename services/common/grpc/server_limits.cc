#include "services/common/grpc/server_limits.h"

#include <sys/resource.h>

#include <algorithm>
#include <optional>

namespace stockalert::rpc {

size_t ConnectionsThatFit(size_t connections_max) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return connections_max;
  return std::min<size_t>(connections_max, std::max<rlim_t>(limit.rlim_cur / 4 * 3, 1));
}

size_t StreamsThatFit(size_t streams_max, const ServerLimits& limits) {
  const size_t connections_max = ConnectionsThatFit(static_cast<size_t>(limits.connections_max));
  return std::min(streams_max, std::max<size_t>(connections_max / 8 * 5, 1));
}

void DeclareLimits(config::Parser& parser, ServerLimits& limits) {
  parser.AddInteger("connections_max", &limits.connections_max, 16, 100'000,
                    "connections of clients at once; further ones are closed at once");
  parser.AddInteger("connections_per_address_max", &limits.connections_per_address_max, 1, 100'000,
                    "connections at once from one address (of IPv6: one /64), trusted proxies excepted");
  parser.AddInteger("call_memory_mib", &limits.memory_mib_max, 16, 65'536,
                    "MiB for clients' calls and connections; beyond it, calls are cancelled");
}

}  // namespace stockalert::rpc
