// Creating and changing alerts, apart from gRPC: whose refusal it is, what is published, and when nothing is done.
#include "services/alert/alert_logic.h"

#include <catch2/catch.hpp>

#include <mutex>

#include "absl/time/clock.h"
#include "services/alert/alert_errors.h"
#include "services/alert/alert_rules.h"
#include "services/common/base/error.h"
#include "tests/support/alert_store/in_memory_alert_store.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/fake_ids/fake_ids.h"

namespace stockalert::alert {
namespace {

using testing::FakeIds;

const std::string kUser = FakeIds::Uuid(0xaa);

class FakeUpstream final : public Upstream {
 public:
  absl::Status CheckUser(const std::string&, const rpc::CallContext&) override {
    ++users_asked;
    return user;
  }
  absl::StatusOr<RegisteredTicker> RegisterTicker(const std::string& symbol, absl::Duration,
                                                  const rpc::CallContext&) override {
    return AnswerTicker(symbol, registered);
  }
  absl::StatusOr<RegisteredTicker> CheckTicker(const std::string& symbol, const rpc::CallContext&) override {
    return AnswerTicker(symbol, checked);
  }
  absl::StatusOr<std::map<std::string, int64_t>> GetSplitNumbers(const std::vector<std::string>& symbols,
                                                                 const rpc::CallContext&) override {
    ++numbers_asked;
    std::map<std::string, int64_t> numbers;
    for (const std::string& symbol : symbols) {
      if (split_number) numbers[symbol] = *split_number;
    }
    return numbers;
  }
  absl::StatusOr<std::map<std::string, LastPrices>> GetLastPrices(const std::vector<std::string>& symbols,
                                                                  const rpc::CallContext&) override {
    asked = symbols;
    std::map<std::string, LastPrices> prices;
    for (const std::string& symbol : symbols) {
      prices[symbol].regular_price_micros = 160'000'000;
      prices[symbol].split_number = split_of_prices;
    }
    return prices;
  }

  absl::StatusOr<std::set<std::string>> FindDestinations(const std::string& user_id,
                                                         const std::set<std::string>& destination_ids,
                                                         const rpc::CallContext&) override {
    CHECK(user_id == kUser);
    ++looked_up;
    if (!notifier.ok()) return notifier;
    std::set<std::string> known;
    for (const std::string& id : destination_ids) {
      if (destinations.count(id) > 0) known.insert(id);
    }
    return known;
  }

  absl::StatusOr<RegisteredTicker> AnswerTicker(const std::string& symbol, std::vector<std::string>& noted) const {
    noted.push_back(symbol);
    if (symbol == "NONE") return base::InvalidField("symbol", "is known to no source", "UNKNOWN_SYMBOL");
    return RegisteredTicker{symbol, split_number};
  }

  absl::Status user;
  int users_asked = 0;
  int numbers_asked = 0;
  absl::Status notifier;
  std::set<std::string> destinations;
  int looked_up = 0;
  std::vector<std::string> registered;
  std::vector<std::string> checked;  // Only validated.
  std::vector<std::string> asked;    // For last prices.
  std::optional<int64_t> split_number;
  int64_t split_of_prices = 0;
};

class FakeLog final : public ChangeLog {
 public:
  std::vector<std::string> Publish(const std::vector<StoredAlert>& alerts, std::string_view,
                                   absl::Time deadline) override {
    for (const StoredAlert& alert : alerts) published.push_back(alert);
    last_deadline = deadline;
    return {};
  }

  std::vector<StoredAlert> published;
  absl::Time last_deadline;
};

CreationRequest Target(const std::string& symbol, const std::string& request_id = "",
                       condition::CreationPolicy policy = condition::CreationPolicy::kFireIfMet) {
  CreationRequest request;
  request.alert.symbol = symbol;
  request.alert.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, 150'000'000};
  request.alert.definition.creation_policy = policy;
  request.request_id = request_id;
  return request;
}

struct Bench {
  Bench() { call.deadline = absl::Now() + absl::Seconds(60); }
  NamedAlert Named(const ShownAlert& view) const { return {kUser, view.alert.id, nullptr}; }
  int64_t Stored() { return *store.Count(""); }

