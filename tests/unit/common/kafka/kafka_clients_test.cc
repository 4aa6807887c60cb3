// What clients count, leave behind and are set to; against librdkafka's mock cluster.
#include <prometheus/registry.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/kafka/client.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/producer.h"
#include "services/common/kafka/topic_admin.h"
#include "tests/support/certificates/certificates.h"
#include "tests/support/mock_kafka/mock_kafka.h"

namespace stockalert::kafka {
namespace {

using Kind = RebalanceEvent::Kind;

// All at once: the mock cluster hands out a fetch what was one request.
void Produce(const std::string& bootstrap, const std::string& topic, int count) {
  ProducerOptions options;
  options.bootstrap = bootstrap;
  options.client_id = "test";
  options.linger = absl::Milliseconds(100);
  const auto producer = CreateProducer(options);
  REQUIRE(producer.ok());
  for (int i = 0; i < count; ++i) (*producer)->ProduceAsync(topic, "key", absl::StrCat(i), {}, {});
  REQUIRE((*producer)->Flush(absl::Now() + absl::Seconds(10)).ok());
}

GroupConsumerOptions MemberOf(const std::string& bootstrap, const std::string& topic) {
  GroupConsumerOptions options;
  options.bootstrap = bootstrap;
  options.client_id = "test-member";
  options.group_id = absl::StrCat("group-", topic);
  options.topics = {topic};
  options.session_timeout = absl::Seconds(6);
  return options;
}

std::unique_ptr<GroupConsumer> Make(const GroupConsumerOptions& options) {
  auto consumer = GroupConsumer::Create(options);
  REQUIRE(consumer.ok());
  return *std::move(consumer);
}

AssignedConsumerOptions ReaderOf(const std::string& bootstrap) {
  AssignedConsumerOptions options;
  options.bootstrap = bootstrap;
  options.client_id = "test-reader";
  return options;
}

// Polls all of them in turns until `done` says so of what the first has brought, at most 20 s.
bool PollUntil(const std::vector<GroupConsumer*>& members, const std::function<bool(const PollResult&)>& done) {
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (absl::Now() < deadline) {
    for (size_t i = 0; i < members.size(); ++i) {
      const PollResult polled = members[i]->Poll(absl::Milliseconds(50), 100);
      if (i == 0 && done(polled)) return true;
    }
  }
  return false;
}

bool IsAssigned(const PollResult& polled, size_t partitions) {
  for (const RebalanceEvent& event : polled.rebalances) {
    if (event.kind == Kind::kAssigned && event.partitions.size() == partitions) return true;
  }
  return false;
}

// A counter's series with this error among its labels ("": any), together.
double Counted(prometheus::Registry& registry, const std::string& name, const std::string& error = "") {
  double sum = 0;
  for (const prometheus::MetricFamily& family : registry.Collect()) {
    if (family.name != name) continue;
    for (const prometheus::ClientMetric& metric : family.metric) {
      bool wanted = error.empty();
      for (const prometheus::ClientMetric::Label& label : metric.label) wanted = wanted || label.value == error;
      if (wanted) sum += metric.counter.value;
    }
  }
  return sum;
}

double Errors(prometheus::Registry& registry, const std::string& error) {
  return Counted(registry, "stockalert_kafka_consumer_errors_total", error);
}

// Ids of the process's threads that bear the name of a client's first thread: one a client.
std::set<std::string> ClientThreads() {
  std::set<std::string> ids;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name == "rdk:main") ids.insert(task.path().filename());
  }
  return ids;
}

// Tells of partitions, and keeps what it is assigned.
class CountingConsumer final : public AssignedConsumer {
 public:
  explicit CountingConsumer(absl::StatusOr<int> partitions) : partitions_(std::move(partitions)) {}
  absl::Status Assign(const std::map<TopicPartition, int64_t>& next_offsets) override {
    assigned = next_offsets;
    return absl::OkStatus();
  }
  PollResult Poll(absl::Duration, size_t) override { return {}; }
  absl::StatusOr<int> CountPartitions(const std::string&, absl::Duration) override { return partitions_; }
  absl::StatusOr<Watermarks> QueryWatermarks(const TopicPartition&, absl::Duration) override { return Watermarks{}; }
  absl::StatusOr<std::string> ReadValueAt(const TopicPartition&, int64_t, absl::Duration) override {
    return std::string();
  }
  void Wake() override {}

  std::map<TopicPartition, int64_t> assigned;

 private:
  const absl::StatusOr<int> partitions_;
};

TEST_CASE("all partitions of a topic are those that it has, each from the place") {
  CountingConsumer two(2);
  REQUIRE(two.AssignAll("t", 7, absl::Seconds(1)).ok());
  CHECK(two.assigned == std::map<TopicPartition, int64_t>{{{"t", 0}, 7}, {{"t", 1}, 7}});
  CountingConsumer none(absl::NotFoundError("no such topic"));
  CHECK(absl::IsNotFound(none.AssignAll("t", 7, absl::Seconds(1))));
  CHECK(none.assigned.empty());
}

