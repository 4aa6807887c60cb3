#include "services/alert/alert_logic.h"

#include <set>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/alert/alert_errors.h"
#include "services/alert/alert_rules.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"

namespace stockalert::alert {
namespace {

constexpr int kCreateRoundsMax = 3;
constexpr char kRequestPayload[] = "stockalert.alert/request";

absl::Status OfRequest(absl::Status error, size_t index) {
  error.SetPayload(kRequestPayload, absl::Cord(absl::StrCat(index)));
  return error;
}

// The peer's violations are those of the alert that was asked for; another error is about the whole call.
absl::Status OfTicker(const absl::Status& error, size_t index) {
  if (!absl::IsInvalidArgument(error)) return error;
  base::FieldViolations violations;
  violations.Merge(error, "symbol", "alert");
  return OfRequest(violations.ToStatus(), index);
}

// The error of the first of `ids` that is not `known`.
absl::Status FindUnknown(const std::vector<std::string>& ids, const std::set<std::string>& known) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (known.count(ids[i]) > 0) continue;
    return base::InvalidField(absl::StrCat("alert.destinations[", i, "]"),
                              "is not a destination of the alert's user: ListDestinations lists them",
                              kReasonUnknownDestination);
  }
  return absl::OkStatus();
}

// Ends a transaction that was only to show that it would go through. Never a caller's.
absl::Status NothingKept() {
  return base::MakeError(absl::StatusCode::kCancelled, "validated, and rolled back", base::ErrorDetails());
}

absl::Status SplitUnderWay(const std::string& symbol) {
  return base::Unavailable("PRICES_NOT_READY",
                           absl::StrCat("the last price of ", symbol,
                                        " is from before a split that is being taken in; try again in a moment"),
                           {{"symbol", symbol}});
}

condition::ArmingMarket MarketFor(const condition::Definition& definition, const LastPrices& last) {
  condition::ArmingMarket market;
  market.price_micros =
      definition.sessions == condition::Sessions::kExtended ? last.extended_price_micros : last.regular_price_micros;
  market.previous_close_micros = last.previous_close_micros;
  market.day_open_micros = last.day_open_micros;
  return market;
}

// Those that exist and those that are new, in the order asked.
std::vector<ShownAlert> Merged(size_t count, const std::map<size_t, ShownAlert>& created,
                               std::vector<StoredAlert> alerts) {
  std::vector<ShownAlert> views;
  size_t next = 0;
  for (size_t i = 0; i < count; ++i) {
    if (const auto found = created.find(i); found != created.end()) {
      views.push_back(found->second);
      continue;
    }
    ShownAlert view;
    view.alert = std::move(alerts[next++]);
    view.status.symbol = view.alert.symbol;
    views.push_back(std::move(view));
  }
  return views;
}

}  // namespace

std::optional<size_t> RequestIndexOf(const absl::Status& error) {
  const absl::optional<absl::Cord> payload = error.GetPayload(kRequestPayload);
  int64_t index = 0;
  if (!payload || !absl::SimpleAtoi(std::string(*payload), &index)) return std::nullopt;
  return static_cast<size_t>(index);
}

AlertLogic::AlertLogic(AlertStore& store, Upstream& upstream, ChangeLog& log, base::IdSource& ids,
                       const base::Clock& clock, const Options& options)
    : store_(store),
      upstream_(upstream),
      log_(log),
      ids_(ids),
      clock_(clock),
      options_(options),
      holds_(upstream, options.clock == nullptr ? system_clock_ : *options.clock),
      groups_(store, clock, {.quota = options.alerts_per_user_max}) {}

absl::StatusOr<std::vector<ShownAlert>> AlertLogic::Create(const rpc::CallContext& call, const std::string& user_id,
                                                           const std::vector<CreationRequest>& requests,
                                                           Effect effect) {
  for (int round = 1;; ++round) {
    STOCKALERT_ASSIGN_OR_RETURN(const Created created, FindCreated(user_id, requests));
    std::vector<StoredAlert> alerts;
    if (created.size() < requests.size()) {
      STOCKALERT_ASSIGN_OR_RETURN(alerts, Prepare(call, user_id, requests, created, effect));
      // The ticker is held until the deadline: a row that came later might stand without it.
      if (absl::Now() >= call.deadline) {
        return base::DeadlineExceeded("DEADLINE_EXCEEDED", "the call's deadline passed before anything was done");
      }
      const absl::Status stored = Store(call, user_id, alerts, effect);
      // The same request came twice at once: the other one's alert is the answer.
      if (absl::IsAlreadyExists(stored) && round < kCreateRoundsMax) continue;
      STOCKALERT_RETURN_IF_ERROR(stored);
      if (effect == Effect::kCreate) Publish(call, alerts);
    }
    return Merged(requests.size(), created, std::move(alerts));
  }
}

