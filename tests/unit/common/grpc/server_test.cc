#include "services/common/grpc/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <list>
#include <set>
#include <thread>

#include "grpc/health/v1/health.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "services/common/grpc/call_runner.h"
#include "services/common/grpc/reflection.h"
#include "services/common/metrics/metrics.h"
#include "stockalert/internal/v1/user_internal.grpc.pb.h"
#include "tests/support/fake_clock/fake_clock.h"

namespace stockalert::rpc {
namespace {

namespace pb = ::stockalert::internal::v1;
namespace reflection = ::grpc::reflection::v1alpha;

// Answers everybody, and says how large the key was.
class Users final : public pb::UserInternalService::CallbackService {
 public:
  ::grpc::ServerUnaryReactor* AuthenticateApiKey(::grpc::CallbackServerContext* context,
                                                 const pb::AuthenticateApiKeyRequest* request,
                                                 pb::AuthenticateApiKeyResponse* response) override {
    response->set_user_id(std::to_string(request->api_key().size()));
    ::grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(::grpc::Status::OK);
    return reactor;
  }
};

struct Bench {
  explicit Bench(ServerOptions options = {}) {
    options.address = "127.0.0.1:0";
    options.credentials = ::grpc::InsecureServerCredentials();
    options.services = {&users};
    options.service_names = {"stockalert.internal.v1.UserInternalService"};
    auto started = Server::Start(options);
    INFO(started.status());
    REQUIRE(started.ok());
    server = *std::move(started);
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(server->port()); }
  // A connection of its own.
  std::shared_ptr<::grpc::Channel> Connect() const {
    ::grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return ::grpc::CreateCustomChannel(address(), ::grpc::InsecureChannelCredentials(), arguments);
  }
  ::grpc::Status Call(const std::shared_ptr<::grpc::Channel>& channel, size_t key_bytes = 1) const {
    ::grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    pb::AuthenticateApiKeyRequest request;
    request.set_api_key(std::string(key_bytes, 'k'));
    pb::AuthenticateApiKeyResponse response;
    return pb::UserInternalService::NewStub(channel)->AuthenticateApiKey(&context, request, &response);
  }
  PortProbeOptions Probe() const {
    return {.name = "test", .address = address(), .credentials = ::grpc::InsecureChannelCredentials()};
  }