TEST_CASE("a poll brings no more than was asked for, and what it brought is counted") {
  testing::MockKafka kafka;
  kafka.CreateTopic("t", 2);
  Produce(kafka.bootstrap(), "t", 100);
  AssignedConsumerOptions options = ReaderOf(kafka.bootstrap());
  options.registry = std::make_shared<prometheus::Registry>();
  auto reader = *AssignedConsumer::Create(options);
  REQUIRE(reader->AssignAll("t", kBeginning, absl::Seconds(10)).ok());
  size_t read = 0;
  size_t most = 0;
  size_t ends = 0;
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while ((read < 100 || ends < 2) && absl::Now() < deadline) {
    const PollResult polled = reader->Poll(absl::Milliseconds(100), 3);
    most = std::max(most, polled.messages.size());
    CHECK(polled.errors.empty());  // Of a partition that is none, say.
    read += polled.messages.size();
    ends += polled.ends.size();
  }
  CHECK(read == 100);
  CHECK(most == 3);
  CHECK(Counted(*options.registry, "stockalert_kafka_consumed_total") == 100);
}

TEST_CASE("errors of reading are counted by name") {
  testing::MockKafka kafka;
  kafka.CreateTopic("t", 1);
  AssignedConsumerOptions options = ReaderOf(kafka.bootstrap());
  options.registry = std::make_shared<prometheus::Registry>();
  auto reader = *AssignedConsumer::Create(options);
  const auto poll_until = [&](const std::function<bool()>& done) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (!done() && absl::Now() < deadline) reader->Poll(absl::Milliseconds(50), 10);
    return done();
  };
  REQUIRE(reader->Assign({{{"t", 0}, 1000}}).ok());
  CHECK(poll_until([&] { return Errors(*options.registry, "_AUTO_OFFSET_RESET") == 1; }));
  kafka.SetDown();
  CHECK(poll_until(
      [&] { return Errors(*options.registry, "_TRANSPORT") + Errors(*options.registry, "_ALL_BROKERS_DOWN") > 0; }));
}

TEST_CASE("a member that does not poll for too long loses its partitions, and that is counted") {
  testing::MockKafka kafka;
  kafka.CreateTopic("t", 1);
  GroupConsumerOptions options = MemberOf(kafka.bootstrap(), "t");
  options.session_timeout = absl::Seconds(4);  // The first join takes 3 s.
  options.poll_interval_max = absl::Seconds(4);
  const auto registry = std::make_shared<prometheus::Registry>();
  options.registry = registry;
  const auto idle = Make(options);
  REQUIRE(PollUntil({idle.get()}, [](const PollResult& polled) { return IsAssigned(polled, 1); }));
  options.registry = nullptr;
  const auto busy = Make(options);
  REQUIRE(PollUntil({busy.get()}, [](const PollResult& polled) { return IsAssigned(polled, 1); }));
  bool told = false;
  CHECK(PollUntil({idle.get()}, [&](const PollResult& polled) {
    for (const RebalanceEvent& event : polled.rebalances) told = told || event.kind != Kind::kAssigned;
    return told && Errors(*registry, "_MAX_POLL_EXCEEDED") == 1;
  }));
}

TEST_CASE("a partition that another member has now is not begun any more") {
  testing::MockKafka kafka;
  kafka.CreateTopic("t", 2);
  GroupConsumerOptions options = MemberOf(kafka.bootstrap(), "t");
  options.start = GroupConsumerOptions::Start::kByOwner;
  const auto first = Make(options);
  REQUIRE(PollUntil({first.get()}, [](const PollResult& polled) { return IsAssigned(polled, 2); }));
  REQUIRE(first->StartAt({{{"t", 0}, 0}, {{"t", 1}, 0}}).ok());
  const auto second = Make(options);
  TopicPartition kept;
  REQUIRE(PollUntil({first.get(), second.get()}, [&](const PollResult& polled) {
    if (!IsAssigned(polled, 1)) return false;
    kept = polled.rebalances.back().partitions.front();
    return true;
  }));
  CHECK(first->StartAt({{kept, 0}}).ok());
  CHECK(absl::IsFailedPrecondition(first->StartAt({{{"t", 1 - kept.partition}, 0}})));
}

TEST_CASE("a consumer that ends leaves no thread behind") {
  testing::MockKafka kafka;
  kafka.CreateTopic("t", 1);
  const std::set<std::string> before = ClientThreads();
  {
    const auto member = Make(MemberOf(kafka.bootstrap(), "t"));
    REQUIRE(PollUntil({member.get()}, [](const PollResult& polled) { return IsAssigned(polled, 1); }));
    CHECK(member->QueryWatermarks({"t", 0}, absl::Seconds(10)).ok());
    CHECK(ClientThreads().size() == before.size() + 2);  // Its own, and its questions'.
  }
  CHECK(ClientThreads() == before);
}

