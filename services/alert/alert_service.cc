#include "services/alert/alert_service.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/alert/alert_logic.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/page_token.h"
#include "services/common/grpc/request_validation.h"
#include "services/common/grpc/resource_name.h"
#include "services/domain/market/symbol.h"

namespace stockalert::alert {
namespace {

using base::FieldViolations;
using rpc::Access;
using rpc::CallContext;
using rpc::Work;

constexpr size_t kBatchMax = 100;
constexpr int kCreateRoundsMax = 3;
constexpr char kEverybody[] = "users/-";

absl::StatusOr<std::string> ReadParent(const CallContext& call, const std::string& parent) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> segments,
                              rpc::ParseOwnName(call.caller, kUserPattern, parent, "parent", kReasonUserNotFound));
  return segments[0];
}

std::string Below(const std::string& prefix, const char* field) {
  return prefix.empty() ? field : absl::StrCat(prefix, ".", field);
}

absl::Status AlertNotFound(const std::string& name) { return rpc::ResourceNotFound(kReasonAlertNotFound, name); }

// The violations of a peer's INVALID_ARGUMENT below `prefix`; another error as it is.
absl::Status BelowPrefix(const absl::Status& status, const std::string& prefix) {
  if (!absl::IsInvalidArgument(status)) return status;
  FieldViolations violations;
  violations.Merge(status, "symbol", prefix);
  return violations.ToStatus();
}

// Empty where none is asked for.
std::string ReadSymbolFilter(const std::string& text, FieldViolations& violations) {
  if (text.empty()) return "";
  const std::optional<std::string> symbol = market::NormalizeSymbol(text);
  if (!symbol) violations.Add("symbol", market::kSymbolRule);
  return symbol.value_or("");
}

// A number in a page token: what EncodePageToken wrote, or a forgery.
bool ReadNumber(const std::string& text, int64_t& number) { return absl::SimpleAtoi(text, &number); }

absl::Status BadPageToken() {
  return base::InvalidField(
      "page_token", "is not a token of this list: take next_page_token of the page before, and change no other field");
}

}  // namespace

AlertService::AlertService(rpc::CallRunner& runner, AlertStore& store, Upstream& upstream, ChangePublisher& publisher,
                           OutboxSweeper& sweeper, base::IdSource& ids, const base::Clock& clock,
                           const Options& options)
    : runner_(runner),
      store_(store),
      upstream_(upstream),
      publisher_(publisher),
      sweeper_(sweeper),
      ids_(ids),
      clock_(clock),
      options_(options) {}

grpc::ServerUnaryReactor* AlertService::CreateAlert(grpc::CallbackServerContext* context,
                                                    const v1::CreateAlertRequest* request, v1::Alert* response) {
  return rpc::Unary(
      runner_, context, {"stockalert.alert.v1.AlertService/CreateAlert", Access::kWrite, Work::kOthers, true}, request,
      response, [this](const CallContext& call, const v1::CreateAlertRequest& asked) -> absl::StatusOr<v1::Alert> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string user_id, ReadParent(call, asked.parent()));
        FieldViolations violations;
        rpc::CheckRequestId(violations, "request_id", asked.request_id());
        std::optional<WantedAlert> wanted = ReadNewAlert(asked.alert(), "alert", violations);
        STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
        std::vector<Wanted> all;
        all.push_back({*std::move(wanted), asked.request_id(), ""});
        STOCKALERT_ASSIGN_OR_RETURN(const std::vector<AlertView> created, CreateAll(call, user_id, all));
        return ToMessage(created.front(), clock_.NowUs());
      });
}

