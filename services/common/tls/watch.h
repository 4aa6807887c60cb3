// Keeps an eye on files of TLS while the service runs: tells when they were changed, when they cannot be used, and when
// they expire.
//
// Whoever uses the files reads them by itself; this makes the outcome visible. Metrics, labelled by the files' role:
// stockalert_tls_certificate_expiry_time_seconds (when what was last found fit expires) and
// stockalert_tls_files_unusable (1 while what lies there is unfit). Has a thread of its own; ends with its destructor.
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/mutex.h"
#include "services/common/process/liveness.h"

namespace stockalert::tls {

struct Watched {
  std::string role;                // "public_cert"; the label in metrics, so one of a fixed few.
  std::vector<std::string> paths;  // A change of one of them is told.
  // Looks at the files as at the start; answers when they expire.
  std::function<absl::StatusOr<absl::Time>()> check;
  // What a change means: "new connections use them".
  std::string on_change;
};

// Which files lie at the paths now; another text after any of them was written or swapped. No error: what is not there
// is a state too.
std::string Fingerprint(const std::vector<std::string>& paths);

class Watch {
 public:
  Watch(std::vector<Watched> watched, absl::Duration interval);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  void Run(absl::Duration interval);

  const std::vector<Watched> watched_;
  base::Mutex mutex_;
  base::ConditionVariable changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  process::Heartbeat heartbeat_;
  std::thread thread_;
};

}  // namespace stockalert::tls
