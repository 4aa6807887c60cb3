#include "services/notifier/delivery/destination_service.h"

#include <charconv>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/page_token.h"
#include "services/common/grpc/request_validation.h"
#include "services/common/grpc/resource_name.h"
#include "services/common/grpc/time_convert.h"
#include "services/notifier/delivery/destination_convert.h"
#include "services/notifier/notification_store.h"

namespace stockalert::notifier {
namespace {

namespace npb = ::stockalert::notification::v1;
using rpc::Access;
using rpc::CallContext;

constexpr size_t kDisplayNameMax = 100;

// The ids of a user and of something of the user's.
struct Named {
  std::string user_id;
  std::string id;
};

absl::StatusOr<Named> ReadDestinationName(const CallContext& call, const std::string& name, std::string_view field) {
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<std::string> segments, rpc::ParseOwnName(call.caller, kDestinationName, name,
                                                                                   field, kReasonDestinationNotFound));
  return Named{std::move(segments[0]), std::move(segments[1])};
}

absl::StatusOr<Named> ReadDeliveryName(const CallContext& call, const std::string& name) {
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<std::string> segments,
                              rpc::ParseOwnName(call.caller, kDeliveryName, name, "name", kReasonDeliveryNotFound));
  return Named{std::move(segments[0]), std::move(segments[1])};
}

absl::StatusOr<std::string> UserOf(const CallContext& call, const std::string& parent) {
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<std::string> segments,
                              rpc::ParseOwnName(call.caller, "users/{user}", parent, "parent", "USER_NOT_FOUND"));
  return std::move(segments[0]);
}

DestinationCheck EtagCheck(const std::string& etag) {
  return [etag](const Destination& destination) { return rpc::CheckEtag(etag, destination.id, destination.version); };
}

absl::Status PageTokenInvalid() {
  return base::InvalidField("page_token", "must be the next_page_token of the same list", "PAGE_TOKEN_INVALID");
}

absl::StatusOr<int64_t> ReadNumber(const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return PageTokenInvalid();
  return number;
}

absl::StatusOr<std::optional<DestinationPlace>> PlaceOf(const std::string& scope, const std::string& token) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> place, rpc::DecodePageToken(scope, token, 2));
  if (place.empty()) return std::optional<DestinationPlace>();
  STOCKALERT_ASSIGN_OR_RETURN(const int64_t time_us, ReadNumber(place[0]));
  if (!base::IsUuid(place[1])) return PageTokenInvalid();
  return std::optional<DestinationPlace>({time_us, place[1]});
}

// The filter of a list of deliveries. Names of another user's resources find nothing, as elsewhere.
absl::StatusOr<DeliveryFilter> FilterOf(const CallContext& call, const std::string& user_id,
                                        const npb::ListDeliveriesRequest& asked) {
  DeliveryFilter filter;
  if (!asked.destination().empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(Named named, ReadDestinationName(call, asked.destination(), "destination"));
    if (named.user_id != user_id)
      return base::InvalidField("destination", "must be a destination of the user that `parent` names");
    filter.destination_id = std::move(named.id);
  }
  if (!asked.notification().empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(std::vector<std::string> segments,
                                rpc::ParseOwnName(call.caller, "users/{user}/notifications/{notification}",
                                                  asked.notification(), "notification", "NOTIFICATION_NOT_FOUND"));
    if (segments[0] != user_id)
      return base::InvalidField("notification", "must be a notification of the user that `parent` names");
    filter.notification_id = std::move(segments[1]);
  }
  if (!npb::Delivery::State_IsValid(asked.state())) return base::InvalidField("state", "must be a state of deliveries");
  if (asked.state() != npb::Delivery::STATE_UNSPECIFIED) filter.state = static_cast<DeliveryState>(asked.state());
  return filter;
}

constexpr char kPerMinute[] = "notifications_per_minute_max";

// As asked for; none: it is left to the kind.
std::optional<int> ReadPerMinute(base::FieldViolations& violations, const npb::Destination& wanted) {
  if (!wanted.has_notifications_per_minute_max()) return std::nullopt;
  const int asked = wanted.notifications_per_minute_max();
  violations.Check(asked >= 1 && asked <= kPerMinuteMax, absl::StrCat("destination.", kPerMinute),
                   absl::StrCat("must be 1 to ", kPerMinuteMax));
  return asked;
}

