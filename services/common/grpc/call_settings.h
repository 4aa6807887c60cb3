// The settings of a public port for how much its callers may do; call_runner.h applies them.
#pragma once

#include <cstddef>
#include <string>

#include "services/common/config/parser.h"

namespace stockalert::rpc {

// Limits are per process: with n instances of a service they are up to n times as high. Administrators have none.
struct CallSettings {
  // Far above what a person, or a program for one person, needs. The allowance of 5 s (reads) or 10 s (writes) can be
  // used at once.
  int reads_per_user_per_s = 200;
  int writes_per_user_per_s = 50;
  // Creations of things whose traces are kept for a week: alerts. An hour's allowance can be used at once; with 1000
  // alerts a user, that is enough to create all of them twice.
  int creations_per_user_per_h = 2000;
  // Enough for a client that reopens its stream every second for a minute.
  int stream_openings_per_user_per_min = 120;
  // Calls of a user that may wait or run at once, for each kind of work.
  int calls_per_user_max = 100;
  // Look-ups of unknown keys by network (an IPv4 address, an IPv6 /64). Keys that were valid a short while ago do not
  // count.
  int unknown_keys_per_network_per_min = 600;
  // Threads for calls that wait for other services, the source of prices or the log, and calls that may wait for these
  // threads.
  int waiting_threads = 16;
  int waiting_queue_max = 512;
  // Networks of proxies whose X-Forwarded-For is trusted: see TrustedProxies.
  std::string trusted_proxies = {};
};

// Declare the flags of all settings except those of waiting calls; and of these.
void DeclareCalls(config::Parser& parser, CallSettings& settings);
void DeclareWaitingCalls(config::Parser& parser, CallSettings& settings);

}  // namespace stockalert::rpc
