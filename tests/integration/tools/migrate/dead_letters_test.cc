// Dead letters as an operator handles them: real Postgres; real Kafka where there is one, else the mock cluster.
#include "services/tools/migrate/dead_letters.h"

#include <catch2/catch.hpp>
#include <cstdlib>

#include "absl/time/clock.h"
#include "services/common/dead_letter/postgres_dead_letter_store.h"
#include "services/common/kafka/consumer.h"
#include "tests/support/mock_kafka/mock_kafka.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::migrate {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;

struct Bench {
  Bench() {
    for (const char* service : {"alert", "notifier", "ticker"}) database.Migrate(service);
    bootstrap = testing::KafkaBootstrapIfAny();
    if (bootstrap.empty()) {
      mock = std::make_unique<testing::MockKafka>();
      mock->CreateTopic(topic, 4);
      bootstrap = mock->bootstrap();
    } else {
      testing::CreateTopicOrThrow(bootstrap, topic, 4);
    }
    kafka::ProducerOptions options;
    options.bootstrap = bootstrap;
    options.client_id = "test";
    producer = *kafka::CreateProducer(options);
  }

  void Add(const std::string& service, int64_t offset, const std::string& value) {
    dead_letter::PostgresDeadLetterStore store(*pool, "stockalert_" + service, "0.1 (abc)");
    dead_letter::DeadLetter letter;
    letter.place = {topic, 3};
    letter.offset = offset;
    letter.key = std::string("k\0\xff", 3);
    letter.value = value;
    letter.headers = {{"traceparent", "\xff\xfe"}, {"empty", ""}, {"last", "x,y"}};
    letter.cause = "bytes that nobody can read";
    REQUIRE(store.Add({letter}, kNow).ok());
  }

  struct Read {
    std::string key, value;
    kafka::Headers headers;
  };
  // All that the topic has, in an order of its partitions.
  std::vector<Read> ReadTopic(size_t count) {
    kafka::AssignedConsumerOptions options;
    options.bootstrap = bootstrap;
    options.client_id = "test";
    const auto consumer = *kafka::AssignedConsumer::Create(options);
    REQUIRE(consumer->AssignAll(topic, kafka::kBeginning, absl::Seconds(10)).ok());
    std::vector<Read> read;
    size_t ends = 0;
    const absl::Time give_up = absl::Now() + absl::Seconds(30);
    while ((read.size() < count || ends < 4) && absl::Now() < give_up) {
      const kafka::PollResult polled = consumer->Poll(absl::Milliseconds(200), 100);
      ends += polled.ends.size();
      for (const kafka::Message& message : polled.messages) {
        read.push_back({std::string(message.key()), std::string(message.value()), message.headers()});
      }
    }
    return read;
  }

  testing::TestDatabase database;
  std::unique_ptr<postgres::Pool> pool = database.NewPool();
  std::unique_ptr<testing::MockKafka> mock;
  std::string bootstrap;
  std::string topic = testing::UniqueName("dead");
  std::unique_ptr<kafka::Producer> producer;
};

TEST_CASE("the open letters of all services are shown as a table") {
  Bench bench;
  CHECK(ListDeadLetters(*bench.pool, "")->empty());
  bench.Add("alert", 5, "one");
  bench.Add("notifier", 6, "two");
  const auto rows = ListDeadLetters(*bench.pool, "");
  REQUIRE(rows.ok());
  REQUIRE(rows->size() == 2);
  CHECK(ListDeadLetters(*bench.pool, "notifier")->size() == 1);
  const std::string text = FormatDeadLetters(*rows, kNow + 90'000'000);
  INFO(text);
  CHECK(text.find("SERVICE   ID  TOPIC") == 0);
  CHECK(text.find("alert     1 ") != std::string::npos);
  CHECK(text.find(bench.topic + "  3          5 ") != std::string::npos);
  CHECK(text.find("1m30s") != std::string::npos);
  CHECK(text.find("0.1 (abc)") != std::string::npos);
  CHECK(text.find("bytes that nobody can read\n") != std::string::npos);
}

TEST_CASE("a replay produces the very record to its topic, once, and leaves a mark") {
  Bench bench;
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  bench.Add("alert", 5, all);
  bench.Add("alert", 6, "");
  bench.Add("alert", 7, "third");
  CHECK(*ReplayDeadLetters(*bench.pool, *bench.producer, "alert", 1, kNow) == 1);
  CHECK(*ReplayDeadLetters(*bench.pool, *bench.producer, "alert", 1, kNow) == 0);  // Again: nothing to do.
  CHECK(*ReplayDeadLetters(*bench.pool, *bench.producer, "alert", std::nullopt, kNow) == 2);
  CHECK(*ReplayDeadLetters(*bench.pool, *bench.producer, "alert", std::nullopt, kNow) == 0);
  CHECK(ListDeadLetters(*bench.pool, "")->empty());
  const auto read = bench.ReadTopic(3);
  REQUIRE(read.size() == 3);
  std::vector<std::string> values;
  for (const auto& record : read) {
    CHECK(record.key == std::string("k\0\xff", 3));
    REQUIRE(record.headers.size() == 4);
    CHECK(record.headers[0].value == "\xff\xfe");
    CHECK(record.headers[1].value.empty());
    CHECK(record.headers[2].value == "x,y");
    CHECK(record.headers[3].name == "stockalert-dead-letter");
    values.push_back(record.value);
  }
  // One key, one partition: in the letters' order.
  CHECK(values == std::vector<std::string>{all, "", "third"});
  CHECK(bench.database.Count("SELECT count(*) FROM stockalert_alert.dead_letters WHERE replay_time_us IS NOT NULL AND "
                             "length(value) = 0") == 3);
}

