#include "services/fetcher/replay_file.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string_view>
#include <unordered_map>
#include <utility>

// Its reader thread is not wanted: the files are small.
#define CSV_IO_NO_THREAD
#pragma GCC diagnostic push
// It copies a file's name with strncpy and ends it itself.
#pragma GCC diagnostic ignored "-Wstringop-truncation"
#include <libfccp/csv.h>
#pragma GCC diagnostic pop

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/domain/market/date_figures.h"
#include "services/domain/market/exchange_date.h"
#include "services/domain/market/symbol.h"
#include "services/domain/market/trading_calendar.h"
#include "services/domain/price/decimal.h"
#include "services/domain/price/rounding.h"
#include "services/domain/record/definition_codec.h"
#include "services/fetcher/publisher.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;

constexpr int64_t kRefusedShownMax = 5;
// 16 million quotes of 24 bytes: what fits into memory without thinking.
constexpr size_t kTicksMax = 16'000'000;
constexpr size_t kShownCharactersMax = 40;
constexpr char kAbsent[] = "";
constexpr char kByteOrderMark[] = "\xEF\xBB\xBF";

constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kMinuteUs = 60 * kSecondUs;
constexpr int64_t kHourUs = 60 * kMinuteUs;
constexpr int64_t kDayUs = 24 * kHourUs;
// Two daily bars are further apart than this: from the close of one to that of a short day, 21 hours.
constexpr int64_t kDailyDistanceMinUs = 18 * kHourUs;

constexpr char kTimeForms[] =
    "write a date as 2024-01-31, 2024/01/31 or 20240131, or a time as 2024-01-31T14:30:00Z, 2024-01-31 09:30:00-05:00, "
    "or in seconds (9 or 10 digits), milliseconds (12, 13), microseconds (15, 16) or nanoseconds (18, 19) since 1970";
constexpr char kHeaderForms[] =
    "the header line must name, separated by commas, a time (time_ms, time, timestamp, datetime or date) and either "
    "open, high, low and close (or close/last, or price), or price; and, for more than one symbol, a symbol (symbol, "
    "ticker, code or name)";

struct Columns {
  std::string time, symbol, price, open, high, low, close;
  bool is_bars() const { return !open.empty(); }
};

struct Row {
  unsigned line = 0;
  int64_t begin_us = 0;
  int64_t length_us = 0;        // Of an intraday bar.
  std::optional<int32_t> date;  // A daily bar.
  // Where the time was a midnight, in UTC or as it was written: that of its date.
  std::optional<int32_t> midnight_of;
  uint32_t symbol = 0;
  std::array<int64_t, 4> prices{};  // As quotes follow each other; ticks have one.
};

