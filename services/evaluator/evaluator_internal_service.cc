#include "services/evaluator/evaluator_internal_service.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/request_validation.h"
#include "services/common/kafka/partitioner.h"
#include "services/common/log/log.h"
#include "services/domain/record/definition_codec.h"
#include "services/evaluator/evaluator_errors.h"

namespace stockalert::evaluator {
namespace {

namespace ipb = ::stockalert::internal::v1;

constexpr size_t kWindowPricesMax = 50;
constexpr size_t kSplitsMax = 20;
// What is left of a call's time to find out whose the partition is, and for the answer to arrive.
constexpr absl::Duration kAnswerTime = absl::Milliseconds(100);

void Put(const std::vector<fold::PriceRange>& ranges, google::protobuf::RepeatedPtrField<ipb::FoldedRange>* messages) {
  for (const fold::PriceRange& range : ranges) {
    ipb::FoldedRange& message = *messages->Add();
    if (range.low_micros) message.set_low_micros(*range.low_micros);
    if (range.high_micros) message.set_high_micros(*range.high_micros);
  }
}

ipb::FoldedReadiness ToMessage(fold::Readiness readiness) { return static_cast<ipb::FoldedReadiness>(readiness); }
static_assert(static_cast<int>(fold::Readiness::kHeld) == ipb::FOLDED_READINESS_HELD);

ipb::FoldedSide ToMessage(const fold::ExplainedSide& side) {
  ipb::FoldedSide message;
  message.set_readiness(ToMessage(side.readiness));
  if (side.reference_micros) message.set_reference_micros(*side.reference_micros);
  Put(side.trigger_ranges, message.mutable_trigger_ranges());
  Put(side.ready_ranges, message.mutable_ready_ranges());
  for (size_t i = 0; i < std::min(side.window.size(), kWindowPricesMax); ++i) {
    ipb::FoldedPrice& price = *message.add_window_prices();
    price.set_price_micros(side.window[i].price_micros);
    price.set_event_time_us(side.window[i].time_us);
  }
  message.set_window_price_count(static_cast<int32_t>(side.window.size()));
  return message;
}

ipb::FoldedAlert ToMessage(const ExplainedAlert& explained, int32_t partition) {
  const fold::Explanation& said = explained.explanation;
  ipb::FoldedAlert message;
  message.set_readiness(ToMessage(said.readiness));
  *message.mutable_definition() = record::EncodeDefinition(said.definition);
  message.set_revision(said.revision);
  message.set_armed_revision(said.armed_revision);
  message.set_trigger_number(said.trigger_number);
  if (said.last_price_micros) {
    message.mutable_last_price()->set_price_micros(*said.last_price_micros);
    if (said.last_price_time_us) message.mutable_last_price()->set_event_time_us(*said.last_price_time_us);
  }
  if (said.last_event_time_us) message.set_last_event_time_us(*said.last_event_time_us);
  for (const fold::ExplainedSide& side : said.sides) *message.add_sides() = ToMessage(side);
  if (said.cooldown_end_us) message.set_cooldown_end_us(*said.cooldown_end_us);
  const size_t first_split = said.splits.size() - std::min(said.splits.size(), kSplitsMax);
  for (size_t i = first_split; i < said.splits.size(); ++i) {
    ipb::FoldedSplit& split = *message.add_splits();
    split.set_split_id(said.splits[i].split_id);
    split.set_numerator(said.splits[i].ratio.numerator);
    split.set_denominator(said.splits[i].ratio.denominator);
  }
  message.set_partition(partition);
  message.set_next_offset(explained.next_offset);
  return message;
}

absl::Status NotOwned() {
  return base::Unavailable(
      kReasonPartitionNotOwned,
      "no evaluator has the alert's part of the log at the moment, or none that answers: ask again "
      "in a moment; if that lasts, look at the evaluators' /readyz");
}

}  // namespace

absl::StatusOr<std::optional<PartitionHolder>> EvaluatorInternalService::FindHolder(int32_t partition,
                                                                                    absl::Time deadline) {
  {
    base::MutexLock lock(mutex_);
    if (!found_.WaitFor(lock, deadline - absl::Now(),
                        [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !finding_; })) {
      return absl::UnavailableError("others are being looked up");
    }
    finding_ = true;
  }
  absl::StatusOr<std::optional<PartitionHolder>> holder = store_.FindHolder(partition);
  base::MutexLock lock(mutex_);
  finding_ = false;
  found_.NotifyOne();
  return holder;
}

absl::StatusOr<ipb::ExplainAlertResponse> EvaluatorInternalService::Answer(const rpc::CallContext& call,
                                                                           const ipb::ExplainAlertRequest& request) {
  base::FieldViolations violations;
  rpc::CheckText(violations, "alert_id", request.alert_id(), 1, 64);
  rpc::CheckText(violations, "symbol", request.symbol(), 1, 64);
  STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
  const int32_t partition = kafka::PartitionOf(request.symbol(), partitions_);
  absl::StatusOr<ExplainedAlert> explained = ask_(partition, request.alert_id(), call.deadline - kAnswerTime);
  if (!explained.ok() && base::ReasonOf(explained.status()) != kReasonPartitionNotOwned) return explained.status();
  // Also where this one has an answer: it may have been fenced without having noticed, and would answer for ever as of
  // then.
  const absl::StatusOr<std::optional<PartitionHolder>> holder = FindHolder(partition, call.deadline);
  if (!holder.ok()) {
    log::Warning("whose a partition is cannot be read", {{"partition", partition}, {"status", holder.status()}});
    return NotOwned();
  }
  ipb::ExplainAlertResponse response;
  if (explained.ok() && holder->has_value() && (*holder)->epoch == explained->epoch) {
    *response.mutable_alert() = ToMessage(*explained, partition);
    return response;
  }
  if (!holder->has_value() || (*holder)->owner.address.empty() || (*holder)->owner.address == own_address_) {
    return NotOwned();
  }
  response.set_owner_address((*holder)->owner.address);
  return response;
}

grpc::ServerUnaryReactor* EvaluatorInternalService::ExplainAlert(grpc::CallbackServerContext* context,
                                                                 const ipb::ExplainAlertRequest* request,
                                                                 ipb::ExplainAlertResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.internal.v1.EvaluatorInternalService/ExplainAlert", rpc::Access::kMesh}, request,
      response,
      [this](const rpc::CallContext& call, const ipb::ExplainAlertRequest& asked) { return Answer(call, asked); });
}

}  // namespace stockalert::evaluator
