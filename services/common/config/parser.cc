#include "services/common/config/parser.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/base/abseil.h"
#include "services/common/config/address.h"

namespace stockalert::config {
namespace {

constexpr size_t kSecretFileBytesMax = 65'536;

std::string EnvName(const std::string& name) {
  std::string env = "STOCKALERT_";
  for (const char c : name) env.push_back(c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
  return env;
}

std::string Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(kSpace) - begin + 1));
}

template <typename T>
std::optional<T> ParseNumber(const std::string& text) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string RealText(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

// Where the password of a URL (postgresql://user:password@host/db?password=x) or keyword string (password=x) stands.
std::vector<std::pair<size_t, size_t>> PasswordPlaces(const std::string& url) {
  std::vector<std::pair<size_t, size_t>> places;
  const size_t scheme = url.find("://");
  if (scheme != std::string::npos) {
    const size_t begin = scheme + 3;
    const size_t at = url.rfind('@', url.find_first_of("/?", begin));
    const size_t colon = url.find(':', begin);
    if (at != std::string::npos && at >= begin && colon != std::string::npos && colon < at)
      places.push_back({colon + 1, at - colon - 1});
  }
  for (size_t place = url.find("password"); place != std::string::npos; place = url.find("password", place + 1)) {
    size_t equals = url.find_first_not_of(' ', place + 8);
    if (equals == std::string::npos || url[equals] != '=') continue;
    const size_t begin = url.find_first_not_of(' ', equals + 1);
    if (begin == std::string::npos) break;
    const size_t end = url[begin] == '\'' ? url.find('\'', begin + 1) : url.find_first_of(" &", begin);
    places.push_back({begin, (end == std::string::npos ? url.size() : end) - begin});
  }
  std::sort(places.begin(), places.end());
  return places;
}

std::string Blot(std::string url) {
  const auto places = PasswordPlaces(url);
  for (auto place = places.rbegin(); place != places.rend(); ++place) url.replace(place->first, place->second, "***");
  return url;
}

}  // namespace

Environment SystemEnvironment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

Parser::Parser(std::string program, std::string description, std::string version)
    : program_(std::move(program)), description_(std::move(description)), version_(std::move(version)) {}

Parser::Setting& Parser::AddSetting(const std::string& name, const std::string& help) {
  settings_.emplace_back();
  settings_.back().name = name;
  settings_.back().help = help;
  return settings_.back();
}

void Parser::AddString(const std::string& name, std::string* value, Presence presence, const std::string& help,
                       const std::string& env) {
  Setting& setting = AddSetting(name, help);
  setting.env = env;
  setting.take = [value](const std::string& text) -> std::optional<std::string> {
    *value = text;
    return std::nullopt;
  };
  if (presence == kRequired) {
    setting.check = [value]() -> std::optional<std::string> {
      return value->empty() ? std::optional<std::string>("is required") : std::nullopt;
    };
  }
  setting.describe = [value] { return *value; };
}

void Parser::AddBoolean(const std::string& name, bool* value, const std::string& help) {
  Setting& setting = AddSetting(name, help);
  setting.takes_value = false;
  setting.take = [value](const std::string& text) -> std::optional<std::string> {
    if (text == "true" || text == "1") {
      *value = true;
    } else if (text == "false" || text == "0") {
      *value = false;
    } else {
      return "must be true or false";
    }
    return std::nullopt;
  };
  setting.describe = [value] { return *value ? "true" : "false"; };
}

void Parser::AddInteger(const std::string& name, int64_t* value, int64_t min, int64_t max, const std::string& help) {
  Setting& setting = AddSetting(name, help);
  setting.take = [value, min, max](const std::string& text) -> std::optional<std::string> {
    const std::optional<int64_t> number = ParseNumber<int64_t>(text);
    if (!number || *number < min || *number > max) {
      return "must be a whole number from " + std::to_string(min) + " to " + std::to_string(max);
    }
    *value = *number;
    return std::nullopt;
  };
  setting.describe = [value] { return std::to_string(*value); };
}

void Parser::AddInteger(const std::string& name, int* value, int min, int max, const std::string& help) {
  Setting& setting = AddSetting(name, help);
  setting.take = [value, min, max](const std::string& text) -> std::optional<std::string> {
    const std::optional<int> number = ParseNumber<int>(text);
    if (!number || *number < min || *number > max) {
      return "must be a whole number from " + std::to_string(min) + " to " + std::to_string(max);
    }
    *value = *number;
    return std::nullopt;
  };
  setting.describe = [value] { return std::to_string(*value); };
}

