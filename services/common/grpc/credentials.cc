#include "services/common/grpc/credentials.h"

#include <grpc/support/log.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/tls/files.h"

namespace stockalert::rpc {
namespace {

namespace experimental = ::grpc::experimental;

constexpr char kUnknownServerName[] = "No match found for server name: ";

// gRPC's own lines, as of a handshake that was refused; a stranger can cause any number of them.
void LogLine(gpr_log_func_args* line) {
  // A client that dials by a name which the certificate has not, as this process does when it calls its own ports by
  // their addresses. Whether that is right is the client's to judge.
  if (absl::StartsWith(line->message, kUnknownServerName)) return;
  static log::Limiter limiter(absl::Seconds(1));
  const auto suppressed = limiter.Allow();
  if (!suppressed) return;
  log::Write(line->severity == GPR_LOG_SEVERITY_ERROR ? log::Level::kWarning : log::Level::kDebug, "gRPC",
             {{"text", line->message}, {"suppressed", *suppressed}});
}

constexpr char kOnChange[] = "new connections use them";

std::shared_ptr<::grpc::ServerCredentials> PublicServer(
    const std::shared_ptr<experimental::CertificateProviderInterface>& files) {
  experimental::TlsServerCredentialsOptions options(files);
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  return experimental::TlsServerCredentials(options);
}

std::shared_ptr<::grpc::ServerCredentials> InternalServer(
    const std::shared_ptr<experimental::CertificateProviderInterface>& files) {
  experimental::TlsServerCredentialsOptions options(files);
  options.watch_identity_key_cert_pairs();
  options.watch_root_certs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return experimental::TlsServerCredentials(options);
}

std::shared_ptr<::grpc::ChannelCredentials> InternalClient(
    const std::shared_ptr<experimental::CertificateProviderInterface>& files) {
  experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(files);
  options.watch_identity_key_cert_pairs();
  options.watch_root_certs();
  options.set_verify_server_certs(true);
  options.set_certificate_verifier(std::make_shared<experimental::HostNameCertificateVerifier>());
  options.set_check_call_host(true);
  return experimental::TlsCredentials(options);
}

// `files`: the certificate to show, where the port wants one.
std::shared_ptr<::grpc::ChannelCredentials> OwnPort(
    const std::shared_ptr<experimental::CertificateProviderInterface>& files) {
  experimental::TlsChannelCredentialsOptions options;
  if (files != nullptr) {
    options.set_certificate_provider(files);
    options.watch_identity_key_cert_pairs();
  }
  options.set_verify_server_certs(false);
  options.set_certificate_verifier(std::make_shared<experimental::NoOpCertificateVerifier>());
  options.set_check_call_host(false);
  return experimental::TlsCredentials(options);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Credentials>> Credentials::Create(const tls::Settings& settings,
                                                                 absl::Duration refresh) {
  gpr_set_log_function(LogLine);
  STOCKALERT_RETURN_IF_ERROR(tls::Check(settings));
  std::unique_ptr<Credentials> made(new Credentials());
  if (settings.plaintext) {
    log::Warning("gRPC without TLS, as --plaintext says: whoever is on the network can read and change calls");
    if (settings.has_public_port) made->public_server_ = ::grpc::InsecureServerCredentials();
    made->internal_server_ = ::grpc::InsecureServerCredentials();
    made->internal_client_ = ::grpc::InsecureChannelCredentials();
    made->own_public_port_ = ::grpc::InsecureChannelCredentials();
    made->own_internal_port_ = ::grpc::InsecureChannelCredentials();
    return made;
  }
  const auto refresh_s = static_cast<unsigned>(std::max<int64_t>(1, absl::ToInt64Seconds(refresh)));
  std::vector<tls::Watched> watched;
  if (settings.has_public_port) {
    made->public_server_ = PublicServer(std::make_shared<experimental::FileWatcherCertificateProvider>(
        settings.public_key_file, settings.public_cert_file, refresh_s));
    made->own_public_port_ = OwnPort(nullptr);
    watched.push_back({.role = "public_cert",
                       .paths = {settings.public_cert_file, settings.public_key_file},
                       .check =
                           [settings] {
                             return tls::CheckIdentity({"--public_tls_cert_file", settings.public_cert_file},
                                                       {"--public_tls_key_file", settings.public_key_file},
                                                       tls::Purpose::kServer);
                           },
                       .on_change = kOnChange});
  }
  const auto internal = std::make_shared<experimental::FileWatcherCertificateProvider>(
      settings.internal_key_file, settings.internal_cert_file, settings.internal_ca_file, refresh_s);
  made->internal_server_ = InternalServer(internal);
  made->internal_client_ = InternalClient(internal);
  made->own_internal_port_ = OwnPort(internal);
  const tls::File certificate{"--internal_tls_cert_file", settings.internal_cert_file};
  const tls::File authorities{"--internal_tls_ca_file", settings.internal_ca_file};
  watched.push_back({.role = "internal_cert",
                     .paths = {settings.internal_cert_file, settings.internal_key_file},
                     .check = [settings, certificate, authorities]() -> absl::StatusOr<absl::Time> {
                       STOCKALERT_ASSIGN_OR_RETURN(
                           const absl::Time expiry,
                           tls::CheckIdentity(certificate, {"--internal_tls_key_file", settings.internal_key_file},
                                              tls::Purpose::kServerAndClient));
                       STOCKALERT_RETURN_IF_ERROR(tls::CheckIssuer(certificate, authorities));
                       return expiry;
                     },
                     .on_change = kOnChange});
  watched.push_back({.role = "internal_ca",
                     .paths = {settings.internal_ca_file},
                     .check = [authorities] { return tls::CheckAuthorities(authorities); },
                     .on_change = kOnChange});
  made->watch_ = std::make_unique<tls::Watch>(std::move(watched), absl::Seconds(refresh_s));
  return made;
}

}  // namespace stockalert::rpc
