#include "services/ticker/postgres_price_store.h"

#include <soci/soci.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/store_failure.h"
#include "services/common/postgres/transaction.h"

namespace stockalert::ticker {
namespace {

using internal::v1::QuoteRecord;
using postgres::Connection;
using postgres::Idempotency;
using postgres::StoreFailure;
using postgres::Transact;
using soci::into;
using soci::use;

constexpr size_t kRowsAStatementMax = 1000;
// Stands for NULL on the way out of the database: no price and no event time is negative.
constexpr long long kNull = -1;

std::optional<int64_t> FromColumn(long long value) {
  return value == kNull ? std::nullopt : std::optional<int64_t>(value);
}

// The columns of one statement, as arrays for unnest.
class Rows {
 public:
  void Add(const SymbolPrices& prices) {
    static const QuoteRecord kNone;
    const bool known = prices.latest.has_value();
    const QuoteRecord& quote = known ? *prices.latest : kNone;
    symbols_.push_back(prices.symbol);
    sources_.push_back(quote.source());
    const std::array<std::optional<int64_t>, kNumbers> numbers = {
        prices.publisher_epoch,
        prices.sequence,
        known ? std::optional<int64_t>(quote.event_time_us()) : std::nullopt,
        known ? std::optional<int64_t>(quote.price_micros()) : std::nullopt,
        static_cast<int64_t>(quote.session()),
        quote.has_day_open_micros() ? std::optional<int64_t>(quote.day_open_micros()) : std::nullopt,
        quote.has_day_high_micros() ? std::optional<int64_t>(quote.day_high_micros()) : std::nullopt,
        quote.has_day_low_micros() ? std::optional<int64_t>(quote.day_low_micros()) : std::nullopt,
        quote.has_previous_close_micros() ? std::optional<int64_t>(quote.previous_close_micros()) : std::nullopt,
        prices.regular_price_micros,
        prices.extended_price_micros,
        prices.previous_close_micros,
        prices.day_open_micros,
        prices.partition,
        prices.offset,
        prices.split_number,
        prices.hold.has_value() ? std::optional<int64_t>(prices.hold->start_time_us) : std::nullopt};
    for (size_t i = 0; i < kNumbers; ++i) numbers_[i].push_back(numbers[i]);
  }

  void Write(soci::session& sql) {
    const std::string symbols = postgres::TextArray(symbols_);
    const std::string sources = postgres::TextArray(sources_);
    std::array<std::string, kNumbers> arrays;
    for (size_t i = 0; i < kNumbers; ++i) arrays[i] = postgres::BigintArray(numbers_[i]);
    soci::statement statement(sql);
    statement.exchange(use(symbols, "symbols"));
    statement.exchange(use(sources, "sources"));
    for (size_t i = 0; i < kNumbers; ++i) statement.exchange(use(arrays[i], kNames[i]));
    statement.alloc();
    statement.prepare(
        "INSERT INTO stockalert_ticker.latest_prices AS kept (symbol, source, publisher_epoch, sequence, "
        "event_time_us, price_micros, "
        "  session, day_open_micros, day_high_micros, day_low_micros, previous_close_micros, regular_price_micros, "
        "  extended_price_micros, date_previous_close_micros, date_day_open_micros, log_partition, log_offset, "
        "  split_number, held_since_us) "
        "SELECT * FROM unnest(CAST(:symbols AS text[]), CAST(:sources AS text[]), CAST(:epochs AS bigint[]), "
        "  CAST(:sequences AS bigint[]), CAST(:times AS bigint[]), CAST(:prices AS bigint[]), CAST(:sessions AS "
        "smallint[]), "
        "  CAST(:opens AS bigint[]), CAST(:highs AS bigint[]), CAST(:lows AS bigint[]), CAST(:closes AS bigint[]), "
        "  CAST(:regulars AS bigint[]), CAST(:extendeds AS bigint[]), CAST(:date_closes AS bigint[]), CAST(:date_opens "
        "AS bigint[]), "
        "  CAST(:partitions AS integer[]), CAST(:offsets AS bigint[]), CAST(:splits AS bigint[]), "
        "  CAST(:holds AS bigint[])) "
        "ON CONFLICT (symbol) DO UPDATE SET source = EXCLUDED.source, publisher_epoch = EXCLUDED.publisher_epoch, "
        "  sequence = EXCLUDED.sequence, event_time_us = EXCLUDED.event_time_us, price_micros = EXCLUDED.price_micros, "
        "  session = EXCLUDED.session, day_open_micros = EXCLUDED.day_open_micros, day_high_micros = "
        "EXCLUDED.day_high_micros, "
        "  day_low_micros = EXCLUDED.day_low_micros, previous_close_micros = EXCLUDED.previous_close_micros, "
        "  regular_price_micros = EXCLUDED.regular_price_micros, extended_price_micros = "
        "EXCLUDED.extended_price_micros, "
        "  date_previous_close_micros = EXCLUDED.date_previous_close_micros, "
        "  date_day_open_micros = EXCLUDED.date_day_open_micros, log_partition = EXCLUDED.log_partition, "
        "  log_offset = EXCLUDED.log_offset, split_number = EXCLUDED.split_number, "
        "  held_since_us = EXCLUDED.held_since_us "
        "WHERE kept.log_offset < EXCLUDED.log_offset");
    statement.define_and_bind();
    statement.execute(true);
  }