// A field of the file as a message shows it.
std::string Shown(std::string_view text) {
  std::string shown(text.substr(0, kShownCharactersMax));
  for (char& c : shown) c = std::iscntrl(static_cast<unsigned char>(c)) ? '?' : c;
  return "\"" + shown + (text.size() > kShownCharactersMax ? "...\"" : "\"");
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

// The columns by their role, as the header spells them.
absl::StatusOr<Columns> FindColumns(std::string_view header) {
  std::map<std::string, std::string> by_name;
  while (!header.empty()) {
    const size_t comma = header.find(',');
    std::string_view name = header.substr(0, comma);
    header = comma == std::string_view::npos ? std::string_view() : header.substr(comma + 1);
    while (!name.empty() && std::string_view(" \t\r\n\"").find(name.front()) != std::string_view::npos)
      name.remove_prefix(1);
    while (!name.empty() && std::string_view(" \t\r\n\"").find(name.back()) != std::string_view::npos)
      name.remove_suffix(1);
    if (!by_name.emplace(Lower(name), name).second) {
      return absl::InvalidArgumentError(absl::StrCat("the column ", std::string(name), " is there twice"));
    }
  }
  const auto find = [&](std::initializer_list<const char*> names) -> std::string {
    for (const char* name : names) {
      if (const auto found = by_name.find(name); found != by_name.end()) return found->second;
    }
    return "";
  };
  Columns columns;
  columns.time = find({"time_ms", "time", "timestamp", "datetime", "date"});
  columns.symbol = find({"symbol", "ticker", "code", "name"});
  columns.open = find({"open"});
  columns.high = find({"high"});
  columns.low = find({"low"});
  columns.close = find({"close", "close/last"});
  columns.price = find({"price"});
  if (columns.time.empty()) return absl::InvalidArgumentError(absl::StrCat("it names no time: ", kHeaderForms));
  const int bars = !columns.open.empty() + !columns.high.empty() + !columns.low.empty();
  // Beside the other three of a bar, a price is its close.
  if (bars == 3 && columns.close.empty()) columns.close = std::exchange(columns.price, "");
  if (bars == 3 && !columns.close.empty()) return columns;
  if (bars > 0) return absl::InvalidArgumentError(absl::StrCat("it names a part of a bar's prices: ", kHeaderForms));
  if (columns.price.empty()) return absl::InvalidArgumentError(absl::StrCat("it names no price: ", kHeaderForms));
  columns.close.clear();
  return columns;
}

struct Moment {
  int64_t us = 0;
  std::optional<int32_t> date;
  std::optional<int32_t> midnight_of;
};

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

bool IsDigits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Of a date in the form "2013-05-13".
std::optional<Moment> MomentOfDate(const std::string& text) {
  absl::CivilDay day;
  if (!absl::ParseCivilTime(text, &day) || day.year() < 1900 || day.year() > 2286) return std::nullopt;
  const auto date = static_cast<int32_t>(day - absl::CivilDay(1970, 1, 1));
  return Moment{market::NominalDayOfDate(date).open_us, date, std::nullopt};
}

// Of twelve digits that are a date and a time without a zone, as in 202401310930. As milliseconds they would be of
// 1976.
bool LooksLikeMinute(std::string_view digits) {
  const auto number = [&](size_t begin) { return (digits[begin] - '0') * 10 + (digits[begin + 1] - '0'); };
  return (number(0) == 19 || number(0) == 20) && number(4) >= 1 && number(4) <= 12 && number(6) >= 1 &&
         number(6) <= 31 && number(8) < 24 && number(10) < 60;
}

// Of a count since 1970, in the unit that makes it a time between 1973 and 2286.
std::optional<Moment> MomentOfCount(std::string_view whole, std::string_view fraction) {
  int64_t count = 0;
  if (!absl::SimpleAtoi(View(whole), &count)) return std::nullopt;
  int64_t us = 0;
  switch (whole.size()) {
    case 9:
    case 10:
      us = count * kSecondUs;
      break;
    case 12:
      if (LooksLikeMinute(whole)) return std::nullopt;
      [[fallthrough]];
    case 13:
      us = count * 1'000;
      break;
    case 15:
    case 16:
      us = count;
      break;
    case 18:
    case 19:
      us = count / 1'000;
      break;
    default:
      return std::nullopt;
  }
  if (!fraction.empty()) {
    if (!IsDigits(fraction) || whole.size() > 10) return std::nullopt;
    std::string micros(fraction.substr(0, 6));
    micros.append(6 - micros.size(), '0');
    int64_t more_us = 0;
    if (!absl::SimpleAtoi(micros, &more_us)) return std::nullopt;
    us += more_us;
  }
  Moment moment{us, std::nullopt, std::nullopt};
  if (us % kDayUs == 0) moment.midnight_of = static_cast<int32_t>(us / kDayUs);
  return moment;
}

std::optional<Moment> ParseMoment(std::string_view text) {
  if (IsDigits(text.substr(0, text.find('.')))) {
    if (text.size() == 8) {
      return MomentOfDate(
          absl::StrCat(View(text.substr(0, 4)), "-", View(text.substr(4, 2)), "-", View(text.substr(6))));
    }
    const size_t point = text.find('.');
    if (point == text.size() - 1) return std::nullopt;
    return MomentOfCount(text.substr(0, point),
                         point == std::string_view::npos ? std::string_view() : text.substr(point + 1));
  }
  // What is left begins with a date.
  if (text.size() < 10 || !IsDigits(text.substr(0, 4)) || text[4] != text[7] || (text[4] != '-' && text[4] != '/'))
    return std::nullopt;
  std::string normal(text);
  normal[4] = normal[7] = '-';
  if (normal.size() == 10) return MomentOfDate(normal);
  if (normal[10] == ' ') normal[10] = 'T';
  const std::string_view clock = std::string_view(normal).substr(10);
  if (clock == "T00:00:00" || clock == "T00:00") return MomentOfDate(normal.substr(0, 10));
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, normal, &time, &error)) return std::nullopt;
  Moment moment{absl::ToUnixMicros(time), std::nullopt, std::nullopt};
  // As it was written, in whatever zone that was.
  if (clock.substr(0, 9) == "T00:00:00" && moment.us % kSecondUs == 0) {
    const std::optional<Moment> day = MomentOfDate(normal.substr(0, 10));
    if (day) moment.midnight_of = day->date;
  }
  return moment;
}

