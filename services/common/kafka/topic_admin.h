// Looks at topics and creates them: what stockalert-migrate does once, and what services check when they start.
//
// Thread-safe; each call is bounded by its timeout and answers UNAVAILABLE where the broker does not.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/kafka/producer.h"

namespace stockalert::kafka {

// The topics of the mesh.
inline constexpr char kPricesTopic[] = "prices";
inline constexpr char kAlertEventsTopic[] = "alert-events";
inline constexpr char kTriggersTopic[] = "triggers";
inline constexpr char kUserEventsTopic[] = "user-events";

struct TopicSpec {
  std::string name;
  int partitions = 1;
  int replication_factor = 1;
  std::map<std::string, std::string> config;  // "message.timestamp.type" → "LogAppendTime"
};

struct TopicDescription {
  std::string name;
  int partitions = 0;
  int replication_factor = 0;
};

// What a principal is allowed, from any host. Read and Write of a topic bring Describe with them.
struct Acl {
  enum class Resource { kTopic, kGroup, kCluster };
  enum class Operation { kRead, kWrite, kCreate, kAlter, kDescribe, kDescribeConfigs };
  std::string principal;  // "User:stockalert-alert"
  Resource resource = Resource::kTopic;
  std::string name;
  Operation operation = Operation::kRead;
};

struct TopicAdminOptions {
  std::string bootstrap;
  Security security = {};
  std::string client_id;
  ExtraSettings extra;
};

class TopicAdmin {
 public:
  static absl::StatusOr<std::unique_ptr<TopicAdmin>> Create(const TopicAdminOptions& options);
  virtual ~TopicAdmin() = default;

  // Creates the topic; ALREADY_EXISTS where it is there (whatever it is like).
  virtual absl::Status CreateTopic(const TopicSpec& spec, absl::Duration timeout) = 0;
  // NOT_FOUND: there is no such topic.
  virtual absl::StatusOr<TopicDescription> DescribeTopic(const std::string& topic, absl::Duration timeout) = 0;
  // The topic's configuration as the broker applies it ("retention.ms", "message.timestamp.type"...).
  virtual absl::StatusOr<std::map<std::string, std::string>> DescribeConfig(const std::string& topic,
                                                                            absl::Duration timeout) = 0;
  // Adds them to what is allowed; those that are there stay. FAILED_PRECONDITION: the broker has no authorizer;
  // PERMISSION_DENIED: not by us.
  virtual absl::Status CreateAcls(const std::vector<Acl>& acls, absl::Duration timeout) = 0;
  virtual absl::StatusOr<std::string> ClusterId(absl::Duration timeout) = 0;
  virtual absl::StatusOr<int> CountBrokers(absl::Duration timeout) = 0;

  // Waits until all `topics` are there: what services do at start. NOT_FOUND names what is missing and says to run
  // stockalert-migrate; UNAVAILABLE: no broker answered by `deadline`.
  absl::Status AwaitTopics(const std::vector<std::string>& topics, absl::Time deadline);
};

}  // namespace stockalert::kafka
