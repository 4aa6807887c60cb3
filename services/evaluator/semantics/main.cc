// stockalert-semantics: reads a stream of events on its standard input and writes what happened to its standard output.
// Exit 0: all was applied. Exit 2: a line cannot be understood; the message names it.
#include <cstdio>
#include <iostream>
#include <string>

#include "services/common/version/version.h"
#include "services/evaluator/semantics/stream_replay.h"

namespace {

constexpr size_t kFlushAtBytes = 1 << 16;

bool Flush(std::string* out) {
  const bool written = std::fwrite(out->data(), 1, out->size(), stdout) == out->size() && std::fflush(stdout) == 0;
  out->clear();
  if (!written) std::fprintf(stderr, "stockalert-semantics: cannot write to the standard output\n");
  return written;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--version") {
    std::printf("stockalert-semantics %s\n", stockalert::version::Text().c_str());
    return 0;
  }
  if (argc != 1) {
    std::fprintf(
        stderr,
        "usage: %s < stream.jsonl\n"
        "Reads a stream of events, a line of JSON each, and prints the triggers as they happen and, at the end, the "
        "state of every alert. docs/semantics.md describes both.\n",
        argv[0]);
    return 2;
  }
  std::ios::sync_with_stdio(false);
  stockalert::evaluator::StreamReplay replay;
  std::string line;
  std::string out;
  for (long number = 1; std::getline(std::cin, line); ++number) {
    const absl::Status status = replay.ApplyLine(line, &out);
    if (!status.ok()) {
      Flush(&out);
      std::fprintf(stderr, "stockalert-semantics: line %ld: %s\n", number, std::string(status.message()).c_str());
      return 2;
    }
    if (out.size() >= kFlushAtBytes && !Flush(&out)) return 1;
  }
  replay.PrintStates(&out);
  return Flush(&out) ? 0 : 1;
}
