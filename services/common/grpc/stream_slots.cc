#include "services/common/grpc/stream_slots.h"

#include <algorithm>
#include <utility>

namespace stockalert::rpc {

StreamSlots::StreamSlots(size_t slots_max, size_t per_user_max)
    : slots_max_(slots_max), per_user_max_(per_user_max), network_keeps_(std::max<size_t>(slots_max / 10, 1)) {}

size_t StreamSlots::CountOf(const Counts& counts, const std::string& key) {
  const auto found = counts.find(key);
  return found == counts.end() ? 0 : found->second;
}

void StreamSlots::Decrement(Counts& counts, const std::string& key) {
  const auto found = counts.find(key);
  if (found != counts.end() && --found->second == 0) counts.erase(found);
}

StreamSlots::Id StreamSlots::FindStreamToEnd(const std::string& user, const ClientNetworks& networks) const {
  // The richest of those that stay at least as rich as the newcomer becomes.
  size_t user_most = user.empty() ? 0 : CountOf(of_user_, user) + 1;
  for (const auto& [name, count] : of_user_) user_most = std::max(user_most, count);
  const bool by_user = user_most >= (user.empty() ? 0 : CountOf(of_user_, user)) + 2;

  const std::string* wide = nullptr;
  const std::string* narrow = nullptr;
  if (!by_user) {
    size_t most = std::max(network_keeps_, CountOf(of_wide_, networks.wide) + 1);
    for (const auto& [name, count] : of_wide_) {
      if (count > most) wide = &name, most = count;
    }
    most = std::max(network_keeps_, CountOf(of_narrow_, networks.narrow) + 1);
    if (wide == nullptr) {
      for (const auto& [name, count] : of_narrow_) {
        if (count > most) narrow = &name, most = count;
      }
      if (narrow == nullptr) return nullptr;
    }
  }
  // Of those, the newest of the user with the most.
  Id victim = nullptr;
  std::pair<size_t, uint64_t> best;
  for (const auto& [id, holder] : holders_) {
    if (holder.user.empty()) continue;
    if (wide != nullptr && holder.networks.wide != *wide) continue;
    if (narrow != nullptr && holder.networks.narrow != *narrow) continue;
    const std::pair<size_t, uint64_t> rank(CountOf(of_user_, holder.user), holder.number);
    if (by_user && rank.first < user_most) continue;
    if (victim == nullptr || rank > best) victim = id, best = rank;
  }
  return victim;
}

StreamSlots::Acquisition StreamSlots::TryAcquire(Id id, const std::string& user, const ClientNetworks& networks) {
  if (!user.empty() && CountOf(of_user_, user) >= per_user_max_) return {Answer::kUserFull, nullptr};
  Acquisition taken;
  if (holders_.size() >= slots_max_) {
    taken.ended = FindStreamToEnd(user, networks);
    if (taken.ended == nullptr) return {Answer::kFull, nullptr};
    Release(taken.ended);
  }
  holders_[id] = Holder{user, networks, next_number_++};
  if (!user.empty()) ++of_user_[user];
  ++of_narrow_[networks.narrow];
  ++of_wide_[networks.wide];
  return taken;
}

void StreamSlots::Release(Id id) {
  const auto found = holders_.find(id);
  if (found == holders_.end()) return;
  Decrement(of_user_, found->second.user);
  Decrement(of_narrow_, found->second.networks.narrow);
  Decrement(of_wide_, found->second.networks.wide);
  holders_.erase(found);
}

}  // namespace stockalert::rpc