std::string SymbolOfName(const std::string& name) {
  const size_t slash = name.rfind('/');
  const std::string base = slash == std::string::npos ? name : name.substr(slash + 1);
  return base.substr(0, base.find_first_of("-_."));
}

class Reader {
 public:
  Reader(std::string name, std::string default_symbol, std::optional<int> decimals)
      : name_(std::move(name)), default_symbol_(std::move(default_symbol)), decimals_(decimals) {}

  absl::StatusOr<ReplayFile> Read(const std::string& contents) {
    std::string_view text = contents;
    if (text.substr(0, 2) == "\xFF\xFE" || text.substr(0, 2) == "\xFE\xFF") return Wrong("is UTF-16: save it as UTF-8");
    if (text.substr(0, 3) == kByteOrderMark) text.remove_prefix(3);
    const absl::StatusOr<Columns> columns = FindColumns(text.substr(0, text.find('\n')));
    if (!columns.ok()) return Wrong(absl::StrCat("line 1: ", columns.status().message()));
    bars_ = columns->is_bars();
    named_ = !columns->symbol.empty();
    try {
      std::istringstream in{std::string(text)};
      io::CSVReader<7, io::trim_chars<' ', '\t', '\r'>, io::double_quote_escape<',', '"'>> csv(name_, in);
      // A column that is not there has a name that no header can have.
      const auto name_of = [](const std::string& column) { return column.empty() ? std::string("\x01") : column; };
      csv.read_header(io::ignore_extra_column | io::ignore_missing_column, name_of(columns->time),
                      name_of(columns->symbol), name_of(columns->price), name_of(columns->open), name_of(columns->high),
                      name_of(columns->low), name_of(columns->close));
      for (;;) {
        const char *time = kAbsent, *symbol = kAbsent, *price = kAbsent, *open = kAbsent, *high = kAbsent,
                   *low = kAbsent, *close = kAbsent;
        std::optional<std::string> wrong;
        try {
          if (!csv.read_row(time, symbol, price, open, high, low, close)) break;
          wrong = AddRow(csv.get_file_line(), time, symbol, price, {open, high, low, close});
        } catch (const io::error::too_few_columns&) {
          wrong = "it has fewer columns than the header";
        } catch (const io::error::too_many_columns&) {
          wrong = "it has more columns than the header: write numbers without commas, or in quotes";
        }
        ++file_.rows;
        if (wrong) Refuse(csv.get_file_line(), *wrong);
        if (rows_.size() * PricesOfRow() > kTicksMax) return Wrong("has more prices than a replay takes (16 million)");
      }
    } catch (const std::exception& error) {
      return Wrong(error.what());
    }
    if (line_without_zone_ != 0 && line_of_midnight_ != 0) {
      return Wrong(absl::StrCat("line ", line_without_zone_,
                                " has a time without a zone, so that the midnight in line ", line_of_midnight_,
                                " is no date: ", kTimeForms));
    }
    if (bars_) STOCKALERT_RETURN_IF_ERROR(LeaveOutSecondBars());
    if (rows_.empty()) return Wrong(first_refusal_.empty() ? "has no row below its header line" : first_refusal_);
    // Rounded prices are another replay.
    const std::string rounding = decimals_ ? absl::StrCat("\nreplay_decimals=", *decimals_) : "";
    file_.checksum = base::HexEncode(base::Sha256(contents + rounding)).substr(0, 16);
    if (bars_) FindLengths();
    Spread();
    FillDays();
    return std::move(file_);
  }

