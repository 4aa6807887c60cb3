// Who may have a stream open: a bounded number of slots, shared fairly.
//
// While there are slots, each user has as many as the limit a user says. When all are taken, a newcomer gets one at the
// cost of the user who holds the most, as long as that leaves the newcomer no richer; where all users hold about as
// much, as many accounts of one person do, at the cost of the network that holds the most: first the wide one (what a
// customer may have), then the narrow one. A network keeps a tenth of the slots whatever comes, so that an office
// behind one address is not sent away by single callers. It is the newest stream that goes: those that are long there
// were there before the crowd.
//
// So nobody is counted out for being late, and nothing is held back while nobody else wants it. What it cannot tell
// apart are many accounts in many networks. Not thread-safe.
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
  struct Taken {
    Answer answer = Answer::kTaken;
    Id ended =
        nullptr;  // Whose slot it is now; null where one was free. That stream has none any more and must be ended.
  };

  StreamSlots(size_t slots_max, size_t per_user_max);

  // An empty user is an administrator's: no limit a user, and nobody takes its slot.
  Taken Take(Id id, const std::string& user, const ClientNetworks& networks);
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
  static void Lower(Counts& counts, const std::string& key);
  Id FindVictim(const std::string& user, const ClientNetworks& networks) const;

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
