// What an operator does with dead letters: looks at them, has them replayed once their cause is gone, or drops them.
//
// A replay produces the record anew to its topic, with its key and headers, so that it goes its normal way; only when
// the broker has it is the letter marked. Replaying twice (a crash between the two) does no harm: consumers
// deduplicate. Not thread-safe; called by main alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/config/parser.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/producer.h"
#include "services/common/kafka/security.h"
#include "services/common/postgres/pool.h"

namespace stockalert::migrate {

// The services that have the table.
extern const std::vector<std::string> kDeadLetterServices;

struct DeadLetterConfig {
  std::string postgres_url;
  std::string kafka_bootstrap;  // As kafka_security: to replay alone.
  kafka::Security kafka_security;
  std::string service;  // Empty: of all.
  int64_t id = 0;       // 0: none was named.
  bool all = false;
  bool yes = false;
  std::string topic;  // As partition and offset: to take one.
  int partition = 0;
  int64_t offset = -1;
};

// The flags of `action`: "list", "replay", "drop" or "take".
void DeclareDeadLetters(config::Parser& parser, const std::string& action, DeadLetterConfig& config);

struct DeadLetterRow {
  std::string service;
  int64_t id = 0;
  std::string topic;
  int partition = 0;
  int64_t offset = 0;
  int64_t bytes = 0;
  int64_t create_time_us = 0;
  std::string version;
  std::string cause;
};

// The open ones, oldest first. A service whose table is not there yet has none.
absl::StatusOr<std::vector<DeadLetterRow>> ListDeadLetters(postgres::Pool& pool, const std::string& service);
std::string FormatDeadLetters(const std::vector<DeadLetterRow>& rows, int64_t now_us);

// One (`id`) or, without one, all open ones; answers how many were replayed now. NOT_FOUND: there is no letter of this
// id. FAILED_PRECONDITION: the ticker's, for a price is replaced by the next one.
absl::StatusOr<int> ReplayDeadLetters(postgres::Pool& pool, kafka::Producer& producer, const std::string& service,
                                      std::optional<int64_t> id, int64_t now_us);
// The same; for ever.
absl::StatusOr<int> DropDeadLetters(postgres::Pool& pool, const std::string& service, std::optional<int64_t> id);

// Puts aside the record at which a partition of the service stands still: it reads it from the log and keeps it as a
// dead letter, and the service then passes it. OUT_OF_RANGE: the log has no such record. FAILED_PRECONDITION: the
// service does not read the topic, or cannot pass it.
absl::Status TakeDeadLetter(postgres::Pool& pool, kafka::AssignedConsumer& consumer, const std::string& service,
                            const kafka::TopicPartition& place, int64_t offset, int64_t now_us,
                            absl::Duration patience);

// `stockalert-migrate deadletters ...`: its exit code.
int RunDeadLetters(int argc, const char* const* argv);

}  // namespace stockalert::migrate
