// A Kafka in the process: librdkafka's mock cluster, for the fast tiers.
//
// Thread-safe. What it is not: topics are created here, not by clients; it keeps the producer's time, not the append
// time; a first group join takes about 3 s; beyond 5 MiB or 100,000 messages a partition silently loses its oldest
// records.
#pragma once

#include <cstddef>
#include <string>

struct rd_kafka_s;
struct rd_kafka_mock_cluster_s;

namespace stockalert::testing {

class MockKafka {
 public:
  explicit MockKafka(int brokers = 1);
  ~MockKafka();
  MockKafka(const MockKafka&) = delete;
  MockKafka& operator=(const MockKafka&) = delete;

  const std::string& bootstrap() const { return bootstrap_; }
  void CreateTopic(const std::string& topic, int partitions);
  // All brokers refuse connections and answer nothing until they are up again; what they keep stays.
  void SetDown();
  void SetUp();
  // How long every answer of the brokers takes to come.
  void SetRoundTripTime(int milliseconds);
  // The next `count` commits of offsets are refused for want of permission; 0: none any more.
  void RefuseCommits(size_t count);

 private:
  rd_kafka_s* client_;
  rd_kafka_mock_cluster_s* cluster_;
  int brokers_;
  std::string bootstrap_;
};

}  // namespace stockalert::testing
