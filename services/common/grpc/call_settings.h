// What a service with a public port can be told of how much its callers may do; call_runner.h does it.
#pragma once

#include <cstddef>
#include <string>

#include "services/common/config/parser.h"

namespace stockalert::rpc {

// A limit is this process's own: with n instances of a service it is up to n times as high. An administrator's key has
// none of them.
struct CallSettings {
  // Far above what a person or a program that works for one does; an allowance for 5 s (reads) and 10 s (writes) can be
  // used at once.
  int reads_per_user_per_s = 200;
  int writes_per_user_per_s = 50;
  // Of what leaves something behind for a week: alerts. All of an hour can be used at once; with 1000 alerts a user,
  // that is all of them, twice.
  int creations_per_user_per_h = 2000;
  // A client that opens its stream again each second for a minute is within it.
  int stream_openings_per_user_per_min = 120;
  // Calls of a user that may wait or run at once, for each kind of work.
  int calls_per_user_max = 100;
  // Keys that nobody knows, looked up for one network (an IPv4 address, an IPv6 /64). Keys that were good a short while
  // ago do not count.
  int unknown_keys_per_network_per_min = 600;
  // Threads for calls that wait for other services, the source of prices or the log, and calls that may wait for these
  // threads.
  int waiting_threads = 16;
  int waiting_queue_max = 512;
  // Networks whose X-Forwarded-For is believed: TrustedProxies.
  std::string trusted_proxies = {};
};

// Flags for all of them but those of waiting calls; and for these.
void DeclareCalls(config::Parser& parser, CallSettings& settings);
void DeclareWaitingCalls(config::Parser& parser, CallSettings& settings);

}  // namespace stockalert::rpc
