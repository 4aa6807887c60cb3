#include "services/tools/migrate/acls.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"

namespace stockalert::migrate {
namespace {

using kafka::Acl;

struct Rights {
  const char* key;
  std::vector<const char*> reads;
  std::vector<const char*> writes;
  const char* group;  // Empty: it joins none.
  // Its reader without a group, of which librdkafka asks all the same who coordinates it. Empty: it has none.
  const char* no_group;
};

const std::vector<Rights>& Table() {
  static const auto* const kTable = new std::vector<Rights>{
      {"user", {}, {kafka::kUserEventsTopic}, "", ""},
      {"ticker", {kafka::kPricesTopic}, {}, "", "stockalert-ticker-no-group"},
      {"alert",
       {kafka::kAlertEventsTopic, kafka::kUserEventsTopic},
       {kafka::kPricesTopic, kafka::kTriggersTopic},
       "stockalert-alert",
       ""},
      {"notifier", {kafka::kTriggersTopic, kafka::kUserEventsTopic}, {}, "stockalert-notifier", ""},
      // It looks up how far a replay came.
      {"fetcher", {kafka::kPricesTopic}, {kafka::kPricesTopic}, "", "stockalert-fetcher-replay-no-group"},
      {"evaluator", {kafka::kPricesTopic}, {kafka::kAlertEventsTopic}, "stockalert-evaluator", ""},
      {"audit", {kafka::kPricesTopic}, {}, "", "stockalert-log-no-group"},
  };
  return *kTable;
}

constexpr char kMigrate[] = "migrate";

const char* NameOf(Acl::Resource resource) {
  switch (resource) {
    case Acl::Resource::kTopic:
      return "topic";
    case Acl::Resource::kGroup:
      return "group";
    default:
      return "cluster";
  }
}

const char* NameOf(Acl::Operation operation) {
  switch (operation) {
    case Acl::Operation::kRead:
      return "Read";
    case Acl::Operation::kWrite:
      return "Write";
    case Acl::Operation::kCreate:
      return "Create";
    case Acl::Operation::kAlter:
      return "Alter";
    case Acl::Operation::kDescribe:
      return "Describe";
    default:
      return "DescribeConfigs";
  }
}

// For a shell, in single quotes.
std::string ShellQuoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) absl::StrAppend(&quoted, c == '\'' ? std::string("'\\''") : std::string(1, c));
  return absl::StrCat(quoted, "'");
}

}  // namespace

const std::vector<std::string>& PrincipalKeys() {
  static const auto* const kKeys = [] {
    auto* keys = new std::vector<std::string>();
    for (const Rights& rights : Table()) keys->emplace_back(rights.key);
    keys->emplace_back(kMigrate);
    return keys;
  }();
  return *kKeys;
}

absl::StatusOr<std::map<std::string, std::string>> ParsePrincipals(const std::string& text) {
  std::map<std::string, std::string> principals;
  for (const std::string& key : PrincipalKeys()) principals[key] = absl::StrCat("User:stockalert-", key);
  for (const absl::string_view item : absl::StrSplit(text, ';', absl::SkipWhitespace())) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(item, absl::MaxSplits('=', 1));
    const std::string key(absl::StripAsciiWhitespace(parts.first));
    const std::string principal(absl::StripAsciiWhitespace(parts.second));
    const bool plain =
        std::none_of(principal.begin(), principal.end(), [](unsigned char c) { return absl::ascii_iscntrl(c); });
    if (!principals.contains(key) || !principal.starts_with("User:") || principal.size() <= 5 ||
        principal == "User:*" || !plain) {
      return absl::InvalidArgumentError(absl::StrCat("--kafka_principals: '", item, "' is not KEY=User:NAME, with ",
                                                     absl::StrJoin(PrincipalKeys(), ", "), " as KEY"));
    }
    principals[key] = principal;
  }
  return principals;
}

std::vector<kafka::Acl> MeshAcls(const std::map<std::string, std::string>& principals) {
  std::vector<Acl> acls;
  const auto allow = [&acls](const std::string& principal, Acl::Resource resource, const std::string& name,
                             Acl::Operation operation) {
    acls.push_back({.principal = principal, .resource = resource, .name = name, .operation = operation});
  };
  for (const Rights& rights : Table()) {
    const std::string& principal = principals.at(rights.key);
    // Both bring Describe with them.
    for (const char* topic : rights.reads) allow(principal, Acl::Resource::kTopic, topic, Acl::Operation::kRead);
    for (const char* topic : rights.writes) allow(principal, Acl::Resource::kTopic, topic, Acl::Operation::kWrite);
    if (*rights.group != '\0') allow(principal, Acl::Resource::kGroup, rights.group, Acl::Operation::kRead);
    if (*rights.no_group != '\0') allow(principal, Acl::Resource::kGroup, rights.no_group, Acl::Operation::kDescribe);
  }
  const std::string& migrate = principals.at(kMigrate);
  for (const char* topic :
       {kafka::kPricesTopic, kafka::kAlertEventsTopic, kafka::kTriggersTopic, kafka::kUserEventsTopic}) {
    // Reading and writing are for dead letters, which it takes from there and replays.
    for (const Acl::Operation operation :
         {Acl::Operation::kCreate, Acl::Operation::kDescribe, Acl::Operation::kDescribeConfigs, Acl::Operation::kRead,
          Acl::Operation::kWrite}) {
      if (operation != Acl::Operation::kWrite || std::string(topic) != kafka::kPricesTopic)
        allow(migrate, Acl::Resource::kTopic, topic, operation);
    }
  }
  allow(migrate, Acl::Resource::kGroup, "stockalert-migrate-no-group", Acl::Operation::kDescribe);
  return acls;
}

std::string AclCommands(const std::map<std::string, std::string>& principals) {
  std::string text =
      "# Principals are those of the services' client certificates, as the broker's ssl.principal.mapping.rules name "
      "them.\n"
      "# BOOTSTRAP: a broker; CONFIG: a properties file with which you may change ACLs.\n";
  for (const Acl& acl : MeshAcls(principals)) {
    absl::StrAppend(
        &text, "kafka-acls.sh --bootstrap-server \"$BOOTSTRAP\" --command-config \"$CONFIG\" --add --allow-principal ",
        ShellQuoted(acl.principal), " --operation ", NameOf(acl.operation), " --", NameOf(acl.resource), " ", acl.name,
        "\n");
  }
  return text;
}

absl::Status MigrateAcls(kafka::TopicAdmin& admin, const Config& config) {
  if (config.kafka_acls == "off") return absl::OkStatus();
  STOCKALERT_ASSIGN_OR_RETURN(const auto principals, ParsePrincipals(config.kafka_principals));
  const absl::Status status = admin.CreateAcls(MeshAcls(principals), config.admin_timeout);
  if (status.ok()) {
    log::Info("each service may do with Kafka what it needs", {{"principals", principals.size()}});
    return status;
  }
  std::fputs(AclCommands(principals).c_str(), stdout);
  std::fflush(stdout);
  if (config.kafka_acls == "required") {
    return absl::Status(status.code(), absl::StrCat("the ACLs could not be made: ", status.message(),
                                                    ". The commands above make them: let one run them who may"));
  }
  log::Warning("the ACLs could not be made: let somebody who may run the commands above", {{"status", status}});
  return absl::OkStatus();
}

}  // namespace stockalert::migrate