grpc::ServerUnaryReactor* AlertService::BatchCreateAlerts(grpc::CallbackServerContext* context,
                                                          const v1::BatchCreateAlertsRequest* request,
                                                          v1::BatchCreateAlertsResponse* response) {
  return rpc::Unary(
      runner_, context, {"stockalert.alert.v1.AlertService/BatchCreateAlerts", Access::kWrite, Work::kOthers, true},
      request, response,
      [this](const CallContext& call,
             const v1::BatchCreateAlertsRequest& asked) -> absl::StatusOr<v1::BatchCreateAlertsResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string user_id, ReadParent(call, asked.parent()));
        if (asked.requests_size() < 1 || asked.requests_size() > static_cast<int>(kBatchMax)) {
          return base::InvalidField("requests", absl::StrCat("must be 1 to ", kBatchMax));
        }
        FieldViolations violations;
        std::vector<Wanted> all;
        std::set<std::string> request_ids;
        for (int i = 0; i < asked.requests_size(); ++i) {
          const v1::CreateAlertRequest& one = asked.requests(i);
          const std::string prefix = absl::StrCat("requests[", i, "]");
          if (!one.parent().empty() && one.parent() != asked.parent()) {
            violations.Add(Below(prefix, "parent"), "must be empty or the parent of the whole call");
          }
          rpc::CheckRequestId(violations, Below(prefix, "request_id"), one.request_id());
          if (!one.request_id().empty() && !request_ids.insert(one.request_id()).second) {
            violations.Add(Below(prefix, "request_id"), "is that of another request of the call");
          }
          std::optional<WantedAlert> wanted = ReadNewAlert(one.alert(), Below(prefix, "alert"), violations);
          if (wanted) all.push_back({*std::move(wanted), one.request_id(), prefix});
        }
        STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
        STOCKALERT_ASSIGN_OR_RETURN(const std::vector<AlertView> created, CreateAll(call, user_id, all));
        v1::BatchCreateAlertsResponse answer;
        const int64_t now_us = clock_.NowUs();
        for (const AlertView& view : created) *answer.add_alerts() = ToMessage(view, now_us);
        return answer;
      },
      static_cast<size_t>(std::min(request->requests_size(), static_cast<int>(kBatchMax))));
}

absl::StatusOr<AlertService::Created> AlertService::FindCreated(const std::string& user_id,
                                                                const std::vector<Wanted>& wanted) {
  Created created;
  std::vector<std::string> request_ids;
  for (const Wanted& one : wanted) {
    if (!one.request_id.empty()) request_ids.push_back(one.request_id);
  }
  if (request_ids.empty()) return created;
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<StoredAlert> found, store_.FindByRequestIds(user_id, request_ids));
  if (found.empty()) return created;
  std::map<std::string, const StoredAlert*> by_request;
  std::vector<std::string> ids;
  for (const StoredAlert& alert : found) {
    by_request[alert.request_id] = &alert;
    ids.push_back(alert.id);
  }
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<AlertView> views, store_.FindAll(user_id, ids));
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto known = by_request.find(wanted[i].request_id);
    if (wanted[i].request_id.empty() || known == by_request.end()) continue;
    const StoredAlert& alert = *known->second;
    const WantedAlert& asked = wanted[i].alert;
    if (alert.request_fingerprint != Fingerprint(asked.symbol, asked.definition, asked.note)) {
      return base::InvalidField(Below(wanted[i].prefix, "request_id"),
                                "was used for another alert: take a new one for each alert", kReasonRequestIdReused);
    }
    for (const AlertView& view : views) {
      if (view.alert.id == alert.id) created.emplace(i, view);
    }
    if (created.count(i) == 0) {
      return base::NotFound(kReasonAlertNotFound,
                            "the alert that was created with this request id has been deleted since",
                            {{"name", rpc::FormatName(kAlertPattern, {user_id, alert.id})}});
    }
  }
  return created;
}

