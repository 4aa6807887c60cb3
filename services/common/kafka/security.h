// TLS and SASL towards Kafka, and their flags, the same in every program that has a broker.
//
// The TLS files are checked when the flags are read. librdkafka reads them only when a client is made, so producers and
// consumers are made anew when the files are replaced by valid ones (Renewal); WatchFiles reports when they expire or
// become unusable.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/config/parser.h"

namespace stockalert::tls {
class Watch;
}

namespace stockalert::kafka {

struct Security {
  bool tls = false;
  // Must be set explicitly where TLS is not used: the flags demand one of the two.
  bool plaintext = false;
  // The authorities that sign the brokers' certificates; empty: the system's.
  std::string tls_ca_file = {};
  // What is shown to brokers that ask for a certificate; empty: none.
  std::string tls_cert_file = {};
  std::string tls_key_file = {};
  // "" (none), "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512".
  std::string sasl_mechanism = {};
  std::string sasl_username = {};
  std::string sasl_password = {};
};

// Declares --kafka_bootstrap too: no program has one without the other.
void DeclareBroker(config::Parser& parser, std::string& bootstrap, Security& security);

// Whether a client has to be made anew. Made before the client reads the files; belongs to one thread.
class Renewal {
 public:
  explicit Renewal(const Security& security);
  // True once the files differ from those at the beginning and are valid. Checks every other second; cheap in between.
  bool IsDue();

 private:
  const Security security_;
  const std::vector<std::string> paths_;
  const std::string fingerprint_;
  absl::Duration next_look_;  // By the monotonic clock.
};

// Null where there are no files to watch.
std::unique_ptr<tls::Watch> WatchFiles(const Security& security);

}  // namespace stockalert::kafka