  testing::FakeClock clock;
  testing::FakeIds ids;
  InMemoryAlertStore store;
  FakeUpstream upstream;
  FakeLog log;
  AlertLogic logic{store, upstream, log, ids, clock, AlertLogic::Options{.alerts_per_user_max = 3}};
  rpc::CallContext call;
};

}  // namespace

TEST_CASE("alerts are created in the order asked, each ticker is registered once, and the log has time to answer") {
  Bench bench;
  const auto created = bench.logic.Create(bench.call, kUser, {Target("MSFT"), Target("AAPL"), Target("MSFT")});
  REQUIRE(created.ok());
  REQUIRE(created->size() == 3);
  CHECK(created->at(0).alert.symbol == "MSFT");
  CHECK(created->at(1).alert.symbol == "AAPL");
  CHECK(created->at(0).alert.id != created->at(2).alert.id);
  CHECK(bench.upstream.registered == std::vector<std::string>{"MSFT", "AAPL"});
  CHECK(bench.upstream.asked.empty());
  CHECK(bench.log.published.size() == 3);
  CHECK(bench.log.last_deadline < bench.call.deadline);
  CHECK(bench.Stored() == 3);
  CHECK(base::ReasonOf(bench.logic.Create(bench.call, kUser, {Target("AAPL")}).status()) == kReasonAlertQuota);
}

TEST_CASE("whose key was answered for is not asked about again, whom an administrator names is") {
  Bench bench;
  bench.upstream.user = base::NotFound(kReasonUserNotFound, "no such user");
  bench.call.caller.user_id = kUser;
  CHECK(bench.logic.Create(bench.call, kUser, {Target("AAPL")}).ok());
  CHECK(bench.upstream.users_asked == 0);
  bench.call.caller = {};
  bench.call.caller.is_administrator = true;
  CHECK(base::ReasonOf(bench.logic.Create(bench.call, kUser, {Target("AAPL")}).status()) == kReasonUserNotFound);
  CHECK(bench.upstream.users_asked == 1);
}

TEST_CASE("a ticker that is held is not registered again, and its last split is as of each call") {
  Bench bench;
  bench.call.deadline = absl::Now() + absl::Seconds(10);
  bench.upstream.split_number = 1;
  const auto first = bench.logic.Create(bench.call, kUser, {Target("AAPL")});
  REQUIRE(first.ok());
  CHECK(first->front().alert.splits_applied == 1);
  bench.upstream.split_number = 2;
  const auto second = bench.logic.Create(bench.call, kUser, {Target("MSFT"), Target("AAPL")});
  REQUIRE(second.ok());
  CHECK(second->at(0).alert.symbol == "MSFT");
  CHECK(second->at(1).alert.symbol == "AAPL");
  CHECK(second->at(1).alert.splits_applied == 2);
  CHECK(bench.upstream.registered == std::vector<std::string>{"AAPL", "MSFT"});
  CHECK(bench.upstream.numbers_asked == 1);
}

TEST_CASE("what is only validated is checked as it would be created, and leaves nothing behind") {
  Bench bench;
  const auto validate = [&](const std::vector<CreationRequest>& requests) {
    return bench.logic.Create(bench.call, kUser, requests, Effect::kValidateOnly);
  };
  const auto checked = validate({Target("AAPL", "r-1"), Target("MSFT")});
  REQUIRE(checked.ok());
  REQUIRE(checked->size() == 2);
  CHECK(checked->at(0).alert.symbol == "AAPL");
  CHECK(checked->at(0).alert.id.empty());
  CHECK(checked->at(1).alert.record.revision == 1);
  CHECK(bench.upstream.checked == std::vector<std::string>{"AAPL", "MSFT"});
  CHECK(bench.upstream.registered.empty());
  CHECK(bench.log.published.empty());
  CHECK(bench.Stored() == 0);

  // Its request id is free, and its place in the quota.
  const auto created = bench.logic.Create(bench.call, kUser, {Target("GOOG", "r-1"), Target("AAPL")});
  REQUIRE(created.ok());
  const std::vector<StoredAlert> published = bench.log.published;
  // Exactly to the quota of three, and no further.
  CHECK(validate({Target("AAPL")}).ok());
  CHECK(base::ReasonOf(validate({Target("AAPL"), Target("AAPL")}).status()) == kReasonAlertQuota);
  // A known request id answers with its alert, as ever.
  const auto known = validate({Target("GOOG", "r-1")});
  REQUIRE(known.ok());
  CHECK(known->front().alert.id == created->front().alert.id);
  CHECK(base::ReasonOf(validate({Target("MSFT", "r-1")}).status()) == kReasonRequestIdReused);
  CHECK(RequestIndexOf(validate({Target("MSFT", "r-1")}).status()) == size_t{0});

  CHECK(absl::IsInvalidArgument(validate({Target("NONE")}).status()));
  CHECK(condition::RefusalReason(validate({Target("MSFT", "", condition::CreationPolicy::kRejectIfMet)}).status()) ==
        condition::kReasonConditionAlreadyMet);
  CreationRequest routed = Target("AAPL");
  routed.alert.routing.destination_ids = {FakeIds::Uuid(0xdd)};
  CHECK(absl::IsInvalidArgument(validate({routed}).status()));
  CHECK(bench.Stored() == 2);
  CHECK(bench.log.published == published);
}

