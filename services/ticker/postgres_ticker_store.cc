#include "services/ticker/postgres_ticker_store.h"

#include <soci/soci.h>

#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/transaction.h"
#include "services/ticker/postgres_failure.h"
#include "services/ticker/store_errors.h"

namespace stockalert::ticker {
namespace {

using postgres::Connection;
using postgres::Idempotency;
using postgres::Transact;
using soci::into;
using soci::use;

template <typename T>
absl::StatusOr<T> Answer(absl::StatusOr<T> result) {
  if (!result.ok()) return StoreFailure(result.status());
  return result;
}

// With every change of the set of symbols, in its transaction: the row's lock puts the changes in one order.
void RaiseVersion(soci::session& sql) {
  sql << "UPDATE stockalert_ticker.counters SET value = value + 1 WHERE name = 'symbols_version'";
}

std::vector<TickerRow> ReadRows(soci::statement& statement, const std::string& symbol, const long long& create_time_us) {
  std::vector<TickerRow> rows;
  statement.execute(false);
  while (statement.fetch()) rows.push_back({symbol, create_time_us});
  return rows;
}

std::vector<TickerRow> FindRows(soci::session& sql, const std::string& symbols) {
  std::string symbol;
  long long create_time_us = 0;
  soci::statement statement = (sql.prepare << "SELECT symbol, create_time_us FROM stockalert_ticker.tickers "
                                              "WHERE symbol = ANY(CAST(:symbols AS text[])) ORDER BY symbol",
                               use(symbols, "symbols"), into(symbol), into(create_time_us));
  return ReadRows(statement, symbol, create_time_us);
}

}  // namespace

absl::StatusOr<std::vector<TickerRow>> PostgresTickerStore::Find(const std::vector<std::string>& symbols) {
  const std::string array = postgres::TextArray(symbols);
  return Answer(postgres::Read(pool_, "ticker.find", [&](Connection& connection) -> absl::StatusOr<std::vector<TickerRow>> {
    return FindRows(connection.sql(), array);
  }));
}

absl::StatusOr<std::vector<TickerRow>> PostgresTickerStore::Register(const std::vector<std::string>& symbols, int64_t now_us,
                                                                     int64_t hold_until_us) {
  const std::string array = postgres::TextArray(symbols);
  const long long now = now_us;
  const long long hold = hold_until_us;
  return Answer(Transact(
      pool_, "ticker.register", Idempotency::kIdempotent,
      [&](Connection& connection) -> absl::StatusOr<std::vector<TickerRow>> {
        soci::session& sql = connection.sql();
        // In the order of the symbols, so that two calls wait for each other rather than both for ever.
        soci::statement insert = (sql.prepare << "INSERT INTO stockalert_ticker.tickers (symbol, create_time_us, hold_until_us) "
                                                 "SELECT x.symbol, CAST(:now AS bigint), CAST(:hold AS bigint) "
                                                 "FROM unnest(CAST(:symbols AS text[])) AS x(symbol) ORDER BY x.symbol "
                                                 "ON CONFLICT (symbol) DO NOTHING",
                                  use(now, "now"), use(hold, "hold"), use(array, "symbols"));
        insert.execute(true);
        if (insert.get_affected_rows() > 0) RaiseVersion(sql);
        if (hold_until_us > 0) {
          // Takes away a mark that has run out: its DeleteMarked then finds that it came too late.
          sql << "UPDATE stockalert_ticker.tickers AS t SET hold_until_us = GREATEST(t.hold_until_us, CAST(:hold AS bigint)), "
                 "deleting_token = NULL FROM ("
                 "  SELECT symbol FROM stockalert_ticker.tickers WHERE symbol = ANY(CAST(:symbols AS text[])) ORDER BY symbol FOR UPDATE"
                 ") AS locked WHERE t.symbol = locked.symbol AND (t.deleting_token IS NULL OR t.deleting_until_us <= CAST(:now AS bigint))",
              use(hold, "hold"), use(array, "symbols"), use(now, "now");
        }
        std::string going;
        sql << "SELECT symbol FROM stockalert_ticker.tickers WHERE symbol = ANY(CAST(:symbols AS text[])) "
               "AND deleting_token IS NOT NULL AND deleting_until_us > CAST(:now AS bigint) LIMIT 1",
            use(array, "symbols"), use(now, "now"), into(going);
        if (sql.got_data()) return TickerBeingDeleted(going);
        std::vector<TickerRow> rows = FindRows(sql, array);
        // Deleted between the insert, which found it there, and now.
        if (rows.size() != symbols.size()) return TickerBeingDeleted(symbols.front());
        return rows;
      }));
}

absl::StatusOr<std::vector<TickerRow>> PostgresTickerStore::List(const std::string& after, int limit) {
  return Answer(postgres::Read(pool_, "ticker.list", [&](Connection& connection) -> absl::StatusOr<std::vector<TickerRow>> {
    std::string symbol;
    long long create_time_us = 0;
    soci::statement statement = (connection.sql().prepare << "SELECT symbol, create_time_us FROM stockalert_ticker.tickers "
                                                             "WHERE symbol > :after ORDER BY symbol LIMIT :count",
                                 use(after, "after"), use(limit, "count"), into(symbol), into(create_time_us));
    return ReadRows(statement, symbol, create_time_us);
  }));
}

absl::Status PostgresTickerStore::MarkDeleting(const std::string& symbol, const std::string& token, int64_t now_us,
                                               int64_t until_us) {
  const long long until = until_us;
  return StoreFailure(Transact(
      pool_, "ticker.mark_deleting", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        soci::session& sql = connection.sql();
        long long hold_until_us = 0;
        long long deleting_until_us = 0;
        std::string marked_by;
        sql << "SELECT hold_until_us, COALESCE(CAST(deleting_token AS text), ''), deleting_until_us "
               "FROM stockalert_ticker.tickers WHERE symbol = :symbol FOR UPDATE",
            use(symbol, "symbol"), into(hold_until_us), into(marked_by), into(deleting_until_us);
        if (!sql.got_data()) return TickerNotFound(symbol);
        if (hold_until_us > now_us) return TickerHeld(symbol);
        if (!marked_by.empty() && marked_by != token && deleting_until_us > now_us) return TickerDeletedByAnother(symbol);
        sql << "UPDATE stockalert_ticker.tickers SET deleting_token = CAST(:token AS uuid), deleting_until_us = :until "
               "WHERE symbol = :symbol",
            use(token, "token"), use(until, "until"), use(symbol, "symbol");
        return absl::OkStatus();
      }));
}

