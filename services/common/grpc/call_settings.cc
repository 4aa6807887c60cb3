#include "services/common/grpc/call_settings.h"

#include <optional>

#include "services/common/base/abseil.h"
#include "services/common/grpc/peer.h"

namespace stockalert::rpc {

void DeclareCalls(config::Parser& parser, CallSettings& settings) {
  parser.AddInteger("reads_per_user_per_s", &settings.reads_per_user_per_s, 1, 1'000'000,
                    "calls of a user a second that only read");
  parser.AddInteger("writes_per_user_per_s", &settings.writes_per_user_per_s, 1, 1'000'000,
                    "calls of a user a second that change something");
  parser.AddInteger("creations_per_user_per_h", &settings.creations_per_user_per_h, 1, 1'000'000'000,
                    "things a user may create in an hour that leave traces when they are deleted (alerts)");
  parser.AddInteger("stream_openings_per_user_per_min", &settings.stream_openings_per_user_per_min, 1, 1'000'000,
                    "streams that a user may open in a minute");
  parser.AddInteger("calls_per_user_max", &settings.calls_per_user_max, 1, 100'000,
                    "calls of a user that may wait or run at once");
  parser.AddInteger("unknown_keys_per_network_per_min", &settings.unknown_keys_per_network_per_min, 1, 1'000'000'000,
                    "look-ups of unknown keys for one address (IPv6: one /64) in a minute");
  parser.AddString("trusted_proxies", &settings.trusted_proxies, config::kOptional,
                   "networks of the proxies whose X-Forwarded-For is trusted, as in 10.0.0.0/8,2001:db8::/48");
  parser.AddRule([&settings]() -> std::optional<std::string> {
    const absl::Status status = TrustedProxies::Parse(settings.trusted_proxies).status();
    if (status.ok()) return std::nullopt;
    return "--trusted_proxies: " + std::string(base::ToStd(status.message()));
  });
}

void DeclareWaitingCalls(config::Parser& parser, CallSettings& settings) {
  parser.AddInteger("waiting_threads", &settings.waiting_threads, 1, 256,
                    "threads for calls that wait for other services, the source or the log");
  parser.AddInteger("waiting_queue_max", &settings.waiting_queue_max, 1, 100'000,
                    "calls of this kind that may wait for a thread; more are refused");
}

}  // namespace stockalert::rpc
