#include "services/client/settings.h"

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

constexpr const char* kNames[] = {"user_address", "ticker_address", "alert_address", "notifier_address", "api_key",
                                  "ca_file",      "plaintext"};

std::string* FieldOf(Settings& settings, const std::string& name) {
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

}  // namespace

std::string SettingsPath(const Environment& environment) {
  if (const auto path = environment("STOCKALERT_CONFIG"); path && !path->empty()) return *path;
  if (const auto base = environment("XDG_CONFIG_HOME"); base && !base->empty()) return *base + "/stockalert/config";
  if (const auto home = environment("HOME"); home && !home->empty()) return *home + "/.config/stockalert/config";
  return "";
}

absl::StatusOr<std::map<std::string, std::string>> ReadSettingsFile(const std::string& path) {
  std::map<std::string, std::string> values;
  struct stat info{};
  if (path.empty() || stat(path.c_str(), &info) != 0) return values;
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(path, " holds a key and may be read by others: chmod 600 ", path));
  }
  std::ifstream in(path);
  if (!in) return absl::PermissionDeniedError(absl::StrCat(path, " cannot be read"));
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    line = Trim(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    const size_t equals = line.find('=');
    const std::string name = Trim(line.substr(0, equals));
    Settings probe;
    if (equals == std::string::npos || FieldOf(probe, name) == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ", line ", number,
                       ": must be name = value, the names being user_address, ticker_address, alert_address, "
                       "notifier_address, api_key, ca_file, plaintext"));
    }
    values[name] = Trim(line.substr(equals + 1));
  }
  return values;
}

absl::StatusOr<Settings> ResolveSettings(const std::map<std::string, std::string>& given,
                                         const Environment& environment) {
  STOCKALERT_ASSIGN_OR_RETURN(const auto file, ReadSettingsFile(SettingsPath(environment)));
  Settings settings;
  for (const std::string name : kNames) {
    std::string& field = *FieldOf(settings, name);
    const std::optional<std::string> from_environment = environment("STOCKALERT_" + absl::AsciiStrToUpper(name));
    if (const auto flag = given.find(name); flag != given.end() && !flag->second.empty()) {
      field = flag->second;
    } else if (from_environment && !from_environment->empty()) {
      field = *from_environment;
    } else if (const auto line = file.find(name); line != file.end() && !line->second.empty()) {
      field = line->second;
    }
    if (name == "ca_file") continue;
    if (name == "plaintext") {
      if (!field.empty() && field != "true" && field != "false") {
        return absl::InvalidArgumentError("plaintext must be true or false");
      }
    } else if (name != "api_key") {
      if (const auto address = config::ParseAddress(field); !address.ok()) {
        return absl::InvalidArgumentError(absl::StrCat(name, " ", address.status().message()));
      }
    } else if (field.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~+/=") !=
               std::string::npos) {
      // gRPC ends the process on metadata that it cannot send.
      return absl::InvalidArgumentError(
          "the API key holds characters that no key has: see --api_key, STOCKALERT_API_KEY and the settings file");
    }
  }
  if (settings.plaintext == "true" && !settings.ca_file.empty()) {
    return absl::InvalidArgumentError("plaintext and ca_file exclude each other: leave out the one that is not meant");
  }
  return settings;
}

bool SpeaksTls(const Settings& settings, const std::string& address) {
  if (!settings.plaintext.empty()) return settings.plaintext == "false";
  if (!settings.ca_file.empty()) return true;
  const absl::StatusOr<config::Address> parsed = config::ParseAddress(address);
  if (!parsed.ok() || parsed->host == "localhost" || parsed->host == "::1") return !parsed.ok();
  in_addr ip{};
  return inet_pton(AF_INET, parsed->host.c_str(), &ip) != 1 || (ntohl(ip.s_addr) >> 24) != 127;
}

absl::Status SaveKey(const std::string& path, const std::string& api_key) {
  if (path.empty())
    return absl::FailedPreconditionError("there is no place for the key: set HOME or STOCKALERT_CONFIG");
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && !std::filesystem::exists(folder)) {
    std::filesystem::create_directories(folder, error);
    if (error) return absl::PermissionDeniedError(absl::StrCat(folder.string(), " cannot be made: ", error.message()));
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  }
  std::ostringstream text;
  {
    std::ifstream in(path);
    std::string line;
    while (std::getline(in, line)) {
      if (Trim(line.substr(0, line.find('='))) != "api_key") text << line << '\n';
    }
  }
  text << "api_key = " << api_key << '\n';
  // Beside the file and then in its place: never half written, never readable by others for a moment.
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  const int file = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (file < 0) return absl::PermissionDeniedError(absl::StrCat(fresh, " cannot be written: ", std::strerror(errno)));
  const std::string contents = text.str();
  const bool written =
      ::write(file, contents.data(), contents.size()) == static_cast<ssize_t>(contents.size()) && ::fsync(file) == 0;
  ::close(file);
  if (!written || std::rename(fresh.c_str(), path.c_str()) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(path, " cannot be written: ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace stockalert::client
