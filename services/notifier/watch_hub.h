// The open streams of notifications: each reads its user's notifications from the store, from its position on, whenever
// there may be new ones.
//
// A stream is woken when its user's notifications were stored by this process, when its client has read what was sent,
// and, for those that other instances stored, by a poll of all watched users at once. It never holds more than a page,
// and a page is read only when the client's queue has room: so a slow client costs nothing. Since sequences have no
// gaps and are committed in their order, nothing is lost or repeated.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "services/common/base/mutex.h"
#include "services/common/process/liveness.h"
#include "services/notifier/notification_store.h"

namespace stockalert::notifier {

inline constexpr int kWatchPageMax = 100;

// Runs blocking work on another thread, as rpc::CallRunner::TrySubmit. False: overloaded, neither function is called.
using Submit = std::function<bool(std::function<void()> run, std::function<void()> drop)>;

// The client's end of a stream. Thread-safe.
class WatchClient {
 public:
  virtual ~WatchClient() = default;
  virtual bool HasRoom() = 0;
  // False: the stream has ended. Called only after HasRoom, and by one thread at a time.
  virtual bool Send(const std::vector<StoredNotification>& notifications) = 0;
};

// One stream.
class UserWatch : public std::enable_shared_from_this<UserWatch> {
 public:
  // `store` must outlive the streams.
  UserWatch(std::string user_id, int64_t after_sequence, std::shared_ptr<WatchClient> client, NotificationStore& store,
            Submit submit);

  const std::string& user_id() const { return user_id_; }
  // Up to which sequence all was sent that streams are sent.
  int64_t position();
  // There may be more to send, or room for it. `known_sequence`: the user has notifications up to this one; not all of
  // them are for streams.
  void Wake(int64_t known_sequence = 0);

 private:
  void Run();
  // The position, and up to which sequence there are notifications at least.
  std::pair<int64_t, int64_t> Place();

  const std::string user_id_;
  const int64_t opened_us_;  // What was stored earlier is no measure of how fast the stream is.
  const std::shared_ptr<WatchClient> client_;
  NotificationStore& store_;
  const Submit submit_;
  base::Mutex mutex_;
  int64_t position_ ABSL_GUARDED_BY(mutex_);  // Written by the one that runs.
  int64_t known_sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  bool running_ ABSL_GUARDED_BY(mutex_) = false;  // Submitted and not ended.
  bool again_ ABSL_GUARDED_BY(mutex_) = false;    // Woken meanwhile.
};

class WatchHub {
 public:
  // `store` must outlive it.
  WatchHub(NotificationStore& store, absl::Duration poll_interval);
  ~WatchHub();
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  // Wakes the stream now, and from here on whenever there may be more.
  void Add(const std::shared_ptr<UserWatch>& watch);
  // Stops waking the stream. A run that has started ends by itself, and may still deliver notifications.
  void Remove(const std::shared_ptr<UserWatch>& watch);
  void Wake(const std::vector<std::string>& user_ids);
  // Stops polling.
  void Stop();

 private:
  void Poll();
  void PollOnce();

  NotificationStore& store_;
  const absl::Duration poll_interval_;
  base::Mutex mutex_;
  base::ConditionVariable changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::unordered_map<std::string, std::set<std::shared_ptr<UserWatch>>> watches_ ABSL_GUARDED_BY(mutex_);  // By user.
  process::Heartbeat heartbeat_;
  std::thread poller_;
};

}  // namespace stockalert::notifier
