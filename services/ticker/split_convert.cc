#include "services/ticker/split_convert.h"

#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/common/grpc/request_validation.h"
#include "services/common/grpc/resource_name.h"
#include "services/common/grpc/time_convert.h"

namespace stockalert::ticker {

absl::StatusOr<AskedSplit> ReadSplit(const v1::DeclareSplitRequest& request, int64_t now_us) {
  const std::string range = absl::StrCat("must be 1 to ", record::kSplitSharesMax);
  base::FieldViolations violations;
  AskedSplit asked{{request.numerator(), request.denominator()}};
  violations.Check(record::IsSplitShares(request.numerator()), "numerator", range);
  if (violations.Check(record::IsSplitShares(request.denominator()), "denominator", range)) {
    violations.Check(request.numerator() != request.denominator(), "denominator",
                     "must not be the numerator: so many shares for as many change no price");
  }
  if (violations.Check(request.has_effective_time(), "effective_time", "is required")) {
    const absl::StatusOr<int64_t> us = rpc::TimestampToUs(request.effective_time(), "effective_time");
    violations.Merge(us.status(), "effective_time");
    if (us.ok()) {
      asked.effective_time_us = *us;
      violations.Check(*us >= 0, "effective_time", "must be from 1970 on");
      violations.Check(*us <= now_us + kSplitAheadMaxUs, "effective_time",
                       "must be at most a day ahead: a split is in effect from its place in the log on, so declare it "
                       "when it takes effect");
    }
  }
  if (violations.Check(!request.request_id().empty(), "request_id", "is required"))
    rpc::CheckRequestId(violations, "request_id", request.request_id());
  if (!violations.ok()) return violations.ToStatus();
  return asked;
}

v1::Split ToSplit(const SplitRow& row) {
  const record::Split& split = row.split;
  v1::Split message;
  message.set_name(rpc::FormatName("tickers/{symbol}/splits/{number}", {split.symbol, absl::StrCat(split.number)}));
  message.set_symbol(split.symbol);
  message.set_number(split.number);
  message.set_numerator(split.ratio.numerator);
  message.set_denominator(split.ratio.denominator);
  *message.mutable_effective_time() = rpc::TimestampFromUs(split.effective_time_us);
  *message.mutable_create_time() = rpc::TimestampFromUs(row.create_time_us);
  message.set_state(row.in_log && !row.lost ? v1::Split::STATE_APPLIED : v1::Split::STATE_PENDING);
  return message;
}

}  // namespace stockalert::ticker
