// Prints records of the topic `prices` as a stream of events (docs/semantics.md): a line of JSON each, ids and prices,
// no person.
//
// A quote that its publisher sent again (its epoch and sequence do not rise) is left out and counted: the fold skips it
// as well. Malformed quotes are left out likewise. A record that nobody can understand is an error, as it is for the
// evaluators. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace stockalert::logtool {

class StreamPrinter {
 public:
  // Appends the record's line, if it has one, to `*out`. DATA_LOSS: the record cannot be understood.
  absl::Status Print(std::string_view key, std::string_view value, int64_t offset, std::string* out);

  int64_t printed() const { return printed_; }
  int64_t skipped_repeats() const { return skipped_repeats_; }
  int64_t skipped_malformed() const { return skipped_malformed_; }

 private:
  std::map<std::string, std::pair<int64_t, int64_t>, std::less<>> last_sent_;  // By symbol: epoch and sequence.
  std::map<std::string, int64_t, std::less<>> splits_;                         // By symbol: the number of its last one.
  int64_t printed_ = 0;
  int64_t skipped_repeats_ = 0;
  int64_t skipped_malformed_ = 0;
};

}  // namespace stockalert::logtool
