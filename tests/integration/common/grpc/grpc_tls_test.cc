// Who may talk to a port, over real sockets: an internal one by mutual TLS, a public one by the server's certificate,
// and both while their certificates are exchanged under load.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdio>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include "services/common/base/error.h"
#include "services/common/grpc/call_runner.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/credentials.h"
#include "services/common/grpc/server.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/metrics/metrics.h"
#include "stockalert/internal/v1/user_internal.grpc.pb.h"
#include "tests/support/certificates/certificates.h"

namespace stockalert::rpc {
namespace {

namespace pb = ::stockalert::internal::v1;
using testing::Authority;
using testing::Identity;
using testing::SwappedFolder;
using testing::Wanted;

constexpr char kToken[] = "the token of the mesh";

class Users final : public pb::UserInternalService::CallbackService {
 public:
  explicit Users(CallRunner& runner) : runner_(runner) {}
  ::grpc::ServerUnaryReactor* CountFollowers(::grpc::CallbackServerContext* context,
                                             const pb::CountFollowersRequest* request,
                                             pb::CountFollowersResponse* response) override {
    return RunUnary(
        runner_, context, {"stockalert.internal.v1.UserInternalService/CountFollowers", Access::kMesh}, request,
        response,
        [this](const CallContext&, const pb::CountFollowersRequest&) -> absl::StatusOr<pb::CountFollowersResponse> {
          ++answered;
          return pb::CountFollowersResponse();
        });
  }
  std::atomic<int> answered{0};

 private:
  CallRunner& runner_;
};

// What lies in a service's folder of secrets.
std::map<std::string, std::string> Files(const Identity& identity, const std::string& authorities) {
  return {{"tls.crt", identity.certificate}, {"tls.key", identity.key}, {"ca.crt", authorities}};
}

tls::Settings SettingsOf(const SwappedFolder& folder, bool has_public_port) {
  tls::Settings settings;
  settings.has_public_port = has_public_port;
  if (has_public_port) {
    settings.public_cert_file = folder.Path("tls.crt");
    settings.public_key_file = folder.Path("tls.key");
  }
  settings.internal_cert_file = folder.Path("tls.crt");
  settings.internal_key_file = folder.Path("tls.key");
  settings.internal_ca_file = folder.Path("ca.crt");
  return settings;
}

// A service of the mesh: an internal port, and a public one that serves the same here.
struct Service {
  explicit Service(const SwappedFolder& folder, absl::Duration connection_age_max = absl::InfiniteDuration()) {
    auto made = Credentials::Create(SettingsOf(folder, true), absl::Seconds(1));
    INFO(made.status());
    REQUIRE(made.ok());
    credentials = *std::move(made);
    internal = Start(credentials->internal_server(), connection_age_max);
    open = Start(credentials->public_server(), connection_age_max);
  }
  std::unique_ptr<Server> Start(const std::shared_ptr<::grpc::ServerCredentials>& with,
                                absl::Duration connection_age_max) {
    auto started = Server::Start({.address = "127.0.0.1:0",
                                  .credentials = with,
                                  .services = {&users},
                                  .service_names = {},
                                  .limits = {.connection_age_max = connection_age_max}});
    INFO(started.status());
    REQUIRE(started.ok());
    return *std::move(started);
  }

