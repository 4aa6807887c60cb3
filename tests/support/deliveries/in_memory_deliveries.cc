#include "tests/support/deliveries/in_memory_deliveries.h"

#include <algorithm>
#include <cstdio>
#include <tuple>

#include "services/notifier/delivery/route_rules.h"
#include "services/notifier/delivery/settle_rules.h"

namespace stockalert::testing {

using notifier::AttemptOutcome;
using notifier::ChangedDestination;
using notifier::CreatedDestination;
using notifier::Delivery;
using notifier::DeliveryFilter;
using notifier::DeliveryKind;
using notifier::DeliveryState;
using notifier::Destination;
using notifier::DestinationState;
using notifier::LeasedLane;
using notifier::SettledAttempt;

namespace {

bool IsGone(const Destination& destination) {
  return destination.delete_time_us || destination.state == DestinationState::kDisabled;
}

bool IsDisabled(const Destination& destination) { return destination.state == DestinationState::kDisabled; }

bool IsActive(const Destination& destination) {
  return !destination.delete_time_us && destination.state == DestinationState::kActive;
}

}  // namespace

InMemoryDeliveries::Stored* InMemoryDeliveries::FindLocked(const std::string& user_id, const std::string& id) {
  const auto found = destinations_.find(id);
  if (found == destinations_.end() || found->second.destination.user_id != user_id) return nullptr;
  return &found->second;
}

Delivery InMemoryDeliveries::InsertLocked(const Destination& destination, const notifier::NewDelivery& delivery,
                                          const std::string& notification_id, int64_t now_us) {
  Row row;
  row.delivery.id = delivery.id;
  row.delivery.number = ++numbers_;
  row.delivery.user_id = destination.user_id;
  row.delivery.destination_id = destination.id;
  row.delivery.notification_id = notification_id;
  row.delivery.kind = delivery.kind;
  row.delivery.challenge = delivery.challenge;
  row.delivery.next_attempt_time_us = now_us;
  row.delivery.create_time_us = now_us;
  deliveries_[delivery.id] = row;
  return row.delivery;
}

int InMemoryDeliveries::CancelLocked(const std::string& destination_id, bool verifications_only, int64_t now_us) {
  int cancelled = 0;
  for (auto& [id, row] : deliveries_) {
    Delivery& delivery = row.delivery;
    if (delivery.destination_id != destination_id || delivery.state != DeliveryState::kQueued) continue;
    if (verifications_only && delivery.kind != DeliveryKind::kVerification) continue;
    if (cancelled == notifier::kDeliveriesChangedMax) break;
    delivery.state = DeliveryState::kCancelled;
    delivery.next_attempt_time_us.reset();
    delivery.end_time_us = now_us;
    delivery.last_error = "cancelled";
    ++cancelled;
  }
  return cancelled;
}

absl::Status InMemoryDeliveries::CountRequestLocked(const Destination& destination, int64_t now_us) {
  notifier::VerificationCount user = user_counts_[destination.user_id];
  notifier::VerificationCount target = target_counts_[destination.target_hash];
  const absl::Status counted = notifier::CountVerification(user, target, now_us);
  if (!counted.ok()) return counted;
  user_counts_[destination.user_id] = user;
  target_counts_[destination.target_hash] = target;
  return counted;
}

std::vector<InMemoryDeliveries::Row*> InMemoryDeliveries::DueLocked(const Stored& stored, int64_t now_us) {
  std::vector<Row*> due;
  for (auto& [id, row] : deliveries_) {
    const Delivery& delivery = row.delivery;
    if (delivery.destination_id != stored.destination.id || delivery.state != DeliveryState::kQueued) continue;
    if (!IsGone(stored.destination)) {
      if (*delivery.next_attempt_time_us > now_us || stored.hold_until_us > now_us) continue;
      if (stored.destination.state == DestinationState::kUnverified && delivery.kind != DeliveryKind::kVerification)
        continue;
    }
    due.push_back(&row);
  }
  std::sort(due.begin(), due.end(), [](const Row* a, const Row* b) {
    return std::tie(a->delivery.next_attempt_time_us, a->delivery.number) <
           std::tie(b->delivery.next_attempt_time_us, b->delivery.number);
  });
  return due;
}

absl::StatusOr<CreatedDestination> InMemoryDeliveries::Create(const Destination& destination,
                                                              const std::optional<notifier::NewDelivery>& verification,
                                                              const notifier::DestinationRequestTag& request, int quota,
                                                              int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  if (deleted_users_.contains(destination.user_id)) return notifier::RecipientNotFound();
  int count = 0;
  for (const auto& [id, stored] : destinations_) {
    if (stored.destination.user_id != destination.user_id) continue;
    if (!request.request_id.empty() && stored.request.request_id == request.request_id) {
      if (stored.request.fingerprint != request.fingerprint || stored.destination.delete_time_us)
        return notifier::RequestIdReused();
      return CreatedDestination{stored.destination, true};
    }
    if (!stored.destination.delete_time_us) ++count;
  }
  if (count >= quota) return notifier::DestinationQuota(quota);
  if (verification) {
    if (const absl::Status counted = CountRequestLocked(destination, now_us); !counted.ok()) return counted;
  }
  destinations_[destination.id] = {.destination = destination, .request = request};
  if (verification) {
    InsertLocked(destination, *verification, "", now_us);
  } else {
    TellLocked({destination, now_us});
  }
  return CreatedDestination{destination, false};
}

absl::StatusOr<Destination> InMemoryDeliveries::Get(const std::string& user_id, const std::string& id) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const Stored* stored = FindLocked(user_id, id);
  if (stored == nullptr || stored->destination.delete_time_us) return notifier::DestinationNotFound();
  return stored->destination;
}

