#include "services/evaluator/evaluator_loop.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/common/log/log.h"
#include "services/evaluator/evaluator_errors.h"

namespace stockalert::evaluator {
namespace {

constexpr absl::Duration kAcquireAgainAfter = absl::Milliseconds(500);
constexpr absl::Duration kAcquireAgainAfterMax = absl::Seconds(8);
constexpr absl::Duration kOffsetHintInterval = absl::Seconds(5);
constexpr absl::Duration kReadWithoutStop = absl::Seconds(5);
constexpr size_t kAcquiredAtOnce = 16;
constexpr int64_t kDraftAlertsAtOnce = 10'000;  // Some 10 ms.
constexpr absl::Duration kFatalInterval = absl::Seconds(15);

// Asked again at once it would cost as long, and so would its neighbours.
bool DoesNotAnswer(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status);
}

}  // namespace

EvaluatorLoop::EvaluatorLoop(EvaluatorStore& store, EvaluatorLogic& logic, AlertEventRelay& relay,
                             CheckpointSink& checkpoints, const EvaluatorLoopOptions& options)
    : store_(store),
      logic_(logic),
      relay_(relay),
      checkpoints_(checkpoints),
      options_(options),
      join_pauses_({.initial = absl::Milliseconds(100), .maximum = absl::Seconds(5)}, options.random_fraction),
      commit_pauses_({.initial = absl::Milliseconds(50), .maximum = absl::Seconds(2)}, options.random_fraction) {}

EvaluatorLoop::~EvaluatorLoop() = default;

absl::Status EvaluatorLoop::MakeFirstConsumer() { return JoinGroup(); }

void EvaluatorLoop::RunOnce() {
  Beat();
  retired_.reset();
  if (membership_ == Membership::kApart && options_.now() >= next_join_) {
    // TLS files that are just being swapped, say.
    if (const absl::Status status = JoinGroup(); !status.ok()) {
      next_join_ = options_.now() + join_pauses_.Next();
      log::Error("no consumer can be made to join the group with; trying again", {{"status", status}});
    }
  }
  if (consumer_ == nullptr) {
    options_.sleep(PollTimeout());
  } else {
    const LogPoll polled = consumer_->Poll(PollTimeout(), options_.poll_records);
    for (const LogPoll::Rebalance& event : polled.rebalances) HandleRebalance(event);
    HandleErrors(polled.errors);
    Apply(polled.records);
    if (!polled.fatal.ok()) {
      HandleFatal(polled.fatal);
    } else if (membership_ == Membership::kJoining && options_.now() - joining_since_ > options_.join_patience) {
      log::Error("the group has given this member nothing for too long; joining it with a new consumer",
                 {{"after", absl::FormatDuration(options_.join_patience)}});
      LeaveGroup();
    }
  }
  Beat();
  CommitIfDue();
  Beat();
  if (const absl::Status status = relay_.Pump(); !status.ok()) {
    static log::Limiter limiter(absl::Seconds(5));
    if (limiter.Allow()) log::Warning("the outbox cannot be read; trying again", {{"status", status}});
  }
  Beat();
  DeleteAcknowledgedIfIdle();
  HandleStopped();
  RetryStopped();
  AcquireDue();
  StartReadingDue();
  CheckpointIfDue();
  ReportOffsetsIfDue();
}

absl::Duration EvaluatorLoop::PollTimeout() const {
  if (AnyPartitionIn(State::kToAcquire)) return absl::Milliseconds(5);
  if (drafting_) return absl::Milliseconds(1);
  if (logic_.has_progress() || relay_.backlog() > 0) return absl::Milliseconds(20);
  return absl::Milliseconds(100);
}

bool EvaluatorLoop::AnyPartitionIn(State state) const {
  return std::any_of(partitions_.begin(), partitions_.end(),
                     [&](const auto& entry) { return entry.second.state == state; });
}