absl::StatusOr<std::vector<StoredAlert>> AlertService::Prepare(const CallContext& call, const std::string& user_id,
                                                               const std::vector<Wanted>& wanted,
                                                               const Created& created) {
  STOCKALERT_RETURN_IF_ERROR(upstream_.CheckUser(user_id, call));
  std::map<std::string, std::string> normal;  // By the symbol asked for.
  std::set<std::string> priced;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (created.count(i) > 0) continue;
    const WantedAlert& asked = wanted[i].alert;
    const auto [slot, is_new] = normal.try_emplace(asked.symbol);
    if (is_new) {
      absl::StatusOr<std::string> registered = upstream_.RegisterTicker(asked.symbol, call);
      if (!registered.ok()) return BelowPrefix(registered.status(), Below(wanted[i].prefix, "alert"));
      slot->second = *std::move(registered);
    }
    if (asked.definition.creation_policy == condition::CreationPolicy::kRejectIfMet) priced.insert(slot->second);
  }
  std::map<std::string, LastPrices> prices;
  if (!priced.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(prices, upstream_.GetLastPrices({priced.begin(), priced.end()}, call));
  }
  const int64_t now_us = clock_.NowUs();
  condition::Moment moment;
  moment.wall_time_us = now_us;
  std::vector<StoredAlert> alerts;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (created.count(i) > 0) continue;
    const WantedAlert& asked = wanted[i].alert;
    StoredAlert alert;
    alert.symbol = normal.at(asked.symbol);
    const LastPrices& last = prices[alert.symbol];
    condition::ArmingMarket market;
    market.price_micros = asked.definition.sessions == condition::Sessions::kExtended ? last.extended_price_micros
                                                                                      : last.regular_price_micros;
    market.previous_close_micros = last.previous_close_micros;
    market.day_open_micros = last.day_open_micros;
    absl::StatusOr<condition::AlertRecord> record = condition::Create(asked.definition, moment, market);
    if (!record.ok())
      return FromRefusal(record.status(), Call::kCreate, absl::StrCat(Below(wanted[i].prefix, "alert"), "."));
    alert.id = ids_.NewUuid();
    alert.user_id = user_id;
    alert.record = *std::move(record);
    alert.note = asked.note;
    alert.create_time_us = now_us;
    alert.update_time_us = now_us;
    alert.request_id = wanted[i].request_id;
    if (!alert.request_id.empty()) alert.request_fingerprint = Fingerprint(asked.symbol, asked.definition, asked.note);
    alerts.push_back(std::move(alert));
  }
  return alerts;
}

absl::StatusOr<std::vector<AlertView>> AlertService::CreateAll(const CallContext& call, const std::string& user_id,
                                                               const std::vector<Wanted>& wanted) {
  for (int round = 1;; ++round) {
    STOCKALERT_ASSIGN_OR_RETURN(const Created created, FindCreated(user_id, wanted));
    std::vector<StoredAlert> alerts;
    if (created.size() < wanted.size()) {
      STOCKALERT_ASSIGN_OR_RETURN(alerts, Prepare(call, user_id, wanted, created));
      // The ticker is held until the deadline: a row that came later might stand without it.
      if (absl::Now() >= call.deadline) {
        return base::DeadlineExceeded("DEADLINE_EXCEEDED", "the call's deadline passed before anything was done");
      }
      const absl::Status stored = store_.Create(user_id, alerts, options_.alerts_per_user_max, clock_.NowUs());
      // The same request came twice at once: the other one's alert is the answer.
      if (absl::IsAlreadyExists(stored) && round < kCreateRoundsMax) continue;
      STOCKALERT_RETURN_IF_ERROR(stored);
      Publish(call, alerts);
    }
    std::vector<AlertView> views;
    size_t next = 0;
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (const auto found = created.find(i); found != created.end()) {
        views.push_back(found->second);
        continue;
      }
      AlertView view;
      view.alert = std::move(alerts[next++]);
      view.status.symbol = view.alert.symbol;
      views.push_back(std::move(view));
    }
    return views;
  }
}

void AlertService::Publish(const CallContext& call, const std::vector<StoredAlert>& alerts) {
  publisher_.Publish(alerts, call.trace.Child().Traceparent(), call.deadline - options_.answer_margin);
}

grpc::ServerUnaryReactor* AlertService::GetAlert(grpc::CallbackServerContext* context,
                                                 const v1::GetAlertRequest* request, v1::Alert* response) {
  return rpc::Unary(runner_, context, {"stockalert.alert.v1.AlertService/GetAlert", Access::kRead}, request, response,
                    [this](const CallContext& call, const v1::GetAlertRequest& asked) -> absl::StatusOr<v1::Alert> {
                      STOCKALERT_ASSIGN_OR_RETURN(
                          const std::vector<std::string> segments,
                          rpc::ParseOwnName(call.caller, kAlertPattern, asked.name(), "name", kReasonAlertNotFound));
                      STOCKALERT_ASSIGN_OR_RETURN(const std::optional<AlertView> view,
                                                  store_.Find(segments[0], segments[1]));
                      if (!view) return AlertNotFound(asked.name());
                      return ToMessage(*view, clock_.NowUs());
                    });
}

