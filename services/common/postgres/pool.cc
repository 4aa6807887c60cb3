#include "services/common/postgres/pool.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "services/common/log/log.h"
#include "services/common/postgres/conninfo.h"

namespace stockalert::postgres {
namespace {

// The caller's URL as keywords, with our limits where the URL does not set its own.
absl::StatusOr<std::string> MakeConninfo(const PoolOptions& options) {
  absl::StatusOr<std::map<std::string, std::string>> parsed = ParseConninfo(options.url);
  if (!parsed.ok()) return parsed.status();
  std::map<std::string, std::string>& keywords = *parsed;
  keywords.try_emplace("connect_timeout", absl::StrCat(std::max<int64_t>(2, absl::ToInt64Seconds(options.connect_timeout))));
  keywords.try_emplace("tcp_user_timeout", absl::StrCat(absl::ToInt64Milliseconds(options.tcp_user_timeout)));
  keywords.try_emplace("keepalives", "1");
  keywords.try_emplace("keepalives_idle", "5");
  keywords.try_emplace("keepalives_interval", "2");
  keywords.try_emplace("keepalives_count", "3");
  keywords.try_emplace("client_encoding", "UTF8");
  if (!options.application_name.empty()) keywords.try_emplace("application_name", options.application_name);
  std::string& server = keywords["options"];
  absl::StrAppend(&server, server.empty() ? "" : " ", "-c client_min_messages=warning -c statement_timeout=",
                  absl::ToInt64Milliseconds(options.statement_timeout), " -c lock_timeout=",
                  absl::ToInt64Milliseconds(options.lock_timeout), " -c idle_in_transaction_session_timeout=",
                  absl::ToInt64Milliseconds(options.statement_timeout * 3));
  std::string conninfo;
  for (const auto& [keyword, value] : keywords) {
    absl::StrAppend(&conninfo, conninfo.empty() ? "" : " ", keyword, "='",
                    absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
  }
  return conninfo;
}

// libpq's words on a failed connection, on one line: they name host and user, never the password.
std::string FirstLine(const char* text) {
  absl::string_view line(text);
  absl::ConsumePrefix(&line, "Cannot establish connection to the database.");
  while (absl::ConsumePrefix(&line, "\n")) {
  }
  return std::string(line.substr(0, line.find('\n')));
}

}  // namespace

struct Pool::Metrics {
  explicit Metrics(std::shared_ptr<prometheus::Registry> given)
      : registry(given ? std::move(given) : std::make_shared<prometheus::Registry>()),
        errors(prometheus::BuildCounter()
                   .Name("stockalert_postgres_errors_total")
                   .Help("Failed work by SQLSTATE class; 08 is a lost connection, lease an exhausted pool.")
                   .Register(*registry)),
        retries(prometheus::BuildCounter()
                    .Name("stockalert_postgres_retries_total")
                    .Help("Transactions that were run again.")
                    .Register(*registry)),
        lent(prometheus::BuildGauge()
                 .Name("stockalert_postgres_connections_lent")
                 .Help("Connections in use.")
                 .Register(*registry)
                 .Add({})),
        connections_max(prometheus::BuildGauge()
                            .Name("stockalert_postgres_connections_max")
                            .Help("Connections that may be in use at once.")
                            .Register(*registry)
                            .Add({})),
        seconds(prometheus::BuildHistogram()
                    .Name("stockalert_postgres_transaction_seconds")
                    .Help("How long transactions took, retries included.")
                    .Register(*registry)) {}

