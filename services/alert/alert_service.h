// The public calls on alerts: reads requests, asks the other services, has the store do it, tells the log.
//
// Thread-safe; handlers run on the runner's executor and block there until the call's deadline at the latest. A call
// that changes an alert answers when it is durable and the log has it; where the log does not answer in time, the
// change is open and is published later, which `applied_revision` below `revision` shows. All that it holds must
// outlive it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/alert/alert_convert.h"
#include "services/alert/alert_store.h"
#include "services/alert/change_publisher.h"
#include "services/alert/outbox_sweeper.h"
#include "services/alert/upstream.h"
#include "services/common/base/clock.h"
#include "services/common/base/ids.h"
#include "services/common/grpc/call_runner.h"
#include "stockalert/alert/v1/alert.grpc.pb.h"

namespace stockalert::alert {

class AlertService final : public v1::AlertService::CallbackService {
 public:
  struct Options {
    int64_t alerts_per_user_max = 1000;
    // Kept back from a call's deadline for its answer.
    absl::Duration answer_margin = absl::Milliseconds(50);
  };

  AlertService(rpc::CallRunner& runner, AlertStore& store, Upstream& upstream, ChangePublisher& publisher,
               OutboxSweeper& sweeper, base::IdSource& ids, const base::Clock& clock, const Options& options);

  grpc::ServerUnaryReactor* CreateAlert(grpc::CallbackServerContext* context, const v1::CreateAlertRequest* request,
                                        v1::Alert* response) override;
  grpc::ServerUnaryReactor* BatchCreateAlerts(grpc::CallbackServerContext* context,
                                              const v1::BatchCreateAlertsRequest* request,
                                              v1::BatchCreateAlertsResponse* response) override;
  grpc::ServerUnaryReactor* GetAlert(grpc::CallbackServerContext* context, const v1::GetAlertRequest* request,
                                     v1::Alert* response) override;
  grpc::ServerUnaryReactor* UpdateAlert(grpc::CallbackServerContext* context, const v1::UpdateAlertRequest* request,
                                        v1::Alert* response) override;
  grpc::ServerUnaryReactor* DeleteAlert(grpc::CallbackServerContext* context, const v1::DeleteAlertRequest* request,
                                        google::protobuf::Empty* response) override;
  grpc::ServerUnaryReactor* ListAlerts(grpc::CallbackServerContext* context, const v1::ListAlertsRequest* request,
                                       v1::ListAlertsResponse* response) override;
  grpc::ServerUnaryReactor* PauseAlert(grpc::CallbackServerContext* context, const v1::PauseAlertRequest* request,
                                       v1::Alert* response) override;
  grpc::ServerUnaryReactor* ResumeAlert(grpc::CallbackServerContext* context, const v1::ResumeAlertRequest* request,
                                        v1::Alert* response) override;
  grpc::ServerUnaryReactor* RearmAlert(grpc::CallbackServerContext* context, const v1::RearmAlertRequest* request,
                                       v1::Alert* response) override;
  grpc::ServerUnaryReactor* ListTriggers(grpc::CallbackServerContext* context, const v1::ListTriggersRequest* request,
                                         v1::ListTriggersResponse* response) override;
  grpc::ServerUnaryReactor* ResyncAlerts(grpc::CallbackServerContext* context, const v1::ResyncAlertsRequest* request,
                                         v1::ResyncAlertsResponse* response) override;

 private:
  // One alert to create: what was asked, and what stands before its fields in violations ("", "requests[3]").
  struct Wanted {
    WantedAlert alert;
    std::string request_id;
    std::string prefix;
  };
  using Created = std::map<size_t, AlertView>;  // By the index of what was asked.

  // All or none, in the order asked; those whose request ids are known are the ones created then.
  absl::StatusOr<std::vector<AlertView>> CreateAll(const rpc::CallContext& call, const std::string& user_id,
                                                   const std::vector<Wanted>& wanted);
  // Of `wanted` those that exist by their request ids, by their index.
  absl::StatusOr<Created> FindCreated(const std::string& user_id, const std::vector<Wanted>& wanted);
  absl::StatusOr<std::vector<StoredAlert>> Prepare(const rpc::CallContext& call, const std::string& user_id,
                                                   const std::vector<Wanted>& wanted, const Created& created);
  // Changes the named alert by `mutation`, where `etag` is its present one, and publishes the change.
  absl::StatusOr<AlertView> Change(const rpc::CallContext& call, const std::string& name, const std::string& field,
                                   const std::string& etag, const Mutation& mutation);
  absl::StatusOr<v1::ListAlertsResponse> List(const rpc::CallContext& call, const v1::ListAlertsRequest& request);
  absl::StatusOr<v1::ListTriggersResponse> ListTriggersOf(const rpc::CallContext& call,
                                                          const v1::ListTriggersRequest& request);
  void Publish(const rpc::CallContext& call, const std::vector<StoredAlert>& alerts);

  rpc::CallRunner& runner_;
  AlertStore& store_;
  Upstream& upstream_;
  ChangePublisher& publisher_;
  OutboxSweeper& sweeper_;
  base::IdSource& ids_;
  const base::Clock& clock_;
  const Options options_;
};

}  // namespace stockalert::alert
