// The public calls on alerts: reads requests, calls AlertLogic or the store, and converts the results.
//
// Thread-safe; handlers run on the runner's executor and block there until the call's deadline at the latest. A change
// that the evaluator has not applied yet shows as `applied_revision` below `revision`. Its arguments must outlive it.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "services/alert/alert_convert.h"
#include "services/alert/alert_logic.h"
#include "services/alert/alert_store.h"
#include "services/alert/explainer.h"
#include "services/alert/outbox_sweeper.h"
#include "services/common/base/clock.h"
#include "services/common/grpc/call_runner.h"
#include "stockalert/alert/v1/alert.grpc.pb.h"

namespace stockalert::alert {

class AlertService final : public v1::AlertService::CallbackService {
 public:
  AlertService(rpc::CallRunner& runner, AlertLogic& logic, AlertStore& store, OutboxSweeper& sweeper,
               Explainer& explainer, const base::Clock& clock)
      : runner_(runner), logic_(logic), store_(store), sweeper_(sweeper), explainer_(explainer), clock_(clock) {}

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
  grpc::ServerUnaryReactor* ExplainAlert(grpc::CallbackServerContext* context, const v1::ExplainAlertRequest* request,
                                         v1::AlertExplanation* response) override;
  grpc::ServerUnaryReactor* ListTriggers(grpc::CallbackServerContext* context, const v1::ListTriggersRequest* request,
                                         v1::ListTriggersResponse* response) override;
  grpc::ServerUnaryReactor* ResyncAlerts(grpc::CallbackServerContext* context, const v1::ResyncAlertsRequest* request,
                                         v1::ResyncAlertsResponse* response) override;

 private:
  // The answer to a change of the alert called `name`.
  absl::StatusOr<v1::Alert> Answer(const absl::StatusOr<ShownAlert>& changed, Call call, const std::string& name);
  absl::StatusOr<v1::ListAlertsResponse> List(const rpc::CallContext& call, const v1::ListAlertsRequest& request);
  absl::StatusOr<v1::ListTriggersResponse> ListTriggersOf(const rpc::CallContext& call,
                                                          const v1::ListTriggersRequest& request);

  rpc::CallRunner& runner_;
  AlertLogic& logic_;
  AlertStore& store_;
  OutboxSweeper& sweeper_;
  Explainer& explainer_;
  const base::Clock& clock_;
};

}  // namespace stockalert::alert
