#include "services/tools/client/program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

extern char** environ;

namespace stockalert::client {
namespace {

absl::Status Failed(const char* what, int error) {
  return absl::InternalError(absl::StrCat(what, ": ", std::strerror(error)));
}

// With `input` as its standard input. The client ignores SIGPIPE; its children must not.
absl::StatusOr<pid_t> Spawn(const std::string& command, int input) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  std::string shell = "/bin/sh", flag = "-c", text = command;
  char* const arguments[] = {shell.data(), flag.data(), text.data(), nullptr};
  pid_t child = 0;
  const int error = posix_spawn(&child, shell.c_str(), &files, &attributes, arguments, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return Failed("cannot start /bin/sh", error);
  return child;
}

absl::StatusOr<int> AwaitEnd(pid_t child, absl::Duration timeout) {
  constexpr absl::Duration kPause = absl::Milliseconds(5);
  const absl::Time deadline = absl::Now() + timeout;
  int status = 0;
  bool killed = false;
  for (;;) {
    const pid_t ended = waitpid(child, &status, killed ? 0 : WNOHANG);
    if (ended == child) break;
    if (ended < 0 && errno != EINTR) return Failed("cannot wait for the command", errno);
    if (!killed && absl::Now() > deadline) {
      kill(child, SIGKILL);
      killed = true;
    } else if (!killed) {
      absl::SleepFor(kPause);
    }
  }
  if (killed) return absl::DeadlineExceededError(absl::StrCat("did not end within ", absl::FormatDuration(timeout)));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

absl::StatusOr<int> RunProgram(const std::string& command, std::string_view input, absl::Duration timeout) {
  if (input.size() > kProgramInputBytesMax) return absl::InvalidArgumentError("too much input for a command");
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Failed("cannot make a pipe", errno);
  const ssize_t written = write(ends[1], input.data(), input.size());
  const int error = errno;
  close(ends[1]);
  absl::StatusOr<pid_t> child = written == static_cast<ssize_t>(input.size())
                                    ? Spawn(command, ends[0])
                                    : absl::StatusOr<pid_t>(Failed("cannot write to a pipe", error));
  close(ends[0]);
  if (!child.ok()) return child.status();
  return AwaitEnd(*child, timeout);
}

}  // namespace stockalert::client
