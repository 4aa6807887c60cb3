#include "services/tools/client/settings.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/status_macros.h"
#include "services/common/config/address.h"

namespace stockalert::client {
namespace {

constexpr const char* kNames[] = {"user_address", "ticker_address", "alert_address", "notifier_address",
                                  "api_key",      "ca_file",        "plaintext"};

std::string* FieldOf(ClientSettings& settings, const std::string& name) {
  if (name == "user_address") return &settings.user_address;
  if (name == "ticker_address") return &settings.ticker_address;
  if (name == "alert_address") return &settings.alert_address;
  if (name == "notifier_address") return &settings.notifier_address;
  if (name == "api_key") return &settings.api_key;
  if (name == "ca_file") return &settings.ca_file;
  if (name == "plaintext") return &settings.plaintext;
  return nullptr;
}

std::string Trim(const std::string& text) { return std::string(absl::StripAsciiWhitespace(text)); }

// The profile that a line `[work]` begins.
std::optional<std::string> HeadingOf(const std::string& line) {
  if (line.size() < 2 || line.front() != '[' || line.back() != ']') return std::nullopt;
  return Trim(line.substr(1, line.size() - 2));
}

absl::Status CheckProfile(const std::string& profile) {
  if (profile.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") ==
      std::string::npos) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("a profile's name has letters, digits, '-', '_' and '.' alone");
}

absl::Status Check(const std::string& name, const std::string& value) {
  if (name == "ca_file") return absl::OkStatus();
  if (name == "api_key") return CheckKey(value);
  if (name == "plaintext") {
    if (value.empty() || value == "true" || value == "false") return absl::OkStatus();
    return absl::InvalidArgumentError("plaintext must be true or false");
  }
  const auto address = config::ParseAddress(value);
  if (address.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " ", address.status().message()));
}

// The lines of `in` with those values in that profile, in the place of its old ones.
std::string WithValues(std::istream& in, const std::string& profile, const std::map<std::string, std::string>& values) {
  // The profile's lines and, last, where they end: what follows belongs to others.
  std::ostringstream before, after;
  std::string line, present;
  bool found = profile.empty();
  while (std::getline(in, line)) {
    const std::string plain = Trim(line.substr(0, line.find('#')));
    const std::optional<std::string> heading = HeadingOf(plain);
    if (heading) present = *heading;
    if (heading && present == profile) found = true;
    const bool old = present == profile && !heading && values.count(Trim(plain.substr(0, plain.find('=')))) > 0;
    if (old) continue;
    // All after the profile's part goes behind it.
    (found && present != profile ? after : before) << line << '\n';
  }
  if (!found) before << '[' << profile << "]\n";
  for (const auto& [name, value] : values) before << name << " = " << value << '\n';
  return before.str() + after.str();
}

// Beside the file and then in its place: never half written, never readable by others for a moment.
absl::Status Replace(const std::string& path, const std::string& contents) {
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  const int file = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (file < 0) return absl::PermissionDeniedError(absl::StrCat(fresh, " cannot be written: ", std::strerror(errno)));
  const bool written =
      ::write(file, contents.data(), contents.size()) == static_cast<ssize_t>(contents.size()) && ::fsync(file) == 0;
  ::close(file);
  if (!written || std::rename(fresh.c_str(), path.c_str()) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(path, " cannot be written: ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace

std::string SettingsPath(const Environment& environment) {
  if (const auto path = environment("STOCKALERT_CONFIG"); path && !path->empty()) return *path;
  if (const auto base = environment("XDG_CONFIG_HOME"); base && !base->empty()) return *base + "/stockalert/config";
  if (const auto home = environment("HOME"); home && !home->empty()) return *home + "/.config/stockalert/config";
  return "";
}

absl::StatusOr<Profiles> ReadSettingsFile(const std::string& path) {
  Profiles profiles;
  struct stat info{};
  if (path.empty() || stat(path.c_str(), &info) != 0) return profiles;
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(path, " holds a key and may be read by others: chmod 600 ", path));
  }
  std::ifstream in(path);
  if (!in) return absl::PermissionDeniedError(absl::StrCat(path, " cannot be read"));
  std::string line, profile;
  for (int number = 1; std::getline(in, line); ++number) {
    line = Trim(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    if (const std::optional<std::string> begun = HeadingOf(line)) {
      profile = *begun;
      profiles[profile];
      continue;
    }
    const size_t equals = line.find('=');
    const std::string name = Trim(line.substr(0, equals));
    ClientSettings probe;
    if (equals == std::string::npos || FieldOf(probe, name) == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ", line ", number,
                       ": must be [profile] or name = value, the names being user_address, ticker_address, "
                       "alert_address, notifier_address, api_key, ca_file, plaintext"));
    }
    profiles[profile][name] = Trim(line.substr(equals + 1));
  }
  return profiles;
}

std::string ProfileOf(const std::map<std::string, std::string>& given, const Environment& environment) {
  if (const auto flag = given.find("profile"); flag != given.end() && !flag->second.empty()) return flag->second;
  return environment("STOCKALERT_PROFILE").value_or("");
}

absl::Status CheckKey(const std::string& api_key) {
  // gRPC ends the process on metadata that it cannot send.
  if (api_key.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~+/=") ==
      std::string::npos) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "the API key holds characters that no key has: see --api_key, STOCKALERT_API_KEY and the settings file");
}

