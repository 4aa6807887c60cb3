// Explainer over gRPC: asks any evaluator, and the one that it names, once.
//
// Thread-safe. Connections to evaluators that were named are kept, a bounded number of them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "services/alert/explainer.h"
#include "services/common/base/mutex.h"
#include "services/common/grpc/channel.h"

namespace stockalert::alert {

class GrpcExplainer final : public Explainer {
 public:
  using MakePeer = std::function<std::shared_ptr<rpc::Peer>(const std::string& address)>;
  // `evaluator_address`: of any evaluator. `timeout` bounds each of the two calls besides the caller's own deadline.
  GrpcExplainer(MakePeer make_peer, const std::string& evaluator_address, absl::Duration timeout);

  absl::StatusOr<internal::v1::FoldedAlert> Explain(const std::string& alert_id, const std::string& symbol,
                                                    const rpc::CallContext& call) override;

 private:
  absl::StatusOr<internal::v1::ExplainAlertResponse> Ask(const rpc::Peer& evaluator, const std::string& alert_id,
                                                         const std::string& symbol, const rpc::CallContext& call) const;
  std::shared_ptr<rpc::Peer> PeerAt(const std::string& address);

  const MakePeer make_peer_;
  const absl::Duration timeout_;
  const std::shared_ptr<rpc::Peer> any_;
  base::Mutex mutex_;
  std::map<std::string, std::shared_ptr<rpc::Peer>> owners_ ABSL_GUARDED_BY(mutex_);  // By address.
};

}  // namespace stockalert::alert
