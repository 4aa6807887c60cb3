#include "services/common/log/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "services/common/base/monotonic_clock.h"

namespace stockalert::log {
namespace {

struct State {
  std::string service = "stockalert";
  std::atomic<Level> level{Level::kInfo};
  spdlog::logger logger{"stockalert", std::make_shared<spdlog::sinks::stderr_sink_mt>()};

  State() {
    logger.set_pattern("%v");
    logger.set_level(spdlog::level::trace);
    logger.flush_on(spdlog::level::trace);
  }
};

// Lives as long as the process: threads may still log while statics are torn down.
State& TheState() {
  static State* const state = new State;
  return *state;
}

const char* NameOf(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarning:
      return "warning";
    case Level::kError:
      return "error";
  }
  return "error";
}

}  // namespace

std::optional<Level> ParseLevel(std::string_view text) {
  for (const Level level : {Level::kDebug, Level::kInfo, Level::kWarning, Level::kError}) {
    if (text == NameOf(level)) return level;
  }
  return std::nullopt;
}

void Configure(std::string_view service, Level level) {
  TheState().service = service;
  TheState().level = level;
}

bool IsOn(Level level) { return level >= TheState().level.load(std::memory_order_relaxed); }

std::string Format(Level level, std::string_view message, Fields fields, absl::Time now) {
  nlohmann::ordered_json line;
  line["time"] = absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", now, absl::UTCTimeZone());
  line["level"] = NameOf(level);
  line["service"] = TheState().service;
  line["message"] = message;
  nlohmann::ordered_json values;
  for (const Field& field : fields) {
    nlohmann::ordered_json& value = field.name() == "trace_id" ? line["trace_id"] : values[std::string(field.name())];
    std::visit([&value](const auto& held) { value = held; }, field.value());
  }
  if (!values.empty()) line["fields"] = std::move(values);
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void Write(Level level, std::string_view message, Fields fields) {
  if (!IsOn(level)) return;
  const std::string line = Format(level, message, fields, absl::Now());
  TheState().logger.log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

std::optional<int64_t> Limiter::Allow() {
  const int64_t now_us = base::SystemMonotonicClock().NowUs();
  int64_t next_us = next_us_.load();
  if (now_us < next_us || !next_us_.compare_exchange_strong(next_us, now_us + interval_us_)) {
    ++suppressed_;
    return std::nullopt;
  }
  return suppressed_.exchange(0);
}

}  // namespace stockalert::log
