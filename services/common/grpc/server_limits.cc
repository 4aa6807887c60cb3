#include "services/common/grpc/server_limits.h"

#include <optional>

namespace stockalert::rpc {

void DeclareLimits(config::Parser& parser, ServerLimits& limits) {
  parser.Integer("connections_max", &limits.connections_max, 16, 100'000,
                 "connections of clients at once; more are closed as they come");
  parser.Integer("connections_per_address_max", &limits.connections_per_address_max, 1, 100'000,
                 "connections at once from one address (of IPv6: one /64); a proxy in front is one address");
  parser.Integer("call_memory_mib", &limits.memory_mib_max, 16, 65'536,
                 "MiB that clients' calls and connections may take; where they take more, calls are cancelled");
}

}  // namespace stockalert::rpc
