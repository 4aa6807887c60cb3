// stockalert-migrate: applies the SQL of all services and creates the topics, then ends: 0 done, 1 not, 2 wrong configuration.
// stockalert-migrate deadletters list|replay|drop|take: what to do with records that services could not take.
#include <cstdio>
#include <string_view>

#include "services/common/log/log.h"
#include "services/common/version/version.h"
#include "services/migrate/config.h"
#include "services/migrate/dead_letters.h"
#include "services/migrate/migrate.h"

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "deadletters") return stockalert::migrate::RunDeadLetters(argc - 2, argv + 2);
  stockalert::migrate::Config config;
  config.schema_dir = STOCKALERT_SCHEMA_DIR;
  stockalert::config::Parser parser("stockalert-migrate", "Makes database and broker ready for the mesh", stockalert::version::Text());
  stockalert::migrate::Declare(parser, config);
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
  if (const absl::Status status = stockalert::migrate::Migrate(config); !status.ok()) {
    stockalert::log::Error("nothing further was changed; mend this and run it again", {{"status", status}});
    return 1;
  }
  stockalert::log::Info("database and broker are ready");
  return 0;
}
