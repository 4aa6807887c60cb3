// stockalert-auditor: reads a stream of events on standard input, a line of JSON each, and prints what they made happen
// and, at the end, the state of every alert. Exit 2 on a line that is no event.
#include <iostream>
#include <string>

#include "tests/support/auditor/stream.h"

int main() {
  stockalert::auditor::StreamAuditor auditor;
  std::string line;
  for (int64_t number = 1; std::getline(std::cin, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      for (const auto& happened : auditor.Apply(nlohmann::json::parse(line))) std::cout << happened.dump() << '\n';
    } catch (const std::exception& error) {
      std::cerr << "line " << number << ": " << error.what() << '\n';
      return 2;
    }
  }
  for (const auto& state : auditor.States()) std::cout << state.dump() << '\n';
  return 0;
}
