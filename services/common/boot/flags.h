// The flags that services have in common. Subsystems declare their own: kafka::DeclareBroker,
// postgres::DeclareDatabase, rpc::DeclareMesh, tls::Declare.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "services/common/config/parser.h"

namespace stockalert::boot {

// --public_address, --http_address, --internal_address; null: the service has no such port.
void DeclareAddresses(config::Parser& parser, std::string* public_address, std::string* http_address,
                      std::string* internal_address);

// --threads, --queue_max: of the executor that answers calls.
void DeclareWork(config::Parser& parser, int& threads, int& queue_max);

// --postgres_connections_max.
void DeclareConnections(config::Parser& parser, int& connections_max);

// --start_timeout_s.
void DeclareStart(config::Parser& parser, absl::Duration& start_timeout);

// --group_id, --instance_id. `may_come_and_go`: --instance_id=none is allowed.
void DeclareGroup(config::Parser& parser, std::string& group_id, std::string& instance_id, bool may_come_and_go);
// The static name of this instance of `program` ("stockalert-alert") in its consumer group, by which a restarted
// instance gets its partitions back at once: the value of --instance_id, else made from the program's and the host's
// names. Empty (no static membership) for "none", and on a machine without a name.
std::string GroupInstance(const std::string& program, const std::string& instance_id);

}  // namespace stockalert::boot
