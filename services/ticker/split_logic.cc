#include "services/ticker/split_logic.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::ticker {
namespace {

constexpr int kPublishedAtOnce = 100;
constexpr absl::Duration kNotedInterval = absl::Milliseconds(50);
// What is left of a call's time for its answer to arrive.
constexpr absl::Duration kAnswerTime = absl::Milliseconds(50);

// The same for the same request for ever: where a restored database has forgotten the request, the split that the log
// has is known by it. Of the form of a UUID (RFC 9562, version 8).
std::string SplitIdOf(const std::string& symbol, const std::string& request_id) {
  std::string bytes = base::Sha256(absl::StrCat("stockalert split ", symbol, " ", request_id)).substr(0, 16);
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x80);
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  const std::string hex = base::HexEncode(bytes);
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-", hex.substr(16, 4), "-",
                      hex.substr(20));
}

absl::Time Sooner(absl::Time deadline, absl::Duration timeout) { return std::min(deadline, absl::Now() + timeout); }

absl::Status KeptAllTheSame(const record::Split& split) {
  return base::FailedPrecondition(
      kReasonLogFormatTooOld,
      absl::StrCat(
          "the fetcher's --log_format lets no split into the log now; an attempt before may have been taken, so "
          "tickers/",
          split.symbol, "/splits/", split.number, " is kept, PENDING, and published once the format allows it"));
}

}  // namespace

absl::StatusOr<SplitRow> SplitLogic::Declare(const std::string& symbol, price::SplitRatio ratio,
                                             int64_t effective_time_us, const std::string& request_id,
                                             const trace::Context& trace, absl::Time deadline) {
  const record::Split asked{symbol, SplitIdOf(symbol, request_id), 0, ratio, effective_time_us};
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
  if (absl::IsFailedPrecondition(place.status())) {
    // Refused before it was published, and nobody else has tried: as if it had never been.
    if (row.is_first) STOCKALERT_RETURN_IF_ERROR(store_.Withdraw(row.split));
    STOCKALERT_ASSIGN_OR_RETURN(const std::optional<SplitRow> kept, store_.Find(symbol, row.split.number));
    // An attempt before may have published it.
    if (kept && kept->split.split_id == row.split.split_id && !kept->in_log) return KeptAllTheSame(row.split);
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
  static auto& found = metrics::GetCounter("stockalert_ticker_splits_republished_total",
                                           "Splits that were published again because the log is another one");
  int count = 0;
  int count_lost = 0;
  absl::Status refused;
  const auto round = [&]() -> absl::Status {
    while (absl::Now() < deadline) {
      STOCKALERT_ASSIGN_OR_RETURN(const std::vector<SplitRow> due,
                                  store_.ClaimPending(clock_.NowUs(), kPublishedAtOnce));
      const int lost_before = count_lost;
      for (const SplitRow& row : due) {
        const absl::StatusOr<LogPlace> place =
            publisher_.PublishSplit(row.split, trace, Sooner(deadline, options_.publish_timeout));
        if (absl::IsUnavailable(place.status()) || absl::IsFailedPrecondition(place.status())) return place.status();
        if (!place.ok()) {
          // This one alone: it must not hold up those of other symbols.
          refused.Update(
              absl::Status(place.status().code(), absl::StrCat("tickers/", row.split.symbol, "/splits/",
                                                               row.split.number, ": ", place.status().message())));
          continue;
        }
        ++count;
        (row.lost ? found : published).Increment();
        if (!row.lost) continue;  // The log's reader notes it.
        STOCKALERT_RETURN_IF_ERROR(store_.NoteFound(row.split, *place));
        ++count_lost;
      }
      // Each that was found may make its symbol's next one due.
      if (count_lost == lost_before) break;
    }
    return absl::OkStatus();
  };
  const absl::Status status = round();
  if (count_lost > 0) {
    log::Warning(
        "the log is another one than before: splits were published in it again, for readers that had not heard of them",
        {{"splits", count_lost}, {"trace_id", trace.trace_id}});
  }
  if (!status.ok()) return status;
  if (!refused.ok()) return refused;
  return count;
}

}  // namespace stockalert::ticker
