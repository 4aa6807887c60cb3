// stockalert-poison: writes records that no service should ever meet into the mesh's topics, and prints where each is,
// a line of JSON each. Exit codes: 0 all written, 1 not, 2 wrong flags.
//
// `prices`: each into a partition of its own, from the last one down, without those of --keep's symbols, for an
// evaluator stops at most of them. The other topics: into the partition of --keep's first key, but unknown kinds into
// the last partition that no key of --keep has.
#include <librdkafka/rdkafka.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_split.h"
#include "services/common/config/parser.h"
#include "services/common/kafka/client.h"
#include "services/common/kafka/partitioner.h"
#include "services/common/log/log.h"
#include "services/common/version/version.h"
#include "tests/support/poison/poison.h"

namespace stockalert {
namespace {

struct Written {
  bool answered = false;
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
  int64_t offset = -1;
};

absl::Status Write(rd_kafka_t* client, const std::string& topic, int32_t partition, const testing::Poison& poison,
                   int64_t& offset) {
  Written written;
  rd_kafka_headers_t* headers = rd_kafka_headers_new(1);
  if (!poison.traceparent.empty()) {
    rd_kafka_header_add(headers, "traceparent", -1, poison.traceparent.data(),
                        static_cast<ssize_t>(poison.traceparent.size()));
  }
  const rd_kafka_resp_err_t queued =
      rd_kafka_producev(client, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(partition),
                        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                        RD_KAFKA_V_KEY(poison.key.empty() ? nullptr : poison.key.data(), poison.key.size()),
                        RD_KAFKA_V_VALUE(const_cast<char*>(poison.value.data()), poison.value.size()),
                        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(&written), RD_KAFKA_V_END);
  if (queued != RD_KAFKA_RESP_ERR_NO_ERROR) {
    rd_kafka_headers_destroy(headers);
    return kafka::ToStatus(queued, poison.name);
  }
  for (int i = 0; i < 300 && !written.answered; ++i) rd_kafka_poll(client, 100);
  if (!written.answered) return absl::UnavailableError("the broker does not answer");
  offset = written.offset;
  return kafka::ToStatus(written.error, poison.name);
}

absl::Status WriteAll(const std::string& bootstrap, const kafka::Security& security, const std::string& topic,
                      const testing::Sample& sample, const std::vector<std::string>& keep) {
  kafka::Settings settings(bootstrap, security, "stockalert-poison");
  rd_kafka_conf_set_dr_msg_cb(settings.conf(), [](rd_kafka_t*, const rd_kafka_message_t* message, void*) {
    auto* written = static_cast<Written*>(message->_private);
    written->answered = true;
    written->error = message->err;
    written->offset = message->offset;
  });
  const absl::StatusOr<rd_kafka_t*> client = settings.New(RD_KAFKA_PRODUCER);
  if (!client.ok()) return client.status();
  const absl::StatusOr<kafka::TopicDescription> description = kafka::QueryTopic(*client, topic, absl::Seconds(10));
  if (!description.ok()) return description.status();
  std::set<int32_t> kept;
  for (const std::string& key : keep) kept.insert(kafka::PartitionOf(key, description->partitions));
  int32_t free = description->partitions;
  const auto next_free = [&] {
    do --free;
    while (kept.contains(free));
    return free;
  };
  int32_t unknown = -1;
  for (const testing::Poison& poison : testing::MakePoison(topic, sample)) {
    int32_t partition = kafka::PartitionOf(keep.front(), description->partitions);
    if (topic == "prices") {
      partition = next_free();
    } else if (poison.unknown_kind) {
      if (unknown < 0) unknown = next_free();
      partition = unknown;
    }
    if (partition < 0)
      return absl::FailedPreconditionError("the topic has too few partitions for all that is to be written");
    int64_t offset = -1;
    const absl::Status status = Write(*client, topic, partition, poison, offset);
    if (!status.ok()) return status;
    const nlohmann::json line = {{"topic", topic}, {"name", poison.name}, {"partition", partition}, {"offset", offset}};
    std::printf("%s\n", line.dump().c_str());
  }
  rd_kafka_destroy(*client);
  return absl::OkStatus();
}

}  // namespace
}  // namespace stockalert

int main(int argc, char** argv) {
  using namespace stockalert;
  std::string bootstrap, topic, keep;
  kafka::Security security;
  testing::Sample sample;
  config::Parser parser("stockalert-poison", "Writes records that no service should ever meet", version::Text());
  kafka::DeclareBroker(parser, bootstrap, security);
  parser.AddChoice("topic", &topic, {"prices", "alert-events", "triggers", "user-events"}, "where to");
  parser.AddString("user", &sample.user_id, config::kRequired, "an id");
  parser.AddString("alert", &sample.alert_id, config::kRequired, "an id");
  parser.AddString("symbol", &sample.symbol, config::kRequired, "a symbol");
  parser.AddString("keep", &keep, config::kRequired, "keys, with commas between them: see above");
  const config::ParseResult parsed = parser.Parse(argc, argv);
  if (parsed.kind == config::ParseResult::Kind::kErrors) {
    for (const std::string& error : parsed.errors) std::fprintf(stderr, "stockalert-poison: %s\n", error.c_str());
    return 2;
  }
  log::Configure("stockalert-poison", log::Level::kWarning);
  const absl::Status status = WriteAll(bootstrap, security, topic, sample, absl::StrSplit(keep, ','));
  if (!status.ok()) std::fprintf(stderr, "stockalert-poison: %s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