absl::StatusOr<AlertView> AlertService::Change(const CallContext& call, const std::string& name,
                                               const std::string& field, const std::string& etag,
                                               const Mutation& mutation) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> segments,
                              rpc::ParseOwnName(call.caller, kAlertPattern, name, field, kReasonAlertNotFound));
  int64_t revision = 0;
  absl::StatusOr<AlertView> changed = store_.Change(
      segments[0], segments[1], clock_.NowUs(), [&](const AlertView& present) -> absl::StatusOr<StoredAlert> {
        revision = present.alert.record.revision;
        STOCKALERT_RETURN_IF_ERROR(rpc::CheckEtag(etag, present.alert.id, revision));
        return mutation(present);
      });
  if (absl::IsNotFound(changed.status())) return AlertNotFound(name);
  if (changed.ok() && changed->alert.record.revision != revision) Publish(call, {changed->alert});
  return changed;
}

grpc::ServerUnaryReactor* AlertService::UpdateAlert(grpc::CallbackServerContext* context,
                                                    const v1::UpdateAlertRequest* request, v1::Alert* response) {
  return rpc::Unary(
      runner_, context, {"stockalert.alert.v1.AlertService/UpdateAlert", Access::kWrite, Work::kOthers}, request,
      response, [this](const CallContext& call, const v1::UpdateAlertRequest& asked) -> absl::StatusOr<v1::Alert> {
        FieldViolations violations;
        const std::set<std::string> fields = rpc::ResolveFieldMask(violations, "update_mask", asked.update_mask(),
                                                                   UpdatableFields(), SetFields(asked.alert()));
        STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
        const int64_t now_us = clock_.NowUs();
        STOCKALERT_ASSIGN_OR_RETURN(
            const AlertView view, Change(call, asked.alert().name(), "alert.name", asked.alert().etag(),
                                         [&](const AlertView& present) -> absl::StatusOr<StoredAlert> {
                                           STOCKALERT_ASSIGN_OR_RETURN(const WantedAlert wanted,
                                                                       ReadPatch(asked.alert(), fields, present.alert));
                                           return ApplyUpdate(present, wanted.definition, wanted.note, now_us);
                                         }));
        return ToMessage(view, clock_.NowUs());
      });
}

grpc::ServerUnaryReactor* AlertService::DeleteAlert(grpc::CallbackServerContext* context,
                                                    const v1::DeleteAlertRequest* request,
                                                    google::protobuf::Empty* response) {
  return rpc::Unary(
      runner_, context, {"stockalert.alert.v1.AlertService/DeleteAlert", Access::kWrite, Work::kOthers}, request,
      response,
      [this](const CallContext& call, const v1::DeleteAlertRequest& asked) -> absl::StatusOr<google::protobuf::Empty> {
        const int64_t now_us = clock_.NowUs();
        STOCKALERT_RETURN_IF_ERROR(Change(call, asked.name(), "name", asked.etag(), [&](const AlertView& present) {
                                     return ApplyDelete(present.alert, now_us);
                                   }).status());
        return google::protobuf::Empty();
      });
}

grpc::ServerUnaryReactor* AlertService::PauseAlert(grpc::CallbackServerContext* context,
                                                   const v1::PauseAlertRequest* request, v1::Alert* response) {
  return rpc::Unary(
      runner_, context, {"stockalert.alert.v1.AlertService/PauseAlert", Access::kWrite, Work::kOthers}, request,
      response, [this](const CallContext& call, const v1::PauseAlertRequest& asked) -> absl::StatusOr<v1::Alert> {
        const int64_t now_us = clock_.NowUs();
        STOCKALERT_ASSIGN_OR_RETURN(const AlertView view,
                                    Change(call, asked.name(), "name", asked.etag(),
                                           [&](const AlertView& present) { return ApplyPause(present, now_us); }));
        return ToMessage(view, clock_.NowUs());
      });
}