  Users users;
  std::unique_ptr<Server> server;
};

int ConnectTo(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd >= 0 && ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
  if (fd >= 0) ::close(fd);
  return -1;
}

// Whether the server keeps it: its first frame comes, or the end.
bool IsServed(int fd) {
  char first = 0;
  return ::recv(fd, &first, 1, 0) == 1;
}

TEST_CASE("an address counts by itself, an IPv6 network as one") {
  const auto network = [](int family, const char* text) {
    sockaddr_storage address{};
    address.ss_family = static_cast<sa_family_t>(family);
    void* to = family == AF_INET ? static_cast<void*>(&reinterpret_cast<sockaddr_in&>(address).sin_addr)
                                 : static_cast<void*>(&reinterpret_cast<sockaddr_in6&>(address).sin6_addr);
    REQUIRE(inet_pton(family, text, to) == 1);
    return NetworkOf(address);
  };
  CHECK(network(AF_INET, "203.0.113.7") == "203.0.113.7");
  CHECK(network(AF_INET6, "::ffff:203.0.113.7") == "203.0.113.7");
  CHECK(network(AF_INET6, "2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64");
  CHECK(network(AF_INET6, "2001:db8:1:2:ffff::1") == network(AF_INET6, "2001:db8:1:2::"));
  CHECK(network(AF_INET6, "2001:db8:1:3::") != network(AF_INET6, "2001:db8:1:2::"));
  CHECK(NetworkOf(sockaddr_storage{}).empty());
}

TEST_CASE("connections above the bound are closed at once, and one that ends makes room") {
  // All of them come from one address, which gets half of all at most.
  for (const int all : {6, 100}) {
    Bench bench({.limits = {.connections_max = all, .connections_per_address_max = all == 6 ? 100 : 3}});
    std::list<int> held;
    for (int i = 0; i < 3; ++i) held.push_back(ConnectTo(bench.server->port()));
    for (const int fd : held) CHECK(IsServed(fd));
    const int refused = ConnectTo(bench.server->port());
    CHECK(!IsServed(refused));
    ::close(refused);
    CHECK(bench.server->refused_connections() >= 1);
    // Three that hold no call are no reason to be dead: the port is busy.
    CHECK(bench.Call(bench.Connect()).error_code() == ::grpc::StatusCode::UNAVAILABLE);
    ::close(held.front());
    held.pop_front();
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!bench.Call(bench.Connect()).ok()) REQUIRE(std::chrono::steady_clock::now() < give_up);
    for (const int fd : held) ::close(fd);
  }
}

TEST_CASE("a trusted proxy's connections are bound by all alone") {
  Bench bench({.limits = {.connections_max = 6, .connections_per_address_max = 2}, .trusted_proxies = "127.0.0.0/8"});
  std::list<int> held;
  for (int i = 0; i < 6; ++i) held.push_back(ConnectTo(bench.server->port()));
  for (const int fd : held) CHECK(IsServed(fd));
  const int refused = ConnectTo(bench.server->port());
  CHECK(!IsServed(refused));
  held.push_back(refused);
  for (const int fd : held) ::close(fd);
}

TEST_CASE("streams take five eighths of the connections at most") {
  CHECK(StreamsThatFit(1000, {.connections_max = 8000}) == 1000);
  CHECK(StreamsThatFit(5000, {.connections_max = 160}) == 100);
  CHECK(StreamsThatFit(5000, {.connections_max = 1}) == 1);
  // What the limit of open files bears.
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit few{1024, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
  CHECK(ConnectionsThatFit(8000) == 768);
  CHECK(StreamsThatFit(5000, {.connections_max = 8000}) == 480);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

// What gRPC's own listener does not live through: no file left for a connection, for a moment.
TEST_CASE("a port that had no file left for its connections accepts again once there are") {
  Bench bench;
  std::array<int, 2> told{};
  std::array<int, 2> said{};
  REQUIRE(::pipe(told.data()) == 0);
  REQUIRE(::pipe(said.data()) == 0);
  const int port = bench.server->port();
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  // The client is a process of its own: its files are not the server's.
  const pid_t client = ::fork();
  if (client == 0) {
    std::array<int, 400> connections{};
    for (int& fd : connections) fd = ConnectTo(port);
    char done = 'c';
    if (::write(said[1], &done, 1) != 1 || ::read(told[0], &done, 1) != 1) ::_exit(1);
    for (const int fd : connections) ::close(fd);
    ::_exit(0);
  }
  REQUIRE(client > 0);
  size_t open = 0;
  for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) ++open;
  rlimit scarce = before;
  scarce.rlim_cur = open + 60;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &scarce) == 0);
  char done = 0;
  const bool connected = ::read(said[0], &done, 1) == 1;
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (bench.server->refused_connections() == 0 && std::chrono::steady_clock::now() < give_up)
    std::this_thread::yield();
  const uint64_t refused = bench.server->refused_connections();
  const bool told_it = ::write(told[1], &done, 1) == 1;
  int status = 0;
  ::waitpid(client, &status, 0);
  // With as few files as before.
  bool answers = false;
  while (!answers && std::chrono::steady_clock::now() < give_up) answers = bench.Call(bench.Connect()).ok();
  setrlimit(RLIMIT_NOFILE, &before);
  for (const int fd : {told[0], told[1], said[0], said[1]}) ::close(fd);
  CHECK(connected);
  CHECK(told_it);
  CHECK(status == 0);
  CHECK(refused > 0);
  CHECK(answers);
}

TEST_CASE("a port is asked by a real call; any answer is one") {
  Bench bench;
  bench.server->SetServing(false);
  PortProbe probe(bench.Probe());
  CHECK(probe.ProbeOnce());
  bench.server->SetServing(true);
  CHECK(probe.ProbeOnce());
  bench.server->Shutdown(absl::Now());
  CHECK(!probe.ProbeOnce());
}

// A port that takes connections and never says anything.
struct DeafPort {
  DeafPort() {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(at);
    REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) == 0);
    REQUIRE(::listen(socket, 100) == 0);
    REQUIRE(::getsockname(socket, reinterpret_cast<sockaddr*>(&at), &length) == 0);
    address = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
  }
  ~DeafPort() { ::close(socket); }
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string address;
};

TEST_CASE("a port that accepts and does not answer is not alive, one that refuses for its bound is") {
  const DeafPort deaf;
  for (const bool refuses : {false, true}) {
    testing::FakeMonotonicClock clock;
    process::Liveness liveness(clock);
    std::atomic<uint64_t> refused{0};
    std::atomic<int> asked{0};
    PortProbe probe({.name = refuses ? "busy" : "deaf",
                     .address = deaf.address,
                     .credentials = ::grpc::InsecureChannelCredentials(),
                     .interval = absl::Milliseconds(1),
                     .timeout = absl::Milliseconds(50),
                     .refused =
                         [&] {
                           ++asked;
                           return refuses ? refused++ : 0;
                         },
                     .liveness = &liveness});
    // Each call is asked about twice.
    while (asked < 4) std::this_thread::yield();
    for (int i = 0; i < 61; ++i) {
      clock.Advance(absl::Seconds(1));
      liveness.Sample();
    }
    const int now = asked;
    while (asked < now + 4) std::this_thread::yield();
    CHECK(liveness.FindStuck().contains(refuses ? "port_busy" : "port_deaf") == !refuses);
  }
}

TEST_CASE("a probe that waits for an answer ends when it is told to") {
  const DeafPort deaf;
  int connection = -1;
  {
    PortProbe probe({.name = "test",
                     .address = deaf.address,
                     .credentials = ::grpc::InsecureChannelCredentials(),
                     .timeout = absl::Hours(1)});
    connection = ::accept(deaf.socket, nullptr, nullptr);  // It is asking.
    CHECK(connection >= 0);
  }
  ::close(connection);
}