TEST_CASE(
    "a producer whose TLS files are swapped under load is made anew, and no record is lost or overtakes another") {
  testing::MockKafka kafka;
  kafka.CreateTopic("t", 2);
  const testing::Authority authority("a");
  testing::SwappedFolder folder({{"ca", authority.certificate()}});
  ProducerOptions options;
  options.bootstrap = kafka.bootstrap();
  options.client_id = "test";
  options.security.tls = true;
  options.security.tls_ca_file = folder.Path("ca");
  options.extra = {{"security.protocol", "plaintext"}};  // The mock cluster's; the files are looked after all the same.
  std::mutex mutex;
  std::map<std::string, std::vector<int64_t>> offsets;  // By key, in the order of the calls.
  int failed = 0;
  const std::set<std::string> others = ClientThreads();
  auto producer = *CreateProducer(options);
  const std::set<std::string> first = ClientThreads();
  folder.Swap({{"ca", testing::Authority("b").certificate()}});
  // Something is always on its way: nothing but holding records back lets the old client end.
  kafka.SetRoundTripTime(300);
  int produced = 0;
  std::set<std::string> now = first;
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while ((now == first || now.size() != others.size() + 1) && absl::Now() < deadline) {
    for (int i = 0; i < 2; ++i, ++produced) {
      const std::string key = absl::StrCat(produced % 3);
      producer->ProduceAsync("t", key, absl::StrCat(produced), {},
                             [&, key](const absl::StatusOr<DeliveryReport>& delivery) {
                               const std::lock_guard lock(mutex);
                               if (delivery.ok()) offsets[key].push_back(delivery->offset);
                               failed += delivery.ok() ? 0 : 1;
                             });
    }
    now = ClientThreads();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(now != first);
  CHECK(now.size() == first.size());
  kafka.SetRoundTripTime(0);
  REQUIRE(producer->Flush(absl::Now() + absl::Seconds(30)).ok());
  // Once a swap: the next look, after two seconds, finds nothing new.
  bool stays = true;
  for (const absl::Time look = absl::Now() + absl::Milliseconds(2'500); stays && absl::Now() < look;) {
    const std::set<std::string> present = ClientThreads();
    stays = std::includes(now.begin(), now.end(), present.begin(), present.end());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  CHECK(stays);
  producer.reset();
  CHECK(failed == 0);
  size_t delivered = 0;
  for (const auto& [key, places] : offsets) {
    delivered += places.size();
    CHECK(std::is_sorted(places.begin(), places.end()));
  }
  CHECK(delivered == static_cast<size_t>(produced));
}

TEST_CASE("a producer can have the maximum number of lanes") {
  ProducerOptions options;
  options.bootstrap = "127.0.0.1:1";
  options.lanes = 16;
  CHECK(CreateProducer(options).ok());
}

TEST_CASE("an unreachable broker is reported with librdkafka's text, within the timeout") {
  const auto admin = *TopicAdmin::Create({.bootstrap = "127.0.0.1:1", .client_id = "test", .extra = {}});
  for (const absl::Status& status :
       {admin->CreateTopic({.name = "t", .config = {}}, absl::Milliseconds(300)),
        admin->DescribeConfig("t", absl::Milliseconds(300)).status(),
        admin->CreateAcls({{.principal = "User:u", .name = "t"}}, absl::Milliseconds(300))}) {
    INFO(status);
    CHECK(absl::IsUnavailable(status));
    CHECK(std::string(status.message()).find("_TIMED_OUT") != std::string::npos);
  }
}

TEST_CASE("what no topic can be is refused before anybody is asked") {
  const auto admin = *TopicAdmin::Create({.bootstrap = "127.0.0.1:1", .client_id = "test", .extra = {}});
  CHECK(absl::IsInvalidArgument(
      admin->CreateTopic({.name = "t", .partitions = -2, .config = {}}, absl::Milliseconds(300))));
}

TEST_CASE("every client finds a broker that comes back within a second or so, and waits for none for long") {
  Settings settings("127.0.0.1:1", {}, "test");
  const auto setting = [&](const char* name) {
    std::array<char, 200> value{};
    size_t size = value.size();
    REQUIRE(rd_kafka_conf_get(settings.conf(), name, value.data(), &size) == RD_KAFKA_CONF_OK);
    return std::string(value.data());
  };
  CHECK(setting("client.id") == "test");
  CHECK(setting("reconnect.backoff.ms") == "100");
  CHECK(setting("reconnect.backoff.max.ms") == "1000");
  CHECK(setting("socket.timeout.ms") == "10000");
  CHECK(setting("socket.keepalive.enable") == "true");
  CHECK(setting("socket.nagle.disable") == "true");
  CHECK(setting("log.connection.close") == "false");
}

}  // namespace
}  // namespace stockalert::kafka
