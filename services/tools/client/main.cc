// stockalert: the command-line client. See README.md.
#include <sys/ioctl.h>
#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <iostream>

#include "services/common/log/log.h"
#include "services/tools/client/client.h"

int main(int argc, char** argv) {
  using namespace stockalert;
  log::Configure("stockalert", log::Level::kError);
  // Output that nobody reads any more ends a stream; it is no reason to die.
  std::signal(SIGPIPE, SIG_IGN);
  winsize window{};
  const bool is_terminal = isatty(STDOUT_FILENO) == 1;
  if (!is_terminal || ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0) window.ws_col = 0;
  const client::Surroundings surroundings{std::cin,
                                          std::cout,
                                          std::cerr,
                                          is_terminal,
                                          [](const std::string& name) -> std::optional<std::string> {
                                            const char* value = std::getenv(name.c_str());
                                            return value == nullptr ? std::nullopt : std::optional<std::string>(value);
                                          },
                                          window.ws_col,
                                          isatty(STDIN_FILENO) == 1,
                                          isatty(STDERR_FILENO) == 1};
  return client::RunClient({argv + 1, argv + argc}, surroundings);
}
