#include "services/common/process/run_main.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/abseil.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/common/log/log.h"
#include "services/common/process/health_check.h"
#include "services/common/process/liveness.h"
#include "services/common/version/version.h"

namespace stockalert::process {
namespace {

struct StopState {
  base::Mutex mutex;
  base::ConditionVariable changed;
  bool requested ABSL_GUARDED_BY(mutex) = false;
  bool failed ABSL_GUARDED_BY(mutex) = false;
  bool ended ABSL_GUARDED_BY(mutex) = false;  // The process has stopped in order.
};

StopState& TheStop() {
  static StopState* const state = new StopState;
  return *state;
}

void RequestStop(bool failed) {
  StopState& state = TheStop();
  {
    base::MutexLock lock(state.mutex);
    state.requested = true;
    state.failed = state.failed || failed;
  }
  state.changed.NotifyAll();
}

[[noreturn]] void ExitNow(const char* why) {
  log::Error(why);
  _exit(1);
}

// Each connection is a file, and the limit that a shell or a container begins with is for programs that have few.
void RaiseFileLimit() {
  constexpr rlim_t kFilesMax = rlim_t{1} << 20;  // More would be nobody's connections.
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = std::min(limit.rlim_max, kFilesMax);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
    log::Warning("the limit of open files cannot be raised", {{"files", wanted}});
}

// Where nobody asks for /healthz, and ends what is not alive, the process does it: after so many times the bound, when
// anybody who asks has long since acted.
constexpr int kStuckBounds = 3;
constexpr absl::Duration kLookInterval = absl::Milliseconds(500);

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

// Takes the signals in a thread of its own, so that a Start that waits can be stopped too, and a Stop that hangs can be
// ended.
void WatchSignals(absl::Duration grace) {
  const sigset_t signals = StopSignals();
  bool signalled = false;
  bool stuck = false;
  absl::Duration next_look = base::MonotonicNow() + kLookInterval;
  absl::Duration give_up = absl::InfiniteDuration();
  for (;;) {
    const timespec tick = {0, 100'000'000};
    const int signal = sigtimedwait(&signals, nullptr, &tick);
    if (signal > 0) {
      if (signalled) ExitNow("a second signal: ending at once");
      signalled = true;
      log::Info("asked to stop", {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"}});
      RequestStop(false);
    }
    if (!stuck && base::MonotonicNow() >= next_look) {
      next_look = base::MonotonicNow() + kLookInterval;
      for (const auto& [name, age] : Liveness::OfProcess().FindStuck()) {
        if (age.age < kStuckBounds * age.bound) continue;
        stuck = true;
        RequestFailureStop(absl::StrCat(name, " is stuck for good: whoever started the service starts it anew"));
        break;
      }
    }
    StopState& state = TheStop();
    base::MutexLock lock(state.mutex);
    if (state.ended) return;
    if (state.requested && give_up == absl::InfiniteDuration())
      give_up = base::MonotonicNow() + grace + absl::Seconds(5);
    if (base::MonotonicNow() > give_up) ExitNow("the service did not stop in time: ending at once");
  }
}

// Another run's configuration may need secrets and files that this one does not have.
int HealthCheckMain(int argc, char** argv, const Program& program, config::Parser& parser) {
  const config::ParseResult parsed = parser.ParseOnly({"http_address"}, argc, argv);
  std::string address;
  for (const auto& [name, value] : parser.Describe()) {
    if (name == "http_address") address = value;
  }
  absl::Status status;
  if (!parsed.errors.empty()) {
    status = absl::InvalidArgumentError(base::ToAbsl(parsed.errors.front()));
  } else if (address.empty()) {
    status = absl::InvalidArgumentError("there is no --http_address to ask");
  } else {
    status = CheckHealth(address);
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s: %s\n", program.name.c_str(), std::string(status.message()).c_str());
  return 1;
}

// Where nothing is to be run: the help or the version, or what is wrong with the configuration.
int ShowInstead(const config::ParseResult& parsed, const std::string& program) {
  if (parsed.kind == config::ParseResult::Kind::kShow) {
    std::fputs(parsed.text.c_str(), stdout);
    return 0;
  }
  for (const std::string& error : parsed.errors) std::fprintf(stderr, "%s: %s\n", program.c_str(), error.c_str());
  std::fprintf(stderr, "%s: nothing was started; %s --help tells the flags\n", program.c_str(), program.c_str());
  return 2;
}

// From its creation to its end, which is asked for by a signal or by itself. The exit code.
int RunApp(const Program& program, absl::Duration grace) {
  absl::StatusOr<std::unique_ptr<App>> app = program.create();
  if (!app.ok()) {
    log::Error("cannot start", {{"error", app.status()}});
    return 1;
  }
  const absl::Status started = (*app)->Start();
  if (started.ok()) {
    log::Info("started");
    AwaitStopRequest(absl::InfiniteDuration());
  } else if (StopRequested()) {
    log::Info("stopped before it had started");
  } else {
    log::Error("cannot start", {{"error", started}});
    RequestStop(true);
  }
  (*app)->Stop(absl::Now() + grace);
  app->reset();
  bool failed = false;
  {
    base::MutexLock lock(TheStop().mutex);
    failed = TheStop().failed;
  }
  log::Info("stopped");
  return failed ? 1 : 0;
}

}  // namespace

bool StopRequested() {
  base::MutexLock lock(TheStop().mutex);
  return TheStop().requested;
}

bool AwaitStopRequest(absl::Duration timeout) {
  StopState& state = TheStop();
  base::MutexLock lock(state.mutex);
  const auto requested = [&state]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex) { return state.requested; };
  if (timeout == absl::InfiniteDuration()) {
    state.changed.Wait(lock, requested);
  } else {
    state.changed.WaitFor(lock, timeout, requested);
  }
  return state.requested;
}

void RequestFailureStop(std::string_view reason) {
  log::Error("the service cannot go on and stops", {{"reason", reason}});
  RequestStop(true);
}

int RunMain(int argc, char** argv, const Program& program) {
  // Before any thread: each inherits the mask, so that signals arrive where they are waited for.
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  std::string log_level = "info";
  absl::Duration grace = absl::Seconds(10);
  bool healthcheck = false;
  config::Parser parser(program.name, program.description, version::Text());
  if (program.declare) program.declare(parser);
  parser.AddChoice("log_level", &log_level, {"debug", "info", "warning", "error"}, "the lowest level that is logged");
  parser.AddSeconds("shutdown_grace_s", &grace, absl::Seconds(1), absl::Seconds(300),
                    "how long running work may take to end");
  parser.AddBoolean("healthcheck", &healthcheck,
                    "only ask the service that runs with this --http_address whether it is ready: exit code 0 where it "
                    "is, else 1 and why");
  if (parser.ParseOnly({"healthcheck"}, argc, argv).kind == config::ParseResult::Kind::kRun && healthcheck) {
    return HealthCheckMain(argc, argv, program, parser);
  }
  const config::ParseResult parsed = parser.Parse(argc, argv);
  if (parsed.kind != config::ParseResult::Kind::kRun) return ShowInstead(parsed, program.name);

  log::Configure(program.name, *log::ParseLevel(log_level));
  RaiseFileLimit();
  log::Info("starting", {{"version", version::Text()}, {"pid", getpid()}});
  for (const std::string& warning : parsed.warnings) log::Warning("an old name of a setting", {{"what", warning}});
  for (const auto& [name, value] : parser.Describe()) log::Info("setting", {{"name", name}, {"value", value}});

  std::thread watcher([grace] { WatchSignals(grace); });
  const int code = RunApp(program, grace);
  {
    base::MutexLock lock(TheStop().mutex);
    TheStop().ended = true;
  }
  watcher.join();
  return code;
}

}  // namespace stockalert::process
