#include "services/fetcher/replay_source.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/backoff.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/fetcher/publish_source.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;

constexpr absl::Duration kLookForStart = absl::Milliseconds(50);
constexpr absl::Duration kProgressInterval = absl::Seconds(5);
// Shorter pauses are let add up: a sleep takes about a tenth of a millisecond more than it is told.
constexpr absl::Duration kSleepMin = absl::Milliseconds(2);

prometheus::Gauge& PositionGauge() {
  static auto& gauge = metrics::GetGauge("stockalert_fetcher_replay_position",
                                         "Quotes of the replay that have been published or passed over");
  return gauge;
}

}  // namespace

ReplaySource::ReplaySource(ReplayFile file, const ReplayOptions& options, Publisher& publisher,
                           std::unique_ptr<ReplayLog> log)
    : file_(std::move(file)),
      options_(options),
      headers_{{kReplayRunHeader, options.run.empty() ? file_.checksum : options.run}},
      publisher_(publisher),
      log_(std::move(log)) {
  counts_.rows = file_.rows;
  counts_.rows_refused = file_.rows_refused;
  metrics::GetGauge("stockalert_fetcher_replay_quotes", "Quotes that the replay has in all")
      .Set(static_cast<double>(file_.ticks.size()));
  metrics::GetGauge("stockalert_fetcher_replay_rows_refused", "Rows of the replay's file that were left out")
      .Set(static_cast<double>(file_.rows_refused));
}

ReplaySource::~ReplaySource() { Stop(); }

void ReplaySource::Start() {
  heartbeat_.Beat();
  thread_ = std::thread([this] { Run(); });
}

void ReplaySource::Stop() {
  {
    base::MutexLock lock(mutex_);
    stopped_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
  heartbeat_.End();
}

void ReplaySource::SetSymbols(const std::set<std::string>& symbols) {
  {
    base::MutexLock lock(mutex_);
    any_registered_ = std::any_of(file_.symbols.begin(), file_.symbols.end(),
                                  [&](const std::string& symbol) { return symbols.count(symbol) > 0; });
  }
  changed_.NotifyAll();
}

LookedUp ReplaySource::Lookup(const std::string& symbol, const std::string&, absl::Time) {
  const bool known = std::find(file_.symbols.begin(), file_.symbols.end(), symbol) != file_.symbols.end();
  return {known ? Knowledge::kKnown : Knowledge::kUnknown, {}};
}

absl::StatusOr<FetchedQuotes> ReplaySource::Fetch(const std::vector<std::string>& symbols, const std::string&,
                                                  const trace::Context&, absl::Time) {
  return FetchedQuotes{LastPublishedOf(publisher_, symbols), {}};
}

bool ReplaySource::finished() const {
  base::MutexLock lock(mutex_);
  return finished_;
}

bool ReplaySource::Sleep(absl::Duration pause) {
  base::MutexLock lock(mutex_);
  for (;;) {
    heartbeat_.Beat();
    // A long one is taken in parts, so that the loop shows that it turns.
    const absl::Duration part = std::min(pause, absl::Seconds(5));
    pause -= part;
    if (changed_.WaitFor(lock, part, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopped_; })) return false;
    if (pause <= absl::ZeroDuration()) return true;
  }
}

void ReplaySource::Run() {
  base::Backoff backoff({.initial = absl::Milliseconds(100), .maximum = absl::Seconds(2)});
  for (;;) {
    absl::Status status = [&]() -> absl::Status {
      STOCKALERT_ASSIGN_OR_RETURN(std::vector<std::optional<Place>> places, ReadPlaces());
      const bool fresh =
          std::none_of(places.begin(), places.end(), [](const auto& place) { return place.has_value(); });
      if (fresh && !AwaitStart()) return absl::OkStatus();
      STOCKALERT_RETURN_IF_ERROR(PublishRestarts(places));
      return Play(places);
    }();
    if (status.ok()) return heartbeat_.End();
    log::Warning("the replay cannot go on; trying again where the log says it is", {{"status", status}});
    // What is under way ends first: the places are read behind it.
    while (!publisher_.AwaitAnswers(absl::Now() + absl::Milliseconds(200))) {
      if (!Sleep(absl::ZeroDuration())) return;
    }
    if (!Sleep(backoff.Next())) return;
  }
}

