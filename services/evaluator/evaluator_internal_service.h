// The internal calls of the evaluator, for the alert service: what the fold knows of an alert, or who has its
// partition. Thread-safe; what it is given must outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/mutex.h"
#include "services/common/grpc/call_runner.h"
#include "services/evaluator/evaluator_loop.h"
#include "services/evaluator/evaluator_store.h"
#include "stockalert/internal/v1/evaluator_internal.grpc.pb.h"

namespace stockalert::evaluator {

class EvaluatorInternalService final : public ::stockalert::internal::v1::EvaluatorInternalService::CallbackService {
 public:
  // As EvaluatorService::Explain.
  using Ask = std::function<absl::StatusOr<ExplainedAlert>(int32_t partition, const std::string& alert_id,
                                                           absl::Time deadline)>;
  // `own_address`: as in the rows of the partitions that this process acquires.
  EvaluatorInternalService(rpc::CallRunner& runner, Ask ask, EvaluatorStore& store, std::string own_address)
      : runner_(runner), ask_(std::move(ask)), store_(store), own_address_(std::move(own_address)) {}

  // Of the topic; before the first call.
  void SetPartitionCount(int partitions) { partitions_ = partitions; }

  grpc::ServerUnaryReactor* ExplainAlert(grpc::CallbackServerContext* context,
                                         const ::stockalert::internal::v1::ExplainAlertRequest* request,
                                         ::stockalert::internal::v1::ExplainAlertResponse* response) override;

 private:
  absl::StatusOr<::stockalert::internal::v1::ExplainAlertResponse> Answer(
      const rpc::CallContext& call, const ::stockalert::internal::v1::ExplainAlertRequest& request);

  // Who holds the partition; UNAVAILABLE where that cannot be known in time. One question a time: they share a few
  // connections with the commits, which must not wait for them.
  absl::StatusOr<std::optional<PartitionHolder>> FindHolder(int32_t partition, absl::Time deadline);

  rpc::CallRunner& runner_;
  const Ask ask_;
  EvaluatorStore& store_;
  const std::string own_address_;
  int partitions_ = 0;
  base::Mutex mutex_;
  base::ConditionVariable found_;
  bool finding_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace stockalert::evaluator