absl::StatusOr<ClientSettings> ResolveSettings(const std::map<std::string, std::string>& given,
                                               const Environment& environment, bool may_be_new) {
  const std::string path = SettingsPath(environment);
  STOCKALERT_ASSIGN_OR_RETURN(Profiles profiles, ReadSettingsFile(path));
  const std::string profile = ProfileOf(given, environment);
  STOCKALERT_RETURN_IF_ERROR(CheckProfile(profile));
  if (!profile.empty() && !may_be_new && profiles.count(profile) == 0) {
    return absl::NotFoundError(absl::StrCat("there is no profile ", profile, " in ", path, ": `stockalert --profile ",
                                            profile, " login` makes it, with the flags that say where its mesh is"));
  }
  const std::map<std::string, std::string>& file = profiles[profile];
  const bool file_first = given.count("profile") > 0 && !given.at("profile").empty();
  ClientSettings settings;
  for (const std::string name : kNames) {
    const auto flag = given.find(name);
    const std::string from_flag = flag == given.end() ? "" : flag->second;
    const auto line = file.find(name);
    const std::string from_file = line == file.end() ? "" : line->second;
    const std::string from_environment = environment("STOCKALERT_" + absl::AsciiStrToUpper(name)).value_or("");
    for (const std::string& value :
         {from_flag, file_first ? from_file : from_environment, file_first ? from_environment : from_file}) {
      if (value.empty()) continue;
      *FieldOf(settings, name) = value;
      break;
    }
    STOCKALERT_RETURN_IF_ERROR(Check(name, *FieldOf(settings, name)));
  }
  if (settings.plaintext == "true" && !settings.ca_file.empty()) {
    return absl::InvalidArgumentError("plaintext and ca_file exclude each other: leave out the one that is not meant");
  }
  return settings;
}

bool SpeaksTls(const ClientSettings& settings, const std::string& address) {
  if (!settings.plaintext.empty()) return settings.plaintext == "false";
  if (!settings.ca_file.empty()) return true;
  const absl::StatusOr<config::Address> parsed = config::ParseAddress(address);
  if (!parsed.ok() || parsed->host == "localhost" || parsed->host == "::1") return !parsed.ok();
  in_addr ip{};
  return inet_pton(AF_INET, parsed->host.c_str(), &ip) != 1 || (ntohl(ip.s_addr) >> 24) != 127;
}

absl::Status SaveSettings(const std::string& path, const std::string& profile,
                          const std::map<std::string, std::string>& values) {
  if (path.empty())
    return absl::FailedPreconditionError("there is no place for the key: set HOME or STOCKALERT_CONFIG");
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && !std::filesystem::exists(folder)) {
    std::filesystem::create_directories(folder, error);
    if (error) return absl::PermissionDeniedError(absl::StrCat(folder.string(), " cannot be made: ", error.message()));
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  }
  std::ifstream in(path);
  return Replace(path, WithValues(in, profile, values));
}

}  // namespace stockalert::client
