// Alerts as lines of a file: CSV, whose columns are the flags of `alert create`, or lines of JSON.
//
// CSV is that of RFC 4180: fields with commas, quotes or line ends stand in quotes, a quote in them is doubled;
// anything else is refused, with its line. Pure but for the streams that are passed in.
#pragma once

#include <cstdint>
#include <istream>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "stockalert/alert/v1/alert.pb.h"

namespace stockalert::client {

enum class TransferFormat { kCsv, kJsonLines };

// The next record's fields; none at the end. `line` is raised by the lines that were read. INVALID_ARGUMENT: a quote is
// where none may be, or is never closed.
absl::StatusOr<std::optional<std::vector<std::string>>> ReadCsvRecord(std::istream& in, int64_t& line);
void WriteCsvRecord(std::ostream& out, const std::vector<std::string>& fields);

struct ReadAlert {
  int64_t line = 0;  // Where it begins.
  alert::v1::Alert alert;
};

// Reads alerts one by one. A time of expiry must be absolute: what is imported again later is to be the same alert.
class AlertReader {
 public:
  AlertReader(std::istream& in, TransferFormat format) : in_(in), format_(format) {}
  // None at the end. INVALID_ARGUMENT (WRONG_USAGE) names the line.
  absl::StatusOr<std::optional<ReadAlert>> Next();

 private:
  absl::StatusOr<std::optional<ReadAlert>> NextOfCsv();
  absl::StatusOr<std::optional<ReadAlert>> NextOfJson();
  absl::Status ReadHeading();

  std::istream& in_;
  const TransferFormat format_;
  int64_t line_ = 0;
  std::vector<std::string> columns_;  // Of CSV; empty: not read yet.
};

// Writes alerts so that AlertReader reads them.
class AlertWriter {
 public:
  AlertWriter(std::ostream& out, TransferFormat format) : out_(out), format_(format) {}
  void Write(const alert::v1::Alert& alert);

 private:
  std::ostream& out_;
  const TransferFormat format_;
  bool begun_ = false;
};

// The part of an alert that its user chose.
alert::v1::Alert WishOf(const alert::v1::Alert& alert);

// The same for the same alert, at the same of its occurrences in the file, by the same name of the import: what was
// imported already is found, not made again.
std::string RequestIdOf(const alert::v1::Alert& wish, int64_t occurrence, const std::string& import_name);

}  // namespace stockalert::client
