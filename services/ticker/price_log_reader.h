// Reads the whole log of prices into a PriceBoard, and stores the results in a PriceStore.
//
// It is not a member of a group (kafka::GroupWorker is for those): every instance reads all partitions, from offsets
// that are stored with the prices in Postgres. Two threads of its own, one reads and one saves. If Postgres is down at
// the start, it waits because it does not know where to begin; later it reads on and saves once the database is back.
// While Kafka is down it waits, too. A partition whose offset is no longer in the log is read from its beginning, and
// so is the whole log of another cluster. While a symbol is held, the offset of its partition stays at the suspicion in
// Postgres: what came since is read again after a restart. A record that it cannot understand is counted and skipped:
// only quotes, restarts, splits and holds concern it, and the evaluator, which needs all records, stops at it. Prices
// of a symbol that Postgres can never store go to the dead letters, and later ones of the symbol are tried anew. If it
// is uncertain that they are at fault, only the offset of their partition does not advance in Postgres. Bars are saved
// with their symbol's prices; where kUnsavedBarsMax of them wait for the database, reading waits, too.
#pragma once

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/common/base/mutex.h"
#include "services/common/dead_letter/dead_letter.h"
#include "services/common/dead_letter/held_partitions.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/message.h"
#include "services/common/process/liveness.h"
#include "services/ticker/price_board.h"
#include "services/ticker/price_store.h"

namespace stockalert::ticker {

struct PriceLogReaderOptions {
  std::string bootstrap;
  kafka::Security security = {};
  std::string topic;
  absl::Duration save_interval = absl::Seconds(1);
  // Where so many bars are not saved yet, reading waits. About 20 MB; 1,000 symbols make as many in 100 minutes.
  size_t unsaved_bars_max = 100'000;
};

// Converts a record of the log for the board. Pure.
BoardRecord ToBoardRecord(std::string_view key, std::string_view value, LogPlace place, int64_t log_time_us);

// Saves as much of `unsaved`, of the topic `topic`, as possible. Returns what has to be saved again, and the status of
// what failed.
struct SaveOutcome {
  absl::Status status;
  KeptPrices again;
  std::vector<dead_letter::DeadLetter> letters;  // That were kept.
};
SaveOutcome SavePrices(const std::string& topic, const KeptPrices& unsaved, PriceStore& store,
                       dead_letter::DeadLetterStore& dead_letters, int64_t now_us);

class PriceLogReader {
 public:
  // Begins at once. `board`, `store`, `dead_letters` and `clock` must outlive it.
  PriceLogReader(const PriceLogReaderOptions& options, PriceBoard& board, PriceStore& store,
                 dead_letter::DeadLetterStore& dead_letters, const base::Clock& clock);
  // Stop.
  ~PriceLogReader();
  PriceLogReader(const PriceLogReader&) = delete;
  PriceLogReader& operator=(const PriceLogReader&) = delete;

  // Stops reading, saves once more and joins the threads. Bounded by the store's and the consumer's timeouts.
  void Stop();

 private:
  void Read();
  // Until Stop, or an error.
  absl::Status ReadUntilError();
  absl::Status Prepare();
  // False: Stop was called.
  bool AwaitRoomForBars();
  void SaveRegularly();
  void SaveOnce();
  // False: Stop was called.
  bool Wait(absl::Duration duration);
  bool stopping();

  const PriceLogReaderOptions options_;
  PriceBoard& board_;
  PriceStore& store_;
  dead_letter::DeadLetterStore& dead_letters_;
  const base::Clock& clock_;
  dead_letter::HeldPartitions held_{{}};  // The saving thread's, as the next.
  dead_letter::DeadLetterGauge open_letters_;
  base::Mutex mutex_;
  base::ConditionVariable changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  base::Mutex save_mutex_;  // Held while the store is written: places that are being forgotten must not come back.
  bool loaded_ = false;     // The reading thread's, as what follows.
  bool progress_ = false;
  std::map<int32_t, int64_t> next_offsets_;
  process::Heartbeat reads_{"ticker_log_reader"};
  process::Heartbeat saves_;
  std::thread reading_;
  std::thread saving_;
};

}  // namespace stockalert::ticker