absl::StatusOr<std::vector<Destination>> InMemoryDeliveries::List(
    const std::string& user_id, const std::optional<notifier::DestinationPlace>& after, int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<Destination> rows;
  for (const auto& [id, stored] : destinations_) {
    const Destination& row = stored.destination;
    if (row.user_id != user_id || row.delete_time_us) continue;
    if (after && std::tie(row.create_time_us, row.id) <= std::tie(after->create_time_us, after->id)) continue;
    rows.push_back(row);
  }
  std::sort(rows.begin(), rows.end(), [](const Destination& a, const Destination& b) {
    return std::tie(a.create_time_us, a.id) < std::tie(b.create_time_us, b.id);
  });
  if (rows.size() > static_cast<size_t>(limit)) rows.resize(static_cast<size_t>(limit));
  return rows;
}

absl::StatusOr<std::vector<std::string>> InMemoryDeliveries::FindExisting(const std::string& user_id,
                                                                          const std::vector<std::string>& ids) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<std::string> existing;
  for (const std::string& id : ids) {
    const Stored* stored = FindLocked(user_id, id);
    if (stored != nullptr && !stored->destination.delete_time_us) existing.push_back(id);
  }
  return existing;
}

absl::StatusOr<ChangedDestination> InMemoryDeliveries::Change(const std::string& user_id, const std::string& id,
                                                              const notifier::DestinationChange& change,
                                                              int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  Stored* stored = FindLocked(user_id, id);
  if (stored == nullptr || stored->destination.delete_time_us) return notifier::DestinationNotFound();
  Destination destination = stored->destination;
  const auto effects = change(destination);
  if (!effects.ok()) return effects.status();
  if (effects->queue && effects->queue->kind == DeliveryKind::kVerification) {
    if (const absl::Status counted = CountRequestLocked(destination, now_us); !counted.ok()) return counted;
  }
  if (effects->cancel_queued) CancelLocked(id, false, now_us);
  if (effects->cancel_verifications) CancelLocked(id, true, now_us);
  ChangedDestination changed{destination, std::nullopt};
  if (effects->queue) changed.queued = InsertLocked(destination, *effects->queue, "", now_us);
  const bool was_active = IsActive(stored->destination);
  const bool was_disabled = IsDisabled(stored->destination);
  stored->destination = destination;
  if ((!was_active && IsActive(destination)) || (!was_disabled && IsDisabled(destination)))
    TellLocked({destination, now_us});
  return changed;
}

absl::StatusOr<std::vector<Delivery>> InMemoryDeliveries::ListDeliveries(const std::string& user_id,
                                                                         const DeliveryFilter& filter,
                                                                         int64_t before_number, int limit) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<Delivery> rows;
  for (const auto& [id, row] : deliveries_) {
    const Delivery& delivery = row.delivery;
    if (delivery.user_id != user_id || delivery.number >= before_number) continue;
    if (!filter.destination_id.empty() && delivery.destination_id != filter.destination_id) continue;
    if (!filter.notification_id.empty() && delivery.notification_id != filter.notification_id) continue;
    if (filter.state && delivery.state != *filter.state) continue;
    rows.push_back(delivery);
  }
  std::sort(rows.begin(), rows.end(), [](const Delivery& a, const Delivery& b) { return a.number > b.number; });
  if (rows.size() > static_cast<size_t>(limit)) rows.resize(static_cast<size_t>(limit));
  return rows;
}

