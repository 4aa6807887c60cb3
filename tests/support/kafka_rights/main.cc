// stockalert-kafka-rights: tries, as whoever the flags say, to read and write every topic of the mesh, to join every
// group, to create a topic and to allow itself more. Prints "WAY yes" or "WAY no"; exit 1 where it cannot be told. What
// may be written is written: for a broker that nobody else uses.
#include <librdkafka/rdkafka.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/config/parser.h"
#include "services/common/kafka/client.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/topic_admin.h"

namespace stockalert {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr const char* kTopics[] = {kafka::kPricesTopic, kafka::kAlertEventsTopic, kafka::kTriggersTopic,
                                   kafka::kUserEventsTopic};

struct Broker {
  std::string bootstrap;
  kafka::Security security;
};

// OK: it may. PERMISSION_DENIED: it may not. Anything else is no answer.
absl::Status TryRead(const Broker& broker, const std::string& topic) {
  auto consumer = kafka::AssignedConsumer::Create(
      {.bootstrap = broker.bootstrap, .security = broker.security, .client_id = "rights", .extra = {}, .registry = {}});
  if (!consumer.ok()) return consumer.status();
  if (absl::Status status = (*consumer)->Assign({{{topic, 0}, kafka::kBeginning}}); !status.ok()) return status;
  absl::Status last = absl::DeadlineExceededError("neither records nor a refusal");
  for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end;) {
    kafka::PollResult polled = (*consumer)->Poll(absl::Milliseconds(200), 10);
    if (!polled.messages.empty() || !polled.ends.empty()) return absl::OkStatus();
    for (const auto& error : polled.errors) {
      // The group of no one, which librdkafka asks for all the same, is none of this.
      if (absl::IsPermissionDenied(error.status) &&
          absl::StrCat(error.status.message()).find("roup") == std::string::npos)
        return error.status;
    }
    if (!polled.fatal.ok()) return polled.fatal;
  }
  return last;
}

absl::Status TryWrite(const Broker& broker, const std::string& topic) {
  auto producer = kafka::CreateProducer({.bootstrap = broker.bootstrap,
                                         .security = broker.security,
                                         .client_id = "rights",
                                         .message_timeout = kPatience,
                                         .topics = {},
                                         .extra = {},
                                         .registry = {}});
  if (!producer.ok()) return producer.status();
  return (*producer)->ProduceAndWait(topic, "key", "value", {}, absl::Now() + kPatience).status();
}

// Joins it; past our own consumers, which would try again for ever.
absl::Status TryGroup(const Broker& broker, const std::string& group) {
  kafka::Settings settings(broker.bootstrap, broker.security, "rights");
  settings.Set("group.id", group).Set("enable.auto.commit", "false");
  const absl::StatusOr<rd_kafka_t*> made = settings.New(RD_KAFKA_CONSUMER);
  if (!made.ok()) return made.status();
  rd_kafka_t* consumer = *made;
  rd_kafka_poll_set_consumer(consumer);
  rd_kafka_topic_partition_list_t* topics = rd_kafka_topic_partition_list_new(4);
  for (const char* topic : kTopics) rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
  rd_kafka_subscribe(consumer, topics);
  rd_kafka_topic_partition_list_destroy(topics);
  absl::Status answer = absl::DeadlineExceededError("neither a member nor a refusal");
  for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end;) {
    if (rd_kafka_message_t* message = rd_kafka_consumer_poll(consumer, 100)) {
      const rd_kafka_resp_err_t error = message->err;
      rd_kafka_message_destroy(message);
      if (error == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED) {
        answer = absl::PermissionDeniedError("the group");
        break;
      }
    }
    char* member = rd_kafka_memberid(consumer);
    const bool joined = member != nullptr && *member != '\0';
    if (member != nullptr) rd_kafka_mem_free(consumer, member);
    if (joined) {
      answer = absl::OkStatus();
      break;
    }
  }
  rd_kafka_consumer_close(consumer);
  rd_kafka_destroy(consumer);
  return answer;
}

bool Tell(const std::string& way, const absl::Status& status) {
  if (!status.ok() && !absl::IsPermissionDenied(status)) {
    std::fprintf(stderr, "%s: %s\n", way.c_str(), status.ToString().c_str());
    return false;
  }
  std::printf("%s %s\n", way.c_str(), status.ok() ? "yes" : "no");
  return true;
}

bool TryAll(const Broker& broker) {
  auto admin = kafka::TopicAdmin::Create(
      {.bootstrap = broker.bootstrap, .security = broker.security, .client_id = "rights", .extra = {}});
  if (!admin.ok()) return false;
  bool told = true;
  for (const char* topic : kTopics) {
    // All of them are there: one that cannot be seen is one of which nothing is allowed.
    const absl::Status seen = (*admin)->DescribeTopic(topic, kPatience).status();
    const absl::Status hidden = absl::IsNotFound(seen) ? absl::PermissionDeniedError("it is hidden") : seen;
    told &= Tell(absl::StrCat("read ", topic), hidden.ok() ? TryRead(broker, topic) : hidden);
    told &= Tell(absl::StrCat("write ", topic), hidden.ok() ? TryWrite(broker, topic) : hidden);
  }
  for (const char* group : {"stockalert-alert", "stockalert-notifier", "stockalert-evaluator"}) {
    told &= Tell(absl::StrCat("group ", group), TryGroup(broker, group));
  }
  kafka::TopicSpec spec;
  spec.name = "mine";
  told &= Tell("create a topic", (*admin)->CreateTopic(spec, kPatience));
  told &= Tell("allow itself more",
               (*admin)->CreateAcls({{.principal = "User:stockalert-user", .name = kafka::kPricesTopic}}, kPatience));
  return told;
}

}  // namespace
}  // namespace stockalert

int main(int argc, char** argv) {
  stockalert::Broker broker;
  stockalert::config::Parser parser("stockalert-kafka-rights", "Tries what it may do with Kafka", "");
  stockalert::kafka::DeclareBroker(parser, broker.bootstrap, broker.security);
  const stockalert::config::ParseResult parsed = parser.Parse(argc, argv);
  for (const std::string& error : parsed.errors) std::fprintf(stderr, "%s\n", error.c_str());
  if (parsed.kind != stockalert::config::ParseResult::Kind::kRun) return 2;
  return stockalert::TryAll(broker) ? 0 : 1;
}
