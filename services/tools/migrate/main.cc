// stockalert-migrate: applies the SQL of all services and creates the topics, then ends: 0 done, 1 not, 2 wrong
// configuration. `stockalert-migrate roles` and `acls` print what an operator runs elsewhere; `deadletters
// list|replay|drop|take` is for records that services could not take; `rotate-secrets` encrypts destinations' secrets
// with a new key.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "services/common/log/log.h"
#include "services/common/version/version.h"
#include "services/tools/migrate/acls.h"
#include "services/tools/migrate/config.h"
#include "services/tools/migrate/dead_letters.h"
#include "services/tools/migrate/migrate.h"
#include "services/tools/migrate/roles.h"
#include "services/tools/migrate/rotate_secrets.h"

namespace {

// Prints the commands for an operator, and asks nobody.
int Print(const std::string& command, stockalert::config::Parser& parser, const stockalert::migrate::Config& config,
          int argc, char** argv) {
  const stockalert::config::ParseResult parsed =
      parser.ParseOnly({"postgres_role_names", "kafka_principals"}, argc, argv);
  std::vector<std::string> errors = parsed.errors;
  const auto names = stockalert::migrate::ParseRoleNames(config.postgres_role_names);
  const auto principals = stockalert::migrate::ParsePrincipals(config.kafka_principals);
  for (const absl::Status& status : {names.status(), principals.status()}) {
    if (!status.ok()) errors.emplace_back(status.message());
  }
  for (const std::string& error : errors) std::fprintf(stderr, "stockalert-migrate: %s\n", error.c_str());
  if (!errors.empty()) return 2;
  std::fputs(
      (command == "roles" ? stockalert::migrate::RolesSql(*names) : stockalert::migrate::AclCommands(*principals))
          .c_str(),
      stdout);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "deadletters")
    return stockalert::migrate::RunDeadLetters(argc - 2, argv + 2);
  if (argc > 1 && std::string_view(argv[1]) == "rotate-secrets")
    return stockalert::migrate::RunRotateSecrets(argc - 1, argv + 1);
  stockalert::migrate::Config config;
  config.schema_dir = STOCKALERT_SCHEMA_DIR;
  stockalert::config::Parser parser("stockalert-migrate", "Makes database and broker ready for the mesh",
                                    stockalert::version::Text());
  stockalert::migrate::Declare(parser, config);
  const std::string command = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
  if (command == "roles" || command == "acls") return Print(command, parser, config, argc - 1, argv + 1);
  if (!command.empty()) {
    std::fprintf(stderr,
                 "stockalert-migrate: there is no command %s: roles, acls, deadletters, rotate-secrets, or none\n",
                 command.c_str());
    return 2;
  }
  const stockalert::config::ParseResult parsed = parser.Parse(argc, argv);
  if (parsed.kind == stockalert::config::ParseResult::Kind::kShow) {
    std::fputs(parsed.text.c_str(), stdout);
    return 0;
  }
  if (parsed.kind == stockalert::config::ParseResult::Kind::kErrors) {
    for (const std::string& error : parsed.errors) std::fprintf(stderr, "stockalert-migrate: %s\n", error.c_str());
    return 2;
  }
  stockalert::log::Configure("stockalert-migrate", stockalert::log::Level::kInfo);
  for (const std::string& warning : parsed.warnings)
    stockalert::log::Warning("an old name of a setting", {{"what", warning}});
  if (const absl::Status status = stockalert::migrate::Migrate(config); !status.ok()) {
    stockalert::log::Error("nothing further was changed; mend this and run it again", {{"status", status}});
    return 1;
  }
  stockalert::log::Info("database and broker are ready");
  return 0;
}