absl::Status EvaluatorLoop::JoinGroup() {
  absl::StatusOr<std::unique_ptr<LogConsumer>> consumer = options_.join();
  if (!consumer.ok()) return consumer.status();
  join_pauses_.Reset();
  ++counters_.joins;
  consumer_ = *std::move(consumer);
  BeginJoining();
  return absl::OkStatus();
}

void EvaluatorLoop::Beat() const {
  if (options_.beat && membership_ != Membership::kGivenUp) options_.beat();
}

void EvaluatorLoop::BeginJoining() {
  membership_ = Membership::kJoining;
  joining_since_ = options_.now();
}

// From here on, what this process knows of its partitions is out of date.
void EvaluatorLoop::LeaveGroup() {
  logic_.DropAllPartitions();
  relay_.EndAllPartitions();
  partitions_.clear();
  retired_ = std::move(consumer_);
  membership_ = Membership::kApart;
  next_join_ = options_.now();
}

void EvaluatorLoop::HandleFatal(const absl::Status& why) {
  const absl::Time now = options_.now();
  if (absl::IsAborted(why)) {
    log::Info("joining the group with a new consumer", {{"reason", why}});
  } else if (now - last_fatal_ > kFatalInterval) {
    // A broker that died may have forgotten who bears the member's name. If it happens again at once, another process
    // bears it.
    log::Warning("the consumer cannot go on; joining the group with a new one", {{"reason", why}});
    last_fatal_ = now;
  } else {
    LeaveGroup();
    membership_ = Membership::kGivenUp;
    if (options_.on_fatal) options_.on_fatal(why.ToString());
    return;
  }
  LeaveGroup();
}

void EvaluatorLoop::HandleRebalance(const LogPoll::Rebalance& event) {
  if (consumer_ == nullptr) return;
  for (auto& [partition, assigned] : partitions_) assigned.read = false;
  switch (event.change) {
    case LogPoll::Change::kRevoked:
      // The states are kept: most partitions come back at once, and the fence tells if one was another's meanwhile.
      BeginJoining();
      if (logic_.has_progress() && !logic_.blocked()) {
        if (IsFenced(logic_.Commit())) LeaveGroup();
      }
      break;
    case LogPoll::Change::kLost:
      logic_.DropAllPartitions();
      relay_.EndAllPartitions();
      partitions_.clear();
      BeginJoining();
      break;
    case LogPoll::Change::kAssigned: {
      const std::set<int32_t> given(event.partitions.begin(), event.partitions.end());
      for (const int32_t partition : logic_.partitions()) {
        if (!given.contains(partition)) logic_.DropPartition(partition);
      }
      std::erase_if(partitions_, [&](const auto& entry) { return !given.contains(entry.first); });
      std::erase_if(rests_, [&](const auto& entry) { return !given.contains(entry.first); });
      for (const int32_t partition : given) partitions_.try_emplace(partition);
      membership_ = Membership::kMember;
      break;
    }
  }
}

void EvaluatorLoop::AcquireLater(int32_t partition, Assigned& assigned) {
  logic_.DropPartition(partition);
  assigned.state = State::kToAcquire;
  // Each try may last until the broker or the database has not answered, and those that are read wait meanwhile.
  assigned.not_before =
      options_.now() + std::min(kAcquireAgainAfter * (1 << std::min(assigned.tries++, 10)), kAcquireAgainAfterMax);
}

void EvaluatorLoop::HandleErrors(const std::vector<LogPoll::Error>& errors) {
  for (const LogPoll::Error& error : errors) {
    auto found = partitions_.find(error.partition);
    if (membership_ != Membership::kMember || found == partitions_.end() || found->second.state != State::kReading)
      continue;
    if (absl::IsPermissionDenied(error.status)) {
      logic_.StopForNow(error.partition, error.status.ToString());
    } else {
      // The log has changed under us: taking the partition anew finds out what it is now. What waits for its commit is
      // committed first.
      found->second.state = State::kSettling;
    }
  }
}

