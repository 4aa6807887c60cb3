// The ticker service's internal side in memory, on a port of its own: epochs that rise, and the symbols that a test
// registers. Thread-safe.
#pragma once

#include <grpcpp/grpcpp.h>

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
  int64_t epoch() const {
    std::lock_guard lock(mutex_);
    return epoch_;
  }

  ::grpc::Status AcquirePublisherEpoch(::grpc::ServerContext*, const internal::v1::AcquirePublisherEpochRequest*,
                                       internal::v1::AcquirePublisherEpochResponse* response) override {
    std::lock_guard lock(mutex_);
    response->set_epoch(++epoch_);
    return ::grpc::Status::OK;
  }
  ::grpc::Status ListSymbols(::grpc::ServerContext*, const internal::v1::ListSymbolsRequest* request,
                             internal::v1::ListSymbolsResponse* response) override {
    std::lock_guard lock(mutex_);
    response->set_version(version_);
    response->set_unchanged(request->known_version() == version_);
    if (!response->unchanged()) response->mutable_symbols()->Assign(symbols_.begin(), symbols_.end());
    return ::grpc::Status::OK;
  }

 private:
  int port_ = 0;
  std::unique_ptr<::grpc::Server> server_;
  mutable std::mutex mutex_;
  int64_t epoch_ = 0;  // Guarded by mutex_, as what follows.
  int64_t version_ = 1;
  std::set<std::string> symbols_;
};

}  // namespace stockalert::testing
