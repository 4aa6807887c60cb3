// Logs: one JSON object a line on stderr: time, level, service, message, fields, and trace_id where a field of that
// name is given.
//
//   log::Warning("the broker does not answer; retrying", {{"topic", topic}, {"attempt", attempt}});
//
// Thread-safe. Never fails: invalid UTF-8 is replaced. Secrets do not belong into fields.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace stockalert::log {

enum class Level { kDebug, kInfo, kWarning, kError };

// "debug", "info", "warning", "error".
std::optional<Level> ParseLevel(std::string_view text);

// What every line says and which lines are written. Call it once, before threads start; before that: service
// "stockalert", kInfo.
void Configure(std::string_view service, Level level);
bool IsOn(Level level);

// A name and a value; lives no longer than the call that it is handed to.
class Field {
 public:
  Field(std::string_view name, std::string_view value) : name_(name), value_(value) {}
  Field(std::string_view name, const char* value) : name_(name), value_(std::string_view(value)) {}
  Field(std::string_view name, const std::string& value) : name_(name), value_(std::string_view(value)) {}
  Field(std::string_view name, absl::string_view value)
      : name_(name), value_(std::string_view(value.data(), value.size())) {}
  Field(std::string_view name, bool value) : name_(name), value_(value) {}
  Field(std::string_view name, double value) : name_(name), value_(value) {}
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Field(std::string_view name, T value) : name_(name), value_(static_cast<int64_t>(value)) {}
  // As "UNAVAILABLE: the message".
  Field(std::string_view name, const absl::Status& value) : name_(name), value_(value.ToString()) {}
  Field(std::string_view name, absl::Duration value) : name_(name), value_(absl::FormatDuration(value)) {}

  std::string_view name() const { return name_; }
  const std::variant<std::string_view, std::string, bool, double, int64_t>& value() const { return value_; }

 private:
  std::string_view name_;
  std::variant<std::string_view, std::string, bool, double, int64_t> value_;
};

using Fields = std::initializer_list<Field>;

void Write(Level level, std::string_view message, Fields fields);
inline void Debug(std::string_view message, Fields fields = {}) { Write(Level::kDebug, message, fields); }
inline void Info(std::string_view message, Fields fields = {}) { Write(Level::kInfo, message, fields); }
inline void Warning(std::string_view message, Fields fields = {}) { Write(Level::kWarning, message, fields); }
inline void Error(std::string_view message, Fields fields = {}) { Write(Level::kError, message, fields); }

// The line that Write would write, without its newline. For tests.
std::string Format(Level level, std::string_view message, Fields fields, absl::Time now);

// Holds a repeated message down to one an interval:
//   static log::Limiter limiter(absl::Seconds(5));
//   if (auto suppressed = limiter.Allow()) log::Warning("...", {{"suppressed", *suppressed}});
// Thread-safe.
class Limiter {
 public:
  explicit Limiter(absl::Duration interval) : interval_us_(absl::ToInt64Microseconds(interval)) {}
  // How many were suppressed since the last that was allowed; none: suppress this one too.
  std::optional<int64_t> Allow();

 private:
  const int64_t interval_us_;
  std::atomic<int64_t> next_us_{0};  // By the monotonic clock.
  std::atomic<int64_t> suppressed_{0};
};

}  // namespace stockalert::log
