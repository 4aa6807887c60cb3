#include "services/fetcher/replay_file.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <sstream>
#include <string_view>
#include <unordered_map>

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
#include "services/common/log/log.h"
#include "services/domain/market/date_figures.h"
#include "services/domain/market/exchange_date.h"
#include "services/domain/market/symbol.h"
#include "services/domain/market/trading_calendar.h"
#include "services/domain/price/decimal.h"
#include "services/domain/record/definition_codec.h"
#include "services/fetcher/publisher.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;

constexpr int64_t kRefusedShownMax = 5;
// 16 million quotes of 24 bytes: what fits into memory without thinking.
constexpr size_t kTicksMax = 16'000'000;
constexpr char kAbsent[] = "";

struct Columns {
  std::string time, symbol, price, open, high, low, close;
  bool is_bars() const { return !open.empty(); }
};

struct Row {
  int64_t begin_us = 0;
  std::optional<int32_t> date;  // A daily bar.
  uint32_t symbol = 0;
  std::array<int64_t, 4> prices{};  // As quotes follow each other; ticks have one.
};

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
  columns.symbol = find({"symbol", "ticker"});
  columns.open = find({"open"});
  columns.high = find({"high"});
  columns.low = find({"low"});
  columns.close = find({"close"});
  columns.price = find({"price"});
  const bool bars = !columns.open.empty() && !columns.high.empty() && !columns.low.empty() && !columns.close.empty();
  if (!bars) columns.open.clear();
  if (columns.time.empty() || (!bars && columns.price.empty())) {
    return absl::InvalidArgumentError(
        "the header line must name a time (time_ms, time, timestamp, datetime or date) and either open, high, low and "
        "close, or price");
  }
  return columns;
}

struct Moment {
  int64_t us = 0;
  std::optional<int32_t> date;
};

std::optional<Moment> ParseMoment(std::string_view text) {
  if (text.empty()) return std::nullopt;
  if (text.find_first_not_of("0123456789") == std::string_view::npos) {
    int64_t number = 0;
    if (!absl::SimpleAtoi(absl::string_view(text.data(), text.size()), &number)) return std::nullopt;
    const int64_t unit = text.size() >= 12 ? 1'000 : 1'000'000;
    if (number > std::numeric_limits<int64_t>::max() / unit) return std::nullopt;
    return Moment{number * unit, std::nullopt};
  }
  if (text.size() == 10) {
    absl::CivilDay day;
    if (!absl::ParseCivilTime(absl::string_view(text.data(), text.size()), &day)) return std::nullopt;
    const auto date = static_cast<int32_t>(day - absl::CivilDay(1970, 1, 1));
    return Moment{market::NominalDayOfDate(date).open_us, date};
  }
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, absl::string_view(text.data(), text.size()), &time, &error))
    return std::nullopt;
  return Moment{absl::ToUnixMicros(time), std::nullopt};
}

std::string SymbolOfName(const std::string& name) {
  const size_t slash = name.rfind('/');
  const std::string base = slash == std::string::npos ? name : name.substr(slash + 1);
  return base.substr(0, base.find_first_of("-_."));
}

class Reader {
 public:
  Reader(std::string name, std::string default_symbol)
      : name_(std::move(name)), default_symbol_(std::move(default_symbol)) {}

  absl::StatusOr<ReplayFile> Read(const std::string& contents) {
    const absl::StatusOr<Columns> columns = FindColumns(std::string_view(contents).substr(0, contents.find('\n')));
    if (!columns.ok()) return Wrong(columns.status().message());
    try {
      std::istringstream in(contents);
      io::CSVReader<7, io::trim_chars<' ', '\t', '\r'>, io::double_quote_escape<',', '"'>> csv(name_, in);
      // A column that is not there has a name that no header can have.
      const auto name_of = [](const std::string& column) { return column.empty() ? std::string("\x01") : column; };
      csv.read_header(io::ignore_extra_column | io::ignore_missing_column, name_of(columns->time),
                      name_of(columns->symbol), name_of(columns->price), name_of(columns->open), name_of(columns->high),
                      name_of(columns->low), name_of(columns->close));
      for (;;) {
        const char *time = kAbsent, *symbol = kAbsent, *price = kAbsent, *open = kAbsent, *high = kAbsent,
                   *low = kAbsent, *close = kAbsent;
        const char* wrong = nullptr;
        try {
          if (!csv.read_row(time, symbol, price, open, high, low, close)) break;
          wrong = AddRow(*columns, time, symbol, price, open, high, low, close);
        } catch (const io::error::too_few_columns&) {
          wrong = "fewer columns than the header";
        } catch (const io::error::too_many_columns&) {
          wrong = "more columns than the header";
        }
        if (wrong != nullptr) Refuse(csv.get_file_line(), wrong);
        if (rows_.size() * 4 > kTicksMax) return Wrong("has more prices than a replay takes (16 million)");
      }
    } catch (const std::exception& error) {
      return Wrong(error.what());
    }
    if (rows_.empty()) return Wrong("has no row with a price");
    file_.checksum = base::HexEncode(base::Sha256(contents)).substr(0, 16);
    Spread();
    FillDays();
    return std::move(file_);
  }

