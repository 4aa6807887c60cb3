#include "services/common/kafka/client.h"

#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <array>
#include <limits>

#include "absl/strings/str_cat.h"
#include "services/common/log/log.h"

namespace stockalert::kafka {
namespace {

// Runs on librdkafka's threads.
void LogLine(const rd_kafka_t*, int level, const char* facility, const char* text) {
  // syslog levels: 0–3 are errors, 4 warning, 5–6 notice and info, 7 debug. A broker that is away is an error to
  // librdkafka, but what it means here is said by whoever waits for it.
  log::Write(level <= 4   ? log::Level::kWarning
             : level <= 6 ? log::Level::kInfo
                          : log::Level::kDebug,
             "librdkafka", {{"facility", facility}, {"text", text}});
}

}  // namespace

Settings::Settings(const std::string& bootstrap, const Security& security, const std::string& client_id)
    : conf_(rd_kafka_conf_new()) {
  rd_kafka_conf_set_log_cb(conf_.get(), LogLine);
  Set("bootstrap.servers", bootstrap);
  if (!client_id.empty()) Set("client.id", client_id);
  // A broker that comes back is found within a second or so.
  Set("reconnect.backoff.ms", "100").Set("reconnect.backoff.max.ms", "1000");
  Set("socket.keepalive.enable", "true").Set("socket.nagle.disable", "true");
  // A request that waits for a broker which has died holds up what comes behind it, a rejoined group too: not for
  // librdkafka's minute.
  Set("socket.timeout.ms", "10000");
  // Idle connections that the broker closes are no news.
  Set("log.connection.close", "false");
  const bool sasl = !security.sasl_mechanism.empty();
  Set("security.protocol", security.tls ? (sasl ? "sasl_ssl" : "ssl") : (sasl ? "sasl_plaintext" : "plaintext"));
  if (security.tls) {
    Set("ssl.endpoint.identification.algorithm", "https");
    if (!security.tls_ca_file.empty()) Set("ssl.ca.location", security.tls_ca_file);
    if (!security.tls_cert_file.empty()) {
      Set("ssl.certificate.location", security.tls_cert_file).Set("ssl.key.location", security.tls_key_file);
    }
  }
  if (sasl) {
    Set("sasl.mechanism", security.sasl_mechanism)
        .Set("sasl.username", security.sasl_username)
        .Set("sasl.password", security.sasl_password);
  }
}

Settings& Settings::Set(const std::string& name, const std::string& value) {
  std::array<char, 512> why{};
  if (rd_kafka_conf_set(conf_.get(), name.c_str(), value.c_str(), why.data(), why.size()) != RD_KAFKA_CONF_OK &&
      status_.ok()) {
    // librdkafka's text may quote the value, and a value may be a password.
    status_ =
        absl::InvalidArgumentError(absl::StrCat("librdkafka refuses the setting ", name, ": check its name and value"));
  }
  return *this;
}

Settings& Settings::SetMs(const std::string& name, absl::Duration value) {
  return Set(name, absl::StrCat(absl::ToInt64Milliseconds(value)));
}

Settings& Settings::Set(const ExtraSettings& extra) {
  for (const auto& [name, value] : extra) Set(name, value);
  return *this;
}

absl::StatusOr<rd_kafka_t*> Settings::New(rd_kafka_type_t type) {
  if (!status_.ok()) return status_;
  std::array<char, 512> why{};
  rd_kafka_t* client = rd_kafka_new(type, conf_.get(), why.data(), why.size());
  if (client == nullptr)
    return absl::InvalidArgumentError(absl::StrCat("librdkafka refuses its settings: ", why.data()));
  static_cast<void>(conf_.release());  // The client owns it now.
  return client;
}

absl::Status ToStatus(rd_kafka_resp_err_t error, std::string_view what) {
  std::string text = absl::StrCat(absl::string_view(what.data(), what.size()), ": ", rd_kafka_err2str(error), " (",
                                  rd_kafka_err2name(error), ")");
  switch (error) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
      return absl::OkStatus();
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
    case RD_KAFKA_RESP_ERR__NO_OFFSET:
      return absl::OutOfRangeError(text);
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      return absl::NotFoundError(text);
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
      return absl::AlreadyExistsError(text);
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
      return absl::PermissionDeniedError(text);
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
      return absl::ResourceExhaustedError(text);
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
      return absl::InvalidArgumentError(text);
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST:
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__STATE:
      return absl::FailedPreconditionError(text);
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
    case RD_KAFKA_RESP_ERR__DESTROY:
      return absl::CancelledError(text);
    default:
      // Time-outs, brokers that are down, leaders that move: what a later attempt may get past.
      return absl::UnavailableError(text);
  }
}

int ToTimeoutMs(absl::Duration timeout) {
  if (timeout <= absl::ZeroDuration()) return 0;
  return static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(timeout), 1, std::numeric_limits<int>::max()));
}

absl::StatusOr<TopicDescription> QueryTopic(rd_kafka_t* client, const std::string& topic, absl::Duration timeout) {
  // All topics are asked for: a question for one could create it where the broker is set up so.
  const rd_kafka_metadata_t* metadata = nullptr;
  const rd_kafka_resp_err_t error = rd_kafka_metadata(client, 1, nullptr, &metadata, ToTimeoutMs(timeout));
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return ToStatus(error, "asking for the topics");
  absl::StatusOr<TopicDescription> result = absl::NotFoundError(absl::StrCat("Kafka has no topic ", topic, kNoTopic));
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    const rd_kafka_metadata_topic_t& found = metadata->topics[i];
    if (topic != found.topic) continue;
    if (found.err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || found.partition_cnt == 0) break;
    TopicDescription description;
    description.name = topic;
    description.partitions = found.partition_cnt;
    description.replication_factor = found.partitions[0].replica_cnt;
    result = description;
    break;
  }
  rd_kafka_metadata_destroy(metadata);
  return result;
}

absl::StatusOr<std::string> QueryClusterId(rd_kafka_t* client, absl::Duration timeout) {
  char* id = rd_kafka_clusterid(client, ToTimeoutMs(timeout));
  if (id == nullptr) return absl::UnavailableError("no Kafka broker told its cluster's id in time");
  std::string result = id;
  rd_kafka_mem_free(client, id);
  return result;
}

prometheus::Family<prometheus::Counter>& CounterFamily(std::shared_ptr<prometheus::Registry>& registry,
                                                       const std::string& name, const std::string& help) {
  if (!registry) registry = std::make_shared<prometheus::Registry>();
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry);
}

}  // namespace stockalert::kafka
