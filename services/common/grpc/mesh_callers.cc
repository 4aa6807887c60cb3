#include "services/common/grpc/mesh_callers.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "services/common/base/abseil.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/flow_table.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/tls/files.h"

namespace stockalert::rpc {
namespace {

constexpr size_t kTokenBytesMin = 16;
constexpr size_t kCallersFileBytesMax = size_t{64} * 1024;
constexpr size_t kTokensPerCallerMax = 2;
constexpr std::chrono::seconds kLookAgain{1};
constexpr char kPlainNames[] =
    "a service is known by its name (user, ticker, alert, notifier, fetcher, evaluator) or by what --mesh_names says";

std::string Text(const absl::Status& status) { return std::string(base::ToStd(status.message())); }

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string content(kCallersFileBytesMax + 1, '\0');
  if (!file.is_open()) return absl::InvalidArgumentError(absl::StrCat("--mesh_callers_file=", path, " cannot be read"));
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  if (content.empty() || content.size() > kCallersFileBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("--mesh_callers_file=", path, " is empty, cannot be read, or is larger than 64 KiB"));
  }
  return content;
}

// The services among a certificate's names, each once.
std::vector<std::string> ServicesOf(const std::vector<std::string>& names,
                                    const std::map<std::string, std::string>& known) {
  std::vector<std::string> services;
  for (const std::string& name : names) {
    const auto found = known.find(name);
    if (found != known.end() && std::ranges::find(services, found->second) == services.end())
      services.push_back(found->second);
  }
  return services;
}

// What is wrong with the service's own certificate as its name in the mesh; nothing where that is said by others
// (unreadable files).
std::optional<std::string> RefuseOwnName(std::string_view own, const MeshSettings& settings, const tls::Settings& tls) {
  if (tls.plaintext || tls.internal_cert_file.empty()) return std::nullopt;
  const auto known = ParseMeshNames(settings.names);
  const auto names = tls::NamesOf({"--internal_tls_cert_file", tls.internal_cert_file});
  if (!known.ok() || !names.ok()) return std::nullopt;
  const std::vector<std::string> services = ServicesOf(*names, *known);
  if (services == std::vector<std::string>{std::string(own)}) return std::nullopt;
  return absl::StrCat("--internal_tls_cert_file=", tls.internal_cert_file, " must bear the name of the service ",
                      base::ToAbsl(own), " and of no other among its subject alternative names, and has ",
                      services.empty() ? "none" : absl::StrJoin(services, ", "), " (", absl::StrJoin(*names, ", "),
                      "): issue a certificate a service, for the others tell by it who calls; ", kPlainNames);
}

prometheus::Counter& Refused(const std::string& caller) {
  return metrics::GetCounter("stockalert_mesh_calls_refused_total",
                             "Calls on internal ports that were refused, by caller as far as it is known",
                             {{"caller", caller}});
}

}  // namespace

void DeclareMesh(config::Parser& parser, std::string_view own, bool has_internal_port, MeshSettings& settings,
                 std::string& mesh_token, const tls::Settings& tls) {
  parser.AddSecret("mesh_token", &mesh_token, config::kOptional,
                   "what all services of the mesh show each other; with --plaintext, leave it out once each has "
                   "--mesh_caller_token_file");
  parser.AddSecret("mesh_caller_token", &settings.caller_token, config::kOptional,
                   "this service's own token, by which the others recognise it");
  parser.AddString(
      "mesh_names", &settings.names, config::kOptional,
      "SERVICE=NAME,...: the DNS name or URI in each service's internal certificate; one that is not listed "
      "is called by its name");
  if (has_internal_port) {
    parser.AddString(
        "mesh_callers_file", &settings.callers_file, config::kOptional,
        "lines of a caller's name and the SHA-256 (hex) of its token, two a caller at most; read again when "
        "it changes");
  }
  parser.AddRule([&settings, &mesh_token]() -> std::optional<std::string> {
    if (mesh_token.empty() && settings.caller_token.empty()) {
      return "--mesh_token_file or --mesh_caller_token_file is required: the services know each other by it";
    }
    return std::nullopt;
  });
  parser.AddRule([&settings, &mesh_token]() -> std::optional<std::string> {
    if (!mesh_token.empty() && mesh_token.size() < kTokenBytesMin)
      return "the mesh token must have at least 16 characters";
    if (!settings.caller_token.empty() && settings.caller_token.size() < kTokenBytesMin) {
      return "the caller's token must have at least 16 characters";
    }
    return std::nullopt;
  });
  parser.AddRule([&settings]() -> std::optional<std::string> {
    const absl::Status status = ParseMeshNames(settings.names).status();
    return status.ok() ? std::nullopt : std::optional<std::string>(Text(status));
  });
  if (has_internal_port) {
    parser.AddRule([&settings, &mesh_token]() -> std::optional<std::string> {
      if (settings.callers_file.empty()) {
        if (mesh_token.empty())
          return "--mesh_callers_file is required where there is no --mesh_token_file: nobody could call";
        return std::nullopt;
      }
      absl::StatusOr<std::string> text = ReadFile(settings.callers_file);
      const absl::Status status = text.ok() ? ParseMeshCallers(*text).status() : text.status();
      return status.ok() ? std::nullopt : std::optional<std::string>(Text(status));
    });
  }
  parser.AddRule([own = std::string(own), &settings, &tls] { return RefuseOwnName(own, settings, tls); });
}