absl::StatusOr<notifier::DeliveryWithAttempts> InMemoryDeliveries::GetDelivery(const std::string& user_id,
                                                                               const std::string& id) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const auto found = deliveries_.find(id);
  if (found == deliveries_.end() || found->second.delivery.user_id != user_id) return notifier::DeliveryNotFound();
  notifier::DeliveryWithAttempts answer{found->second.delivery, found->second.attempts};
  std::reverse(answer.attempts.begin(), answer.attempts.end());
  return answer;
}

void InMemoryDeliveries::ReplayLocked(Delivery& delivery, int64_t now_us) {
  delivery.state = DeliveryState::kQueued;
  delivery.schedule_count = 0;
  ++delivery.replay_count;
  delivery.next_attempt_time_us = now_us;
  delivery.end_time_us.reset();
}

absl::StatusOr<Delivery> InMemoryDeliveries::Replay(const std::string& user_id, const std::string& id, int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const auto found = deliveries_.find(id);
  if (found == deliveries_.end() || found->second.delivery.user_id != user_id) return notifier::DeliveryNotFound();
  Delivery& delivery = found->second.delivery;
  const Stored* stored = FindLocked(user_id, delivery.destination_id);
  if (stored == nullptr || !IsActive(stored->destination)) return notifier::DestinationNotActive();
  if (delivery.state == DeliveryState::kQueued) return notifier::DeliveryQueuedAlready();
  ReplayLocked(delivery, now_us);
  return delivery;
}

absl::StatusOr<int> InMemoryDeliveries::ReplaySince(const std::string& user_id, const std::string& destination_id,
                                                    int64_t since_us, int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const Stored* stored = FindLocked(user_id, destination_id);
  if (stored == nullptr || stored->destination.delete_time_us) return notifier::DestinationNotFound();
  if (!IsActive(stored->destination)) return notifier::DestinationNotActive();
  int replayed = 0;
  for (auto& [id, row] : deliveries_) {
    Delivery& delivery = row.delivery;
    if (delivery.destination_id != destination_id || delivery.state != DeliveryState::kFailed) continue;
    if (delivery.kind != DeliveryKind::kNotification || delivery.create_time_us < since_us) continue;
    ReplayLocked(delivery, now_us);
    ++replayed;
  }
  return replayed;
}

absl::StatusOr<int> InMemoryDeliveries::Cancel(const std::string& user_id, const std::string& destination_id,
                                               int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const Stored* stored = FindLocked(user_id, destination_id);
  if (stored == nullptr || stored->destination.delete_time_us) return notifier::DestinationNotFound();
  return CancelLocked(destination_id, false, now_us);
}

absl::StatusOr<std::vector<LeasedLane>> InMemoryDeliveries::LeaseLanes(const notifier::LeaseRequest& request,
                                                                       int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  std::vector<LeasedLane> lanes;
  const auto add = [&](Stored& stored, size_t limit) {
    LeasedLane lane{{stored.destination.id, stored.lease_number}, stored.destination, stored.failing, {}};
    std::vector<Row*> due = DueLocked(stored, now_us);
    if (IsGone(stored.destination)) due.clear();
    if (due.size() > limit) due.resize(limit);
    for (const Row* row : due) {
      const auto found = notifications_.find(row->delivery.notification_id);
      lane.due.push_back({row->delivery, found == notifications_.end() ? std::nullopt : std::optional(found->second)});
    }
    lanes.push_back(std::move(lane));
  };
  std::vector<Stored*> ready;
  for (auto& [id, stored] : destinations_) {
    if (stored.lease_until_us <= now_us && !DueLocked(stored, now_us).empty()) ready.push_back(&stored);
  }
  std::stable_sort(ready.begin(), ready.end(), [&](const Stored* a, const Stored* b) {
    return DueLocked(*a, now_us).front()->delivery.next_attempt_time_us <
           DueLocked(*b, now_us).front()->delivery.next_attempt_time_us;
  });
  int left[2] = {request.lanes_max, request.failing_lanes_max};
  for (Stored* stored : ready) {
    if (left[stored->failing ? 1 : 0]-- <= 0) continue;
    ++stored->lease_number;
    stored->lease_owner = request.owner;
    stored->lease_until_us = request.lease_until_us;
    add(*stored, static_cast<size_t>(request.deliveries_max));
  }
  for (const notifier::LaneToRead& again : request.again) {
    const auto found = destinations_.find(again.lease.destination_id);
    if (found == destinations_.end() || found->second.lease_number != again.lease.number) continue;
    if (found->second.hold_until_us > now_us) continue;
    add(found->second, static_cast<size_t>(again.limit));
  }
  return lanes;
}

