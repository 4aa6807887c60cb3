// What a gRPC port lets its clients take before anybody knows who they are.
#pragma once

#include <cstddef>

#include "absl/time/time.h"
#include "services/common/config/parser.h"

namespace stockalert::rpc {

// What all clients of a port together, or one connection, may take.
struct ServerLimits {
  int connections_max = 8000;
  // From one address (of IPv6: one /64).
  int connections_per_address_max = 4000;
  int streams_per_connection_max = 100;
  int metadata_bytes_max = 16 * 1024;
  // Of what gRPC holds for its calls and connections: where it is used up, calls are cancelled and connections closed.
  int memory_mib_max = 128;
  // A connection without calls is closed, and its client connects anew with its next call.
  absl::Duration connection_idle_max = absl::Minutes(5);
  // An older connection takes no new calls, and is closed when those that it has are over, at the latest after the
  // grace: so that certificates which were renewed or have expired count for clients that stay. No call is lost by it;
  // clients connect anew.
  absl::Duration connection_age_max = absl::Hours(1);
  // Streams may last for as long as they like.
  absl::Duration connection_age_grace = absl::InfiniteDuration();
};

// For internal ports: the mesh's own services have few connections with many calls each, which all end.
inline constexpr ServerLimits kInternalLimits{.connections_max = 1000,
                                              .connections_per_address_max = 1000,
                                              .streams_per_connection_max = 1000,
                                              .metadata_bytes_max = 16 * 1024,
                                              .memory_mib_max = 64,
                                              .connection_idle_max = absl::Minutes(30),
                                              .connection_age_max = absl::Hours(1),
                                              .connection_age_grace = absl::Minutes(2)};

// Of `connections_max` those that the limit of open files bears: the process has other files, too.
size_t ConnectionsThatFit(size_t connections_max);

// Of `streams_max` those that may be open for good: five eighths of the connections, so that behind a proxy, which may
// bring each stream on a connection of its own, streams leave room for calls and for the proxy's own checks.
size_t StreamsThatFit(size_t streams_max, const ServerLimits& limits);

// The flags of a public port: --connections_max, --connections_per_address_max, --call_memory_mib.
void DeclareLimits(config::Parser& parser, ServerLimits& limits);

}  // namespace stockalert::rpc
