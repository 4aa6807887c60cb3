// Reads the whole log of prices into a PriceBoard, and keeps what it learnt in a PriceStore.
//
// No member of a group (kafka::GroupWorker is for those): every instance reads all partitions, from places that lie
// with the prices in Postgres. Two threads of its own, one that reads and one that saves. While Postgres is down at the
// start it waits for it, for it does not know where to begin; later it reads on and saves when the database is back.
// While Kafka is down it waits, too. A partition whose place the log does not have any more is read from its beginning,
// and so is the whole log where it is another cluster's. A record that it cannot understand is counted and passed over:
// only quotes and restarts concern it, and the evaluator, which needs all, stops at it. A symbol's prices that Postgres
// can never hold go to the dead letters, and its next ones are tried anew; where it is not certain that they are to
// blame, the places of their partition do not move on in Postgres, and all others do.
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
};

// What a record of the log is to the board. Pure.
BoardRecord ToBoardRecord(std::string_view key, std::string_view value, LogPlace place, int64_t log_time_us);

// Saves `unsaved`, of the topic `topic`, whatever of it can be saved; answers what has to be saved again. The status is
// that of what could not.
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

  // Reads no more, saves once more and joins. Bounded by the store's and the consumer's timeouts.
  void Stop();

 private:
  void Read();
  // Until Stop, or an error.
  absl::Status ReadUntilError();
  absl::Status Prepare();
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