  CallRunner runner{{.name = "internal", .threads = 4, .mesh_token = kToken}};
  Users users{runner};
  std::unique_ptr<Credentials> credentials;
  std::unique_ptr<Server> internal;
  std::unique_ptr<Server> open;
};

struct Answer {
  ::grpc::Status status;
  std::string server_certificate;  // PEM, as the server showed it.
};

Answer Call(const std::shared_ptr<::grpc::Channel>& channel, const std::string& token = kToken) {
  ::grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  context.AddMetadata(kMeshTokenMetadata, token);
  pb::CountFollowersRequest request;
  request.set_symbol("AAPL");
  pb::CountFollowersResponse response;
  Answer answer;
  answer.status = pb::UserInternalService::NewStub(channel)->CountFollowers(&context, request, &response);
  if (const auto peer = context.auth_context()) {
    for (const ::grpc::string_ref& pem : peer->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME)) {
      answer.server_certificate.assign(pem.data(), pem.size());
    }
  }
  return answer;
}

// A connection of its own, which no other channel shares.
std::shared_ptr<::grpc::Channel> Connect(const Server& server,
                                         const std::shared_ptr<::grpc::ChannelCredentials>& credentials,
                                         const std::string& host = "127.0.0.1") {
  ::grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return ::grpc::CreateCustomChannel(host + ":" + std::to_string(server.port()), credentials, arguments);
}

std::shared_ptr<::grpc::ChannelCredentials> Showing(const std::string& trusted, const Identity& identity) {
  return ::grpc::SslCredentials(
      {.pem_root_certs = trusted, .pem_private_key = identity.key, .pem_cert_chain = identity.certificate});
}

// What is logged meanwhile.
std::string LoggedBy(const std::function<void()>& work) {
  std::FILE* const file = std::tmpfile();
  REQUIRE(file != nullptr);
  const int before = dup(STDERR_FILENO);
  REQUIRE(before >= 0);
  REQUIRE(dup2(fileno(file), STDERR_FILENO) >= 0);
  work();
  std::fflush(stderr);
  REQUIRE(dup2(before, STDERR_FILENO) >= 0);
  close(before);
  std::rewind(file);
  std::string logged;
  for (int next = std::fgetc(file); next != EOF; next = std::fgetc(file)) logged += static_cast<char>(next);
  std::fclose(file);
  return logged;
}

TEST_CASE("a service calls its own ports, with TLS and with mutual TLS, whatever their certificates say") {
  const Authority mesh("mesh");
  Wanted wanted;
  wanted.dns_names = {"some.other.host"};
  wanted.ip_addresses = {};
  const SwappedFolder folder(Files(mesh.Issue(wanted), mesh.certificate()));
  const Service service(folder);
  const auto answers = [](const Server& server, const std::shared_ptr<::grpc::ChannelCredentials>& credentials) {
    PortProbe probe(
        {.name = "test", .address = "127.0.0.1:" + std::to_string(server.port()), .credentials = credentials});
    return probe.ProbeOnce();
  };
  // Silently, since it does so every few seconds.
  const std::string logged = LoggedBy([&] {
    CHECK(answers(*service.open, service.credentials->own_public_port()));
    CHECK(answers(*service.internal, service.credentials->own_internal_port()));
  });
  CHECK(logged == "");
  // It is the port that answers: that gRPC itself refuses to send the call, for the name in it, would pass for an
  // answer.
  for (const auto& status : {Call(Connect(*service.open, service.credentials->own_public_port())).status,
                             Call(Connect(*service.internal, service.credentials->own_internal_port())).status}) {
    CHECK(base::ReasonOf(FromGrpc(status)) == "CERTIFICATE_NAMELESS");
  }
  // Without a certificate the internal port does not answer: the probe shows one.
  CHECK(!answers(*service.internal, service.credentials->own_public_port()));
}

TEST_CASE("an internal port takes the mesh's certificates, and refuses every other client before a handler runs") {
  const Authority mesh("mesh");
  const Authority foreign("foreign");
  Wanted wanted;
  wanted.end = absl::Now() - absl::Minutes(1);
  const Identity expired = mesh.Issue(wanted);
  wanted = {};
  wanted.extended_key_usage = "serverAuth";
  const Identity no_client = mesh.Issue(wanted);
  const SwappedFolder folder(Files(mesh.Issue(), mesh.certificate()));
  Service service(folder);

  const Identity good = mesh.Issue();
  REQUIRE(Call(Connect(*service.internal, Showing(mesh.certificate(), good))).status.ok());
  REQUIRE(Call(Connect(*service.internal, service.credentials->internal_client())).status.ok());
  REQUIRE(service.users.answered == 2);

  const std::pair<const char*, std::shared_ptr<::grpc::ChannelCredentials>> refused[] = {
      {"no certificate",
       ::grpc::SslCredentials({.pem_root_certs = mesh.certificate(), .pem_private_key = "", .pem_cert_chain = ""})},
      {"another authority's", Showing(mesh.certificate(), foreign.Issue())},
      {"an expired one", Showing(mesh.certificate(), expired)},
      {"one that is for servers alone", Showing(mesh.certificate(), no_client)},
      {"plaintext", ::grpc::InsecureChannelCredentials()},
  };
  for (const auto& [name, credentials] : refused) {
    const Answer answer = Call(Connect(*service.internal, credentials));
    INFO(name << ": " << answer.status.error_code() << " " << answer.status.error_message());
    CHECK(answer.status.error_code() == ::grpc::StatusCode::UNAVAILABLE);
  }
  CHECK(service.users.answered == 2);

  // The token is asked for besides.
  const auto channel = Connect(*service.internal, Showing(mesh.certificate(), good));
  CHECK(Call(channel, "another token").status.error_code() == ::grpc::StatusCode::UNAUTHENTICATED);
  CHECK(service.users.answered == 2);
  CHECK(Call(channel).status.ok());
}

TEST_CASE("a service calls only servers of the mesh, and by the name that it dialled") {
  const Authority mesh("mesh");
  const Authority foreign("foreign");
  const SwappedFolder caller_files(Files(mesh.Issue(), mesh.certificate()));
  auto caller = Credentials::Create(SettingsOf(caller_files, false));
  REQUIRE(caller.ok());
  CHECK((*caller)->public_server() == nullptr);

  const SwappedFolder good_files(Files(mesh.Issue(), mesh.certificate()));
  Service good(good_files);
  CHECK(Call(Connect(*good.internal, (*caller)->internal_client())).status.ok());
  CHECK(Call(Connect(*good.internal, (*caller)->internal_client(), "localhost")).status.ok());

  Wanted elsewhere;
  elsewhere.dns_names = {"user.elsewhere"};
  elsewhere.ip_addresses = {"127.9.9.9"};
  const SwappedFolder other_name(Files(mesh.Issue(elsewhere), mesh.certificate()));
  const SwappedFolder other_mesh(Files(foreign.Issue(), foreign.certificate() + mesh.certificate()));
  for (const SwappedFolder* files : {&other_name, &other_mesh}) {
    Service imposter(*files);
    CHECK(Call(Connect(*imposter.internal, (*caller)->internal_client())).status.error_code() ==
          ::grpc::StatusCode::UNAVAILABLE);
    CHECK(imposter.users.answered == 0);
  }
  const auto insecure = Server::Start({.address = "127.0.0.1:0",
                                       .credentials = ::grpc::InsecureServerCredentials(),
                                       .services = {&good.users},
                                       .service_names = {}});
  REQUIRE(insecure.ok());
  const int answered = good.users.answered;
  CHECK(Call(Connect(**insecure, (*caller)->internal_client())).status.error_code() == ::grpc::StatusCode::UNAVAILABLE);
  CHECK(good.users.answered == answered);
}

TEST_CASE("a public port has the server's certificate, and asks clients for none") {
  const Authority mesh("mesh");
  const Authority foreign("foreign");
  const SwappedFolder folder(Files(mesh.Issue(), mesh.certificate()));
  Service service(folder);
  const auto trusting = [](const Authority& authority) {
    return ::grpc::SslCredentials(
        {.pem_root_certs = authority.certificate(), .pem_private_key = "", .pem_cert_chain = ""});
  };
  // The connection is taken; a method of internal ports is none the less for whoever shows a certificate.
  CHECK(Call(Connect(*service.open, trusting(mesh))).status.error_code() == ::grpc::StatusCode::UNAUTHENTICATED);
  CHECK(Call(Connect(*service.open, trusting(foreign))).status.error_code() == ::grpc::StatusCode::UNAVAILABLE);
  CHECK(Call(Connect(*service.open, ::grpc::InsecureChannelCredentials())).status.error_code() ==
        ::grpc::StatusCode::UNAVAILABLE);
  CHECK(service.users.answered == 0);
}

TEST_CASE("neither a server without credentials nor unfit files begin to serve") {
  CHECK(Server::Start({.address = "127.0.0.1:0", .services = {}, .service_names = {}}).status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(Call(Peer({.address = "127.0.0.1:1"}).channel()).status.error_code() == ::grpc::StatusCode::INVALID_ARGUMENT);
  const Authority mesh("mesh");
  const SwappedFolder folder(
      {{"tls.crt", mesh.Issue().certificate}, {"tls.key", mesh.Issue().key}, {"ca.crt", mesh.certificate()}});
  CHECK(Credentials::Create(SettingsOf(folder, false)).status().code() == absl::StatusCode::kInvalidArgument);
}

// Calls as the services do, and as new ones would: two threads on channels that stay (and connect anew as their
// connections grow old), two that connect for each call.
class Load {
 public:
  Load(const Service& service, const Credentials& caller) {
    for (int i = 0; i < 4; ++i) {
      threads_.emplace_back([this, &service, &caller, stays = i < 2] {
        auto channel = Connect(*service.internal, caller.internal_client());
        while (!stopping_) {
          if (!stays) channel = Connect(*service.internal, caller.internal_client());
          const Answer answer = Call(channel);
          const std::lock_guard lock(mutex_);
          ++calls_;
          if (!answer.status.ok()) failures_.push_back(answer.status.error_message());
          (stays ? seen_by_staying_ : seen_by_new_).insert(answer.server_certificate);
        }
      });
    }
  }
  ~Load() { Stop(); }
  void Stop() {
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  bool BothSaw(const std::string& certificate) {
    const std::lock_guard lock(mutex_);
    return seen_by_staying_.contains(certificate) && seen_by_new_.contains(certificate);
  }
  int calls() {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  // After Stop.
  const std::vector<std::string>& failures() const { return failures_; }

 private:
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  int calls_ = 0;  // Guarded by mutex_, as are these:
  std::vector<std::string> failures_;
  std::set<std::string> seen_by_staying_, seen_by_new_;
  std::vector<std::thread> threads_;
};

// Looks again until it is so: what a file watch does cannot be heard otherwise.
bool Within(absl::Duration bound, const std::function<bool()>& so) {
  const absl::Time deadline = absl::Now() + bound;
  while (!so()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(20));
  }
  return true;
}

TEST_CASE("certificates and authority are exchanged under load without a failed call") {
  const Authority old_mesh("mesh, first");
  const Authority new_mesh("mesh, second");
  const std::string both = old_mesh.certificate() + new_mesh.certificate();
  SwappedFolder server_files(Files(old_mesh.Issue(), old_mesh.certificate()));
  SwappedFolder caller_files(Files(old_mesh.Issue(), old_mesh.certificate()));
  Service service(server_files, absl::Milliseconds(400));
  auto caller = Credentials::Create(SettingsOf(caller_files, false), absl::Seconds(1));
  REQUIRE(caller.ok());
  Load load(service, **caller);
  constexpr absl::Duration kBound = absl::Seconds(20);

  // The same authority, new certificates: on both sides, three times.
  for (int round = 0; round < 3; ++round) {
    const Identity next = old_mesh.Issue();
    server_files.Swap(Files(next, old_mesh.certificate()));
    caller_files.Swap(Files(old_mesh.Issue(), old_mesh.certificate()));
    REQUIRE(Within(kBound, [&] { return load.BothSaw(next.certificate); }));
  }

  // Another authority, as docs/security.md says: first everybody trusts both...
  const Identity last_of_old = old_mesh.Issue();
  server_files.Swap(Files(last_of_old, both));
  caller_files.Swap(Files(old_mesh.Issue(), both));
  const auto by_new = Showing(both, new_mesh.Issue());
  const auto by_old = Showing(both, old_mesh.Issue());
  REQUIRE(Within(kBound, [&] { return Call(Connect(*service.internal, by_new)).status.ok(); }));
  REQUIRE(Within(kBound, [&] { return load.BothSaw(last_of_old.certificate); }));
  // Whether the caller does is seen at a server that is ahead, apart from the load.
  const SwappedFolder ahead_files(Files(new_mesh.Issue(), both));
  Service ahead(ahead_files);
  REQUIRE(Within(kBound, [&] { return Call(Connect(*ahead.internal, (*caller)->internal_client())).status.ok(); }));
  // ...then certificates of the new one are shown...
  const Identity first_of_new = new_mesh.Issue();
  server_files.Swap(Files(first_of_new, both));
  caller_files.Swap(Files(new_mesh.Issue(), both));
  REQUIRE(Within(kBound, [&] { return load.BothSaw(first_of_new.certificate); }));
  const Identity second_of_new = new_mesh.Issue();
  server_files.Swap(Files(second_of_new, both));
  REQUIRE(Within(kBound, [&] { return load.BothSaw(second_of_new.certificate); }));
  load.Stop();
  const int calls = load.calls();
  std::printf("calls while certificates were exchanged: %d, failed: %zu\n", calls, load.failures().size());
  INFO((load.failures().empty() ? std::string() : load.failures().front()));
  CHECK(load.failures().empty());
  CHECK(calls > 200);

  // ...and the old authority is trusted no more.
  REQUIRE(Call(Connect(*service.internal, by_old)).status.ok());
  server_files.Swap(Files(second_of_new, new_mesh.certificate()));
  CHECK(Within(kBound, [&] { return !Call(Connect(*service.internal, by_old)).status.ok(); }));
  CHECK(Call(Connect(*service.internal, by_new)).status.ok());
}

TEST_CASE("files that become unusable are reported while open connections go on, and mended ones are used") {
  const Authority mesh("mesh");
  const Identity first = mesh.Issue();
  SwappedFolder files(Files(first, mesh.certificate()));
  Service service(files);
  const auto channel = Connect(*service.internal, Showing(mesh.certificate(), mesh.Issue()));
  REQUIRE(Call(channel).status.ok());
  const auto unusable = [] {
    return metrics::GetGauge("stockalert_tls_files_unusable", "", {{"file_role", "internal_cert"}}).Value();
  };
  constexpr absl::Duration kBound = absl::Seconds(20);

  const Identity second = mesh.Issue();
  files.Swap({{"tls.crt", second.certificate}, {"tls.key", first.key}, {"ca.crt", mesh.certificate()}});
  CHECK(Within(kBound, [&] { return unusable() == 1; }));
  CHECK(Call(channel).status.ok());
  files.Swap(Files(second, mesh.certificate()));
  CHECK(Within(kBound, [&] { return unusable() == 0; }));
  const auto good = Showing(mesh.certificate(), mesh.Issue());
  CHECK(Within(kBound, [&] {
    const Answer answer = Call(Connect(*service.internal, good));
    return answer.status.ok() && answer.server_certificate == second.certificate;
  }));

  // Gone files change nothing: the server goes on with what it has, and says so.
  files.Swap({});
  CHECK(Within(kBound, [&] { return unusable() == 1; }));
  CHECK(Call(Connect(*service.internal, good)).status.ok());
  CHECK(metrics::ExpositionText().find("stockalert_tls_certificate_expiry_time_seconds{file_role=\"internal_ca\"}") !=
        std::string::npos);
}

}  // namespace
}  // namespace stockalert::rpc
