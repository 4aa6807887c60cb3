// What a symbol's quotes say of their trading date: its previous close and its open, the first that was known of each
// and the latest.
//
// Pure; not thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "services/domain/market/exchange_date.h"
#include "services/domain/market/session.h"

namespace stockalert::market {

enum class DateFigure : uint8_t { kPreviousClose, kDayOpen };
inline constexpr size_t kDateFigureCount = 2;
inline constexpr std::array<DateFigure, kDateFigureCount> kDateFigures = {DateFigure::kPreviousClose,
                                                                          DateFigure::kDayOpen};

// Whether a quote's figures of the day (previous close, open, high, low) are those of its date: before the open a
// source's may still be those of the date before, and nobody takes them.
constexpr bool CarriesFigures(Session session) { return session != Session::kPre; }

// A figure as a quote of this session tells it; none where it does not count, or no price could be so.
std::optional<int64_t> CountedFigure(Session session, std::optional<int64_t> micros);

class DateFigures {
 public:
  // Whether the event time is of the present date.
  bool IsOnDate(int64_t event_time_us) const;
  // Comes to the date of the event time; of another date than the present one nothing is known at first.
  void EnterDate(int64_t event_time_us);

  // Takes the figure from a quote of this session; true where it is the date's first.
  bool Learn(DateFigure figure, Session session, std::optional<int64_t> micros);

  int32_t date() const { return day_.date; }
  std::optional<int64_t> first(DateFigure figure) const { return first_[static_cast<size_t>(figure)]; }
  std::optional<int64_t> latest(DateFigure figure) const { return latest_[static_cast<size_t>(figure)]; }

 private:
  ExchangeDay day_;
  std::array<std::optional<int64_t>, kDateFigureCount> first_;
  std::array<std::optional<int64_t>, kDateFigureCount> latest_;
};

}  // namespace stockalert::market
