// Replays a file's prices into the log, in event time, at a configured speed.
//
// One thread of its own. A run has an id. After its start condition it begins with a restart record for each symbol of
// the file. A fetcher that finds records of the same run at the end of a symbol's log continues behind them instead
// (and does nothing if the last one was the file's last). So a fetcher that crashes in the middle loses nothing and
// repeats nothing: every quote carries its number in the file. While Kafka is away, the replay waits. At the end a log
// line says what became of the file's rows and quotes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "services/common/base/mutex.h"
#include "services/common/process/liveness.h"
#include "services/fetcher/publisher.h"
#include "services/fetcher/replay_file.h"
#include "services/fetcher/replay_log.h"
#include "services/fetcher/source.h"

namespace stockalert::fetcher {

struct ReplayOptions {
  // Event time over wall time.
  double speed = 1;
  double quotes_per_second_max = 20'000;
  // Longer pauses in the file (a night) are cut to this, in event time; zero: none is cut.
  absl::Duration gap_max = absl::ZeroDuration();
  // Empty: the file's checksum, so that a file is replayed once.
  std::string run;
  // Besides the registration of one of its symbols: the replay begins when this file exists. Empty: at once.
  std::string start_file;
};

// What became of a file, as far as this process has played it.
struct ReplayCounts {
  int64_t rows = 0;
  int64_t rows_refused = 0;
  int64_t published = 0;  // Quotes.
  int64_t closed = 0;     // Of these, out of all sessions: they count for no alert;
  int64_t late = 0;       // and from before what had been published of their symbol meanwhile: readers drop them.
  int64_t refused = 0;    // Quotes that were not published, such as those with times ahead of the clock.
};

class ReplaySource final : public QuoteSource {
 public:
  // `publisher` must outlive it.
  ReplaySource(ReplayFile file, const ReplayOptions& options, Publisher& publisher, std::unique_ptr<ReplayLog> log);
  ~ReplaySource() override;

  void Start() override;
  void Stop() override;
  void SetSymbols(const std::set<std::string>& symbols) override;
  // The file's symbols are all that there is.
  LookedUp Lookup(const std::string& symbol, const std::string& user, absl::Time deadline) override;
  // The last published quotes.
  absl::StatusOr<FetchedQuotes> Fetch(const std::vector<std::string>& symbols, const std::string& user,
                                      const trace::Context& trace, absl::Time deadline) override;

  bool finished() const;
  // Call it once finished() is true.
  ReplayCounts counts() const { return counts_; }

 private:
  void Run();
  // Waits, at most; false: stopped.
  bool Sleep(absl::Duration pause);
  // Where a symbol continues: behind its last quote in the log.
  struct Place {
    std::optional<int64_t> position;  // None: an older version wrote it, without a position.
    int64_t event_time_us = 0;        // 0: before the first.
  };
  // Of each symbol; none: not started.
  absl::StatusOr<std::vector<std::optional<Place>>> ReadPlaces();
  bool AwaitStart();
  absl::Status PublishRestarts(const std::vector<std::optional<Place>>& places);
  // From behind `places` to the end. Not OK: a record was not taken; read the places again.
  absl::Status Play(const std::vector<std::optional<Place>>& places);
  // Waits for room. OK: it is under way, or the edge refused it, or the source was stopped. `failed`: a record was not
  // taken.
  absl::Status PublishQuote(size_t position, const std::shared_ptr<std::atomic<bool>>& failed);
  // Whether the log has the quote at this position already.
  bool IsPassed(size_t position, const std::vector<std::optional<Place>>& places) const;
  // What became of the file, as far as it has been played by this process.
  void LogEnd() const;

  const ReplayFile file_;
  const ReplayOptions options_;
  const kafka::Headers headers_;
  ReplayCounts counts_;  // Of the replay's own thread.
  Publisher& publisher_;
  const std::unique_ptr<ReplayLog> log_;

  mutable base::Mutex mutex_;
  base::ConditionVariable changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool any_registered_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  // Finding its place may take it far back in the log.
  process::Heartbeat heartbeat_{"fetcher_replay", absl::Minutes(10)};
  std::thread thread_;
};

}  // namespace stockalert::fetcher