TEST_CASE("a window too many is refused also where it is only validated") {
  Bench bench;
  AlertLogic logic(bench.store, bench.upstream, bench.log, bench.ids, bench.clock,
                   AlertLogic::Options{.alerts_per_user_max = 100});
  const auto window = [](int64_t seconds) {
    CreationRequest request = Target("AAPL");
    condition::PercentChange change;
    change.percent_e4 = 10'000;
    change.reference = condition::PercentReference::kWindow;
    change.window_us = seconds * 1'000'000;
    request.alert.definition.condition = change;
    return request;
  };
  for (int64_t i = 1; i <= static_cast<int64_t>(kWindowLengthsMax); ++i) {
    REQUIRE(logic.Create(bench.call, kUser, {window(i)}, Effect::kValidateOnly).ok());
    REQUIRE(logic.Create(bench.call, kUser, {window(i)}).ok());
  }
  CHECK(base::ReasonOf(logic.Create(bench.call, kUser, {window(1000)}, Effect::kValidateOnly).status()) ==
        kReasonWindowQuota);
  CHECK(logic.Create(bench.call, kUser, {window(1)}, Effect::kValidateOnly).ok());
}

TEST_CASE("a refusal names the request that it is about, and nothing is done") {
  Bench bench;
  const auto met = bench.logic.Create(bench.call, kUser,
                                      {Target("AAPL"), Target("MSFT", "", condition::CreationPolicy::kRejectIfMet)});
  CHECK(RequestIndexOf(met.status()) == size_t{1});
  CHECK(condition::RefusalReason(met.status()) == condition::kReasonConditionAlreadyMet);
  CHECK(bench.upstream.asked == std::vector<std::string>{"MSFT"});

  const auto unknown = bench.logic.Create(bench.call, kUser, {Target("AAPL"), Target("NONE")});
  CHECK(RequestIndexOf(unknown.status()) == size_t{1});
  CHECK(base::ReasonOf(unknown.status()) == "UNKNOWN_SYMBOL");
  REQUIRE(base::FindErrorDetails(unknown.status()));
  CHECK(base::FindErrorDetails(unknown.status())->violations.at(0).field == "alert.symbol");

  bench.upstream.user = base::NotFound(kReasonUserNotFound, "no such user");
  const auto nobody = bench.logic.Create(bench.call, kUser, {Target("AAPL")});
  CHECK(!RequestIndexOf(nobody.status()));
  CHECK(base::ReasonOf(nobody.status()) == kReasonUserNotFound);

  bench.upstream.user = absl::OkStatus();
  bench.call.deadline = absl::Now();
  CHECK(absl::IsDeadlineExceeded(bench.logic.Create(bench.call, kUser, {Target("AAPL")}).status()));
  CHECK(bench.Stored() == 0);
  CHECK(bench.log.published.empty());
}

