// A second implementation of docs/semantics.md, to hold the first one to it: as naive as it can be, so that reading it
// beside the contract is enough to believe it. One object an alert; a quote walks over all alerts of its symbol; a
// window is a plain list.
//
// It shares nothing with the evaluator's fold but the plain data types that go in and come out. Not thread-safe, no
// I/O, no clock. It covers quotes with their gaps, alert changes, splits, suspected ones and restarts; a broken
// invariant of the caller's (an unknown time zone) aborts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "services/domain/condition/definition.h"
#include "services/domain/record/event.h"

namespace stockalert::auditor {

// How an alert that exists is shown.
enum class Shown { kActive, kWaiting, kHeld, kPaused, kTriggered, kExpired };

// A price that counted, and when.
struct PricePoint {
  int64_t price_micros = 0;
  int64_t event_time_us = 0;
};

// A price, or a difference of prices, of before the split in terms of after it: rounded half to even to a micro, at
// least one, at most the highest price there is. Both numbers of the ratio have to be above zero.
int64_t ScaledBySplit(int64_t micros, const record::Split& split);

class Auditor {
 public:
  // Dates are those of the exchange's time zone, but for markets that trade round the clock.
  explicit Auditor(const std::string& time_zone = "America/New_York");

  // Takes in the event at its place and returns what triggers there: by alert id; what settles a hold, in the order of
  // the held quotes.
  std::vector<record::Trigger> Apply(int64_t offset, const record::Event& event);

  // None for an alert that does not exist. The wall clock only shows an alert as expired; it keeps nothing from
  // triggering. Of a held symbol: as of the suspicion, whatever has come since.
  std::optional<Shown> StateOf(const std::string& alert_id, std::optional<int64_t> wall_clock_us) const;
  // The revision that last armed it, of what is evaluated; 0 for an alert that does not exist.
  int64_t ArmedRevisionOf(const std::string& alert_id) const;
  // The ids of the alerts that exist, in their order.
  std::vector<std::string> AlertIds() const;
  // Of the last accepted quote since the symbol's last restart.
  std::optional<int64_t> LastEventTime(const std::string& symbol) const;
  // Whether a split of the symbol is suspected, and not settled.
  bool IsHeld(const std::string& symbol) const;
  // What REJECT_IF_MET asks: armed here and now, would the level be true at the arming price?
  bool IsMetAtArming(const std::string& symbol, const condition::Definition& definition) const;

 private:
  struct Symbol {
    std::optional<int64_t> last_event_time_us;
    std::optional<PricePoint> last_regular;   // The last price that alerts on REGULAR quotes count.
    std::optional<PricePoint> last_extended;  // The last one that alerts on EXTENDED quotes count.
    std::optional<absl::CivilDay> date;       // Of the last accepted quote.
    std::optional<int64_t> previous_close;    // The latest that this date's quotes carried.
    std::optional<int64_t> day_open;
    std::optional<int64_t> highest;     // Of all prices and day highs that this date's quotes brought.
    std::optional<int64_t> lowest;      // Of all prices and day lows that they brought.
    bool date_began_with_gaps = false;  // The rules of the first accepted quote of the date: whether they know gaps.
    bool last_with_gaps = false;        // Those of the last accepted quote.
    std::pair<int64_t, int64_t> publisher{0, 0};  // The highest epoch and sequence seen.
    std::vector<record::Split> splits;            // All of them, by their numbers.
  };

  // What the day's figures of a quote show of the time since the quote before: prices beyond all that was known.
  struct Gap {
    std::optional<int64_t> high;
    std::optional<int64_t> low;
  };

  // Everything that begins afresh at an arming.
  struct Armed {
    bool begun = false;
    std::optional<int64_t> before;       // The price before.
    std::optional<int64_t> reference;    // Of a percent change, but for windows.
    std::optional<absl::CivilDay> date;  // The date whose previous close or day open the reference is.
    std::vector<PricePoint> window;      // Every price in it, oldest first.
    std::optional<int64_t> extreme;      // Of a trailing change; none before its activation.
    int side = 0;                        // CROSSES: -1 below, 1 above, 0 where no price but the target was seen.
    bool ready = false;                  // Of the condition; of UP, where there are two.
    bool ready_down = false;             // EITHER only: of DOWN.
    std::optional<int64_t> last_trigger_us;
    std::optional<absl::CivilDay> last_trigger_date;
    // Neither armed nor paused at any place since the last accepted quote of the symbol, whatever its session.
    bool watched_since_quote = false;
  };