 private:
  static constexpr size_t kNumbers = 17;
  static constexpr std::array<const char*, kNumbers> kNames = {
      "epochs",   "sequences", "times",       "prices",     "sessions",   "opens",   "highs",  "lows", "closes",
      "regulars", "extendeds", "date_closes", "date_opens", "partitions", "offsets", "splits", "holds"};
  std::vector<std::string> symbols_;
  std::vector<std::string> sources_;
  std::array<std::vector<std::optional<int64_t>>, kNumbers> numbers_;
};

// A bar's columns after its symbol, in the order of the table.
constexpr size_t kBarNumbers = 11;
using BarNumbers = std::array<long long, kBarNumbers>;

BarNumbers ToNumbers(const MinuteBar& bar) {
  return {bar.start_us,
          bar.open.price_micros,
          bar.open.event_time_us,
          bar.open.publisher_epoch,
          bar.open.sequence,
          bar.high_micros,
          bar.low_micros,
          bar.close.price_micros,
          bar.close.event_time_us,
          bar.close.publisher_epoch,
          bar.close.sequence};
}

MinuteBar FromNumbers(const BarNumbers& n) {
  return {.start_us = n[0],
          .open = {.price_micros = n[1], .event_time_us = n[2], .publisher_epoch = n[3], .sequence = n[4]},
          .high_micros = n[5],
          .low_micros = n[6],
          .close = {.price_micros = n[7], .event_time_us = n[8], .publisher_epoch = n[9], .sequence = n[10]}};
}

// MergeBar in SQL, of bars whose symbol's row is not beyond what this instance knows: `p`. Those that are there are of
// the same splits, after BringBarsForward.
std::string MergeBarsSql() {
  std::string sql =
      "INSERT INTO stockalert_ticker.bars AS kept (symbol, start_us, open_micros, open_time_us, open_epoch, "
      "open_sequence, high_micros, low_micros, close_micros, close_time_us, close_epoch, close_sequence, "
      "split_number) "
      "SELECT n.symbol, n.b0, n.b1, n.b2, n.b3, n.b4, n.b5, n.b6, n.b7, n.b8, n.b9, n.b10, n.split_number FROM unnest("
      "CAST(:symbols AS text[]), CAST(:offsets AS bigint[]), CAST(:splits AS bigint[])";
  std::string columns = "symbol, log_offset, split_number";
  for (size_t i = 0; i < kBarNumbers; ++i) {
    absl::StrAppend(&sql, ", CAST(:b", i, " AS bigint[])");
    absl::StrAppend(&columns, ", b", i);
  }
  absl::StrAppend(&sql, ") AS n(", columns,
                  ") JOIN stockalert_ticker.latest_prices p ON p.symbol = n.symbol AND p.log_offset <= n.log_offset "
                  "ON CONFLICT (symbol, start_us) DO UPDATE SET "
                  "high_micros = greatest(kept.high_micros, EXCLUDED.high_micros), "
                  "low_micros = least(kept.low_micros, EXCLUDED.low_micros)");
  const auto order = [](const char* row, const char* edge) {
    return absl::StrCat("(", row, ".", edge, "_time_us, ", row, ".", edge, "_epoch, ", row, ".", edge, "_sequence)");
  };
  for (const auto& [edge, is_before] : {std::pair("open", " < "), std::pair("close", " >= ")}) {
    for (const char* part : {"micros", "time_us", "epoch", "sequence"}) {
      absl::StrAppend(&sql, ", ", edge, "_", part, " = CASE WHEN ", order("EXCLUDED", edge), is_before,
                      order("kept", edge), " THEN EXCLUDED.", edge, "_", part, " ELSE kept.", edge, "_", part, " END");
    }
  }
  return sql;
}

// Writes bars, a statement's worth at a time; the places are those of their symbols.
class BarWriter {
 public:
  explicit BarWriter(soci::session& sql) : sql_(sql) {}