void Parser::AddReal(const std::string& name, double* value, double min, double max, const std::string& help) {
  Setting& setting = AddSetting(name, help);
  setting.take = [value, min, max](const std::string& text) -> std::optional<std::string> {
    const std::optional<double> number = ParseNumber<double>(text);
    if (!number || !std::isfinite(*number) || *number < min || *number > max) {
      return "must be a number from " + RealText(min) + " to " + RealText(max);
    }
    *value = *number;
    return std::nullopt;
  };
  setting.describe = [value] { return RealText(*value); };
}

void Parser::AddChoice(const std::string& name, std::string* value, const std::vector<std::string>& choices,
                       const std::string& help) {
  std::string list;
  for (const std::string& choice : choices) list += (list.empty() ? "" : ", ") + choice;
  Setting& setting = AddSetting(name, help + " (" + list + ")");
  setting.take = [value, choices, list](const std::string& text) -> std::optional<std::string> {
    if (std::find(choices.begin(), choices.end(), text) == choices.end()) return "must be one of " + list;
    *value = text;
    return std::nullopt;
  };
  setting.check = [value, choices, list]() -> std::optional<std::string> {
    if (std::find(choices.begin(), choices.end(), *value) == choices.end()) return "is required: one of " + list;
    return std::nullopt;
  };
  setting.describe = [value] { return *value; };
}

void Parser::AddListenAddress(const std::string& name, std::string* value, const std::string& help) {
  AddString(name, value, kRequired, help);
  settings_.back().take = [value](const std::string& text) -> std::optional<std::string> {
    const absl::StatusOr<Address> address = ParseAddress(text);
    if (!address.ok()) return std::string(base::ToStd(address.status().message()));
    *value = text;
    return std::nullopt;
  };
}

void Parser::AddDialAddress(const std::string& name, std::string* value, Presence presence, const std::string& help) {
  AddString(name, value, presence, help);
  settings_.back().take = [value](const std::string& text) -> std::optional<std::string> {
    const absl::StatusOr<Address> address = ParseAddress(text);
    if (!address.ok()) return std::string(base::ToStd(address.status().message()));
    if (address->port == 0) return "must have a port above 0";
    *value = text;
    return std::nullopt;
  };
}

void Parser::AddAddressList(const std::string& name, std::string* value, Presence presence, const std::string& help) {
  AddString(name, value, presence, help);
  settings_.back().take = [value](const std::string& text) -> std::optional<std::string> {
    for (const std::string& part : std::vector<std::string>(absl::StrSplit(base::ToAbsl(text), ','))) {
      const absl::StatusOr<Address> address = ParseAddress(part);
      if (!address.ok()) return "\"" + part + "\" " + std::string(base::ToStd(address.status().message()));
      if (address->port == 0) return "\"" + part + "\" must have a port above 0";
    }
    *value = text;
    return std::nullopt;
  };
}

void Parser::AddMilliseconds(const std::string& name, absl::Duration* value, absl::Duration min, absl::Duration max,
                             const std::string& help) {
  const int64_t min_ms = absl::ToInt64Milliseconds(min);
  const int64_t max_ms = absl::ToInt64Milliseconds(max);
  Setting& setting = AddSetting(name, help);
  setting.take = [value, min_ms, max_ms](const std::string& text) -> std::optional<std::string> {
    const std::optional<int64_t> number = ParseNumber<int64_t>(text);
    if (!number || *number < min_ms || *number > max_ms) {
      return "must be whole milliseconds from " + std::to_string(min_ms) + " to " + std::to_string(max_ms);
    }
    *value = absl::Milliseconds(*number);
    return std::nullopt;
  };
  setting.describe = [value] { return std::to_string(absl::ToInt64Milliseconds(*value)); };
}

void Parser::AddSeconds(const std::string& name, absl::Duration* value, absl::Duration min, absl::Duration max,
                        const std::string& help) {
  const int64_t min_s = absl::ToInt64Seconds(min);
  const int64_t max_s = absl::ToInt64Seconds(max);
  Setting& setting = AddSetting(name, help);
  setting.take = [value, min_s, max_s](const std::string& text) -> std::optional<std::string> {
    const std::optional<int64_t> number = ParseNumber<int64_t>(text);
    if (!number || *number < min_s || *number > max_s) {
      return "must be whole seconds from " + std::to_string(min_s) + " to " + std::to_string(max_s);
    }
    *value = absl::Seconds(*number);
    return std::nullopt;
  };
  setting.describe = [value] { return std::to_string(absl::ToInt64Seconds(*value)); };
}