  struct Alert {
    std::string symbol;
    condition::Definition definition;
    int64_t revision = 0;
    int64_t armed_revision = 0;
    int64_t trigger_number = 0;
    bool paused = false;
    bool deleted = false;
    bool triggered = false;      // Ended by ONCE.
    int64_t splits_applied = 0;  // The number of the last split that the prices of the definition allow for.
    Armed armed;
  };

  // Which of the conditions of an alert is meant: EITHER has two, every other kind one.
  enum class Leg { kOnly, kUp, kDown };

  absl::CivilDay DateOf(const record::Quote& quote) const;
  bool CarriesFigures(const record::Quote& quote) const;
  std::vector<record::Trigger> ApplyQuote(int64_t offset, const record::Quote& quote);
  void ApplyChange(const record::AlertChange& change);
  void ApplyRestart(const std::string& symbol);
  // False for one that is known, or has no ratio: nothing happens.
  bool ApplySplit(const record::Split& split);
  void ApplySuspicion(const record::SplitSuspected& suspected);
  bool IsKept(const record::Event& event) const;
  // Evaluates all that was kept of a symbol, if it is held; what triggers, at the place of what settles it.
  std::vector<record::Trigger> Release(int64_t offset, const std::string& symbol);

  static bool NeedsValueOfDate(const Alert& alert);
  static std::optional<int64_t> ValueOfDate(const Alert& alert, const Symbol& symbol);
  static std::vector<Leg> LegsOf(const Alert& alert);
  static bool& ReadyOf(Alert& alert, Leg leg);
  static bool IsLevel(const Alert& alert, Leg leg, int64_t price);
  static bool BecomesReady(const Alert& alert, Leg leg, int64_t price);
  static bool BeginsReady(const Alert& alert, Leg leg, int64_t arming_price);
  static bool IsExpiredBy(const Alert& alert, std::optional<int64_t> time_us);
  static int64_t MeasuredAgainst(const Alert& alert, Leg leg, int64_t price);

  static void Arm(Alert& alert, const Symbol& symbol);
  static void TakeArmingPrice(Alert& alert, const PricePoint& arming);
  static void TakeCountedPrice(Alert& alert, const PricePoint& point);
  static void TakeIntoExtreme(Alert& alert, int64_t price);
  static void TakeSide(Alert& alert, int64_t price);
  static void TakeValueOfDate(Alert& alert, const Symbol& symbol);
  // Takes an accepted quote into its symbol's date, and says what it shows beyond it.
  Gap TakeIntoDate(Symbol& symbol, const record::Quote& quote) const;

  // What an accepted quote does to one alert of its symbol, once the quote has entered the symbol's date: a trigger, of
  // which the caller fills in what does not depend on the price.
  static std::optional<record::Trigger> TakeQuote(Alert& alert, const absl::CivilDay& date, const record::Quote& quote,
                                                  const Gap& gap);
  // Evaluates a price that counts; what it was measured against if it triggers.
  static std::optional<int64_t> Evaluate(Alert& alert, const PricePoint& point, const absl::CivilDay& date);
  static bool IsSwallowed(const Alert& alert, int64_t event_time_us, const absl::CivilDay& date);
  // Spends what is ready and whose level is true at the price; which of these triggers, if one does.
  static std::optional<Leg> SpendEdges(Alert& alert, const PricePoint& point, const absl::CivilDay& date);
  static void MakeReady(Alert& alert, int64_t price);
  // Triggers at the price; what it was measured against.
  static int64_t TriggerAt(Alert& alert, Leg leg, const PricePoint& point, const absl::CivilDay& date);

  static bool IsTestedInGaps(const Alert& alert);
  static bool IsEdge(Alert& alert, const PricePoint& point, const absl::CivilDay& date);
  // The high or low of a gap that is an edge, and comes first.
  static std::optional<PricePoint> FirstEdgeOf(Alert& alert, const Gap& gap, int64_t event_time_us,
                                               const absl::CivilDay& date);
  static void TakeGapPrice(Alert& alert, const PricePoint& point, bool is_high, const absl::CivilDay& date);
  static void TakePriceAfterLateTrigger(Alert& alert, const PricePoint& point);

  static void ScaleDefinition(Alert& alert, const record::Split& split);
  static void ScaleArmed(Armed& armed, const record::Split& split);

  absl::TimeZone time_zone_;
  std::map<std::string, Symbol> symbols_;
  std::map<std::string, Alert> alerts_;                     // Deleted ones stay, as tombstones.
  std::map<std::string, std::vector<record::Event>> held_;  // By symbol: what has come since its suspicion.
};

}  // namespace stockalert::auditor