absl::StatusOr<std::map<std::string, std::string>> ParseMeshNames(const std::string& text) {
  std::map<std::string, std::string> service_of;
  std::vector<std::string> named;
  for (const absl::string_view item : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(item, absl::MaxSplits('=', 1));
    const std::string service(absl::StripAsciiWhitespace(parts.first));
    const std::string name(absl::StripAsciiWhitespace(parts.second));
    if (!IsService(service) || name.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("--mesh_names: '", item,
                                                     "' is not SERVICE=NAME, with user, ticker, alert, notifier, "
                                                     "fetcher or evaluator as SERVICE"));
    }
    const auto [entry, fresh] = service_of.try_emplace(name, service);
    if (!fresh && entry->second != service) {
      return absl::InvalidArgumentError(
          absl::StrCat("--mesh_names: '", name, "' is the name of ", entry->second, " and ", service));
    }
    named.push_back(service);
  }
  for (const std::string_view service : Services()) {
    if (std::ranges::find(named, service) != named.end()) continue;
    const auto [entry, fresh] = service_of.try_emplace(std::string(service), service);
    if (!fresh) {
      return absl::InvalidArgumentError(absl::StrCat("--mesh_names: '", base::ToAbsl(service), "' is the name of ",
                                                     entry->second, " and of the service ", base::ToAbsl(service),
                                                     ": list that one, too"));
    }
  }
  return service_of;
}

absl::StatusOr<std::map<std::string, std::string>> ParseMeshCallers(const std::string& text) {
  std::map<std::string, std::string> callers;
  std::map<std::string, size_t> tokens;
  int line_number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++line_number;
    const std::vector<std::string> parts = absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipWhitespace());
    if (parts.empty() || parts[0][0] == '#') continue;
    const auto refuse = [line_number](absl::string_view what) {
      return absl::InvalidArgumentError(absl::StrCat("--mesh_callers_file, line ", line_number, ": ", what));
    };
    if (parts.size() != 2 || !IsService(parts[0]))
      return refuse("write a service's name and the SHA-256 of its token in hex");
    const std::string hash = absl::AsciiStrToLower(parts[1]);
    if (hash.size() != 64 || hash.find_first_not_of("0123456789abcdef") != std::string::npos) {
      return refuse("the second word is no SHA-256 in hex (64 digits)");
    }
    if (!callers.try_emplace(hash, parts[0]).second)
      return refuse("this token is there already: each caller needs its own");
    if (++tokens[parts[0]] > kTokensPerCallerMax) return refuse("a caller may have two tokens at most");
  }
  if (callers.empty()) return absl::InvalidArgumentError("--mesh_callers_file names no caller");
  return callers;
}

MeshCallers::Shown MeshCallers::ReadShown(const ::grpc::ServerContextBase& context) {
  Shown shown;
  const auto& metadata = context.client_metadata();
  const auto find = [&metadata](const char* key) {
    const auto found = metadata.find(key);
    return found == metadata.end() ? std::string() : std::string(found->second.data(), found->second.size());
  };
  shown.mesh_token = find(kMeshTokenMetadata);
  shown.caller_token = find(kCallerTokenMetadata);
  const auto peer = context.auth_context();
  if (peer == nullptr) return shown;
  // Whoever came over TLS is judged by a certificate, one that has shown none too: that an internal port asks for it is
  // not relied on.
  for (const ::grpc::string_ref& kind : peer->FindPropertyValues(GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME)) {
    if (kind == GRPC_SSL_TRANSPORT_SECURITY_TYPE || kind == GRPC_TLS_TRANSPORT_SECURITY_TYPE)
      shown.by_certificate = true;
  }
  for (const char* kind : {GRPC_PEER_DNS_PROPERTY_NAME, GRPC_PEER_URI_PROPERTY_NAME}) {
    for (const ::grpc::string_ref& name : peer->FindPropertyValues(kind))
      shown.names.emplace_back(name.data(), name.size());
  }
  return shown;
}

