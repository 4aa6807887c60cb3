// Identifies the mesh service that makes a call on an internal port, and decides by the flow table whether it may.
//
// clang-format off: a table.
//   under mutual TLS    by the certificate: exactly one service's name must be among its subject alternative names
//                       (--mesh_names). A certificate with several names identifies nobody: its holder could be any.
//   under --plaintext   by the caller's own token (--mesh_caller_token_file). Its SHA-256 is listed in
//                       --mesh_callers_file, so that no service can pose as another. A caller may have two valid
//                       tokens at once; the file is read again when it changes.
// clang-format on
//
// The token that all services share (--mesh_token_file) shows that a call comes from the mesh, not from which service.
// Under TLS that is enough, because the certificate gives the name. Under --plaintext it is accepted alone, from any
// caller, while callers of an older version that know no other token are being replaced: leave the flag out to end
// that.
//
// Thread-safe.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/base/mutex.h"
#include "services/common/config/parser.h"
#include "services/common/tls/settings.h"

namespace grpc {
class ServerContextBase;
}

namespace stockalert::rpc {

struct MeshSettings {
  std::string caller_token;  // What this service shows. Empty: the shared token alone.
  std::string callers_file;  // Lines "CALLER SHA256"; empty: callers have no tokens of their own.
  std::string names;         // "user=NAME,ticker=NAME"; who is not in it is called by its plain name.
};

// The flags --mesh_token_file and those above. Refused are a mesh without any token, a table that cannot be read, and,
// under TLS, a certificate of this service (`own`) that does not name it or names others besides. `has_internal_port`:
// whether callers are told apart.
void DeclareMesh(config::Parser& parser, std::string_view own, bool has_internal_port, MeshSettings& settings,
                 std::string& mesh_token, const tls::Settings& tls);

// "user=NAME,..." as certificate name → service; NAME may be a DNS name or a URI. INVALID_ARGUMENT: unknown services, a
// name for two.
absl::StatusOr<std::map<std::string, std::string>> ParseMeshNames(const std::string& text);

// The hash (hex) → caller of a --mesh_callers_file. INVALID_ARGUMENT: unknown callers, no SHA-256, a token of two, more
// than two a caller.
absl::StatusOr<std::map<std::string, std::string>> ParseMeshCallers(const std::string& text);

class MeshCallers {
 public:
  // The credentials that a call carries.
  struct Shown {
    std::string mesh_token;
    std::string caller_token;
    bool by_certificate = false;     // A certificate was checked in the handshake.
    std::vector<std::string> names;  // Its subject alternative names.
  };
  static Shown ReadShown(const ::grpc::ServerContextBase& context);

  // `settings` as DeclareMesh has found them right; what is wrong with them refuses calls.
  MeshCallers(const MeshSettings& settings, std::string mesh_token);

  // The caller's name, empty where only the shared token was shown without TLS. UNAUTHENTICATED: no token of the mesh,
  // or a certificate that names none of its services, or several. PERMISSION_DENIED: the flow table does not let it
  // call `method`.
  absl::StatusOr<std::string> Admit(const Shown& shown, std::string_view method);

 private:
  absl::StatusOr<std::string> Identify(const Shown& shown);
  // None: no such token.
  std::string CallerOfToken(const std::string& token);
  void ReadCallersAgain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string mesh_token_;
  const std::string callers_file_;
  std::map<std::string, std::string> names_;
  base::Mutex mutex_;
  std::map<std::string, std::string> callers_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point looked_at_ ABSL_GUARDED_BY(mutex_) = {};  // When the file was last looked at,
  std::filesystem::file_time_type read_version_ ABSL_GUARDED_BY(mutex_) = {};     // and what it was then.
  bool read_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace stockalert::rpc
