#include "services/tools/client/program.h"

#include <catch2/catch.hpp>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/unit/tools/client/fake_mesh.h"

namespace stockalert::client {
namespace {

std::string Read(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST_CASE("a program gets its input, and its end is told") {
  const Home home;
  const std::string file = home.path + "/got";
  const std::string input(20'000, 'x');
  CHECK(RunProgram("cat >" + file, input, absl::Seconds(10)).value() == 0);
  CHECK(Read(file) == input);
  CHECK(RunProgram("exit 7", "unread", absl::Seconds(10)).value() == 7);
  CHECK(RunProgram("kill -TERM $$", "", absl::Seconds(10)).value() == 128 + SIGTERM);
  CHECK(RunProgram("there-is-no-such-command-here 2>/dev/null", "", absl::Seconds(10)).value() == 127);
}

TEST_CASE("a program that does not end is killed") {
  const auto ended = RunProgram("exec sleep 600", "", absl::Milliseconds(50));
  CHECK(absl::IsDeadlineExceeded(ended.status()));
}

TEST_CASE("a program is not asked to hold more than a pipe does") {
  CHECK(absl::IsInvalidArgument(
      RunProgram("exit 0", std::string(kProgramInputBytesMax + 1, 'x'), absl::Seconds(10)).status()));
}

TEST_CASE("a program does not inherit that SIGPIPE is ignored") {
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  const auto ended = RunProgram("kill -PIPE $$", "", absl::Seconds(10));
  std::signal(SIGPIPE, before);
  CHECK(ended.value() == 128 + SIGPIPE);
}

}  // namespace
}  // namespace stockalert::client
