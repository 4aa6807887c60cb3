#include "services/ticker/postgres_ticker_store.h"

#include <soci/soci.h>

#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/store_failure.h"
#include "services/common/postgres/transaction.h"
#include "services/ticker/store_errors.h"

namespace stockalert::ticker {
namespace {

using postgres::Connection;
using postgres::Idempotency;
using postgres::StoreFailure;
using postgres::Transact;
using soci::into;
using soci::use;

// With every change of the set of symbols, in its transaction: the row's lock puts the changes in one order.
void RaiseVersion(soci::session& sql) {
  sql << "UPDATE stockalert_ticker.counters SET value = value + 1 WHERE name = 'symbols_version'";
}

absl::Status CounterMissing(const std::string& name) {
  return base::Internal("stockalert_ticker.counters has no " + name + ": was it changed by hand?");
}

std::vector<TickerRow> ReadRows(soci::statement& statement, const std::string& symbol,
                                const long long& create_time_us) {
  std::vector<TickerRow> rows;
  statement.execute(false);
  while (statement.fetch()) rows.push_back({symbol, create_time_us});
  return rows;
}

std::vector<std::string> ReadSymbols(soci::statement& statement, const std::string& symbol) {
  std::vector<std::string> symbols;
  statement.execute(false);
  while (statement.fetch()) symbols.push_back(symbol);
  return symbols;
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
  return StoreFailure(
      postgres::Read(pool_, "ticker.find", [&](Connection& connection) -> absl::StatusOr<std::vector<TickerRow>> {
        return FindRows(connection.sql(), array);
      }));
}

absl::StatusOr<std::vector<TickerRow>> PostgresTickerStore::Register(const std::vector<std::string>& symbols,
                                                                     int64_t now_us, int64_t hold_until_us,
                                                                     const std::string& user) {
  const std::string array = postgres::TextArray(symbols);
  const long long now = now_us;
  const long long hold = hold_until_us;
  return StoreFailure(Transact(
      pool_, "ticker.register", Idempotency::kIdempotent,
      [&](Connection& connection) -> absl::StatusOr<std::vector<TickerRow>> {
        soci::session& sql = connection.sql();
        // In the order of the symbols, so that two calls wait for each other rather than both for ever.
        soci::statement insert =
            (sql.prepare
                 << "INSERT INTO stockalert_ticker.tickers (symbol, create_time_us, hold_until_us, registered_by) "
                    "SELECT x.symbol, CAST(:now AS bigint), CAST(:hold AS bigint), CAST(NULLIF(:user, '') AS uuid) "
                    "FROM unnest(CAST(:symbols AS text[])) AS x(symbol) ORDER BY x.symbol "
                    "ON CONFLICT (symbol) DO NOTHING",
             use(now, "now"), use(hold, "hold"), use(user, "user"), use(array, "symbols"));
        insert.execute(true);
        if (insert.get_affected_rows() > 0) RaiseVersion(sql);
        if (hold_until_us > 0) {
          // Takes away a mark that has run out: its DeleteMarked then finds that it came too late.
          sql << "UPDATE stockalert_ticker.tickers AS t SET hold_until_us = GREATEST(t.hold_until_us, CAST(:hold AS "
                 "bigint)), "
                 "deleting_token = NULL FROM ("
                 "  SELECT symbol FROM stockalert_ticker.tickers WHERE symbol = ANY(CAST(:symbols AS text[])) ORDER BY "
                 "symbol FOR UPDATE"
                 ") AS locked WHERE t.symbol = locked.symbol AND (t.deleting_token IS NULL OR t.deleting_until_us <= "
                 "CAST(:now AS bigint))",
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

absl::StatusOr<std::vector<std::string>> PostgresTickerStore::FindUnused(const std::string& user, int limit) {
  return StoreFailure(
      postgres::Read(
          pool_, "ticker.find_unused", [&](Connection& connection) -> absl::StatusOr<std::vector<std::string>> {
            std::string symbol;
            soci::statement statement =
                (connection.sql().prepare
                     << "SELECT symbol FROM stockalert_ticker.tickers WHERE registered_by = CAST(:user AS uuid) "
                        "AND used_time_us = 0 ORDER BY create_time_us, symbol LIMIT :count",
                 use(user, "user"), use(limit, "count"), into(symbol));
            return ReadSymbols(statement, symbol);
          }));
}

absl::StatusOr<int64_t> PostgresTickerStore::CountRegistered(const std::string& user, int64_t after_us) {
  const long long after = after_us;
  return StoreFailure(
      postgres::Read(pool_, "ticker.count_registered", [&](Connection& connection) -> absl::StatusOr<int64_t> {
        long long count = 0;
        connection.sql() << "SELECT count(*) FROM stockalert_ticker.tickers WHERE registered_by = CAST(:user AS uuid) "
                            "AND create_time_us > :after",
            use(user, "user"), use(after, "after"), into(count);
        return count;
      }));
}

absl::StatusOr<std::vector<std::string>> PostgresTickerStore::FindDueForUseCheck(int64_t before_us, int64_t now_us,
                                                                                 int limit) {
  const long long before = before_us;
  const long long now = now_us;
  return StoreFailure(
      postgres::Read(
          pool_, "ticker.find_to_look_at", [&](Connection& connection) -> absl::StatusOr<std::vector<std::string>> {
            std::string symbol;
            soci::statement statement =
                (connection.sql().prepare
                     << "SELECT symbol FROM stockalert_ticker.tickers WHERE looked_time_us <= :looked_before "
                        "AND create_time_us <= :made_before AND hold_until_us <= :now "
                        "ORDER BY looked_time_us, symbol LIMIT :count",
                 use(before, "looked_before"), use(before, "made_before"), use(now, "now"), use(limit, "count"),
                 into(symbol));
            return ReadSymbols(statement, symbol);
          }));
}

absl::Status PostgresTickerStore::MarkUseChecked(const std::vector<std::string>& symbols, bool used, int64_t now_us) {
  const std::string array = postgres::TextArray(symbols);
  const long long looked = now_us;
  const long long in_use = used ? now_us : 0;
  return StoreFailure(
      Transact(pool_, "ticker.mark_looked_at", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        connection.sql() << "UPDATE stockalert_ticker.tickers AS t SET looked_time_us = CAST(:looked AS bigint), "
                            "used_time_us = GREATEST(t.used_time_us, CAST(:used AS bigint)) FROM ("
                            "  SELECT symbol FROM stockalert_ticker.tickers WHERE symbol = ANY(CAST(:symbols AS "
                            "text[])) ORDER BY symbol FOR UPDATE"
                            ") AS locked WHERE t.symbol = locked.symbol",
            use(looked, "looked"), use(in_use, "used"), use(array, "symbols");
        return absl::OkStatus();
      }));
}

absl::StatusOr<std::vector<TickerRow>> PostgresTickerStore::List(const std::string& after, int limit) {
  return StoreFailure(
      postgres::Read(pool_, "ticker.list", [&](Connection& connection) -> absl::StatusOr<std::vector<TickerRow>> {
        std::string symbol;
        long long create_time_us = 0;
        soci::statement statement =
            (connection.sql().prepare << "SELECT symbol, create_time_us FROM stockalert_ticker.tickers "
                                         "WHERE symbol > :after ORDER BY symbol LIMIT :count",
             use(after, "after"), use(limit, "count"), into(symbol), into(create_time_us));
        return ReadRows(statement, symbol, create_time_us);
      }));
}

absl::Status PostgresTickerStore::MarkDeleting(const std::string& symbol, const std::string& token, int64_t now_us,
                                               int64_t until_us) {
  const long long until = until_us;
  return StoreFailure(
      Transact(pool_, "ticker.mark_deleting", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        soci::session& sql = connection.sql();
        long long hold_until_us = 0;
        long long deleting_until_us = 0;
        std::string marked_by;
        sql << "SELECT hold_until_us, COALESCE(CAST(deleting_token AS text), ''), deleting_until_us "
               "FROM stockalert_ticker.tickers WHERE symbol = :symbol FOR UPDATE",
            use(symbol, "symbol"), into(hold_until_us), into(marked_by), into(deleting_until_us);
        if (!sql.got_data()) return TickerNotFound(symbol);
        if (hold_until_us > now_us) return TickerHeld(symbol);
        if (!marked_by.empty() && marked_by != token && deleting_until_us > now_us)
          return TickerDeletedByAnother(symbol);
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
  return StoreFailure(Transact(
      pool_, "ticker.delete", Idempotency::kNotIdempotent, [&](Connection& connection) -> absl::StatusOr<bool> {
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

absl::StatusOr<SymbolList> PostgresTickerStore::ListSymbols(int64_t known_version, const std::string& after,
                                                            int limit) {
  return StoreFailure(
      postgres::Read(pool_, "ticker.list_symbols", [&](Connection& connection) -> absl::StatusOr<SymbolList> {
        soci::session& sql = connection.sql();
        SymbolList list;
        long long version = 0;
        sql << "SELECT value FROM stockalert_ticker.counters WHERE name = 'symbols_version'", into(version);
        if (!sql.got_data()) return CounterMissing("symbols_version");
        list.version = version;
        list.unchanged = after.empty() && list.version == known_version;
        if (list.unchanged) return list;
        std::string symbol;
        const int one_more = limit + 1;
        soci::statement statement =
            (sql.prepare
                 << "SELECT symbol FROM stockalert_ticker.tickers WHERE symbol > :after ORDER BY symbol LIMIT :count",
             use(after, "after"), use(one_more, "count"), into(symbol));
        statement.execute(false);
        while (statement.fetch()) list.symbols.push_back(symbol);
        list.more = static_cast<int>(list.symbols.size()) > limit;
        if (list.more) list.symbols.pop_back();
        return list;
      }));
}

absl::StatusOr<int64_t> PostgresTickerStore::CountTickers() {
  return StoreFailure(postgres::Read(pool_, "ticker.count", [&](Connection& connection) -> absl::StatusOr<int64_t> {
    long long count = 0;
    connection.sql() << "SELECT count(*) FROM stockalert_ticker.tickers", into(count);
    return count;
  }));
}

absl::StatusOr<int64_t> PostgresTickerStore::NextPublisherEpoch(int64_t above, int64_t if_highest_is) {
  return StoreFailure(Transact(
      pool_, "ticker.next_epoch", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<int64_t> {
        soci::session& sql = connection.sql();
        const long long floor = above;
        const long long expected = if_highest_is;
        long long epoch = 0;
        sql << "UPDATE stockalert_ticker.counters SET value = GREATEST(value, CAST(:floor AS bigint)) + 1 "
               "WHERE name = 'publisher_epoch' AND (CAST(:expected AS bigint) = 0 OR value = :expected) RETURNING "
               "value",
            use(floor, "floor"), use(expected, "expected"), into(epoch);
        if (sql.got_data()) return epoch;
        if (if_highest_is == 0) return CounterMissing("publisher_epoch");
        return PublisherChanged();
      }));
}

absl::StatusOr<PublisherLeaseRow> PostgresTickerStore::RenewPublisher(int64_t epoch, bool release) {
  return StoreFailure(Transact(
      pool_, "ticker.renew_publisher", Idempotency::kIdempotent,
      [&](Connection& connection) -> absl::StatusOr<PublisherLeaseRow> {
        soci::session& sql = connection.sql();
        long long highest = 0;
        sql << "SELECT value FROM stockalert_ticker.counters WHERE name = 'publisher_epoch'", into(highest);
        if (!sql.got_data()) return CounterMissing("publisher_epoch");
        const long long mine = epoch;
        if (mine == highest) {
          sql << "INSERT INTO stockalert_ticker.counters AS kept (name, value) VALUES ('publisher_renewals', 1) "
                 "ON CONFLICT (name) DO UPDATE SET value = kept.value + 1";
          if (release) {
            sql << "INSERT INTO stockalert_ticker.counters (name, value) VALUES ('publisher_released', :mine) "
                   "ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value",
                use(mine, "mine");
          }
        }
        long long renewals = 0;
        long long released = 0;
        sql << "SELECT COALESCE((SELECT value FROM stockalert_ticker.counters WHERE name = 'publisher_renewals'), 0), "
               "COALESCE((SELECT value FROM stockalert_ticker.counters WHERE name = 'publisher_released'), 0)",
            into(renewals), into(released);
        return PublisherLeaseRow{highest, renewals, released == highest};
      }));
}

}  // namespace stockalert::ticker