TEST_CASE("what the broker does not take stays open") {
  Bench bench;
  bench.Add("notifier", 5, "one");
  kafka::ProducerOptions options;
  options.bootstrap = "127.0.0.1:1";
  options.client_id = "test";
  options.message_timeout = absl::Milliseconds(300);
  const auto nowhere = *kafka::CreateProducer(options);
  CHECK_FALSE(ReplayDeadLetters(*bench.pool, *nowhere, "notifier", std::nullopt, kNow).ok());
  CHECK(ListDeadLetters(*bench.pool, "")->size() == 1);
  CHECK(*ReplayDeadLetters(*bench.pool, *bench.producer, "notifier", std::nullopt, kNow) == 1);
}

TEST_CASE("an old price is never produced anew, and unknown ids are said") {
  Bench bench;
  bench.Add("ticker", 5, "one");
  CHECK(absl::IsFailedPrecondition(
      ReplayDeadLetters(*bench.pool, *bench.producer, "ticker", std::nullopt, kNow).status()));
  CHECK(absl::IsNotFound(ReplayDeadLetters(*bench.pool, *bench.producer, "alert", 99, kNow).status()));
  CHECK(absl::IsNotFound(DropDeadLetters(*bench.pool, "alert", 99).status()));
}

TEST_CASE("a record at which a partition stands still is put aside, from topics that the service reads alone") {
  testing::TestDatabase database;
  for (const char* service : {"alert", "notifier", "ticker"}) database.Migrate(service);
  const auto pool = database.NewPool();
  // By the mesh's own name, so not on a broker that others use.
  testing::MockKafka mock;
  mock.CreateTopic("alert-events", 1);
  kafka::ProducerOptions producing;
  producing.bootstrap = mock.bootstrap();
  producing.client_id = "test";
  const auto producer = *kafka::CreateProducer(producing);
  for (const char* value : {"one", "two", "three"}) {
    REQUIRE(producer->ProduceAndWait("alert-events", "k", value, {{"h", "v"}}, absl::Now() + absl::Seconds(10)).ok());
  }
  kafka::AssignedConsumerOptions reading;
  reading.bootstrap = mock.bootstrap();
  reading.client_id = "test";
  const auto consumer = *kafka::AssignedConsumer::Create(reading);
  const auto take = [&](const char* service, const char* topic, int64_t offset) {
    return TakeDeadLetter(*pool, *consumer, service, {topic, 0}, offset, kNow, absl::Seconds(10));
  };
  REQUIRE(take("alert", "alert-events", 1).ok());
  REQUIRE(take("alert", "alert-events", 1).ok());  // Again: it is there.
  CHECK(absl::IsOutOfRange(take("alert", "alert-events", 3)));
  CHECK(absl::IsFailedPrecondition(take("notifier", "alert-events", 1)));
  CHECK(absl::IsFailedPrecondition(take("ticker", "prices", 1)));
  CHECK(ListDeadLetters(*pool, "")->size() == 1);
  CHECK(database.Count("SELECT count(*) FROM stockalert_alert.dead_letters WHERE convert_from(value, 'UTF8') = 'two' "
                       "AND log_offset = 1 AND"
                       " convert_from(header_values[1], 'UTF8') = 'v'") == 1);
}

TEST_CASE("one or all are dropped, of the service that was named alone") {
  Bench bench;
  for (int64_t offset = 1; offset <= 3; ++offset) bench.Add("alert", offset, "x");
  bench.Add("ticker", 1, "x");
  CHECK(*DropDeadLetters(*bench.pool, "alert", 2) == 1);
  CHECK(ListDeadLetters(*bench.pool, "alert")->size() == 2);
  CHECK(*DropDeadLetters(*bench.pool, "alert", std::nullopt) == 2);
  CHECK(*DropDeadLetters(*bench.pool, "alert", std::nullopt) == 0);
  CHECK(ListDeadLetters(*bench.pool, "")->size() == 1);
}

TEST_CASE("a database from before the table has none") {
  const testing::TestDatabase database;
  const auto pool = database.NewPool();
  CHECK(ListDeadLetters(*pool, "")->empty());
  CHECK(*DropDeadLetters(*pool, "alert", std::nullopt) == 0);
}

TEST_CASE("the command says how it is used, and drops nothing without a word") {
  const auto run = [](std::vector<const char*> arguments) {
    return RunDeadLetters(static_cast<int>(arguments.size()), arguments.data());
  };
  CHECK(run({}) == 2);
  CHECK(run({"burn"}) == 2);
  const testing::TestDatabase database;
  database.Migrate("alert");
  // It holds a password, which no flag may.
  const std::string url =
      database.url() + (database.url().find('?') == std::string::npos ? "?" : "&") + "sslmode=disable";
  REQUIRE(setenv("STOCKALERT_POSTGRES_URL", url.c_str(), 1) == 0);
  CHECK(run({"list"}) == 0);
  CHECK(run({"drop", "--all"}) == 2);
  CHECK(run({"drop", "--yes"}) == 2);
  CHECK(run({"drop", "--yes", "--id=1"}) == 2);
  CHECK(run({"drop", "--yes", "--all", "--service=nobody"}) == 2);
  CHECK(run({"drop", "--yes", "--all"}) == 0);
  CHECK(run({"drop", "--yes", "--id=1", "--service=alert"}) == 1);
  CHECK(run({"replay", "--all"}) == 2);  // Without a broker.
  unsetenv("STOCKALERT_POSTGRES_URL");
}

}  // namespace
}  // namespace stockalert::migrate
