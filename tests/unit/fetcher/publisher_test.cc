#include "services/fetcher/publisher.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/memory_producer/memory_producer.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;

pb::QuoteRecord QuoteAt(const std::string& symbol, int64_t price_micros, int64_t event_time_us,
                        const char* source = kSourceReplay) {
  pb::QuoteRecord quote;
  quote.set_symbol(symbol);
  quote.set_price_micros(price_micros);
  quote.set_event_time_us(event_time_us);
  quote.set_session(pb::TRADING_SESSION_REGULAR);
  quote.set_source(source);
  return quote;
}

pb::LogRecord Decode(const testing::MemoryProducer::Record& record) {
  pb::LogRecord decoded;
  if (!decoded.ParseFromString(record.value)) throw std::runtime_error("no log record");
  return decoded;
}

bool Eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 2000; ++i) {
    if (holds()) return true;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return false;
}

TEST_CASE("a quote is stamped with epoch and sequence, keyed by its symbol, and traced") {
  testing::FakeClock clock;
  testing::MemoryProducer producer;
  Publisher publisher(producer, clock);
  CHECK(absl::IsUnavailable(publisher.Publish(QuoteAt("AAPL", 1, clock.NowUs()), "", {}, {})));
  publisher.BeginEpoch(7);
  REQUIRE(publisher.Publish(QuoteAt("AAPL", 1, clock.NowUs()), "", {}, {}).ok());
  REQUIRE(publisher.Publish(QuoteAt("MSFT", 2, clock.NowUs()), "", {}, {}).ok());
  REQUIRE(publisher.Publish(QuoteAt("AAPL", 3, clock.NowUs()), "", {{"x", "y"}}, {}).ok());
  const auto records = producer.records();
  REQUIRE(records.size() == 3);
  CHECK(records[0].topic == "prices");
  CHECK(records[2].key == "AAPL");
  CHECK(Decode(records[0]).quote().publisher_epoch() == 7);
  CHECK(Decode(records[0]).quote().sequence() == 1);
  CHECK(Decode(records[1]).quote().sequence() == 1);
  CHECK(Decode(records[2]).quote().sequence() == 2);
  CHECK(records[2].headers.size() == 2);
  CHECK(records[0].headers.at(0).name == "traceparent");
  CHECK(records[0].headers.at(0).value != records[1].headers.at(0).value);
  CHECK(publisher.LastPublished("AAPL")->price_micros() == 3);
  CHECK_FALSE(publisher.LastPublished("IBM").has_value());
  REQUIRE(publisher.PublishRestart("AAPL", {}, {}).ok());
  CHECK(Decode(producer.records().back()).restart().symbol() == "AAPL");
  CHECK_FALSE(publisher.LastPublished("AAPL").has_value());
}

TEST_CASE("what the edge refuses never reaches the log") {
  testing::FakeClock clock;
  testing::MemoryProducer producer;
  Publisher publisher(producer, clock);
  publisher.BeginEpoch(1);
  CHECK(absl::IsInvalidArgument(publisher.Publish(QuoteAt("AAPL", 0, clock.NowUs()), "", {}, {})));
  CHECK(absl::IsInvalidArgument(publisher.Publish(QuoteAt("AAPL", 1, clock.NowUs() + 6'000'000), "", {}, {})));
  CHECK(producer.records().empty());
}

TEST_CASE("in flight is bounded, and room comes with the answers") {
  testing::FakeClock clock;
  testing::MemoryProducer producer;
  Publisher publisher(producer, clock, {.in_flight_max = 2, .stalled_after = absl::Milliseconds(20)});
  publisher.BeginEpoch(1);
  producer.Hold();
  std::atomic<int> answered{0};
  const auto count = [&](const absl::StatusOr<kafka::DeliveryReport>&) { ++answered; };
  REQUIRE(publisher.Publish(QuoteAt("AAPL", 1, clock.NowUs()), "", {}, count).ok());
  REQUIRE(publisher.Publish(QuoteAt("AAPL", 2, clock.NowUs()), "", {}, count).ok());
  CHECK(absl::IsResourceExhausted(publisher.Publish(QuoteAt("AAPL", 3, clock.NowUs()), "", {}, count)));
  CHECK_FALSE(publisher.AwaitRoom(absl::Now() + absl::Milliseconds(5)));
  CHECK(Eventually([&] { return publisher.IsStalled(); }));
  producer.Release();
  CHECK(publisher.AwaitRoom(absl::Now() + absl::Seconds(5)));
  CHECK(publisher.AwaitAnswers(absl::Now() + absl::Seconds(5)));
  CHECK(answered == 2);
  CHECK_FALSE(publisher.IsStalled());
}

TEST_CASE("who publishes one record waits for room, and publishes nothing where none comes") {
  testing::FakeClock clock;
  testing::MemoryProducer producer;
  Publisher publisher(producer, clock, {.in_flight_max = 1});
  publisher.BeginEpoch(1);
  producer.Hold();
  std::atomic<int> tries{0};
  const auto publish = [&] {
    ++tries;
    return publisher.Publish(QuoteAt("AAPL", tries, clock.NowUs()), "", {}, {});
  };
  REQUIRE(publisher.PublishOnceRoom(absl::Now(), publish).ok());
  CHECK(absl::IsResourceExhausted(publisher.PublishOnceRoom(absl::Now() + absl::Milliseconds(5), publish)));
  std::thread releasing([&] {
    while (tries < 3) std::this_thread::yield();
    producer.Release();
  });
  CHECK(publisher.PublishOnceRoom(absl::Now() + absl::Seconds(30), publish).ok());
  releasing.join();
  CHECK(publisher.AwaitAnswers(absl::Now() + absl::Seconds(5)));
  CHECK(producer.records().size() == 2);
}