TEST_CASE("a message above the bound is refused, one below it is not") {
  Bench bench;
  CHECK(bench.Call(bench.Connect(), 1024 * 1024 - 100).ok());
  CHECK(bench.Call(bench.Connect(), 1024 * 1024 + 1).error_code() == ::grpc::StatusCode::RESOURCE_EXHAUSTED);
}

// A stream of reflection, with its first question answered.
struct Reflecting {
  explicit Reflecting(const std::shared_ptr<::grpc::Channel>& channel)
      : stub(reflection::ServerReflection::NewStub(channel)) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    stream = stub->ServerReflectionInfo(&context);
  }
  bool Ask(const reflection::ServerReflectionRequest& request) {
    return stream->Write(request) && stream->Read(&answer);
  }
  ::grpc::ClientContext context;
  std::unique_ptr<reflection::ServerReflection::Stub> stub;
  std::unique_ptr<::grpc::ClientReaderWriter<reflection::ServerReflectionRequest, reflection::ServerReflectionResponse>>
      stream;
  reflection::ServerReflectionResponse answer;
};

TEST_CASE("reflection tells services, files and symbols, and what is unknown") {
  Bench bench;
  Reflecting one(bench.Connect());
  reflection::ServerReflectionRequest request;
  request.set_list_services("");
  REQUIRE(one.Ask(request));
  std::set<std::string> names;
  for (const auto& service : one.answer.list_services_response().service()) names.insert(service.name());
  CHECK(names == std::set<std::string>{"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection",
                                       "stockalert.internal.v1.UserInternalService"});
  request.set_file_containing_symbol("stockalert.internal.v1.UserInternalService");
  REQUIRE(one.Ask(request));
  CHECK(one.answer.file_descriptor_response().file_descriptor_proto_size() >= 1);
  CHECK(one.answer.original_request().file_containing_symbol() == "stockalert.internal.v1.UserInternalService");
  request.set_file_by_filename("grpc/health/v1/health.proto");
  REQUIRE(one.Ask(request));
  CHECK(one.answer.file_descriptor_response().file_descriptor_proto_size() == 1);
  request.set_file_containing_symbol("no.such.Thing");
  REQUIRE(one.Ask(request));
  CHECK(one.answer.error_response().error_code() == static_cast<int>(::grpc::StatusCode::NOT_FOUND));
  request.set_all_extension_numbers_of_type("google.protobuf.MethodOptions");
  REQUIRE(one.Ask(request));
  CHECK(one.answer.all_extension_numbers_response().base_type_name() == "google.protobuf.MethodOptions");
  request.mutable_file_containing_extension()->set_containing_type("google.protobuf.MethodOptions");
  request.mutable_file_containing_extension()->set_extension_number(1);
  REQUIRE(one.Ask(request));
  CHECK(one.answer.has_error_response());
  REQUIRE(one.Ask(reflection::ServerReflectionRequest()));
  CHECK(one.answer.error_response().error_code() == static_cast<int>(::grpc::StatusCode::INVALID_ARGUMENT));
  one.stream->WritesDone();
  CHECK(one.stream->Finish().ok());
}

size_t Threads() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& task : std::filesystem::directory_iterator("/proc/self/task")) ++count;
  return count;
}

TEST_CASE("any number of reflection's streams take no thread each, and the longest give way to others") {
  Bench bench({.limits = {.streams_per_connection_max = 1000}});
  reflection::ServerReflectionRequest request;
  request.set_list_services("");
  std::list<Reflecting> open;
  const auto channel = bench.Connect();
  REQUIRE(open.emplace_back(channel).Ask(request));
  const size_t threads = Threads();
  size_t refused = 0;
  for (size_t i = 1; i < 400; ++i) {
    Reflecting& one = open.emplace_back(channel);
    if (!one.Ask(request))
      refused += one.stream->Finish().error_code() == ::grpc::StatusCode::RESOURCE_EXHAUSTED ? 1 : 0;
  }
  CHECK(refused == 400 - Reflection::kStreamsMax);
  CHECK(Threads() <= threads + 16);
  // Whoever comes later gets a place within seconds.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(25);
  for (;;) {
    Reflecting other(bench.Connect());
    if (other.Ask(request)) break;
    other.stream->Finish();
    REQUIRE(std::chrono::steady_clock::now() < give_up);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

TEST_CASE("an internal port has no reflection") {
  Bench bench({.name = "internal", .limits = kInternalLimits, .reflection = false});
  Reflecting one(bench.Connect());
  reflection::ServerReflectionRequest request;
  request.set_list_services("");
  CHECK(!one.Ask(request));
  CHECK(one.stream->Finish().error_code() == ::grpc::StatusCode::UNIMPLEMENTED);
  CHECK(bench.Call(bench.Connect()).ok());
}

}  // namespace
}  // namespace stockalert::rpc
