// What is looked at before a certificate, a key or an authority is used. The libraries that use the files (gRPC,
// librdkafka, libpq) say little or nothing where one is unfit, and some begin to serve all the same.
//
// Errors are INVALID_ARGUMENT, name flag and file, and never show what a file holds. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace stockalert::tls {

// A file, and what its user calls it: {"--public_tls_cert_file", "/tls/tls.crt"}.
struct File {
  std::string flag;
  std::string path;
};

enum class Purpose {
  kServer,
  kClient,
  kServerAndClient,
};

// A PEM chain, the leaf first, and the leaf's key: readable, belonging together, valid now, fit for `purpose` (its
// extended key usage). Answers when the chain's first certificate expires.
absl::StatusOr<absl::Time> CheckIdentity(const File& certificate, const File& key, Purpose purpose);

// One or more PEM certificates of authorities, of which at least one is valid now. Answers when the first of them
// expires.
absl::StatusOr<absl::Time> CheckAuthorities(const File& authorities);

// Whether the chain leads to one of the authorities.
absl::Status CheckIssuer(const File& certificate, const File& authorities);

// The DNS names and URIs among the subject alternative names of the chain's first certificate.
absl::StatusOr<std::vector<std::string>> NamesOf(const File& certificate);

}  // namespace stockalert::tls