absl::Status AlertLogic::Store(const rpc::CallContext& call, const std::string& user_id,
                               std::vector<StoredAlert>& alerts, Effect effect) {
  if (effect == Effect::kCreate && WindowsOf(alerts).empty()) return groups_.Create(user_id, alerts, call.deadline);
  const absl::Status stored =
      store_.Create(user_id, alerts, options_.alerts_per_user_max, clock_.NowUs(), [&](const OtherWindows& others) {
        STOCKALERT_RETURN_IF_ERROR(AdmitWindows(alerts, others));
        // An error rolls back what was written, quota and all.
        return effect == Effect::kCreate ? absl::OkStatus() : NothingKept();
      });
  if (effect == Effect::kCreate || !absl::IsCancelled(stored)) return stored;
  for (StoredAlert& alert : alerts) alert.id.clear();
  return absl::OkStatus();
}

absl::StatusOr<AlertLogic::Created> AlertLogic::FindCreated(const std::string& user_id,
                                                            const std::vector<CreationRequest>& requests) {
  Created created;
  std::vector<std::string> request_ids;
  for (const CreationRequest& request : requests) {
    if (!request.request_id.empty()) request_ids.push_back(request.request_id);
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
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<ShownAlert> views, store_.FindAll(user_id, ids));
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto known = by_request.find(requests[i].request_id);
    if (requests[i].request_id.empty() || known == by_request.end()) continue;
    const StoredAlert& alert = *known->second;
    const WantedAlert& asked = requests[i].alert;
    if (alert.request_fingerprint != Fingerprint(asked)) {
      return OfRequest(base::InvalidField("request_id", "was used for another alert: take a new one for each alert",
                                          kReasonRequestIdReused),
                       i);
    }
    for (const ShownAlert& view : views) {
      if (view.alert.id == alert.id) created.emplace(i, view);
    }
    if (created.count(i) == 0) {
      return base::NotFound(kReasonAlertNotFound,
                            "the alert that was created with this request id has been deleted since",
                            {{"name", AlertName(user_id, alert.id)}});
    }
  }
  return created;
}

absl::StatusOr<std::map<std::string, RegisteredTicker>> AlertLogic::RegisterTickers(
    const rpc::CallContext& call, const std::vector<CreationRequest>& requests, const Created& created, Effect effect) {
  std::map<std::string, RegisteredTicker> normal;
  std::vector<std::string> symbols;
  std::vector<size_t> first;  // Of the requests that name it.
  for (size_t i = 0; i < requests.size(); ++i) {
    if (created.count(i) > 0 || !normal.try_emplace(requests[i].alert.symbol).second) continue;
    symbols.push_back(requests[i].alert.symbol);
    first.push_back(i);
  }
  std::vector<absl::StatusOr<RegisteredTicker>> tickers;
  if (effect == Effect::kCreate) {
    tickers = holds_.Register(symbols, call);
  } else {
    for (const std::string& symbol : symbols) {
      tickers.push_back(upstream_.CheckTicker(symbol, call));
      if (!tickers.back().ok()) break;
    }
  }
  for (size_t i = 0; i < tickers.size(); ++i) {
    if (!tickers[i].ok()) return OfTicker(tickers[i].status(), first[i]);
    normal[symbols[i]] = *std::move(tickers[i]);
  }
  STOCKALERT_RETURN_IF_ERROR(FindSplitNumbers(normal));
  return normal;
}

absl::Status AlertLogic::FindSplitNumbers(std::map<std::string, RegisteredTicker>& tickers) {
  std::vector<std::string> symbols;
  for (const auto& [asked, ticker] : tickers) {
    if (!ticker.split_number) symbols.push_back(ticker.symbol);
  }
  if (symbols.empty()) return absl::OkStatus();
  STOCKALERT_ASSIGN_OR_RETURN(const auto numbers, store_.FindSplitNumbers(symbols));
  for (auto& [asked, ticker] : tickers) {
    if (ticker.split_number) continue;
    const auto known = numbers.find(ticker.symbol);
    ticker.split_number = known == numbers.end() ? 0 : known->second;
  }
  return absl::OkStatus();
}

