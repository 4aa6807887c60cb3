// The user service's answers over a real server: an address counts as its user's own only where that says so.
#include "services/notifier/own_address.h"

#include <grpcpp/grpcpp.h>

#include <catch2/catch.hpp>
#include <latch>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/grpc/server.h"
#include "services/common/grpc/status_convert.h"
#include "stockalert/internal/v1/user_internal.grpc.pb.h"

namespace stockalert::notifier {
namespace {

namespace ipb = ::stockalert::internal::v1;

class Users final : public ipb::UserInternalService::Service {
 public:
  ::grpc::Status GetUser(::grpc::ServerContext* /*context*/, const ipb::GetUserRequest* request,
                         ipb::GetUserResponse* response) override {
    asked = request->user_id();
    if (hold != nullptr) hold->wait();
    *response = answer;
    return rpc::ToGrpc(failure);
  }
  std::string asked;
  ipb::GetUserResponse answer;
  absl::Status failure;
  std::latch* hold = nullptr;
};

struct Fixture {
  explicit Fixture(absl::Duration timeout = absl::Seconds(20)) {
    auto started = rpc::Server::Start({.address = "127.0.0.1:0",
                                       .credentials = ::grpc::InsecureServerCredentials(),
                                       .services = {&service},
                                       .service_names = {}});
    REQUIRE(started.ok());
    server = *std::move(started);
    peer = std::make_unique<rpc::Peer>(server->InProcessChannel(), "token");
    own_address = std::make_unique<OwnAddress>(*peer, timeout);
    service.answer.set_email("ann@example.org");
    service.answer.set_email_verified(true);
  }
  ~Fixture() { server->Shutdown(absl::Now() + absl::Seconds(5)); }

  Users service;
  std::unique_ptr<rpc::Server> server;
  std::unique_ptr<rpc::Peer> peer;
  std::unique_ptr<OwnAddress> own_address;
};

TEST_CASE("an address that its user has verified is the user's own, another one is not") {
  Fixture f;
  CHECK(f.own_address->Find("7") == "ann@example.org");
  CHECK(f.service.asked == "7");
  f.service.answer.set_email_verified(false);
  CHECK(f.own_address->Find("7").empty());
  // As a version answers that tells neither.
  f.service.answer.Clear();
  CHECK(f.own_address->Find("7").empty());
}

TEST_CASE("no address is a user's own where the user service does not say so") {
  Fixture f;
  f.service.failure = base::Unavailable("DATABASE_UNAVAILABLE", "the database is away");
  CHECK(f.own_address->Find("7").empty());
  f.service.failure = absl::NotFoundError("no such user");
  CHECK(f.own_address->Find("7").empty());
}

TEST_CASE("a user service that does not answer in time says nothing") {
  Fixture f(absl::Milliseconds(50));
  std::latch release(1);
  f.service.hold = &release;
  const std::string found = f.own_address->Find("7");
  release.count_down();
  CHECK(found.empty());
}

}  // namespace
}  // namespace stockalert::notifier