TEST_CASE("a request id makes one alert, is no other's, and stays known after a deletion") {
  Bench bench;
  const auto first = bench.logic.Create(bench.call, kUser, {Target("AAPL", "r-1")});
  REQUIRE(first.ok());
  const auto both = bench.logic.Create(bench.call, kUser, {Target("AAPL", "r-2"), Target("AAPL", "r-1")});
  REQUIRE(both.ok());
  CHECK(both->at(1).alert.id == first->at(0).alert.id);
  CHECK(bench.Stored() == 2);
  CHECK(bench.log.published.size() == 2);

  const auto other = bench.logic.Create(bench.call, kUser, {Target("AAPL", "r-3"), Target("MSFT", "r-1")});
  CHECK(RequestIndexOf(other.status()) == size_t{1});
  CHECK(base::ReasonOf(other.status()) == kReasonRequestIdReused);

  REQUIRE(bench.logic.Delete(bench.call, bench.Named(first->at(0))).ok());
  const auto gone = bench.logic.Create(bench.call, kUser, {Target("AAPL", "r-1")});
  CHECK(base::ReasonOf(gone.status()) == kReasonAlertNotFound);
  CHECK(base::FindErrorDetails(gone.status())->metadata.at("name") ==
        "users/" + kUser + "/alerts/" + first->at(0).alert.id);
}

TEST_CASE("a change is published where it changes something, under its precondition") {
  Bench bench;
  const auto created = bench.logic.Create(bench.call, kUser, {Target("AAPL")});
  REQUIRE(created.ok());
  NamedAlert named = bench.Named(created->at(0));
  CHECK(bench.logic.Pause(bench.call, named)->alert.record.paused);
  CHECK(bench.log.published.size() == 2);
  CHECK(bench.logic.Pause(bench.call, named)->alert.record.revision == 2);
  CHECK(bench.log.published.size() == 2);
  CHECK(!bench.logic.Resume(bench.call, named)->alert.record.paused);
  CHECK(bench.logic.Rearm(bench.call, named)->alert.record.armed_revision == 4);
  CHECK(bench.log.published.back().record.revision == 4);

  named.precondition = [](const ShownAlert&) { return base::EtagMismatch(); };
  CHECK(absl::IsAborted(bench.logic.Pause(bench.call, named).status()));
  named.precondition = nullptr;
  const auto updated = bench.logic.Update(bench.call, named, {}, [](const StoredAlert& present) {
    return WantedAlert{present.symbol, present.record.definition, "another note"};
  });
  CHECK(updated->alert.note == "another note");
  const auto refused = bench.logic.Update(bench.call, named, {}, [](const StoredAlert& present) {
    WantedAlert wanted{present.symbol, present.record.definition, ""};
    wanted.definition.expire_time_us = 1;
    return wanted;
  });
  CHECK(condition::RefusalField(refused.status()) == "expire_time");
  CHECK(bench.log.published.size() == 5);
  CHECK(bench.logic.Delete(bench.call, named).ok());
  CHECK(bench.log.published.back().record.deleted);
  CHECK(absl::IsNotFound(bench.logic.Delete(bench.call, named)));
}

namespace {

CreationRequest Named(const std::vector<std::string>& destination_ids, const std::string& request_id = "") {
  CreationRequest request = Target("AAPL", request_id);
  request.alert.routing = {message::Route::kNamed, destination_ids, true};
  return request;
}

}  // namespace

TEST_CASE("named destinations are looked up once a call, and an unknown one is refused by its place") {
  Bench bench;
  const std::string first = FakeIds::Uuid(0xd1), second = FakeIds::Uuid(0xd2);
  bench.upstream.destinations = {first, second};
  const auto created = bench.logic.Create(bench.call, kUser, {Named({first}), Target("AAPL"), Named({second, first})});
  REQUIRE(created.ok());
  CHECK(bench.upstream.looked_up == 1);
  CHECK(created->at(0).alert.routing == message::Routing{message::Route::kNamed, {first}, true});
  CHECK(created->at(1).alert.routing == message::Routing());

  const auto unknown = bench.logic.Create(bench.call, kUser, {Target("AAPL"), Named({first, FakeIds::Uuid(0xd3)})});
  CHECK(RequestIndexOf(unknown.status()) == size_t{1});
  CHECK(absl::IsInvalidArgument(unknown.status()));
  CHECK(base::ReasonOf(unknown.status()) == kReasonUnknownDestination);
  CHECK(base::FindErrorDetails(unknown.status())->violations.at(0).field == "alert.destinations[1]");

  const NamedAlert alert = bench.Named(created->at(1));
  const auto update = [&](const std::vector<std::string>& ids) {
    return bench.logic.Update(bench.call, alert, ids, [&](const StoredAlert& present) {
      return WantedAlert{present.symbol, present.record.definition, present.note, {message::Route::kNamed, ids, false}};
    });
  };
  const auto refused = update({FakeIds::Uuid(0xd3)});
  CHECK(base::ReasonOf(refused.status()) == kReasonUnknownDestination);
  CHECK(base::FindErrorDetails(refused.status())->violations.at(0).field == "alert.destinations[0]");
  const auto updated = update({second});
  REQUIRE(updated.ok());
  CHECK(updated->alert.routing.destination_ids == std::vector<std::string>{second});
  CHECK(updated->alert.record.revision == 2);
  CHECK(updated->alert.record.armed_revision == 1);
}