absl::Status AlertLogic::CheckDestinations(const rpc::CallContext& call, const std::string& user_id,
                                           const std::vector<CreationRequest>& requests, const Created& created) {
  std::set<std::string> named;
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::vector<std::string>& ids = requests[i].alert.routing.destination_ids;
    if (created.count(i) == 0) named.insert(ids.begin(), ids.end());
  }
  if (named.empty()) return absl::OkStatus();
  STOCKALERT_ASSIGN_OR_RETURN(const std::set<std::string> known, upstream_.FindDestinations(user_id, named, call));
  for (size_t i = 0; i < requests.size(); ++i) {
    if (created.count(i) > 0) continue;
    const absl::Status unknown = FindUnknown(requests[i].alert.routing.destination_ids, known);
    if (!unknown.ok()) return OfRequest(unknown, i);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StoredAlert>> AlertLogic::Prepare(const rpc::CallContext& call, const std::string& user_id,
                                                             const std::vector<CreationRequest>& requests,
                                                             const Created& created, Effect effect) {
  // A user's own key was answered for a few seconds ago. Who was deleted since is refused by the store once it has
  // heard of that; until then the user's alerts are deleted with the others.
  if (call.caller.user_id != user_id) STOCKALERT_RETURN_IF_ERROR(upstream_.CheckUser(user_id, call));
  STOCKALERT_RETURN_IF_ERROR(CheckDestinations(call, user_id, requests, created));
  STOCKALERT_ASSIGN_OR_RETURN(const auto normal, RegisterTickers(call, requests, created, effect));
  std::set<std::string> priced;
  for (size_t i = 0; i < requests.size(); ++i) {
    const WantedAlert& asked = requests[i].alert;
    if (created.count(i) > 0 || asked.definition.creation_policy != condition::CreationPolicy::kRejectIfMet) continue;
    priced.insert(normal.at(asked.symbol).symbol);
  }
  std::map<std::string, LastPrices> prices;
  if (!priced.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(prices, upstream_.GetLastPrices({priced.begin(), priced.end()}, call));
  }
  const int64_t now_us = clock_.NowUs();
  condition::Moment moment;
  moment.wall_time_us = now_us;
  std::vector<StoredAlert> alerts;
  for (size_t i = 0; i < requests.size(); ++i) {
    if (created.count(i) > 0) continue;
    const WantedAlert& asked = requests[i].alert;
    StoredAlert alert;
    const RegisteredTicker& ticker = normal.at(asked.symbol);
    alert.symbol = ticker.symbol;
    alert.splits_applied = ticker.split_number.value_or(0);
    if (priced.count(alert.symbol) > 0) {
      // A split between the two answers: what is compared is of one side of it.
      const int64_t of_prices = prices[alert.symbol].split_number;
      if (of_prices < alert.splits_applied) return SplitUnderWay(alert.symbol);
      alert.splits_applied = of_prices;
    }
    absl::StatusOr<condition::AlertRecord> record =
        condition::CreateAlert(asked.definition, moment, MarketFor(asked.definition, prices[alert.symbol]));
    if (!record.ok()) return OfRequest(record.status(), i);
    alert.id = ids_.NewUuid();
    alert.user_id = user_id;
    alert.record = *std::move(record);
    alert.note = asked.note;
    alert.routing = asked.routing;
    alert.create_time_us = now_us;
    alert.update_time_us = now_us;
    alert.request_id = requests[i].request_id;
    if (!alert.request_id.empty()) alert.request_fingerprint = Fingerprint(asked);
    alerts.push_back(std::move(alert));
  }
  return alerts;
}

absl::StatusOr<ShownAlert> AlertLogic::Update(
    const rpc::CallContext& call, const NamedAlert& alert, const std::vector<std::string>& named,
    const std::function<absl::StatusOr<WantedAlert>(const StoredAlert& present)>& wanted) {
  if (!named.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(
        const std::set<std::string> known,
        upstream_.FindDestinations(alert.user_id, std::set<std::string>(named.begin(), named.end()), call));
    STOCKALERT_RETURN_IF_ERROR(FindUnknown(named, known));
  }
  return Change(call, alert, [&](const ShownAlert& present, int64_t now_us) -> absl::StatusOr<StoredAlert> {
    STOCKALERT_ASSIGN_OR_RETURN(const WantedAlert asked, wanted(present.alert));
    return ApplyUpdate(present, asked, now_us);
  });
}

absl::StatusOr<ShownAlert> AlertLogic::Pause(const rpc::CallContext& call, const NamedAlert& alert) {
  return Change(call, alert, ApplyPause);
}

absl::StatusOr<ShownAlert> AlertLogic::Resume(const rpc::CallContext& call, const NamedAlert& alert) {
  return Change(call, alert, ApplyResume);
}

absl::StatusOr<ShownAlert> AlertLogic::Rearm(const rpc::CallContext& call, const NamedAlert& alert) {
  return Change(call, alert, ApplyRearm);
}

absl::Status AlertLogic::Delete(const rpc::CallContext& call, const NamedAlert& alert) {
  return Change(call, alert,
                [](const ShownAlert& present, int64_t now_us) { return ApplyDelete(present.alert, now_us); })
      .status();
}

absl::StatusOr<ShownAlert> AlertLogic::Change(const rpc::CallContext& call, const NamedAlert& alert, const Rule& rule) {
  const int64_t now_us = clock_.NowUs();
  int64_t revision = 0;
  absl::StatusOr<ShownAlert> changed =
      store_.Change(alert.user_id, alert.alert_id, now_us,
                    [&](const ShownAlert& present, const OtherWindows& others) -> absl::StatusOr<StoredAlert> {
                      revision = present.alert.record.revision;
                      if (alert.precondition) STOCKALERT_RETURN_IF_ERROR(alert.precondition(present));
                      return AdmitChange(present.alert, rule(present, now_us), others);
                    });
  if (changed.ok() && changed->alert.record.revision != revision) Publish(call, {changed->alert});
  return changed;
}

void AlertLogic::Publish(const rpc::CallContext& call, const std::vector<StoredAlert>& alerts) {
  log_.Publish(alerts, call.trace.Child().Traceparent(), call.deadline - options_.answer_margin);
}

}  // namespace stockalert::alert