absl::StatusOr<int64_t> InMemoryDeliveries::EndEarlierLeases(const notifier::LeaseOwner& owner, int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  if (!ending_failure_.ok()) return ending_failure_;
  int64_t ended = 0;
  for (auto& [id, stored] : destinations_) {
    if (stored.lease_until_us <= now_us || stored.lease_owner.name != owner.name) continue;
    if (stored.lease_owner.start_us >= owner.start_us) continue;
    stored.lease_until_us = 0;
    ++stored.lease_number;
    ++ended;
  }
  return ended;
}

absl::StatusOr<notifier::SettleResult> InMemoryDeliveries::Settle(const notifier::SettleRequest& request) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  notifier::SettleResult result;
  std::vector<notifier::DestinationTurn> turns;
  std::vector<const SettledAttempt*> attempts;
  for (const SettledAttempt& attempt : request.attempts) attempts.push_back(&attempt);
  std::stable_sort(attempts.begin(), attempts.end(), [](const SettledAttempt* a, const SettledAttempt* b) {
    return a->attempt.start_time_us < b->attempt.start_time_us;
  });
  for (const SettledAttempt* attempt : attempts) {
    const auto found = deliveries_.find(attempt->delivery_id);
    const auto lane = destinations_.find(attempt->lease.destination_id);
    if (found == deliveries_.end() || lane == destinations_.end()) continue;
    Row& row = found->second;
    Stored& stored = lane->second;
    if (!notifier::AttemptCounts(*attempt, row.delivery, stored.lease_number)) continue;
    ++result.applied;
    const DestinationState was = stored.destination.state;
    const auto effect =
        notifier::ApplyAttempt(*attempt, row.delivery, request.disable_after_failing_us, stored.destination);
    const std::string& user = stored.destination.user_id;
    if (notifier::IsTold(effect, was)) {
      turns.push_back({stored.destination, attempt->attempt.start_time_us + attempt->attempt.duration_us});
      if (std::find(result.told.begin(), result.told.end(), user) == result.told.end()) result.told.push_back(user);
    }
    if (effect == notifier::AttemptEffect::kVerified) result.verified.push_back(stored.destination.id);
    if (effect == notifier::AttemptEffect::kDisabled) {
      result.disabled.push_back({stored.destination.id, stored.destination.user_id, stored.destination.disable_reason});
    }
    stored.failing = stored.destination.failing_since_time_us.has_value();
    stored.hold_until_us = std::max(stored.hold_until_us, attempt->hold_until_us);
    if (attempt->outcome == AttemptOutcome::kPostponed) continue;
    const bool again = attempt->outcome == AttemptOutcome::kRetry;
    row.delivery.state = again                                            ? DeliveryState::kQueued
                         : attempt->outcome == AttemptOutcome::kSucceeded ? DeliveryState::kSucceeded
                                                                          : DeliveryState::kFailed;
    row.delivery.next_attempt_time_us = again ? std::optional(attempt->next_attempt_time_us) : std::nullopt;
    if (!again) row.delivery.end_time_us = attempt->attempt.start_time_us + attempt->attempt.duration_us;
    row.delivery.last_error = attempt->attempt.error;
    ++row.delivery.schedule_count;
    row.attempts.push_back(attempt->attempt);
    row.attempts.back().number = ++row.delivery.attempt_count;
    if (row.attempts.size() > notifier::kAttemptsKept) row.attempts.erase(row.attempts.begin());
  }
  for (const notifier::DestinationTurn& turn : turns) TellLocked(turn);
  const auto lease = [&](const std::vector<notifier::LaneLease>& leases, int64_t until_us) {
    for (const notifier::LaneLease& one : leases) {
      const auto lane = destinations_.find(one.destination_id);
      if (lane == destinations_.end() || lane->second.lease_number != one.number) {
        result.lost.push_back(one);
      } else {
        lane->second.lease_until_us = until_us;
      }
    }
  };
  lease(request.renewals, request.lease_until_us);
  lease(request.releases, 0);
  return result;
}