TEST_CASE("live quotes keep their order, late ones are dropped, the oldest give way while the broker is away") {
  testing::FakeClock clock;
  testing::MemoryProducer producer;
  Publisher publisher(producer, clock, {.in_flight_max = 1, .live_queue_max = 3});
  publisher.BeginEpoch(1);
  const int64_t now = clock.NowUs();
  publisher.OfferLive(QuoteAt("AAPL", 1, now - 100, kSourceStream));
  REQUIRE(Eventually([&] { return producer.records().size() == 1; }));
  publisher.OfferLive(QuoteAt("AAPL", 2, now - 200, kSourceRest));
  publisher.OfferLive(QuoteAt("AAPL", 3, now - 100, kSourceStream));
  REQUIRE(Eventually([&] { return producer.records().size() == 2; }));
  CHECK(Decode(producer.records()[1]).quote().price_micros() == 3);
  REQUIRE(publisher.AwaitAnswers(absl::Now() + absl::Seconds(5)));
  producer.Hold();
  publisher.OfferLive(QuoteAt("IBM", 10, now - 90, kSourceStream));
  REQUIRE(Eventually([&] { return !publisher.AwaitRoom(absl::Now()); }));
  for (int i = 0; i < 6; ++i) publisher.OfferLive(QuoteAt("AAPL", 4 + i, now - 80 + i, kSourceStream));
  producer.Release();
  REQUIRE(Eventually([&] { return producer.records().size() == 6; }));
  std::vector<int64_t> prices;
  prices.reserve(producer.records().size());
  for (const auto& record : producer.records()) prices.push_back(Decode(record).quote().price_micros());
  CHECK(prices == std::vector<int64_t>{1, 3, 10, 7, 8, 9});
}

TEST_CASE("a suspected split and its dismissal are in one order with the quotes, those that wait first") {
  testing::FakeClock clock;
  testing::MemoryProducer producer;
  Publisher publisher(producer, clock, {.in_flight_max = 1});
  const auto soon = [] { return absl::Now() + absl::Seconds(5); };
  CHECK(absl::IsUnavailable(publisher.PublishSuspicion("AAPL", "", soon(), {})));
  publisher.BeginEpoch(7);
  REQUIRE(publisher.Publish(QuoteAt("AAPL", 400, clock.NowUs()), "", {}, {}).ok());
  REQUIRE(publisher.AwaitAnswers(soon()));
  producer.Hold();
  for (int64_t price : {401, 402, 403}) publisher.OfferLive(QuoteAt("AAPL", price, clock.NowUs(), kSourceStream));
  REQUIRE(Eventually([&] { return !publisher.AwaitRoom(absl::Now()); }));
  // They cannot be published in time: nothing is.
  CHECK(absl::IsUnavailable(publisher.PublishSuspicion("AAPL", "", absl::Now() + absl::Milliseconds(20), {})));
  std::thread releasing([&] {
    absl::SleepFor(absl::Milliseconds(50));
    producer.Release();
  });
  absl::Status published;
  do {
    published = publisher.PublishSuspicion("AAPL", "", soon(), {});
  } while (absl::IsResourceExhausted(published));
  releasing.join();
  REQUIRE(published.ok());
  REQUIRE(publisher.AwaitAnswers(soon()));
  REQUIRE(publisher.PublishDismissal("AAPL", "", soon(), {}).ok());
  const auto records = producer.records();
  REQUIRE(records.size() == 6);
  CHECK(Decode(records[3]).quote().price_micros() == 403);
  const pb::SplitSuspectedRecord suspected = Decode(records[4]).split_suspected();
  CHECK(records[4].key == "AAPL");
  CHECK(suspected.symbol() == "AAPL");
  CHECK(suspected.publisher_epoch() == 7);
  CHECK(suspected.sequence() == 5);
  CHECK(Decode(records[5]).split_dismissed().sequence() == 6);
  // What the source says again is still known by its last quote.
  CHECK(publisher.LastPublished("AAPL")->price_micros() == 403);
}

TEST_CASE("a log of the first format takes no suspected split") {
  testing::FakeClock clock;
  testing::MemoryProducer producer;
  Publisher publisher(producer, clock, {.rules = market::Rules::kFirst});
  publisher.BeginEpoch(1);
  const absl::Time soon = absl::Now() + absl::Seconds(1);
  CHECK(absl::IsFailedPrecondition(publisher.PublishSuspicion("AAPL", "", soon, {})));
  CHECK(absl::IsFailedPrecondition(publisher.PublishDismissal("AAPL", "", soon, {})));
  CHECK(producer.records().empty());
}

TEST_CASE("sequences in the log rise although many threads publish") {
  testing::FakeClock clock;
  testing::MemoryProducer producer;
  Publisher publisher(producer, clock, {.in_flight_max = 100'000});
  publisher.BeginEpoch(1);
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) (void)publisher.Publish(QuoteAt("AAPL", 1, clock.NowUs()), "", {}, {});
    });
  }
  for (std::thread& thread : threads) thread.join();
  int64_t last = 0;
  bool rises = true;
  for (const auto& record : producer.records()) {
    const int64_t sequence = Decode(record).quote().sequence();
    rises = rises && sequence == last + 1;
    last = sequence;
  }
  CHECK(rises);
  CHECK(last == 2000);
}

}  // namespace
}  // namespace stockalert::fetcher
