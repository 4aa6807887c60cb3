#include "services/common/kafka/security.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "services/common/base/abseil.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/tls/files.h"
#include "services/common/tls/watch.h"

namespace stockalert::kafka {
namespace {

constexpr absl::Duration kWatchInterval = absl::Seconds(5);
constexpr absl::Duration kLookInterval = absl::Seconds(2);

tls::File CaFile(const Security& security) { return {"--kafka_tls_ca_file", security.tls_ca_file}; }

absl::StatusOr<absl::Time> CheckIdentity(const Security& security) {
  return tls::CheckIdentity({"--kafka_tls_cert_file", security.tls_cert_file},
                            {"--kafka_tls_key_file", security.tls_key_file}, tls::Purpose::kClient);
}

absl::Status CheckFiles(const Security& security) {
  if (!security.tls_ca_file.empty()) STOCKALERT_RETURN_IF_ERROR(tls::CheckAuthorities(CaFile(security)).status());
  if (!security.tls_cert_file.empty()) STOCKALERT_RETURN_IF_ERROR(CheckIdentity(security).status());
  return absl::OkStatus();
}

std::vector<std::string> PathsOf(const Security& security) {
  std::vector<std::string> paths;
  if (!security.tls) return paths;
  for (const std::string& path : {security.tls_ca_file, security.tls_cert_file, security.tls_key_file}) {
    if (!path.empty()) paths.push_back(path);
  }
  return paths;
}

std::optional<std::string> Error(const absl::Status& status) {
  if (status.ok()) return std::nullopt;
  return std::string(base::ToStd(status.message()));
}

}  // namespace

void DeclareBroker(config::Parser& parser, std::string& bootstrap, Security& security) {
  parser.AddAddressList("kafka_bootstrap", &bootstrap, config::kRequired, "Kafka's brokers: HOST:PORT,HOST:PORT");
  parser.AddBoolean("kafka_tls", &security.tls,
                    "connect to Kafka with TLS, and require a certificate for the name that was dialled");
  parser.AddBoolean("kafka_plaintext", &security.plaintext,
                    "connect to Kafka without TLS: only where something else secures the network");
  parser.AddString("kafka_tls_ca_file", &security.tls_ca_file, config::kOptional,
                   "the authorities that sign the brokers' certificates, in PEM; without it the system's");
  parser.AddString("kafka_tls_cert_file", &security.tls_cert_file, config::kOptional,
                   "the client certificate chain for brokers that ask for one, in PEM");
  parser.AddString("kafka_tls_key_file", &security.tls_key_file, config::kOptional, "the key of that certificate");
  parser.AddString("kafka_sasl_mechanism", &security.sasl_mechanism, config::kOptional,
                   "how to log in to Kafka: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty: no login");
  parser.AddString("kafka_sasl_username", &security.sasl_username, config::kOptional, "who logs in to Kafka");
  parser.AddSecret("kafka_sasl_password", &security.sasl_password, config::kOptional, "the password of that user");
  parser.AddRule([&security]() -> std::optional<std::string> {
    if (security.tls && security.plaintext) return "--kafka_tls and --kafka_plaintext exclude each other: say one";
    if (!security.tls && !security.plaintext) {
      return "how to speak with Kafka is not said: --kafka_tls, or --kafka_plaintext where something else secures the "
             "network";
    }
    return std::nullopt;
  });
  parser.AddRule([&security]() -> std::optional<std::string> {
    const std::pair<const char*, const std::string*> files[] = {{"--kafka_tls_ca_file", &security.tls_ca_file},
                                                                {"--kafka_tls_cert_file", &security.tls_cert_file},
                                                                {"--kafka_tls_key_file", &security.tls_key_file}};
    for (const auto& [flag, file] : files) {
      if (!security.tls && !file->empty())
        return std::string(flag) + " is for --kafka_tls alone: say that too, or leave the file out";
    }
    if (security.tls_cert_file.empty() != security.tls_key_file.empty()) {
      return "--kafka_tls_cert_file and --kafka_tls_key_file belong together: give both or none";
    }
    return std::nullopt;
  });
  parser.AddRule([&security]() -> std::optional<std::string> {
    if (!security.tls || security.tls_ca_file.empty()) return std::nullopt;
    return Error(tls::CheckAuthorities(CaFile(security)).status());
  });
  parser.AddRule([&security]() -> std::optional<std::string> {
    if (!security.tls || security.tls_cert_file.empty() || security.tls_key_file.empty()) return std::nullopt;
    return Error(CheckIdentity(security).status());
  });
  parser.AddRule([&security]() -> std::optional<std::string> {
    const bool user = !security.sasl_username.empty();
    const bool password = !security.sasl_password.empty();
    if (security.sasl_mechanism.empty()) {
      if (user || password) return "a user or password of Kafka needs --kafka_sasl_mechanism, which says how to log in";
      return std::nullopt;
    }
    if (security.sasl_mechanism != "PLAIN" && security.sasl_mechanism != "SCRAM-SHA-256" &&
        security.sasl_mechanism != "SCRAM-SHA-512") {
      return "--kafka_sasl_mechanism must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, not \"" + security.sasl_mechanism +
             "\"";
    }
    if (!user || !password) {
      return "--kafka_sasl_mechanism needs --kafka_sasl_username and a password, by --kafka_sasl_password_file or "
             "STOCKALERT_KAFKA_SASL_PASSWORD";
    }
    if (security.sasl_mechanism == "PLAIN" && !security.tls) {
      return "--kafka_sasl_mechanism=PLAIN would show the password to the network: say --kafka_tls, or use SCRAM";
    }
    return std::nullopt;
  });
}

Renewal::Renewal(const Security& security)
    : security_(security),
      paths_(PathsOf(security)),
      fingerprint_(tls::Fingerprint(paths_)),
      next_look_(base::MonotonicNow() + kLookInterval) {}

bool Renewal::IsDue() {
  if (paths_.empty() || base::MonotonicNow() < next_look_) return false;
  next_look_ = base::MonotonicNow() + kLookInterval;
  // Unfit ones may be in the middle of being swapped; tls::Watch tells where they stay so.
  return tls::Fingerprint(paths_) != fingerprint_ && CheckFiles(security_).ok();
}

std::unique_ptr<tls::Watch> WatchFiles(const Security& security) {
  constexpr char kOnChange[] = "Kafka's clients are made anew with them";
  std::vector<tls::Watched> watched;
  if (security.tls && !security.tls_cert_file.empty()) {
    watched.push_back({.role = "kafka_cert",
                       .paths = {security.tls_cert_file, security.tls_key_file},
                       .check = [security] { return CheckIdentity(security); },
                       .on_change = kOnChange});
  }
  if (security.tls && !security.tls_ca_file.empty()) {
    watched.push_back({.role = "kafka_ca",
                       .paths = {security.tls_ca_file},
                       .check = [security] { return tls::CheckAuthorities(CaFile(security)); },
                       .on_change = kOnChange});
  }
  if (watched.empty()) return nullptr;
  return std::make_unique<tls::Watch>(std::move(watched), kWatchInterval);
}

}  // namespace stockalert::kafka