grpc::ServerUnaryReactor* AlertService::ResumeAlert(grpc::CallbackServerContext* context,
                                                    const v1::ResumeAlertRequest* request, v1::Alert* response) {
  return rpc::Unary(
      runner_, context, {"stockalert.alert.v1.AlertService/ResumeAlert", Access::kWrite, Work::kOthers}, request,
      response, [this](const CallContext& call, const v1::ResumeAlertRequest& asked) -> absl::StatusOr<v1::Alert> {
        const int64_t now_us = clock_.NowUs();
        STOCKALERT_ASSIGN_OR_RETURN(const AlertView view,
                                    Change(call, asked.name(), "name", asked.etag(),
                                           [&](const AlertView& present) { return ApplyResume(present, now_us); }));
        return ToMessage(view, clock_.NowUs());
      });
}

grpc::ServerUnaryReactor* AlertService::RearmAlert(grpc::CallbackServerContext* context,
                                                   const v1::RearmAlertRequest* request, v1::Alert* response) {
  return rpc::Unary(
      runner_, context, {"stockalert.alert.v1.AlertService/RearmAlert", Access::kWrite, Work::kOthers}, request,
      response, [this](const CallContext& call, const v1::RearmAlertRequest& asked) -> absl::StatusOr<v1::Alert> {
        const int64_t now_us = clock_.NowUs();
        STOCKALERT_ASSIGN_OR_RETURN(const AlertView view,
                                    Change(call, asked.name(), "name", asked.etag(),
                                           [&](const AlertView& present) { return ApplyRearm(present, now_us); }));
        return ToMessage(view, clock_.NowUs());
      });
}

absl::StatusOr<v1::ListAlertsResponse> AlertService::List(const CallContext& call,
                                                          const v1::ListAlertsRequest& request) {
  ListFilter filter;
  if (request.parent() == kEverybody) {
    if (!call.caller.is_administrator) {
      return base::PermissionDenied("ADMINISTRATOR_ONLY", "users/- is an administrator's: ask for users/me");
    }
  } else {
    STOCKALERT_ASSIGN_OR_RETURN(filter.user_id, ReadParent(call, request.parent()));
  }
  FieldViolations violations;
  filter.symbol = ReadSymbolFilter(request.symbol(), violations);
  filter.states = ReadStates(request, violations);
  const absl::StatusOr<int> page_size = rpc::PageSize(request.page_size());
  violations.Merge(page_size.status(), "page_size");
  std::string states;
  for (const ShownState state : filter.states) absl::StrAppend(&states, static_cast<int>(state), ",");
  const std::string scope =
      rpc::PageScope("ListAlerts", filter.user_id.value_or("-"), absl::StrCat(filter.symbol, "|", states));
  const absl::StatusOr<std::vector<std::string>> place = rpc::DecodePageToken(scope, request.page_token(), 2);
  violations.Merge(place.status(), "page_token");
  STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
  std::optional<ListPlace> after;
  if (!place->empty()) {
    after.emplace();
    after->alert_id = place->at(1);
    if (!ReadNumber(place->at(0), after->create_time_us) || !base::IsUuid(after->alert_id)) return BadPageToken();
  }
  const int64_t now_us = clock_.NowUs();
  // One more than asked tells whether there is a next page.
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<AlertView> views, store_.List(filter, after, now_us, *page_size + 1));
  v1::ListAlertsResponse response;
  const bool more = static_cast<int>(views.size()) > *page_size;
  if (more) views.pop_back();
  for (const AlertView& view : views) *response.add_alerts() = ToMessage(view, now_us);
  if (more) {
    const StoredAlert& last = views.back().alert;
    response.set_next_page_token(rpc::EncodePageToken(scope, {absl::StrCat(last.create_time_us), last.id}));
  }
  return response;
}

grpc::ServerUnaryReactor* AlertService::ListAlerts(grpc::CallbackServerContext* context,
                                                   const v1::ListAlertsRequest* request,
                                                   v1::ListAlertsResponse* response) {
  return rpc::Unary(runner_, context, {"stockalert.alert.v1.AlertService/ListAlerts", Access::kRead}, request, response,
                    [this](const CallContext& call, const v1::ListAlertsRequest& asked) { return List(call, asked); });
}

