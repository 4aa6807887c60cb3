#include "services/common/tls/settings.h"

#include <functional>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/common/base/abseil.h"
#include "services/common/base/status_macros.h"
#include "services/common/tls/files.h"

namespace stockalert::tls {
namespace {

constexpr char kPublicCert[] = "public_tls_cert_file";
constexpr char kPublicKey[] = "public_tls_key_file";
constexpr char kInternalCert[] = "internal_tls_cert_file";
constexpr char kInternalKey[] = "internal_tls_key_file";
constexpr char kInternalCa[] = "internal_tls_ca_file";

File Named(const char* flag, const std::string& path) { return {absl::StrCat("--", flag), path}; }

std::vector<File> FilesOf(const Settings& settings) {
  std::vector<File> files;
  if (settings.has_public_port) {
    files = {Named(kPublicCert, settings.public_cert_file), Named(kPublicKey, settings.public_key_file)};
  }
  files.push_back(Named(kInternalCert, settings.internal_cert_file));
  files.push_back(Named(kInternalKey, settings.internal_key_file));
  files.push_back(Named(kInternalCa, settings.internal_ca_file));
  return files;
}

absl::Status CheckMode(const Settings& settings) {
  std::vector<std::string> given;
  std::vector<std::string> missing;
  for (const File& file : FilesOf(settings)) (file.path.empty() ? missing : given).push_back(file.flag);
  if (settings.plaintext && !given.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--plaintext and ", absl::StrJoin(given, ", "),
                                                   " exclude each other: leave out the one that is not meant"));
  }
  if (!settings.plaintext && !missing.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("TLS needs ", absl::StrJoin(missing, ", "),
                     ": name the files, or say --plaintext to serve and call without TLS"));
  }
  return absl::OkStatus();
}

// Each is for settings that CheckMode found right.
absl::Status CheckPublic(const Settings& settings) {
  if (settings.plaintext || !settings.has_public_port) return absl::OkStatus();
  return CheckIdentity(Named(kPublicCert, settings.public_cert_file), Named(kPublicKey, settings.public_key_file),
                       Purpose::kServer)
      .status();
}

absl::Status CheckInternal(const Settings& settings) {
  if (settings.plaintext) return absl::OkStatus();
  return CheckIdentity(Named(kInternalCert, settings.internal_cert_file),
                       Named(kInternalKey, settings.internal_key_file), Purpose::kServerAndClient)
      .status();
}

absl::Status CheckAuthority(const Settings& settings) {
  if (settings.plaintext) return absl::OkStatus();
  const File authorities = Named(kInternalCa, settings.internal_ca_file);
  STOCKALERT_RETURN_IF_ERROR(CheckAuthorities(authorities).status());
  const File certificate = Named(kInternalCert, settings.internal_cert_file);
  // What is wrong with the certificate itself is said by CheckInternal.
  if (!CheckInternal(settings).ok()) return absl::OkStatus();
  return CheckIssuer(certificate, authorities);
}

}  // namespace

void Declare(config::Parser& parser, Settings& settings) {
  parser.AddBoolean("plaintext", &settings.plaintext,
                    "serve and call without TLS: on one machine, or where something else secures the network");
  if (settings.has_public_port) {
    parser.AddString(
        kPublicCert, &settings.public_cert_file, config::kOptional,
        "the public port's certificate chain in PEM, its own first; read again when it changes, as are the "
        "other TLS files");
    parser.AddString(kPublicKey, &settings.public_key_file, config::kOptional,
                     "the key of the public port's certificate, in PEM");
  }
  parser.AddString(kInternalCert, &settings.internal_cert_file, config::kOptional,
                   "the certificate chain of this service towards the others, as server and as client");
  parser.AddString(kInternalKey, &settings.internal_key_file, config::kOptional, "the key of that certificate");
  parser.AddString(kInternalCa, &settings.internal_ca_file, config::kOptional,
                   "the authorities that sign the services' certificates; whoever shows none of theirs is refused on "
                   "internal ports");
  const auto rule = [&parser, &settings](absl::Status (*check)(const Settings&), bool needs_mode) {
    parser.AddRule([&settings, check, needs_mode]() -> std::optional<std::string> {
      if (needs_mode && !CheckMode(settings).ok()) return std::nullopt;
      const absl::Status status = check(settings);
      if (status.ok()) return std::nullopt;
      return std::string(base::ToStd(status.message()));
    });
  };
  rule(CheckMode, false);
  rule(CheckPublic, true);
  rule(CheckInternal, true);
  rule(CheckAuthority, true);
}

absl::Status Check(const Settings& settings) {
  STOCKALERT_RETURN_IF_ERROR(CheckMode(settings));
  STOCKALERT_RETURN_IF_ERROR(CheckPublic(settings));
  STOCKALERT_RETURN_IF_ERROR(CheckInternal(settings));
  return CheckAuthority(settings);
}

}  // namespace stockalert::tls