void EvaluatorLoop::Apply(const std::vector<LogPoll::Record>& records) {
  if (records.empty() || membership_ != Membership::kMember) return;
  const absl::Time begun = options_.now();
  for (const LogPoll::Record& record : records) {
    auto found = partitions_.find(record.partition);
    if (found == partitions_.end()) continue;
    Assigned& assigned = found->second;
    if (assigned.state != State::kReading) continue;
    if (logic_.blocked()) {
      assigned.astray = true;  // Brought although nothing should be read: read again when it is time.
      continue;
    }
    if (assigned.astray) continue;
    const bool had_effects = logic_.has_effects();
    const NextStep next_step = logic_.Apply(record.partition, record.entry);
    if (!had_effects && logic_.has_effects()) oldest_effect_us_ = record.entry.log_time_us;
    switch (next_step) {
      case NextStep::kGoOn:
        assigned.place = record.entry.offset + 1;
        break;
      case NextStep::kStop:
        HandleStopped();
        break;
      case NextStep::kOtherLog: {
        const absl::StatusOr<LogFacts> facts = consumer_->QueryFacts(record.partition);
        const absl::StatusOr<int64_t> next =
            facts.ok() ? logic_.AdoptOtherLog(record.partition, *facts) : absl::StatusOr<int64_t>(facts.status());
        if (next.ok()) {
          assigned.place = *next;
          assigned.astray = true;
        } else if (logic_.stopped().contains(record.partition)) {
          HandleStopped();
        } else {
          AcquireLater(record.partition, assigned);
        }
        break;
      }
      case NextStep::kAgain:
        // The store does not answer while a replay is compared: the partition is loaded again when it does.
        AcquireLater(record.partition, assigned);
        break;
    }
  }
  if (options_.on_evaluated) options_.on_evaluated(options_.now() - begun);
}

void EvaluatorLoop::CommitIfDue() {
  const absl::Time now = options_.now();
  if (!logic_.blocked()) {
    // Also where what was blocked has been taken away.
    commit_pauses_.Reset();
    if (std::exchange(told_blocked_, false)) log::Info("commits are not blocked any more; reading goes on");
    if (!logic_.has_effects()) oldest_effect_us_ = 0;
    if (!logic_.has_progress()) return;
    const bool somebody_waits =
        logic_.has_effects() || AnyPartitionIn(State::kSettling) || AnyPartitionIn(State::kResting);
    if (!somebody_waits && now - last_commit_ < options_.commit_interval) return;
  } else if (now < next_try_) {
    return;
  }
  const absl::Status status = logic_.Commit();
  if (status.ok()) {
    last_commit_ = options_.now();
    if (oldest_effect_us_ > 0 && options_.on_committed) options_.on_committed(oldest_effect_us_);
    oldest_effect_us_ = 0;
    commit_pauses_.Reset();
    if (std::exchange(told_blocked_, false)) log::Info("commits go through again; reading goes on");
    return;
  }
  if (IsFenced(status)) {
    LeaveGroup();
    return;
  }
  if (!std::exchange(told_blocked_, true)) {
    log::Warning("a commit failed: reading is held back, partitions are kept, and the commit is tried again",
                 {{"status", status}, {"effects", logic_.pending_effects()}});
  }
  next_try_ = options_.now() + commit_pauses_.Next();
}

// Partitions that the logic has stopped since the last look.
void EvaluatorLoop::HandleStopped() {
  for (const auto& [partition, why] : logic_.stopped()) {
    auto found = partitions_.find(partition);
    if (found == partitions_.end() || found->second.state == State::kResting) continue;
    Assigned& assigned = found->second;
    if (!logic_.may_pass(partition)) {
      assigned.state = State::kHalted;
      rests_.erase(partition);
      continue;
    }
    auto [rest, added] = rests_.try_emplace(
        partition,
        Rest{base::Backoff({.initial = absl::Seconds(1), .maximum = options_.rest_max}, options_.random_fraction),
             {},
             {},
             {}});
    rest->second.why = why;
    rest->second.stopped_at = logic_.progress(partition).value_or(Progress());
    rest->second.pause = rest->second.pauses.Next();
    assigned.state = State::kResting;
    assigned.not_before = options_.now() + rest->second.pause;
    log::Warning("the stopped partition is taken anew and tried again after a pause",
                 {{"partition", partition}, {"pause", absl::FormatDuration(rest->second.pause)}, {"why", why}});
  }
}