  void Write(const SymbolPrices& symbol, const MinuteBar& bar) {
    symbols_.push_back(symbol.symbol);
    offsets_.push_back(symbol.offset);
    splits_.push_back(symbol.split_number);
    const BarNumbers numbers = ToNumbers(bar);
    for (size_t i = 0; i < kBarNumbers; ++i) numbers_[i].push_back(numbers[i]);
    if (symbols_.size() == kRowsAStatementMax) Flush();
  }

  void Flush() {
    if (symbols_.empty()) return;
    static const std::string* const kSql = new std::string(MergeBarsSql());
    const std::string symbols = postgres::TextArray(std::exchange(symbols_, {}));
    const std::string offsets = postgres::BigintArray(std::exchange(offsets_, {}));
    const std::string splits = postgres::BigintArray(std::exchange(splits_, {}));
    std::array<std::string, kBarNumbers> arrays;
    std::array<std::string, kBarNumbers> names;
    soci::statement statement(sql_);
    statement.exchange(use(symbols, "symbols"));
    statement.exchange(use(offsets, "offsets"));
    statement.exchange(use(splits, "splits"));
    for (size_t i = 0; i < kBarNumbers; ++i) {
      arrays[i] = postgres::BigintArray(std::exchange(numbers_[i], {}));
      names[i] = absl::StrCat("b", i);
      statement.exchange(use(arrays[i], names[i]));
    }
    statement.alloc();
    statement.prepare(*kSql);
    statement.define_and_bind();
    statement.execute(true);
  }