 private:
  absl::Status Wrong(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("the replay file ", name_, ": ", what));
  }

  void Refuse(unsigned line, const char* why) {
    if (++file_.rows_refused <= kRefusedShownMax) {
      log::Warning("a row of the replay file is left out", {{"file", name_}, {"line", line}, {"why", why}});
    }
  }

  // What is wrong with it, or null.
  const char* AddRow(const Columns& columns, const char* time, const char* symbol, const char* price, const char* open,
                     const char* high, const char* low, const char* close) {
    const std::optional<Moment> moment = ParseMoment(time);
    if (!moment || moment->us <= 0) return "no time that can be read";
    Row row;
    row.begin_us = moment->us;
    row.date = moment->date;
    if (columns.is_bars()) {
      const auto o = price::ParsePrice(open), h = price::ParsePrice(high), l = price::ParsePrice(low),
                 c = price::ParsePrice(close);
      if (!o.ok() || !h.ok() || !l.ok() || !c.ok()) return "a price that is none";
      if (*h < std::max(*o, *c) || *l > std::min(*o, *c)) return "a high below or a low above its own prices";
      row.prices = *c >= *o ? std::array<int64_t, 4>{*o, *l, *h, *c} : std::array<int64_t, 4>{*o, *h, *l, *c};
    } else {
      const auto tick = price::ParsePrice(price);
      if (!tick.ok()) return "a price that is none";
      row.prices[0] = *tick;
    }
    const auto normal = market::NormalizeSymbol(columns.symbol.empty() ? default_symbol_ : std::string(symbol));
    if (!normal) return columns.symbol.empty() ? "no symbol: name it with --replay_symbol" : "a symbol that is none";
    const auto [found, fresh] = symbol_ids_.emplace(*normal, static_cast<uint32_t>(file_.symbols.size()));
    if (fresh) file_.symbols.push_back(*normal);
    row.symbol = found->second;
    bars_ = columns.is_bars();
    rows_.push_back(row);
    return nullptr;
  }

  // The shortest distance between two bars of a symbol is their length.
  int64_t BarLengthUs() const {
    int64_t length_us = int64_t{24} * 3600 * 1'000'000;
    std::unordered_map<uint32_t, int64_t> before;
    for (const Row& row : rows_) {
      const auto found = before.find(row.symbol);
      if (found != before.end() && row.begin_us > found->second)
        length_us = std::min(length_us, row.begin_us - found->second);
      before[row.symbol] = row.begin_us;
    }
    return length_us;
  }

  void Spread() {
    std::stable_sort(rows_.begin(), rows_.end(), [](const Row& a, const Row& b) { return a.begin_us < b.begin_us; });
    const int64_t bar_us = bars_ ? BarLengthUs() : 0;
    for (const Row& row : rows_) {
      if (!bars_) {
        file_.ticks.push_back({row.begin_us, row.prices[0], row.symbol, 0});
        continue;
      }
      int64_t step_us = bar_us / 4;
      if (row.date) {
        const market::TradingDay day =
            market::TradingDayOfDate(*row.date).value_or(market::NominalDayOfDate(*row.date));
        step_us = (day.close_us - day.open_us) / 3;
      }
      for (int i = 0; i < 4; ++i) file_.ticks.push_back({row.begin_us + i * step_us, row.prices[i], row.symbol, 0});
    }
    const auto by_time = [](const ReplayTick& a, const ReplayTick& b) { return a.event_time_us < b.event_time_us; };
    std::stable_sort(file_.ticks.begin(), file_.ticks.end(), by_time);
    std::vector<int64_t> last_us(file_.symbols.size(), 0);
    for (ReplayTick& tick : file_.ticks) {
      tick.event_time_us = std::max(tick.event_time_us, last_us[tick.symbol] + 1);
      last_us[tick.symbol] = tick.event_time_us;
    }
    std::stable_sort(file_.ticks.begin(), file_.ticks.end(), by_time);
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
  ReplayFile file_;
  std::vector<Row> rows_;
  std::unordered_map<std::string, uint32_t> symbol_ids_;
  bool bars_ = false;
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

absl::StatusOr<ReplayFile> ReadReplayStream(std::istream& in, const std::string& name, const std::string& symbol) {
  const std::string contents{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) return absl::NotFoundError(absl::StrCat("the replay file ", name, " cannot be read"));
  return Reader(name, symbol.empty() ? SymbolOfName(name) : symbol).Read(contents);
}

absl::StatusOr<ReplayFile> ReadReplayFile(const std::string& path, const std::string& symbol) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat("the replay file ", path, " cannot be read: see --file"));
  return ReadReplayStream(in, path, symbol);
}

}  // namespace stockalert::fetcher
