#include "services/common/postgres/pool.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <pthread.h>
#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/log/log.h"
#include "services/common/postgres/conninfo.h"

namespace stockalert::postgres {
namespace {

// The caller's URL as keywords, with our limits where the URL does not set its own.
absl::StatusOr<std::string> MakeConninfo(const PoolOptions& options) {
  absl::StatusOr<std::map<std::string, std::string>> parsed = ParseConninfo(options.url);
  if (!parsed.ok()) return parsed.status();
  std::map<std::string, std::string>& keywords = *parsed;
  keywords.try_emplace("connect_timeout",
                       absl::StrCat(std::max<int64_t>(2, absl::ToInt64Seconds(options.connect_timeout))));
  keywords.try_emplace("tcp_user_timeout", absl::StrCat(absl::ToInt64Milliseconds(options.tcp_user_timeout)));
  keywords.try_emplace("keepalives", "1");
  keywords.try_emplace("keepalives_idle", "5");
  keywords.try_emplace("keepalives_interval", "2");
  keywords.try_emplace("keepalives_count", "3");
  keywords.try_emplace("client_encoding", "UTF8");
  if (!options.application_name.empty()) keywords.try_emplace("application_name", options.application_name);
  std::string& server = keywords["options"];
  absl::StrAppend(&server, server.empty() ? "" : " ", "-c client_min_messages=warning -c statement_timeout=",
                  absl::ToInt64Milliseconds(options.statement_timeout),
                  " -c lock_timeout=", absl::ToInt64Milliseconds(options.lock_timeout),
                  " -c idle_in_transaction_session_timeout=", absl::ToInt64Milliseconds(options.statement_timeout * 3));
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

Connection::Connection(const std::string& conninfo)
    : session_(std::make_unique<soci::session>(soci::postgresql, conninfo)) {
  auto* backend = static_cast<soci::postgresql_session_backend*>(session_->get_backend());
  if (const int socket = PQsocket(backend->conn_); socket >= 0) socket_ = fcntl(socket, F_DUPFD_CLOEXEC, 0);
}

Connection::~Connection() {
  kept_.clear();
  session_.reset();
  if (socket_ >= 0) close(socket_);
}

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
  watch_ = std::thread([this] { Watch(); });
  pthread_setname_np(watch_.native_handle(), "postgres");
}

Pool::~Pool() {
  {
    base::MutexLock lock(mutex_);
    ending_ = true;
  }
  ends_.NotifyAll();
  watch_.join();
}

void Pool::Watch() {
  const absl::Duration interval = std::clamp(options_.answer_grace / 5, absl::Milliseconds(10), absl::Seconds(1));
  base::MutexLock lock(mutex_);
  while (!ends_.WaitFor(lock, interval, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ending_; }))
    EndUnanswered();
}

void Pool::EndUnanswered() {
  const int64_t patience_ms = absl::ToInt64Milliseconds(options_.statement_timeout + options_.answer_grace);
  for (const Connection* connection : in_use_) {
    tcp_info info{};
    socklen_t length = sizeof(info);
    // A socket of the file system has no such times, and its server no such troubles.
    if (connection->socket() < 0 || getsockopt(connection->socket(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
      continue;
    // Neither asked nor answered: which came last cannot be told, for the kernel counts in ticks of a few milliseconds.
    const int64_t silent_ms = std::min(info.tcpi_last_data_sent, info.tcpi_last_data_recv);
    if (silent_ms < patience_ms || info.tcpi_state != TCP_ESTABLISHED) continue;
    metrics_->errors.Add({{"operation", "answer"}, {"class", "08"}}).Increment();
    log::Error("Postgres: no answer, for longer than the server lets a statement take: the connection is ended",
               {{"silent_ms", silent_ms}});
    shutdown(connection->socket(), SHUT_RDWR);
  }
}

absl::StatusOr<Lease> Pool::Acquire() {
  std::unique_ptr<Connection> connection;
  {
    base::MutexLock lock(mutex_);
    if (!freed_.WaitFor(lock, options_.lease_timeout,
                        [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return lent_ < options_.connections_max; })) {
      lock.Unlock();
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
  try {
    if (!lease.connection_) lease.connection_ = std::make_unique<Connection>(conninfo_);
  } catch (const std::exception& error) {
    CountError("connect", "08001");
    static log::Limiter limiter(absl::Seconds(5));
    if (const auto suppressed = limiter.Allow()) {
      log::Warning("Postgres: no connection; callers get UNAVAILABLE until the database answers",
                   {{"reason", FirstLine(error.what())}, {"suppressed", *suppressed}});
    }
    return absl::UnavailableError("the database cannot be reached");
  }
  base::MutexLock lock(mutex_);
  in_use_.insert(lease.connection_.get());
  return lease;
}

void Pool::GiveBack(std::unique_ptr<Connection> connection, bool discard) {
  {
    base::MutexLock lock(mutex_);
    in_use_.erase(connection.get());
  }
  if (discard) connection.reset();
  {
    base::MutexLock lock(mutex_);
    --lent_;
    metrics_->lent.Set(lent_);
    if (connection) idle_.push_back(std::move(connection));
  }
  freed_.NotifyOne();
}

void Pool::DropIdle() {
  std::vector<std::unique_ptr<Connection>> dropped;
  base::MutexLock lock(mutex_);
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
  // disk_full, io_error, read_only_sql_transaction.
  if (sqlstate == "53100" || sqlstate == "58030" || sqlstate == "25006") {
    write_refused_us_.store(absl::ToInt64Microseconds(base::MonotonicNow()), std::memory_order_relaxed);
  }
  metrics_->errors.Add({{"operation", operation}, {"class", sqlstate == "lease" ? sqlstate : sqlstate.substr(0, 2)}})
      .Increment();
}

void Pool::CountRetry(const std::string& operation) { metrics_->retries.Add({{"operation", operation}}).Increment(); }

void Pool::ObserveTransaction(const std::string& operation, absl::Duration took) {
  static const prometheus::Histogram::BucketBoundaries kSeconds = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
                                                                   0.1,    0.2,   0.5,   1,     2,    5,    10};
  metrics_->seconds.Add({{"operation", operation}}, kSeconds).Observe(absl::ToDoubleSeconds(took));
}

}  // namespace stockalert::postgres