 private:
  soci::session& sql_;
  std::vector<std::string> symbols_;
  std::vector<int64_t> offsets_;
  std::vector<int64_t> splits_;
  std::array<std::vector<int64_t>, kBarNumbers> numbers_;
};

// The splits of a symbol that the log has, by number.
std::map<int64_t, price::SplitRatio> SplitsOf(soci::session& sql, const std::string& symbol) {
  long long number = 0, numerator = 0, denominator = 0;
  soci::statement rows = (sql.prepare << "SELECT number, numerator, denominator FROM stockalert_ticker.splits "
                                         "WHERE symbol = :symbol AND log_offset IS NOT NULL",
                          use(symbol, "symbol"), into(number), into(numerator), into(denominator));
  rows.execute(false);
  std::map<int64_t, price::SplitRatio> splits;
  while (rows.fetch()) splits[number] = {numerator, denominator};
  return splits;
}

// The bar as it is after all splits with numbers above `number`.
void BringForward(const std::map<int64_t, price::SplitRatio>& splits, int64_t number, MinuteBar& bar) {
  for (auto split = splits.upper_bound(number); split != splits.end(); ++split) ScaleBar(split->second, bar);
}

// The log's splits. One that was declared under the same number and is not the log's has lost it: its request is
// forgotten, and declares the next one when it comes again.
void WriteSplits(soci::session& sql, const std::vector<LoggedSplit>& splits, int64_t now_us) {
  for (const LoggedSplit& one : splits) {
    const record::Split& split = one.split;
    const long long number = split.number, numerator = split.ratio.numerator, denominator = split.ratio.denominator,
                    effective = split.effective_time_us, offset = one.place.offset, now = now_us;
    const int partition = one.place.partition;
    sql << "INSERT INTO stockalert_ticker.splits AS kept (symbol, number, split_id, numerator, denominator, "
           "  effective_time_us, create_time_us, log_partition, log_offset) "
           "VALUES (:symbol, :number, :id, :numerator, :denominator, :effective, :now, :partition, :offset) "
           "ON CONFLICT (symbol, number) DO UPDATE SET split_id = EXCLUDED.split_id, numerator = EXCLUDED.numerator, "
           "  denominator = EXCLUDED.denominator, log_partition = EXCLUDED.log_partition, "
           "  log_offset = EXCLUDED.log_offset, effective_time_us = EXCLUDED.effective_time_us, "
           "  request_id = CASE WHEN kept.split_id = EXCLUDED.split_id THEN kept.request_id END "
           "WHERE kept.log_offset IS NULL",
        use(split.symbol, "symbol"), use(number, "number"), use(split.split_id, "id"), use(numerator, "numerator"),
        use(denominator, "denominator"), use(effective, "effective"), use(now, "now"), use(partition, "partition"),
        use(offset, "offset");
  }
}

// The stored bars that others of the same minutes are about to be merged into, where these are of after a later split:
// few ever are, those of the minute of a split.
void BringBarsForward(soci::session& sql, const SymbolPrices& of, const std::vector<MinuteBar>& bars) {
  std::vector<int64_t> starts;
  for (const MinuteBar& bar : bars) starts.push_back(bar.start_us);
  const std::string start_array = postgres::BigintArray(starts);
  const long long number = of.split_number;
  BarNumbers n{};
  long long of_number = 0;
  soci::statement rows(sql);
  rows.exchange(use(of.symbol, "symbol"));
  rows.exchange(use(start_array, "starts"));
  rows.exchange(use(number, "number"));
  for (long long& column : n) rows.exchange(into(column));
  rows.exchange(into(of_number));
  rows.alloc();
  rows.prepare(
      "SELECT start_us, open_micros, open_time_us, open_epoch, open_sequence, high_micros, low_micros, close_micros, "
      "  close_time_us, close_epoch, close_sequence, split_number FROM stockalert_ticker.bars "
      "WHERE symbol = :symbol AND start_us = ANY(CAST(:starts AS bigint[])) AND split_number < CAST(:number AS bigint) "
      "ORDER BY start_us FOR UPDATE");
  rows.define_and_bind();
  rows.execute(false);
  std::vector<std::pair<MinuteBar, int64_t>> behind;
  while (rows.fetch()) behind.emplace_back(FromNumbers(n), of_number);
  if (behind.empty()) return;
  std::map<int64_t, price::SplitRatio> splits = SplitsOf(sql, of.symbol);
  splits.erase(splits.upper_bound(of.split_number), splits.end());
  for (auto& [bar, stated_at] : behind) {
    BringForward(splits, stated_at, bar);
    const long long start = bar.start_us, open = bar.open.price_micros, high = bar.high_micros, low = bar.low_micros,
                    close = bar.close.price_micros;
    sql << "UPDATE stockalert_ticker.bars SET open_micros = :open, high_micros = :high, low_micros = :low, "
           "  close_micros = :close, split_number = :number WHERE symbol = :symbol AND start_us = :start",
        use(open, "open"), use(high, "high"), use(low, "low"), use(close, "close"), use(number, "number"),
        use(of.symbol, "symbol"), use(start, "start");
  }
}

// After the symbols' rows, which are locked by then: another instance cannot move a symbol's place meanwhile.
void WriteBars(soci::session& sql, const KeptPrices& prices) {
  std::unordered_map<std::string_view, const SymbolPrices*> of;
  for (const SymbolPrices& symbol : prices.symbols) of[symbol.symbol] = &symbol;
  std::vector<std::string> begun_symbols;
  std::vector<int64_t> begun_offsets, from_us;
  for (const SymbolBars& bars : prices.bars) {
    if (!bars.forget_from_us) continue;
    begun_symbols.push_back(bars.symbol);
    begun_offsets.push_back(of.at(bars.symbol)->offset);
    from_us.push_back(*bars.forget_from_us);
  }
  if (!begun_symbols.empty()) {
    const std::string symbol_array = postgres::TextArray(begun_symbols);
    const std::string offset_array = postgres::BigintArray(begun_offsets);
    const std::string from_array = postgres::BigintArray(from_us);
    sql << "DELETE FROM stockalert_ticker.bars b USING unnest(CAST(:symbols AS text[]), CAST(:offsets AS bigint[]), "
           "CAST(:from AS bigint[])) AS n(symbol, log_offset, from_us) JOIN stockalert_ticker.latest_prices p "
           "ON p.symbol = n.symbol AND p.log_offset <= n.log_offset "
           "WHERE b.symbol = n.symbol AND b.start_us >= n.from_us",
        use(symbol_array, "symbols"), use(offset_array, "offsets"), use(from_array, "from");
  }
  BarWriter writer(sql);
  for (const SymbolBars& bars : prices.bars) {
    const SymbolPrices& symbol = *of.at(bars.symbol);
    if (symbol.split_number > 0 && !bars.bars.empty()) BringBarsForward(sql, symbol, bars.bars);
    for (const MinuteBar& bar : bars.bars) writer.Write(symbol, bar);
  }
  writer.Flush();
}

}  // namespace

absl::StatusOr<KeptPrices> PostgresPriceStore::Load() {
  absl::StatusOr<KeptPrices> loaded =
      postgres::Read(pool_, "ticker.load_prices", [](Connection& connection) -> absl::StatusOr<KeptPrices> {
        KeptPrices kept;
        soci::session& sql = connection.sql();
        std::string symbol, source;
        std::array<long long, 17> n{};
        soci::statement rows(sql);
        rows.exchange(into(symbol));
        rows.exchange(into(source));
        for (long long& number : n) rows.exchange(into(number));
        rows.alloc();
        rows.prepare(
            "SELECT symbol, source, publisher_epoch, sequence, COALESCE(event_time_us, -1), COALESCE(price_micros, "
            "-1), "
            "  CAST(session AS bigint), COALESCE(day_open_micros, -1), COALESCE(day_high_micros, -1), "
            "COALESCE(day_low_micros, -1), "
            "  COALESCE(previous_close_micros, -1), COALESCE(regular_price_micros, -1), "
            "COALESCE(extended_price_micros, -1), "
            "  COALESCE(date_previous_close_micros, -1), COALESCE(date_day_open_micros, -1), CAST(log_partition AS "
            "bigint), log_offset, split_number, COALESCE(held_since_us, -1) "
            "FROM stockalert_ticker.latest_prices");
        rows.define_and_bind();
        rows.execute(false);
        while (rows.fetch()) {
          SymbolPrices prices;
          prices.symbol = symbol;
          prices.publisher_epoch = n[0];
          prices.sequence = n[1];
          if (n[2] != kNull && n[3] != kNull) {
            QuoteRecord quote;
            quote.set_symbol(symbol);
            quote.set_source(source);
            quote.set_event_time_us(n[2]);
            quote.set_price_micros(n[3]);
            quote.set_session(static_cast<internal::v1::TradingSession>(n[4]));
            if (n[5] != kNull) quote.set_day_open_micros(n[5]);
            if (n[6] != kNull) quote.set_day_high_micros(n[6]);
            if (n[7] != kNull) quote.set_day_low_micros(n[7]);
            if (n[8] != kNull) quote.set_previous_close_micros(n[8]);
            prices.latest = std::move(quote);
          }
          prices.regular_price_micros = FromColumn(n[9]);
          prices.extended_price_micros = FromColumn(n[10]);
          prices.previous_close_micros = FromColumn(n[11]);
          prices.day_open_micros = FromColumn(n[12]);
          prices.partition = static_cast<int32_t>(n[13]);
          prices.offset = n[14];
          prices.split_number = n[15];
          if (n[16] != kNull) prices.hold.emplace(SymbolHold{n[16], 0});
          kept.symbols.push_back(std::move(prices));
        }
        int partition = 0;
        long long next_offset = 0;
        soci::statement places = (sql.prepare << "SELECT partition, next_offset FROM stockalert_ticker.log_places",
                                  into(partition), into(next_offset));
        places.execute(false);
        while (places.fetch()) kept.next_offsets[partition] = next_offset;
        return kept;
      });
  if (!loaded.ok()) return StoreFailure(loaded.status());
  return loaded;
}

absl::Status PostgresPriceStore::Save(const KeptPrices& prices) {
  std::vector<const SymbolPrices*> symbols;
  symbols.reserve(prices.symbols.size());
  for (const SymbolPrices& symbol : prices.symbols) symbols.push_back(&symbol);
  // Every instance in the same order: they wait for each other's rows, never in a circle.
  std::sort(symbols.begin(), symbols.end(),
            [](const SymbolPrices* a, const SymbolPrices* b) { return a->symbol < b->symbol; });
  std::vector<int64_t> partitions, next_offsets;
  for (const auto& [partition, next_offset] : prices.next_offsets) {
    partitions.push_back(partition);
    next_offsets.push_back(next_offset);
  }
  const std::string partition_array = postgres::BigintArray(partitions);
  const std::string offset_array = postgres::BigintArray(next_offsets);
  const int64_t now_us = absl::ToUnixMicros(absl::Now());
  return StoreFailure(
      Transact(pool_, "ticker.save_prices", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        soci::session& sql = connection.sql();
        for (size_t begin = 0; begin < symbols.size(); begin += kRowsAStatementMax) {
          Rows rows;
          for (size_t i = begin; i < std::min(symbols.size(), begin + kRowsAStatementMax); ++i) rows.Add(*symbols[i]);
          rows.Write(sql);
        }
        WriteSplits(sql, prices.splits, now_us);
        WriteBars(sql, prices);
        if (!partitions.empty()) {
          sql << "INSERT INTO stockalert_ticker.log_places AS kept (partition, next_offset) "
                 "SELECT * FROM unnest(CAST(:partitions AS integer[]), CAST(:offsets AS bigint[])) "
                 "ON CONFLICT (partition) DO UPDATE SET next_offset = EXCLUDED.next_offset WHERE kept.next_offset < "
                 "EXCLUDED.next_offset",
              use(partition_array, "partitions"), use(offset_array, "offsets");
        }
        return absl::OkStatus();
      }));
}