TEST_CASE("without the notifier only what names destinations is unavailable") {
  Bench bench;
  const std::string id = FakeIds::Uuid(0xd1);
  bench.upstream.destinations = {id};
  REQUIRE(bench.logic.Create(bench.call, kUser, {Named({id}, "r-1")}).ok());
  bench.upstream.notifier = base::Unavailable(kReasonNotifierUnavailable, "the notifier does not answer");
  CHECK(bench.logic.Create(bench.call, kUser, {Target("AAPL")}).ok());
  const auto unavailable = bench.logic.Create(bench.call, kUser, {Named({id})});
  CHECK(absl::IsUnavailable(unavailable.status()));
  CHECK(!RequestIndexOf(unavailable.status()));
  // What a request id has made before needs nobody.
  CHECK(bench.logic.Create(bench.call, kUser, {Named({id}, "r-1")}).ok());
  CHECK(bench.Stored() == 2);
}

TEST_CASE("a new alert is stated in the prices of after the last split that the ticker service knows") {
  Bench bench;
  const std::vector<StoredSplit> splits = {{"AAPL", 1, {4, 1}}};
  REQUIRE(bench.store
              .Transact([&](EventTransaction& transaction) {
                transaction.SaveSplits(splits, 0);
                return absl::OkStatus();
              })
              .ok());
  const auto create = [&](condition::CreationPolicy policy) -> absl::StatusOr<StoredAlert> {
    const auto created = bench.logic.Create(bench.call, kUser, {Target("AAPL", "", policy)});
    if (!created.ok()) return created.status();
    return created->front().alert;
  };
  const auto price_of = [&](const StoredAlert& alert) {
    const auto shown = bench.store.Find(kUser, alert.id);
    return std::get<condition::PriceTarget>((*shown)->alert.record.definition.condition).price_micros;
  };
  SECTION("which may be one that this service has not heard of yet") {
    bench.upstream.split_number = 2;
    const auto alert = create(condition::CreationPolicy::kFireIfMet);
    REQUIRE(alert.ok());
    CHECK(alert->splits_applied == 2);
    CHECK(bench.log.published.front().splits_applied == 2);
    CHECK(price_of(*alert) == 150'000'000);
  }
  SECTION("where that cannot tell, as this service knows") {
    const auto alert = create(condition::CreationPolicy::kFireIfMet);
    REQUIRE(alert.ok());
    CHECK(alert->splits_applied == 1);
    CHECK(price_of(*alert) == 150'000'000);
  }
  SECTION("one before it is scaled") {
    bench.upstream.split_number = 0;
    const auto alert = create(condition::CreationPolicy::kFireIfMet);
    REQUIRE(alert.ok());
    // The log is told what was asked, and of which side of the split that is.
    CHECK(bench.log.published.front().splits_applied == 0);
    CHECK(price_of(*alert) == 37'500'000);
  }
  SECTION("what is compared with a last price is of the same side") {
    bench.upstream.split_number = 1;
    bench.upstream.split_of_prices = 0;
    CHECK(base::ReasonOf(create(condition::CreationPolicy::kRejectIfMet).status()) == "PRICES_NOT_READY");
    CHECK(bench.Stored() == 0);
    bench.upstream.split_of_prices = 2;
    CHECK(absl::IsFailedPrecondition(create(condition::CreationPolicy::kRejectIfMet).status()));
    CHECK(bench.Stored() == 0);
    CreationRequest above = Target("AAPL", "", condition::CreationPolicy::kRejectIfMet);
    above.alert.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, 170'000'000};
    const auto created = bench.logic.Create(bench.call, kUser, {above});
    REQUIRE(created.ok());
    CHECK(created->front().alert.splits_applied == 2);
  }
}

}  // namespace stockalert::alert