 private:
  absl::Status Wrong(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("the replay file ", name_, ": ", what));
  }

  void Refuse(unsigned line, const std::string& why) {
    if (first_refusal_.empty())
      first_refusal_ = absl::StrCat("no row of it can be read, beginning with line ", line, ": ", why);
    if (++file_.rows_refused <= kRefusedShownMax) {
      log::Warning("a row of the replay file is left out", {{"file", name_}, {"line", line}, {"why", why}});
    }
  }

  absl::StatusOr<int64_t> ParsePrice(const char* text) {
    absl::StatusOr<int64_t> exact = price::ParsePrice(text);
    if (!decimals_) {
      // Only what has too many decimals is a price when it is rounded.
      if (exact.ok() || !price::ParseMicrosRounded(text, price::kRoundedDecimalsMax).ok()) return exact;
      return absl::InvalidArgumentError(
          absl::StrCat(exact.status().message(), ": --replay_decimals=4 would round prices to four decimals"));
    }
    absl::StatusOr<int64_t> rounded = price::ParseMicrosRounded(text, *decimals_);
    if (!rounded.ok()) return rounded;
    if (*rounded <= 0) return absl::InvalidArgumentError("must be above zero, also when it is rounded");
    if (!exact.ok() || *exact != *rounded) ++file_.prices_rounded;
    return rounded;
  }

  size_t PricesOfRow() const { return bars_ ? 4 : 1; }

  // What is wrong with it, if anything.
  std::optional<std::string> AddRow(unsigned line, const char* time, const char* symbol, const char* price,
                                    const std::array<const char*, 4>& bar) {
    const std::optional<Moment> moment = ParseMoment(time);
    if (!moment) {
      if (line_without_zone_ == 0 && ParseMoment(absl::StrCat(time, "Z"))) line_without_zone_ = line;
      return absl::StrCat("its time is ", Shown(time), ": ", kTimeForms);
    }
    if (line_of_midnight_ == 0 && moment->date && std::string_view(time).find(':') != std::string_view::npos)
      line_of_midnight_ = line;
    if (moment->us <= 0) return absl::StrCat("its time is ", Shown(time), ": prices are of 1970 or later");
    Row row;
    row.line = line;
    row.begin_us = moment->us;
    row.date = moment->date;
    row.midnight_of = moment->midnight_of;
    std::array<int64_t, 4> prices{};
    for (size_t i = 0; i < PricesOfRow(); ++i) {
      const char* text = bars_ ? bar[i] : price;
      const absl::StatusOr<int64_t> micros = ParsePrice(text);
      if (!micros.ok()) return absl::StrCat("its price ", Shown(text), " ", micros.status().message());
      prices[i] = *micros;
    }
    const auto& [o, h, l, c] = prices;
    if (bars_) {
      if (h < std::max(o, c) || l > std::min(o, c)) return "its high is below or its low above its own prices";
      row.prices = c >= o ? std::array<int64_t, 4>{o, l, h, c} : std::array<int64_t, 4>{o, h, l, c};
    } else {
      row.prices[0] = o;
    }
    const auto normal = market::NormalizeSymbol(named_ ? std::string(symbol) : default_symbol_);
    if (!normal && !named_) return "it names no symbol, and the file's name is none: give one with --replay_symbol";
    if (!normal) return absl::StrCat("its symbol is ", Shown(symbol), ": it ", market::kSymbolRule);
    const auto [found, fresh] = symbol_ids_.emplace(*normal, static_cast<uint32_t>(file_.symbols.size()));
    if (fresh) file_.symbols.push_back(*normal);
    row.symbol = found->second;
    rows_.push_back(row);
    return std::nullopt;
  }

  // Puts the rows in order. Of two bars of a symbol and a time one is too many; where no column names a symbol, they
  // may well be of two.
  absl::Status LeaveOutSecondBars() {
    std::stable_sort(rows_.begin(), rows_.end(), [](const Row& a, const Row& b) {
      return std::pair(a.symbol, a.begin_us) < std::pair(b.symbol, b.begin_us);
    });
    std::vector<Row> kept;
    kept.reserve(rows_.size());
    for (const Row& row : rows_) {
      if (kept.empty() || kept.back().symbol != row.symbol || kept.back().begin_us != row.begin_us) {
        kept.push_back(row);
        continue;
      }
      if (!named_ && kept.back().prices != row.prices) {
        return Wrong(absl::StrCat("lines ", kept.back().line, " and ", row.line,
                                  " have two bars of one time: if they are of two symbols, name their column symbol, "
                                  "ticker, code or name"));
      }
      Refuse(row.line, absl::StrCat("line ", kept.back().line, " has a bar of the same symbol and time"));
    }
    rows_ = std::move(kept);
    return absl::OkStatus();
  }

  market::Market MarketOf(const Row& row) const { return market::MarketOf(file_.symbols[row.symbol]); }

  // The date of a bar that may be a daily one.
  int32_t DateOf(const Row& row) const {
    if (row.date) return *row.date;
    return row.midnight_of.value_or(market::DayOf(MarketOf(row), market::kNewestRules, row.begin_us).date);
  }

  // How long after its date's begin a bar is stamped.
  int64_t StampUs(const Row& row) const {
    if (row.midnight_of) return 0;
    return row.begin_us - market::DayOf(MarketOf(row), market::kNewestRules, row.begin_us).begin_us;
  }

  // What the distances between bars say, which are in order of symbol and time.
  struct Distances {
    int64_t dates = 0;         // Of each symbol.
    int64_t dates_of_one = 0;  // With one bar, and none near to it on another date.
    bool one_stamp = true;     // The first bars of all dates are stamped alike.
    // Lengths, and how many bars are so far from the one before: of the same date, and of another but near.
    std::map<int64_t, int64_t> within, across;
  };
  Distances MeasureDistances() const {
    Distances measured;
    bool near_before = false;
    for (size_t i = 0; i < rows_.size();) {
      const int32_t date = DateOf(rows_[i]);
      size_t end = i + 1;
      for (; end < rows_.size() && rows_[end].symbol == rows_[i].symbol && DateOf(rows_[end]) == date; ++end)
        ++measured.within[rows_[end].begin_us - rows_[end - 1].begin_us];
      bool near_after = false;
      if (end < rows_.size() && rows_[end].symbol == rows_[i].symbol) {
        const int64_t distance_us = rows_[end].begin_us - rows_[end - 1].begin_us;
        near_after = distance_us < kDailyDistanceMinUs;
        if (near_after) ++measured.across[distance_us];
      }
      ++measured.dates;
      if (end == i + 1 && !near_before && !near_after) ++measured.dates_of_one;
      measured.one_stamp = measured.one_stamp && StampUs(rows_[i]) == StampUs(rows_.front());
      near_before = near_after;
      i = end;
    }
    return measured;
  }

  // A daily file may have a second row of a date, such as one of the moment at which it was fetched.
  bool IsDaily(const Distances& measured) const {
    const auto seconds = static_cast<int64_t>(rows_.size()) - measured.dates;
    if (measured.dates_of_one * 2 < measured.dates) return false;
    return seconds == 0 || (measured.one_stamp && seconds <= std::max<int64_t>(1, measured.dates / 4));
  }

  // Makes bars daily ones or gives them their length.
  void FindLengths() {
    const Distances measured = MeasureDistances();
    const bool daily = IsDaily(measured);
    const int64_t length_us = UsualLengthUs(measured.within.empty() ? measured.across : measured.within);
    for (size_t i = 0; i < rows_.size(); ++i) {
      Row& row = rows_[i];
      const bool second = i > 0 && rows_[i - 1].symbol == row.symbol && DateOf(rows_[i - 1]) == DateOf(row);
      if (daily && !second) row.date = DateOf(row);
      if (row.date) continue;
      row.length_us = std::min(length_us, EndOf(row) - row.begin_us);
      if (i + 1 < rows_.size() && rows_[i + 1].symbol == row.symbol)
        row.length_us = std::min(row.length_us, rows_[i + 1].begin_us - row.begin_us);
    }
  }

  // Most of the distances; of several as frequent ones the shortest of whole minutes, else the longest.
  static int64_t UsualLengthUs(const std::map<int64_t, int64_t>& distances) {
    int64_t most = 0, length_us = kDayUs;
    for (const auto& [distance_us, count] : distances) {
      if (count < most || (count == most && length_us % kMinuteUs == 0)) continue;
      most = count;
      length_us = distance_us;
    }
    return length_us;
  }

  // Where an intraday bar ends at the latest.
  int64_t EndOf(const Row& row) const {
    const int64_t date_end_us = market::DayOf(MarketOf(row), market::kNewestRules, row.begin_us).end_us;
    if (MarketOf(row) == market::Market::kRoundTheClock) return date_end_us;
    const std::optional<market::TradingDay> day = market::TradingDayOf(row.begin_us);
    if (!day || row.begin_us >= day->post_end_us) return date_end_us;
    return row.begin_us < day->close_us ? day->close_us : day->post_end_us;
  }

  void AddDailyBar(const Row& row) {
    int64_t open_us = int64_t{*row.date} * kDayUs;
    int64_t close_us = open_us + kDayUs - 1;
    if (MarketOf(row) == market::Market::kUsEquity) {
      const market::TradingDay day = market::TradingDayOfDate(*row.date).value_or(market::NominalDayOfDate(*row.date));
      open_us = day.open_us;
      close_us = day.close_us;
    }
    for (int i = 0; i < 4; ++i)
      file_.ticks.push_back({open_us + i * (close_us - open_us) / 3, row.prices[i], row.symbol, 0});
  }

  void Spread() {
    for (const Row& row : rows_) {
      if (!bars_) {
        file_.ticks.push_back({row.begin_us, row.prices[0], row.symbol, 0});
      } else if (row.date) {
        AddDailyBar(row);
      } else {
        for (int i = 0; i < 4; ++i)
          file_.ticks.push_back({row.begin_us + i * row.length_us / 4, row.prices[i], row.symbol, 0});
      }
    }
    std::stable_sort(file_.ticks.begin(), file_.ticks.end(),
                     [](const ReplayTick& a, const ReplayTick& b) { return a.event_time_us < b.event_time_us; });
  }

  void FillDays() {
    struct Symbol {
      std::optional<uint32_t> day;
      std::optional<int64_t> last_regular_micros;
    };
    std::vector<Symbol> symbols(file_.symbols.size());
    for (ReplayTick& tick : file_.ticks) {
      Symbol& symbol = symbols[tick.symbol];
      const market::Market market = market::MarketOf(file_.symbols[tick.symbol]);
      const int32_t date = market::DayOf(market, market::kNewestRules, tick.event_time_us).date;
      if (!symbol.day || file_.days[*symbol.day].date != date) {
        symbol.day = static_cast<uint32_t>(file_.days.size());
        file_.days.push_back({date, std::nullopt, symbol.last_regular_micros});
      }
      tick.day = *symbol.day;
      if (market::SessionOf(market, tick.event_time_us) == market::Session::kRegular) {
        ReplayDay& day = file_.days[*symbol.day];
        if (!day.open_micros) day.open_micros = tick.price_micros;
        symbol.last_regular_micros = tick.price_micros;
      }
    }
  }

  const std::string name_;
  const std::string default_symbol_;
  const std::optional<int> decimals_;
  ReplayFile file_;
  std::vector<Row> rows_;
  std::unordered_map<std::string, uint32_t> symbol_ids_;
  std::string first_refusal_;
  // The first lines with a clock and no zone, and with midnight and no zone, which alone is a date; 0: none.
  unsigned line_without_zone_ = 0;
  unsigned line_of_midnight_ = 0;
  bool bars_ = false;
  bool named_ = false;  // A column says of which symbol a row is.
};

}  // namespace