absl::StatusOr<std::vector<MinuteBar>> PostgresPriceStore::LastBars(const std::string& symbol, int64_t start_us,
                                                                    int64_t end_us, int limit) {
  const long long start = start_us, end = end_us;
  auto bars = postgres::Read(pool_, "ticker.last_bars", [&](Connection& connection) {
    BarNumbers n{};
    soci::statement rows(connection.sql());
    rows.exchange(use(symbol, "symbol"));
    rows.exchange(use(start, "start"));
    rows.exchange(use(end, "end"));
    rows.exchange(use(limit, "limit"));
    for (long long& number : n) rows.exchange(into(number));
    long long stated_at = 0;
    rows.exchange(into(stated_at));
    rows.alloc();
    rows.prepare(
        "SELECT start_us, open_micros, open_time_us, open_epoch, open_sequence, high_micros, low_micros, "
        "close_micros, close_time_us, close_epoch, close_sequence, split_number FROM stockalert_ticker.bars "
        "WHERE symbol = :symbol AND start_us >= CAST(:start AS bigint) AND start_us < CAST(:end AS bigint) "
        "ORDER BY start_us DESC LIMIT :limit");
    rows.define_and_bind();
    rows.execute(false);
    const std::map<int64_t, price::SplitRatio> splits = SplitsOf(connection.sql(), symbol);
    std::vector<MinuteBar> found;
    while (rows.fetch()) {
      found.push_back(FromNumbers(n));
      BringForward(splits, stated_at, found.back());
    }
    return absl::StatusOr<std::vector<MinuteBar>>(std::move(found));
  });
  if (!bars.ok()) return StoreFailure(bars.status());
  return bars;
}

