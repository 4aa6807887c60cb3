#include "services/common/net/port_claim.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/net/open_port.h"
#include "services/common/net/port_holder.h"
#include "services/common/process/run_main.h"

namespace stockalert::net {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(250);

}  // namespace

absl::Status RetryWhileTaken(const std::string& address, absl::Duration patience,
                             const std::function<absl::Status()>& take) {
  STOCKALERT_ASSIGN_OR_RETURN(const config::Address parsed, config::ParseAddress(address));
  const absl::Time give_up = absl::Now() + patience;
  for (bool told = false;; told = true) {
    const absl::Status status = take();
    if (!absl::IsUnavailable(status)) return status;
    const std::string holder = DescribeHolder(parsed);
    if (absl::Now() >= give_up) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", address, " (", status.message(), "): ", holder,
                                                 ". End it, or choose another address by its flag"));
    }
    if (!told) {
      log::Warning("a port is taken; trying again", {{"address", address}, {"why", status}, {"holder", holder}});
    }
    if (process::AwaitStopRequest(kPause)) return absl::CancelledError("asked to stop");
  }
}

absl::StatusOr<PortClaims> PortClaims::Claim(const std::vector<std::string>& addresses, absl::Duration patience) {
  PortClaims claims;
  for (const std::string& address : addresses) {
    if (address.empty()) continue;
    STOCKALERT_ASSIGN_OR_RETURN(const config::Address parsed, config::ParseAddress(address));
    if (parsed.port == 0) continue;
    STOCKALERT_RETURN_IF_ERROR(RetryWhileTaken(address, patience, [&] { return claims.ClaimOne(parsed); }));
  }
  return claims;
}

PortClaims::PortClaims(PortClaims&& other) noexcept : sockets_(std::exchange(other.sockets_, {})) {}

PortClaims& PortClaims::operator=(PortClaims&& other) noexcept {
  std::swap(sockets_, other.sockets_);
  return *this;
}

PortClaims::~PortClaims() { Release(); }

void PortClaims::Release() {
  for (const int socket : sockets_) close(socket);
  sockets_.clear();
}

absl::Status PortClaims::ClaimOne(const config::Address& address) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<int> bound, OpenPort(address, 0));
  sockets_.insert(sockets_.end(), bound.begin(), bound.end());
  return absl::OkStatus();
}

}  // namespace stockalert::net
