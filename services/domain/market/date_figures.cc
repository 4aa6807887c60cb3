#include "services/domain/market/date_figures.h"

#include "services/domain/price/decimal.h"

namespace stockalert::market {
namespace {

// From 9:30 to midnight. The clock changes at two in the morning, so this is the same on every date.
constexpr int64_t kOpenToMidnightUs = int64_t{(14 * 60 + 30) * 60} * 1'000'000;

}  // namespace

ExchangeDay DayOf(Market market, Rules rules, int64_t event_time_us) {
  const bool in_utc = market == Market::kRoundTheClock && rules >= Rules::kWithGaps;
  return in_utc ? UtcDayOf(event_time_us) : ExchangeDayOf(event_time_us);
}

bool CarriesFigures(Market market, const FigureSource& source) {
  if (source.session == Session::kPre) return false;
  if (source.rules < Rules::kWithGaps || market == Market::kRoundTheClock) return true;
  return source.event_time_us >= ExchangeDayOf(source.event_time_us).end_us - kOpenToMidnightUs;
}

std::optional<int64_t> CountedFigure(Market market, const FigureSource& source, std::optional<int64_t> micros) {
  if (!micros.has_value() || !price::IsValidPriceMicros(*micros) || !CarriesFigures(market, source))
    return std::nullopt;
  return micros;
}

bool DateFigures::BeginsDate(int64_t event_time_us, Rules rules) const {
  return DayOf(market_, rules, event_time_us).date != day_.date;
}

void DateFigures::EnterDate(int64_t event_time_us, Rules rules) {
  if (IsOnDate(event_time_us, rules)) return;
  const ExchangeDay day = DayOf(market_, rules, event_time_us);
  // Newer rules may only have moved where the date begins and ends.
  const bool same_date = day.date == day_.date;
  rules_ = rules;
  day_ = day;
  if (same_date) return;
  latest_ = first_ = {};
  range_ = DateRange();
  first_rules_ = rules;
}

bool DateFigures::LearnOther(DateFigure figure, const FigureSource& source, std::optional<int64_t> micros) {
  const std::optional<int64_t> counted = CountedFigure(market_, source, micros);
  if (!counted.has_value()) return false;
  latest_[static_cast<size_t>(figure)] = counted;
  std::optional<int64_t>& first = first_[static_cast<size_t>(figure)];
  if (first.has_value()) return false;
  first = counted;
  return true;
}

NewExtremes DateFigures::FindBeyond(const FigureSource& source, int64_t price_micros,
                                    std::optional<int64_t> day_high_micros,
                                    std::optional<int64_t> day_low_micros) const {
  NewExtremes beyond;
  // By older rules they say nothing, neither now nor to later quotes.
  if (source.rules < Rules::kWithGaps) return beyond;
  const std::optional<int64_t> high = CountedFigure(market_, source, day_high_micros);
  const std::optional<int64_t> low = CountedFigure(market_, source, day_low_micros);
  if (high.has_value() && *high > std::max(range_.high_micros, price_micros)) beyond.high_micros = high;
  if (low.has_value() && *low < std::min(range_.low_micros, price_micros)) beyond.low_micros = low;
  return beyond;
}

}  // namespace stockalert::market