absl::StatusOr<v1::ListTriggersResponse> AlertService::ListTriggersOf(const CallContext& call,
                                                                      const v1::ListTriggersRequest& request) {
  constexpr absl::string_view kAllAlerts = "/alerts/-";
  TriggerFilter filter;
  if (absl::EndsWith(request.parent(), kAllAlerts)) {
    STOCKALERT_ASSIGN_OR_RETURN(
        filter.user_id, ReadParent(call, request.parent().substr(0, request.parent().size() - kAllAlerts.size())));
  } else {
    STOCKALERT_ASSIGN_OR_RETURN(
        std::vector<std::string> segments,
        rpc::ParseOwnName(call.caller, kAlertPattern, request.parent(), "parent", kReasonAlertNotFound));
    filter.user_id = segments[0];
    filter.alert_id = segments[1];
  }
  FieldViolations violations;
  const absl::StatusOr<int> page_size = rpc::PageSize(request.page_size());
  violations.Merge(page_size.status(), "page_size");
  const std::string scope =
      rpc::PageScope("ListTriggers", absl::StrCat(filter.user_id, "/", filter.alert_id.value_or("-")));
  const absl::StatusOr<std::vector<std::string>> place = rpc::DecodePageToken(scope, request.page_token(), 3);
  violations.Merge(place.status(), "page_token");
  STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
  std::optional<TriggerPlace> after;
  if (!place->empty()) {
    after.emplace();
    after->alert_id = place->at(1);
    if (!ReadNumber(place->at(0), after->create_time_us) || !base::IsUuid(after->alert_id) ||
        !ReadNumber(place->at(2), after->number)) {
      return BadPageToken();
    }
  }
  if (filter.alert_id) {
    STOCKALERT_ASSIGN_OR_RETURN(const std::optional<AlertView> view, store_.Find(filter.user_id, *filter.alert_id));
    if (!view) return AlertNotFound(request.parent());
  }
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<StoredTrigger> triggers, store_.ListTriggers(filter, after, *page_size + 1));
  v1::ListTriggersResponse response;
  const bool more = static_cast<int>(triggers.size()) > *page_size;
  if (more) triggers.pop_back();
  for (const StoredTrigger& trigger : triggers) *response.add_triggers() = ToMessage(trigger);
  if (more) {
    const StoredTrigger& last = triggers.back();
    response.set_next_page_token(
        rpc::EncodePageToken(scope, {absl::StrCat(last.create_time_us), last.alert_id, absl::StrCat(last.number)}));
  }
  return response;
}

grpc::ServerUnaryReactor* AlertService::ListTriggers(grpc::CallbackServerContext* context,
                                                     const v1::ListTriggersRequest* request,
                                                     v1::ListTriggersResponse* response) {
  return rpc::Unary(
      runner_, context, {"stockalert.alert.v1.AlertService/ListTriggers", Access::kRead}, request, response,
      [this](const CallContext& call, const v1::ListTriggersRequest& asked) { return ListTriggersOf(call, asked); });
}

grpc::ServerUnaryReactor* AlertService::ResyncAlerts(grpc::CallbackServerContext* context,
                                                     const v1::ResyncAlertsRequest* request,
                                                     v1::ResyncAlertsResponse* response) {
  return rpc::Unary(
      runner_, context, {"stockalert.alert.v1.AlertService/ResyncAlerts", Access::kAdministrator}, request, response,
      [this](const CallContext&, const v1::ResyncAlertsRequest& asked) -> absl::StatusOr<v1::ResyncAlertsResponse> {
        FieldViolations violations;
        const std::string symbol = ReadSymbolFilter(asked.symbol(), violations);
        STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
        STOCKALERT_ASSIGN_OR_RETURN(const int64_t count, store_.Count(symbol));
        STOCKALERT_RETURN_IF_ERROR(sweeper_.RequestResync(symbol));
        v1::ResyncAlertsResponse answer;
        answer.set_alert_count(count);
        return answer;
      });
}

}  // namespace stockalert::alert
