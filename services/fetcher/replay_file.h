// A file of past prices, read into quotes in event time order.
//
// Two kinds of CSV with a header line, told apart by their columns (in any case and order, a byte-order mark before
// them or not; others are ignored):
//   bars   a time; open, high, low, and their close: close, close/last or price; optionally a symbol
//   ticks  a time; price; optionally a symbol
// The time is in time_ms, time, timestamp, datetime or date, the symbol in symbol, ticker, code or name.
//
// A time is
//   a date          2013-05-13, 2013/05/13 or 20130513, also with 00:00:00 behind the first two
//   since 1970      seconds (9 or 10 digits, a fraction or none), milliseconds (12, 13), microseconds (15, 16) or
//                   nanoseconds (18, 19): what lies between 1973 and 2286
//   RFC 3339        2016-04-15T13:30:00Z, 2016-04-15 09:30:00-04:00
// Anything else is refused by its line: a time without a zone and a date like 01/02/2024 could mean two things.
//
// A bar becomes four quotes: open, low, high, close where it closes at or above its open, else open, high, low, close,
// for the file does not say which of high and low came first. Bars of a date, and bars of which the file has one a
// date, whatever time of it they are stamped with, are daily ones: they run from 9:30 to the close in New York (round
// the clock: from midnight to midnight in UTC), their close dated at the very end. Other bars are as long as most of
// the distances within a date are, but end where the next bar begins, at the regular session's close, at the end of the
// late one and of the date; their quotes are at the begin and after a quarter, a half and three quarters of it. Of
// quotes at one time the file's order is kept.
//
// Invalid rows and prices are counted and left out, with a log line for the first ones. A file of which no row can be
// read is refused with the reason of the first. Pure apart from reading the file; thread-safe.
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
  std::vector<ReplayTick> ticks;  // By event time; those of one time in the file's order.
  std::vector<ReplayDay> days;
  // Below the header: all, and those that were left out.
  int64_t rows = 0;
  int64_t rows_refused = 0;
  // That had more decimals than they were rounded to.
  int64_t prices_rounded = 0;
  // Identifies the file's contents.
  std::string checksum;

  // Without epoch and sequence.
  internal::v1::QuoteRecord QuoteOf(const ReplayTick& tick) const;
};

// `symbol` is that of files that name none; empty: the file's name up to its first '-', '_' or '.' ("aapl-1m.csv" →
// AAPL). INVALID_ARGUMENT says what is wrong with the file; NOT_FOUND: it cannot be read.
// `decimals`: prices are rounded half to even to so many (0 to 6); none: those of more than six are refused.
absl::StatusOr<ReplayFile> ReadReplayFile(const std::string& path, const std::string& symbol,
                                          std::optional<int> decimals = std::nullopt);
// `name` stands for the path.
absl::StatusOr<ReplayFile> ReadReplayStream(std::istream& in, const std::string& name, const std::string& symbol,
                                            std::optional<int> decimals = std::nullopt);

}  // namespace stockalert::fetcher
