// How Kafka is spoken to: TLS and SASL, and the flags that say so, the same in every program that has a broker.
//
// The TLS files are looked at when the flags are read. librdkafka reads them when a client is made, and never again:
// producers and consumers are made anew when the files were swapped for others that are fit (Renewal), and WatchFiles
// tells when they expire or are unfit.
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
  // Said out loud where it is not TLS: the flags demand one of the two.
  bool plaintext = false;
  // Who signs the brokers' certificates; empty: the system's authorities.
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
  // True once the files are others than at the beginning, and fit. Looks every other second; cheap to ask in between.
  bool Due();

 private:
  const Security security_;
  const std::vector<std::string> paths_;
  const std::string fingerprint_;
  absl::Duration next_look_;  // By the monotonic clock.
};

// Null where there are no files to watch.
std::unique_ptr<tls::Watch> WatchFiles(const Security& security);

}  // namespace stockalert::kafka
