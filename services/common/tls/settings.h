// How a service's gRPC ports and its calls to other services are secured: the flags, the same in each service.
//
// TLS is the rule; plaintext has to be asked for. The files are looked at when the flags are read, so that a service
// with an unfit certificate does not begin to serve.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "services/common/config/parser.h"

namespace stockalert::tls {

struct Settings {
  // Not a flag: what the service is.
  bool has_public_port = true;

  bool plaintext = false;
  std::string public_cert_file = {};
  std::string public_key_file = {};
  // Server and client in one: shown to whoever calls, and to whom this service calls.
  std::string internal_cert_file = {};
  std::string internal_key_file = {};
  // Who signs the certificates of the mesh. A peer without one of theirs is refused.
  std::string internal_ca_file = {};
};

void Declare(config::Parser& parser, Settings& settings);

// The first thing that is wrong, as a user of the flags would be told it. INVALID_ARGUMENT.
absl::Status Check(const Settings& settings);

}  // namespace stockalert::tls