pb::QuoteRecord ReplayFile::QuoteOf(const ReplayTick& tick) const {
  pb::QuoteRecord quote;
  quote.set_symbol(symbols[tick.symbol]);
  quote.set_price_micros(tick.price_micros);
  quote.set_event_time_us(tick.event_time_us);
  quote.set_session(record::EncodeSession(market::SessionOf(market::MarketOf(quote.symbol()), tick.event_time_us)));
  quote.set_source(kSourceReplay);
  const ReplayDay& day = days[tick.day];
  // Before the open nobody knows the date's figures; out of all sessions they may be of another date.
  if (quote.session() == pb::TRADING_SESSION_REGULAR || quote.session() == pb::TRADING_SESSION_POST) {
    if (day.open_micros) quote.set_day_open_micros(*day.open_micros);
    if (day.previous_close_micros) quote.set_previous_close_micros(*day.previous_close_micros);
  }
  return quote;
}

absl::StatusOr<ReplayFile> ReadReplayStream(std::istream& in, const std::string& name, const std::string& symbol,
                                            std::optional<int> decimals) {
  const std::string contents{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) return absl::NotFoundError(absl::StrCat("the replay file ", name, " cannot be read"));
  return Reader(name, symbol.empty() ? SymbolOfName(name) : symbol, decimals).Read(contents);
}

absl::StatusOr<ReplayFile> ReadReplayFile(const std::string& path, const std::string& symbol,
                                          std::optional<int> decimals) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat("the replay file ", path, " cannot be read: see --file"));
  return ReadReplayStream(in, path, symbol, decimals);
}

}  // namespace stockalert::fetcher
