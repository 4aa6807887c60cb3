// Topics and consumers against a real broker: what the mock cluster cannot show.
#include <prometheus/registry.h>

#include <catch2/catch.hpp>

#include <map>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/producer.h"
#include "services/common/kafka/topic_admin.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::kafka {
namespace {

constexpr char kTrace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

std::unique_ptr<TopicAdmin> Admin() {
  auto admin = TopicAdmin::Create({.bootstrap = testing::KafkaBootstrapOrSkip(), .client_id = "test", .extra = {}});
  REQUIRE(admin.ok());
  return *std::move(admin);
}

void Produce(const std::string& topic, int from, int to) {
  ProducerOptions options;
  options.bootstrap = testing::KafkaBootstrapOrSkip();
  options.client_id = "test";
  auto producer = CreateProducer(options);
  REQUIRE(producer.ok());
  for (int i = from; i < to; ++i) {
    REQUIRE((*producer)
                ->ProduceAndWait(topic, absl::StrCat("key-", i), absl::StrCat(i), TraceHeaders(kTrace),
                                 absl::Now() + absl::Seconds(10))
                .ok());
  }
}

std::unique_ptr<GroupConsumer> Member(const std::string& topic, const std::string& instance,
                                      GroupConsumerOptions::Start start,
                                      std::shared_ptr<prometheus::Registry> registry = nullptr) {
  GroupConsumerOptions options;
  options.registry = std::move(registry);
  options.bootstrap = testing::KafkaBootstrapOrSkip();
  options.client_id = instance;
  options.group_id = absl::StrCat("group-", topic);
  options.group_instance_id = instance;
  options.topics = {topic};
  options.start = start;
  options.session_timeout = absl::Seconds(6);
  auto consumer = GroupConsumer::Create(options);
  REQUIRE(consumer.ok());
  return *std::move(consumer);
}

TEST_CASE("a topic is created once, with the settings asked for") {
  const auto admin = Admin();
  TopicSpec spec;
  spec.name = testing::UniqueName("created");
  spec.partitions = 3;
  spec.config = {{"message.timestamp.type", "LogAppendTime"}, {"retention.ms", "86400000"}};
  CHECK(absl::IsNotFound(admin->DescribeTopic(spec.name, absl::Seconds(10)).status()));
  REQUIRE(admin->CreateTopic(spec, absl::Seconds(10)).ok());
  REQUIRE(admin->AwaitTopics({spec.name}, absl::Now() + absl::Seconds(10)).ok());
  CHECK(absl::IsAlreadyExists(admin->CreateTopic(spec, absl::Seconds(10))));
  CHECK(admin->DescribeTopic(spec.name, absl::Seconds(10))->partitions == 3);
  const auto config = admin->DescribeConfig(spec.name, absl::Seconds(10));
  REQUIRE(config.ok());
  CHECK(config->at("message.timestamp.type") == "LogAppendTime");
  CHECK(config->at("retention.ms") == "86400000");
  CHECK_FALSE(admin->ClusterId(absl::Seconds(10))->empty());
  spec.name = testing::UniqueName("refused");
  spec.config = {{"no.such.setting", "1"}};
  CHECK(absl::IsInvalidArgument(admin->CreateTopic(spec, absl::Seconds(10))));
}

TEST_CASE("records have the broker's append time") {
  const std::string topic = testing::UniqueName("times");
  testing::CreateTopicOrThrow(testing::KafkaBootstrapOrSkip(), topic, 1);
  const absl::Time before = absl::Now() - absl::Seconds(2);
  Produce(topic, 0, 1);
  AssignedConsumerOptions options;
  options.bootstrap = testing::KafkaBootstrapOrSkip();
  options.client_id = "test";
  auto reader = *AssignedConsumer::Create(options);
  REQUIRE(reader->AssignAll(topic, kBeginning, absl::Seconds(10)).ok());
  bool read = false;
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (!read && absl::Now() < deadline) {
    for (const Message& message : reader->Poll(absl::Milliseconds(100), 10).messages) {
      read = true;
      CHECK(message.log_time_us() >= absl::ToUnixMicros(before));
      CHECK(message.traceparent() == kTrace);
    }
  }
  CHECK(read);
}

TEST_CASE("two members share a topic, and one goes on where another committed") {
  const std::string topic = testing::UniqueName("shared");
  testing::CreateTopicOrThrow(testing::KafkaBootstrapOrSkip(), topic, 4);
  Produce(topic, 0, 40);
  std::set<std::string> seen;
  {
    auto first = Member(topic, "one", GroupConsumerOptions::Start::kFromBeginning);
    auto second = Member(topic, "two", GroupConsumerOptions::Start::kFromBeginning);
    std::map<GroupConsumer*, size_t> assigned;
    const absl::Time deadline = absl::Now() + absl::Seconds(40);
    while ((assigned[first.get()] != 2 || assigned[second.get()] != 2 || seen.size() < 40) && absl::Now() < deadline) {
      for (GroupConsumer* member : {first.get(), second.get()}) {
        const PollResult polled = member->Poll(absl::Milliseconds(50), 100);
        for (const RebalanceEvent& event : polled.rebalances) {
          assigned[member] = event.kind == RebalanceEvent::Kind::kAssigned ? event.partitions.size() : 0;
        }
        std::map<TopicPartition, int64_t> next;
        for (const Message& message : polled.messages) {
          seen.insert(std::string(message.value()));
          next[{topic, message.partition()}] = message.offset() + 1;
        }
        member->CommitAsync(next);
      }
    }
    CHECK(assigned[first.get()] == 2);
    CHECK(assigned[second.get()] == 2);
    CHECK(seen.size() == 40);
  }
  Produce(topic, 40, 45);
  auto third = Member(topic, "one", GroupConsumerOptions::Start::kFromBeginning);
  std::set<std::string> later;
  const absl::Time deadline = absl::Now() + absl::Seconds(40);
  while (later.size() < 5 && absl::Now() < deadline) {
    for (const Message& message : third->Poll(absl::Milliseconds(100), 100).messages)
      later.insert(std::string(message.value()));
  }
  for (int i = 40; i < 45; ++i) CHECK(later.contains(absl::StrCat(i)));
}

TEST_CASE("the lag counts what was handed out and is not committed") {
  const std::string topic = testing::UniqueName("lag");
  testing::CreateTopicOrThrow(testing::KafkaBootstrapOrSkip(), topic, 1);
  Produce(topic, 0, 5);
  const auto registry = std::make_shared<prometheus::Registry>();
  const auto member = Member(topic, "one", GroupConsumerOptions::Start::kFromBeginning, registry);
  const auto lag = [&] {
    for (const auto& family : registry->Collect()) {
      if (family.name == "stockalert_kafka_consumer_lag_records" && !family.metric.empty())
        return family.metric[0].gauge.value;
    }
    return -1.0;
  };
  size_t read = 0;
  // Polls until the lag is so, or for long.
  const auto await_lag = [&](double wanted) {
    const absl::Time deadline = absl::Now() + absl::Seconds(40);
    while ((read < 5 || lag() != wanted) && absl::Now() < deadline)
      read += member->Poll(absl::Milliseconds(50), 100).messages.size();
    return lag() == wanted;
  };
  REQUIRE(await_lag(5));
  // Its owner stands still at the fourth, which is tried again.
  member->CommitAsync({{{topic, 0}, 3}});
  REQUIRE(member->Pause({{topic, 0}}).ok());
  REQUIRE(await_lag(2));
  REQUIRE(member->Seek({topic, 0}, 3, absl::Seconds(5)).ok());
  REQUIRE(member->Resume({{topic, 0}}).ok());
  std::vector<int64_t> again;
  const absl::Time deadline = absl::Now() + absl::Seconds(40);
  while (again.size() < 2 && absl::Now() < deadline) {
    for (const Message& message : member->Poll(absl::Milliseconds(50), 100).messages) again.push_back(message.offset());
  }
  CHECK(again == std::vector<int64_t>{3, 4});
  member->CommitAsync({{{topic, 0}, 5}});
  REQUIRE(await_lag(0));
}

TEST_CASE("a second process with the same instance id ends the first, which reports it") {
  const std::string topic = testing::UniqueName("fenced");
  testing::CreateTopicOrThrow(testing::KafkaBootstrapOrSkip(), topic, 1);
  auto first = Member(topic, "same", GroupConsumerOptions::Start::kFromEnd);
  absl::Time deadline = absl::Now() + absl::Seconds(20);
  bool joined = false;
  while (!joined && absl::Now() < deadline) joined = !first->Poll(absl::Milliseconds(100), 10).rebalances.empty();
  REQUIRE(joined);
  auto second = Member(topic, "same", GroupConsumerOptions::Start::kFromEnd);
  absl::Status fatal;
  deadline = absl::Now() + absl::Seconds(30);
  while (fatal.ok() && absl::Now() < deadline) {
    second->Poll(absl::Milliseconds(50), 10);
    fatal = first->Poll(absl::Milliseconds(50), 10).fatal;
  }
  CHECK(absl::IsFailedPrecondition(fatal));
}

}  // namespace
}  // namespace stockalert::kafka
