// stockalert: the command-line client. See README.md.
#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <iostream>

#include "services/client/client.h"
#include "services/common/log/log.h"

int main(int argc, char** argv) {
  using namespace stockalert;
  log::Configure("stockalert", log::Level::kError);
  // Output that nobody reads any more ends a stream; it is no reason to die.
  std::signal(SIGPIPE, SIG_IGN);
  const client::Surroundings surroundings{std::cin, std::cout, std::cerr, isatty(STDOUT_FILENO) == 1,
                                          [](const std::string& name) -> std::optional<std::string> {
                                            const char* value = std::getenv(name.c_str());
                                            return value == nullptr ? std::nullopt : std::optional<std::string>(value);
                                          }};
  return client::RunClient({argv + 1, argv + argc}, surroundings);
}
