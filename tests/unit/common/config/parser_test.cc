#include "services/common/config/parser.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <fstream>

namespace stockalert::config {
namespace {

struct Values {
  std::string name = "default";
  std::string public_address = "127.0.0.1:50051";
  std::string user_address;
  std::string brokers;
  std::string token;
  std::string database;
  std::string source = "replay";
  int64_t quota = 5;
  int threads = 4;
  double speed = 1;
  bool demo = false;
  absl::Duration timeout = absl::Milliseconds(200);
};

struct Run {
  ParseResult result;
  Values values;
  std::vector<std::pair<std::string, std::string>> described;
};

Run ParseWith(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& environment = {},
              const std::vector<std::string>& only = {}) {
  Run run;
  Values& values = run.values;
  Parser parser("stockalert-test", "A program", "1.2.3");
  parser.AddString("name", &values.name, kRequired, "a name", "OTHER_NAME");
  parser.AddListenAddress("public_address", &values.public_address, "where clients connect");
  parser.AddDialAddress("user_address", &values.user_address, kOptional, "the user service");
  parser.AddAddressList("kafka_bootstrap", &values.brokers, kOptional, "brokers");
  parser.AddSecret("mesh_token", &values.token, kOptional, "the mesh token");
  parser.AddDatabaseUrl("postgres_url", &values.database, kOptional, "the database");
  parser.AddChoice("source", &values.source, {"replay", "finnhub"}, "where quotes come from");
  parser.AddInteger("quota", &values.quota, 1, 10, "alerts a user");
  parser.AddInteger("threads", &values.threads, 1, 64, "threads");
  parser.AddReal("speed", &values.speed, 0.1, 1000, "times life");
  parser.AddBoolean("demo", &values.demo, "demo");
  parser.AddMilliseconds("timeout_ms", &values.timeout, absl::Milliseconds(1), absl::Seconds(10), "how long");
  parser.AddRule([&values]() -> std::optional<std::string> {
    if (values.quota > int64_t{values.threads} * 2) return "--quota must not be more than twice --threads";
    return std::nullopt;
  });
  std::vector<const char*> argv = {"stockalert-test"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  const Environment variables = [&](const std::string& name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional<std::string>(found->second);
  };
  const int argc = static_cast<int>(argv.size());
  run.result =
      only.empty() ? parser.Parse(argc, argv.data(), variables) : parser.ParseOnly(only, argc, argv.data(), variables);
  run.described = parser.Describe();
  return run;
}

std::string Described(const Run& run, const std::string& name) {
  for (const auto& [key, value] : run.described) {
    if (key == name) return value;
  }
  return "?";
}

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content) {
    char path[] = "/tmp/stockalert-config-XXXXXX";
    const int descriptor = mkstemp(path);
    REQUIRE(descriptor >= 0);
    close(descriptor);
    path_ = path;
    std::ofstream(path_) << content;
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST_CASE("defaults, environment and flags, each above the one before") {
  CHECK(ParseWith({}).values.name == "default");
  CHECK(ParseWith({}, {{"STOCKALERT_NAME", "env"}}).values.name == "env");
  CHECK(ParseWith({}, {{"OTHER_NAME", "other"}}).values.name == "other");
  CHECK(ParseWith({}, {{"STOCKALERT_NAME", "env"}, {"OTHER_NAME", "other"}}).values.name == "env");
  CHECK(ParseWith({"--name=flag"}, {{"STOCKALERT_NAME", "env"}}).values.name == "flag");
  CHECK(ParseWith({"--name", "flag"}).values.name == "flag");
  CHECK(ParseWith({}, {{"STOCKALERT_NAME", ""}}).values.name == "default");
}

TEST_CASE("settings of every type are read, and bad values are refused") {
  const Run run =
      ParseWith({"--public_address=[::1]:0", "--user_address=user:50051", "--kafka_bootstrap=a:1,b:2",
                 "--source=finnhub", "--quota=7", "--threads=8", "--speed=2.5", "--demo", "--timeout_ms=1500"});
  REQUIRE(run.result.errors == std::vector<std::string>{});
  CHECK(run.values.public_address == "[::1]:0");
  CHECK(run.values.user_address == "user:50051");
  CHECK(run.values.brokers == "a:1,b:2");
  CHECK(run.values.source == "finnhub");
  CHECK(run.values.quota == 7);
  CHECK(run.values.threads == 8);
  CHECK(run.values.speed == 2.5);
  CHECK(run.values.demo);
  CHECK(run.values.timeout == absl::Milliseconds(1500));
  CHECK_FALSE(ParseWith({"--demo=false"}, {{"STOCKALERT_DEMO", "true"}}).values.demo);
  CHECK(ParseWith({}, {{"STOCKALERT_DEMO", "1"}}).values.demo);
}

TEST_CASE("bad input is refused, and the message names the flag") {
  struct Row {
    std::vector<std::string> arguments;
    std::string says;
  };
  const Row rows[] = {
      {{"--quota=0"}, "--quota"},
      {{"--quota=11"}, "from 1 to 10"},
      {{"--quota=7x"}, "--quota"},
      {{"--quota="}, "--quota needs a value"},
      {{"--quota"}, "--quota needs a value"},
      {{"--quota=99999999999999999999"}, "--quota"},
      {{"--quota=1", "--quota=2"}, "once only"},
      {{"--speed=nan"}, "--speed"},
      {{"--speed=inf"}, "--speed"},
      {{"--speed=0"}, "--speed"},
      {{"--demo=maybe"}, "--demo"},
      {{"--source=other"}, "one of replay, finnhub"},
      {{"--public_address=x"}, "--public_address"},
      {{"--user_address=host:0"}, "above 0"},
      {{"--kafka_bootstrap=a:1,"}, "--kafka_bootstrap"},
      {{"--timeout_ms=10001"}, "from 1 to 10000"},
      {{"--timeout_ms=1.5"}, "--timeout_ms"},
      {{"--unknown=1"}, "--unknown"},
      {{"stray"}, "stray"},
      {{"--mesh_token=secret"}, "--mesh_token"},
      {{"--mesh_token_file=/nonexistent/file"}, "cannot be read"},
      {{"--postgres_url=postgresql://u:pw@h/db"}, "--postgres_url_file"},
      {{"--postgres_url=host=h password=pw"}, "--postgres_url_file"},
      {{"--postgres_url=postgresql://h/db?password=pw"}, "--postgres_url_file"},
      {{"--quota=9", "--threads=1"}, "twice"},
  };
  for (const Row& row : rows) {
    const Run run = ParseWith(row.arguments);
    std::string all;
    for (const std::string& error : run.result.errors) all += error + "\n";
    INFO(row.arguments.front() << " → " << all);
    CHECK(run.result.kind == ParseResult::Kind::kErrors);
    CHECK(all.find(row.says) != std::string::npos);
    CHECK(all.find("=pw") == std::string::npos);
    CHECK(all.find(":pw") == std::string::npos);
  }
}

TEST_CASE("every error is reported, not only the first") {
  const Run run = ParseWith({"--quota=0", "--source=x", "--nothing"}, {{"STOCKALERT_THREADS", "many"}});
  CHECK(run.result.errors.size() == 4);
}

TEST_CASE("secrets come from files and the environment, and are never described") {
  const TemporaryFile file("  hush\n");
  const Run by_file = ParseWith({"--mesh_token_file=" + file.path()}, {{"STOCKALERT_MESH_TOKEN", "other"}});
  CHECK(by_file.result.kind == ParseResult::Kind::kRun);
  CHECK(by_file.values.token == "hush");
  CHECK(Described(by_file, "mesh_token") == "(set)");
  CHECK(ParseWith({}, {{"STOCKALERT_MESH_TOKEN", "env"}}).values.token == "env");
  CHECK(Described(ParseWith({}), "mesh_token") == "(not set)");
  const TemporaryFile empty(" \n");
  CHECK(ParseWith({"--mesh_token_file=" + empty.path()}).result.kind == ParseResult::Kind::kErrors);
}

TEST_CASE("a database's URL is described without its password") {
  const auto described = [](const std::string& url) {
    return Described(ParseWith({}, {{"STOCKALERT_POSTGRES_URL", url}}), "postgres_url");
  };
  CHECK(described("postgresql://user:pa:ss@host:5432/db") == "postgresql://user:***@host:5432/db");
  CHECK(described("postgresql://user@host:5432/db") == "postgresql://user@host:5432/db");
  CHECK(described("postgresql://host/db?password=x&user=y") == "postgresql://host/db?password=***&user=y");
  CHECK(described("host=h password=x user=y") == "host=h password=*** user=y");
  CHECK(described("host=h password = 'x y' user=z").find("x y") == std::string::npos);
  const Run run = ParseWith({"--postgres_url=postgresql://user@host/db"});
  CHECK(run.values.database == "postgresql://user@host/db");
}

TEST_CASE("the parameters of TLS pass in a database's URL, and a key's passphrase is a password") {
  const std::string url =
      "postgresql://u@h:5432/d?sslmode=verify-full&sslrootcert=/tls/ca.crt&sslcert=/tls/tls.crt&sslkey=/tls/tls.key";
  const Run run = ParseWith({"--postgres_url=" + url});
  CHECK(run.result.kind == ParseResult::Kind::kRun);
  CHECK(run.values.database == url);
  CHECK(Described(run, "postgres_url") == url);
  CHECK(ParseWith({"--postgres_url=" + url + "&sslpassword=x"}).result.kind == ParseResult::Kind::kErrors);
  CHECK(Described(ParseWith({}, {{"STOCKALERT_POSTGRES_URL", url + "&sslpassword=x"}}), "postgres_url") ==
        url + "&sslpassword=***");
}

TEST_CASE("a setting alone is read whatever else is missing or wrong") {
  const std::vector<std::string> only = {"public_address"};
  const Run run = ParseWith({"--quota=0", "--threads=1", "--nothing", "--public_address=127.0.0.1:7"},
                            {{"STOCKALERT_DEMO", "perhaps"}}, only);
  CHECK(run.result.kind == ParseResult::Kind::kRun);
  CHECK(run.values.public_address == "127.0.0.1:7");
  CHECK(ParseWith({}, {{"STOCKALERT_PUBLIC_ADDRESS", "[::]:8"}}, only).values.public_address == "[::]:8");
  CHECK(ParseWith({"--public_address=here", "--quota=0"}, {}, only).result.errors.size() == 1);
}

TEST_CASE("--help and --version show their texts") {
  const Run help = ParseWith({"--help"});
  CHECK(help.result.kind == ParseResult::Kind::kShow);
  CHECK(help.result.text.find("--public_address") != std::string::npos);
  CHECK(help.result.text.find("STOCKALERT_PUBLIC_ADDRESS") != std::string::npos);
  CHECK(help.result.text.find("--mesh_token_file") != std::string::npos);
  const Run version = ParseWith({"--version"});
  CHECK(version.result.kind == ParseResult::Kind::kShow);
  CHECK(version.result.text == "stockalert-test 1.2.3\n");
}

// One setting that had another name, of the kinds that are read differently.
struct Renamed {
  int queue_max = 7;
  std::string secret;
  ParseResult result;

  Renamed(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& environment) {
    Parser parser("program", "What it is", "1");
    parser.AddInteger("queue_max", &queue_max, 1, 100, "calls that may wait");
    parser.AddSecret("word", &secret, kOptional, "a secret");
    parser.AddOldName("queue", "queue_max");
    parser.AddOldName("pass", "word");
    std::vector<const char*> argv = {"program"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    result = parser.Parse(static_cast<int>(argv.size()), argv.data(), [&](const std::string& name) {
      const auto found = environment.find(name);
      return found == environment.end() ? std::nullopt : std::optional<std::string>(found->second);
    });
  }
};

TEST_CASE("an old name is accepted, by flag and environment, with a warning that names the new one") {
  const TemporaryFile file("hidden");
  const Renamed by_flag({"--queue=3", "--pass_file=" + file.path()}, {});
  REQUIRE(by_flag.result.errors == std::vector<std::string>{});
  CHECK(by_flag.queue_max == 3);
  CHECK(by_flag.secret == "hidden");
  REQUIRE(by_flag.result.warnings.size() == 2);
  CHECK(by_flag.result.warnings[0] == "--queue is now called --queue_max; the next version knows no other name");

  const Renamed by_variable({}, {{"STOCKALERT_QUEUE", "4"}});
  CHECK(by_variable.queue_max == 4);
  REQUIRE(by_variable.result.warnings.size() == 1);
  CHECK(by_variable.result.warnings[0] ==
        "STOCKALERT_QUEUE is now called STOCKALERT_QUEUE_MAX; the next version knows no other name");
}

TEST_CASE("the new name wins over an old one in the environment, and a flag over both") {
  const std::map<std::string, std::string> both = {{"STOCKALERT_QUEUE", "4"}, {"STOCKALERT_QUEUE_MAX", "5"}};
  CHECK(Renamed({}, both).queue_max == 5);
  CHECK(Renamed({}, both).result.warnings.empty());
  CHECK(Renamed({"--queue_max=6"}, both).queue_max == 6);
  CHECK(Renamed({"--queue=6"}, both).queue_max == 6);
}

TEST_CASE("old names are in no help, are held to the same rules, and not given beside the new ones") {
  const std::string help = Renamed({"--help"}, {}).result.text;
  CHECK(help.find("--queue_max") != std::string::npos);
  CHECK(help.find("--queue ") == std::string::npos);
  CHECK(help.find("--pass") == std::string::npos);
  const auto refused = [](const std::vector<std::string>& arguments,
                          const std::map<std::string, std::string>& variables) {
    const Renamed run(arguments, variables);
    return run.result.errors.size() == 1 ? run.result.errors.front() : "none, or several";
  };
  CHECK(refused({"--queue=0"}, {}) == "--queue must be a whole number from 1 to 100, not \"0\"");
  CHECK(refused({}, {{"STOCKALERT_QUEUE", "x"}}).find("STOCKALERT_QUEUE must be") == 0);
  CHECK(refused({"--queue=3", "--queue_max=3"}, {}) == "--queue_max must be given once only: --queue is its old name");
}

}  // namespace
}  // namespace stockalert::config
