#include "services/common/dead_letter/settle.h"

#include <algorithm>

#include "services/common/base/failure_kind.h"
#include "services/common/base/status_macros.h"

namespace stockalert::dead_letter {
namespace {

class Settling {
 public:
  Settling(const std::vector<Item>& items, const Actions& actions) : items_(items), actions_(actions) {}

  absl::StatusOr<Settled> Run() {
    std::vector<size_t> candidates;
    for (size_t i = 0; i < items_.size(); ++i) {
      const Item& item = items_[i];
      if (item.disposition == Item::Disposition::kHold) STOCKALERT_RETURN_IF_ERROR(HoldUnlessKept(i, item.cause));
      if (!Within(i)) continue;
      if (item.disposition == Item::Disposition::kApply) candidates.push_back(i);
      if (item.disposition == Item::Disposition::kDeadLetter) refused_.push_back({i, item.cause});
    }
    STOCKALERT_RETURN_IF_ERROR(Apply(candidates));
    STOCKALERT_RETURN_IF_ERROR(Keep());
    for (const Item& item : items_) {
      int64_t& next = settled_.next_offsets[item.place];
      next = std::max(next, item.offset + 1);
    }
    for (const auto& [place, held] : settled_.held) settled_.next_offsets[place] = held.offset;
    return std::move(settled_);
  }

 private:
  // Not at or behind what holds its partition.
  bool Within(size_t index) const {
    const auto held = settled_.held.find(items_[index].place);
    return held == settled_.held.end() || items_[index].offset < held->second.offset;
  }

  void Hold(size_t index, const std::string& cause) {
    if (Within(index)) settled_.held[items_[index].place] = {items_[index].offset, index, cause};
  }

  absl::Status HoldUnlessKept(size_t index, const std::string& cause) {
    if (!Within(index)) return absl::OkStatus();
    if (actions_.is_kept) {
      const absl::StatusOr<bool> kept = actions_.is_kept(index);
      if (!kept.ok() && base::FailureKindOf(kept.status()) == base::FailureKind::kPassing) return kept.status();
      if (kept.ok() && *kept) return absl::OkStatus();
    }
    Hold(index, cause);
    return absl::OkStatus();
  }

  absl::Status Apply(const std::vector<size_t>& given) {
    // What was found meanwhile may hold some of them.
    std::vector<size_t> indices;
    for (const size_t index : given) {
      if (Within(index)) indices.push_back(index);
    }
    if (indices.empty()) return absl::OkStatus();
    const absl::Status status = actions_.apply(indices);
    if (status.ok()) {
      settled_.applied += indices.size();
      return status;
    }
    const base::FailureKind kind = base::FailureKindOf(status);
    if (kind == base::FailureKind::kPassing) return status;
    if (indices.size() > 1) {
      const auto middle = indices.begin() + static_cast<std::ptrdiff_t>(indices.size() / 2);
      STOCKALERT_RETURN_IF_ERROR(Apply({indices.begin(), middle}));
      return Apply({middle, indices.end()});
    }
    const std::string cause(status.message());
    if (kind == base::FailureKind::kOfRecord) {
      refused_.push_back({indices.front(), cause});
      return absl::OkStatus();
    }
    return HoldUnlessKept(indices.front(), cause);
  }

  absl::Status Keep() {
    std::erase_if(refused_, [&](const Refused& one) { return !Within(one.index); });
    if (refused_.empty()) return absl::OkStatus();
    const absl::Status status = actions_.keep(refused_);
    if (status.ok()) {
      settled_.dead_letters = refused_.size();
      return status;
    }
    if (base::FailureKindOf(status) == base::FailureKind::kPassing) return status;
    // No room for them: nothing goes past the first of each partition. What was stored from behind it is stored again,
    // which changes nothing.
    for (const Refused& one : refused_)
      Hold(one.index, one.cause + "; and it cannot be kept: " + std::string(status.message()));
    return absl::OkStatus();
  }

  const std::vector<Item>& items_;
  const Actions& actions_;
  Settled settled_;
  std::vector<Refused> refused_;
};

}  // namespace

absl::StatusOr<Settled> Settle(const std::vector<Item>& items, const Actions& actions) {
  return Settling(items, actions).Run();
}

}  // namespace stockalert::dead_letter
