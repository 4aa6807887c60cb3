#include "services/user/user_event_relay.h"

#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "stockalert/internal/v1/events.pb.h"

namespace stockalert::user {
namespace {

constexpr int kBatch = 100;
constexpr absl::Duration kRoundMax = absl::Seconds(5);

}  // namespace

UserEventRelay::UserEventRelay(UserStore& store, kafka::Producer& producer, const base::Clock& clock,
                               absl::Duration poll_interval)
    : store_(store),
      producer_(producer),
      clock_(clock),
      poll_interval_(poll_interval),
      heartbeat_("user_outbox_relay", process::Liveness::kBound + poll_interval) {}

UserEventRelay::~UserEventRelay() { Stop(); }

void UserEventRelay::Start() {
  heartbeat_.Beat();
  thread_ = std::thread([this] { Run(); });
}

void UserEventRelay::Wake() {
  {
    base::MutexLock lock(mutex_);
    woken_ = true;
  }
  changed_.NotifyAll();
}

void UserEventRelay::Stop() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
  heartbeat_.End();
}

absl::StatusOr<int> UserEventRelay::RelayOnce(absl::Time deadline) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<Deletion> deletions, store_.ReadDeletions(kBatch));
  std::vector<int64_t> told;
  absl::Status failure;
  for (const Deletion& deletion : deletions) {
    stockalert::internal::v1::UserEvent event;
    event.mutable_user_deleted()->set_user_id(deletion.user_id);
    event.mutable_user_deleted()->set_delete_time_us(deletion.delete_time_us);
    const absl::StatusOr<kafka::DeliveryReport> delivery =
        producer_.ProduceAndWait(kafka::kUserEventsTopic, deletion.user_id, event.SerializeAsString(),
                                 kafka::TraceHeaders(deletion.traceparent), deadline);
    if (!delivery.ok()) {
      failure = delivery.status();
      // One that Kafka cannot take as it is does not hold up those behind it.
      if (absl::IsInvalidArgument(failure)) continue;
      break;
    }
    told.push_back(deletion.sequence);
  }
  if (!told.empty()) STOCKALERT_RETURN_IF_ERROR(store_.ForgetDeletions(told));
  if (!failure.ok()) return failure;
  return static_cast<int>(told.size());
}

absl::StatusOr<int> UserEventRelay::RelayCodesOnce(absl::Time deadline) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<UntoldEmailCode> codes, store_.ReadUntoldEmailCodes(kBatch));
  std::vector<UntoldEmailCode> done;
  absl::Status failure;
  for (const UntoldEmailCode& untold : codes) {
    if (untold.code.expire_time_us > clock_.NowUs()) {
      stockalert::internal::v1::UserEvent event;
      auto& request = *event.mutable_email_verification_requested();
      request.set_user_id(untold.user_id);
      request.set_email(untold.email);
      request.set_code(untold.code.code);
      request.set_expire_time_us(untold.code.expire_time_us);
      failure = producer_
                    .ProduceAndWait(kafka::kUserEventsTopic, untold.user_id, event.SerializeAsString(),
                                    kafka::TraceHeaders(untold.code.traceparent), deadline)
                    .status();
      if (!failure.ok()) break;
    }
    done.push_back(untold);
  }
  if (!done.empty()) STOCKALERT_RETURN_IF_ERROR(store_.MarkEmailCodesTold(done));
  if (!failure.ok()) return failure;
  return static_cast<int>(done.size());
}

void UserEventRelay::Run() {
  base::Backoff backoff({.initial = absl::Milliseconds(200), .maximum = absl::Seconds(5)});
  auto& told =
      metrics::GetCounter("stockalert_user_deletions_told_total", "Deleted users that the other services were told of");
  auto& codes_told = metrics::GetCounter("stockalert_user_email_codes_told_total",
                                         "Codes that were handed over to be mailed, or had expired");
  auto& failures = metrics::GetCounter("stockalert_user_outbox_failures_total",
                                       "Rounds of the outbox that failed and are tried again");
  for (;;) {
    heartbeat_.Beat();
    absl::StatusOr<int> count = RelayOnce(absl::Now() + kRoundMax);
    absl::Duration pause = poll_interval_;
    bool more = false;
    if (count.ok()) {
      told.Increment(*count);
      more = *count == kBatch;
      count = RelayCodesOnce(absl::Now() + kRoundMax);
    }
    if (count.ok()) {
      backoff.Reset();
      codes_told.Increment(*count);
      if (more || *count == kBatch) pause = absl::ZeroDuration();
    } else {
      failures.Increment();
      pause = backoff.Next();
      static log::Limiter limiter(absl::Seconds(10));
      if (limiter.Allow()) {
        log::Warning("deletions and codes wait to be told: broker or database do not answer; trying again",
                     {{"error", count.status()}});
      }
    }
    base::MutexLock lock(mutex_);
    changed_.WaitFor(lock, pause,
                     [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || (count.ok() && woken_); });
    woken_ = false;
    if (stopping_) return;
  }
}

}  // namespace stockalert::user