// What partitions wait for besides records, and has come.
void EvaluatorLoop::RetryStopped() {
  if (membership_ != Membership::kMember) return;
  const absl::Time now = options_.now();
  for (auto& [partition, assigned] : partitions_) {
    if ((assigned.state == State::kSettling && !logic_.has_progress(partition)) ||
        (assigned.state == State::kReading && !logic_.next_offset(partition))) {
      AcquireLater(partition, assigned);
    } else if (assigned.state == State::kResting && now >= assigned.not_before && !logic_.has_progress(partition)) {
      logic_.DropPartition(partition);
      assigned.state = State::kToAcquire;
      assigned.not_before = now;
      ++counters_.tried_again;
    }
  }
  std::erase_if(rests_, [&](const auto& entry) {
    const auto& [partition, rest] = entry;
    auto found = partitions_.find(partition);
    if (found == partitions_.end()) return true;
    if (found->second.state != State::kReading || !logic_.is_live(partition) || logic_.has_progress(partition))
      return false;
    // Past it; or nothing has come since that could show it, and it has been read for a while.
    const bool past = logic_.progress(partition).value_or(Progress()) > rest.stopped_at ||
                      now - found->second.reading_since > std::min(rest.pause, kReadWithoutStop);
    if (past) log::Info("the stopped partition goes on", {{"partition", partition}, {"why_it_stopped", rest.why}});
    return past;
  });
}

void EvaluatorLoop::AcquireDue() {
  if (membership_ != Membership::kMember || logic_.blocked()) return;
  size_t taken = 0;
  for (auto& [partition, assigned] : partitions_) {
    if (taken >= kAcquiredAtOnce) return;
    if (assigned.state != State::kToAcquire || assigned.not_before > options_.now()) continue;
    ++taken;
    Beat();
    const absl::StatusOr<LogFacts> facts = consumer_->QueryFacts(partition);
    const absl::StatusOr<int64_t> next =
        facts.ok() ? logic_.AcquirePartition(partition, *facts) : absl::StatusOr<int64_t>(facts.status());
    if (next.ok()) {
      assigned.state = State::kReading;
      assigned.place = *next;
      assigned.astray = true;
      assigned.reading_since = options_.now();
      assigned.tries = 0;
      assigned.checkpoint_due =
          options_.now() + options_.checkpoint_interval * (0.5 + 0.5 * options_.random_fraction());
    } else if (IsFenced(next.status())) {
      LeaveGroup();
      return;
    } else if (logic_.stopped().contains(partition)) {
      HandleStopped();  // Logged, counted, and shown by /readyz.
    } else {
      static log::Limiter limiter(absl::Seconds(5));
      if (limiter.Allow()) {
        log::Warning("a partition cannot be loaded; trying again",
                     {{"partition", partition}, {"status", next.status()}});
      }
      AcquireLater(partition, assigned);
      // The next one would fare no better, and each question may last.
      if (DoesNotAnswer(next.status())) return;
    }
  }
}

