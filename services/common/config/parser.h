// A program's configuration: flags (CLI11) with environment twins, typed, ranged, validated as a whole.
//
//   struct Config { std::string public_address = "127.0.0.1:50051"; std::string mesh_token; int64_t threads = 4; };
//   void Declare(config::Parser& parser, Config& config) {
//     parser.AddListenAddress("public_address", &config.public_address, "where clients connect");
//     parser.AddSecret("mesh_token", &config.mesh_token, config::kRequired, "what the services show each other");
//     parser.AddInteger("threads", &config.threads, 1, 64, "threads for blocking work");
//   }
//
// A flag --x wins over the environment's STOCKALERT_X, which wins over the value that the variable has when it is
// declared. An empty environment variable counts as absent. Every error is collected. Secrets come by --x_file or the
// environment, never by a flag. Not thread-safe; declared variables must outlive Parse.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace stockalert::config {

enum Presence { kOptional, kRequired };

// Reads a variable of the environment; none where it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment SystemEnvironment();

struct ParseResult {
  enum class Kind { kRun, kShow, kErrors };
  Kind kind = Kind::kRun;
  std::string text;                        // kShow: the help or the version.
  std::vector<std::string> errors;         // kErrors: each names its flag and says what to do.
  std::vector<std::string> warnings = {};  // Old names that were used; for the log.
};

class Parser {
 public:
  Parser(std::string program, std::string description, std::string version);

  // kRequired: must not be empty in the end. `env` is read besides STOCKALERT_X, after it ("FINNHUB_REST_URL").
  void AddString(const std::string& name, std::string* value, Presence presence, const std::string& help,
                 const std::string& env = "");
  void AddBoolean(const std::string& name, bool* value, const std::string& help);
  void AddInteger(const std::string& name, int64_t* value, int64_t min, int64_t max, const std::string& help);
  void AddInteger(const std::string& name, int* value, int min, int max, const std::string& help);
  void AddReal(const std::string& name, double* value, double min, double max, const std::string& help);
  void AddChoice(const std::string& name, std::string* value, const std::vector<std::string>& choices,
                 const std::string& help);
  // "host:port"; a listening one may have port 0.
  void AddListenAddress(const std::string& name, std::string* value, const std::string& help);
  void AddDialAddress(const std::string& name, std::string* value, Presence presence, const std::string& help);
  // "host:port,host:port".
  void AddAddressList(const std::string& name, std::string* value, Presence presence, const std::string& help);
  // Whole numbers; the unit stands in the flag's name: the names must end in _ms and _s.
  void AddMilliseconds(const std::string& name, absl::Duration* value, absl::Duration min, absl::Duration max,
                       const std::string& help);
  void AddSeconds(const std::string& name, absl::Duration* value, absl::Duration min, absl::Duration max,
                  const std::string& help);
  // Flag --NAME_file, or the environment's STOCKALERT_NAME (or `env`) with the secret itself. White space around it is
  // cut off.
  void AddSecret(const std::string& name, std::string* value, Presence presence, const std::string& help,
                 const std::string& env = "");
  // A URL or keyword string that may hold a password: --NAME (refused with a password in it), --NAME_file or the
  // environment.
  void AddDatabaseUrl(const std::string& name, std::string* value, Presence presence, const std::string& help);

  // `old` is the former name of the declared setting `name`: accepted for one more version, as a flag and in the
  // environment, with a warning. The help does not show it.
  void AddOldName(const std::string& old, const std::string& name);

  // Called once all values are read without an error: returns what is wrong, or nothing. For rules between settings.
  void AddRule(std::function<std::optional<std::string>()> rule);

  ParseResult Parse(int argc, const char* const* argv, const Environment& environment = SystemEnvironment());
  // Parses only these settings; whatever else is given, missing or wrong is ignored. For reading another program's
  // configuration.
  ParseResult ParseOnly(const std::vector<std::string>& names, int argc, const char* const* argv,
                        const Environment& environment = SystemEnvironment());

  // After Parse: every name and value, "(set)" or "(not set)" for secrets, passwords in URLs blotted out.
  std::vector<std::pair<std::string, std::string>> Describe() const;

 private:
  struct Setting {
    std::string name;
    std::vector<std::string> old_names;
    std::string help;
    std::string env;          // A second variable; may be empty.
    bool by_flag = true;      // --name
    bool by_file = false;     // --name_file
    bool takes_value = true;  // False: --name alone means true.
    bool password_refused = false;
    // Stores the value, or returns what is wrong with the text ("must be a whole number from 1 to 64").
    std::function<std::optional<std::string>(const std::string& text)> take;
    // What is wrong after all settings are read, whether given or not: "is required".
    std::function<std::optional<std::string>()> check;
    std::function<std::string()> describe;
  };
  Setting& AddSetting(const std::string& name, const std::string& help);
  // The text given for a setting, and where: "--threads", "STOCKALERT_THREADS".
  struct Found {
    std::string text;
    std::string source;
  };
  struct CommandLine;
  // Splits the command line; the result is kShow where only a text is asked for.
  ParseResult Split(CommandLine& line, int argc, const char* const* argv) const;
  // None where the setting is not given, or given wrongly: then `result` has the error.
  static std::optional<Found> Find(const Setting& setting, const CommandLine& line, const Environment& environment,
                                   ParseResult& result);
  static std::optional<Found> FindByFlag(const Setting& setting, const CommandLine& line, const std::string& flag,
                                         ParseResult& result);
  static void ApplyFound(Setting& setting, const std::optional<Found>& found, ParseResult& result);
  // All settings where `only` is null.
  ParseResult ParseSome(const std::vector<std::string>* only, int argc, const char* const* argv,
                        const Environment& environment);

  const std::string program_;
  const std::string description_;
  const std::string version_;
  std::vector<Setting> settings_;
  std::vector<std::function<std::optional<std::string>()>> rules_;
};

}  // namespace stockalert::config
