#include "services/common/boot/flags.h"

#include <unistd.h>

#include <array>

#include "absl/strings/str_cat.h"

namespace stockalert::boot {

void DeclareAddresses(config::Parser& parser, std::string* public_address, std::string* http_address,
                      std::string* internal_address) {
  if (public_address != nullptr)
    parser.AddListenAddress("public_address", public_address, "where clients connect (gRPC)");
  if (http_address != nullptr)
    parser.AddListenAddress("http_address", http_address, "the HTTP address of /metrics, /healthz and /readyz");
  if (internal_address != nullptr)
    parser.AddListenAddress("internal_address", internal_address, "where the other services connect (gRPC)");
}

void DeclareWork(config::Parser& parser, int& threads, int& queue_max) {
  parser.AddInteger("threads", &threads, 1, 256, "threads that answer calls, on each port");
  parser.AddInteger("queue_max", &queue_max, 1, 100'000, "calls that may wait for a thread; more are refused");
}

void DeclareConnections(config::Parser& parser, int& connections_max) {
  parser.AddInteger("postgres_connections_max", &connections_max, 2, 200, "connections to the database");
}

void DeclareStart(config::Parser& parser, absl::Duration& start_timeout) {
  parser.AddSeconds("start_timeout_s", &start_timeout, absl::Seconds(1), absl::Minutes(10),
                    "how long to wait at the start for the database, the topics and other services");
}

void DeclareGroup(config::Parser& parser, std::string& group_id, std::string& instance_id, bool may_come_and_go) {
  parser.AddString("group_id", &group_id, config::kRequired, "the consumer group of all instances");
  const std::string none = "; none: a member without a lasting name, for instances that come and go";
  parser.AddString(
      "instance_id", &instance_id, config::kOptional,
      absl::StrCat("this instance's name in the group, no other one's, and the same after a restart; empty: "
                   "made of the host's name, so that several on one host need one each",
                   may_come_and_go ? none : ""));
  if (may_come_and_go) return;
  parser.AddRule([&instance_id]() -> std::optional<std::string> {
    if (instance_id == "none") return "--instance_id: this service's instances have lasting names, so not \"none\"";
    return std::nullopt;
  });
}

std::string GroupInstance(const std::string& program, const std::string& instance_id) {
  if (instance_id == "none") return "";
  if (!instance_id.empty()) return instance_id;
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0 || host[0] == '\0') return "";
  return absl::StrCat(program, "-", host.data());
}

}  // namespace stockalert::boot