// Tells the consumer what to read, where that is another thing than it reads. What fails is told again in the next
// turn.
void EvaluatorLoop::StartReadingDue() {
  if (consumer_ == nullptr || membership_ != Membership::kMember) return;
  std::vector<int32_t> stop;
  std::map<int32_t, int64_t> start;
  for (auto& [partition, assigned] : partitions_) {
    const bool due = assigned.state == State::kReading && !logic_.blocked();
    if (assigned.read && !due) stop.push_back(partition);
    if (due && (!assigned.read || assigned.astray)) start[partition] = assigned.place;
  }
  absl::Status status;
  if (!stop.empty()) {
    status = consumer_->StopReading(stop);
    if (status.ok()) {
      for (const int32_t partition : stop) partitions_[partition].read = false;
    }
  }
  if (status.ok() && !start.empty()) {
    status = consumer_->StartAt(start);
    for (const auto& [partition, place] : start) {
      partitions_[partition].read = status.ok();
      partitions_[partition].astray = !status.ok();
    }
  }
  if (!status.ok()) {
    static log::Limiter limiter(absl::Seconds(5));
    if (limiter.Allow())
      log::Warning("the consumer does not take what it shall read; telling it again", {{"status", status}});
  }
}

void EvaluatorLoop::DeleteAcknowledgedIfIdle() {
  const absl::Time now = options_.now();
  if (logic_.blocked() || logic_.has_progress() ||
      now - std::max(last_commit_, last_delete_) < options_.commit_interval)
    return;
  const std::vector<OutboxAcknowledgement> acknowledged = relay_.FindAcknowledged();
  if (acknowledged.empty()) return;
  if (const absl::Status status = store_.DeleteOutbox(acknowledged); status.ok()) {
    relay_.MarkDeleted(acknowledged);
  } else {
    static log::Limiter limiter(absl::Seconds(5));
    if (limiter.Allow()) log::Warning("events that went out are not deleted yet; trying again", {{"status", status}});
  }
  last_delete_ = options_.now();
}

void EvaluatorLoop::CheckpointIfDue() {
  for (const CheckpointSink::Result& result : checkpoints_.TakeResults()) {
    if (result.status.ok()) {
      logic_.MarkCheckpointed(result.partition, result.epoch, result.next_offset);
      ++counters_.checkpoints;
      counters_.checkpoint_bytes = result.bytes;
    } else {
      ++counters_.checkpoint_failures;
      log::Warning("a checkpoint was not written; the next one will be",
                   {{"partition", result.partition}, {"status", result.status}});
    }
  }
  if (!drafting_ && checkpoints_.is_free()) BeginDraftIfDue();
  if (!drafting_) return;
  if (std::optional<EvaluatorLogic::Draft> draft = logic_.ContinueDraft(*drafting_, kDraftAlertsAtOnce)) {
    checkpoints_.Write(*std::move(draft));
    drafting_.reset();
  } else if (!logic_.is_drafting(*drafting_)) {
    drafting_.reset();  // The partition is gone, or begun anew.
  }
}

void EvaluatorLoop::BeginDraftIfDue() {
  const absl::Time now = options_.now();
  for (auto& [partition, assigned] : partitions_) {
    if (logic_.wants_checkpoint(partition)) assigned.checkpoint_due = std::min(assigned.checkpoint_due, now);
  }
  while (!drafting_) {
    const auto next = std::min_element(partitions_.begin(), partitions_.end(), [](const auto& a, const auto& b) {
      return a.second.checkpoint_due < b.second.checkpoint_due;
    });
    if (next == partitions_.end() || next->second.checkpoint_due > now) return;
    const auto& [partition, assigned] = *next;
    absl::Duration pause = options_.checkpoint_interval;
    if (logic_.BeginDraft(partition)) {
      drafting_ = partition;
    } else if (logic_.has_progress(partition)) {
      pause = absl::Milliseconds(50);  // Busy right now. Else there is nothing new.
    }
    next->second.checkpoint_due = now + std::max(pause, absl::Milliseconds(1));
  }
}

void EvaluatorLoop::ReportOffsetsIfDue() {
  const absl::Time now = options_.now();
  if (membership_ != Membership::kMember || now - last_hint_ < kOffsetHintInterval) return;
  last_hint_ = now;
  std::map<int32_t, int64_t> offsets;
  for (const auto& [partition, assigned] : partitions_) {
    if (const auto next = logic_.next_offset(partition); next && logic_.is_live(partition)) offsets[partition] = *next;
  }
  consumer_->ReportOffsets(offsets);
}

