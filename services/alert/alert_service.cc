#include "services/alert/alert_service.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/alert/alert_errors.h"
#include "services/alert/alert_rules.h"
#include "services/alert/explanation_convert.h"
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
constexpr char kEverybody[] = "users/-";

absl::StatusOr<std::string> ReadParent(const CallContext& call, const std::string& parent) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> segments,
                              rpc::ParseOwnName(call.caller, kUserPattern, parent, "parent", kReasonUserNotFound));
  return segments[0];
}

std::string FieldPath(const std::string& prefix, const char* field) {
  return prefix.empty() ? field : absl::StrCat(prefix, ".", field);
}

absl::Status AlertNotFound(const std::string& name) { return rpc::ResourceNotFound(kReasonAlertNotFound, name); }

// The alert that a request names, to be changed where `etag` is empty or its present one.
absl::StatusOr<NamedAlert> ReadName(const CallContext& call, const std::string& name, const std::string& field,
                                    const std::string& etag) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> segments,
                              rpc::ParseOwnName(call.caller, kAlertPattern, name, field, kReasonAlertNotFound));
  return NamedAlert{segments[0], segments[1], [etag](const ShownAlert& present) {
                      return rpc::CheckEtag(etag, EtagIdOf(present.alert), present.alert.record.revision);
                    }};
}

// An error of AlertLogic's changes, in the API's words.
absl::Status ToChangeError(const absl::Status& error, Call call, const std::string& name) {
  if (absl::IsNotFound(error)) return AlertNotFound(name);
  return condition::RefusalReason(error).empty() ? error : ToApiError(error, call, "alert.");
}

Effect EffectOf(bool validate_only) { return validate_only ? Effect::kValidateOnly : Effect::kCreate; }

// An error of AlertLogic::Create, in the API's words. `prefixes`: what stands before the fields of each request.
absl::Status ToCreateError(const absl::Status& error, const std::vector<std::string>& prefixes) {
  const std::optional<size_t> request = RequestIndexOf(error);
  if (!request) return error;
  const std::string& prefix = prefixes[*request];
  if (!condition::RefusalReason(error).empty()) {
    return ToApiError(error, Call::kCreate, FieldPath(prefix, "alert."));
  }
  FieldViolations violations;
  violations.Merge(error, "", prefix);
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

grpc::ServerUnaryReactor* AlertService::CreateAlert(grpc::CallbackServerContext* context,
                                                    const v1::CreateAlertRequest* request, v1::Alert* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.alert.v1.AlertService/CreateAlert", Access::kWrite, Work::kOthers, true}, request,
      response, [this](const CallContext& call, const v1::CreateAlertRequest& asked) -> absl::StatusOr<v1::Alert> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string user_id, ReadParent(call, asked.parent()));
        FieldViolations violations;
        rpc::CheckRequestId(violations, "request_id", asked.request_id());
        std::optional<WantedAlert> wanted = ReadNewAlert(asked.alert(), user_id, "alert", violations);
        STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
        const auto created =
            logic_.Create(call, user_id, {{*std::move(wanted), asked.request_id()}}, EffectOf(asked.validate_only()));
        if (!created.ok()) return ToCreateError(created.status(), {""});
        return ToMessage(created->front(), clock_.NowUs());
      });
}

grpc::ServerUnaryReactor* AlertService::BatchCreateAlerts(grpc::CallbackServerContext* context,
                                                          const v1::BatchCreateAlertsRequest* request,
                                                          v1::BatchCreateAlertsResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.alert.v1.AlertService/BatchCreateAlerts", Access::kWrite, Work::kOthers, true},
      request, response,
      [this](const CallContext& call,
             const v1::BatchCreateAlertsRequest& asked) -> absl::StatusOr<v1::BatchCreateAlertsResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string user_id, ReadParent(call, asked.parent()));
        if (asked.requests_size() < 1 || asked.requests_size() > static_cast<int>(kBatchMax)) {
          return base::InvalidField("requests", absl::StrCat("must be 1 to ", kBatchMax));
        }
        FieldViolations violations;
        std::vector<CreationRequest> all;
        std::vector<std::string> prefixes;
        std::set<std::string> request_ids;
        for (int i = 0; i < asked.requests_size(); ++i) {
          const v1::CreateAlertRequest& one = asked.requests(i);
          const std::string prefix = absl::StrCat("requests[", i, "]");
          if (!one.parent().empty() && one.parent() != asked.parent()) {
            violations.Add(FieldPath(prefix, "parent"), "must be empty or the parent of the whole call");
          }
          if (one.validate_only() && !asked.validate_only()) {
            violations.Add(FieldPath(prefix, "validate_only"),
                           "must be that of the whole call: all or none are created");
          }
          rpc::CheckRequestId(violations, FieldPath(prefix, "request_id"), one.request_id());
          if (!one.request_id().empty() && !request_ids.insert(one.request_id()).second) {
            violations.Add(FieldPath(prefix, "request_id"), "is that of another request of the call");
          }
          std::optional<WantedAlert> wanted =
              ReadNewAlert(one.alert(), user_id, FieldPath(prefix, "alert"), violations);
          if (wanted) all.push_back({*std::move(wanted), one.request_id()});
          prefixes.push_back(prefix);
        }
        STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
        const auto created = logic_.Create(call, user_id, all, EffectOf(asked.validate_only()));
        if (!created.ok()) return ToCreateError(created.status(), prefixes);
        v1::BatchCreateAlertsResponse answer;
        const int64_t now_us = clock_.NowUs();
        for (const ShownAlert& view : *created) *answer.add_alerts() = ToMessage(view, now_us);
        return answer;
      },
      static_cast<size_t>(std::min(request->requests_size(), static_cast<int>(kBatchMax))));
}