// The kinds that a user may choose from: "webhook, slack".
std::string KindNames(const Kinds& kinds) {
  std::string names;
  for (const auto& kind : kinds.all()) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", std::string(kind->traits().field));
  }
  return names;
}

absl::StatusOr<NewDestination> ReadNew(const npb::CreateDestinationRequest& asked, const Kinds& kinds) {
  base::FieldViolations violations;
  const npb::Destination& wanted = asked.destination();
  rpc::CheckText(violations, "destination.display_name", wanted.display_name(), 0, kDisplayNameMax);
  rpc::CheckRequestId(violations, "request_id", asked.request_id());
  const std::optional<int> per_minute_max = ReadPerMinute(violations, wanted);
  std::optional<AskedSettings> settings = FindSettings(wanted);
  violations.Check(settings.has_value(), "destination", absl::StrCat("must have a kind, one of: ", KindNames(kinds)));
  STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
  return NewDestination{.display_name = wanted.display_name(),
                        .is_default = !wanted.has_is_default() || wanted.is_default(),
                        .settings = *std::move(settings),
                        .per_minute_max = per_minute_max,
                        .template_title = wanted.template_().title(),
                        .template_text = wanted.template_().text()};
}

// Which parts of the template are set; a template that is there but empty is set as a whole.
void AddTemplatePaths(const npb::Destination& wanted, std::set<std::string>& set_fields) {
  if (!wanted.has_template_()) return;
  const size_t before = set_fields.size();
  if (!wanted.template_().title().empty()) set_fields.insert("template.title");
  if (!wanted.template_().text().empty()) set_fields.insert("template.text");
  if (set_fields.size() == before) set_fields.insert("template");
}

absl::StatusOr<DestinationUpdate> ReadUpdate(const npb::UpdateDestinationRequest& asked, const Kinds& kinds) {
  const npb::Destination& wanted = asked.destination();
  std::set<std::string> set_fields = FindSetInputs(wanted, kinds);
  if (!wanted.display_name().empty()) set_fields.insert("display_name");
  if (wanted.has_is_default()) set_fields.insert("is_default");
  if (wanted.has_notifications_per_minute_max()) set_fields.insert(kPerMinute);
  AddTemplatePaths(wanted, set_fields);
  std::set<std::string> allowed = {"display_name", "is_default",     kPerMinute,
                                   "template",     "template.title", "template.text"};
  for (const auto& kind : kinds.all()) {
    for (const std::string_view input : kind->traits().inputs) allowed.insert(KindPath(*kind, input));
  }
  base::FieldViolations violations;
  const std::set<std::string> paths =
      rpc::ResolveFieldMask(violations, "update_mask", asked.update_mask(), allowed, set_fields);
  DestinationUpdate update;
  if (paths.contains("display_name")) {
    rpc::CheckText(violations, "destination.display_name", wanted.display_name(), 0, kDisplayNameMax);
    update.display_name = wanted.display_name();
  }
  // Absent, as on creation: true.
  if (paths.contains("is_default")) update.is_default = !wanted.has_is_default() || wanted.is_default();
  if (paths.contains(kPerMinute)) update.per_minute_max = ReadPerMinute(violations, wanted);
  const bool all_of_template = paths.contains("template");
  if (all_of_template || paths.contains("template.title")) update.template_title = wanted.template_().title();
  if (all_of_template || paths.contains("template.text")) update.template_text = wanted.template_().text();
  for (const auto& kind : kinds.all()) {
    std::optional<AskedSettings> changes = FindChanges(wanted, *kind, paths);
    if (!changes) continue;
    violations.Check(!update.settings.has_value(), "update_mask", "must name fields of one kind only");
    update.settings = std::move(changes);
  }
  STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
  return update;
}

}  // namespace