void EvaluatorLoop::ShutDown(absl::Time deadline,
                             const std::function<absl::Status(const EvaluatorLogic::Draft&)>& write_checkpoint) {
  const auto now = options_.now;
  absl::Status status = logic_.Commit();
  while (!status.ok() && !IsFenced(status) && now() + absl::Milliseconds(200) < deadline) {
    options_.sleep(absl::Milliseconds(100));
    status = logic_.Commit();
  }
  if (!status.ok())
    log::Warning("the last commit failed: the next owner folds those records again", {{"status", status}});
  relay_.Pump().IgnoreError();
  while (relay_.backlog() > 0 && now() < deadline) {
    options_.sleep(absl::Milliseconds(5));
    relay_.Pump().IgnoreError();
  }
  const std::vector<OutboxAcknowledgement> acknowledged = relay_.FindAcknowledged();
  if (now() < deadline && store_.DeleteOutbox(acknowledged).ok()) relay_.MarkDeleted(acknowledged);
  for (const int32_t partition : logic_.partitions()) {
    if (now() >= deadline) break;
    const std::optional<EvaluatorLogic::Draft> draft = logic_.TakeDraft(partition);
    if (!draft) continue;
    if (const absl::Status written = write_checkpoint(*draft); !written.ok()) {
      log::Warning("a last checkpoint was not written", {{"partition", partition}, {"status", written}});
    }
  }
  LeaveGroup();
  retired_.reset();
  membership_ = Membership::kGivenUp;
}

absl::StatusOr<ExplainedAlert> EvaluatorLoop::Explain(int32_t partition, const std::string& alert_id) const {
  const auto found = partitions_.find(partition);
  // While the group decides anew, what is kept of before may be another's already.
  if (membership_ != Membership::kMember || found == partitions_.end()) {
    return base::Unavailable(kReasonPartitionNotOwned, "the alert's part of the log is not this evaluator's");
  }
  if (const auto stopped = logic_.stopped(); stopped.contains(partition)) {
    return base::Unavailable(
        kReasonPartitionStopped,
        "the evaluator had to stop in the alert's part of the log, whose alerts wait: its operator "
        "finds in its log, and in /readyz, what has to be mended");
  }
  const fold::Fold* fold = logic_.fold(partition);
  if (fold == nullptr || !logic_.is_live(partition)) {
    return base::Unavailable(kReasonPartitionRestoring,
                             "the evaluator is still reading the past of the alert's part of the log: ask again in a "
                             "moment");
  }
  const std::optional<fold::Explanation> explanation = fold->Explain(alert_id);
  if (!explanation.has_value()) {
    return base::Unavailable(kReasonAlertNotApplied,
                             "the evaluator has not read the alert yet: ask again in a moment; if that lasts, look "
                             "whether the alert's applied_revision rises");
  }
  return ExplainedAlert{*explanation, logic_.epoch(partition).value_or(0), logic_.next_offset(partition).value_or(0)};
}

EvaluatorLoop::Health EvaluatorLoop::health() const {
  Health health;
  health.membership = membership_;
  health.assigned = static_cast<int>(partitions_.size());
  health.stopped = logic_.stopped();
  for (const auto& [partition, rest] : rests_) health.stopped.try_emplace(partition, rest.why);
  health.commits_blocked = logic_.blocked();
  health.outbox_backlog = relay_.backlog();
  for (const auto& [partition, assigned] : partitions_) {
    if (health.stopped.contains(partition)) continue;
    if (assigned.state != State::kReading || !logic_.is_live(partition)) ++health.loading;
    if (const fold::Fold* fold = logic_.fold(partition)) {
      health.alerts += fold->alert_count();
      health.symbols += fold->symbol_count();
      health.held_symbols += fold->held_symbol_count();
      health.held_records += fold->held_record_count();
    }
  }
  return health;
}

}  // namespace stockalert::evaluator
