// What a symbol's quotes say of their trading date: its previous close and its open, the first that was known of each
// and the latest, and how far its prices have gone.
//
// Pure; not thread-safe.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include "services/domain/market/exchange_date.h"
#include "services/domain/market/market.h"
#include "services/domain/market/rules.h"
#include "services/domain/market/session.h"

namespace stockalert::market {

enum class DateFigure : uint8_t { kPreviousClose, kDayOpen };
inline constexpr size_t kDateFigureCount = 2;
inline constexpr std::array<DateFigure, kDateFigureCount> kDateFigures = {DateFigure::kPreviousClose,
                                                                          DateFigure::kDayOpen};

// What decides whether a quote's figures of the day (previous close, open, high, low) are used.
struct FigureSource {
  Session session = Session::kRegular;
  int64_t event_time_us = 0;
  Rules rules = kNewestRules;
};

// Before the open a source may still send those of the previous date, so the figures of a PRE quote are ignored, and
// those of any quote before 9:30 in New York.
bool CarriesFigures(Market market, const FigureSource& source);

// The figure of such a quote; none where it carries none or the value is not a possible price.
std::optional<int64_t> CountedFigure(Market market, const FigureSource& source, std::optional<int64_t> micros);

// How far the accepted prices and the day's highs and lows of a date have gone.
struct DateRange {
  int64_t high_micros = std::numeric_limits<int64_t>::min();
  int64_t low_micros = std::numeric_limits<int64_t>::max();
  bool operator==(const DateRange&) const = default;

  bool empty() const { return high_micros < low_micros; }
  void Add(int64_t price_micros) {
    high_micros = std::max(high_micros, price_micros);
    low_micros = std::min(low_micros, price_micros);
  }
};

// A new high and low of the day that a quote tells of: prices that were there since the quote before.
struct NewExtremes {
  std::optional<int64_t> high_micros;
  std::optional<int64_t> low_micros;
  bool any() const { return high_micros.has_value() || low_micros.has_value(); }
};

// The date that an event time belongs to, by these rules.
ExchangeDay DayOf(Market market, Rules rules, int64_t event_time_us);

class DateFigures {
 public:
  explicit DateFigures(Market market = Market::kUsEquity) : market_(market) {}

  // Whether the event time is of the present date, by these rules.
  bool IsOnDate(int64_t event_time_us, Rules rules) const {
    return rules == rules_ && day_.date != kNoDate && event_time_us >= day_.begin_us && event_time_us < day_.end_us;
  }
  // Whether it is of another date than the present one.
  bool BeginsDate(int64_t event_time_us, Rules rules) const;
  // Makes the event time's date the present one. If that is another date, nothing is known of it yet.
  void EnterDate(int64_t event_time_us, Rules rules);

  // Takes the figure from a quote of the present date; true where it is the date's first.
  bool Learn(DateFigure figure, const FigureSource& source, const std::optional<int64_t>& micros) {
    // Nearly every quote repeats the one before.
    return micros != latest_[static_cast<size_t>(figure)] && LearnOther(figure, source, micros);
  }
  // Adds a quote's price, and its day's high and low, to the range. Gives the high and low that are beyond its price
  // and all before.
  NewExtremes AddToRange(const FigureSource& source, int64_t price_micros,
                         const std::optional<int64_t>& day_high_micros, const std::optional<int64_t>& day_low_micros) {
    // Nearly every quote's high and low are known.
    const bool known = day_high_micros.value_or(price_micros) <= std::max(range_.high_micros, price_micros) &&
                       day_low_micros.value_or(price_micros) >= std::min(range_.low_micros, price_micros);
    NewExtremes beyond;
    if (!known) beyond = FindBeyond(source, price_micros, day_high_micros, day_low_micros);
    range_.Add(price_micros);
    if (beyond.high_micros.has_value()) range_.Add(*beyond.high_micros);
    if (beyond.low_micros.has_value()) range_.Add(*beyond.low_micros);
    return beyond;
  }

  // Adds prices of the present date.
  void ExtendRange(const DateRange& range) {
    range_.Add(range.high_micros);
    range_.Add(range.low_micros);
  }
  // Replaces what is known of the present date.
  void LoadRange(const DateRange& range, Rules first_rules) {
    range_ = range;
    first_rules_ = first_rules;
  }
  // What was learned of the present date, in prices of after a split.
  template <typename Scale>
  void ScalePrices(const Scale& scale) {
    for (std::optional<int64_t>& micros : latest_) micros = micros.has_value() ? std::optional(scale(*micros)) : micros;
    for (std::optional<int64_t>& micros : first_) micros = micros.has_value() ? std::optional(scale(*micros)) : micros;
    if (!range_.empty()) range_ = {scale(range_.high_micros), scale(range_.low_micros)};
  }

  Market market() const { return market_; }
  int32_t date() const { return day_.date; }
  // Event times from then on are of another date; of no date: any.
  int64_t end_us() const { return day_.end_us; }
  std::optional<int64_t> first(DateFigure figure) const { return first_[static_cast<size_t>(figure)]; }
  std::optional<int64_t> latest(DateFigure figure) const { return latest_[static_cast<size_t>(figure)]; }
  const DateRange& range() const { return range_; }
  // The rules of the last quote.
  Rules rules() const { return rules_; }
  // The rules of the date's first quote: where they are older than gaps, what the range leaves out is not known.
  Rules first_rules() const { return first_rules_; }

 private:
  bool LearnOther(DateFigure figure, const FigureSource& source, std::optional<int64_t> micros);
  NewExtremes FindBeyond(const FigureSource& source, int64_t price_micros, std::optional<int64_t> day_high_micros,
                         std::optional<int64_t> day_low_micros) const;

  ExchangeDay day_;
  DateRange range_;
  std::array<std::optional<int64_t>, kDateFigureCount> latest_;
  std::array<std::optional<int64_t>, kDateFigureCount> first_;
  Market market_;
  Rules rules_ = Rules::kFirst;
  Rules first_rules_ = Rules::kFirst;
};

}  // namespace stockalert::market
