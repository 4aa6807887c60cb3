// Shares a bounded number of slots for open streams fairly.
//
// While slots are free, a user may have as many as the limit per user. When all are taken, a newcomer gets the slot of
// a stream of the user who holds the most, unless the newcomer would then hold more than that user. Where all users
// hold about the same number, as with many accounts of one person, it gets one of the network that holds the most:
// first by wide networks (what one customer may have), then by narrow ones. A network always keeps a tenth of the
// slots, so that single callers cannot push out an office behind one address. Within the network it is the user with
// the most streams. The newest stream ends: older ones were there before the crowd.
//
// So nobody is refused for coming late, and no slot stays unused while somebody wants it. It cannot recognise many
// accounts in many networks. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "services/common/grpc/peer.h"

namespace stockalert::rpc {

class StreamSlots {
 public:
  // Names a stream; the pointer is never followed.
  using Id = const void*;

  enum class Answer { kTaken, kUserFull, kFull };
  struct Acquisition {
    Answer answer = Answer::kTaken;
    Id ended =
        nullptr;  // Whose slot it is now; null where one was free. That stream has none any more and must be ended.
  };

  StreamSlots(size_t slots_max, size_t per_user_max);

  // An empty user is an administrator: without a limit per user, and its streams are never ended for others.
  Acquisition TryAcquire(Id id, const std::string& user, const ClientNetworks& networks);
  // Does nothing for a stream that has no slot.
  void Release(Id id);
  size_t taken() const { return holders_.size(); }

 private:
  struct Holder {
    std::string user;
    ClientNetworks networks;
    uint64_t number = 0;  // Rises with each stream.
  };
  using Counts = std::unordered_map<std::string, size_t>;
  static size_t CountOf(const Counts& counts, const std::string& key);
  static void Decrement(Counts& counts, const std::string& key);
  Id FindStreamToEnd(const std::string& user, const ClientNetworks& networks) const;

  const size_t slots_max_;
  const size_t per_user_max_;
  const size_t network_keeps_;
  uint64_t next_number_ = 0;
  std::unordered_map<Id, Holder> holders_;
  Counts of_user_;
  Counts of_narrow_;
  Counts of_wide_;
};

}  // namespace stockalert::rpc