grpc::ServerUnaryReactor* AlertService::GetAlert(grpc::CallbackServerContext* context,
                                                 const v1::GetAlertRequest* request, v1::Alert* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.alert.v1.AlertService/GetAlert", Access::kRead}, request, response,
      [this](const CallContext& call, const v1::GetAlertRequest& asked) -> absl::StatusOr<v1::Alert> {
        STOCKALERT_ASSIGN_OR_RETURN(
            const std::vector<std::string> segments,
            rpc::ParseOwnName(call.caller, kAlertPattern, asked.name(), "name", kReasonAlertNotFound));
        STOCKALERT_ASSIGN_OR_RETURN(const std::optional<ShownAlert> view, store_.Find(segments[0], segments[1]));
        if (!view) return AlertNotFound(asked.name());
        return ToMessage(*view, clock_.NowUs());
      });
}

absl::StatusOr<v1::Alert> AlertService::Answer(const absl::StatusOr<ShownAlert>& changed, Call call,
                                               const std::string& name) {
  if (!changed.ok()) return ToChangeError(changed.status(), call, name);
  return ToMessage(*changed, clock_.NowUs());
}

grpc::ServerUnaryReactor* AlertService::UpdateAlert(grpc::CallbackServerContext* context,
                                                    const v1::UpdateAlertRequest* request, v1::Alert* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.alert.v1.AlertService/UpdateAlert", Access::kWrite, Work::kOthers}, request,
      response, [this](const CallContext& call, const v1::UpdateAlertRequest& asked) -> absl::StatusOr<v1::Alert> {
        FieldViolations violations;
        const std::set<std::string> fields = rpc::ResolveFieldMask(violations, "update_mask", asked.update_mask(),
                                                                   UpdatableFields(), FieldsSetIn(asked.alert()));
        STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
        STOCKALERT_ASSIGN_OR_RETURN(const NamedAlert alert,
                                    ReadName(call, asked.alert().name(), "alert.name", asked.alert().etag()));
        std::vector<std::string> named;
        if (fields.count("destinations") > 0) {
          STOCKALERT_ASSIGN_OR_RETURN(named, ReadDestinations(asked.alert(), alert.user_id));
        }
        const auto wanted = [&](const StoredAlert& present) { return ReadPatch(asked.alert(), fields, present); };
        return Answer(logic_.Update(call, alert, named, wanted), Call::kUpdate, asked.alert().name());
      });
}

grpc::ServerUnaryReactor* AlertService::DeleteAlert(grpc::CallbackServerContext* context,
                                                    const v1::DeleteAlertRequest* request,
                                                    google::protobuf::Empty* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.alert.v1.AlertService/DeleteAlert", Access::kWrite, Work::kOthers}, request,
      response,
      [this](const CallContext& call, const v1::DeleteAlertRequest& asked) -> absl::StatusOr<google::protobuf::Empty> {
        STOCKALERT_ASSIGN_OR_RETURN(const NamedAlert alert, ReadName(call, asked.name(), "name", asked.etag()));
        const absl::Status deleted = logic_.Delete(call, alert);
        if (!deleted.ok()) return ToChangeError(deleted, Call::kStateChange, asked.name());
        return google::protobuf::Empty();
      });
}

grpc::ServerUnaryReactor* AlertService::PauseAlert(grpc::CallbackServerContext* context,
                                                   const v1::PauseAlertRequest* request, v1::Alert* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.alert.v1.AlertService/PauseAlert", Access::kWrite, Work::kOthers}, request,
      response, [this](const CallContext& call, const v1::PauseAlertRequest& asked) -> absl::StatusOr<v1::Alert> {
        STOCKALERT_ASSIGN_OR_RETURN(const NamedAlert alert, ReadName(call, asked.name(), "name", asked.etag()));
        return Answer(logic_.Pause(call, alert), Call::kStateChange, asked.name());
      });
}

