// The life of a process is tested in processes of their own: each case forks.
#include "services/common/process/run_main.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/process/liveness.h"

namespace stockalert::process {
namespace {

class TestApp final : public App {
 public:
  TestApp(int pipe, std::function<absl::Status()> start, std::function<void()> stop)
      : pipe_(pipe), start_(std::move(start)), stop_(std::move(stop)) {}
  absl::Status Start() override {
    Say('S');
    return start_();
  }
  void Stop(absl::Time) override {
    stop_();
    Say('E');
  }

 private:
  void Say(char c) {
    if (write(pipe_, &c, 1) != 1) _exit(99);
  }
  int pipe_;
  std::function<absl::Status()> start_;
  std::function<void()> stop_;
};

struct Child {
  pid_t pid;
  int pipe;

  // The next letter that the child says, or 0 when it has ended.
  char Next() {
    pollfd event{pipe, POLLIN, 0};
    char c = 0;
    REQUIRE(poll(&event, 1, 20'000) == 1);
    return read(pipe, &c, 1) == 1 ? c : '\0';
  }
  int Wait() {
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    close(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
};

Child Launch(
    std::vector<std::string> arguments, std::function<absl::Status()> start, std::function<void()> stop = [] {}) {
  int pipes[2];
  REQUIRE(pipe(pipes) == 0);
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    close(pipes[0]);
    const int null = open("/dev/null", O_WRONLY);
    if (null < 0) _exit(99);
    dup2(null, 1);
    dup2(null, 2);
    std::vector<char*> argv;
    arguments.insert(arguments.begin(), "stockalert-test");
    argv.reserve(arguments.size());
    for (std::string& argument : arguments) argv.push_back(argument.data());
    const int code = RunMain(static_cast<int>(argv.size()), argv.data(),
                             {.name = "stockalert-test",
                              .description = "A test",
                              .declare = {},
                              .create = [&]() -> absl::StatusOr<std::unique_ptr<App>> {
                                return std::make_unique<TestApp>(pipes[1], start, stop);
                              }});
    _exit(code);
  }
  close(pipes[1]);
  return Child{pid, pipes[0]};
}

TEST_CASE("a signal stops the app in order") {
  for (const int signal : {SIGTERM, SIGINT}) {
    Child child = Launch({}, [] { return absl::OkStatus(); });
    REQUIRE(child.Next() == 'S');
    kill(child.pid, signal);
    CHECK(child.Next() == 'E');
    CHECK(child.Wait() == 0);
  }
}

TEST_CASE("an app that cannot start is stopped, and the process exits with 1") {
  Child child = Launch({}, [] { return absl::UnavailableError("no database"); });
  CHECK(child.Next() == 'S');
  CHECK(child.Next() == 'E');
  CHECK(child.Wait() == 1);
}

TEST_CASE("an app that cannot go on stops in order and exits with 1") {
  Child child = Launch({}, [] {
    RequestFailureStop("fenced");
    return absl::OkStatus();
  });
  CHECK(child.Next() == 'S');
  CHECK(child.Next() == 'E');
  CHECK(child.Wait() == 1);
}

TEST_CASE("an app with a stuck loop stops and exits with 1") {
  Child child = Launch({}, [] {
    static Heartbeat heartbeat("test_loop", absl::Milliseconds(50));
    heartbeat.Beat();
    return absl::OkStatus();
  });
  CHECK(child.Next() == 'S');
  CHECK(child.Next() == 'E');
  CHECK(child.Wait() == 1);
}

TEST_CASE("the limit of open files is raised to the hard one") {
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit low = before;
  low.rlim_cur = 256;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
  Child child = Launch({}, [] {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur != std::min(limit.rlim_max, rlim_t{1} << 20)) return absl::InternalError("it is not raised");
    kill(getpid(), SIGTERM);
    return absl::OkStatus();
  });
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(child.Next() == 'S');
  CHECK(child.Next() == 'E');
  CHECK(child.Wait() == 0);
}

TEST_CASE("a Start that waits is woken by a signal") {
  Child child = Launch({}, [] {
    return AwaitStopRequest(absl::Seconds(60)) ? absl::CancelledError("asked to stop") : absl::OkStatus();
  });
  REQUIRE(child.Next() == 'S');
  kill(child.pid, SIGTERM);
  CHECK(child.Next() == 'E');
  CHECK(child.Wait() == 0);
}

TEST_CASE("a second signal ends a Stop that hangs") {
  int pipes[2];
  REQUIRE(pipe(pipes) == 0);
  Child child = Launch(
      {"--shutdown_grace_s=60"}, [] { return absl::OkStatus(); },
      [write_end = pipes[1]] {
        if (write(write_end, "H", 1) != 1) _exit(99);
        absl::SleepFor(absl::Seconds(100));
      });
  REQUIRE(child.Next() == 'S');
  kill(child.pid, SIGTERM);
  char c = 0;
  REQUIRE(read(pipes[0], &c, 1) == 1);
  kill(child.pid, SIGTERM);
  CHECK(child.Wait() == 1);
  close(pipes[0]);
  close(pipes[1]);
}

TEST_CASE("a wrong configuration exits with 2 and starts nothing, help with 0") {
  Child wrong = Launch({"--no_such_flag"}, [] { return absl::OkStatus(); });
  CHECK(wrong.Next() == '\0');
  CHECK(wrong.Wait() == 2);
  // There is no --http_address that could be asked.
  Child unhealthy = Launch({"--healthcheck", "--no_such_flag"}, [] { return absl::OkStatus(); });
  CHECK(unhealthy.Next() == '\0');
  CHECK(unhealthy.Wait() == 1);
  Child help = Launch({"--help"}, [] { return absl::OkStatus(); });
  CHECK(help.Next() == '\0');
  CHECK(help.Wait() == 0);
}

}  // namespace
}  // namespace stockalert::process
