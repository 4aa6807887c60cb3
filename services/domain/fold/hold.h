// What a symbol whose split is suspected keeps until that is settled: the records that have come since. Plain values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "services/common/base/abseil.h"
#include "services/domain/record/event.h"

namespace stockalert::fold {

class Hold {
 public:
  Hold() = default;
  explicit Hold(const std::vector<record::Event>& records) {
    for (const record::Event& event : records) Keep(event);
  }

  void Keep(const record::Event& event) {
    records_.push_back(event);
    if (const auto* change = std::get_if<record::AlertChange>(&event)) {
      int64_t& revision = revisions_[change->alert_id];
      revision = std::max(revision, change->revision);
    }
  }
  // In their order.
  const std::vector<record::Event>& records() const { return records_; }
  // The highest of the alert's changes that are kept; 0 where none is.
  int64_t RevisionOf(std::string_view alert_id) const {
    const auto found = revisions_.find(base::ToAbsl(alert_id));
    return found == revisions_.end() ? 0 : found->second;
  }

 private:
  std::vector<record::Event> records_;
  absl::flat_hash_map<std::string, int64_t> revisions_;
};

}  // namespace stockalert::fold
