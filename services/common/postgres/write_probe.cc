#include "services/common/postgres/write_probe.h"

#include <soci/soci.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/postgres/transaction.h"

namespace stockalert::postgres {
namespace {

// Enough for a page of its own; and what no page has left over, to be written before writes count as taken again.
constexpr size_t kBytes = 8 * 1024;
constexpr size_t kLargeBytes = 1024 * 1024;

std::string RandomText(size_t bytes) {
  std::mt19937_64 random{std::random_device{}()};
  std::uniform_int_distribution<int> letter(0, 63);
  std::string text(bytes, ' ');
  for (char& c : text) c = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[letter(random)];
  return text;
}

}  // namespace

WriteProbe::WriteProbe(Pool& pool, const WriteProbeOptions& options, std::function<void(bool)> on_change)
    : pool_(pool), options_(options), on_change_(std::move(on_change)), heartbeat_("store_writes"), thread_([this] {
        Run();
      }) {}

WriteProbe::~WriteProbe() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
  }
  stopped_.NotifyAll();
  thread_.join();
}

absl::Status WriteProbe::Write(bool large) {
  const std::string payload = RandomText(large ? kLargeBytes : kBytes);
  const std::string text = absl::StrCat("INSERT INTO ", options_.schema,
                                        ".write_probe (id, payload) VALUES (1, :payload)"
                                        " ON CONFLICT (id) DO UPDATE SET payload = excluded.payload");
  return Transact(pool_, "store.write_probe", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
    connection.sql() << text, soci::use(payload, "payload");
    return absl::OkStatus();
  });
}

void WriteProbe::Run() {
  auto& gauge = metrics::GetGauge("stockalert_store_writable", "1 where the database takes the service's writes");
  gauge.Set(1);
  bool writable = true;
  base::MutexLock lock(mutex_);
  while (!stopping_) {
    lock.Unlock();
    heartbeat_.Beat();
    const absl::Status written = Write(!writable);
    const bool now_writable = base::MonotonicNow() - pool_.write_refused_at() > options_.refused_for;
    if (now_writable != writable) {
      writable = now_writable;
      gauge.Set(writable ? 1 : 0);
      if (writable) {
        log::Info("the database takes writes again", {{"schema", options_.schema}});
      } else {
        log::Error(
            "the database takes no writes: reads and streams go on, what changes something fails; look at its disk",
            {{"schema", options_.schema}, {"error", written}});
      }
      on_change_(writable);
    }
    lock.Lock();
    stopped_.WaitFor(lock, options_.interval, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
  }
  heartbeat_.End();
}

}  // namespace stockalert::postgres
