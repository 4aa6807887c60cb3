// What the alert service does, apart from how it is called: creating alerts and changing them.
//
// Thread-safe. Calls block on the store, on peers and on the log, at most until the call's deadline. A call answers
// when what it did is durable and the log has it; where the log does not answer in time, the change is open and is
// published later. All that it holds must outlive it.
//
// Errors are those of base/error.h, and condition/lifecycle's refusals as they are (condition::RefusalReason): how the
// API says those is the edge's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/alert/alert_store.h"
#include "services/alert/change_log.h"
#include "services/alert/upstream.h"
#include "services/common/base/clock.h"
#include "services/common/base/ids.h"
#include "services/common/grpc/caller.h"

namespace stockalert::alert {

// One alert to create.
struct CreationRequest {
  WantedAlert alert;
  std::string request_id;  // Empty: none.
};

// An alert that a call names.
struct NamedAlert {
  std::string user_id;
  std::string alert_id;
  // Has to hold for the alert as it is when it is changed; its error ends the call. Pure: may be called more than once.
  std::function<absl::Status(const ShownAlert& present)> precondition;
};

// Which of the requests an error of AlertLogic::Create is about, its fields being those of a CreationRequest ("alert",
// "alert.symbol", "request_id"); none: about the whole call.
std::optional<size_t> RequestOf(const absl::Status& error);

class AlertLogic {
 public:
  struct Options {
    int64_t alerts_per_user_max = 1000;
    // Kept back from a call's deadline for its answer.
    absl::Duration answer_margin = absl::Milliseconds(50);
  };

  AlertLogic(AlertStore& store, Upstream& upstream, ChangeLog& log, base::IdSource& ids, const base::Clock& clock,
             const Options& options);

  // All or none, in the order asked; those whose request ids are known are the ones created then. INVALID_ARGUMENT:
  // a symbol that the source does not know, or a request id of another alert (REQUEST_ID_REUSED). NOT_FOUND: no such
  // user (USER_NOT_FOUND), or what was created with a request id has been deleted since (ALERT_NOT_FOUND).
  // RESOURCE_EXHAUSTED (ALERT_QUOTA, WINDOW_QUOTA). DEADLINE_EXCEEDED: nothing was done. Else as the peers' and the
  // store's.
  absl::StatusOr<std::vector<ShownAlert>> Create(const rpc::CallContext& call, const std::string& user_id,
                                                 const std::vector<CreationRequest>& requests);

  // What a call changes of its alert; each answers the alert as it is then. NOT_FOUND (ALERT_NOT_FOUND), the
  // precondition's error, or the store's.
  // `wanted` says what the present alert is to become. Pure, as the precondition. RESOURCE_EXHAUSTED (WINDOW_QUOTA).
  absl::StatusOr<ShownAlert> Update(
      const rpc::CallContext& call, const NamedAlert& alert,
      const std::function<absl::StatusOr<WantedAlert>(const StoredAlert& present)>& wanted);
  absl::StatusOr<ShownAlert> Pause(const rpc::CallContext& call, const NamedAlert& alert);
  absl::StatusOr<ShownAlert> Resume(const rpc::CallContext& call, const NamedAlert& alert);
  absl::StatusOr<ShownAlert> Rearm(const rpc::CallContext& call, const NamedAlert& alert);
  absl::Status Delete(const rpc::CallContext& call, const NamedAlert& alert);

 private:
  using Created = std::map<size_t, ShownAlert>;  // By the index of what was asked.
  using Rule = std::function<absl::StatusOr<StoredAlert>(const ShownAlert& present, int64_t now_us)>;

  // Of the requests those whose alerts exist by their request ids.
  absl::StatusOr<Created> FindCreated(const std::string& user_id, const std::vector<CreationRequest>& requests);
  // Registers the tickers of the others; answers the symbols in their normal form, by the symbols asked for.
  absl::StatusOr<std::map<std::string, std::string>> RegisterTickers(const rpc::CallContext& call,
                                                                     const std::vector<CreationRequest>& requests,
                                                                     const Created& created);
  // The new alerts of the others, in their order.
  absl::StatusOr<std::vector<StoredAlert>> Prepare(const rpc::CallContext& call, const std::string& user_id,
                                                   const std::vector<CreationRequest>& requests,
                                                   const Created& created);
  // Changes the alert by `rule` and publishes the change.
  absl::StatusOr<ShownAlert> Change(const rpc::CallContext& call, const NamedAlert& alert, const Rule& rule);
  void Publish(const rpc::CallContext& call, const std::vector<StoredAlert>& alerts);

  AlertStore& store_;
  Upstream& upstream_;
  ChangeLog& log_;
  base::IdSource& ids_;
  const base::Clock& clock_;
  const Options options_;
};

}  // namespace stockalert::alert
