#include "services/common/tls/watch.h"

#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::tls {
namespace {

constexpr absl::Duration kComplaintInterval = absl::Minutes(1);

// Two looks apart, so that files seen in the middle of being swapped are no complaint.
constexpr int kFailuresToTell = 2;

// One role's files over time. Belongs to the watching thread.
class WatchedFiles {
 public:
  explicit WatchedFiles(const Watched& watched)
      : watched_(watched),
        fingerprint_(Fingerprint(watched.paths)),
        expiry_(metrics::GetGauge("stockalert_tls_certificate_expiry_time_seconds",
                                  "When the certificate or authority expires, in Unix time.",
                                  {{"file_role", watched.role}})),
        unusable_(metrics::GetGauge("stockalert_tls_files_unusable",
                                    "1 while the TLS files that lie there cannot be used.",
                                    {{"file_role", watched.role}})) {}

  void Check() {
    const std::string fingerprint = Fingerprint(watched_.paths);
    const absl::StatusOr<absl::Time> expiry = watched_.check();
    if (expiry.ok()) {
      expiry_.Set(static_cast<double>(absl::ToUnixSeconds(*expiry)));
      unusable_.Set(0);
      if (fingerprint != fingerprint_ || failures_ >= kFailuresToTell) {
        log::Info(absl::StrCat("TLS files were changed: ", watched_.on_change),
                  {{"file_role", watched_.role},
                   {"expire_time", absl::FormatTime(absl::RFC3339_sec, *expiry, absl::UTCTimeZone())}});
      }
      fingerprint_ = fingerprint;
      failures_ = 0;
      return;
    }
    if (++failures_ < kFailuresToTell) return;
    unusable_.Set(1);
    if (base::MonotonicNow() < next_complaint_) return;
    next_complaint_ = base::MonotonicNow() + kComplaintInterval;
    log::Error("TLS files cannot be used; mend them before new connections need them",
               {{"file_role", watched_.role}, {"error", expiry.status()}});
  }

 private:
  const Watched& watched_;
  std::string fingerprint_;
  prometheus::Gauge& expiry_;
  prometheus::Gauge& unusable_;
  int failures_ = 0;
  absl::Duration next_complaint_ = -absl::InfiniteDuration();
};

}  // namespace

std::string Fingerprint(const std::vector<std::string>& paths) {
  std::string text;
  for (const std::string& path : paths) {
    struct stat info{};
    if (stat(path.c_str(), &info) != 0) info = {};
    // A swap by a link changes the inode.
    absl::StrAppend(&text, info.st_dev, ":", info.st_ino, ":", info.st_size, ":", info.st_mtim.tv_sec, ".",
                    info.st_mtim.tv_nsec, " ");
  }
  return text;
}

Watch::Watch(std::vector<Watched> watched, absl::Duration interval)
    : watched_(std::move(watched)),
      heartbeat_("tls_watch", process::Liveness::kBound + interval),
      thread_([this, interval] { Run(interval); }) {}

Watch::~Watch() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void Watch::Run(absl::Duration interval) {
  std::vector<WatchedFiles> watched_files;
  watched_files.reserve(watched_.size());
  for (const Watched& watched : watched_) watched_files.emplace_back(watched);
  base::MutexLock lock(mutex_);
  while (!stopping_) {
    lock.Unlock();
    heartbeat_.Beat();
    for (WatchedFiles& files : watched_files) files.Check();
    lock.Lock();
    changed_.WaitFor(lock, interval, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
  }
  heartbeat_.End();
}

}  // namespace stockalert::tls
