// What each service and tool may do with Kafka, as the broker's authorizer is told it: the topics that it reads and
// writes, its consumer group, and nothing else. Principals are those of client certificates.
//
// For a broker of others `stockalert-migrate acls` prints the commands; where this job may, and is told to, it makes
// them itself. Nothing is taken away: what somebody granted besides stays, for it may have its reason there. Not
// thread-safe; called by main alone.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/kafka/topic_admin.h"
#include "services/tools/migrate/config.h"

namespace stockalert::migrate {

// What has a principal: user, ticker, alert, notifier, fetcher, evaluator, and the tools migrate and audit (which runs
// stockalert-log).
const std::vector<std::string>& PrincipalKeys();

// Key → principal: "user=User:CN=...;..." over the default User:stockalert-KEY. INVALID_ARGUMENT: unknown keys, no
// principals.
absl::StatusOr<std::map<std::string, std::string>> ParsePrincipals(const std::string& text);

std::vector<kafka::Acl> MeshAcls(const std::map<std::string, std::string>& principals);

// The same as commands of kafka-acls.sh, which is told the broker by BOOTSTRAP and its login by CONFIG.
std::string AclCommands(const std::map<std::string, std::string>& principals);

// As config.kafka_acls says: `off` does nothing, `auto` prints the commands where it may not, `required` is an error
// then.
absl::Status MigrateAcls(kafka::TopicAdmin& admin, const Config& config);

}  // namespace stockalert::migrate
