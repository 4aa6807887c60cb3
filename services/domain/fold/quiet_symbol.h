// What a quote of a symbol is compared with while no quote can do anything but be counted: in two cache lines, so that
// the symbol itself, which is ten times as large, is not looked at.
//
// It is quiet from after a quote until anybody looks at the symbol (SymbolTable::At), who first has the symbol take in
// what has been counted here: no one ever sees a symbol that lags behind. Always on the safe side: what it does not
// take is applied to the symbol.
//
// Not thread-safe; cannot fail.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "services/domain/fold/fold_state.h"
#include "services/domain/fold/quiet_interval.h"
#include "services/domain/market/date_figures.h"
#include "services/domain/market/quote_order.h"
#include "services/domain/market/rules.h"
#include "services/domain/market/session.h"
#include "services/domain/record/event.h"

namespace stockalert::fold {

// What has to be true of a quote, and what it changes: as of the symbol's last quote.
struct QuietTerms {
  QuietInterval interval;             // Empty: nothing is taken.
  int64_t snapshot_number = 0;        // A snapshot that begins later has to copy the symbol first.
  market::QuoteOrder order;           // With the event time of a quote.
  market::DateRange range;            // Of the prices of the date.
  int64_t previous_close_micros = 0;  // As last learned; 0: not known.
  int64_t day_open_micros = 0;
  market::Session session = market::Session::kRegular;
  market::Rules rules = market::Rules::kFirst;
  bool keeps_points = false;  // Whether each price matters, not only how far they went.
};

// Aligned to the pairs of lines that processors fetch together.
class alignas(128) QuietSymbol {
 public:
  static constexpr size_t kPointsMax = 16;

  // Longer names are not here: Is is false.
  void SetName(std::string_view name) {
    if (name.size() > kNameMax) return;
    name_size_ = static_cast<uint8_t>(name.size());
    std::memcpy(name_.data(), name.data(), name.size());
  }
  bool Is(std::string_view name) const {
    return name.size() == name_size_ && std::memcmp(name_.data(), name.data(), name.size()) == 0;
  }
  bool has_name() const { return name_size_ > 0; }

  void Begin(const QuietTerms& terms) {
    low_micros_ = terms.interval.low_micros;
    high_micros_ = terms.interval.high_micros;
    until_us_ = terms.interval.until_us;
    publisher_epoch_ = terms.order.publisher_epoch;
    sequence_ = terms.order.sequence;
    time_us_ = terms.order.last_event_time_us.value_or(0);
    range_ = terms.range;
    previous_close_micros_ = terms.previous_close_micros;
    day_open_micros_ = terms.day_open_micros;
    snapshot_number_ = terms.snapshot_number;
    session_ = terms.session;
    rules_ = terms.rules;
    keeps_points_ = terms.keeps_points;
    if (keeps_points_ && points_ == nullptr) points_ = std::make_unique<Points>();
    point_count_ = 0;
    taken_ = false;
  }
  void End() {
    low_micros_ = QuietInterval::kMax;
    high_micros_ = QuietInterval::kMin;
    taken_ = false;
  }

  // True: the quote is counted, and all that it did is here. Precondition: its price is a possible one.
  bool Take(const record::Quote& quote, int64_t snapshot_number) {
    const int64_t price = quote.price_micros;
    const bool inside = price >= low_micros_ && price <= high_micros_ && quote.event_time_us >= time_us_ &&
                        quote.event_time_us <= until_us_;
    if (!inside || quote.session != session_ || quote.rules != rules_ || snapshot_number != snapshot_number_) {
      return false;
    }
    const bool numbered = quote.publisher_epoch != 0 || quote.sequence != 0;
    if (numbered && (quote.publisher_epoch != publisher_epoch_ || quote.sequence <= sequence_)) return false;
    // Figures that are absent say nothing.
    if (quote.previous_close_micros.value_or(previous_close_micros_) != previous_close_micros_ ||
        quote.day_open_micros.value_or(day_open_micros_) != day_open_micros_) {
      return false;
    }
    if (quote.day_high_micros.value_or(price) > std::max(range_.high_micros, price) ||
        quote.day_low_micros.value_or(price) < std::min(range_.low_micros, price)) {
      return false;
    }
    if (keeps_points_) {
      if (point_count_ == kPointsMax) return false;
      (*points_)[point_count_++] = {price, quote.event_time_us};
    }
    if (numbered) sequence_ = quote.sequence;
    time_us_ = quote.event_time_us;
    price_micros_ = price;
    range_.Add(price);
    taken_ = true;
    return true;
  }

  // Whether anything was taken since Begin, and what.
  bool taken() const { return taken_; }
  PricePoint last() const { return {price_micros_, time_us_}; }
  market::Session session() const { return session_; }
  int64_t sequence() const { return sequence_; }
  const market::DateRange& range() const { return range_; }
  // All of them, oldest first, where they are kept; otherwise the last one.
  template <typename Visitor>
  void ForEachPoint(const Visitor& visitor) const {
    if (!keeps_points_) return visitor(last());
    for (size_t i = 0; i < point_count_; ++i) visitor((*points_)[i]);
  }

 private:
  static constexpr size_t kNameMax = 15;
  using Points = std::array<PricePoint, kPointsMax>;

  std::array<char, kNameMax> name_{};
  uint8_t name_size_ = 0;
  int64_t low_micros_ = QuietInterval::kMax;
  int64_t high_micros_ = QuietInterval::kMin;
  int64_t until_us_ = QuietInterval::kMin;
  int64_t time_us_ = 0;  // Of the last quote.
  int64_t publisher_epoch_ = 0;
  int64_t sequence_ = 0;
  int64_t price_micros_ = 0;
  market::DateRange range_;
  int64_t previous_close_micros_ = 0;
  int64_t day_open_micros_ = 0;
  int64_t snapshot_number_ = 0;
  std::unique_ptr<Points> points_;
  market::Session session_ = market::Session::kRegular;
  market::Rules rules_ = market::Rules::kFirst;
  uint8_t point_count_ = 0;
  bool keeps_points_ = false;
  bool taken_ = false;
};
static_assert(sizeof(QuietSymbol) == 128);

}  // namespace stockalert::fold
