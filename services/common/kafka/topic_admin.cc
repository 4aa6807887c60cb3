#include "services/common/kafka/topic_admin.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/kafka/client.h"

namespace stockalert::kafka {
namespace {

struct NewTopicDeleter {
  void operator()(rd_kafka_NewTopic_t* topic) const { rd_kafka_NewTopic_destroy(topic); }
};
struct AdminOptionsDeleter {
  void operator()(rd_kafka_AdminOptions_t* options) const { rd_kafka_AdminOptions_destroy(options); }
};
struct EventDeleter {
  void operator()(rd_kafka_event_t* event) const { rd_kafka_event_destroy(event); }
};
struct ConfigResourceDeleter {
  void operator()(rd_kafka_ConfigResource_t* resource) const { rd_kafka_ConfigResource_destroy(resource); }
};
struct AclDeleter {
  void operator()(rd_kafka_AclBinding_t* acl) const { rd_kafka_AclBinding_destroy(acl); }
};
using AdminOptions = std::unique_ptr<rd_kafka_AdminOptions_t, AdminOptionsDeleter>;
using Event = std::unique_ptr<rd_kafka_event_t, EventDeleter>;

rd_kafka_ResourceType_t ToRdKafka(Acl::Resource resource) {
  switch (resource) {
    case Acl::Resource::kTopic:
      return RD_KAFKA_RESOURCE_TOPIC;
    case Acl::Resource::kGroup:
      return RD_KAFKA_RESOURCE_GROUP;
    // Its name here; on the wire it is the cluster's number.
    default:
      return RD_KAFKA_RESOURCE_BROKER;
  }
}

rd_kafka_AclOperation_t ToRdKafka(Acl::Operation operation) {
  switch (operation) {
    case Acl::Operation::kRead:
      return RD_KAFKA_ACL_OPERATION_READ;
    case Acl::Operation::kWrite:
      return RD_KAFKA_ACL_OPERATION_WRITE;
    case Acl::Operation::kCreate:
      return RD_KAFKA_ACL_OPERATION_CREATE;
    case Acl::Operation::kAlter:
      return RD_KAFKA_ACL_OPERATION_ALTER;
    case Acl::Operation::kDescribe:
      return RD_KAFKA_ACL_OPERATION_DESCRIBE;
    default:
      return RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS;
  }
}

class RdKafkaTopicAdmin final : public TopicAdmin {
 public:
  absl::Status Start(const TopicAdminOptions& options) {
    Settings settings(options.bootstrap, options.security, options.client_id);
    settings.Set(options.extra);
    absl::StatusOr<rd_kafka_t*> client = settings.New(RD_KAFKA_PRODUCER);
    if (!client.ok()) return client.status();
    client_ = *client;
    return absl::OkStatus();
  }

  ~RdKafkaTopicAdmin() override {
    if (client_ != nullptr) rd_kafka_destroy(client_);
  }

