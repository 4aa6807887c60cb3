#include "services/domain/market/date_figures.h"

#include "services/domain/price/decimal.h"

namespace stockalert::market {

std::optional<int64_t> CountedFigure(Session session, std::optional<int64_t> micros) {
  if (!CarriesFigures(session) || !micros.has_value() || !price::IsValidPriceMicros(*micros)) return std::nullopt;
  return micros;
}

void DateFigures::EnterDate(int64_t event_time_us) {
  if (IsOnDate(event_time_us)) return;
  *this = DateFigures();
  day_ = ExchangeDayOf(event_time_us);
}

bool DateFigures::LearnOther(DateFigure figure, Session session, std::optional<int64_t> micros) {
  const std::optional<int64_t> counted = CountedFigure(session, micros);
  if (!counted.has_value()) return false;
  latest_[static_cast<size_t>(figure)] = counted;
  std::optional<int64_t>& first = first_[static_cast<size_t>(figure)];
  if (first.has_value()) return false;
  first = counted;
  return true;
}

}  // namespace stockalert::market
