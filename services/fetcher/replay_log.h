// Finds in the log how far the last replay of a symbol came, so that a restarted fetcher continues there.
//
// A replay's records carry the header `replay-run`, the id of the run that they belong to, and its quotes
// `replay-position`, their number in the file from 0 on, for several may have one event time, and `replay-file`, the
// checksum of the file that has that number: a run of a given name may go on with another one. ReplayLog is the
// interface (tests have one in memory); KafkaReplayLog reads the topic `prices` backwards from its end until it meets
// such a record. Belongs to one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/kafka/consumer.h"
#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::fetcher {

inline constexpr char kReplayRunHeader[] = "replay-run";
inline constexpr char kReplayPositionHeader[] = "replay-position";
inline constexpr char kReplayFileHeader[] = "replay-file";

// The last record in the log that a replay wrote for a symbol.
struct ReplayMark {
  std::string run;
  // None: it is the restart record, with no quote of the run after it.
  std::optional<internal::v1::QuoteRecord> quote;
  // None: the quote is of a version that wrote no position, and whose event times rose strictly.
  std::optional<int64_t> position;
  std::string file;  // ReplayFile::checksum; empty where there is no position.
};

class ReplayLog {
 public:
  virtual ~ReplayLog() = default;
  // None: no replay has ever written to the symbol, as far back as the log goes. UNAVAILABLE: the broker does not
  // answer.
  virtual absl::StatusOr<std::optional<ReplayMark>> FindLast(const std::string& symbol) = 0;
};

class KafkaReplayLog final : public ReplayLog {
 public:
  explicit KafkaReplayLog(std::string bootstrap, kafka::Security security = {},
                          absl::Duration timeout = absl::Seconds(5), kafka::ExtraSettings extra = {});
  absl::StatusOr<std::optional<ReplayMark>> FindLast(const std::string& symbol) override;

 private:
  // Of the records from `begin` to before `end`. The partition is the one that is assigned.
  absl::StatusOr<std::optional<ReplayMark>> FindLastIn(const kafka::TopicPartition& partition, int64_t begin,
                                                       int64_t end, const std::string& symbol);

  const std::string bootstrap_;
  const kafka::Security security_;
  const absl::Duration timeout_;
  const kafka::ExtraSettings extra_;
  std::unique_ptr<kafka::AssignedConsumer> consumer_;
};

}  // namespace stockalert::fetcher
