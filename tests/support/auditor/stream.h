// The auditor's own reading of an event stream (docs/semantics.md, "Event streams"): it parses the lines, lives the
// life of each alert by its commands, and says what happened. It shares no code with the services. Not thread-safe; no
// I/O.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/support/auditor/auditor.h"

namespace stockalert::auditor {

// A line that is no event: a fault of the stream, not of an alert.
class BadStream : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Decimal text as a count of 10^-digits; none where it is no plain decimal, has more decimals, or is beyond 1e12 units.
std::optional<int64_t> DecimalCount(std::string_view text, int digits);
// The shortest text of a count of 1e-6.
std::string MicrosText(int64_t micros);

class StreamAuditor {
 public:
  // What the line makes happen, a line of JSON each: triggers and refusals. Throws BadStream.
  std::vector<nlohmann::ordered_json> Apply(const nlohmann::json& event);
  // The state of every alert that exists, by id.
  std::vector<nlohmann::ordered_json> States() const;

 private:
  // What the alert's service knows of it.
  struct Record {
    nlohmann::json fields;  // As created and updated, in terms of after the last split.
    condition::Definition definition;
    int64_t splits_applied = 0;  // The number of the last split that both allow for.
    std::string symbol;
    int64_t revision = 0;
    int64_t armed_revision = 0;
    bool paused = false;
  };

  // The event at its place in the log; a line for each trigger.
  std::vector<nlohmann::ordered_json> ApplyInLog(const record::Event& event);
  std::vector<nlohmann::ordered_json> ApplyQuote(const nlohmann::json& event);
  // Each answers why it refuses ("CODE why"), or nothing.
  std::optional<std::string> Create(const nlohmann::json& event);
  std::optional<std::string> Update(const nlohmann::json& event);
  std::optional<std::string> PauseOrResume(const std::string& id, bool pause);
  std::optional<std::string> Rearm(const std::string& id);
  std::optional<std::string> Delete(const std::string& id);
  void TakeWholeState(const nlohmann::json& event);
  std::vector<nlohmann::ordered_json> ApplySplit(const nlohmann::json& event);
  void Publish(const std::string& id, const Record& record, bool deleted);
  // Of an alert that exists.
  Shown ShownOf(const std::string& id) const;
  int64_t NumberOfSplits(const std::string& symbol) const;
  // Restates the fields and the definition by the splits that they do not allow for yet.
  void CatchUpWithSplits(Record& record) const;

  Auditor auditor_;
  std::optional<int64_t> wall_clock_us_;
  std::map<std::string, Record> records_;
  std::map<std::string, bool> deleted_;
  std::map<std::string, std::vector<record::Split>> splits_;  // Of each symbol, by their numbers.
  int64_t offset_ = 0;                                        // Of the last line that had one.
};

}  // namespace stockalert::auditor
