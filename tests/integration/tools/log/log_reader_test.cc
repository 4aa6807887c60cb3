#include "services/tools/log/log_reader.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>

#include "absl/time/clock.h"
#include "services/common/kafka/partitioner.h"
#include "services/common/kafka/producer.h"
#include "services/common/kafka/topic_admin.h"
#include "stockalert/internal/v1/log.pb.h"
#include "tests/support/mock_kafka/mock_kafka.h"

namespace stockalert::logtool {
namespace {

namespace pb = ::stockalert::internal::v1;

struct Output {
  std::FILE* file = std::tmpfile();
  ~Output() { std::fclose(file); }
  std::string text() const {
    std::string all;
    if (std::fseek(file, 0, SEEK_SET) != 0) throw std::runtime_error("the output cannot be read again");
    for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) all.push_back(static_cast<char>(c));
    return all;
  }
  size_t lines() const {
    const std::string all = text();
    return static_cast<size_t>(std::count(all.begin(), all.end(), '\n'));
  }
};

TEST_CASE("a symbol, a partition or all of the log, to its end") {
  testing::MockKafka kafka;
  kafka.CreateTopic(kafka::kPricesTopic, 3);
  kafka::ProducerOptions producer_options;
  producer_options.bootstrap = kafka.bootstrap();
  producer_options.client_id = "test";
  auto producer = kafka::CreateProducer(producer_options);
  REQUIRE(producer.ok());
  const std::vector<std::string> symbols = {"AAPL", "MSFT", "IBM", "BRK.B"};
  std::set<int32_t> used;
  for (int i = 1; i <= 100; ++i) {
    for (const std::string& symbol : symbols) {
      pb::LogRecord record;
      record.mutable_quote()->set_symbol(symbol);
      record.mutable_quote()->set_price_micros(int64_t{i} * 1'000'000);
      record.mutable_quote()->set_event_time_us(i);
      record.mutable_quote()->set_session(pb::TRADING_SESSION_REGULAR);
      record.mutable_quote()->set_publisher_epoch(1);
      record.mutable_quote()->set_sequence(i);
      const auto delivered = (*producer)->ProduceAndWait(kafka::kPricesTopic, symbol, record.SerializeAsString(), {},
                                                         absl::Now() + absl::Seconds(10));
      REQUIRE(delivered.ok());
      // Where the log tool looks for it.
      REQUIRE(delivered->partition == kafka::PartitionOf(symbol, 3));
      used.insert(delivered->partition);
    }
  }
  LogReaderOptions options;
  options.kafka_bootstrap = kafka.bootstrap();
  {
    Output out, notes;
    REQUIRE(ReadLog(options, out.file, notes.file).ok());
    CHECK(out.lines() == 400);
    CHECK(notes.text().find("400 printed, 0 sent again") != std::string::npos);
  }
  {
    Output out, notes;
    options.symbol = "BRK.B";
    REQUIRE(ReadLog(options, out.file, notes.file).ok());
    CHECK(out.lines() == 100);
    CHECK(out.text().find("AAPL") == std::string::npos);
  }
  {
    Output out, notes;
    options.symbol = "";
    options.partition = *used.begin();
    options.from_offset = 10;
    REQUIRE(ReadLog(options, out.file, notes.file).ok());
    CHECK(out.text().find("\"offset\":9,") == std::string::npos);
    CHECK(out.text().find("\"offset\":10,") != std::string::npos);
  }
  {
    Output out, notes;
    options.partition = 3;
    CHECK(absl::IsOutOfRange(ReadLog(options, out.file, notes.file)));
  }
}

TEST_CASE("Kafka's own partitions of keys") {
  // From Kafka's own tests of murmur2.
  CHECK(kafka::PartitionOf("21", 1'000'000) == (-973932308 & 0x7fffffff) % 1'000'000);
  CHECK(kafka::PartitionOf("foobar", 1'000'000) == (-790332482 & 0x7fffffff) % 1'000'000);
  CHECK(kafka::PartitionOf("a-little-bit-long-string", 64) == (-985981536 & 0x7fffffff) % 64);
}

}  // namespace
}  // namespace stockalert::logtool