absl::Status PostgresTickerStore::Unmark(const std::string& symbol, const std::string& token) {
  return StoreFailure(
      Transact(pool_, "ticker.unmark", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        connection.sql() << "UPDATE stockalert_ticker.tickers SET deleting_token = NULL, deleting_until_us = 0 "
                            "WHERE symbol = :symbol AND deleting_token = CAST(:token AS uuid)",
            use(symbol, "symbol"), use(token, "token");
        return absl::OkStatus();
      }));
}

absl::StatusOr<bool> PostgresTickerStore::DeleteMarked(const std::string& symbol, const std::string& token) {
  return Answer(Transact(pool_, "ticker.delete", Idempotency::kNotIdempotent,
                         [&](Connection& connection) -> absl::StatusOr<bool> {
                           soci::session& sql = connection.sql();
                           soci::statement remove = (sql.prepare << "DELETE FROM stockalert_ticker.tickers "
                                                                    "WHERE symbol = :symbol AND deleting_token = CAST(:token AS uuid)",
                                                     use(symbol, "symbol"), use(token, "token"));
                           remove.execute(true);
                           if (remove.get_affected_rows() == 0) return false;
                           RaiseVersion(sql);
                           return true;
                         }));
}

absl::StatusOr<SymbolList> PostgresTickerStore::ListSymbols(int64_t known_version) {
  return Answer(postgres::Read(pool_, "ticker.list_symbols", [&](Connection& connection) -> absl::StatusOr<SymbolList> {
    soci::session& sql = connection.sql();
    SymbolList list;
    long long version = 0;
    sql << "SELECT value FROM stockalert_ticker.counters WHERE name = 'symbols_version'", into(version);
    if (!sql.got_data()) return base::Internal("stockalert_ticker.counters has no symbols_version: was it changed by hand?");
    list.version = version;
    list.unchanged = list.version == known_version;
    if (list.unchanged) return list;
    std::string symbol;
    soci::statement statement = (sql.prepare << "SELECT symbol FROM stockalert_ticker.tickers ORDER BY symbol", into(symbol));
    statement.execute(false);
    while (statement.fetch()) list.symbols.push_back(symbol);
    return list;
  }));
}

absl::StatusOr<int64_t> PostgresTickerStore::NextPublisherEpoch() {
  return Answer(Transact(pool_, "ticker.next_epoch", Idempotency::kIdempotent,
                         [&](Connection& connection) -> absl::StatusOr<int64_t> {
                           soci::session& sql = connection.sql();
                           long long epoch = 0;
                           sql << "UPDATE stockalert_ticker.counters SET value = value + 1 WHERE name = 'publisher_epoch' RETURNING value",
                               into(epoch);
                           if (!sql.got_data()) {
                             return base::Internal("stockalert_ticker.counters has no publisher_epoch: was it changed by hand?");
                           }
                           return epoch;
                         }));
}

}  // namespace stockalert::ticker
