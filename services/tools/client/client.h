// The command-line client: parses the command, makes the calls, prints what came back. README.md lists the commands.
#pragma once

#include <cstddef>
#include <istream>
#include <ostream>
#include <string>
#include <vector>

#include "services/tools/client/settings.h"

namespace stockalert::client {

struct Surroundings {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool is_terminal = false;  // Colours are for people.
  Environment environment;
  size_t columns = 0;            // Of the terminal; 0: as many as are wanted.
  bool in_is_terminal = false;   // Whoever types a key does not want to see it.
  bool err_is_terminal = false;  // Progress is for people, too.
};

// `args` without the program's name. Answers the exit code (connection.h).
int RunClient(const std::vector<std::string>& args, const Surroundings& surroundings);

}  // namespace stockalert::client