void Parser::AddSecret(const std::string& name, std::string* value, Presence presence, const std::string& help,
                       const std::string& env) {
  AddString(name, value, presence, help, env);
  Setting& setting = settings_.back();
  setting.by_flag = false;
  setting.by_file = true;
  setting.take = [value](const std::string& text) -> std::optional<std::string> {
    *value = Trim(text);
    return std::nullopt;
  };
  setting.describe = [value] { return value->empty() ? "(not set)" : "(set)"; };
}

void Parser::AddDatabaseUrl(const std::string& name, std::string* value, Presence presence, const std::string& help) {
  AddString(name, value, presence, help);
  Setting& setting = settings_.back();
  setting.by_file = true;
  setting.password_refused = true;
  setting.take = [value](const std::string& text) -> std::optional<std::string> {
    *value = Trim(text);
    return std::nullopt;
  };
  setting.describe = [value] { return Blot(*value); };
}

void Parser::AddOldName(const std::string& old, const std::string& name) {
  const auto found =
      std::find_if(settings_.begin(), settings_.end(), [&](const Setting& one) { return one.name == name; });
  if (found == settings_.end()) {
    std::fprintf(stderr, "--%s is to be the old name of --%s, which is not declared\n", old.c_str(), name.c_str());
    std::abort();
  }
  found->old_names.push_back(old);
}

void Parser::AddRule(std::function<std::optional<std::string>()> rule) { rules_.push_back(std::move(rule)); }

ParseResult Parser::Parse(int argc, const char* const* argv, const Environment& environment) {
  return ParseSome(nullptr, argc, argv, environment);
}

ParseResult Parser::ParseOnly(const std::vector<std::string>& names, int argc, const char* const* argv,
                              const Environment& environment) {
  return ParseSome(&names, argc, argv, environment);
}

// CLI11 splits the command line and writes the help; values are taken over one by one, for it stops at the first error.
struct Parser::CommandLine {
  CLI::App app;
  std::map<std::string, std::vector<std::string>> given;

  void Add(const std::string& flag, const std::string& help, bool takes_value, bool hidden) {
    auto* option = app.add_option(flag, given[flag], help)->expected(0, 1);
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->type_name(takes_value ? "VALUE" : "[BOOLEAN]");
    if (hidden) option->group("");
  }
  void Add(const Setting& setting) {
    const std::string twin = " [" + EnvName(setting.name) + (setting.env.empty() ? "" : ", " + setting.env) + "]";
    const std::string by_default =
        setting.by_flag && !setting.describe().empty() ? " (default: " + setting.describe() + ")" : "";
    const std::string help = absl::StrCat(setting.help, by_default, twin);
    const std::string file_help =
        setting.by_flag ? "a file with the value of --" + setting.name : setting.help + ", in a file" + twin;
    if (setting.by_flag) Add("--" + setting.name, help, setting.takes_value, false);
    if (setting.by_file) Add("--" + setting.name + "_file", file_help, true, false);
    for (const std::string& old : setting.old_names) {
      if (setting.by_flag) Add("--" + old, "", setting.takes_value, true);
      if (setting.by_file) Add("--" + old + "_file", "", true, true);
    }
  }
  size_t Count(const std::string& flag) const {
    const auto* option = app.get_option_no_throw(flag);
    return option == nullptr ? 0 : option->count();
  }
  // An option without a value comes back as one empty text.
  std::string ValueOf(const std::string& flag) const {
    const auto found = given.find(flag);
    return found == given.end() || found->second.empty() ? "" : found->second.front();
  }
};

ParseResult Parser::Split(CommandLine& line, int argc, const char* const* argv) const {
  line.app.set_version_flag("--version", program_ + " " + version_);
  line.app.allow_extras();
  for (const Setting& setting : settings_) line.Add(setting);
  ParseResult result;
  try {
    line.app.parse(argc, const_cast<char**>(argv));
  } catch (const CLI::CallForHelp&) {
    return {ParseResult::Kind::kShow, line.app.help(), {}};
  } catch (const CLI::CallForVersion&) {
    return {ParseResult::Kind::kShow, program_ + " " + version_ + "\n", {}};
  } catch (const CLI::ParseError& error) {
    result.errors.push_back(error.what());
  }
  return result;
}

