// A bounded pool of PostgreSQL connections on SOCI, which opens them when they are first needed and heals dead ones.
//
// Pool is thread-safe; a Lease and its session belong to one thread. The pool starts even while the database is down:
// leases then fail with UNAVAILABLE, and succeed once it is back. The lease timeout bounds the wait for a free
// connection. Waiting for an answer is bounded, too, although libpq has no limit for it: a frozen server still
// acknowledges what is sent but no longer applies its own timeouts, so a thread of the pool closes a leased connection
// that was silent for longer than the statement timeout plus answer_grace. Failures are counted
// (stockalert_postgres_errors_total by SQLSTATE class) and logged without SQL text or values.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <typeindex>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/mutex.h"

namespace soci {
class session;
}
namespace prometheus {
class Registry;
}

namespace stockalert::postgres {

struct PoolOptions {
  // A libpq URL or keyword string; may hold a password, so it is never logged.
  std::string url;
  std::string application_name;
  int connections_max = 4;
  absl::Duration lease_timeout = absl::Seconds(2);
  absl::Duration connect_timeout = absl::Seconds(2);
  absl::Duration statement_timeout = absl::Seconds(10);
  absl::Duration lock_timeout = absl::Seconds(5);
  // How long sent bytes may stay unacknowledged before the connection counts as dead.
  absl::Duration tcp_user_timeout = absl::Seconds(5);
  // How much longer than statement_timeout a leased connection may be silent before it counts as dead.
  absl::Duration answer_grace = absl::Seconds(10);
  std::shared_ptr<prometheus::Registry> registry;  // None: counted, but not exposed.
};

// One connection: its session, and the prepared statements that are kept with it.
class Connection {
 public:
  explicit Connection(const std::string& conninfo);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  soci::session& sql() { return *session_; }

  // Another descriptor of its socket, which stays the same whatever libpq does with its own; -1 where there is none.
  int socket() const { return socket_; }

  // This connection's instance of T, a struct of a prepared soci::statement and the variables bound to it. Made by
  // T(soci::session&) at its first use and dropped when the connection is replaced.
  template <typename T>
  T& KeptStatement() {
    std::shared_ptr<void>& slot = kept_[std::type_index(typeid(T))];
    if (!slot) slot = std::make_shared<T>(sql());
    return *static_cast<T*>(slot.get());
  }
  // Outside a transaction. After a failure: SOCI 4.0.3 frees what it sent with a statement that failed only with the
  // statement.
  void DropKeptStatements() { kept_.clear(); }

 private:
  std::unique_ptr<soci::session> session_;
  int socket_ = -1;
  std::unordered_map<std::type_index, std::shared_ptr<void>> kept_;
};

class Pool;

// A connection on loan; goes back to the pool when it is destroyed.
class Lease {
 public:
  Lease(Lease&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), connection_(std::move(other.connection_)) {}
  Lease& operator=(Lease&& other) = delete;
  ~Lease();

  Connection& connection() { return *connection_; }
  soci::session& sql() { return connection_->sql(); }
  // The connection will be closed instead of returned to the pool.
  void Discard() { discard_ = true; }

 private:
  friend class Pool;
  Lease(Pool* pool, std::unique_ptr<Connection> connection) : pool_(pool), connection_(std::move(connection)) {}

  Pool* pool_;
  std::unique_ptr<Connection> connection_;
  bool discard_ = false;
};

class Pool {
 public:
  // INVALID_ARGUMENT for a URL that libpq cannot read or limits that make no sense; never for a database that is down.
  static absl::StatusOr<std::unique_ptr<Pool>> Create(const PoolOptions& options);
  ~Pool();

  // UNAVAILABLE: no connection could be opened; RESOURCE_EXHAUSTED: all are lent and none came back within the lease
  // timeout.
  absl::StatusOr<Lease> Acquire();

  // OK where the database answers a query now; used by /readyz.
  absl::Status Ready();

  const PoolOptions& options() const { return options_; }
  // For Transact, which knows the outcome: counts an error by its SQLSTATE class.
  void CountError(const std::string& operation, const std::string& sqlstate);
  void CountRetry(const std::string& operation);
  // When the database last refused a write because it takes none now (its disk is full or failing, or it is read-only),
  // by the monotonic clock; long ago where it never did.
  absl::Duration write_refused_at() const {
    return absl::Microseconds(write_refused_us_.load(std::memory_order_relaxed));
  }
  void ObserveTransaction(const std::string& operation, absl::Duration took);
  // Closes idle connections: after one connection died, the others of that time are probably dead, too.
  void DropIdle();

 private:
  friend class Lease;
  struct Metrics;
  // Far before any reading of the clock, and not so far that a difference would not fit.
  static constexpr int64_t kNeverUs = -(int64_t{1} << 60);
  Pool(const PoolOptions& options, std::string conninfo);
  void GiveBack(std::unique_ptr<Connection> connection, bool discard);
  // A connection that is in use is not closed meanwhile.
  void EndUnanswered() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Watch();

  const PoolOptions options_;
  const std::string conninfo_;
  std::unique_ptr<Metrics> metrics_;
  base::Mutex mutex_;
  base::ConditionVariable freed_;
  std::vector<std::unique_ptr<Connection>> idle_ ABSL_GUARDED_BY(mutex_);
  int lent_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unordered_set<const Connection*> in_use_ ABSL_GUARDED_BY(mutex_);  // Those that are lent.
  std::atomic<int64_t> write_refused_us_{kNeverUs};
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  base::ConditionVariable ends_;
  std::thread watch_;
};

}  // namespace stockalert::postgres
