#include "services/common/dead_letter/postgres_dead_letter_store.h"

#include <soci/soci.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/base/failure_kind.h"
#include "services/common/base/ids.h"
#include "services/common/base/text.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/transaction.h"

namespace stockalert::dead_letter {
namespace {

using postgres::Connection;
using postgres::Idempotency;
using soci::into;
using soci::use;

constexpr size_t kCauseBytesMax = 500;
constexpr size_t kTopicBytesMax = 249;  // Kafka's own bound.

// Two records are the same where place and bytes are.
std::string DigestOf(const DeadLetter& letter) {
  std::string all;
  const auto add = [&all](std::string_view part) {
    all += std::to_string(part.size()) + ":";
    all += part;
  };
  add(letter.key);
  add(letter.value);
  for (const kafka::Header& header : letter.headers) {
    add(header.name);
    add(header.value);
  }
  return base::Sha256(all);
}

int64_t BytesOf(const DeadLetter& letter) {
  size_t bytes = letter.key.size() + letter.value.size();
  for (const kafka::Header& header : letter.headers) bytes += header.name.size() + header.value.size();
  return static_cast<int64_t>(bytes);
}

}  // namespace

PostgresDeadLetterStore::PostgresDeadLetterStore(postgres::Pool& pool, std::string schema, std::string version,
                                                 const Bounds& bounds)
    : pool_(pool), schema_(std::move(schema)), version_(std::move(version)), bounds_(bounds) {}

absl::Status PostgresDeadLetterStore::Add(const std::vector<DeadLetter>& letters, int64_t now_us) {
  const std::string insert = absl::StrCat(
      "INSERT INTO ", schema_,
      ".dead_letters (topic, partition, log_offset, digest, key, value, header_names, header_values, bytes,"
      " log_time_us, cause, version, create_time_us) VALUES (:topic, :partition, :log_offset, CAST(:digest AS bytea), "
      "CAST(:key AS bytea),"
      " CAST(:value AS bytea), CAST(:names AS bytea[]), CAST(:values AS bytea[]), :bytes, :log_time, :cause, :version, "
      ":now)"
      " ON CONFLICT (topic, partition, log_offset, digest) DO NOTHING");
  return postgres::Transact(
      pool_, "dead_letters.add", Idempotency::kIdempotent, [&](Connection& connection) -> absl::Status {
        soci::session& sql = connection.sql();
        // One at a time, so that the bounds are exact.
        sql << "SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))", use(schema_, "name");
        const long long now = now_us;
        const long long forgotten = now_us - kReplayedKeptUs;
        sql << absl::StrCat("DELETE FROM ", schema_, ".dead_letters WHERE replay_time_us < :time"),
            use(forgotten, "time");
        for (const DeadLetter& letter : letters) {
          std::vector<std::string> header_names, header_values;
          for (const kafka::Header& header : letter.headers) {
            header_names.push_back(header.name);
            header_values.push_back(header.value);
          }
          const std::string topic = base::StorableText(letter.place.topic, kTopicBytesMax);
          const std::string digest = postgres::ByteaLiteral(DigestOf(letter)), key = postgres::ByteaLiteral(letter.key),
                            value = postgres::ByteaLiteral(letter.value), names = postgres::ByteaArray(header_names),
                            values = postgres::ByteaArray(header_values),
                            cause = base::StorableText(letter.cause, kCauseBytesMax);
          const long long offset = letter.offset, log_time = letter.log_time_us, bytes = BytesOf(letter);
          sql << insert, use(topic, "topic"), use(letter.place.partition, "partition"), use(offset, "log_offset"),
              use(digest, "digest"), use(key, "key"), use(value, "value"), use(names, "names"), use(values, "values"),
              use(bytes, "bytes"), use(log_time, "log_time"), use(cause, "cause"), use(version_, "version"),
              use(now, "now");
        }
        long long count = 0, total = 0;
        sql << absl::StrCat("SELECT count(*), COALESCE(CAST(sum(bytes) AS bigint), 0) FROM ", schema_,
                            ".dead_letters WHERE replay_time_us IS NULL"),
            into(count), into(total);
        if (count <= bounds_.letters_max && total <= bounds_.bytes_max) return absl::OkStatus();
        return base::WithFailureKind(
            absl::ResourceExhaustedError(absl::StrCat("there are too many dead letters (", count, " with ", total,
                                                      " bytes; at most ", bounds_.letters_max, " and ",
                                                      bounds_.bytes_max, "): replay or drop some")),
            base::FailureKind::kUnclear);
      });
}

absl::StatusOr<bool> PostgresDeadLetterStore::Has(const DeadLetter& letter) {
  const std::string topic = base::StorableText(letter.place.topic, kTopicBytesMax),
                    digest = postgres::ByteaLiteral(DigestOf(letter));
  const long long offset = letter.offset;
  return postgres::Read(pool_, "dead_letters.has", [&](Connection& connection) -> absl::StatusOr<bool> {
    long long count = 0;
    connection.sql() << absl::StrCat("SELECT count(*) FROM ", schema_,
                                     ".dead_letters WHERE topic = :topic AND partition = :partition AND"
                                     " log_offset = :log_offset AND digest = CAST(:digest AS bytea)"),
        use(topic, "topic"), use(letter.place.partition, "partition"), use(offset, "log_offset"), use(digest, "digest"),
        into(count);
    return count > 0;
  });
}

absl::StatusOr<int64_t> PostgresDeadLetterStore::CountOpen() {
  return postgres::Read(pool_, "dead_letters.count", [&](Connection& connection) -> absl::StatusOr<int64_t> {
    long long count = 0;
    connection.sql() << absl::StrCat("SELECT count(*) FROM ", schema_, ".dead_letters WHERE replay_time_us IS NULL"),
        into(count);
    return count;
  });
}

}  // namespace stockalert::dead_letter
