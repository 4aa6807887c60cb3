#include "services/alert/creation_groups.h"

#include <set>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::alert {
namespace {

prometheus::Counter& Created(const char* way) {
  return metrics::GetCounter("stockalert_alert_creations_total",
                             "Calls whose new alerts went to the store, by whether with others' or alone",
                             {{"way", way}});
}

// Whether another of the group has one of its request ids: of two calls with one, the second has to find the first's
// alert.
bool RepeatsRequestId(const Creation& creation, std::set<std::pair<std::string, std::string>>& seen) {
  bool repeats = false;
  for (const StoredAlert& alert : *creation.alerts) {
    if (!alert.request_id.empty()) repeats |= !seen.emplace(creation.user_id, alert.request_id).second;
  }
  return repeats;
}

}  // namespace

CreationGroups::CreationGroups(AlertStore& store, const base::Clock& clock, const Options& options)
    : store_(store),
      clock_(clock),
      options_(options),
      coalescer_({.waiting_max = options.waiting_max, .weight_max = options.alerts_max},
                 [this](const std::vector<Creation>& group) { return CreateGroup(group); }) {}

absl::Status CreationGroups::Create(const std::string& user_id, const std::vector<StoredAlert>& alerts,
                                    absl::Time deadline) {
  static prometheus::Counter& together = Created("group");
  static prometheus::Counter& alone = Created("alone");
  const absl::StatusOr<Outcome> outcome = coalescer_.Call({user_id, &alerts}, alerts.size(), deadline);
  if (!outcome.ok()) return outcome.status();
  if (outcome->created || !outcome->status.ok()) {
    together.Increment();
    return outcome->status;
  }
  // The group may have taken long, and a ticker is held for no longer than that.
  if (absl::Now() >= deadline) {
    return base::DeadlineExceeded("DEADLINE_EXCEEDED", "the call's deadline passed before anything was done");
  }
  alone.Increment();
  return store_.Create(user_id, alerts, options_.quota, clock_.NowUs(),
                       [](const OtherWindows&) { return absl::OkStatus(); });
}

std::vector<CreationGroups::Outcome> CreationGroups::CreateGroup(const std::vector<Creation>& group) {
  static prometheus::Histogram& sizes =
      metrics::GetHistogram("stockalert_alert_creation_group_calls", "Calls whose new alerts were stored together", {},
                            metrics::CountBuckets());
  std::vector<Outcome> outcomes(group.size());
  std::vector<Creation> tried;
  std::vector<size_t> places;
  std::set<std::pair<std::string, std::string>> seen;
  for (size_t i = 0; i < group.size(); ++i) {
    if (RepeatsRequestId(group[i], seen)) continue;
    tried.push_back(group[i]);
    places.push_back(i);
  }
  sizes.Observe(static_cast<double>(tried.size()));
  const absl::StatusOr<std::vector<bool>> created = store_.CreateGroup(tried, options_.quota, clock_.NowUs());
  for (size_t i = 0; i < places.size(); ++i) {
    if (created.ok()) {
      outcomes[places[i]].created = created->at(i);
    } else if (absl::IsUnavailable(created.status())) {
      // Of the database, not of any of them: each alone would only ask it once more.
      outcomes[places[i]].status = created.status();
    }
  }
  return outcomes;
}

}  // namespace stockalert::alert
