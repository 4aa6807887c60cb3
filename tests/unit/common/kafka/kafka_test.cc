// Producer, consumers and admin against librdkafka's mock cluster. tests/integration/kafka runs the like against a real
// broker.
#include <prometheus/registry.h>

#include <catch2/catch.hpp>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/producer.h"
#include "services/common/kafka/topic_admin.h"
#include "tests/support/mock_kafka/mock_kafka.h"

namespace stockalert::kafka {
namespace {

using Kind = RebalanceEvent::Kind;

std::unique_ptr<Producer> MakeProducer(const std::string& bootstrap,
                                       absl::Duration message_timeout = absl::Seconds(20)) {
  ProducerOptions options;
  options.bootstrap = bootstrap;
  options.client_id = "test";
  options.message_timeout = message_timeout;
  auto producer = CreateProducer(options);
  REQUIRE(producer.ok());
  return *std::move(producer);
}

std::unique_ptr<AssignedConsumer> MakeReader(const std::string& bootstrap) {
  AssignedConsumerOptions options;
  options.bootstrap = bootstrap;
  options.client_id = "test-reader";
  auto consumer = AssignedConsumer::Create(options);
  REQUIRE(consumer.ok());
  return *std::move(consumer);
}

std::unique_ptr<GroupConsumer> MakeMember(const std::string& bootstrap, const std::string& topic,
                                          GroupConsumerOptions::Start start,
                                          std::shared_ptr<prometheus::Registry> registry = nullptr) {
  GroupConsumerOptions options;
  options.bootstrap = bootstrap;
  options.client_id = "test-member";
  options.group_id = absl::StrCat("group-", topic);
  options.group_instance_id = "member-1";
  options.topics = {topic};
  options.start = start;
  options.registry = std::move(registry);
  auto consumer = GroupConsumer::Create(options);
  REQUIRE(consumer.ok());
  return *std::move(consumer);
}

// Polls until `done` says so, at most 20 s. Values by partition, and what else came.
struct Read {
  std::map<int, std::vector<std::string>> values;
  std::vector<RebalanceEvent> rebalances;
  std::set<int> ends;
  std::vector<PartitionError> errors;
  size_t count = 0;
};
template <typename Consumer, typename Done>
Read ReadUntil(Consumer& consumer, Done done, absl::Duration patience = absl::Seconds(20)) {
  Read read;
  const absl::Time deadline = absl::Now() + patience;
  while (!done(read) && absl::Now() < deadline) {
    PollResult polled = consumer.Poll(absl::Milliseconds(100), 100);
    for (auto& event : polled.rebalances) read.rebalances.push_back(event);
    for (const Message& message : polled.messages) {
      read.values[message.partition()].push_back(std::string(message.value()));
      ++read.count;
    }
    for (const auto& end : polled.ends) read.ends.insert(end.partition);
    for (auto& error : polled.errors) read.errors.push_back(error);
  }
  return read;
}

void Produce(Producer& producer, const std::string& topic, int count, const std::string& prefix = "value-") {
  for (int i = 0; i < count; ++i) {
    const auto delivered = producer.ProduceAndWait(topic, absl::StrCat("key-", i % 7), absl::StrCat(prefix, i), {},
                                                   absl::Now() + absl::Seconds(10));
    REQUIRE(delivered.ok());
  }
}

TEST_CASE("a record keeps its key, value, headers and place") {
  testing::MockKafka kafka;
  kafka.CreateTopic("prices", 1);
  auto producer = MakeProducer(kafka.bootstrap());
  const Headers headers = TraceHeaders("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  const auto first = producer->ProduceAndWait("prices", "AAPL", "one", headers, absl::Now() + absl::Seconds(10));
  REQUIRE(first.ok());
  CHECK(first->partition == 0);
  CHECK(first->offset == 0);
  REQUIRE(producer->ProduceAndWait("prices", "AAPL", "two", {}, absl::Now() + absl::Seconds(10))->offset == 1);
  const Headers poison = {{"traceparent", "\xff\xfe"}, {"empty", ""}, {"traceparent", std::string("00-\0", 4)}};
  REQUIRE(producer->ProduceAndWait("prices", "AAPL", "three", poison, absl::Now() + absl::Seconds(10))->offset == 2);

  auto reader = MakeReader(kafka.bootstrap());
  REQUIRE(reader->AssignAll("prices", kBeginning, absl::Seconds(10)).ok());
  std::vector<Message> messages;
  bool ended = false;
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (!ended && absl::Now() < deadline) {
    PollResult polled = reader->Poll(absl::Milliseconds(100), 10);
    for (Message& message : polled.messages) messages.push_back(std::move(message));
    ended = !polled.ends.empty();
  }
  REQUIRE(ended);
  REQUIRE(messages.size() == 3);
  // What is no trace is none, and can be kept as it came.
  CHECK(messages[2].traceparent().empty());
  REQUIRE(messages[2].headers().size() == 3);
  CHECK(messages[2].headers()[0].value == "\xff\xfe");
  CHECK(messages[2].headers()[1].name == "empty");
  CHECK(messages[2].headers()[1].value.empty());
  CHECK(messages[2].headers()[2].value == std::string("00-\0", 4));
  CHECK(messages[1].headers().empty());
  CHECK(messages[0].key() == "AAPL");
  CHECK(messages[0].value() == "one");
  CHECK(messages[0].traceparent() == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  CHECK(messages[0].offset() == 0);
  CHECK(messages[0].log_time_us() > 0);
  CHECK(messages[1].traceparent().empty());
  CHECK(messages[1].topic() == "prices");
}

TEST_CASE("a key keeps its order over several lanes, and its partition") {
  testing::MockKafka kafka;
  kafka.CreateTopic("t", 6);
  ProducerOptions options;
  options.bootstrap = kafka.bootstrap();
  options.client_id = "test";
  options.lanes = 4;
  constexpr int kKeys = 19;  // Prime to the lanes: taking turns is no order by key.
  constexpr int kRecords = 100 * kKeys;
  std::mutex mutex;
  std::map<int, std::set<int>> partitions_of_key;
  int failed = 0;
  auto made = CreateProducer(options);  // Last: what is left unanswered is answered when it goes.
  REQUIRE(made.ok());
  for (int i = 0; i < kRecords; ++i) {
    (*made)->ProduceAsync("t", absl::StrCat("key-", i % kKeys), absl::StrCat(i), {},
                          [&, key = i % kKeys](const absl::StatusOr<DeliveryReport>& delivery) {
                            const std::lock_guard lock(mutex);
                            if (delivery.ok()) partitions_of_key[key].insert(delivery->partition);
                            failed += delivery.ok() ? 0 : 1;
                          });
  }
  REQUIRE((*made)->Flush(absl::Now() + absl::Seconds(20)).ok());
  CHECK(failed == 0);
  REQUIRE(partitions_of_key.size() == kKeys);
  // One lane and any number of lanes choose the same.
  auto single = MakeProducer(kafka.bootstrap());
  for (const auto& [key, partitions] : partitions_of_key) {
    REQUIRE(partitions.size() == 1);
    CHECK(single
              ->ProduceAndWait("t", absl::StrCat("key-", key), absl::StrCat(kRecords + key), {},
                               absl::Now() + absl::Seconds(10))
              ->partition == *partitions.begin());
  }
  auto reader = MakeReader(kafka.bootstrap());
  REQUIRE(reader->AssignAll("t", kBeginning, absl::Seconds(10)).ok());
  const Read read = ReadUntil(*reader, [](const Read& r) { return r.count == kRecords + kKeys; });
  REQUIRE(read.count == kRecords + kKeys);
  std::map<int, int> last_of_key;
  for (const auto& [partition, values] : read.values) {
    for (const std::string& value : values) {
      const int number = std::stoi(value);
      const auto [last, first] = last_of_key.try_emplace(number % kKeys, number);
      CHECK((first || last->second < number));
      last->second = number;
    }
  }
}

TEST_CASE("an assigned consumer begins where it is told") {
  testing::MockKafka kafka;
  kafka.CreateTopic("t", 2);
  auto producer = MakeProducer(kafka.bootstrap());
  Produce(*producer, "t", 40);
  auto reader = MakeReader(kafka.bootstrap());
  const auto marks = reader->QueryWatermarks({"t", 0}, absl::Seconds(10));
  REQUIRE(marks.ok());
  CHECK(marks->low == 0);
  REQUIRE(marks->high > 3);
  CHECK(*reader->CountPartitions("t", absl::Seconds(10)) == 2);
  CHECK(absl::IsNotFound(reader->CountPartitions("other", absl::Seconds(10)).status()));

  REQUIRE(reader->Assign({{{"t", 0}, marks->high - 1}}).ok());
  const Read last = ReadUntil(*reader, [](const Read& read) { return !read.ends.empty(); });
  CHECK(last.count == 1);

  REQUIRE(reader->AssignAll("t", kTail(2), absl::Seconds(10)).ok());
  CHECK(ReadUntil(*reader, [](const Read& read) { return read.ends.size() == 2; }).count == 4);

  const auto value = reader->ReadValueAt({"t", 0}, marks->high - 1, absl::Seconds(10));
  REQUIRE(value.ok());
  CHECK(*value == last.values.at(0).front());
  CHECK(absl::IsOutOfRange(reader->ReadValueAt({"t", 0}, marks->high, absl::Seconds(10)).status()));
}

TEST_CASE("a place that the log does not have is an error, not a jump") {
  testing::MockKafka kafka;
  kafka.CreateTopic("t", 1);
  auto producer = MakeProducer(kafka.bootstrap());
  Produce(*producer, "t", 3);
  auto reader = MakeReader(kafka.bootstrap());
  REQUIRE(reader->Assign({{{"t", 0}, 1000}}).ok());
  const Read read = ReadUntil(*reader, [](const Read& r) { return !r.errors.empty(); });
  REQUIRE(read.errors.size() == 1);
  CHECK(absl::IsOutOfRange(read.errors[0].status));
  CHECK(read.count == 0);
}

TEST_CASE("a group goes on where it committed") {
  testing::MockKafka kafka;
  kafka.CreateTopic("t", 1);
  auto producer = MakeProducer(kafka.bootstrap());
  Produce(*producer, "t", 5);
  {
    auto member = MakeMember(kafka.bootstrap(), "t", GroupConsumerOptions::Start::kFromBeginning);
    const Read read = ReadUntil(*member, [](const Read& r) { return r.count == 5; });
    REQUIRE(read.count == 5);
    REQUIRE(read.rebalances.size() == 1);
    CHECK(read.rebalances[0].kind == Kind::kAssigned);
    member->CommitAsync({{{"t", 0}, 3}});
  }
  auto member = MakeMember(kafka.bootstrap(), "t", GroupConsumerOptions::Start::kFromBeginning);
  const Read again = ReadUntil(*member, [](const Read& r) { return r.count == 2; });
  REQUIRE(again.values.contains(0));
  CHECK(again.values.at(0) == std::vector<std::string>{"value-3", "value-4"});
}

TEST_CASE("commits wait for the one under way, and go together") {
  testing::MockKafka kafka;
  kafka.CreateTopic("t", 1);
  auto producer = MakeProducer(kafka.bootstrap());
  Produce(*producer, "t", 50);
  const auto registry = std::make_shared<prometheus::Registry>();
  const auto refused = [&registry] {
    double count = 0;
    for (const prometheus::MetricFamily& family : registry->Collect()) {
      if (family.name != "stockalert_kafka_consumer_errors_total") continue;
      for (const prometheus::ClientMetric& metric : family.metric) count += metric.counter.value;
    }
    return count;
  };
  {
    auto member = MakeMember(kafka.bootstrap(), "t", GroupConsumerOptions::Start::kFromBeginning, registry);
    REQUIRE(ReadUntil(*member, [](const Read& r) { return r.count == 50; }).count == 50);
    // Each request takes one refusal: the first commit's, and that of all which came meanwhile.
    kafka.RefuseCommits(100);
    kafka.SetRoundTripTime(200);
    for (int64_t next = 1; next <= 40; ++next) member->CommitAsync({{{"t", 0}, next}});
    ReadUntil(*member, [&](const Read&) { return refused() >= 2; });
    kafka.SetRoundTripTime(0);
    kafka.RefuseCommits(0);
    const absl::Time quiet = absl::Now() + absl::Seconds(1);
    ReadUntil(*member, [&](const Read&) { return absl::Now() >= quiet; });
    CHECK(refused() == 2);
    for (int64_t next = 41; next <= 48; ++next) member->CommitAsync({{{"t", 0}, next}});
  }
  CHECK(refused() == 2);
  // What was waiting when the member left is committed, too.
  auto member = MakeMember(kafka.bootstrap(), "t", GroupConsumerOptions::Start::kFromBeginning);
  CHECK(ReadUntil(*member, [](const Read& r) { return r.count == 2; }).values[0] ==
        std::vector<std::string>{"value-48", "value-49"});
}

TEST_CASE("an owner sets where each partition is read, pauses it and resumes it") {
  testing::MockKafka kafka;
  kafka.CreateTopic("t", 2);
  auto producer = MakeProducer(kafka.bootstrap());
  Produce(*producer, "t", 30);
  auto member = MakeMember(kafka.bootstrap(), "t", GroupConsumerOptions::Start::kByOwner);
  CHECK(absl::IsFailedPrecondition(member->StartAt({{{"t", 0}, 0}})));  // Not assigned yet.
  const Read assigned = ReadUntil(*member, [](const Read& r) { return !r.rebalances.empty(); });
  REQUIRE(assigned.rebalances.size() == 1);
  CHECK(assigned.rebalances[0].partitions.size() == 2);
  CHECK(member->Poll(absl::Milliseconds(300), 10).messages.empty());  // Nothing is read until the owner says so.

  const int64_t high = member->QueryWatermarks({"t", 0}, absl::Seconds(10))->high;
  REQUIRE(high > 4);
  REQUIRE(member->StartAt({{{"t", 0}, 2}}).ok());
  const Read some = ReadUntil(*member, [&](const Read& r) { return r.count == static_cast<size_t>(high - 2); });
  CHECK(some.values.at(0).size() == static_cast<size_t>(high - 2));
  CHECK_FALSE(some.values.contains(1));

  REQUIRE(member->Pause({{"t", 0}}).ok());
  Produce(*producer, "t", 30, "later-");
  CHECK(member->Poll(absl::Milliseconds(500), 100).messages.empty());
  REQUIRE(member->StartAt({{{"t", 1}, 0}}).ok());  // Another one does not wake it.
  const Read other = ReadUntil(*member, [](const Read& r) { return r.values.contains(1); });
  CHECK_FALSE(other.values.contains(0));
  REQUIRE(member->Resume({{"t", 0}}).ok());
  const Read resumed = ReadUntil(*member, [](const Read& r) { return r.values.contains(0); });
  CHECK(resumed.values.at(0).front().substr(0, 6) == "later-");

  REQUIRE(member->StopReading({{"t", 0}, {"t", 1}}).ok());
  Produce(*producer, "t", 10, "unread-");
  CHECK(member->Poll(absl::Milliseconds(500), 100).messages.empty());
}

TEST_CASE("a poll can be woken") {
  testing::MockKafka kafka;
  kafka.CreateTopic("t", 1);
  auto reader = MakeReader(kafka.bootstrap());
  REQUIRE(reader->AssignAll("t", kEnd, absl::Seconds(10)).ok());
  ReadUntil(*reader, [](const Read& r) { return !r.ends.empty(); });
  const absl::Time begin = absl::Now();
  std::thread waker([&] { reader->Wake(); });
  const PollResult polled = reader->Poll(absl::Seconds(20), 1);
  waker.join();
  CHECK(polled.messages.empty());
  CHECK(absl::Now() - begin < absl::Seconds(10));
}

TEST_CASE("a broker that is away fails calls in their time, and nothing is lost after") {
  testing::MockKafka kafka;
  kafka.CreateTopic("t", 1);
  auto producer = MakeProducer(kafka.bootstrap());
  Produce(*producer, "t", 1, "before-");
  kafka.SetDown();
  const absl::Time begin = absl::Now();
  const auto refused = producer->ProduceAndWait("t", "k", "during", {}, absl::Now() + absl::Milliseconds(500));
  CHECK(absl::IsDeadlineExceeded(refused.status()));
  CHECK(absl::Now() - begin < absl::Seconds(3));
  kafka.SetUp();
  Produce(*producer, "t", 1, "after-");
  auto reader = MakeReader(kafka.bootstrap());
  REQUIRE(reader->AssignAll("t", kBeginning, absl::Seconds(10)).ok());
  const Read read = ReadUntil(*reader, [](const Read& r) { return r.count == 3; });
  REQUIRE(read.values.contains(0));
  CHECK(read.values.at(0) == std::vector<std::string>{"before-0", "during", "after-0"});
}

TEST_CASE("a record that is given up is answered once") {
  testing::MockKafka kafka;
  kafka.CreateTopic("t", 1);
  // Long enough for the first record on a busy machine.
  auto producer = MakeProducer(kafka.bootstrap(), absl::Seconds(5));
  Produce(*producer, "t", 1);
  kafka.SetDown();
  const auto given_up = producer->ProduceAndWait("t", "k", "v", {}, absl::Now() + absl::Seconds(15));
  CHECK(absl::IsUnavailable(given_up.status()));
  CHECK(producer->Flush(absl::Now() + absl::Seconds(1)).ok());
}

TEST_CASE("topics are awaited, and a missing one is named") {
  testing::MockKafka kafka;
  kafka.CreateTopic("prices", 4);
  auto admin = TopicAdmin::Create({.bootstrap = kafka.bootstrap(), .client_id = "test", .extra = {}});
  REQUIRE(admin.ok());
  CHECK((*admin)->AwaitTopics({"prices"}, absl::Now() + absl::Seconds(10)).ok());
  CHECK((*admin)->DescribeTopic("prices", absl::Seconds(10))->partitions == 4);
  CHECK(*(*admin)->CountBrokers(absl::Seconds(10)) == 1);
  CHECK_FALSE((*admin)->ClusterId(absl::Seconds(10))->empty());
  const absl::Status missing = (*admin)->AwaitTopics({"prices", "triggers"}, absl::Now() + absl::Milliseconds(500));
  CHECK(absl::IsNotFound(missing));
  CHECK(std::string(missing.message()).find("triggers") != std::string::npos);
}

TEST_CASE("the number of lanes is bounded") {
  ProducerOptions options;
  options.bootstrap = "127.0.0.1:1";
  for (const int lanes : {-1, 0, 17}) {
    options.lanes = lanes;
    CHECK(absl::IsInvalidArgument(CreateProducer(options).status()));
  }
}

TEST_CASE("settings that librdkafka refuses are an error without their value") {
  ProducerOptions options;
  options.bootstrap = "127.0.0.1:1";
  options.extra = {{"sasl.no.such", "secret"}};
  GroupConsumerOptions member;
  member.bootstrap = options.bootstrap;
  member.extra = options.extra;
  AssignedConsumerOptions reader;
  reader.bootstrap = options.bootstrap;
  reader.extra = options.extra;
  const absl::Status refusals[] = {
      CreateProducer(options).status(), GroupConsumer::Create(member).status(),
      AssignedConsumer::Create(reader).status(),
      TopicAdmin::Create({.bootstrap = options.bootstrap, .client_id = "test", .extra = options.extra}).status()};
  for (const absl::Status& refused : refusals) {
    REQUIRE(absl::IsInvalidArgument(refused));
    CHECK(std::string(refused.message()).find("secret") == std::string::npos);
  }
}

}  // namespace
}  // namespace stockalert::kafka
