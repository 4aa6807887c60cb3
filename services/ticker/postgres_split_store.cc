#include "services/ticker/postgres_split_store.h"

#include <soci/soci.h>

#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
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

constexpr char kColumns[] =
    "symbol, number, split_id, numerator, denominator, effective_time_us, create_time_us, "
    "CAST(log_offset IS NOT NULL AS int), CAST(lost AS int) ";

// One row of kColumns, and where it goes.
class Row {
 public:
  void Define(soci::statement& statement) {
    statement.exchange(into(symbol_));
    statement.exchange(into(number_));
    statement.exchange(into(id_));
    for (long long* number : {&numerator_, &denominator_, &effective_us_, &create_us_})
      statement.exchange(into(*number));
    statement.exchange(into(in_log_));
    statement.exchange(into(lost_));
  }

  SplitRow Get() const {
    return {{symbol_, id_, number_, {numerator_, denominator_}, effective_us_},
            create_us_,
            in_log_ != 0,
            false,
            lost_ != 0};
  }

 private:
  std::string symbol_, id_;
  long long number_ = 0, numerator_ = 0, denominator_ = 0, effective_us_ = 0, create_us_ = 0;
  int in_log_ = 0, lost_ = 0;
};

// By its request, or by its id: of what was found in the log the request is not known.
std::optional<SplitRow> FindDeclared(soci::session& sql, const record::Split& split, const std::string& request_id) {
  Row row;
  soci::statement statement(sql);
  statement.exchange(use(request_id, "request"));
  statement.exchange(use(split.symbol, "symbol"));
  statement.exchange(use(split.split_id, "id"));
  row.Define(statement);
  statement.alloc();
  statement.prepare(absl::StrCat("SELECT ", kColumns,
                                 "FROM stockalert_ticker.splits WHERE request_id = :request "
                                 "OR (symbol = :symbol AND split_id = :id)"));
  statement.define_and_bind();
  if (!statement.execute(true)) return std::nullopt;
  return row.Get();
}

bool IsOfRequest(const record::Split& split, const record::Split& asked) {
  return split.symbol == asked.symbol && split.ratio == asked.ratio &&
         split.effective_time_us == asked.effective_time_us;
}

absl::Status SplitPending(const std::string& symbol, int64_t number) {
  const std::string name = absl::StrCat("tickers/", symbol, "/splits/", number);
  return base::FailedPrecondition(
      kReasonSplitPending,
      absl::StrCat(name, " is not in the log yet: it is published again and again, and comes first"),
      {{"split", name}});
}

}  // namespace

absl::StatusOr<SplitRow> PostgresSplitStore::Declare(const record::Split& split, const std::string& request_id,
                                                     int64_t now_us) {
  const auto declare = [&](Connection& connection) -> absl::StatusOr<SplitRow> {
    soci::session& sql = connection.sql();
    // Whoever declares one of this symbol waits here, so that numbers are given in one order.
    std::string locked;
    sql << "SELECT symbol FROM stockalert_ticker.tickers WHERE symbol = :symbol FOR UPDATE",
        use(split.symbol, "symbol"), into(locked);
    const bool is_registered = sql.got_data();
    long long last = 0, pending = 0, lost = 0;
    sql << "SELECT COALESCE(max(number), 0), COALESCE(max(number) FILTER (WHERE log_offset IS NULL), 0), "
           "COALESCE(min(number) FILTER (WHERE lost), 0) FROM stockalert_ticker.splits WHERE symbol = :symbol",
        use(split.symbol, "symbol"), into(last), into(pending), into(lost);
    if (std::optional<SplitRow> known = FindDeclared(sql, split, request_id)) {
      // The caller publishes what is not in the log, and lost ones come before it.
      if (IsOfRequest(known->split, split) && !known->in_log && lost > 0) return SplitPending(split.symbol, lost);
      if (IsOfRequest(known->split, split)) return *std::move(known);
      return base::InvalidField("request_id", "was used for another split: take a new one for each split",
                                kReasonSplitRequestReused);
    }
    if (!is_registered) return TickerNotFound(split.symbol);
    if (lost > 0 || pending > 0) return SplitPending(split.symbol, lost > 0 ? lost : pending);
    SplitRow row{split, now_us, false, true};
    row.split.number = last + 1;
    const long long number = row.split.number, numerator = split.ratio.numerator, denominator = split.ratio.denominator,
                    effective = split.effective_time_us, now = now_us, next = now_us + kSplitAttemptPauseUs;
    sql << "INSERT INTO stockalert_ticker.splits (symbol, number, split_id, numerator, denominator, "
           "  effective_time_us, create_time_us, request_id, attempts, next_attempt_us) "
           "VALUES (:symbol, :number, :id, :numerator, :denominator, :effective, :now, :request, 1, :next)",
        use(split.symbol, "symbol"), use(number, "number"), use(split.split_id, "id"), use(numerator, "numerator"),
        use(denominator, "denominator"), use(effective, "effective"), use(now, "now"), use(request_id, "request"),
        use(next, "next");
    return row;
  };
  absl::StatusOr<SplitRow> row = Transact(pool_, "ticker.declare_split", Idempotency::kIdempotent, declare);
  // The same request came at once for another ticker, or the log's reader took the number: seen now.
  if (absl::IsAlreadyExists(row.status()))
    row = Transact(pool_, "ticker.declare_split", Idempotency::kIdempotent, declare);
  return StoreFailure(std::move(row));
}