grpc::ServerUnaryReactor* AlertService::ResumeAlert(grpc::CallbackServerContext* context,
                                                    const v1::ResumeAlertRequest* request, v1::Alert* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.alert.v1.AlertService/ResumeAlert", Access::kWrite, Work::kOthers}, request,
      response, [this](const CallContext& call, const v1::ResumeAlertRequest& asked) -> absl::StatusOr<v1::Alert> {
        STOCKALERT_ASSIGN_OR_RETURN(const NamedAlert alert, ReadName(call, asked.name(), "name", asked.etag()));
        return Answer(logic_.Resume(call, alert), Call::kStateChange, asked.name());
      });
}

grpc::ServerUnaryReactor* AlertService::RearmAlert(grpc::CallbackServerContext* context,
                                                   const v1::RearmAlertRequest* request, v1::Alert* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.alert.v1.AlertService/RearmAlert", Access::kWrite, Work::kOthers}, request,
      response, [this](const CallContext& call, const v1::RearmAlertRequest& asked) -> absl::StatusOr<v1::Alert> {
        STOCKALERT_ASSIGN_OR_RETURN(const NamedAlert alert, ReadName(call, asked.name(), "name", asked.etag()));
        return Answer(logic_.Rearm(call, alert), Call::kStateChange, asked.name());
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
  const absl::StatusOr<int> page_size = rpc::ResolvePageSize(request.page_size());
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
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<ShownAlert> views, store_.List(filter, after, now_us, *page_size + 1));
  v1::ListAlertsResponse response;
  const bool more = static_cast<int>(views.size()) > *page_size;
  if (more) views.pop_back();
  for (const ShownAlert& view : views) *response.add_alerts() = ToMessage(view, now_us);
  if (more) {
    const StoredAlert& last = views.back().alert;
    response.set_next_page_token(rpc::EncodePageToken(scope, {absl::StrCat(last.create_time_us), last.id}));
  }
  return response;
}

grpc::ServerUnaryReactor* AlertService::ListAlerts(grpc::CallbackServerContext* context,
                                                   const v1::ListAlertsRequest* request,
                                                   v1::ListAlertsResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.alert.v1.AlertService/ListAlerts", Access::kRead}, request, response,
      [this](const CallContext& call, const v1::ListAlertsRequest& asked) { return List(call, asked); });
}

grpc::ServerUnaryReactor* AlertService::ExplainAlert(grpc::CallbackServerContext* context,
                                                     const v1::ExplainAlertRequest* request,
                                                     v1::AlertExplanation* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.alert.v1.AlertService/ExplainAlert", Access::kRead, Work::kOthers}, request,
      response,
      [this](const CallContext& call, const v1::ExplainAlertRequest& asked) -> absl::StatusOr<v1::AlertExplanation> {
        STOCKALERT_ASSIGN_OR_RETURN(
            const std::vector<std::string> segments,
            rpc::ParseOwnName(call.caller, kAlertPattern, asked.name(), "name", kReasonAlertNotFound));
        STOCKALERT_ASSIGN_OR_RETURN(const std::optional<ShownAlert> view, store_.Find(segments[0], segments[1]));
        if (!view) return AlertNotFound(asked.name());
        const std::string& symbol = view->alert.symbol;
        STOCKALERT_ASSIGN_OR_RETURN(const internal::v1::FoldedAlert folded,
                                    explainer_.Explain(view->alert.id, symbol, call));
        return ToMessage(AlertName(segments[0], segments[1]), symbol, folded);
      });
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
  const absl::StatusOr<int> page_size = rpc::ResolvePageSize(request.page_size());
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
    STOCKALERT_ASSIGN_OR_RETURN(const std::optional<ShownAlert> view, store_.Find(filter.user_id, *filter.alert_id));
    if (!view) return AlertNotFound(request.parent());
  }
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<RecordedTrigger> triggers,
                              store_.ListTriggers(filter, after, *page_size + 1));
  v1::ListTriggersResponse response;
  const bool more = static_cast<int>(triggers.size()) > *page_size;
  if (more) triggers.pop_back();
  for (const RecordedTrigger& trigger : triggers) *response.add_triggers() = ToMessage(trigger);
  if (more) {
    const RecordedTrigger& last = triggers.back();
    response.set_next_page_token(
        rpc::EncodePageToken(scope, {absl::StrCat(last.create_time_us), last.alert_id, absl::StrCat(last.number)}));
  }
  return response;
}

grpc::ServerUnaryReactor* AlertService::ListTriggers(grpc::CallbackServerContext* context,
                                                     const v1::ListTriggersRequest* request,
                                                     v1::ListTriggersResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.alert.v1.AlertService/ListTriggers", Access::kRead}, request, response,
      [this](const CallContext& call, const v1::ListTriggersRequest& asked) { return ListTriggersOf(call, asked); });
}

grpc::ServerUnaryReactor* AlertService::ResyncAlerts(grpc::CallbackServerContext* context,
                                                     const v1::ResyncAlertsRequest* request,
                                                     v1::ResyncAlertsResponse* response) {
  return rpc::RunUnary(
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