absl::StatusOr<int64_t> InMemoryDeliveries::CancelForInactive(const std::vector<std::string>& destination_ids,
                                                              int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  int64_t cancelled = 0;
  for (const std::string& id : destination_ids) {
    const auto found = destinations_.find(id);
    if (found != destinations_.end() && IsGone(found->second.destination)) cancelled += CancelLocked(id, false, now_us);
  }
  return cancelled;
}

absl::StatusOr<notifier::QueueState> InMemoryDeliveries::QueryState(int64_t now_us) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  notifier::QueueState state;
  for (const auto& [id, row] : deliveries_) state.queued += row.delivery.state == DeliveryState::kQueued ? 1 : 0;
  for (const auto& [id, stored] : destinations_) {
    if (stored.destination.state == DestinationState::kDisabled && !stored.destination.delete_time_us)
      ++state.disabled_destinations;
    const std::vector<Row*> due = DueLocked(stored, now_us);
    if (due.empty() || stored.failing || IsGone(stored.destination)) continue;
    const int64_t due_us = *due.front()->delivery.next_attempt_time_us;
    state.oldest_due_us = std::min(state.oldest_due_us.value_or(due_us), due_us);
  }
  return state;
}

std::vector<std::string> InMemoryDeliveries::Queue(const notifier::StoredNotification& notification, int64_t now_us) {
  std::lock_guard lock(mutex_);
  return QueueLocked(notification, now_us);
}

std::vector<std::string> InMemoryDeliveries::QueueLocked(notifier::StoredNotification notification, int64_t now_us) {
  std::vector<notifier::ExistingDestination> of_user;
  for (const auto& [id, stored] : destinations_) {
    const Destination& one = stored.destination;
    if (one.user_id == notification.user_id && !one.delete_time_us)
      of_user.push_back({id, IsActive(one), one.is_default});
  }
  std::vector<std::string> ids;
  for (const std::string& id : notifier::ChooseDestinations(of_user, notification)) {
    char name[37];
    std::snprintf(name, sizeof(name), "dddddddd-0000-4000-8000-%012d", ++queued_ids_);
    InsertLocked(destinations_.at(id).destination, {name, DeliveryKind::kNotification, ""}, notification.id, now_us);
    ids.emplace_back(name);
  }
  notifications_[notification.id] = notification;
  return ids;
}

void InMemoryDeliveries::TellLocked(const notifier::DestinationTurn& turn) {
  notifier::StoredNotification notice;
  static_cast<notifier::NewNotification&>(notice) = notifier::NoticeOfTurn(turn);
  char id[37];
  std::snprintf(id, sizeof(id), "eeeeeeee-0000-4000-8000-%012d", static_cast<int>(notices_.size()) + 1);
  notice.id = id;
  notice.sequence = static_cast<int64_t>(notices_.size()) + 1;
  notice.create_time_us = turn.time_us;
  notices_.push_back(notice);
  QueueLocked(notice, turn.time_us);
}

std::vector<notifier::StoredNotification> InMemoryDeliveries::Notices(const std::string& user_id) {
  std::lock_guard lock(mutex_);
  std::vector<notifier::StoredNotification> of_user;
  for (const notifier::StoredNotification& one : notices_) {
    if (one.user_id == user_id) of_user.push_back(one);
  }
  return of_user;
}

void InMemoryDeliveries::DeleteUser(const std::string& user_id) {
  std::lock_guard lock(mutex_);
  deleted_users_[user_id] = true;
  std::erase_if(destinations_, [&](const auto& entry) { return entry.second.destination.user_id == user_id; });
  std::erase_if(deliveries_, [&](const auto& entry) { return entry.second.delivery.user_id == user_id; });
}

void InMemoryDeliveries::Fail(absl::Status status) {
  std::lock_guard lock(mutex_);
  failure_ = std::move(status);
}

void InMemoryDeliveries::FailEndingLeases(absl::Status status) {
  std::lock_guard lock(mutex_);
  ending_failure_ = std::move(status);
}

int InMemoryDeliveries::leased(int64_t now_us) {
  std::lock_guard lock(mutex_);
  return static_cast<int>(std::count_if(destinations_.begin(), destinations_.end(),
                                        [&](const auto& entry) { return entry.second.lease_until_us > now_us; }));
}

int64_t InMemoryDeliveries::lease_number(const std::string& destination_id) {
  std::lock_guard lock(mutex_);
  return destinations_.at(destination_id).lease_number;
}

Delivery InMemoryDeliveries::Find(const std::string& delivery_id) {
  std::lock_guard lock(mutex_);
  return deliveries_.at(delivery_id).delivery;
}

}  // namespace stockalert::testing
