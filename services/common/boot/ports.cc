#include "services/common/boot/ports.h"

#include <utility>

#include "services/common/base/status_macros.h"
#include "services/common/grpc/server_limits.h"
#include "services/common/log/log.h"

namespace stockalert::boot {

absl::StatusOr<std::unique_ptr<Ports>> Ports::Claim(const PortAddresses& addresses) {
  STOCKALERT_ASSIGN_OR_RETURN(
      net::PortClaims claims,
      net::PortClaims::Claim({addresses.public_address, addresses.internal_address, addresses.http_address}));
  return std::unique_ptr<Ports>(new Ports(addresses, std::move(claims)));
}

Ports::Ports(PortAddresses addresses, net::PortClaims claims)
    : addresses_(std::move(addresses)), claims_(std::move(claims)) {}

absl::Status Ports::StartHttp(const HttpOptions& options) {
  const auto not_ready_reasons = [this, options] {
    std::vector<std::string> reasons;
    if (!serving_) reasons.push_back(options.starting);
    if (options.pool != nullptr && !options.pool->Ready().ok()) reasons.push_back("the database does not answer");
    if (serving_ && options.other_reasons) {
      for (std::string& reason : options.other_reasons()) reasons.push_back(std::move(reason));
    }
    return reasons;
  };
  STOCKALERT_ASSIGN_OR_RETURN(http_, http::AdminServer::Start({.address = addresses_.http_address,
                                                               .not_ready_reasons = not_ready_reasons,
                                                               .before_scrape = options.before_scrape}));
  return absl::OkStatus();
}

absl::Status Ports::StartCalls(const CallOptions& options) {
  if (options.internal_service) {
    STOCKALERT_ASSIGN_OR_RETURN(internal_server_,
                                rpc::Server::Start({.address = addresses_.internal_address,
                                                    .credentials = options.credentials.internal_server(),
                                                    .services = {options.internal_service->handler},
                                                    .service_names = {options.internal_service->name},
                                                    .name = "internal",
                                                    .limits = rpc::kInternalLimits,
                                                    .reflection = false,
                                                    .own_credentials = options.credentials.own_internal_port()}));
  }
  if (options.public_service) {
    std::vector<::grpc::Service*> handlers = {options.public_service->handler};
    std::vector<std::string> names = {options.public_service->name};
    for (const CallService& other : options.other_public_services) {
      handlers.push_back(other.handler);
      names.push_back(other.name);
    }
    STOCKALERT_ASSIGN_OR_RETURN(public_server_,
                                rpc::Server::Start({.address = addresses_.public_address,
                                                    .credentials = options.credentials.public_server(),
                                                    .services = std::move(handlers),
                                                    .service_names = std::move(names),
                                                    .receive_bytes_max = options.public_receive_bytes_max,
                                                    .limits = options.public_limits,
                                                    .trusted_proxies = options.trusted_proxies,
                                                    .own_credentials = options.credentials.own_public_port()}));
  }
  claims_.Release();
  return absl::OkStatus();
}

std::vector<rpc::Server*> Ports::Servers() const {
  std::vector<rpc::Server*> servers;
  if (internal_server_) servers.push_back(internal_server_.get());
  if (public_server_) servers.push_back(public_server_.get());
  return servers;
}

void Ports::SetServing(postgres::Pool* pool, const std::string& schema) {
  for (rpc::Server* server : Servers()) server->SetServing(true);
  if (pool != nullptr) {
    const auto tell = [servers = Servers()](bool writable) {
      for (rpc::Server* server : servers) server->SetWritable(writable);
    };
    write_probe_ = std::make_unique<postgres::WriteProbe>(*pool, postgres::WriteProbeOptions{.schema = schema}, tell);
  }
  serving_ = true;
  log::Info("serving",
            {{"public_port", public_port()}, {"internal_port", internal_port()}, {"http_port", http_port()}});
}

void Ports::StopServing() {
  serving_ = false;
  write_probe_.reset();
  for (rpc::Server* server : Servers()) server->SetServing(false);
}

void Ports::StopPublic(absl::Time deadline) {
  if (public_server_) public_server_->Shutdown(deadline);
}

void Ports::StopInternal(absl::Time deadline) {
  if (internal_server_) internal_server_->Shutdown(deadline);
}

void Ports::Close() {
  public_server_.reset();
  internal_server_.reset();
  http_.reset();
}

}  // namespace stockalert::boot