grpc::ServerUnaryReactor* DestinationServiceImpl::CreateDestination(grpc::CallbackServerContext* context,
                                                                    const npb::CreateDestinationRequest* request,
                                                                    npb::CreateDestinationResponse* response) {
  return rpc::RunUnary(
      runner_, context,
      {.name = "stockalert.notification.v1.DestinationService/CreateDestination",
       .access = Access::kWrite,
       .creates = true},
      request, response,
      [this](const CallContext& call,
             const npb::CreateDestinationRequest& asked) -> absl::StatusOr<npb::CreateDestinationResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string user_id, UserOf(call, asked.parent()));
        STOCKALERT_ASSIGN_OR_RETURN(const NewDestination wanted, ReadNew(asked, kinds_));
        STOCKALERT_ASSIGN_OR_RETURN(IssuedDestination issued, logic_.Create(user_id, wanted, asked.request_id()));
        npb::CreateDestinationResponse answer;
        *answer.mutable_destination() = ToDestination(issued.destination, kinds_, clock_.NowUs());
        answer.set_secret(issued.secret);
        return answer;
      });
}

grpc::ServerUnaryReactor* DestinationServiceImpl::GetDestination(grpc::CallbackServerContext* context,
                                                                 const npb::GetDestinationRequest* request,
                                                                 npb::Destination* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.DestinationService/GetDestination", Access::kRead}, request,
      response,
      [this](const CallContext& call, const npb::GetDestinationRequest& asked) -> absl::StatusOr<npb::Destination> {
        STOCKALERT_ASSIGN_OR_RETURN(const Named named, ReadDestinationName(call, asked.name(), "name"));
        STOCKALERT_ASSIGN_OR_RETURN(const Destination found, logic_.Get(named.user_id, named.id));
        return ToDestination(found, kinds_, clock_.NowUs());
      });
}

grpc::ServerUnaryReactor* DestinationServiceImpl::ListDestinations(grpc::CallbackServerContext* context,
                                                                   const npb::ListDestinationsRequest* request,
                                                                   npb::ListDestinationsResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.DestinationService/ListDestinations", Access::kRead}, request,
      response,
      [this](const CallContext& call,
             const npb::ListDestinationsRequest& asked) -> absl::StatusOr<npb::ListDestinationsResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string user_id, UserOf(call, asked.parent()));
        const std::string scope = rpc::PageScope("ListDestinations", user_id);
        STOCKALERT_ASSIGN_OR_RETURN(const int page_size, rpc::ResolvePageSize(asked.page_size()));
        STOCKALERT_ASSIGN_OR_RETURN(const std::optional<DestinationPlace> after, PlaceOf(scope, asked.page_token()));
        // One item more than the page shows whether there is a next page.
        STOCKALERT_ASSIGN_OR_RETURN(std::vector<Destination> rows, logic_.List(user_id, after, page_size + 1));
        npb::ListDestinationsResponse answer;
        if (rows.size() > static_cast<size_t>(page_size)) {
          rows.pop_back();
          answer.set_next_page_token(
              rpc::EncodePageToken(scope, {std::to_string(rows.back().create_time_us), rows.back().id}));
        }
        const int64_t now_us = clock_.NowUs();
        for (const Destination& row : rows) *answer.add_destinations() = ToDestination(row, kinds_, now_us);
        return answer;
      });
}

grpc::ServerUnaryReactor* DestinationServiceImpl::UpdateDestination(grpc::CallbackServerContext* context,
                                                                    const npb::UpdateDestinationRequest* request,
                                                                    npb::Destination* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.DestinationService/UpdateDestination", Access::kWrite}, request,
      response,
      [this](const CallContext& call, const npb::UpdateDestinationRequest& asked) -> absl::StatusOr<npb::Destination> {
        STOCKALERT_ASSIGN_OR_RETURN(const Named named,
                                    ReadDestinationName(call, asked.destination().name(), "destination.name"));
        STOCKALERT_ASSIGN_OR_RETURN(const DestinationUpdate update, ReadUpdate(asked, kinds_));
        STOCKALERT_ASSIGN_OR_RETURN(const Destination changed, logic_.Update(named.user_id, named.id, update,
                                                                             EtagCheck(asked.destination().etag())));
        return ToDestination(changed, kinds_, clock_.NowUs());
      });
}

