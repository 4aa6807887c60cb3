// Where the mesh is and who calls: from flags, the environment, or the file ~/.config/stockalert/config, in this order.
//
// The file has lines `name = value` (user_address, ticker_address, alert_address, notifier_address, api_key, ca_file,
// plaintext); '#' begins a comment. What follows a line `[work]` belongs to the profile `work`, what comes before any
// to none. A profile that a flag names wins over the environment, too: its key goes to its own servers. The file holds
// keys, so one that others may read is refused. Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stockalert::client {

using Environment = std::function<std::optional<std::string>(const std::string& name)>;

struct ClientSettings {
  std::string user_address = "127.0.0.1:50051";
  std::string ticker_address = "127.0.0.1:50052";
  std::string alert_address = "127.0.0.1:50053";
  std::string notifier_address = "127.0.0.1:50054";
  std::string api_key;
  // Whom to trust; empty: the system's authorities.
  std::string ca_file;
  // "true", "false", or nothing said.
  std::string plaintext;
};

// Whether TLS is spoken with an address: as `plaintext` says; where it says nothing, with all but loopback, and with
// loopback too where there is a ca_file.
bool SpeaksTls(const ClientSettings& settings, const std::string& address);

// $STOCKALERT_CONFIG, else below $XDG_CONFIG_HOME or $HOME; empty where there is none of them.
std::string SettingsPath(const Environment& environment);

// From a profile's name (empty: none) to its lines; none where there is no file. PERMISSION_DENIED: others may read it.
// INVALID_ARGUMENT names the line.
using Profiles = std::map<std::string, std::map<std::string, std::string>>;
absl::StatusOr<Profiles> ReadSettingsFile(const std::string& path);

// That of the flag --profile, else of STOCKALERT_PROFILE; empty: none.
std::string ProfileOf(const std::map<std::string, std::string>& given, const Environment& environment);

// Fills in what `given` (the flags) leaves out. INVALID_ARGUMENT: something is no address, say. NOT_FOUND: there is no
// such profile, unless `may_be_new`.
absl::StatusOr<ClientSettings> ResolveSettings(const std::map<std::string, std::string>& given,
                                               const Environment& environment, bool may_be_new = false);
// INVALID_ARGUMENT: no key looks so.
absl::Status CheckKey(const std::string& api_key);

// Puts lines into a profile of the file, which is made readable by its owner alone; the other lines stay.
absl::Status SaveSettings(const std::string& path, const std::string& profile,
                          const std::map<std::string, std::string>& values);

}  // namespace stockalert::client
