#include "services/fetcher/replay_source.h"

#include <unistd.h>
#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "absl/time/clock.h"
#include "services/common/base/clock.h"
#include "tests/support/memory_producer/memory_producer.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;

bool Eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 2000; ++i) {
    if (holds()) return true;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return false;
}

// What a MemoryProducer was given, read as the log.
class MemoryReplayLog final : public ReplayLog {
 public:
  explicit MemoryReplayLog(const std::vector<testing::MemoryProducer::Record>& records, bool with_positions = true) {
    for (const auto& record : records) {
      for (const kafka::Header& header : record.headers) {
        if (header.name != kReplayRunHeader) continue;
        pb::LogRecord decoded;
        if (!decoded.ParseFromString(record.value)) throw std::runtime_error("no log record");
        ReplayMark mark{header.value, std::nullopt, std::nullopt, ""};
        if (decoded.has_quote()) mark.quote = decoded.quote();
        for (const kafka::Header& other : record.headers) {
          if (other.name == kReplayPositionHeader && with_positions) mark.position = std::stoll(other.value);
          if (other.name == kReplayFileHeader) mark.file = other.value;
        }
        marks_[record.key] = mark;
      }
    }
  }
  absl::StatusOr<std::optional<ReplayMark>> FindLast(const std::string& symbol) override {
    if (failures_left_ > 0) {
      --failures_left_;
      return absl::UnavailableError("the broker is away");
    }
    const auto found = marks_.find(symbol);
    if (found == marks_.end()) return std::optional<ReplayMark>();
    return std::optional<ReplayMark>(found->second);
  }
  int failures_left_ = 0;

 private:
  std::map<std::string, ReplayMark> marks_;
};