grpc::ServerUnaryReactor* DestinationServiceImpl::DeleteDestination(grpc::CallbackServerContext* context,
                                                                    const npb::DeleteDestinationRequest* request,
                                                                    google::protobuf::Empty* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.DestinationService/DeleteDestination", Access::kWrite}, request,
      response,
      [this](const CallContext& call,
             const npb::DeleteDestinationRequest& asked) -> absl::StatusOr<google::protobuf::Empty> {
        STOCKALERT_ASSIGN_OR_RETURN(const Named named, ReadDestinationName(call, asked.name(), "name"));
        STOCKALERT_RETURN_IF_ERROR(logic_.Delete(named.user_id, named.id, EtagCheck(asked.etag())));
        return google::protobuf::Empty();
      });
}

grpc::ServerUnaryReactor* DestinationServiceImpl::VerifyDestination(grpc::CallbackServerContext* context,
                                                                    const npb::VerifyDestinationRequest* request,
                                                                    npb::Destination* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.DestinationService/VerifyDestination", Access::kWrite}, request,
      response,
      [this](const CallContext& call, const npb::VerifyDestinationRequest& asked) -> absl::StatusOr<npb::Destination> {
        STOCKALERT_ASSIGN_OR_RETURN(const Named named, ReadDestinationName(call, asked.name(), "name"));
        STOCKALERT_ASSIGN_OR_RETURN(const Destination after,
                                    asked.code().empty() ? logic_.Verify(named.user_id, named.id)
                                                         : logic_.VerifyByCode(named.user_id, named.id, asked.code()));
        return ToDestination(after, kinds_, clock_.NowUs());
      });
}

grpc::ServerUnaryReactor* DestinationServiceImpl::SendTestNotification(grpc::CallbackServerContext* context,
                                                                       const npb::SendTestNotificationRequest* request,
                                                                       npb::Delivery* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.DestinationService/SendTestNotification", Access::kWrite}, request,
      response,
      [this](const CallContext& call, const npb::SendTestNotificationRequest& asked) -> absl::StatusOr<npb::Delivery> {
        STOCKALERT_ASSIGN_OR_RETURN(const Named named, ReadDestinationName(call, asked.name(), "name"));
        STOCKALERT_ASSIGN_OR_RETURN(const Delivery queued, logic_.SendTest(named.user_id, named.id));
        return ToDelivery(queued);
      });
}

grpc::ServerUnaryReactor* DestinationServiceImpl::RotateDestinationSecret(
    grpc::CallbackServerContext* context, const npb::RotateDestinationSecretRequest* request,
    npb::RotateDestinationSecretResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.DestinationService/RotateDestinationSecret", Access::kWrite},
      request, response,
      [this](const CallContext& call,
             const npb::RotateDestinationSecretRequest& asked) -> absl::StatusOr<npb::RotateDestinationSecretResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const Named named, ReadDestinationName(call, asked.name(), "name"));
        STOCKALERT_ASSIGN_OR_RETURN(IssuedDestination issued, logic_.Rotate(named.user_id, named.id));
        npb::RotateDestinationSecretResponse answer;
        *answer.mutable_destination() = ToDestination(issued.destination, kinds_, clock_.NowUs());
        answer.set_secret(issued.secret);
        return answer;
      });
}

grpc::ServerUnaryReactor* DestinationServiceImpl::ListDeliveries(grpc::CallbackServerContext* context,
                                                                 const npb::ListDeliveriesRequest* request,
                                                                 npb::ListDeliveriesResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.DestinationService/ListDeliveries", Access::kRead}, request,
      response,
      [this](const CallContext& call,
             const npb::ListDeliveriesRequest& asked) -> absl::StatusOr<npb::ListDeliveriesResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string user_id, UserOf(call, asked.parent()));
        STOCKALERT_ASSIGN_OR_RETURN(const DeliveryFilter filter, FilterOf(call, user_id, asked));
        STOCKALERT_ASSIGN_OR_RETURN(const int page_size, rpc::ResolvePageSize(asked.page_size()));
        const std::string scope = rpc::PageScope(
            "ListDeliveries", user_id,
            absl::StrCat(filter.destination_id, "|", filter.notification_id, "|", static_cast<int>(asked.state())));
        STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> place,
                                    rpc::DecodePageToken(scope, asked.page_token(), 1));
        int64_t before = kBeforeAny;
        if (!place.empty()) {
          STOCKALERT_ASSIGN_OR_RETURN(before, ReadNumber(place[0]));
        }
        STOCKALERT_ASSIGN_OR_RETURN(std::vector<Delivery> rows,
                                    logic_.ListDeliveries(user_id, filter, before, page_size + 1));
        npb::ListDeliveriesResponse answer;
        if (rows.size() > static_cast<size_t>(page_size)) {
          rows.pop_back();
          answer.set_next_page_token(rpc::EncodePageToken(scope, {std::to_string(rows.back().number)}));
        }
        for (const Delivery& row : rows) *answer.add_deliveries() = ToDelivery(row);
        return answer;
      });
}

