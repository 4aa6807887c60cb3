#include "services/tools/migrate/dead_letters.h"

#include <soci/soci.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/dead_letter/postgres_dead_letter_store.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/postgres/arrays.h"
#include "services/common/postgres/security.h"
#include "services/common/postgres/transaction.h"
#include "services/common/version/version.h"

namespace stockalert::migrate {
namespace {

using postgres::Connection;
using postgres::Idempotency;
using soci::into;
using soci::use;

// Names the letter on its way, so that a record can be told from the one that it was.
constexpr char kReplayHeader[] = "stockalert-dead-letter";
constexpr absl::Duration kProduceTimeout = absl::Seconds(30);

std::string Table(const std::string& service) { return absl::StrCat("stockalert_", service, ".dead_letters"); }

bool HasTable(Connection& connection, const std::string& service) {
  const std::string table = Table(service);
  int there = 0;
  connection.sql() << "SELECT CAST(to_regclass(:name) IS NOT NULL AS int)", use(table, "name"), into(there);
  return there != 0;
}

struct Letter {
  int64_t id = 0;
  std::string topic, key, value;
  kafka::Headers headers;
};

absl::StatusOr<std::vector<std::string>> BytesOfList(const std::string& hexes) {
  std::vector<std::string> parts;
  if (hexes.empty()) return parts;
  for (absl::string_view hex : absl::StrSplit(hexes, ',')) {
    STOCKALERT_ASSIGN_OR_RETURN(std::string bytes,
                                postgres::BytesFromHex(std::string_view(hex.data(), hex.size()).substr(1)));
    parts.push_back(std::move(bytes));
  }
  return parts;
}

// The first open letter with an id above `after`, its row locked; none: there is none that nobody else has.
absl::StatusOr<std::optional<Letter>> LockNext(Connection& connection, const std::string& service, int64_t after,
                                               std::optional<int64_t> id) {
  // Each element begins with a letter, so that an empty one is not lost.
  const auto hex_list = [](const char* column) {
    return absl::StrCat("COALESCE((SELECT string_agg('x' || encode(e.value, 'hex'), ',' ORDER BY e.n) FROM unnest(",
                        column, ") WITH ORDINALITY AS e(value, n)), '')");
  };
  long long found = 0;
  const long long above = after, below = id.value_or(std::numeric_limits<int64_t>::max());
  std::string topic, key, value, names, values;
  soci::statement statement = (connection.sql().prepare << absl::StrCat(
                                   "SELECT id, topic, encode(key, 'hex'), encode(value, 'hex'), ",
                                   hex_list("header_names"), ", ", hex_list("header_values"), " FROM ", Table(service),
                                   " WHERE replay_time_us IS NULL AND id > :above AND id <= :below ORDER BY id LIMIT 1"
                                   " FOR UPDATE SKIP LOCKED"),
                               use(above, "above"), use(below, "below"), into(found), into(topic), into(key),
                               into(value), into(names), into(values));
  if (!statement.execute(true)) return std::optional<Letter>();
  Letter letter;
  letter.id = found;
  letter.topic = topic;
  STOCKALERT_ASSIGN_OR_RETURN(letter.key, postgres::BytesFromHex(key));
  STOCKALERT_ASSIGN_OR_RETURN(letter.value, postgres::BytesFromHex(value));
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> header_names, BytesOfList(names));
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> header_values, BytesOfList(values));
  if (header_names.size() != header_values.size())
    return absl::DataLossError("a dead letter has headers without values: was it changed by hand?");
  for (size_t i = 0; i < header_names.size(); ++i) {
    if (header_names[i] != kReplayHeader) letter.headers.push_back({header_names[i], header_values[i]});
  }
  letter.headers.push_back({kReplayHeader, absl::StrCat(service, "/", letter.id)});
  return std::optional<Letter>(std::move(letter));
}

// NOT_FOUND where there never was, or is no more, a letter of this id.
absl::Status RequireLetter(postgres::Pool& pool, const std::string& service, int64_t id) {
  return postgres::Read(pool, "dead_letters.find", [&](Connection& connection) -> absl::Status {
    long long count = 0;
    const long long wanted = id;
    if (HasTable(connection, service)) {
      connection.sql() << absl::StrCat("SELECT count(*) FROM ", Table(service), " WHERE id = :id"), use(wanted, "id"),
          into(count);
    }
    if (count > 0) return absl::OkStatus();
    return absl::NotFoundError(absl::StrCat("the service ", service, " has no dead letter ", id,
                                            ": `deadletters list` shows those that it has"));
  });
}

}  // namespace

const std::vector<std::string> kDeadLetterServices = {"alert", "notifier", "ticker"};

