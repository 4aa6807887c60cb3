// BarSource over gRPC, from the ticker service's internal port. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/common/grpc/channel.h"
#include "services/notifier/bars/bar_source.h"

namespace stockalert::notifier {

// How long a call may take.
inline constexpr absl::Duration kBarsTimeout = absl::Seconds(1);

class GrpcBarSource final : public BarSource {
 public:
  // The peer must outlive it.
  explicit GrpcBarSource(const rpc::Peer& ticker_service, absl::Duration timeout = kBarsTimeout);
  ~GrpcBarSource() override;

  absl::StatusOr<std::vector<PriceBar>> LastBars(const std::string& symbol, int64_t start_us, int64_t end_us,
                                                 int count_max) override;

 private:
  struct Stub;
  const rpc::Peer& ticker_service_;
  const absl::Duration timeout_;
  const std::unique_ptr<Stub> stub_;
};

}  // namespace stockalert::notifier
