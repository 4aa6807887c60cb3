// What a gRPC port lets clients use before they are identified.
#pragma once

#include <cstddef>

#include "absl/time/time.h"
#include "services/common/config/parser.h"

namespace stockalert::rpc {

// The limits of all clients of a port together, or of one connection.
struct ServerLimits {
  int connections_max = 8000;
  // From one address (of IPv6: one /64).
  int connections_per_address_max = 4000;
  int streams_per_connection_max = 100;
  int metadata_bytes_max = 16 * 1024;
  // Memory that gRPC holds for calls and connections. Once it is used up, calls are cancelled and connections closed.
  int memory_mib_max = 128;
  // A connection without calls is closed, and its client connects anew with its next call.
  absl::Duration connection_idle_max = absl::Minutes(5);
  // An older connection accepts no new calls and is closed when its calls are over, at the latest after the grace, so
  // that renewed or expired certificates take effect for clients that stay. No call is lost; clients connect anew.
  absl::Duration connection_age_max = absl::Hours(1);
  // Streams may last for as long as they like.
  absl::Duration connection_age_grace = absl::InfiniteDuration();
};

// For internal ports: the mesh's own services have few connections, each with many calls, all of which end.
inline constexpr ServerLimits kInternalLimits{.connections_max = 1000,
                                              .connections_per_address_max = 1000,
                                              .streams_per_connection_max = 1000,
                                              .metadata_bytes_max = 16 * 1024,
                                              .memory_mib_max = 64,
                                              .connection_idle_max = absl::Minutes(30),
                                              .connection_age_max = absl::Hours(1),
                                              .connection_age_grace = absl::Minutes(2)};

// `connections_max`, reduced to what the limit of open files allows: the process has other files, too.
size_t ConnectionsThatFit(size_t connections_max);

// `streams_max`, reduced to five eighths of the connections. A proxy may open a connection for each stream: this leaves
// room for calls and for the proxy's own checks.
size_t StreamsThatFit(size_t streams_max, const ServerLimits& limits);

// The flags of a public port: --connections_max, --connections_per_address_max, --call_memory_mib.
void DeclareLimits(config::Parser& parser, ServerLimits& limits);

}  // namespace stockalert::rpc