ReplayFile File() {
  std::string text = "time_ms,open,high,low,close\n";
  for (int64_t i = 0; i < 25; ++i) text += std::to_string(1'460'727'000'000 + i * 60'000) + ",112,114,111,113\n";
  std::istringstream in(text);
  return *ReadReplayStream(in, "aapl.csv", "");
}

struct Log {
  int restarts = 0;
  std::vector<int64_t> times;
  explicit Log(const std::vector<testing::MemoryProducer::Record>& records) {
    for (const auto& record : records) {
      pb::LogRecord decoded;
      if (!decoded.ParseFromString(record.value)) throw std::runtime_error("no log record");
      if (decoded.has_restart()) ++restarts;
      if (decoded.has_quote()) times.push_back(decoded.quote().event_time_us());
    }
  }
};

ReplayOptions Fast(const std::string& run = "r1") {
  ReplayOptions options;
  options.speed = 1e9;
  options.quotes_per_second_max = 1e6;
  options.run = run;
  return options;
}

TEST_CASE("a replay begins with a restart once its symbol is registered and its file is there") {
  base::SystemClock clock;
  testing::MemoryProducer producer;
  Publisher publisher(producer, clock);
  publisher.BeginEpoch(1);
  ReplayOptions options = Fast();
  options.start_file = std::filesystem::temp_directory_path() / ("stockalert-replay-test-" + std::to_string(getpid()));
  ReplaySource source(File(), options, publisher, std::make_unique<MemoryReplayLog>(producer.records()));
  source.Start();
  source.SetSymbols({"MSFT"});
  std::ofstream(options.start_file) << "go";
  absl::SleepFor(absl::Milliseconds(120));
  CHECK(producer.records().empty());
  source.SetSymbols({"MSFT", "AAPL"});
  REQUIRE(Eventually([&] { return source.finished(); }));
  std::filesystem::remove(options.start_file);
  const Log log(producer.records());
  CHECK(log.restarts == 1);
  REQUIRE(log.times.size() == 100);
  CHECK(std::is_sorted(log.times.begin(), log.times.end()));
  CHECK(source.Lookup("AAPL", "", absl::Now()).knowledge == Knowledge::kKnown);
  CHECK(source.Lookup("MSFT", "", absl::Now()).knowledge == Knowledge::kUnknown);
}

TEST_CASE("a replay that crashed anywhere continues where the log says") {
  base::SystemClock clock;
  testing::MemoryProducer whole;
  {
    Publisher publisher(whole, clock);
    publisher.BeginEpoch(1);
    ReplaySource source(File(), Fast(), publisher, std::make_unique<MemoryReplayLog>(whole.records()));
    source.Start();
    source.SetSymbols({"AAPL"});
    REQUIRE(Eventually([&] { return source.finished(); }));
  }
  for (const size_t survived : {0u, 1u, 2u, 50u, 100u, 101u}) {
    CAPTURE(survived);
    auto records = whole.records();
    records.resize(survived);
    testing::MemoryProducer producer;
    Publisher publisher(producer, clock);
    publisher.BeginEpoch(2);
    auto read = std::make_unique<MemoryReplayLog>(records);
    read->failures_left_ = 2;
    ReplaySource source(File(), Fast(), publisher, std::move(read));
    source.Start();
    source.SetSymbols({"AAPL"});
    REQUIRE(Eventually([&] { return source.finished(); }));
    for (const auto& record : producer.records()) records.push_back(record);
    const Log log(records);
    CHECK(log.restarts == 1);
    CHECK(log.times.size() == 100);
    CHECK(std::is_sorted(log.times.begin(), log.times.end()));
    if (survived == 101) CHECK(publisher.LastPublished("AAPL").has_value());
  }
}

ReplayFile EqualTimes() {
  std::istringstream in(
      "time,symbol,price\n"
      "2024-01-02T21:00:00Z,AAPL,1\n"
      "2024-01-02T21:00:00Z,MSFT,2\n"
      "2024-01-02T21:00:00Z,AAPL,3\n"
      "2024-01-02T21:00:00Z,AAPL,1\n"
      "2024-01-07T15:00:00Z,AAPL,4\n"
      "2024-01-08T15:00:00Z,MSFT,5\n"
      "never,MSFT,5\n");
  return *ReadReplayStream(in, "equal.csv", "");
}

TEST_CASE("a replay of quotes of one time continues behind the very quote that the log has") {
  base::SystemClock clock;
  testing::MemoryProducer whole;
  {
    Publisher publisher(whole, clock);
    publisher.BeginEpoch(1);
    ReplaySource source(EqualTimes(), Fast(), publisher, std::make_unique<MemoryReplayLog>(whole.records()));
    source.Start();
    source.SetSymbols({"AAPL"});
    REQUIRE(Eventually([&] { return source.finished(); }));
  }
  REQUIRE(whole.records().size() == 2 + 6);
  for (size_t survived = 0; survived <= whole.records().size(); ++survived) {
    CAPTURE(survived);
    auto records = whole.records();
    records.resize(survived);
    testing::MemoryProducer producer;
    Publisher publisher(producer, clock);
    publisher.BeginEpoch(2);
    ReplaySource source(EqualTimes(), Fast(), publisher, std::make_unique<MemoryReplayLog>(records));
    source.Start();
    source.SetSymbols({"AAPL"});
    REQUIRE(Eventually([&] { return source.finished(); }));
    std::vector<int64_t> prices;
    for (const auto& record : producer.records()) records.push_back(record);
    for (const auto& record : records) {
      pb::LogRecord decoded;
      REQUIRE(decoded.ParseFromString(record.value));
      if (decoded.has_quote()) prices.push_back(decoded.quote().price_micros() / 1'000'000);
    }
    CHECK(prices == std::vector<int64_t>{1, 2, 3, 1, 4, 5});
  }
}

TEST_CASE("a replay that a version without positions began goes on behind its last event time") {
  base::SystemClock clock;
  testing::MemoryProducer whole;
  for (const bool with_positions : {true, false}) {
    Publisher publisher(whole, clock);
    publisher.BeginEpoch(1);
    auto records = whole.records();
    if (!records.empty()) records.resize(51);
    ReplaySource source(File(), Fast(), publisher, std::make_unique<MemoryReplayLog>(records, with_positions));
    source.Start();
    source.SetSymbols({"AAPL"});
    REQUIRE(Eventually([&] { return source.finished(); }));
  }
  CHECK(Log(whole.records()).restarts == 1);
  CHECK(Log(whole.records()).times.size() == 100 + 50);
}

TEST_CASE("a run of a given name goes on with another file behind its last event time") {
  base::SystemClock clock;
  testing::MemoryProducer producer;
  ReplayOptions options = Fast();
  options.run = "nightly";
  for (const std::string text : {"time,symbol,price\n2024-01-02T15:00:00Z,AAPL,1\n2024-01-02T15:00:01Z,AAPL,2\n",
                                 "time,symbol,price\n2024-01-02T15:00:01Z,AAPL,2\n2024-01-03T15:00:00Z,AAPL,3\n"}) {
    Publisher publisher(producer, clock);
    publisher.BeginEpoch(1);
    std::istringstream in(text);
    ReplaySource source(*ReadReplayStream(in, "aapl.csv", ""), options, publisher,
                        std::make_unique<MemoryReplayLog>(producer.records()));
    source.Start();
    source.SetSymbols({"AAPL"});
    REQUIRE(Eventually([&] { return source.finished(); }));
  }
  CHECK(Log(producer.records()).restarts == 1);
  CHECK(Log(producer.records()).times.size() == 3);
}

TEST_CASE("the end of a replay says what became of its rows and quotes") {
  base::SystemClock clock;
  testing::MemoryProducer producer;
  Publisher publisher(producer, clock);
  publisher.BeginEpoch(1);
  std::istringstream in(
      "time,symbol,price\n"
      "2024-01-02T21:00:00Z,AAPL,1\n"
      "2024-01-07T15:00:00Z,AAPL,4\n"
      "2024-01-07T15:00:00Z,AAPL,0\n"
      "2999-01-08T15:00:00Z,AAPL,5\n"
      "never,AAPL,5\n");
  ReplayOptions options = Fast();
  options.gap_max = absl::Hours(1);
  ReplaySource source(*ReadReplayStream(in, "aapl.csv", ""), options, publisher,
                      std::make_unique<MemoryReplayLog>(producer.records()));
  source.Start();
  source.SetSymbols({"AAPL"});
  REQUIRE(Eventually([&] { return source.finished(); }));
  const ReplayCounts counts = source.counts();
  CHECK(counts.rows == 5);
  CHECK(counts.rows_refused == 2);
  CHECK(counts.published == 2);
  CHECK(counts.closed == 1);  // A Sunday.
  CHECK(counts.late == 0);
  CHECK(counts.refused == 1);
}

TEST_CASE("quotes of a replay that come behind another publisher's later one are counted as late") {
  base::SystemClock clock;
  testing::MemoryProducer producer;
  Publisher publisher(producer, clock);
  publisher.BeginEpoch(1);
  ReplayOptions options = Fast();
  options.speed = 15 / 0.02;  // A quote every 20 ms.
  ReplaySource source(File(), options, publisher, std::make_unique<MemoryReplayLog>(producer.records()));
  source.Start();
  source.SetSymbols({"AAPL"});
  REQUIRE(Eventually([&] { return producer.records().size() >= 3; }));
  pb::QuoteRecord other;
  other.set_symbol("AAPL");
  other.set_price_micros(1);
  other.set_event_time_us(1'600'000'000'000'000);
  other.set_session(pb::TRADING_SESSION_REGULAR);
  REQUIRE(publisher.Publish(other, "", {}, nullptr).ok());
  REQUIRE(Eventually([&] { return source.finished(); }));
  CHECK(source.counts().published == 100);
  CHECK(source.counts().late > 50);
  CHECK(source.counts().late < 100);
}

TEST_CASE("a replay with another run id starts from the beginning") {
  base::SystemClock clock;
  testing::MemoryProducer producer;
  Publisher publisher(producer, clock);
  publisher.BeginEpoch(1);
  for (const char* run : {"r1", "r2"}) {
    ReplaySource source(File(), Fast(run), publisher, std::make_unique<MemoryReplayLog>(producer.records()));
    source.Start();
    source.SetSymbols({"AAPL"});
    REQUIRE(Eventually([&] { return source.finished(); }));
  }
  CHECK(Log(producer.records()).restarts == 2);
  CHECK(Log(producer.records()).times.size() == 200);
}

TEST_CASE("a replay waits for the broker and loses nothing") {
  base::SystemClock clock;
  testing::MemoryProducer producer;
  Publisher publisher(producer, clock, {.in_flight_max = 5});
  publisher.BeginEpoch(1);
  producer.Hold();
  ReplaySource source(File(), Fast(), publisher, std::make_unique<MemoryReplayLog>(producer.records()));
  source.Start();
  source.SetSymbols({"AAPL"});
  absl::SleepFor(absl::Milliseconds(50));
  CHECK_FALSE(source.finished());
  producer.Release();
  REQUIRE(Eventually([&] { return source.finished(); }));
  CHECK(Log(producer.records()).times.size() == 100);
}

TEST_CASE("the speed is that of the file's time, and a stop is quick") {
  base::SystemClock clock;
  testing::MemoryProducer producer;
  Publisher publisher(producer, clock);
  publisher.BeginEpoch(1);
  ReplayOptions options = Fast();
  options.speed = 15 / 0.02;  // A quote every 20 ms.
  ReplaySource source(File(), options, publisher, std::make_unique<MemoryReplayLog>(producer.records()));
  const absl::Time begin = absl::Now();
  source.Start();
  source.SetSymbols({"AAPL"});
  REQUIRE(Eventually([&] { return producer.records().size() >= 11; }));
  CHECK(absl::Now() - begin >= absl::Milliseconds(150));
  source.Stop();
  CHECK_FALSE(source.finished());
}

}  // namespace
}  // namespace stockalert::fetcher
