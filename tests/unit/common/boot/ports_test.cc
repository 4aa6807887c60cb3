#include "services/common/boot/ports.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/client_unary_call.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <httplib.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "grpc/health/v1/health.pb.h"
#include "stockalert/internal/v1/user_internal.grpc.pb.h"

namespace stockalert::boot {
namespace {

constexpr char kCheck[] = "/grpc.health.v1.Health/Check";
constexpr char kName[] = "stockalert.internal.v1.UserInternalService";

struct Bench {
  Bench() {
    tls::Settings settings;
    settings.plaintext = true;
    credentials = *rpc::Credentials::Create(settings);
    ports = *Ports::Claim({.http_address = "127.0.0.1:0", .internal_address = "127.0.0.1:0"});
  }

  std::string Readiness() const {
    const httplib::Result answer = httplib::Client("127.0.0.1", ports->http_port()).Get("/readyz");
    return answer ? answer->body : "no answer";
  }
  std::string Health() const {
    const auto channel =
        ::grpc::CreateChannel(absl::StrCat("127.0.0.1:", ports->internal_port()), ::grpc::InsecureChannelCredentials());
    ::grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(10)));
    ::grpc::health::v1::HealthCheckRequest request;
    request.set_service(kName);
    ::grpc::health::v1::HealthCheckResponse response;
    const ::grpc::Status status =
        ::grpc::internal::BlockingUnaryCall<::grpc::health::v1::HealthCheckRequest,
                                            ::grpc::health::v1::HealthCheckResponse, google::protobuf::MessageLite,
                                            google::protobuf::MessageLite>(
            channel.get(), ::grpc::internal::RpcMethod(kCheck, nullptr, ::grpc::internal::RpcMethod::NORMAL_RPC),
            &context, request, &response);
    return status.ok() ? ::grpc::health::v1::HealthCheckResponse::ServingStatus_Name(response.status())
                       : status.error_message();
  }

  std::unique_ptr<rpc::Credentials> credentials;
  internal::v1::UserInternalService::CallbackService handler;
  std::unique_ptr<Ports> ports;
};

TEST_CASE("ready and serving from the word on, and no more after the other one") {
  Bench bench;
  CHECK(bench.ports->http_port() == 0);
  std::atomic<int> asked = 0;
  std::atomic<bool> well = true;
  REQUIRE(bench.ports
              ->StartHttp({.starting = "has nothing yet",
                           .other_reasons = [&]() -> std::vector<std::string> {
                             ++asked;
                             if (well) return {};
                             return {"stands by"};
                           }})
              .ok());
  CHECK(bench.Readiness() == "not ready: has nothing yet\n");
  CHECK(asked == 0);
  REQUIRE(bench.ports
              ->StartCalls({.credentials = *bench.credentials, .internal_service = CallService{&bench.handler, kName}})
              .ok());
  CHECK(bench.ports->public_port() == 0);
  CHECK(bench.Health() == "NOT_SERVING");

  bench.ports->SetServing(nullptr, "");
  CHECK(bench.Readiness() == "ready\n");
  CHECK(bench.Health() == "SERVING");
  well = false;
  CHECK(bench.Readiness() == "not ready: stands by\n");

  bench.ports->StopServing();
  CHECK(bench.Readiness() == "not ready: has nothing yet\n");
  CHECK(bench.Health() == "NOT_SERVING");
  bench.ports->StopInternal(absl::Now());
  bench.ports->StopPublic(absl::Now());
  bench.ports->Close();
  CHECK(bench.ports->http_port() == 0);
}

}  // namespace
}  // namespace stockalert::boot
