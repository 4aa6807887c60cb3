// A file of past prices, read into quotes in event time order.
//
// Two kinds of CSV with a header line, told apart by their columns (in any case and order; others are ignored):
//   bars   one of time_ms, time, timestamp, datetime, date; open, high, low, close; optionally symbol
//   ticks  one of the times; price; symbol
// A time is whole milliseconds (12 digits or more) or seconds since 1970, RFC 3339 ("2016-04-15T13:30:00Z"), or a date
// ("2013-05-13").
//
// A bar becomes four quotes: open, low, high, close where it closes at or above its open, else open, high, low, close,
// for the file does not say which of high and low came first. They are spread over its time: at its begin and after a
// quarter, a half and three quarters of the bars' length; a daily bar runs from 9:30 to the close in New York, its
// close dated at the very close. Quotes of one symbol never share an event time (ticks that do are placed a microsecond
// apart), so that an event time says where a replay is.
//
// Invalid rows and prices are counted and left out. Pure apart from reading the file; thread-safe.
#pragma once

#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::fetcher {

// The days' figures, of REGULAR prices, as the file has them.
struct ReplayDay {
  int32_t date = 0;
  std::optional<int64_t> open_micros;
  std::optional<int64_t> previous_close_micros;
};

struct ReplayTick {
  int64_t event_time_us = 0;
  int64_t price_micros = 0;
  uint32_t symbol = 0;  // Into ReplayFile::symbols.
  uint32_t day = 0;     // Into ReplayFile::days.
};

struct ReplayFile {
  std::vector<std::string> symbols;
  std::vector<ReplayTick> ticks;  // By event time; strictly rising within a symbol.
  std::vector<ReplayDay> days;
  int64_t rows_refused = 0;
  // Identifies the file's contents.
  std::string checksum;

  // Without epoch and sequence.
  internal::v1::QuoteRecord QuoteOf(const ReplayTick& tick) const;
};

// `symbol` is that of files that name none; empty: the file's name up to its first '-', '_' or '.' ("aapl-1m.csv" →
// AAPL). INVALID_ARGUMENT says what is wrong with the file; NOT_FOUND: it cannot be read.
absl::StatusOr<ReplayFile> ReadReplayFile(const std::string& path, const std::string& symbol);
// `name` stands for the path.
absl::StatusOr<ReplayFile> ReadReplayStream(std::istream& in, const std::string& name, const std::string& symbol);

}  // namespace stockalert::fetcher