absl::StatusOr<std::vector<std::optional<ReplaySource::Place>>> ReplaySource::ReadPlaces() {
  std::vector<std::optional<Place>> places;
  for (const std::string& symbol : file_.symbols) {
    STOCKALERT_ASSIGN_OR_RETURN(const std::optional<ReplayMark> mark, log_->FindLast(symbol));
    if (!mark || mark->run != headers_.front().value) {
      places.push_back(std::nullopt);
    } else {
      // A number counts in its own file alone.
      const std::optional<int64_t> position = mark->file == file_.checksum ? mark->position : std::nullopt;
      places.push_back(mark->quote ? Place{position, mark->quote->event_time_us()} : Place{-1, 0});
      if (mark->quote) publisher_.Remember(*mark->quote);
    }
    if (!Sleep(absl::ZeroDuration())) return absl::CancelledError("stopped");
  }
  return places;
}

bool ReplaySource::AwaitStart() {
  log::Info("the replay waits for its start", {{"symbols", file_.symbols.size()},
                                               {"first_symbol", file_.symbols.front()},
                                               {"start_file", options_.start_file}});
  for (;;) {
    std::error_code error;
    const bool told = options_.start_file.empty() || std::filesystem::exists(options_.start_file, error);
    {
      base::MutexLock lock(mutex_);
      if (stopped_) return false;
      if (told && any_registered_) return true;
    }
    if (!Sleep(kLookForStart)) return false;
  }
}

absl::Status ReplaySource::PublishRestarts(const std::vector<std::optional<Place>>& places) {
  auto failed = std::make_shared<std::atomic<bool>>(false);
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i].has_value()) continue;
    while (!publisher_.AwaitRoom(absl::Now() + absl::Milliseconds(200))) {
      if (!Sleep(absl::ZeroDuration())) return absl::OkStatus();
    }
    STOCKALERT_RETURN_IF_ERROR(publisher_.PublishRestart(
        file_.symbols[i], headers_, [failed](const absl::StatusOr<kafka::DeliveryReport>& delivery) {
          if (!delivery.ok()) *failed = true;
        }));
  }
  while (!publisher_.AwaitAnswers(absl::Now() + absl::Milliseconds(200))) {
    if (!Sleep(absl::ZeroDuration())) return absl::OkStatus();
  }
  return *failed ? absl::UnavailableError("a restart record was not taken") : absl::OkStatus();
}

bool ReplaySource::IsPassed(size_t position, const std::vector<std::optional<Place>>& places) const {
  const ReplayTick& tick = file_.ticks[position];
  const std::optional<Place>& place = places[tick.symbol];
  if (!place) return false;
  if (place->position) return static_cast<int64_t>(position) <= *place->position;
  return tick.event_time_us <= place->event_time_us;
}

void ReplaySource::LogEnd() const {
  log::Info("the replay is finished: rows became quotes, of which those that are late or closed trigger nothing",
            {{"run", headers_.front().value},
             {"rows", counts_.rows},
             {"rows_refused", counts_.rows_refused},
             {"quotes", file_.ticks.size()},
             {"published", counts_.published},
             {"closed", counts_.closed},
             {"late", counts_.late},
             {"refused", counts_.refused}});
}

