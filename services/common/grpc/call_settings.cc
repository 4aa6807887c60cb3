#include "services/common/grpc/call_settings.h"

#include <optional>

#include "services/common/base/abseil.h"
#include "services/common/grpc/peer.h"

namespace stockalert::rpc {

void DeclareCalls(config::Parser& parser, CallSettings& settings) {
  parser.Integer("reads_per_user_per_s", &settings.reads_per_user_per_s, 1, 1'000'000,
                 "calls that only read, a user a second");
  parser.Integer("writes_per_user_per_s", &settings.writes_per_user_per_s, 1, 1'000'000,
                 "calls that change something, a user a second");
  parser.Integer("creations_per_user_per_h", &settings.creations_per_user_per_h, 1, 1'000'000'000,
                 "what a user creates in an hour of what leaves something behind when it is deleted");
  parser.Integer("stream_openings_per_user_per_min", &settings.stream_openings_per_user_per_min, 1, 1'000'000,
                 "streams that a user opens in a minute");
  parser.Integer("calls_per_user_max", &settings.calls_per_user_max, 1, 100'000,
                 "calls of a user that may wait or run at once");
  parser.Integer("unknown_keys_per_network_per_min", &settings.unknown_keys_per_network_per_min, 1, 1'000'000'000,
                 "unknown keys that are looked up for callers of one address (IPv6: of one /64) in a minute");
  parser.String("trusted_proxies", &settings.trusted_proxies, config::kOptional,
                "networks of the proxies whose X-Forwarded-For is believed, as in 10.0.0.0/8,2001:db8::/48");
  parser.Rule([&settings]() -> std::optional<std::string> {
    const absl::Status status = TrustedProxies::Parse(settings.trusted_proxies).status();
    if (status.ok()) return std::nullopt;
    return "--trusted_proxies: " + std::string(base::ToStd(status.message()));
  });
}

void DeclareWaitingCalls(config::Parser& parser, CallSettings& settings) {
  parser.Integer("waiting_threads", &settings.waiting_threads, 1, 256,
                 "threads for calls that wait for other services, the source or the log");
  parser.Integer("waiting_queue_max", &settings.waiting_queue_max, 1, 100'000,
                 "such calls that may wait for a thread; more are refused");
}

}  // namespace stockalert::rpc
