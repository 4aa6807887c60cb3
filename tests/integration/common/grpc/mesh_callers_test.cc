// Every service's identity against every internal method, over real connections: let through if and only if the flow
// table says so.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <set>

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "services/common/base/ids.h"
#include "services/common/grpc/call_runner.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/credentials.h"
#include "services/common/grpc/flow_table.h"
#include "services/common/grpc/server.h"
#include "stockalert/internal/v1/alert_internal.grpc.pb.h"
#include "stockalert/internal/v1/evaluator_internal.grpc.pb.h"
#include "stockalert/internal/v1/fetcher.grpc.pb.h"
#include "stockalert/internal/v1/notifier_internal.grpc.pb.h"
#include "stockalert/internal/v1/ticker_internal.grpc.pb.h"
#include "stockalert/internal/v1/user_internal.grpc.pb.h"
#include "tests/support/certificates/certificates.h"

namespace stockalert::rpc {
namespace {

namespace pb = ::stockalert::internal::v1;

constexpr char kSharedToken[] = "the token of the mesh";

// Every method in the common path, with a handler that answers.
#define ANSWERS(SERVICE, METHOD)                                                                                 \
  ::grpc::ServerUnaryReactor* METHOD(::grpc::CallbackServerContext* context, const pb::METHOD##Request* request, \
                                     pb::METHOD##Response* response) override {                                  \
    return RunUnary(                                                                                             \
        runner, context, {"stockalert.internal.v1." SERVICE "/" #METHOD, Access::kMesh}, request, response,      \
        [](const CallContext&, const pb::METHOD##Request&) -> absl::StatusOr<pb::METHOD##Response> {             \
          return pb::METHOD##Response();                                                                         \
        });                                                                                                      \
  }

struct Users final : pb::UserInternalService::CallbackService {
  explicit Users(CallRunner& given) : runner(given) {}
  CallRunner& runner;
  ANSWERS("UserInternalService", AuthenticateApiKey)
  ANSWERS("UserInternalService", GetUser)
  ANSWERS("UserInternalService", CountFollowers)
};
struct Tickers final : pb::TickerInternalService::CallbackService {
  explicit Tickers(CallRunner& given) : runner(given) {}
  CallRunner& runner;
  ANSWERS("TickerInternalService", RegisterTicker)
  ANSWERS("TickerInternalService", GetLastPrices)
  ANSWERS("TickerInternalService", AcquirePublisherEpoch)
  ANSWERS("TickerInternalService", RenewPublisherLease)
  ANSWERS("TickerInternalService", ListSymbols)
  ANSWERS("TickerInternalService", ListLastBars)
};
struct Alerts final : pb::AlertInternalService::CallbackService {
  explicit Alerts(CallRunner& given) : runner(given) {}
  CallRunner& runner;
  ANSWERS("AlertInternalService", CountAlerts)
};
struct Fetcher final : pb::FetcherService::CallbackService {
  explicit Fetcher(CallRunner& given) : runner(given) {}
  CallRunner& runner;
  ANSWERS("FetcherService", LookupSymbol)
  ANSWERS("FetcherService", FetchQuotes)
  ANSWERS("FetcherService", PublishQuotes)
  ANSWERS("FetcherService", PublishSplit)
  ANSWERS("FetcherService", PublishHold)
};
struct Evaluators final : pb::EvaluatorInternalService::CallbackService {
  explicit Evaluators(CallRunner& given) : runner(given) {}
  CallRunner& runner;
  ANSWERS("EvaluatorInternalService", ExplainAlert)
};
struct Destinations final : pb::NotifierInternalService::CallbackService {
  explicit Destinations(CallRunner& given) : runner(given) {}
  CallRunner& runner;
  ANSWERS("NotifierInternalService", FindDestinations)
};
#undef ANSWERS

struct Mesh {
  Mesh(const std::shared_ptr<::grpc::ServerCredentials>& credentials, const std::string& mesh_token,
       const MeshSettings& settings)
      : runner({.name = "internal", .threads = 2, .mesh_token = mesh_token, .mesh = settings}) {
    auto started = Server::Start({.address = "127.0.0.1:0",
                                  .credentials = credentials,
                                  .services = {&users, &tickers, &alerts, &fetcher, &evaluators, &destinations}});
    INFO(started.status());
    REQUIRE(started.ok());
    server = *std::move(started);
  }
  CallRunner runner;
  Users users{runner};
  Tickers tickers{runner};
  Alerts alerts{runner};
  Fetcher fetcher{runner};
  Evaluators evaluators{runner};
  Destinations destinations{runner};
  std::unique_ptr<Server> server;
};

::grpc::StatusCode Call(const std::shared_ptr<::grpc::Channel>& channel, std::string_view method,
                        const std::string& mesh_token, const std::string& caller_token) {
  ::grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  if (!mesh_token.empty()) context.AddMetadata(kMeshTokenMetadata, mesh_token);
  if (!caller_token.empty()) context.AddMetadata(kCallerTokenMetadata, caller_token);
  ::grpc::GenericStub stub(channel);
  ::grpc::CompletionQueue queue;
  // An empty message is one of every kind.
  const ::grpc::Slice nothing;
  const ::grpc::ByteBuffer request(&nothing, 1);
  ::grpc::ByteBuffer response;
  ::grpc::Status status;
  const auto call = stub.PrepareUnaryCall(&context, "/" + std::string(method), request, &queue);
  call->StartCall();
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  REQUIRE(queue.Next(&tag, &ok));
  return status.error_code();
}

std::shared_ptr<::grpc::Channel> Connect(const Mesh& mesh,
                                         const std::shared_ptr<::grpc::ChannelCredentials>& credentials) {
  ::grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return ::grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(mesh.server->port()), credentials, arguments);
}

void CheckAll(std::string_view caller, const std::function<::grpc::StatusCode(std::string_view method)>& call) {
  for (const Flow& flow : FlowTable()) {
    INFO(std::string(caller) << " calls " << std::string(flow.method));
    const bool listed = std::find(flow.callers.begin(), flow.callers.end(), caller) != flow.callers.end();
    CHECK(call(flow.method) == (listed ? ::grpc::StatusCode::OK : ::grpc::StatusCode::PERMISSION_DENIED));
  }
}

TEST_CASE("over mutual TLS a certificate calls what the flow table lets its service call, and nothing else") {
  const testing::Authority authority("mesh");
  const testing::Identity own = authority.Issue();
  const testing::SwappedFolder files(
      {{"tls.crt", own.certificate}, {"tls.key", own.key}, {"ca.crt", authority.certificate()}});
  tls::Settings settings;
  settings.has_public_port = false;
  settings.internal_cert_file = files.Path("tls.crt");
  settings.internal_key_file = files.Path("tls.key");
  settings.internal_ca_file = files.Path("ca.crt");
  const auto credentials = Credentials::Create(settings);
  REQUIRE(credentials.ok());
  const Mesh mesh((*credentials)->internal_server(), kSharedToken, {});
  const auto channel = [&](const std::vector<std::string>& names) {
    testing::Wanted wanted;
    wanted.dns_names = names;
    const testing::Identity identity = authority.Issue(wanted);
    return Connect(mesh, ::grpc::SslCredentials({.pem_root_certs = authority.certificate(),
                                                 .pem_private_key = identity.key,
                                                 .pem_cert_chain = identity.certificate}));
  };
  for (const std::string_view service : Services()) {
    const auto connection = channel({"localhost", std::string(service)});
    CheckAll(service, [&](std::string_view method) { return Call(connection, method, kSharedToken, ""); });
  }
  // Nobody's: without a name, and with those of all.
  for (const std::vector<std::string>& names :
       {std::vector<std::string>{"localhost"},
        std::vector<std::string>{"user", "ticker", "alert", "notifier", "fetcher", "evaluator"}}) {
    const auto connection = channel(names);
    for (const Flow& flow : FlowTable())
      CHECK(Call(connection, flow.method, kSharedToken, "") == ::grpc::StatusCode::UNAUTHENTICATED);
  }
}

TEST_CASE("over plaintext the caller's token names it, and the shared token names nobody") {
  const std::filesystem::path table = std::filesystem::temp_directory_path() / absl::StrCat("mesh-callers-", getpid());
  const auto token = [](std::string_view service) { return "the token of " + std::string(service); };
  {
    std::ofstream file(table);
    for (const std::string_view service : Services())
      file << service << " " << base::HexEncode(base::Sha256(token(service))) << "\n";
  }
  const MeshSettings settings{.caller_token = "", .callers_file = table.string(), .names = ""};
  {
    const Mesh mesh(::grpc::InsecureServerCredentials(), "", settings);
    const auto channel = Connect(mesh, ::grpc::InsecureChannelCredentials());
    for (const std::string_view service : Services()) {
      CheckAll(service, [&](std::string_view method) { return Call(channel, method, "", token(service)); });
    }
    for (const Flow& flow : FlowTable()) {
      CHECK(Call(channel, flow.method, "", "the token of a stranger") == ::grpc::StatusCode::UNAUTHENTICATED);
      CHECK(Call(channel, flow.method, kSharedToken, "") == ::grpc::StatusCode::UNAUTHENTICATED);
      CHECK(Call(channel, flow.method, "", "") == ::grpc::StatusCode::UNAUTHENTICATED);
    }
  }
  // While the version before is being replaced.
  const Mesh upgrading(::grpc::InsecureServerCredentials(), kSharedToken, settings);
  const auto channel = Connect(upgrading, ::grpc::InsecureChannelCredentials());
  for (const Flow& flow : FlowTable()) CHECK(Call(channel, flow.method, kSharedToken, "") == ::grpc::StatusCode::OK);
  CheckAll("evaluator",
           [&](std::string_view method) { return Call(channel, method, kSharedToken, token("evaluator")); });
  std::filesystem::remove(table);
}

}  // namespace
}  // namespace stockalert::rpc