  std::shared_ptr<prometheus::Registry> registry;
  prometheus::Family<prometheus::Counter>& errors;
  prometheus::Family<prometheus::Counter>& retries;
  prometheus::Gauge& lent;
  prometheus::Gauge& connections_max;
  prometheus::Family<prometheus::Histogram>& seconds;
};

Connection::Connection(const std::string& conninfo) : session_(std::make_unique<soci::session>(soci::postgresql, conninfo)) {}
Connection::~Connection() = default;

Lease::~Lease() {
  if (pool_ != nullptr) pool_->GiveBack(std::move(connection_), discard_);
}

absl::StatusOr<std::unique_ptr<Pool>> Pool::Create(const PoolOptions& options) {
  if (options.connections_max < 1) return absl::InvalidArgumentError("a pool needs at least one connection");
  absl::StatusOr<std::string> conninfo = MakeConninfo(options);
  if (!conninfo.ok()) return conninfo.status();
  return std::unique_ptr<Pool>(new Pool(options, *std::move(conninfo)));
}

Pool::Pool(const PoolOptions& options, std::string conninfo)
    : options_(options), conninfo_(std::move(conninfo)), metrics_(std::make_unique<Metrics>(options.registry)) {
  metrics_->connections_max.Set(options.connections_max);
}

Pool::~Pool() = default;

absl::StatusOr<Lease> Pool::Acquire() {
  std::unique_ptr<Connection> connection;
  {
    std::unique_lock lock(mutex_);
    if (!freed_.wait_for(lock, absl::ToChronoMilliseconds(options_.lease_timeout),
                         [&] { return lent_ < options_.connections_max; })) {
      lock.unlock();
      CountError("lease", "lease");
      return absl::ResourceExhaustedError("all database connections are busy; try again, or raise the pool's size");
    }
    ++lent_;
    metrics_->lent.Set(lent_);
    if (!idle_.empty()) {
      connection = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  // From here the slot goes back by the lease.
  Lease lease(this, std::move(connection));
  if (lease.connection_) return lease;
  try {
    lease.connection_ = std::make_unique<Connection>(conninfo_);
  } catch (const std::exception& error) {
    CountError("connect", "08001");
    static log::Limiter limiter(absl::Seconds(5));
    if (const auto suppressed = limiter.Allow()) {
      log::Warning("Postgres: no connection; callers get UNAVAILABLE until the database answers",
                   {{"reason", FirstLine(error.what())}, {"suppressed", *suppressed}});
    }
    return absl::UnavailableError("the database cannot be reached");
  }
  return lease;
}

void Pool::GiveBack(std::unique_ptr<Connection> connection, bool discard) {
  if (discard) connection.reset();
  {
    const std::lock_guard lock(mutex_);
    --lent_;
    metrics_->lent.Set(lent_);
    if (connection) idle_.push_back(std::move(connection));
  }
  freed_.notify_one();
}

void Pool::DropIdle() {
  std::vector<std::unique_ptr<Connection>> dropped;
  const std::lock_guard lock(mutex_);
  dropped.swap(idle_);
}

absl::Status Pool::Ready() {
  absl::StatusOr<Lease> lease = Acquire();
  if (!lease.ok()) return lease.status();
  try {
    int one = 0;
    lease->sql() << "SELECT 1", soci::into(one);
  } catch (const std::exception&) {
    lease->Discard();
    DropIdle();
    CountError("ready", "08006");
    return absl::UnavailableError("the database does not answer");
  }
  return absl::OkStatus();
}

void Pool::CountError(const std::string& operation, const std::string& sqlstate) {
  metrics_->errors.Add({{"operation", operation}, {"class", sqlstate == "lease" ? sqlstate : sqlstate.substr(0, 2)}}).Increment();
}

void Pool::CountRetry(const std::string& operation) { metrics_->retries.Add({{"operation", operation}}).Increment(); }

void Pool::ObserveTransaction(const std::string& operation, absl::Duration took) {
  static const prometheus::Histogram::BucketBoundaries kSeconds = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
                                                                   0.1,    0.2,   0.5,   1,     2,    5,    10};
  metrics_->seconds.Add({{"operation", operation}}, kSeconds).Observe(absl::ToDoubleSeconds(took));
}

}  // namespace stockalert::postgres
