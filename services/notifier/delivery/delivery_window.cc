#include "services/notifier/delivery/delivery_window.h"

#include <algorithm>
#include <utility>

namespace stockalert::notifier {
namespace {

// After so many polls the deliveries that still wait in a lane are read again.
constexpr int kPollsUntilRead = 4;

// Reads again only when there is room for a good part of the rows of one read.
bool IsLow(size_t pending, int deliveries_max) { return pending * 2 <= static_cast<size_t>(deliveries_max); }

template <typename Limits>
int InFlight(const Limits& limits, const std::string& key) {
  const auto found = limits.find(key);
  return found == limits.end() ? 0 : found->second.in_flight;
}

}  // namespace

DeliveryWindow::Lane* DeliveryWindow::FindLane(const std::string& destination_id) {
  const auto found = lanes_.find(destination_id);
  return found == lanes_.end() ? nullptr : found->second.get();
}

void DeliveryWindow::AddLane(LeasedLane leased, int64_t lease_until_us, int limit) {
  std::unique_ptr<Lane>& slot = lanes_[leased.lease.destination_id];
  if (!slot) slot = std::make_unique<Lane>();
  Lane& lane = *slot;
  // Its host or its class may be another now.
  if (lane.place == Place::kWaiting || lane.failing != leased.failing) RemoveFromQueues(lane);
  lane.lease = leased.lease;
  lane.lease_until_us = std::max(lane.lease_until_us, lease_until_us);
  lane.destination = std::make_shared<const Destination>(std::move(leased.destination));
  lane.polls = 0;
  lane.failing = leased.failing;
  lane.look = static_cast<int>(leased.due.size()) >= limit && limit > 0;
  DropNotDue(leased, lane);
  for (DueDelivery& due : leased.due) {
    if (lane.held.insert(due.delivery.id).second) lane.pending.push_back(std::move(due));
  }
  Enqueue(lane);
}

void DeliveryWindow::DropNotDue(const LeasedLane& leased, Lane& lane) {
  if (lane.pending.empty()) return;
  std::unordered_set<std::string> due;
  for (const DueDelivery& one : leased.due) due.insert(one.delivery.id);
  std::erase_if(lane.pending, [&](const DueDelivery& one) {
    if (due.contains(one.delivery.id)) return false;
    lane.held.erase(one.delivery.id);
    return true;
  });
}

void DeliveryWindow::Enqueue(Lane& lane) {
  if (lane.place != Place::kNone || lane.pending.empty() || lane.resting) return;
  int most = lane.failing ? std::min(bounds_.per_failing_destination_max, bounds_.per_destination_max)
                          : bounds_.per_destination_max;
  // The pause begins with the end of an attempt.
  if (lane.destination->spacing_us > 0) most = std::min(most, 1);
  if (lane.in_flight >= most) return;
  lane.place = lane.failing ? Place::kReadyFailing : Place::kReady;
  (lane.failing ? ready_failing_ : ready_).push_back(&lane);
}

DeliveryWindow::Lane* DeliveryWindow::PopReady() {
  const bool failing_may = !ready_failing_.empty() && failing_in_flight_ < bounds_.failing_in_flight_max;
  if (!failing_may && ready_.empty()) return nullptr;
  const bool failing = failing_may && (failing_turn_ || ready_.empty());
  failing_turn_ = !failing;
  std::deque<Lane*>& queue = failing ? ready_failing_ : ready_;
  Lane* lane = queue.front();
  queue.pop_front();
  lane->place = Place::kNone;
  return lane;
}

bool DeliveryWindow::HasRoom(Lane& lane) {
  const std::string& host = lane.destination->host;
  const std::string& user = lane.destination->user_id;
  const bool share_full = lane.failing && InFlight(failing_hosts_, host) >= bounds_.per_host_failing_max;
  const bool host_full = InFlight(hosts_, host) >= bounds_.per_host_max;
  const bool user_full = InFlight(users_, user) >= bounds_.per_user_max;
  if (!share_full && !host_full && !user_full) return true;
  lane.place = Place::kWaiting;
  (share_full ? failing_hosts_[host] : host_full ? hosts_[host] : users_[user]).waiting.push_back(&lane);
  // The limits that it does not use go to the next lanes that wait for them.
  if (lane.failing && !share_full) WakeOne(failing_hosts_, host);
  if (!host_full) WakeOne(hosts_, host);
  if (!user_full) WakeOne(users_, user);
  return false;
}

void DeliveryWindow::WakeSpaced(int64_t now_us) {
  while (!spaced_.empty() && spaced_.begin()->first <= now_us) {
    Lane* lane = spaced_.begin()->second;
    spaced_.erase(spaced_.begin());
    lane->place = Place::kNone;
    Enqueue(*lane);
  }
}

bool DeliveryWindow::MayStartAt(Lane& lane, int64_t now_us) {
  // The clock may have been set back.
  lane.next_start_us = std::min(lane.next_start_us, now_us + lane.destination->spacing_us);
  if (lane.next_start_us <= now_us) return true;
  lane.place = Place::kSpaced;
  spaced_.emplace(lane.next_start_us, &lane);
  return false;
}

std::optional<int64_t> DeliveryWindow::FindNextSpacedUs() const {
  return spaced_.empty() ? std::nullopt : std::optional(spaced_.begin()->first);
}

void DeliveryWindow::WakeOne(Limits& limits, const std::string& key) {
  const auto found = limits.find(key);
  if (found == limits.end() || found->second.waiting.empty()) return;
  Lane* lane = found->second.waiting.front();
  found->second.waiting.pop_front();
  lane->place = Place::kNone;
  Enqueue(*lane);
}

std::optional<DeliveryWindow::Start> DeliveryWindow::StartNext(int64_t now_us) {
  WakeSpaced(now_us);
  while (in_flight_ < bounds_.in_flight_max) {
    Lane* lane = PopReady();
    if (lane == nullptr) return std::nullopt;
    if (lane->lease_until_us <= now_us) {
      ClearPending(*lane);
      continue;
    }
    if (lane->pending.empty() || !MayStartAt(*lane, now_us) || !HasRoom(*lane)) continue;
    Start start{lane->lease, lane->destination, std::move(lane->pending.front()), lane->failing};
    lane->pending.pop_front();
    ++lane->in_flight;
    ++in_flight_;
    ++hosts_[lane->destination->host].in_flight;
    ++users_[lane->destination->user_id].in_flight;
    if (start.failing) {
      ++failing_in_flight_;
      ++failing_hosts_[lane->destination->host].in_flight;
    }
    Enqueue(*lane);
    return start;
  }
  return std::nullopt;
}

void DeliveryWindow::ReleaseLimit(Limits& limits, const std::string& key) {
  const auto found = limits.find(key);
  if (found == limits.end()) return;
  --found->second.in_flight;
  WakeOne(limits, key);
  if (found->second.in_flight == 0 && found->second.waiting.empty()) limits.erase(found);
}

void DeliveryWindow::EndAttempt(const Start& start, bool succeeded, int64_t now_us) {
  if (Lane* lane = FindLane(start.lease.destination_id)) lane->next_start_us = now_us + start.destination->spacing_us;
  Release(start, succeeded);
}

void DeliveryWindow::Release(const Start& start, bool succeeded) {
  --in_flight_;
  if (start.failing) --failing_in_flight_;
  if (Lane* lane = FindLane(start.lease.destination_id)) {
    --lane->in_flight;
    // One that fails no longer needs no share of those that do, and must not use up a turn of theirs.
    if (lane->failing == succeeded && (lane->failing || lane->place != Place::kWaiting)) RemoveFromQueues(*lane);
    lane->failing = !succeeded;
    Enqueue(*lane);
  }
  // Those that it started with, which may have changed since.
  if (start.failing) ReleaseLimit(failing_hosts_, start.destination->host);
  ReleaseLimit(hosts_, start.destination->host);
  ReleaseLimit(users_, start.destination->user_id);
}

void DeliveryWindow::PutBack(const Start& start) {
  Lane* lane = FindLane(start.lease.destination_id);
  const bool failing = lane != nullptr && lane->failing;
  if (lane != nullptr) lane->resting = true;
  Release(start, !failing);
  if (lane == nullptr) return;
  if (lane->lease == start.lease) {
    lane->pending.push_front(start.due);
  } else {
    lane->held.erase(start.due.delivery.id);
  }
  RemoveFromQueues(*lane);
}

void DeliveryWindow::ForgetDelivery(const Start& start) {
  if (Lane* lane = FindLane(start.lease.destination_id)) lane->held.erase(start.due.delivery.id);
}

void DeliveryWindow::RemoveFromQueues(Lane& lane) {
  switch (lane.place) {
    case Place::kNone:
      return;
    case Place::kReady:
      std::erase(ready_, &lane);
      break;
    case Place::kReadyFailing:
      std::erase(ready_failing_, &lane);
      break;
    case Place::kWaiting:
      for (Limits* limits : {&failing_hosts_, &hosts_}) {
        if (const auto host = limits->find(lane.destination->host); host != limits->end())
          std::erase(host->second.waiting, &lane);
      }
      if (const auto user = users_.find(lane.destination->user_id); user != users_.end())
        std::erase(user->second.waiting, &lane);
      break;
    case Place::kSpaced:
      std::erase_if(spaced_, [&lane](const auto& entry) { return entry.second == &lane; });
      break;
  }
  lane.place = Place::kNone;
}

void DeliveryWindow::ClearPending(Lane& lane) {
  RemoveFromQueues(lane);
  for (const DueDelivery& due : lane.pending) lane.held.erase(due.delivery.id);
  lane.pending.clear();
  lane.look = false;
  lane.polls = 0;
}

void DeliveryWindow::DropLane(const LaneLease& lease) {
  Lane* lane = FindLane(lease.destination_id);
  if (lane == nullptr || lane->lease.number != lease.number) return;
  ClearPending(*lane);
}

void DeliveryWindow::WakeUsers(const std::unordered_set<std::string>& user_ids) {
  for (auto& [id, lane] : lanes_) {
    if (user_ids.contains(lane->destination->user_id)) lane->look = true;
  }
}

void DeliveryWindow::WakeAll() {
  for (auto& [id, lane] : lanes_) {
    ++lane->polls;
    lane->resting = false;
    if (lane->place == Place::kSpaced) RemoveFromQueues(*lane);
    Enqueue(*lane);
  }
}

bool DeliveryWindow::HasToRead(const Lane& lane, int deliveries_max, int64_t now_us) {
  if (lane.lease_until_us <= now_us) return false;
  if (lane.look) return IsLow(lane.pending.size(), deliveries_max);
  // One that has nothing left is released instead.
  if (lane.pending.empty()) return lane.polls > 0 && lane.in_flight > 0;
  return lane.polls >= kPollsUntilRead;
}

std::vector<LaneToRead> DeliveryWindow::TakeLanesToRead(int deliveries_max, int64_t now_us) {
  std::vector<LaneToRead> lanes;
  for (auto& [id, lane] : lanes_) {
    if (!HasToRead(*lane, deliveries_max, now_us)) continue;
    lane->look = false;
    lane->polls = 0;
    // Deliveries that are held come first among the due ones, so the read has to reach beyond them.
    lanes.push_back({lane->lease, deliveries_max + static_cast<int>(lane->held.size())});
  }
  return lanes;
}

void DeliveryWindow::ReturnLanesToRead(const std::vector<LaneToRead>& lanes) {
  for (const LaneToRead& one : lanes) {
    if (Lane* lane = FindLane(one.lease.destination_id)) lane->look = true;
  }
}

std::vector<LaneLease> DeliveryWindow::FindLeasesEndingBefore(int64_t before_us, int64_t now_us) const {
  std::vector<LaneLease> leases;
  for (const auto& [id, lane] : lanes_) {
    if (lane->lease_until_us > now_us && lane->lease_until_us <= before_us) leases.push_back(lane->lease);
  }
  return leases;
}

std::optional<int64_t> DeliveryWindow::FindFirstLeaseEnd(int64_t now_us) const {
  std::optional<int64_t> first_us;
  for (const auto& [id, lane] : lanes_) {
    if (lane->lease_until_us > now_us)
      first_us = std::min(first_us.value_or(lane->lease_until_us), lane->lease_until_us);
  }
  return first_us;
}

void DeliveryWindow::ExtendLeases(const std::vector<LaneLease>& leases, int64_t lease_until_us) {
  for (const LaneLease& lease : leases) {
    Lane* lane = FindLane(lease.destination_id);
    if (lane != nullptr && lane->lease.number == lease.number) lane->lease_until_us = lease_until_us;
  }
}

std::vector<LaneLease> DeliveryWindow::FindIdle(const std::unordered_set<std::string>& settling) const {
  std::vector<LaneLease> leases;
  for (const auto& [id, lane] : lanes_) {
    const bool done = lane->lease_until_us > 0 && lane->in_flight == 0 && lane->pending.empty() && !lane->look &&
                      std::all_of(lane->held.begin(), lane->held.end(),
                                  [&](const std::string& delivery) { return settling.contains(delivery); });
    if (done) leases.push_back(lane->lease);
  }
  return leases;
}

std::vector<LaneLease> DeliveryWindow::FindAllLeases() const {
  std::vector<LaneLease> leases;
  for (const auto& [id, lane] : lanes_) leases.push_back(lane->lease);
  return leases;
}

void DeliveryWindow::RemoveLanes(const std::vector<LaneLease>& leases) {
  for (const LaneLease& lease : leases) {
    Lane* lane = FindLane(lease.destination_id);
    if (lane == nullptr || lane->lease.number != lease.number) continue;
    ClearPending(*lane);
    lane->lease_until_us = 0;
    if (lane->in_flight == 0) lanes_.erase(lease.destination_id);
  }
}

void DeliveryWindow::RemoveExpired(int64_t now_us) {
  for (auto entry = lanes_.begin(); entry != lanes_.end();) {
    Lane& lane = *entry->second;
    if (lane.lease_until_us <= now_us) ClearPending(lane);
    if (lane.lease_until_us <= now_us && lane.in_flight == 0 && lane.held.empty()) {
      entry = lanes_.erase(entry);
    } else {
      ++entry;
    }
  }
}

size_t DeliveryWindow::ready_deliveries() const {
  size_t count = 0;
  for (const Lane* lane : ready_) count += lane->pending.size();
  return count;
}

int DeliveryWindow::lanes(bool failing) const {
  return static_cast<int>(
      std::count_if(lanes_.begin(), lanes_.end(), [&](const auto& entry) { return entry.second->failing == failing; }));
}

}  // namespace stockalert::notifier