absl::StatusOr<std::vector<DeadLetterRow>> ListDeadLetters(postgres::Pool& pool, const std::string& service) {
  return postgres::Read(
      pool, "dead_letters.list", [&](Connection& connection) -> absl::StatusOr<std::vector<DeadLetterRow>> {
        std::vector<DeadLetterRow> rows;
        for (const std::string& one : kDeadLetterServices) {
          if ((!service.empty() && service != one) || !HasTable(connection, one)) continue;
          long long id = 0, offset = 0, bytes = 0, create_time_us = 0;
          int partition = 0;
          std::string topic, version, cause;
          soci::statement statement =
              (connection.sql().prepare << absl::StrCat(
                   "SELECT id, topic, partition, log_offset, bytes, create_time_us, version, cause FROM ", Table(one),
                   " WHERE replay_time_us IS NULL ORDER BY id"),
               into(id), into(topic), into(partition), into(offset), into(bytes), into(create_time_us), into(version),
               into(cause));
          statement.execute(false);
          while (statement.fetch())
            rows.push_back({one, id, topic, partition, offset, bytes, create_time_us, version, cause});
        }
        return rows;
      });
}

std::string FormatDeadLetters(const std::vector<DeadLetterRow>& rows, int64_t now_us) {
  std::vector<std::vector<std::string>> cells = {
      {"SERVICE", "ID", "TOPIC", "PARTITION", "OFFSET", "BYTES", "AGE", "VERSION", "CAUSE"}};
  for (const DeadLetterRow& row : rows) {
    const absl::Duration age =
        absl::Trunc(absl::Microseconds(std::max<int64_t>(now_us - row.create_time_us, 0)), absl::Seconds(1));
    cells.push_back({row.service, absl::StrCat(row.id), row.topic, absl::StrCat(row.partition),
                     absl::StrCat(row.offset), absl::StrCat(row.bytes), absl::FormatDuration(age), row.version,
                     row.cause});
  }
  std::vector<size_t> widths(cells.front().size());
  for (const auto& line : cells) {
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string text;
  for (const auto& line : cells) {
    for (size_t i = 0; i < line.size(); ++i) {
      absl::StrAppend(&text, line[i], i + 1 == line.size() ? "\n" : std::string(widths[i] - line[i].size() + 2, ' '));
    }
  }
  return text;
}

namespace {

// The newest one's id; 0: there is none.
absl::StatusOr<int64_t> LastLetter(postgres::Pool& pool, const std::string& service) {
  return postgres::Read(pool, "dead_letters.last", [&](Connection& connection) -> absl::StatusOr<int64_t> {
    if (!HasTable(connection, service)) return 0;
    long long last = 0;
    connection.sql() << absl::StrCat("SELECT COALESCE(max(id), 0) FROM ", Table(service)), into(last);
    return last;
  });
}

}  // namespace

absl::StatusOr<int> ReplayDeadLetters(postgres::Pool& pool, kafka::Producer& producer, const std::string& service,
                                      std::optional<int64_t> id, int64_t now_us) {
  if (service == "ticker") {
    return absl::FailedPreconditionError(
        "the ticker's dead letters are prices, which the next ones replace: produced anew, an old price would be "
        "evaluated as a new one. Drop them");
  }
  if (id) STOCKALERT_RETURN_IF_ERROR(RequireLetter(pool, service, *id));
  int64_t after = id ? *id - 1 : 0;
  // What comes back while this runs, for its cause is still there, is a letter of its own and waits for the next run.
  STOCKALERT_ASSIGN_OR_RETURN(const int64_t last, LastLetter(pool, service));
  for (int count = 0;; ++count) {
    // Running it again would only produce the record once more, which consumers bear.
    const absl::StatusOr<int64_t> replayed = postgres::Transact(
        pool, "dead_letters.replay", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<int64_t> {
          if (!HasTable(connection, service)) return 0;
          STOCKALERT_ASSIGN_OR_RETURN(const std::optional<Letter> letter, LockNext(connection, service, after, id));
          if (!letter || letter->id > last) return 0;
          const absl::StatusOr<kafka::DeliveryReport> delivered = producer.ProduceAndWait(
              letter->topic, letter->key, letter->value, letter->headers, absl::Now() + kProduceTimeout);
          if (!delivered.ok()) {
            return absl::Status(delivered.status().code(),
                                absl::StrCat("the dead letter ", letter->id, " of the service ", service,
                                             " was not replayed: ", delivered.status().message()));
          }
          const long long now = now_us, replayed_id = letter->id;
          connection.sql() << absl::StrCat("UPDATE ", Table(service),
                                           " SET replay_time_us = :now, value = '', header_names = '{}',"
                                           " header_values = '{}', bytes = 0 WHERE id = :id"),
              use(now, "now"), use(replayed_id, "id");
          log::Info("replayed a dead letter", {{"service", service},
                                               {"id", letter->id},
                                               {"topic", letter->topic},
                                               {"partition", delivered->partition},
                                               {"offset", delivered->offset}});
          return letter->id;
        });
    if (!replayed.ok()) return replayed.status();
    if (*replayed == 0) return count;
    after = *replayed;
  }
}

absl::StatusOr<int> DropDeadLetters(postgres::Pool& pool, const std::string& service, std::optional<int64_t> id) {
  if (id) STOCKALERT_RETURN_IF_ERROR(RequireLetter(pool, service, *id));
  return postgres::Transact(
      pool, "dead_letters.drop", Idempotency::kIdempotent, [&](Connection& connection) -> absl::StatusOr<int> {
        if (!HasTable(connection, service)) return 0;
        const long long wanted = id.value_or(0);
        soci::statement statement =
            (connection.sql().prepare << absl::StrCat("DELETE FROM ", Table(service),
                                                      " WHERE id = :id OR (:id = 0 AND replay_time_us IS NULL)"),
             use(wanted, "id"));
        statement.execute(true);
        return static_cast<int>(statement.get_affected_rows());
      });
}

absl::Status TakeDeadLetter(postgres::Pool& pool, kafka::AssignedConsumer& consumer, const std::string& service,
                            const kafka::TopicPartition& place, int64_t offset, int64_t now_us,
                            absl::Duration patience) {
  const bool reads =
      (service == "alert" && (place.topic == kafka::kAlertEventsTopic || place.topic == kafka::kUserEventsTopic)) ||
      (service == "notifier" && (place.topic == kafka::kTriggersTopic || place.topic == kafka::kUserEventsTopic));
  if (!reads)
    return absl::FailedPreconditionError(
        absl::StrCat("the service ", service, " never stands still at a record of ", place.topic));
  const absl::Time deadline = absl::Now() + patience;
  STOCKALERT_ASSIGN_OR_RETURN(const kafka::Watermarks marks, consumer.QueryWatermarks(place, patience));
  if (offset < marks.low || offset >= marks.high) {
    return absl::OutOfRangeError(
        absl::StrCat("the log has no record ", offset, " there: it has ", marks.low, " to ", marks.high - 1));
  }
  STOCKALERT_RETURN_IF_ERROR(consumer.Assign({{place, offset}}));
  while (absl::Now() < deadline) {
    const kafka::PollResult polled = consumer.Poll(absl::Milliseconds(200), 1);
    if (!polled.errors.empty()) return polled.errors.front().status;
    if (polled.messages.empty()) continue;
    const kafka::Message& message = polled.messages.front();
    if (message.offset() != offset)
      return absl::OutOfRangeError(absl::StrCat("the log has no record ", offset, " there any more"));
    dead_letter::PostgresDeadLetterStore store(pool, absl::StrCat("stockalert_", service), version::Text());
    return store.Add({dead_letter::MakeDeadLetter(kafka::CopyRecord(message), "put aside by an operator")}, now_us);
  }
  return absl::UnavailableError("the broker did not give the record in time");
}

void DeclareDeadLetters(config::Parser& parser, const std::string& action, DeadLetterConfig& config) {
  postgres::DeclareDatabase(parser, config.postgres_url);
  parser.AddChoice("service", &config.service, {"", "alert", "notifier", "ticker"},
                   "whose dead letters; empty: of all services");
  if (action == "list") return;
  if (action == "take") {
    kafka::DeclareBroker(parser, config.kafka_bootstrap, config.kafka_security);
    parser.AddString("topic", &config.topic, config::kRequired, "where the record is");
    parser.AddInteger("partition", &config.partition, 0, 1'000'000, "where the record is");
    parser.AddInteger("offset", &config.offset, -1, std::numeric_limits<int64_t>::max(), "the record's");
    parser.AddRule([&config]() -> std::optional<std::string> {
      if (config.service.empty() || config.offset < 0)
        return "say --service, --topic, --partition and --offset, as the service's log names them";
      return std::nullopt;
    });
    return;
  }
  if (action == "replay") kafka::DeclareBroker(parser, config.kafka_bootstrap, config.kafka_security);
  parser.AddInteger("id", &config.id, 0, std::numeric_limits<int64_t>::max(),
                    "the one of this id; goes with --service");
  parser.AddBoolean("all", &config.all, "all open ones");
  if (action == "drop") parser.AddBoolean("yes", &config.yes, "yes, for ever: what they say is lost");
  parser.AddRule([&config]() -> std::optional<std::string> {
    if ((config.id != 0) == config.all) return "name one by --id, or say --all";
    if (config.id != 0 && config.service.empty()) return "--id needs --service: each service numbers its own";
    return std::nullopt;
  });
  if (action == "drop") {
    parser.AddRule([&config]() -> std::optional<std::string> {
      return config.yes ? std::nullopt : std::optional<std::string>("dropping is for ever: say --yes");
    });
  }
}

namespace {

absl::Status Do(const std::string& action, const DeadLetterConfig& config) {
  postgres::PoolOptions options;
  options.url = config.postgres_url;
  options.application_name = "stockalert-migrate";
  options.connections_max = 1;
  // A replay holds its row while the broker answers.
  options.statement_timeout = absl::Minutes(1);
  STOCKALERT_ASSIGN_OR_RETURN(const std::unique_ptr<postgres::Pool> pool, postgres::Pool::Create(options));
  const int64_t now_us = absl::ToUnixMicros(absl::Now());
  if (action == "list") {
    STOCKALERT_ASSIGN_OR_RETURN(const std::vector<DeadLetterRow> rows, ListDeadLetters(*pool, config.service));
    std::fputs(FormatDeadLetters(rows, now_us).c_str(), stdout);
    return absl::OkStatus();
  }
  if (action == "take") {
    kafka::AssignedConsumerOptions reading;
    reading.bootstrap = config.kafka_bootstrap;
    reading.security = config.kafka_security;
    reading.client_id = "stockalert-migrate";
    STOCKALERT_ASSIGN_OR_RETURN(const std::unique_ptr<kafka::AssignedConsumer> consumer,
                                kafka::AssignedConsumer::Create(reading));
    STOCKALERT_RETURN_IF_ERROR(TakeDeadLetter(*pool, *consumer, config.service, {config.topic, config.partition},
                                              config.offset, now_us, kProduceTimeout));
    std::printf("%s: 1 put aside; the service passes it within half a minute\n", config.service.c_str());
    return absl::OkStatus();
  }
  std::unique_ptr<kafka::Producer> producer;
  if (action == "replay") {
    kafka::ProducerOptions producing;
    producing.bootstrap = config.kafka_bootstrap;
    producing.security = config.kafka_security;
    producing.client_id = "stockalert-migrate";
    // The topic decides what is too large.
    producing.extra = {{"message.max.bytes", "67108864"}};
    STOCKALERT_ASSIGN_OR_RETURN(producer, kafka::CreateProducer(producing));
  }
  const std::optional<int64_t> id = config.id == 0 ? std::nullopt : std::optional<int64_t>(config.id);
  for (const std::string& service : kDeadLetterServices) {
    if (!config.service.empty() && service != config.service) continue;
    // Of all: those that can be.
    if (action == "replay" && service == "ticker" && config.service.empty()) continue;
    STOCKALERT_ASSIGN_OR_RETURN(const int count, action == "replay"
                                                     ? ReplayDeadLetters(*pool, *producer, service, id, now_us)
                                                     : DropDeadLetters(*pool, service, id));
    std::printf("%s: %d %s\n", service.c_str(), count, action == "replay" ? "replayed" : "dropped");
  }
  return absl::OkStatus();
}

}  // namespace

int RunDeadLetters(int argc, const char* const* argv) {
  const std::string action = argc > 0 ? argv[0] : "";
  if (action != "list" && action != "replay" && action != "drop" && action != "take") {
    std::fputs(
        "usage: stockalert-migrate deadletters list|replay|drop|take [FLAGS] (--help after each shows its flags)\n",
        stderr);
    return 2;
  }
  DeadLetterConfig config;
  config::Parser parser("stockalert-migrate deadletters " + action, "Records that services could not take",
                        version::Text());
  DeclareDeadLetters(parser, action, config);
  const config::ParseResult parsed = parser.Parse(argc, argv);
  if (parsed.kind == config::ParseResult::Kind::kShow) {
    std::fputs(parsed.text.c_str(), stdout);
    return 0;
  }
  if (parsed.kind == config::ParseResult::Kind::kErrors) {
    for (const std::string& error : parsed.errors) std::fprintf(stderr, "stockalert-migrate: %s\n", error.c_str());
    return 2;
  }
  log::Configure("stockalert-migrate", log::Level::kInfo);
  if (const absl::Status status = Do(action, config); !status.ok()) {
    log::Error("what was done before this is done; mend it and run it again", {{"status", status}});
    return 1;
  }
  return 0;
}

}  // namespace stockalert::migrate
