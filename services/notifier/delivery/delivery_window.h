// The lanes that a worker has leased, with the deliveries that it holds of each, and which attempt may start next. The
// attempts in flight are limited in total and for each destination, host and user, so that a slow or dead receiver
// delays no other.
//
// Lanes take turns; within a lane the order is the store's. Lanes whose last attempt failed have turns of their own and
// only a share of the attempts in flight, in total and at each host, so that many dead receivers leave the rest to the
// others, even to those behind the same host. A lane that has to
// wait for its host or its user costs nothing until there is room; nor does one whose destination wants a pause between
// attempts. Pure; not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "services/notifier/delivery/delivery_store.h"

namespace stockalert::notifier {

// Limits of the attempts in flight.
struct DeliveryBounds {
  int in_flight_max = 256;
  int failing_in_flight_max = 64;  // Of lanes whose last attempt failed, together.
  int per_destination_max = 10;
  int per_failing_destination_max = 2;
  int per_host_max = 50;
  int per_host_failing_max = 12;  // Of lanes whose last attempt failed.
  int per_user_max = 30;
};

class DeliveryWindow {
 public:
  // An attempt that is to start now.
  struct Start {
    LaneLease lease;
    std::shared_ptr<const Destination> destination;  // As it was when its lane was read.
    DueDelivery due;
    bool failing = false;  // Its lane's last attempt had failed.
  };

  explicit DeliveryWindow(const DeliveryBounds& bounds) : bounds_(bounds) {}
  DeliveryWindow(const DeliveryWindow&) = delete;
  DeliveryWindow& operator=(const DeliveryWindow&) = delete;

  // A lane that was leased until `lease_until_us`, or read again; deliveries that are held already are skipped, and
  // those that are no longer due are not started.
  // `limit`: the limit of the read; if it was reached, there may be more.
  void AddLane(LeasedLane lane, int64_t lease_until_us, int limit);
  // The next attempt, which counts as in flight from here on. None: nothing may start now.
  std::optional<Start> StartNext(int64_t now_us);
  // When the first lane that only waits for its spacing may start. None: no lane does.
  std::optional<int64_t> FindNextSpacedUs() const;
  // The attempt is over; its delivery is held until it is settled, and the destination's spacing begins.
  void EndAttempt(const Start& start, bool succeeded, int64_t now_us);
  // Likewise, but nothing was sent.
  void EndWithoutAttempt(const Start& start, bool succeeded) { Release(start, succeeded); }
  // The attempt was not made: the delivery goes back to the front, and its lane rests until WakeAll.
  void PutBack(const Start& start);
  // The result of the attempt is stored.
  void ForgetDelivery(const Start& start);
  // Starts no more attempts of this lane under this lease; those in flight end.
  void DropLane(const LaneLease& lease);

  // There may be new deliveries for these users, or for anybody.
  void WakeUsers(const std::unordered_set<std::string>& user_ids);
  void WakeAll();
  // Lanes that may have more deliveries, and room for them; also those whose deliveries wait for long, since they may
  // have been cancelled meanwhile. Each is returned once.
  std::vector<LaneToRead> TakeLanesToRead(int deliveries_max, int64_t now_us);
  // These could not be read.
  void ReturnLanesToRead(const std::vector<LaneToRead>& lanes);
  // Lanes with leases that end before `before_us`.
  std::vector<LaneLease> FindLeasesEndingBefore(int64_t before_us, int64_t now_us) const;
  // The earliest end of a lease; none: there is no lease.
  std::optional<int64_t> FindFirstLeaseEnd(int64_t now_us) const;
  void ExtendLeases(const std::vector<LaneLease>& leases, int64_t lease_until_us);
  // Lanes with nothing left to do once the deliveries `settling` are settled.
  std::vector<LaneLease> FindIdle(const std::unordered_set<std::string>& settling) const;
  std::vector<LaneLease> FindAllLeases() const;
  // Forgets lanes whose leases were released or lost, except those with attempts in flight.
  void RemoveLanes(const std::vector<LaneLease>& leases);
  // Forgets lanes whose leases have ended and of which nothing is held.
  void RemoveExpired(int64_t now_us);

  int in_flight() const { return in_flight_; }
  // The number of lanes, failing or not.
  int lanes(bool failing) const;
  // The deliveries of lanes that do not fail and wait for nothing but their turns.
  size_t ready_deliveries() const;

 private:
  enum class Place : uint8_t { kNone, kReady, kReadyFailing, kWaiting, kSpaced };
  struct Lane {
    LaneLease lease;
    int64_t lease_until_us = 0;
    std::shared_ptr<const Destination> destination;
    bool failing = false;
    bool look = false;     // There is more, as far as is known.
    int polls = 0;         // WakeAll since it was read.
    bool resting = false;  // Until WakeAll.
    std::deque<DueDelivery> pending;
    std::unordered_set<std::string> held;  // By id: pending, in flight, or not settled.
    int in_flight = 0;
    int64_t next_start_us = 0;  // By the destination's spacing.
    Place place = Place::kNone;
  };
  struct Limit {
    int in_flight = 0;
    std::deque<Lane*> waiting;
  };
  using Limits = std::unordered_map<std::string, Limit>;

  Lane* FindLane(const std::string& destination_id);
  static bool HasToRead(const Lane& lane, int deliveries_max, int64_t now_us);
  // Forgets what waits in the lane and was not read again: it is cancelled, or its destination is not ACTIVE any more,
  // and may be another's mailbox now.
  void DropNotDue(const LeasedLane& leased, Lane& lane);
  // Adds it to the ready lanes if it has something to start and is below its own limit.
  void Enqueue(Lane& lane);
  Lane* PopReady();
  // Lanes whose spacing is over are ready again.
  void WakeSpaced(int64_t now_us);
  // Its place among those in flight is free.
  void Release(const Start& start, bool succeeded);
  // False: it waits for its spacing now.
  bool MayStartAt(Lane& lane, int64_t now_us);
  // False: it waits for its host or its user now.
  bool HasRoom(Lane& lane);
  void ReleaseLimit(Limits& limits, const std::string& key);
  // Lets one lane that waits for it try again.
  void WakeOne(Limits& limits, const std::string& key);
  void RemoveFromQueues(Lane& lane);
  void ClearPending(Lane& lane);

  const DeliveryBounds bounds_;
  std::unordered_map<std::string, std::unique_ptr<Lane>> lanes_;  // By destination.
  std::deque<Lane*> ready_;
  std::deque<Lane*> ready_failing_;
  bool failing_turn_ = false;
  std::multimap<int64_t, Lane*> spaced_;  // By next_start_us.
  Limits hosts_;
  Limits failing_hosts_;  // The attempts of lanes that had failed.
  Limits users_;
  int in_flight_ = 0;
  int failing_in_flight_ = 0;
};

}  // namespace stockalert::notifier
