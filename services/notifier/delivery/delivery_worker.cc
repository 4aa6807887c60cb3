#include "services/notifier/delivery/delivery_worker.h"

#include <algorithm>

#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/notifier/delivery/attempt_outcome.h"

namespace stockalert::notifier {
namespace {

const char* NameOf(DeliveryKind kind) {
  switch (kind) {
    case DeliveryKind::kNotification:
      return "notification";
    case DeliveryKind::kVerification:
      return "verification";
    case DeliveryKind::kTest:
      return "test";
  }
  return "unknown";
}

const char* NameOf(const SettledAttempt& attempt, AttemptFailure failure) {
  if (attempt.outcome == AttemptOutcome::kSucceeded) return "succeeded";
  switch (failure) {
    case AttemptFailure::kNone:
      // With a status of success: what it says, or a missing proof, is the failure.
      return attempt.attempt.http_status >= 200 && attempt.attempt.http_status <= 299 ? "answer" : "status";
    case AttemptFailure::kAddressRefused:
      return "address_refused";
    case AttemptFailure::kTimedOut:
      return "timed_out";
    case AttemptFailure::kNoAnswer:
      return "no_answer";
    case AttemptFailure::kPostponed:
    case AttemptFailure::kNotAttempted:
      break;
  }
  return "impossible";
}

prometheus::Counter& Attempts(DeliveryKind kind, const char* outcome) {
  return metrics::GetCounter("stockalert_delivery_attempts_total",
                             "Attempts at deliveries, by kind of delivery and outcome",
                             {{"kind", NameOf(kind)}, {"outcome", outcome}});
}

void CountAttempt(DeliveryKind kind, const char* outcome) { Attempts(kind, outcome).Increment(); }

const char* NameOf(DisableReason reason) {
  switch (reason) {
    case DisableReason::kNone:
      break;
    case DisableReason::kGone:
      return "gone";
    case DisableReason::kFailing:
      return "failing";
    case DisableReason::kSecretsLost:
      return "secrets_lost";
    case DisableReason::kUnsubscribed:
      return "unsubscribed";
  }
  return "none";
}

prometheus::Histogram& FirstAttempt() {
  static auto& first_attempt = metrics::GetHistogram("stockalert_delivery_first_attempt_seconds",
                                                     "Time from the queueing of a delivery to its first attempt");
  return first_attempt;
}

prometheus::Counter& LateResults() {
  static auto& late = metrics::GetCounter("stockalert_delivery_late_results_total",
                                          "Results of attempts that no longer counted: another instance had leased the "
                                          "lane, or the delivery was cancelled or replayed");
  return late;
}

prometheus::Counter& LostLeases() {
  static auto& lost = metrics::GetCounter("stockalert_delivery_leases_lost_total",
                                          "Lanes that another instance leased while this one still used them");
  return lost;
}

prometheus::Counter& Told() {
  static auto& told = metrics::GetCounter("stockalert_delivery_users_told_total",
                                          "Times that a user was notified of destinations that were verified or "
                                          "disabled by an attempt");
  return told;
}

prometheus::Counter& StoreFailures() {
  static auto& failures = metrics::GetCounter("stockalert_delivery_store_failures_total",
                                              "Failed accesses to the deliveries in the database");
  return failures;
}

prometheus::Counter& Disabled(DisableReason reason) {
  return metrics::GetCounter("stockalert_delivery_destinations_disabled_total",
                             "Destinations that were disabled, by reason", {{"reason", NameOf(reason)}});
}

// So that they exist, at 0, before there is anything to count.
void ShowMetrics() {
  FirstAttempt();
  LateResults();
  LostLeases();
  StoreFailures();
  Told();
  for (const DeliveryKind kind : {DeliveryKind::kNotification, DeliveryKind::kVerification, DeliveryKind::kTest}) {
    for (const char* outcome : {"succeeded", "status", "answer", "timed_out", "no_answer", "address_refused"})
      Attempts(kind, outcome);
  }
  for (const DisableReason reason : {DisableReason::kGone, DisableReason::kFailing, DisableReason::kSecretsLost})
    Disabled(reason);
}

void ObserveFirstAttempt(const Delivery& delivery, int64_t now_us) {
  if (delivery.attempt_count > 0) return;
  FirstAttempt().Observe(static_cast<double>(std::max<int64_t>(now_us - delivery.create_time_us, 0)) / 1e6);
}

}  // namespace

DeliveryWorker::DeliveryWorker(const DeliveryWorkerOptions& options, DeliveryStore& store, RequestSender& sender,
                               DeliveryTranslator& translator, const base::Clock& clock,
                               std::function<double()> random_fraction, std::function<void()> on_wake)
    : options_(options),
      owner_{options.owner, clock.NowUs()},
      renew_before_end_us_(absl::ToInt64Microseconds(options.lease_time) * 2 / 3),
      store_(store),
      sender_(sender),
      translator_(translator),
      clock_(clock),
      random_fraction_(std::move(random_fraction)),
      on_wake_(std::move(on_wake)),
      window_(options.bounds),
      backoff_(options.store_backoff, random_fraction_),
      due_per_lane_(options.deliveries_per_lane_max),
      ends_earlier_leases_(options.owner_is_lasting) {
  ShowMetrics();
}

void DeliveryWorker::Wake(const std::vector<std::string>& user_ids) {
  {
    base::MutexLock lock(inbox_->mutex);
    inbox_->woken.insert(user_ids.begin(), user_ids.end());
    inbox_->looks = true;
  }
  on_wake_();
}

absl::Duration DeliveryWorker::RunOnce() {
  CollectFinished();
  const int64_t now_us = clock_.NowUs();
  if (now_us >= next_poll_us_) {
    next_poll_us_ = now_us + absl::ToInt64Microseconds(options_.poll_interval);
    window_.RemoveExpired(now_us);
    window_.WakeAll();
    look_ = true;
  }
  if (ends_earlier_leases_ && now_us >= store_pause_until_us_) EndEarlierLeases();
  if (clock_.NowUs() >= store_pause_until_us_) {
    // Attempts start before the next results are written, so that they never wait for a write.
    LeaseAndRead();
    StartAttempts();
    CollectFinished();
    const bool writes = !unsettled_.empty() || !window_.FindIdle({}).empty() || HasToRenew(clock_.NowUs());
    if (writes && clock_.NowUs() >= store_pause_until_us_) Settle({});
  }
  StartAttempts();
  const int64_t end_us = clock_.NowUs();
  return absl::Microseconds(std::max<int64_t>(NextTurn(end_us) - end_us, 0));
}

int64_t DeliveryWorker::NextTurn(int64_t now_us) const {
  int64_t turn_us = next_poll_us_;
  if (!unsettled_.empty() || (more_ && LanesToLease() > 0)) {
    // Attempts that could not be made are over without waking us.
    turn_us = now_us;
  } else if (const std::optional<int64_t> end_us = window_.FindFirstLeaseEnd(now_us)) {
    turn_us = std::min(turn_us, *end_us - renew_before_end_us_);
  }
  turn_us = std::max(turn_us, store_pause_until_us_);
  const std::optional<int64_t> spaced_us = window_.FindNextSpacedUs();
  if (!spaced_us || static_cast<int>(unsettled_.size()) >= options_.unsettled_max) return turn_us;
  return std::min(turn_us, *spaced_us);
}

bool DeliveryWorker::HasToRenew(int64_t now_us) const {
  return !window_.FindLeasesEndingBefore(now_us + renew_before_end_us_, now_us).empty();
}

void DeliveryWorker::EndEarlierLeases() {
  const int64_t now_us = clock_.NowUs();
  // Then they have ended by themselves.
  const bool too_late = now_us >= owner_.start_us + absl::ToInt64Microseconds(options_.lease_time);
  if (!too_late) {
    const auto ended = store_.EndEarlierLeases(owner_, now_us);
    if (!ended.ok()) return PauseStore("cannot take back the lanes that this instance held before", ended.status());
    if (*ended > 0) log::Info("lanes taken back that this instance held before its restart", {{"lanes", *ended}});
  }
  ends_earlier_leases_ = false;
}

void DeliveryWorker::CollectFinished() {
  std::vector<Finished> finished;
  std::unordered_set<std::string> woken;
  {
    base::MutexLock lock(inbox_->mutex);
    finished.swap(inbox_->finished);
    woken.swap(inbox_->woken);
    look_ = look_ || inbox_->looks;
    inbox_->looks = false;
  }
  if (!woken.empty()) window_.WakeUsers(woken);
  for (Finished& one : finished) HandleFinished(std::move(one));
}

Verdict DeliveryWorker::VerdictOn(const Finished& finished) {
  if (finished.result.failure != AttemptFailure::kNone) return {VerdictKind::kRetry, finished.result.error, {}};
  return translator_.Judge(*finished.start.destination, finished.start.due.delivery, finished.result.reply,
                           finished.end_us);
}

void DeliveryWorker::HandleFinished(Finished finished) {
  const Delivery& delivery = finished.start.due.delivery;
  if (finished.result.failure == AttemptFailure::kNotAttempted) {
    CountAttempt(delivery.kind, "not_attempted");
    window_.PutBack(finished.start);
    return;
  }
  if (finished.result.failure == AttemptFailure::kPostponed) return HandlePostponed(std::move(finished));
  translator_.HideSecrets(*finished.start.destination, finished.result.reply);
  SettledAttempt attempt = JudgeAttempt(finished.start.lease, delivery, finished.result, VerdictOn(finished),
                                        finished.start_us, random_fraction_(), finished.end_us);
  CountAttempt(delivery.kind, NameOf(attempt, finished.result.failure));
  const int64_t now_us = clock_.NowUs();
  window_.EndAttempt(finished.start, attempt.outcome == AttemptOutcome::kSucceeded, now_us);
  // Many receivers that fail at once must not fill the memory with waiting deliveries.
  const bool too_many =
      attempt.outcome != AttemptOutcome::kSucceeded && window_.lanes(/*failing=*/true) > options_.failing_lanes_max;
  if (attempt.hold_until_us > 0 || attempt.disable_reason != DisableReason::kNone || too_many)
    window_.DropLane(finished.start.lease);
  // Whoever leases the lane next keeps the spacing, too.
  if (const int64_t spacing_us = finished.start.destination->spacing_us; spacing_us > 0)
    attempt.hold_until_us = std::max(attempt.hold_until_us, now_us + spacing_us);
  unsettled_.push_back({std::move(finished.start), std::move(attempt)});
}

void DeliveryWorker::HandlePostponed(Finished finished) {
  const DeliveryWindow::Start& start = finished.start;
  CountAttempt(start.due.delivery.kind, "postponed");
  SettledAttempt attempt = JudgePostponedAttempt(start.lease, start.due.delivery, finished.result.postpone,
                                                 random_fraction_(), finished.end_us);
  window_.EndWithoutAttempt(start, /*succeeded=*/!start.failing);
  window_.DropLane(start.lease);
  unsettled_.push_back({std::move(finished.start), std::move(attempt)});
}

int DeliveryWorker::LanesToLease() const {
  // Not more than can be sent soon, for other instances may be idle; and not a few at a time.
  const auto in_flight_max = static_cast<size_t>(options_.bounds.in_flight_max);
  const size_t ready = window_.ready_deliveries();
  if (ready >= 2 * in_flight_max) return 0;
  const int wanted = static_cast<int>(static_cast<double>(4 * in_flight_max - ready) / due_per_lane_) + 1;
  return std::clamp(options_.lanes_max - window_.lanes(/*failing=*/false), 0, wanted);
}

void DeliveryWorker::LeaseAndRead() {
  const int64_t now_us = clock_.NowUs();
  if (static_cast<int>(unsettled_.size()) >= options_.unsettled_max) return;
  LeaseRequest request;
  request.owner = owner_;
  request.lease_until_us = now_us + absl::ToInt64Microseconds(options_.lease_time);
  request.deliveries_max = options_.deliveries_per_lane_max;
  if (look_) {
    request.lanes_max = LanesToLease();
    request.failing_lanes_max = std::max(options_.failing_lanes_max - window_.lanes(true), 0);
  }
  request.again = window_.TakeLanesToRead(options_.deliveries_per_lane_max, now_us);
  if (request.lanes_max == 0 && request.failing_lanes_max == 0 && request.again.empty()) return;
  auto lanes = store_.LeaseLanes(request, now_us);
  if (!lanes.ok()) {
    window_.ReturnLanesToRead(request.again);
    return PauseStore("cannot read due deliveries from the database", lanes.status());
  }
  backoff_.Reset();
  int fresh[2] = {0, 0};
  size_t fresh_due = 0;
  std::unordered_map<std::string, int> limits;
  for (const LaneToRead& lane : request.again) limits[lane.lease.destination_id] = lane.limit;
  std::vector<std::string> inactive;
  for (LeasedLane& lane : *lanes) {
    if (lane.destination.delete_time_us || lane.destination.state == DestinationState::kDisabled)
      inactive.push_back(lane.lease.destination_id);
    const auto again = limits.find(lane.lease.destination_id);
    if (again == limits.end()) {
      ++fresh[lane.failing ? 1 : 0];
      if (!lane.failing) fresh_due += lane.due.size();
      window_.AddLane(std::move(lane), request.lease_until_us, request.deliveries_max);
    } else {
      window_.AddLane(std::move(lane), 0, again->second);
    }
  }
  more_ = request.lanes_max > 0 && fresh[0] >= request.lanes_max;
  if (fresh[0] > 0) due_per_lane_ = std::max(static_cast<double>(fresh_due) / fresh[0], 1.0);
  // As many as were asked for: there may be more.
  look_ = look_ && ((request.lanes_max > 0 && fresh[0] >= request.lanes_max) ||
                    (request.failing_lanes_max > 0 && fresh[1] >= request.failing_lanes_max) ||
                    request.lanes_max == 0 || request.failing_lanes_max == 0);
  CancelForInactive(inactive);
}

void DeliveryWorker::CancelForInactive(const std::vector<std::string>& destination_ids) {
  if (destination_ids.empty()) return;
  const auto cancelled = store_.CancelForInactive(destination_ids, clock_.NowUs());
  if (!cancelled.ok())
    return PauseStore("cannot cancel the deliveries of deleted and disabled destinations", cancelled.status());
  if (*cancelled > 0) {
    log::Info("deliveries cancelled, because their destinations were deleted or disabled",
              {{"deliveries", *cancelled}, {"destinations", destination_ids.size()}});
  }
}

void DeliveryWorker::StartAttempts() {
  const int64_t now_us = clock_.NowUs();
  while (static_cast<int>(unsettled_.size()) < options_.unsettled_max) {
    std::optional<DeliveryWindow::Start> start = window_.StartNext(now_us);
    if (!start) return;
    StartOne(*std::move(start));
  }
}

void DeliveryWorker::StartOne(DeliveryWindow::Start start) {
  const int64_t now_us = clock_.NowUs();
  absl::StatusOr<OutgoingRequest> request = translator_.Compose(*start.destination, start.due, now_us);
  if (!request.ok()) {
    const bool lost = !absl::IsFailedPrecondition(request.status());
    if (lost) {
      log::Error(
          "cannot decrypt the secrets of a destination; it is disabled: see whether --delivery_keys_file lacks a key",
          {{"destination", start.destination->id}, {"error", std::string(request.status().message())}});
    }
    return FailAttempt(start,
                       JudgeImpossibleAttempt(start.lease, start.due.delivery,
                                              lost ? "the secrets of the destination can no longer be decrypted"
                                                   : std::string(request.status().message()),
                                              lost ? DisableReason::kSecretsLost : DisableReason::kNone, now_us));
  }
  ObserveFirstAttempt(start.due.delivery, now_us);
  sender_.Send(*request,
               [inbox = inbox_, wake = on_wake_, start = std::move(start), now_us](AttemptResult result) mutable {
                 bool first = false;
                 {
                   base::MutexLock lock(inbox->mutex);
                   const int64_t end_us = now_us + absl::ToInt64Microseconds(result.duration);
                   first = inbox->finished.empty();
                   inbox->finished.push_back({std::move(start), std::move(result), now_us, end_us});
                 }
                 // Those before it woke the worker, which has not come for them yet.
                 if (first) wake();
               });
}

void DeliveryWorker::FailAttempt(const DeliveryWindow::Start& start, SettledAttempt attempt) {
  CountAttempt(start.due.delivery.kind, "impossible");
  window_.EndWithoutAttempt(start, /*succeeded=*/false);
  if (attempt.disable_reason != DisableReason::kNone) window_.DropLane(start.lease);
  unsettled_.push_back({start, std::move(attempt)});
}

bool DeliveryWorker::Settle(std::vector<LaneLease> releases) {
  const int64_t now_us = clock_.NowUs();
  const size_t count = unsettled_.size();
  SettleRequest request;
  std::unordered_set<std::string> settling;
  request.attempts.reserve(count);
  for (const Unsettled& one : unsettled_) {
    request.attempts.push_back(one.attempt);
    settling.insert(one.attempt.delivery_id);
  }
  request.releases = releases.empty() ? window_.FindIdle(settling) : std::move(releases);
  request.lease_until_us = now_us + absl::ToInt64Microseconds(options_.lease_time);
  request.disable_after_failing_us = absl::ToInt64Microseconds(options_.disable_after_failing);
  std::unordered_set<std::string> released;
  for (const LaneLease& lease : request.releases) released.insert(lease.destination_id);
  for (const LaneLease& lease : window_.FindLeasesEndingBefore(now_us + renew_before_end_us_, now_us)) {
    if (!released.contains(lease.destination_id)) request.renewals.push_back(lease);
  }
  if (request.attempts.empty() && request.releases.empty() && request.renewals.empty()) return true;
  const auto result = store_.Settle(request);
  if (!result.ok()) {
    PauseStore("cannot write the results of deliveries", result.status());
    return false;
  }
  backoff_.Reset();
  ApplySettled(request, *result, count);
  return true;
}

void DeliveryWorker::ApplySettled(const SettleRequest& request, const SettleResult& result, size_t count) {
  LateResults().Increment(static_cast<double>(request.attempts.size()) - result.applied);
  LostLeases().Increment(static_cast<double>(result.lost.size()));
  window_.ExtendLeases(request.renewals, request.lease_until_us);
  for (size_t i = 0; i < count; ++i) window_.ForgetDelivery(unsettled_[i].start);
  unsettled_.erase(unsettled_.begin(), unsettled_.begin() + static_cast<std::ptrdiff_t>(count));
  window_.RemoveLanes(request.releases);
  window_.RemoveLanes(result.lost);
  for (const DisabledDestination& one : result.disabled) {
    Disabled(one.reason).Increment();
    log::Warning("destination disabled",
                 {{"destination", one.id}, {"user", one.user_id}, {"reason", NameOf(one.reason)}});
  }
  for (const std::string& id : result.verified) log::Info("destination verified", {{"destination", id}});
  if (!result.told.empty()) {
    Told().Increment(static_cast<double>(result.told.size()));
    // What tells them is queued for their other destinations.
    Wake(result.told);
  }
  // Released lanes may be due again, or have deliveries to cancel.
  if (!request.releases.empty() && !result.disabled.empty()) look_ = true;
}

void DeliveryWorker::PauseStore(const char* what, const absl::Status& status) {
  StoreFailures().Increment();
  const absl::Duration pause = backoff_.Next();
  store_pause_until_us_ = clock_.NowUs() + absl::ToInt64Microseconds(pause);
  log::Warning(what, {{"error", std::string(status.message())}, {"again_in_ms", absl::ToInt64Milliseconds(pause)}});
}

bool DeliveryWorker::RunOnceToStop() {
  CollectFinished();
  if (clock_.NowUs() < store_pause_until_us_) return false;
  if (window_.in_flight() > 0) {
    if (!unsettled_.empty() || HasToRenew(clock_.NowUs())) Settle({});
    return false;
  }
  // Including lanes with deliveries that were not started: the next worker takes them.
  return Settle(window_.FindAllLeases()) && unsettled_.empty();
}

void DeliveryWorker::Abandon() {
  CollectFinished();
  if (!Settle(window_.FindAllLeases())) {
    log::Warning("lanes could not be released: other instances take them when the leases expire",
                 {{"in_flight", window_.in_flight()}, {"not_written", unsettled_.size()}});
  }
}

}  // namespace stockalert::notifier
