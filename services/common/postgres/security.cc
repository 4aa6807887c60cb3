#include "services/common/postgres/security.h"

#include <map>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "services/common/base/abseil.h"
#include "services/common/postgres/conninfo.h"
#include "services/common/tls/files.h"

namespace stockalert::postgres {
namespace {

std::string Text(const absl::Status& status) { return std::string(base::ToStd(status.message())); }

std::optional<std::string> Refuse(const std::string& url) {
  absl::StatusOr<std::map<std::string, std::string>> parsed = ParseConninfo(url);
  if (!parsed.ok()) return Text(parsed.status());
  std::map<std::string, std::string>& keywords = *parsed;
  const std::string mode = keywords["sslmode"];
  if (mode.empty() && !absl::StartsWith(keywords["host"], "/")) {
    return "--postgres_url does not say whether the connection is encrypted: add "
           "?sslmode=verify-full&sslrootcert=FILE, or sslmode=disable "
           "where something else secures the network";
  }
  if (mode == "allow" || mode == "prefer") {
    return "sslmode=" + mode + " in --postgres_url falls back to plaintext without a word: say verify-full, or disable";
  }
  if (mode == "disable") return std::nullopt;
  const tls::File authorities{"--postgres_url's sslrootcert", keywords["sslrootcert"]};
  if (!authorities.path.empty() && authorities.path != "system") {
    if (const absl::Status status = tls::CheckAuthorities(authorities).status(); !status.ok()) return Text(status);
  }
  const tls::File certificate{"--postgres_url's sslcert", keywords["sslcert"]};
  const tls::File key{"--postgres_url's sslkey", keywords["sslkey"]};
  if (!certificate.path.empty() && !key.path.empty()) {
    if (const absl::Status status = tls::CheckIdentity(certificate, key, tls::Purpose::kClient).status(); !status.ok())
      return Text(status);
  }
  return std::nullopt;
}

}  // namespace

void DeclareDatabase(config::Parser& parser, std::string& url) {
  parser.AddDatabaseUrl(
      "postgres_url", &url, config::kRequired,
      "the database of the mesh: "
      "postgresql://USER@HOST:PORT/DATABASE?sslmode=verify-full&sslrootcert=FILE, or sslmode=disable");
  parser.AddRule([&url]() { return Refuse(url); });
}

}  // namespace stockalert::postgres
