// Where the mesh is and who calls: from flags, the environment, or the file ~/.config/stockalert/config, in this order.
//
// The file has lines `name = value` (user_address, ticker_address, alert_address, notifier_address, api_key, ca_file,
// plaintext); '#' begins a comment. It holds a key, so a file that others may read is refused. Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stockalert::client {

using Environment = std::function<std::optional<std::string>(const std::string& name)>;

struct Settings {
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
bool SpeaksTls(const Settings& settings, const std::string& address);

// $STOCKALERT_CONFIG, else below $XDG_CONFIG_HOME or $HOME; empty where there is none of them.
std::string SettingsPath(const Environment& environment);

// The file's lines; none where there is no file. PERMISSION_DENIED: others may read it. INVALID_ARGUMENT names the
// line.
absl::StatusOr<std::map<std::string, std::string>> ReadSettingsFile(const std::string& path);

// Fills in what `given` (the flags) leaves out. INVALID_ARGUMENT: something is no address, say.
absl::StatusOr<Settings> ResolveSettings(const std::map<std::string, std::string>& given,
                                         const Environment& environment);

// Puts the key into the file, which is made readable by its owner alone; the other lines stay.
absl::Status SaveKey(const std::string& path, const std::string& api_key);

}  // namespace stockalert::client
