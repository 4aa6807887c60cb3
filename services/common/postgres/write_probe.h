// Whether the database accepts a service's writes. With a full disk, a server made read-only, or a standby every read
// works and no write does, so that all looks well until somebody changes something.
//
// Writes the one row of SCHEMA.write_probe every few seconds, and counts what the service's own transactions met
// (Pool): writes that were refused within the last kRefusedFor mean that none are taken. A database that is away
// altogether is another matter, which readiness tells, and changes nothing here. Gauge: stockalert_store_writable. One
// thread of its own, which asks with the pool's own bounds.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/base/mutex.h"
#include "services/common/postgres/pool.h"
#include "services/common/process/liveness.h"

namespace stockalert::postgres {

struct WriteProbeOptions {
  std::string schema;  // "stockalert_user".
  absl::Duration interval = absl::Seconds(5);
  // Longer than it takes to find the same again.
  absl::Duration refused_for = absl::Seconds(15);
};

class WriteProbe {
 public:
  // Begins at once. `on_change` is told on the probe's thread, first when something is known that is not "writable".
  // Both must outlive it.
  WriteProbe(Pool& pool, const WriteProbeOptions& options, std::function<void(bool writable)> on_change);
  ~WriteProbe();
  WriteProbe(const WriteProbe&) = delete;
  WriteProbe& operator=(const WriteProbe&) = delete;

 private:
  void Run();
  absl::Status Write(bool large);

  Pool& pool_;
  const WriteProbeOptions options_;
  const std::function<void(bool)> on_change_;
  base::Mutex mutex_;
  base::ConditionVariable stopped_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  process::Heartbeat heartbeat_;
  std::thread thread_;
};

}  // namespace stockalert::postgres
