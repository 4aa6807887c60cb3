#include "services/ticker/bar_convert.h"

#include <algorithm>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/page_token.h"
#include "services/common/grpc/time_convert.h"
#include "services/domain/price/decimal.h"

namespace stockalert::ticker {
namespace {

// 10000-01-01: beyond every time that a message can say.
constexpr int64_t kEndUsMax = 253'402'300'800'000'000;

// `absent` where the request says nothing.
int64_t ReadTime(base::FieldViolations& violations, const char* field, bool present,
                 const google::protobuf::Timestamp& time, int64_t absent) {
  if (!present) return absent;
  const absl::StatusOr<int64_t> us = rpc::TimestampToUs(time, field);
  violations.Merge(us.status(), field);
  return us.value_or(absent);
}

}  // namespace

v1::Bar ToBar(const MinuteBar& bar) {
  v1::Bar shown;
  *shown.mutable_start_time() = rpc::TimestampFromUs(bar.start_us);
  shown.set_open(price::FormatMicros(bar.open.price_micros));
  shown.set_high(price::FormatMicros(bar.high_micros));
  shown.set_low(price::FormatMicros(bar.low_micros));
  shown.set_close(price::FormatMicros(bar.close.price_micros));
  return shown;
}

internal::v1::PriceBar ToPriceBar(const MinuteBar& bar) {
  internal::v1::PriceBar price_bar;
  price_bar.set_start_time_us(bar.start_us);
  price_bar.set_open_micros(bar.open.price_micros);
  price_bar.set_high_micros(bar.high_micros);
  price_bar.set_low_micros(bar.low_micros);
  price_bar.set_close_micros(bar.close.price_micros);
  return price_bar;
}

absl::StatusOr<BarPage> ReadBarPage(const v1::ListBarsRequest& request, const std::string& symbol) {
  base::FieldViolations violations;
  BarPage page;
  page.start_us = ReadTime(violations, "start_time", request.has_start_time(), request.start_time(), 0);
  page.end_us = ReadTime(violations, "end_time", request.has_end_time(), request.end_time(), kEndUsMax);
  if (violations.ok()) violations.Check(page.start_us < page.end_us, "end_time", "must be after start_time");
  const absl::StatusOr<int> page_size = rpc::ResolvePageSize(request.page_size());
  violations.Merge(page_size.status(), "page_size");
  page.page_size = request.page_size() == 0 ? kBarsPageDefault : page_size.value_or(0);
  page.scope = rpc::PageScope("ListBars", symbol, absl::StrCat(page.start_us, "|", page.end_us));
  const absl::StatusOr<std::vector<std::string>> place = rpc::DecodePageToken(page.scope, request.page_token(), 1);
  violations.Merge(place.status(), "page_token");
  STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
  if (place->empty()) return page;
  int64_t last_us = 0;
  if (!absl::SimpleAtoi(place->front(), &last_us) || last_us < page.start_us)
    return base::InvalidField("page_token", "must be the next_page_token of the same list");
  page.end_us = std::min(page.end_us, last_us);
  return page;
}

std::string NextPageToken(const BarPage& page, const MinuteBar& last) {
  return rpc::EncodePageToken(page.scope, {absl::StrCat(last.start_us)});
}

}  // namespace stockalert::ticker