absl::Status PostgresSplitStore::Withdraw(const record::Split& split) {
  const long long number = split.number;
  return StoreFailure(
      Transact(pool_, "ticker.withdraw_split", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        connection.sql() << "DELETE FROM stockalert_ticker.splits WHERE symbol = :symbol AND number = :number "
                            "AND split_id = :id AND log_offset IS NULL AND attempts = 1",
            use(split.symbol, "symbol"), use(number, "number"), use(split.split_id, "id");
        return absl::OkStatus();
      }));
}

absl::StatusOr<std::optional<SplitRow>> PostgresSplitStore::Find(const std::string& symbol, int64_t number) {
  return StoreFailure(postgres::Read(
      pool_, "ticker.find_split", [&](Connection& connection) -> absl::StatusOr<std::optional<SplitRow>> {
        const long long wanted = number;
        Row row;
        soci::statement statement(connection.sql());
        statement.exchange(use(symbol, "symbol"));
        statement.exchange(use(wanted, "number"));
        row.Define(statement);
        statement.alloc();
        statement.prepare(absl::StrCat("SELECT ", kColumns,
                                       "FROM stockalert_ticker.splits WHERE symbol = :symbol AND number = :number"));
        statement.define_and_bind();
        if (!statement.execute(true)) return std::optional<SplitRow>();
        return std::optional<SplitRow>(row.Get());
      }));
}

absl::StatusOr<std::vector<SplitRow>> PostgresSplitStore::ClaimPending(int64_t now_us, int limit) {
  return StoreFailure(Transact(
      pool_, "ticker.claim_splits", Idempotency::kIdempotent,
      [&](Connection& connection) -> absl::StatusOr<std::vector<SplitRow>> {
        const long long now = now_us, next = now_us + kSplitAttemptPauseUs;
        Row row;
        soci::statement statement(connection.sql());
        statement.exchange(use(now, "now"));
        statement.exchange(use(limit, "limit"));
        statement.exchange(use(next, "next"));
        row.Define(statement);
        statement.alloc();
        statement.prepare(absl::StrCat(
            "WITH due AS (SELECT symbol AS of, number AS at FROM stockalert_ticker.splits s "
            "  WHERE (log_offset IS NULL OR lost) AND next_attempt_us <= CAST(:now AS bigint) "
            "  AND NOT EXISTS (SELECT FROM stockalert_ticker.splits b WHERE b.symbol = s.symbol "
            "    AND b.number < s.number AND (b.log_offset IS NULL OR b.lost)) "
            "  ORDER BY next_attempt_us, symbol LIMIT :limit FOR UPDATE SKIP LOCKED) "
            "UPDATE stockalert_ticker.splits SET attempts = attempts + 1, next_attempt_us = CAST(:next AS bigint) "
            "FROM due WHERE symbol = due.of AND number = due.at RETURNING ",
            kColumns));
        statement.define_and_bind();
        statement.execute(false);
        std::vector<SplitRow> claimed;
        while (statement.fetch()) claimed.push_back(row.Get());
        return claimed;
      }));
}

absl::Status PostgresSplitStore::NoteFound(const record::Split& split, LogPlace place) {
  const long long number = split.number, offset = place.offset;
  const int partition = place.partition;
  return StoreFailure(
      Transact(pool_, "ticker.note_split_found", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        connection.sql() << "UPDATE stockalert_ticker.splits SET lost = false, log_partition = :partition, "
                            "log_offset = :offset WHERE symbol = :symbol AND number = :number AND split_id = :id "
                            "AND lost",
            use(partition, "partition"), use(offset, "offset"), use(split.symbol, "symbol"), use(number, "number"),
            use(split.split_id, "id");
        return absl::OkStatus();
      }));
}

absl::StatusOr<std::vector<SplitRow>> PostgresSplitStore::List(const std::string& symbol,
                                                               const std::optional<SplitPlace>& after, int limit) {
  return StoreFailure(
      postgres::Read(pool_, "ticker.list_splits", [&](Connection& connection) -> absl::StatusOr<std::vector<SplitRow>> {
        const std::string after_symbol = after ? after->symbol : "";
        const long long after_number = after ? after->number : 0;
        Row row;
        soci::statement statement(connection.sql());
        if (!symbol.empty()) statement.exchange(use(symbol, "symbol"));
        statement.exchange(use(after_symbol, "after_symbol"));
        statement.exchange(use(after_number, "after_number"));
        statement.exchange(use(limit, "limit"));
        row.Define(statement);
        statement.alloc();
        statement.prepare(absl::StrCat(
            "SELECT ", kColumns, "FROM stockalert_ticker.splits WHERE ", symbol.empty() ? "" : "symbol = :symbol AND ",
            "(symbol > :after_symbol OR (symbol = :after_symbol AND number < CAST(:after_number AS bigint))) "
            "ORDER BY symbol, number DESC LIMIT :limit"));
        statement.define_and_bind();
        statement.execute(false);
        std::vector<SplitRow> rows;
        while (statement.fetch()) rows.push_back(row.Get());
        return rows;
      }));
}

}  // namespace stockalert::ticker
