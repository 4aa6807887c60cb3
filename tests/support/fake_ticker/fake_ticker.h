// The ticker service's internal side in memory, on a port of its own: epochs that rise, who publishes, and the symbols
// that a test registers, in pages of any size that is asked for. Thread-safe.
#pragma once

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"

namespace stockalert::testing {

class FakeTicker final : public internal::v1::TickerInternalService::Service {
 public:
  FakeTicker() {
    ::grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", ::grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FakeTicker() override { server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1)); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  void SetSymbols(const std::set<std::string>& symbols) {
    std::lock_guard lock(mutex_);
    symbols_ = symbols;
    ++version_;
  }
  // What the log is said to have.
  void SetLogEpoch(int64_t epoch) {
    std::lock_guard lock(mutex_);
    log_epoch_ = epoch;
  }
  // As a ticker service of version 0.1: no leases.
  void SetOld(bool old) {
    std::lock_guard lock(mutex_);
    old_ = old;
  }
  int lists() const {
    std::lock_guard lock(mutex_);
    return lists_;
  }
  int64_t epoch() const {
    std::lock_guard lock(mutex_);
    return epoch_;
  }

  ::grpc::Status AcquirePublisherEpoch(::grpc::ServerContext*,
                                       const internal::v1::AcquirePublisherEpochRequest* request,
                                       internal::v1::AcquirePublisherEpochResponse* response) override {
    std::lock_guard lock(mutex_);
    if (request->if_highest_is() != 0 && request->if_highest_is() != epoch_)
      return {::grpc::StatusCode::ABORTED, "another has a newer one"};
    epoch_ = std::max(epoch_, log_epoch_) + 1;
    response->set_epoch(epoch_);
    return ::grpc::Status::OK;
  }
  ::grpc::Status RenewPublisherLease(::grpc::ServerContext*, const internal::v1::RenewPublisherLeaseRequest* request,
                                     internal::v1::RenewPublisherLeaseResponse* response) override {
    std::lock_guard lock(mutex_);
    if (old_) return {::grpc::StatusCode::UNIMPLEMENTED, ""};
    if (request->epoch() == epoch_) {
      ++renewals_;
      if (request->release()) released_ = epoch_;
    }
    response->set_highest_epoch(epoch_);
    response->set_renewals(renewals_);
    response->set_released(released_ == epoch_);
    response->set_log_epoch(log_epoch_);
    return ::grpc::Status::OK;
  }
  ::grpc::Status ListSymbols(::grpc::ServerContext*, const internal::v1::ListSymbolsRequest* request,
                             internal::v1::ListSymbolsResponse* response) override {
    std::lock_guard lock(mutex_);
    ++lists_;
    response->set_version(version_);
    response->set_unchanged(request->after().empty() && request->known_version() == version_);
    if (response->unchanged()) return ::grpc::Status::OK;
    for (auto symbol = symbols_.upper_bound(request->after()); symbol != symbols_.end(); ++symbol) {
      if (request->page_size() > 0 && response->symbols_size() == request->page_size()) {
        response->set_more(true);
        break;
      }
      response->add_symbols(*symbol);
    }
    return ::grpc::Status::OK;
  }

 private:
  int port_ = 0;
  std::unique_ptr<::grpc::Server> server_;
  mutable std::mutex mutex_;
  int64_t epoch_ = 0;  // Guarded by mutex_, as what follows.
  int64_t log_epoch_ = 0;
  int64_t renewals_ = 0;
  int64_t released_ = 0;
  bool old_ = false;
  int lists_ = 0;
  int64_t version_ = 1;
  std::set<std::string> symbols_;
};

}  // namespace stockalert::testing
