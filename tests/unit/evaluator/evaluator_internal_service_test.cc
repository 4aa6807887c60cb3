// Who answers what is asked of an alert: the owner, or whoever knows the owner; and the alert service, which follows
// once.
#include "services/evaluator/evaluator_internal_service.h"

#include <catch2/catch.hpp>

#include <atomic>
#include <map>
#include <memory>

#include "absl/time/clock.h"
#include "services/alert/grpc_explainer.h"
#include "services/common/base/error.h"
#include "services/common/grpc/server.h"
#include "services/common/kafka/partitioner.h"
#include "services/evaluator/evaluator_errors.h"
#include "tests/support/evaluator_store/in_memory_evaluator_store.h"

namespace stockalert::evaluator {
namespace {

namespace ipb = ::stockalert::internal::v1;

constexpr char kMeshToken[] = "the mesh token of tests";
constexpr int kPartitions = 8;
const int32_t kPartition = kafka::PartitionOf("AAPL", kPartitions);

// An evaluator's port, and what its fold says.
struct Evaluator {
  Evaluator(EvaluatorStore& store, const std::string& address)
      : service(
            runner,
            [this](int32_t partition, const std::string& alert_id, absl::Time) -> absl::StatusOr<ExplainedAlert> {
              ++asked;
              if (partition != kPartition || alert_id != "a") return base::Unavailable(kReasonAlertNotApplied, "no");
              return answer;
            },
            store, address) {
    service.SetPartitionCount(kPartitions);
    rpc::ServerOptions options;
    options.address = "127.0.0.1:0";
    options.credentials = grpc::InsecureServerCredentials();
    options.services = {&service};
    options.service_names = {"stockalert.internal.v1.EvaluatorInternalService"};
    server = *rpc::Server::Start(options);
  }
  ~Evaluator() {
    server->Shutdown(absl::Now() + absl::Seconds(2));
    runner.Stop(absl::Now() + absl::Seconds(2));
  }

  void Owns(int64_t epoch) {
    ExplainedAlert explained;
    explained.epoch = epoch;
    explained.next_offset = 42;
    explained.explanation.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, 150'000'000};
    explained.explanation.last_price_micros = 148'500'000;
    explained.explanation.sides.push_back(
        {fold::Readiness::kReady, std::nullopt, {{150'000'000, std::nullopt}}, {}, {}});
    answer = explained;
  }

  std::atomic<int> asked{0};
  absl::StatusOr<ExplainedAlert> answer = base::Unavailable(kReasonPartitionNotOwned, "another's");
  rpc::CallRunner runner{{.name = "internal", .threads = 4, .mesh_token = kMeshToken}};
  EvaluatorInternalService service;
  std::unique_ptr<rpc::Server> server;
};

// Two evaluators and the alert service that asks the first one.
struct Bench {
  testing::InMemoryEvaluatorStore store;
  Evaluator first{store, "first:1"};
  Evaluator second{store, "second:1"};
  std::map<std::string, Evaluator*> at = {{"first:1", &first}, {"second:1", &second}};
  alert::GrpcExplainer explainer{
      [this](const std::string& address) {
        const auto found = at.find(address);
        return found == at.end() ? std::make_shared<rpc::Peer>(rpc::PeerOptions{
                                       .address = "127.0.0.1:1", .credentials = grpc::InsecureChannelCredentials()})
                                 : std::make_shared<rpc::Peer>(found->second->server->InProcessChannel(), kMeshToken);
      },
      "first:1", absl::Seconds(2)};

  absl::StatusOr<ipb::FoldedAlert> Explain(const std::string& alert_id = "a") {
    rpc::CallContext call;
    call.deadline = absl::Now() + absl::Seconds(10);
    return explainer.Explain(alert_id, "AAPL", call);
  }
  std::string ReasonOf() { return base::ReasonOf(Explain().status()); }
};

}  // namespace

