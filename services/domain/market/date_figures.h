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

// Whether a quote's figures of the day (previous close, open, high, low) are used. Before the open a source may still
// send those of the previous date, so they are ignored.
constexpr bool CarriesFigures(Session session) { return session != Session::kPre; }

// The figure of a quote in this session; none where the session carries no figures or the value is not a possible
// price.
std::optional<int64_t> CountedFigure(Session session, std::optional<int64_t> micros);

class DateFigures {
 public:
  // Whether the event time is of the present date.
  bool IsOnDate(int64_t event_time_us) const {
    return day_.date != kNoDate && event_time_us >= day_.begin_us && event_time_us < day_.end_us;
  }
  // Makes the event time's date the present one. If that is another date, nothing is known of it yet.
  void EnterDate(int64_t event_time_us);

  // Takes the figure from a quote of this session; true where it is the date's first.
  bool Learn(DateFigure figure, Session session, const std::optional<int64_t>& micros) {
    // Nearly every quote repeats the one before.
    return micros != latest_[static_cast<size_t>(figure)] && LearnOther(figure, session, micros);
  }

  int32_t date() const { return day_.date; }
  std::optional<int64_t> first(DateFigure figure) const { return first_[static_cast<size_t>(figure)]; }
  std::optional<int64_t> latest(DateFigure figure) const { return latest_[static_cast<size_t>(figure)]; }

 private:
  bool LearnOther(DateFigure figure, Session session, std::optional<int64_t> micros);

  ExchangeDay day_;
  std::array<std::optional<int64_t>, kDateFigureCount> latest_;
  std::array<std::optional<int64_t>, kDateFigureCount> first_;
};

}  // namespace stockalert::market
