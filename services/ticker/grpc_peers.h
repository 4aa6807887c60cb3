// The peers of peers.h over gRPC. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "services/common/grpc/channel.h"
#include "services/ticker/peers.h"

namespace stockalert::ticker {

// stockalert.internal.v1.FetcherService.
class GrpcFetcher final : public Fetcher, public SplitPublisher, public HoldPublisher {
 public:
  // `peer` must outlive it.
  explicit GrpcFetcher(const rpc::Peer& peer);
  // Waits for what FetchAsync began.
  ~GrpcFetcher() override;
  absl::StatusOr<LookedUp> Lookup(const std::string& symbol, const std::string& user, const trace::Context& trace,
                                  absl::Time deadline) override;
  void FetchAsync(const std::vector<std::string>& symbols, const std::string& user, const trace::Context& trace,
                  absl::Time deadline, Fetched done) override;
  absl::StatusOr<std::vector<LogPlace>> Publish(const std::vector<internal::v1::QuoteRecord>& quotes,
                                                const trace::Context& trace, absl::Time deadline) override;
  absl::StatusOr<LogPlace> PublishSplit(const record::Split& split, const trace::Context& trace,
                                        absl::Time deadline) override;
  absl::StatusOr<LogPlace> PublishHold(const std::string& symbol, Kind kind, const trace::Context& trace,
                                       absl::Time deadline) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// stockalert.internal.v1.UserInternalService and AlertInternalService.
class GrpcTickerUse final : public TickerUse {
 public:
  // The peers must outlive it.
  GrpcTickerUse(const rpc::Peer& user, const rpc::Peer& alert);
  ~GrpcTickerUse() override;
  absl::StatusOr<int64_t> CountFollowers(const std::string& symbol, const trace::Context& trace,
                                         absl::Time deadline) override;
  absl::StatusOr<int64_t> CountAlerts(const std::string& symbol, const trace::Context& trace,
                                      absl::Time deadline) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace stockalert::ticker