absl::StatusOr<bool> PostgresPriceStore::AdoptLog(const std::string& cluster_id) {
  absl::StatusOr<bool> adopted = Transact(
      pool_, "ticker.adopt_log", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<bool> {
        soci::session& sql = connection.sql();
        soci::statement insert =
            (sql.prepare << "INSERT INTO stockalert_ticker.log_identity AS kept (cluster_id) VALUES (:id) "
                            "ON CONFLICT (only_row) DO UPDATE SET cluster_id = EXCLUDED.cluster_id "
                            "WHERE kept.cluster_id <> EXCLUDED.cluster_id",
             use(cluster_id, "id"));
        insert.execute(true);
        if (insert.get_affected_rows() == 0) return false;
        // The first cluster ever has no places to forget.
        soci::statement forget = (sql.prepare << "DELETE FROM stockalert_ticker.log_places");
        forget.execute(true);
        // While a symbol is held there may be no place, but for those of its prices.
        soci::statement prices =
            (sql.prepare << "UPDATE stockalert_ticker.latest_prices SET log_offset = -1 WHERE log_offset >= 0");
        prices.execute(true);
        sql << "UPDATE stockalert_ticker.splits SET lost = true, next_attempt_us = 0 WHERE log_offset IS NOT NULL";
        return forget.get_affected_rows() > 0 || prices.get_affected_rows() > 0;
      });
  if (!adopted.ok()) return StoreFailure(adopted.status());
  return adopted;
}

absl::Status PostgresPriceStore::ForgetPlaces(int32_t partition) {
  return StoreFailure(
      Transact(pool_, "ticker.forget_places", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        soci::session& sql = connection.sql();
        sql << "DELETE FROM stockalert_ticker.log_places WHERE partition = :partition", use(partition, "partition");
        sql << "UPDATE stockalert_ticker.latest_prices SET log_offset = -1 WHERE log_partition = :partition",
            use(partition, "partition");
        sql << "UPDATE stockalert_ticker.splits SET lost = true, next_attempt_us = 0 WHERE log_partition = :partition",
            use(partition, "partition");
        return absl::OkStatus();
      }));
}

}  // namespace stockalert::ticker