TEST_CASE("the owner answers what is asked of it") {
  Bench bench;
  const int64_t epoch = bench.store.AcquirePartition(kPartition, {"one", "first:1"})->epoch;
  bench.first.Owns(epoch);
  const auto folded = bench.Explain();
  REQUIRE(folded.ok());
  CHECK(folded->partition() == kPartition);
  CHECK(folded->next_offset() == 42);
  CHECK(folded->sides(0).trigger_ranges(0).low_micros() == 150'000'000);
  CHECK_FALSE(folded->sides(0).trigger_ranges(0).has_high_micros());
  CHECK(bench.second.asked == 0);
  CHECK(base::ReasonOf(bench.Explain("unknown").status()) == kReasonAlertNotApplied);
}

TEST_CASE("another one names the owner, which is asked then, once") {
  Bench bench;
  bench.second.Owns(bench.store.AcquirePartition(kPartition, {"two", "second:1"})->epoch);
  REQUIRE(bench.Explain().ok());
  CHECK(bench.first.asked == 1);
  CHECK(bench.second.asked == 1);
  // It has lost the partition without anybody having it: no round trips without end.
  bench.second.answer = base::Unavailable(kReasonPartitionNotOwned, "another's");
  CHECK(bench.ReasonOf() == kReasonPartitionNotOwned);
  CHECK(bench.second.asked == 2);
  // The second names the first again.
  REQUIRE(bench.store.AcquirePartition(kPartition, {"two", "third:1"}).ok());
  CHECK(bench.ReasonOf() == "EVALUATOR_UNAVAILABLE");  // Nobody is at that address.
}

TEST_CASE("a fenced evaluator that has not noticed gives no answer of its own") {
  Bench bench;
  bench.first.Owns(bench.store.AcquirePartition(kPartition, {"one", "first:1"})->epoch);
  bench.second.Owns(bench.store.AcquirePartition(kPartition, {"two", "second:1"})->epoch);
  REQUIRE(bench.Explain().ok());
  CHECK(bench.second.asked == 1);
}

TEST_CASE("without an owner, or one that can be reached, the answer is UNAVAILABLE and says what to do") {
  Bench bench;
  CHECK(bench.ReasonOf() == kReasonPartitionNotOwned);  // Nobody has ever had it.
  REQUIRE(bench.store.AcquirePartition(kPartition, "old").ok());
  CHECK(bench.ReasonOf() == kReasonPartitionNotOwned);  // One that answers nobody.
  REQUIRE(bench.store.AcquirePartition(kPartition, {"one", "first:1"}).ok());
  CHECK(bench.ReasonOf() == kReasonPartitionNotOwned);  // It names itself: it has lost it.
  for (const char* reason : {kReasonPartitionRestoring, kReasonPartitionStopped, kReasonEvaluatorStopping}) {
    bench.first.answer = base::Unavailable(reason, "not now");
    CHECK(bench.ReasonOf() == reason);
  }
  bench.first.answer = base::ResourceExhausted(kReasonEvaluatorBusy, "busy");
  CHECK(absl::IsResourceExhausted(bench.Explain().status()));
  CHECK(bench.ReasonOf() == kReasonEvaluatorBusy);
}

TEST_CASE("the evaluator's port takes the mesh's token only, and texts of sound length") {
  Bench bench;
  const auto stub = ipb::EvaluatorInternalService::NewStub(bench.first.server->InProcessChannel());
  ipb::ExplainAlertRequest request;
  ipb::ExplainAlertResponse response;
  grpc::ClientContext stranger;
  CHECK(stub->ExplainAlert(&stranger, request, &response).error_code() == grpc::StatusCode::UNAUTHENTICATED);
  grpc::ClientContext mesh;
  mesh.AddMetadata(rpc::kMeshTokenMetadata, kMeshToken);
  CHECK(stub->ExplainAlert(&mesh, request, &response).error_code() == grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace stockalert::evaluator
