// Every service calls alike what it has in common with others, and takes what it called it before.
#include <catch2/catch.hpp>
#include <cctype>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "services/alert/config.h"
#include "services/evaluator/config.h"
#include "services/fetcher/config.h"
#include "services/notifier/config.h"
#include "services/ticker/config.h"
#include "services/tools/migrate/config.h"
#include "services/user/config.h"

namespace stockalert {
namespace {

struct Declared {
  config::Parser parser{"program", "What it is", "1"};
  std::map<std::string, std::string> Values() const {
    const auto described = parser.Describe();
    return {described.begin(), described.end()};
  }
};

template <typename Config, void (*kDeclare)(config::Parser&, Config&)>
Declared DeclareAll() {
  static Config config;
  config = Config();
  Declared declared;
  kDeclare(declared.parser, config);
  return declared;
}

const std::map<std::string, std::function<Declared()>>& Services() {
  static const std::map<std::string, std::function<Declared()>> services = {
      {"user", DeclareAll<user::Config, user::Declare>},
      {"ticker", DeclareAll<ticker::Config, ticker::Declare>},
      {"alert", DeclareAll<alert::Config, alert::Declare>},
      {"notifier", DeclareAll<notifier::Config, notifier::Declare>},
      {"fetcher", DeclareAll<fetcher::Config, fetcher::Declare>},
      {"evaluator", DeclareAll<evaluator::Config, evaluator::Declare>},
      {"migrate", DeclareAll<migrate::Config, migrate::Declare>},
  };
  return services;
}

TEST_CASE("every service has the shared settings that concern it") {
  for (const auto& [service, declare] : Services()) {
    INFO(service);
    const std::map<std::string, std::string> values = declare().Values();
    const bool grpc = service != "evaluator" && service != "migrate";
    const bool has_public = grpc && service != "fetcher";
    const bool in_group = service == "alert" || service == "notifier" || service == "evaluator";
    const bool keeps = service != "fetcher" && service != "migrate";
    CHECK(values.contains("start_timeout_s"));
    CHECK(values.contains("http_address") == (service != "migrate"));
    CHECK(values.contains("public_address") == has_public);
    CHECK(values.contains("threads") == has_public);
    CHECK(values.contains("queue_max") == has_public);
    CHECK(values.contains("postgres_connections_max") == keeps);
    CHECK(values.contains("group_id") == in_group);
    CHECK(values.contains("instance_id") == in_group);
    for (const char* old :
         {"queue", "postgres_connections", "kafka_group", "kafka_group_instance", "wait_s", "dependencies_wait_s"})
      CHECK_FALSE(values.contains(old));
  }
}

TEST_CASE("the previous version's names are accepted, by flag and environment, with a warning") {
  struct Row {
    std::string service, old, name, value;
  };
  const Row rows[] = {
      {"alert", "postgres_connections", "postgres_connections_max", "9"},
      {"alert", "queue", "queue_max", "9"},
      {"alert", "kafka_group", "group_id", "g"},
      {"alert", "kafka_group_instance", "instance_id", "none"},
      {"notifier", "kafka_group", "group_id", "g"},
      {"notifier", "kafka_group_instance", "instance_id", "i"},
      {"evaluator", "postgres_connections", "postgres_connections_max", "9"},
      {"fetcher", "dependencies_wait_s", "start_timeout_s", "9"},
      {"migrate", "wait_s", "start_timeout_s", "9"},
  };
  for (const Row& row : rows) {
    INFO(row.service << " " << row.old);
    std::string variable = "STOCKALERT_" + row.old;
    for (char& c : variable) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    const std::string flag = "--" + row.old + "=" + row.value;
    for (const bool by_flag : {true, false}) {
      Declared declared = Services().at(row.service)();
      std::vector<const char*> argv = {"program"};
      if (by_flag) argv.push_back(flag.c_str());
      const config::ParseResult result =
          declared.parser.ParseOnly({row.name}, static_cast<int>(argv.size()), argv.data(),
                                    [&](const std::string& name) -> std::optional<std::string> {
                                      if (by_flag || name != variable) return std::nullopt;
                                      return row.value;
                                    });
      CHECK(result.errors == std::vector<std::string>{});
      CHECK(result.warnings.size() == 1);
      CHECK(declared.Values()[row.name] == row.value);
    }
  }
}

}  // namespace
}  // namespace stockalert
