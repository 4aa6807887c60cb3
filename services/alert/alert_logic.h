// What the alert service does, independent of its transport: creating and changing alerts.
//
// Thread-safe. Calls block on the store, on peers and on the log, at most until the call's deadline. A call returns
// once the change is durable and in the log. If the log does not answer in time, the change stays open and is published
// later. Its arguments must outlive it.
//
// Errors are those of base/error.h, and the refusals of condition/lifecycle unchanged (condition::RefusalReason);
// AlertService turns these into errors of the API.
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
#include "services/alert/creation_groups.h"
#include "services/alert/ticker_holds.h"
#include "services/alert/upstream.h"
#include "services/common/base/clock.h"
#include "services/common/base/ids.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/grpc/caller.h"

namespace stockalert::alert {

// One alert to create.
struct CreationRequest {
  WantedAlert alert;
  std::string request_id;  // Empty: none.
};

// Whether a call does what it says, or only says what it would do.
enum class Effect { kCreate, kValidateOnly };

// An alert that a call names.
struct NamedAlert {
  std::string user_id;
  std::string alert_id;
  // Checks the alert in the state in which it would be changed; an error ends the call. Pure: may be called more than
  // once.
  std::function<absl::Status(const ShownAlert& present)> precondition;
};

// The index of the request that an error of AlertLogic::Create is about; none: it is about the whole call. Its fields
// are those of a CreationRequest ("alert", "alert.symbol", "request_id").
std::optional<size_t> RequestIndexOf(const absl::Status& error);

class AlertLogic {
 public:
  struct Options {
    int64_t alerts_per_user_max = 1000;
    // The part of a call's deadline that is reserved for sending the answer.
    absl::Duration answer_margin = absl::Milliseconds(50);
    // For holds of tickers; must outlive the object. Null: the system's.
    const base::MonotonicClock* clock = nullptr;
  };

  AlertLogic(AlertStore& store, Upstream& upstream, ChangeLog& log, base::IdSource& ids, const base::Clock& clock,
             const Options& options);

  // All or none, in the order asked; a request id that is known returns the alert it created before. INVALID_ARGUMENT:
  // a symbol that the source does not know, a destination that the user does not have (UNKNOWN_DESTINATION), or a
  // request id of another alert (REQUEST_ID_REUSED). NOT_FOUND: no such
  // user (USER_NOT_FOUND), or what was created with a request id has been deleted since (ALERT_NOT_FOUND).
  // RESOURCE_EXHAUSTED (ALERT_QUOTA, WINDOW_QUOTA). DEADLINE_EXCEEDED: nothing was done. Else as the peers' and the
  // store's. kValidateOnly: goes the same way, up to the same transaction, which is rolled back; new alerts come back
  // without an id.
  absl::StatusOr<std::vector<ShownAlert>> Create(const rpc::CallContext& call, const std::string& user_id,
                                                 const std::vector<CreationRequest>& requests,
                                                 Effect effect = Effect::kCreate);

  // Changes of one alert; each returns the changed alert. NOT_FOUND (ALERT_NOT_FOUND), the precondition's error, or the
  // store's. `wanted` computes the new alert from the present one; pure, like the precondition. RESOURCE_EXHAUSTED
  // (WINDOW_QUOTA). `named`: the destinations that the call names, which the user must have (else INVALID_ARGUMENT,
  // UNKNOWN_DESTINATION, of "alert.destinations[2]").
  absl::StatusOr<ShownAlert> Update(
      const rpc::CallContext& call, const NamedAlert& alert, const std::vector<std::string>& named,
      const std::function<absl::StatusOr<WantedAlert>(const StoredAlert& present)>& wanted);
  absl::StatusOr<ShownAlert> Pause(const rpc::CallContext& call, const NamedAlert& alert);
  absl::StatusOr<ShownAlert> Resume(const rpc::CallContext& call, const NamedAlert& alert);
  absl::StatusOr<ShownAlert> Rearm(const rpc::CallContext& call, const NamedAlert& alert);
  absl::Status Delete(const rpc::CallContext& call, const NamedAlert& alert);

 private:
  using Created = std::map<size_t, ShownAlert>;  // By the index of what was asked.
  using Rule = std::function<absl::StatusOr<StoredAlert>(const ShownAlert& present, int64_t now_us)>;

  // The requests whose alerts exist already, by their request ids.
  absl::StatusOr<Created> FindCreated(const std::string& user_id, const std::vector<CreationRequest>& requests);
  // Registers the tickers of the other requests; returns what each symbol asked for is.
  absl::StatusOr<std::map<std::string, RegisteredTicker>> RegisterTickers(const rpc::CallContext& call,
                                                                          const std::vector<CreationRequest>& requests,
                                                                          const Created& created, Effect effect);
  // Of those of which the ticker service did not tell, as this service knows.
  absl::Status FindSplitNumbers(std::map<std::string, RegisteredTicker>& tickers);
  // That the user has the destinations that the other requests name.
  absl::Status CheckDestinations(const rpc::CallContext& call, const std::string& user_id,
                                 const std::vector<CreationRequest>& requests, const Created& created);
  // The new alerts of the other requests, in order.
  absl::StatusOr<std::vector<StoredAlert>> Prepare(const rpc::CallContext& call, const std::string& user_id,
                                                   const std::vector<CreationRequest>& requests, const Created& created,
                                                   Effect effect);
  // Stores them, with those of other calls where nothing else of the user's has to be looked at; or, kValidateOnly,
  // rolls a transaction of their own back.
  absl::Status Store(const rpc::CallContext& call, const std::string& user_id, std::vector<StoredAlert>& alerts,
                     Effect effect);
  // Changes the alert by `rule` and publishes the change.
  absl::StatusOr<ShownAlert> Change(const rpc::CallContext& call, const NamedAlert& alert, const Rule& rule);
  void Publish(const rpc::CallContext& call, const std::vector<StoredAlert>& alerts);

  AlertStore& store_;
  Upstream& upstream_;
  ChangeLog& log_;
  base::IdSource& ids_;
  const base::Clock& clock_;
  const Options options_;
  const base::SystemMonotonicClock system_clock_;
  TickerHolds holds_;
  CreationGroups groups_;
};

}  // namespace stockalert::alert
