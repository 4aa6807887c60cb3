#include "tests/support/mock_kafka/mock_kafka.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

namespace stockalert::testing {

MockKafka::MockKafka(int brokers) : brokers_(brokers) {
  char why[256] = "";
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "client.id", "mock-kafka", why, sizeof(why));
  rd_kafka_conf_set(conf, "log_level", "3", why, sizeof(why));
  client_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
  if (client_ == nullptr) throw std::runtime_error(why);
  cluster_ = rd_kafka_mock_cluster_new(client_, brokers);
  if (cluster_ == nullptr) throw std::runtime_error("the mock cluster cannot be made");
  bootstrap_ = rd_kafka_mock_cluster_bootstraps(cluster_);
}

MockKafka::~MockKafka() {
  rd_kafka_mock_cluster_destroy(cluster_);
  rd_kafka_destroy(client_);
}

void MockKafka::CreateTopic(const std::string& topic, int partitions) {
  const rd_kafka_resp_err_t error = rd_kafka_mock_topic_create(cluster_, topic.c_str(), partitions, 1);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) throw std::runtime_error(rd_kafka_err2str(error));
}

void MockKafka::SetDown() {
  for (int id = 1; id <= brokers_; ++id) rd_kafka_mock_broker_set_down(cluster_, id);
}

void MockKafka::SetUp() {
  for (int id = 1; id <= brokers_; ++id) rd_kafka_mock_broker_set_up(cluster_, id);
}

void MockKafka::SetRoundTripTime(int milliseconds) {
  for (int id = 1; id <= brokers_; ++id) rd_kafka_mock_broker_set_rtt(cluster_, id, milliseconds);
}

void MockKafka::RefuseCommits(size_t count) {
  constexpr int16_t kOffsetCommit = 8;
  rd_kafka_mock_clear_request_errors(cluster_, kOffsetCommit);
  if (count == 0) return;
  std::vector<rd_kafka_resp_err_t> errors(count, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
  rd_kafka_mock_push_request_errors_array(cluster_, kOffsetCommit, errors.size(), errors.data());
}

}  // namespace stockalert::testing