std::optional<Parser::Found> Parser::FindByFlag(const Setting& setting, const CommandLine& line,
                                                const std::string& flag, ParseResult& result) {
  std::string text = line.ValueOf(flag);
  const std::string file_flag = flag + "_file";
  if (setting.by_flag && line.Count(flag) == 1) {
    if (text.empty() && setting.takes_value) {
      result.errors.push_back(flag + " needs a value");
      return std::nullopt;
    }
    if (text.empty()) text = "true";
    if (setting.password_refused && !PasswordPlaces(text).empty()) {
      result.errors.push_back(absl::StrCat(flag,
                                           " holds a password, which every user of the machine could read: give it by ",
                                           file_flag, " or ", EnvName(setting.name)));
      return std::nullopt;
    }
    return Found{text, flag};
  }
  const std::string path = line.ValueOf(file_flag);
  std::ifstream file(path, std::ios::binary);
  std::string content(kSecretFileBytesMax + 1, '\0');
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  if (path.empty() || (content.empty() && !file.is_open())) {
    result.errors.push_back(absl::StrCat(file_flag, " names a file that cannot be read: \"", path, "\""));
    return std::nullopt;
  }
  if (content.size() > kSecretFileBytesMax || Trim(content).empty()) {
    result.errors.push_back(absl::StrCat(file_flag, " names a file that is empty or too large: \"", path, "\""));
    return std::nullopt;
  }
  return Found{content, file_flag};
}

std::optional<Parser::Found> Parser::Find(const Setting& setting, const CommandLine& line,
                                          const Environment& environment, ParseResult& result) {
  std::vector<std::string> names = {setting.name};
  names.insert(names.end(), setting.old_names.begin(), setting.old_names.end());
  const auto warn = [&](const std::string& old, const std::string& name) {
    result.warnings.push_back(old + " is now called " + name + "; the next version knows no other name");
  };
  size_t count = 0;
  std::string flag;
  for (const std::string& name : names) {
    const size_t here = line.Count("--" + name) + line.Count("--" + name + "_file");
    if (here > 0) flag = "--" + name;
    count += here;
  }
  if (count > 1) {
    const std::string own = "--" + setting.name;
    result.errors.push_back(absl::StrCat(own, setting.by_file ? " and " + own + "_file" : "",
                                         " must be given once only",
                                         flag == own ? "" : ": " + flag + " is its old name"));
    return std::nullopt;
  }
  if (count == 1) {
    std::optional<Found> found = FindByFlag(setting, line, flag, result);
    if (found && flag != "--" + setting.name) warn(flag, "--" + setting.name);
    return found;
  }
  std::vector<std::string> variables = {EnvName(setting.name), setting.env};
  for (const std::string& old : setting.old_names) variables.push_back(EnvName(old));
  for (size_t i = 0; i < variables.size(); ++i) {
    const std::optional<std::string> value = variables[i].empty() ? std::nullopt : environment(variables[i]);
    if (!value || value->empty()) continue;
    if (i >= 2) warn(variables[i], EnvName(setting.name));
    return Found{*value, variables[i]};
  }
  return std::nullopt;
}

void Parser::ApplyFound(Setting& setting, const std::optional<Found>& found, ParseResult& result) {
  if (found) {
    if (const std::optional<std::string> wrong = setting.take(found->text)) {
      result.errors.push_back(found->source + " " + *wrong + (setting.by_file ? "" : ", not \"" + found->text + "\""));
      return;
    }
  }
  if (!setting.check) return;
  if (const std::optional<std::string> wrong = setting.check()) {
    result.errors.push_back("--" + setting.name + (setting.by_flag ? "" : "_file") + " (or " + EnvName(setting.name) +
                            ") " + *wrong);
  }
}

ParseResult Parser::ParseSome(const std::vector<std::string>* only, int argc, const char* const* argv,
                              const Environment& environment) {
  CommandLine line{.app = CLI::App(description_, program_), .given = {}};
  ParseResult result = Split(line, argc, argv);
  if (result.kind == ParseResult::Kind::kShow) return result;
  for (const std::string& extra : only == nullptr ? line.app.remaining() : std::vector<std::string>())
    result.errors.push_back(extra + " is no flag of " + program_ + ": see --help");
  for (Setting& setting : settings_) {
    if (only != nullptr && std::find(only->begin(), only->end(), setting.name) == only->end()) continue;
    const size_t errors = result.errors.size();
    const std::optional<Found> found = Find(setting, line, environment, result);
    if (result.errors.size() == errors) ApplyFound(setting, found, result);
  }
  if (result.errors.empty() && only == nullptr) {
    for (const auto& rule : rules_) {
      if (std::optional<std::string> wrong = rule()) result.errors.push_back(*std::move(wrong));
    }
  }
  if (!result.errors.empty()) result.kind = ParseResult::Kind::kErrors;
  return result;
}

std::vector<std::pair<std::string, std::string>> Parser::Describe() const {
  std::vector<std::pair<std::string, std::string>> values;
  values.reserve(settings_.size());
  for (const Setting& setting : settings_) values.emplace_back(setting.name, setting.describe());
  return values;
}

}  // namespace stockalert::config
