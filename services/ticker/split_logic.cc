#include "services/ticker/split_logic.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::ticker {
namespace {

constexpr int kPublishedAtOnce = 100;
constexpr absl::Duration kNotedInterval = absl::Milliseconds(50);
// What is left of a call's time for its answer to arrive.
constexpr absl::Duration kAnswerTime = absl::Milliseconds(50);

absl::Time Sooner(absl::Time deadline, absl::Duration timeout) { return std::min(deadline, absl::Now() + timeout); }

}  // namespace

absl::StatusOr<SplitRow> SplitLogic::Declare(const std::string& symbol, price::SplitRatio ratio,
                                             int64_t effective_time_us, const std::string& request_id,
                                             const trace::Context& trace, absl::Time deadline) {
  const record::Split asked{symbol, ids_.NewUuid(), 0, ratio, effective_time_us};
  STOCKALERT_ASSIGN_OR_RETURN(const SplitRow row, store_.Declare(asked, request_id, clock_.NowUs()));
  if (row.in_log) return row;
  if (row.is_first) {
    log::Info("a split was declared", {{"symbol", symbol},
                                       {"number", row.split.number},
                                       {"numerator", ratio.numerator},
                                       {"denominator", ratio.denominator},
                                       {"trace_id", trace.trace_id}});
  }
  const PriceBoard::OutcomeMemory memory(board_);
  const absl::StatusOr<LogPlace> place =
      publisher_.PublishSplit(row.split, trace, Sooner(deadline - kAnswerTime, options_.publish_timeout));
  if (absl::IsFailedPrecondition(place.status()) && row.is_first) {
    // Refused before it was published, and nobody else has tried: as if it had never been.
    STOCKALERT_RETURN_IF_ERROR(store_.Withdraw(row.split));
  }
  if (!place.ok()) return place.status();
  const absl::Time noted_by = Sooner(deadline - kAnswerTime, options_.read_timeout);
  (void)memory.Await({*place}, noted_by);
  return AwaitNoted(row, noted_by);
}

absl::StatusOr<SplitRow> SplitLogic::AwaitNoted(const SplitRow& published, absl::Time deadline) {
  const record::Split& split = published.split;
  for (;;) {
    STOCKALERT_ASSIGN_OR_RETURN(std::optional<SplitRow> row, store_.Find(split.symbol, split.number));
    if (row && row->split.split_id != split.split_id) {
      return base::Aborted(kReasonSplitPending,
                           absl::StrCat("the log has another split ", split.number, " of ", split.symbol,
                                        " than was kept here (was the database restored from a backup?): look at "
                                        "ListSplits, and declare this one again where it is not there"));
    }
    if (row && row->in_log) return *std::move(row);
    if (absl::Now() + kNotedInterval >= deadline) return published;
    absl::SleepFor(kNotedInterval);
  }
}

absl::StatusOr<int> SplitLogic::PublishPending(const trace::Context& trace, absl::Time deadline) {
  static auto& published =
      metrics::GetCounter("stockalert_ticker_splits_swept_total", "Pending splits that were published again");
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<record::Split> due,
                              store_.ClaimPending(clock_.NowUs(), kPublishedAtOnce));
  for (const record::Split& split : due) {
    STOCKALERT_RETURN_IF_ERROR(
        publisher_.PublishSplit(split, trace, Sooner(deadline, options_.publish_timeout)).status());
    published.Increment();
  }
  return static_cast<int>(due.size());
}

}  // namespace stockalert::ticker