  absl::Status CreateTopic(const TopicSpec& spec, absl::Duration timeout) override {
    std::array<char, 512> why{};
    std::unique_ptr<rd_kafka_NewTopic_t, NewTopicDeleter> topic(
        rd_kafka_NewTopic_new(spec.name.c_str(), spec.partitions, spec.replication_factor, why.data(), why.size()));
    if (!topic) return absl::InvalidArgumentError(absl::StrCat("topic ", spec.name, ": ", why.data()));
    for (const auto& [name, value] : spec.config)
      rd_kafka_NewTopic_set_config(topic.get(), name.c_str(), value.c_str());
    AdminOptions options = NewOptions(RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout);
    Queue answers(rd_kafka_queue_new(client_));
    rd_kafka_NewTopic_t* topics[] = {topic.get()};
    rd_kafka_CreateTopics(client_, topics, 1, options.get(), answers.get());
    Event event(rd_kafka_queue_poll(answers.get(), ToTimeoutMs(timeout + absl::Seconds(1))));
    const std::string what = absl::StrCat("creating topic ", spec.name);
    if (absl::Status status = CheckEvent(event.get(), what); !status.ok()) return status;
    size_t count = 0;
    const rd_kafka_topic_result_t** results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
    for (size_t i = 0; i < count; ++i) {
      const rd_kafka_resp_err_t error = rd_kafka_topic_result_error(results[i]);
      if (error == RD_KAFKA_RESP_ERR_NO_ERROR) continue;
      const char* text = rd_kafka_topic_result_error_string(results[i]);
      return ToStatus(error, absl::StrCat(what, text == nullptr ? "" : absl::StrCat(": ", text)));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<TopicDescription> DescribeTopic(const std::string& topic, absl::Duration timeout) override {
    return QueryTopic(client_, topic, timeout);
  }

  absl::StatusOr<std::map<std::string, std::string>> DescribeConfig(const std::string& topic,
                                                                    absl::Duration timeout) override {
    std::unique_ptr<rd_kafka_ConfigResource_t, ConfigResourceDeleter> resource(
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
    AdminOptions options = NewOptions(RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout);
    Queue answers(rd_kafka_queue_new(client_));
    rd_kafka_ConfigResource_t* resources[] = {resource.get()};
    rd_kafka_DescribeConfigs(client_, resources, 1, options.get(), answers.get());
    Event event(rd_kafka_queue_poll(answers.get(), ToTimeoutMs(timeout + absl::Seconds(1))));
    const std::string what = absl::StrCat("asking for the configuration of topic ", topic);
    if (absl::Status status = CheckEvent(event.get(), what); !status.ok()) return status;
    std::map<std::string, std::string> config;
    size_t count = 0;
    const rd_kafka_ConfigResource_t** described =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event.get()), &count);
    for (size_t i = 0; i < count; ++i) {
      if (const rd_kafka_resp_err_t error = rd_kafka_ConfigResource_error(described[i]);
          error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return ToStatus(error, what);
      }
      size_t entries = 0;
      const rd_kafka_ConfigEntry_t** configs = rd_kafka_ConfigResource_configs(described[i], &entries);
      for (size_t j = 0; j < entries; ++j) {
        const char* value = rd_kafka_ConfigEntry_value(configs[j]);
        config[rd_kafka_ConfigEntry_name(configs[j])] = value == nullptr ? "" : value;
      }
    }
    return config;
  }

  absl::Status CreateAcls(const std::vector<Acl>& acls, absl::Duration timeout) override {
    std::array<char, 512> why{};
    std::vector<std::unique_ptr<rd_kafka_AclBinding_t, AclDeleter>> owned;
    std::vector<rd_kafka_AclBinding_t*> bindings;
    for (const Acl& acl : acls) {
      owned.emplace_back(rd_kafka_AclBinding_new(
          ToRdKafka(acl.resource), acl.name.c_str(), RD_KAFKA_RESOURCE_PATTERN_LITERAL, acl.principal.c_str(), "*",
          ToRdKafka(acl.operation), RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, why.data(), why.size()));
      if (!owned.back()) return absl::InvalidArgumentError(absl::StrCat("an ACL of ", acl.principal, ": ", why.data()));
      bindings.push_back(owned.back().get());
    }
    AdminOptions options = NewOptions(RD_KAFKA_ADMIN_OP_CREATEACLS, timeout);
    Queue answers(rd_kafka_queue_new(client_));
    rd_kafka_CreateAcls(client_, bindings.data(), bindings.size(), options.get(), answers.get());
    Event event(rd_kafka_queue_poll(answers.get(), ToTimeoutMs(timeout + absl::Seconds(1))));
    if (absl::Status status = CheckEvent(event.get(), "creating ACLs"); !status.ok()) return status;
    size_t count = 0;
    const rd_kafka_acl_result_t** results =
        rd_kafka_CreateAcls_result_acls(rd_kafka_event_CreateAcls_result(event.get()), &count);
    for (size_t i = 0; i < count; ++i) {
      const rd_kafka_error_t* error = rd_kafka_acl_result_error(results[i]);
      if (error == nullptr) continue;
      const std::string what = absl::StrCat("creating ACLs: ", rd_kafka_error_string(error));
      switch (rd_kafka_error_code(error)) {
        case RD_KAFKA_RESP_ERR_SECURITY_DISABLED:
          return absl::FailedPreconditionError(what);
        case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
          return absl::PermissionDeniedError(what);
        default:
          return ToStatus(rd_kafka_error_code(error), what);
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ClusterId(absl::Duration timeout) override { return QueryClusterId(client_, timeout); }

  absl::StatusOr<int> CountBrokers(absl::Duration timeout) override {
    const rd_kafka_metadata_t* metadata = nullptr;
    const rd_kafka_resp_err_t error = rd_kafka_metadata(client_, 1, nullptr, &metadata, ToTimeoutMs(timeout));
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return ToStatus(error, "asking for the brokers");
    const int count = metadata->broker_cnt;
    rd_kafka_metadata_destroy(metadata);
    return count;
  }

 private:
  AdminOptions NewOptions(rd_kafka_admin_op_t op, absl::Duration timeout) {
    AdminOptions options(rd_kafka_AdminOptions_new(client_, op));
    std::array<char, 256> why{};
    rd_kafka_AdminOptions_set_request_timeout(options.get(), ToTimeoutMs(timeout), why.data(), why.size());
    if (op == RD_KAFKA_ADMIN_OP_CREATETOPICS) {
      rd_kafka_AdminOptions_set_operation_timeout(options.get(), ToTimeoutMs(timeout), why.data(), why.size());
    }
    return options;
  }

  static absl::Status CheckEvent(rd_kafka_event_t* event, const std::string& what) {
    if (event == nullptr) return absl::UnavailableError(absl::StrCat(what, ": no broker answered in time"));
    return ToStatus(rd_kafka_event_error(event), what);
  }

  rd_kafka_t* client_ = nullptr;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TopicAdmin>> TopicAdmin::Create(const TopicAdminOptions& options) {
  auto admin = std::make_unique<RdKafkaTopicAdmin>();
  if (absl::Status status = admin->Start(options); !status.ok()) return status;
  return std::unique_ptr<TopicAdmin>(std::move(admin));
}

absl::Status TopicAdmin::AwaitTopics(const std::vector<std::string>& topics, absl::Time deadline) {
  absl::Status last = absl::UnavailableError("no Kafka broker answered in time");
  const absl::Duration give_up = base::ToMonotonic(deadline);
  const auto left = [give_up] { return give_up - base::MonotonicNow(); };
  do {
    std::vector<std::string> missing;
    bool answered = true;
    for (const std::string& topic : topics) {
      const absl::Duration patience = std::clamp(left(), absl::Milliseconds(100), absl::Seconds(3));
      absl::StatusOr<TopicDescription> found = DescribeTopic(topic, patience);
      if (absl::IsNotFound(found.status())) {
        missing.push_back(topic);
      } else if (!found.ok()) {
        last = found.status();
        answered = false;
        break;
      }
    }
    if (answered) {
      if (missing.empty()) return absl::OkStatus();
      last = absl::NotFoundError(absl::StrCat("Kafka has no topic ", absl::StrJoin(missing, ", "), kNoTopic));
    }
    absl::SleepFor(std::min(absl::Milliseconds(200), std::max(left(), absl::ZeroDuration())));
  } while (left() > absl::ZeroDuration());
  return last;
}

}  // namespace stockalert::kafka
