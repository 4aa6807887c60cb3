// Who has a TCP port of this machine, for people who want to free it. Read from /proc: of other users' processes, where
// this one may not look, it knows no more than that they are another user's.
#pragma once

#include <string>

#include "services/common/config/address.h"

namespace stockalert::net {

// "process 4711 (postgres) listens there", "process 4711 (stockalert-alert) has a connection from there to
// 127.0.0.1:5432"; "nobody who can be seen has it" where there is none: it is free again, or taken but not yet listened
// on.
std::string DescribeHolder(const config::Address& address);

}  // namespace stockalert::net
