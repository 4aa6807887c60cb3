// Upstream over gRPC. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/alert/upstream.h"
#include "services/common/grpc/channel.h"

namespace stockalert::alert {

class GrpcUpstream final : public Upstream {
 public:
  // The peers must outlive it. `timeout` bounds each call besides the caller's own deadline.
  GrpcUpstream(const rpc::Peer& user_service, const rpc::Peer& ticker_service, const rpc::Peer& notifier,
               absl::Duration timeout);
  ~GrpcUpstream() override;

  absl::Status CheckUser(const std::string& user_id, const rpc::CallContext& call) override;
  absl::StatusOr<RegisteredTicker> RegisterTicker(const std::string& symbol, absl::Duration hold,
                                                  const rpc::CallContext& call) override;
  absl::StatusOr<RegisteredTicker> CheckTicker(const std::string& symbol, const rpc::CallContext& call) override;
  absl::StatusOr<std::map<std::string, int64_t>> GetSplitNumbers(const std::vector<std::string>& symbols,
                                                                 const rpc::CallContext& call) override;
  absl::StatusOr<std::map<std::string, LastPrices>> GetLastPrices(const std::vector<std::string>& symbols,
                                                                  const rpc::CallContext& call) override;
  absl::StatusOr<std::set<std::string>> FindDestinations(const std::string& user_id,
                                                         const std::set<std::string>& destination_ids,
                                                         const rpc::CallContext& call) override;

 private:
  struct Stubs;
  absl::StatusOr<RegisteredTicker> AskForTicker(const std::string& symbol, bool validate_only, absl::Duration hold,
                                                const rpc::CallContext& call);
  absl::Time DeadlineOf(const rpc::CallContext& call) const;

  const rpc::Peer& user_service_;
  const rpc::Peer& ticker_service_;
  const rpc::Peer& notifier_;
  const absl::Duration timeout_;
  const std::unique_ptr<Stubs> stubs_;
};

}  // namespace stockalert::alert