absl::Status ReplaySource::PublishQuote(size_t position, const std::shared_ptr<std::atomic<bool>>& failed) {
  const pb::QuoteRecord quote = file_.QuoteOf(file_.ticks[position]);
  kafka::Headers headers = headers_;
  headers.push_back({kReplayPositionHeader, absl::StrCat(position)});
  headers.push_back({kReplayFileHeader, file_.checksum});
  for (;;) {
    if (failed->load(std::memory_order_relaxed)) return absl::UnavailableError("a quote was not taken");
    const bool late = publisher_.IsLate(quote);
    const absl::Status published =
        publisher_.Publish(quote, "", headers, [failed](const absl::StatusOr<kafka::DeliveryReport>& delivery) {
          if (!delivery.ok()) *failed = true;
        });
    if (published.ok()) {
      ++counts_.published;
      if (quote.session() == pb::TRADING_SESSION_CLOSED) ++counts_.closed;
      if (late) ++counts_.late;
      return absl::OkStatus();
    }
    if (absl::IsInvalidArgument(published)) {
      ++counts_.refused;  // The reason is counted there.
      return absl::OkStatus();
    }
    if (!absl::IsResourceExhausted(published) && !absl::IsUnavailable(published)) return published;
    publisher_.AwaitRoom(absl::Now() + absl::Milliseconds(200));
    if (!Sleep(absl::ZeroDuration())) return absl::OkStatus();
  }
}

absl::Status ReplaySource::Play(const std::vector<std::optional<Place>>& places) {
  const size_t total = file_.ticks.size();
  size_t first = 0;
  while (first < total && IsPassed(first, places)) ++first;
  log::Info(first == 0       ? "the replay begins"
            : first == total ? "the log has the whole replay already; another --replay_run would begin it anew"
                             : "the replay goes on where the log says it was",
            {{"run", headers_.front().value}, {"position", first}, {"quotes", total}});

  auto failed = std::make_shared<std::atomic<bool>>(false);
  const double pause_min_us = 1e6 / options_.quotes_per_second_max;
  double due_us = static_cast<double>(absl::ToUnixMicros(absl::Now()));
  absl::Time next_progress = absl::Now() + kProgressInterval;
  std::optional<int64_t> last_event_time_us;
  for (size_t position = first; position < total; ++position) {
    if (IsPassed(position, places)) continue;
    const ReplayTick* const tick = &file_.ticks[position];
    double gap_us = last_event_time_us ? static_cast<double>(tick->event_time_us - *last_event_time_us) : 0;
    if (options_.gap_max > absl::ZeroDuration())
      gap_us = std::min(gap_us, absl::ToDoubleMicroseconds(options_.gap_max));
    last_event_time_us = tick->event_time_us;
    due_us += std::max(gap_us / options_.speed, pause_min_us);
    const double now_us = static_cast<double>(absl::ToUnixMicros(absl::Now()));
    // Time lost to a broker that was away is not made up by a burst.
    due_us = std::max(due_us, now_us - 100'000);
    if (due_us - now_us > absl::ToDoubleMicroseconds(kSleepMin)) {
      if (!Sleep(absl::Microseconds(std::llround(std::min(due_us - now_us, 1e15))))) return absl::OkStatus();
    }
    STOCKALERT_RETURN_IF_ERROR(PublishQuote(position, failed));
    PositionGauge().Set(static_cast<double>(position + 1));
    if (absl::Now() >= next_progress) {
      next_progress = absl::Now() + kProgressInterval;
      log::Info("the replay goes on",
                {{"position", position + 1},
                 {"quotes", total},
                 {"event_time", absl::FormatTime(absl::FromUnixMicros(tick->event_time_us), absl::UTCTimeZone())}});
    }
    heartbeat_.Beat();
    {
      base::MutexLock lock(mutex_);
      if (stopped_) return absl::OkStatus();
    }
  }
  while (!publisher_.AwaitAnswers(absl::Now() + absl::Milliseconds(200))) {
    if (!Sleep(absl::ZeroDuration())) return absl::OkStatus();
  }
  if (*failed) return absl::UnavailableError("a quote was not taken");
  PositionGauge().Set(static_cast<double>(total));
  LogEnd();
  base::MutexLock lock(mutex_);
  finished_ = true;
  return absl::OkStatus();
}

}  // namespace stockalert::fetcher