MeshCallers::MeshCallers(const MeshSettings& settings, std::string mesh_token)
    : mesh_token_(std::move(mesh_token)), callers_file_(settings.callers_file) {
  if (auto names = ParseMeshNames(settings.names); names.ok()) names_ = *std::move(names);
  // Seen before the first one, so that a rule finds its rise.
  Refused("unknown");
}

absl::StatusOr<std::string> MeshCallers::Admit(const Shown& shown, std::string_view method) {
  absl::StatusOr<std::string> caller = Identify(shown);
  const Flow* flow = FindFlow(method);
  const bool allowed = caller.ok() && flow != nullptr && (caller->empty() || MayCall(*caller, method));
  if (!allowed) {
    Refused(caller.ok() && !caller->empty() ? *caller : "unknown").Increment();
    static log::Limiter limiter(absl::Seconds(1));
    if (const auto suppressed = limiter.Allow()) {
      log::Warning("refused a call on an internal port",
                   {{"caller", caller.ok() ? *caller : ""},
                    {"names", absl::StrJoin(shown.names, ",")},
                    {"method", std::string(method)},
                    {"reason", caller.ok() ? "CALLER_NOT_ALLOWED" : std::string(base::ReasonOf(caller.status()))},
                    {"suppressed", *suppressed}});
    }
  }
  if (!caller.ok()) return caller.status();
  if (!allowed) {
    return base::PermissionDenied(
        "CALLER_NOT_ALLOWED",
        absl::StrCat("the service ", caller->empty() ? "that calls" : *caller, " has no business with this method"));
  }
  return caller;
}

absl::StatusOr<std::string> MeshCallers::Identify(const Shown& shown) {
  std::string by_token;
  if (!shown.caller_token.empty() && !callers_file_.empty()) {
    by_token = CallerOfToken(shown.caller_token);
    if (by_token.empty())
      return base::Unauthenticated("CALLER_TOKEN_INVALID",
                                   "this port is for the services of the mesh: no caller has this token");
  } else if (mesh_token_.empty() || !base::ConstantTimeEquals(shown.mesh_token, mesh_token_)) {
    return base::Unauthenticated("MESH_TOKEN_INVALID",
                                 "this port is for the services of the mesh: the mesh token is missing or wrong");
  }
  if (!shown.by_certificate) {
    if (by_token.empty()) {
      metrics::GetCounter("stockalert_mesh_calls_unnamed_total",
                          "Calls without TLS that showed the shared mesh token alone: anybody's who has it")
          .Increment();
    }
    return by_token;
  }
  const std::vector<std::string> services = ServicesOf(shown.names, names_);
  if (services.empty()) {
    return base::Unauthenticated("CERTIFICATE_NAMELESS",
                                 absl::StrCat("the certificate names no service of the mesh: ", kPlainNames));
  }
  if (services.size() > 1) {
    return base::Unauthenticated("CERTIFICATE_SHARED",
                                 "the certificate names several services, so that nobody can tell whose call it is: "
                                 "issue one a service");
  }
  if (!by_token.empty() && by_token != services.front()) {
    return base::Unauthenticated("CALLER_TOKEN_INVALID", "the token is another caller's than the certificate");
  }
  return services.front();
}

std::string MeshCallers::CallerOfToken(const std::string& token) {
  // Looked up by its hash: how long that takes says nothing of the token.
  const std::string hash = base::HexEncode(base::Sha256(token));
  base::MutexLock lock(mutex_);
  ReadCallersAgain();
  const auto found = callers_.find(hash);
  return found == callers_.end() ? "" : found->second;
}

// Cheap where nothing has changed: it runs in the way of calls.
void MeshCallers::ReadCallersAgain() {
  const auto now = std::chrono::steady_clock::now();
  if (read_ && now - looked_at_ < kLookAgain) return;
  looked_at_ = now;
  std::error_code error;
  const auto version = std::filesystem::last_write_time(callers_file_, error);
  if (read_ && !error && version == read_version_) return;
  absl::StatusOr<std::string> text = ReadFile(callers_file_);
  absl::StatusOr<std::map<std::string, std::string>> callers = text.ok() ? ParseMeshCallers(*text) : text.status();
  if (!callers.ok()) {
    static log::Limiter limiter(absl::Seconds(10));
    if (limiter.Allow())
      log::Warning("the file of callers is unfit: the earlier one counts", {{"status", callers.status()}});
    return;
  }
  callers_ = *std::move(callers);
  read_version_ = version;
  read_ = !error;
}

}  // namespace stockalert::rpc