grpc::ServerUnaryReactor* DestinationServiceImpl::GetDelivery(grpc::CallbackServerContext* context,
                                                              const npb::GetDeliveryRequest* request,
                                                              npb::Delivery* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.DestinationService/GetDelivery", Access::kRead}, request, response,
      [this](const CallContext& call, const npb::GetDeliveryRequest& asked) -> absl::StatusOr<npb::Delivery> {
        STOCKALERT_ASSIGN_OR_RETURN(const Named named, ReadDeliveryName(call, asked.name()));
        STOCKALERT_ASSIGN_OR_RETURN(const DeliveryWithAttempts found, logic_.GetDelivery(named.user_id, named.id));
        return ToDelivery(found);
      });
}

grpc::ServerUnaryReactor* DestinationServiceImpl::ReplayDelivery(grpc::CallbackServerContext* context,
                                                                 const npb::ReplayDeliveryRequest* request,
                                                                 npb::Delivery* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.DestinationService/ReplayDelivery", Access::kWrite}, request,
      response,
      [this](const CallContext& call, const npb::ReplayDeliveryRequest& asked) -> absl::StatusOr<npb::Delivery> {
        STOCKALERT_ASSIGN_OR_RETURN(const Named named, ReadDeliveryName(call, asked.name()));
        STOCKALERT_ASSIGN_OR_RETURN(const Delivery replayed, logic_.Replay(named.user_id, named.id));
        return ToDelivery(replayed);
      });
}

grpc::ServerUnaryReactor* DestinationServiceImpl::ReplayDeliveries(grpc::CallbackServerContext* context,
                                                                   const npb::ReplayDeliveriesRequest* request,
                                                                   npb::ReplayDeliveriesResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.DestinationService/ReplayDeliveries", Access::kWrite}, request,
      response,
      [this](const CallContext& call,
             const npb::ReplayDeliveriesRequest& asked) -> absl::StatusOr<npb::ReplayDeliveriesResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const Named named, ReadDestinationName(call, asked.name(), "name"));
        if (!asked.has_since_time()) return base::InvalidField("since_time", "is required");
        STOCKALERT_ASSIGN_OR_RETURN(const int64_t since_us, rpc::TimestampToUs(asked.since_time(), "since_time"));
        STOCKALERT_ASSIGN_OR_RETURN(const int replayed, logic_.ReplaySince(named.user_id, named.id, since_us));
        npb::ReplayDeliveriesResponse answer;
        answer.set_replayed_count(replayed);
        return answer;
      });
}

grpc::ServerUnaryReactor* DestinationServiceImpl::CancelDeliveries(grpc::CallbackServerContext* context,
                                                                   const npb::CancelDeliveriesRequest* request,
                                                                   npb::CancelDeliveriesResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.notification.v1.DestinationService/CancelDeliveries", Access::kWrite}, request,
      response,
      [this](const CallContext& call,
             const npb::CancelDeliveriesRequest& asked) -> absl::StatusOr<npb::CancelDeliveriesResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const Named named, ReadDestinationName(call, asked.name(), "name"));
        STOCKALERT_ASSIGN_OR_RETURN(const int cancelled, logic_.Cancel(named.user_id, named.id));
        npb::CancelDeliveriesResponse answer;
        answer.set_cancelled_count(cancelled);
        return answer;
      });
}

}  // namespace stockalert::notifier
