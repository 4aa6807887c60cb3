#include "services/alert/alert_convert.h"

#include <catch2/catch.hpp>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "services/alert/alert_rules.h"
#include "services/common/base/error.h"
#include "services/common/grpc/time_convert.h"

namespace stockalert::alert {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;

v1::Alert Target(const std::string& price = "150.25") {
  v1::Alert alert;
  alert.set_symbol("AAPL");
  alert.mutable_condition()->mutable_price_target()->set_comparison(v1::PriceTarget::COMPARISON_AT_OR_ABOVE);
  alert.mutable_condition()->mutable_price_target()->set_price(price);
  return alert;
}

v1::Alert Percent(const std::string& percent = "2.5") {
  v1::Alert alert;
  alert.set_symbol("AAPL");
  alert.mutable_condition()->mutable_percent_change()->set_direction(v1::PercentChange::DIRECTION_UP);
  alert.mutable_condition()->mutable_percent_change()->set_percent(percent);
  return alert;
}

v1::Alert Trailing() {
  v1::Alert alert;
  alert.set_symbol("AAPL");
  alert.mutable_condition()->mutable_trailing_change()->set_direction(v1::TrailingChange::DIRECTION_FALLS_FROM_HIGH);
  alert.mutable_condition()->mutable_trailing_change()->set_percent("5");
  return alert;
}

v1::Alert InChannel(const std::string& low = "90", const std::string& high = "110") {
  v1::Alert alert;
  alert.set_symbol("AAPL");
  alert.mutable_condition()->mutable_channel()->set_transition(v1::Channel::TRANSITION_LEAVES);
  alert.mutable_condition()->mutable_channel()->set_low(low);
  alert.mutable_condition()->mutable_channel()->set_high(high);
  return alert;
}

const std::string kUser = "00000000-0000-4000-8000-0000000000aa";
const std::string kFirst = "00000000-0000-4000-8000-0000000000d1";
const std::string kSecond = "00000000-0000-4000-8000-0000000000d2";

std::string DestinationName(const std::string& id, const std::string& user = kUser) {
  return "users/" + user + "/destinations/" + id;
}

std::vector<std::string> FieldsOf(const absl::Status& status) {
  std::vector<std::string> fields;
  const auto details = base::FindErrorDetails(status);
  if (details) {
    for (const base::FieldViolation& violation : details->violations) fields.push_back(violation.field);
  }
  return fields;
}

std::vector<std::string> Violations(const v1::Alert& alert) {
  base::FieldViolations violations;
  const bool read = ReadNewAlert(alert, kUser, "alert", violations).has_value();
  CHECK(read == violations.ok());
  return FieldsOf(violations.ToStatus());
}

v1::Alert With(v1::Alert alert, const std::function<void(v1::Alert&)>& change) {
  change(alert);
  return alert;
}

}  // namespace

TEST_CASE("bad alerts are refused, each by the field that is wrong") {
  struct Row {
    const char* what;
    v1::Alert alert;
    std::string field;
  };
  const std::string kTarget = "alert.condition.price_target.price";
  const std::string kPercent = "alert.condition.percent_change.percent";
  std::vector<Row> rows;
  for (const char* price : {"",
                            "NaN",
                            "nan",
                            "inf",
                            "-inf",
                            "Infinity",
                            "0",
                            "-0",
                            "0.0",
                            "-1",
                            "+1",
                            "1e3",
                            "1E3",
                            "0x10",
                            "1.0000001",
                            "1000000000000.1",
                            "1000000000001",
                            "99999999999999999999999999",
                            " 1",
                            "1 ",
                            "1,5",
                            "1_000",
                            ".",
                            "-",
                            "--1",
                            "1..2",
                            "1.2.3",
                            "٣",
                            "$5",
                            "1/2"}) {
    rows.push_back({price, Target(price), kTarget});
  }
  for (const char* percent : {"", "NaN", "0", "-1", "0.00001", "1e1", "abc"})
    rows.push_back({percent, Percent(percent), kPercent});
  rows.push_back({"no symbol", With(Target(), [](v1::Alert& a) { a.clear_symbol(); }), "alert.symbol"});
  rows.push_back({"blank symbol", With(Target(), [](v1::Alert& a) { a.set_symbol("  "); }), "alert.symbol"});
  rows.push_back(
      {"long symbol", With(Target(), [](v1::Alert& a) { a.set_symbol(std::string(33, 'A')); }), "alert.symbol"});
  rows.push_back({"symbol with a space", With(Target(), [](v1::Alert& a) { a.set_symbol("A B"); }), "alert.symbol"});
  rows.push_back(
      {"symbol with NUL", With(Target(), [](v1::Alert& a) { a.set_symbol(std::string("A\0B", 3)); }), "alert.symbol"});
  rows.push_back({"no condition", With(Target(), [](v1::Alert& a) { a.clear_condition(); }), "alert.condition"});
  rows.push_back(
      {"empty condition", With(Target(), [](v1::Alert& a) { a.mutable_condition()->Clear(); }), "alert.condition"});
  rows.push_back(
      {"no comparison",
       With(Target(), [](v1::Alert& a) { a.mutable_condition()->mutable_price_target()->clear_comparison(); }),
       "alert.condition.price_target.comparison"});
  rows.push_back({"unknown comparison",
                  With(Target(),
                       [](v1::Alert& a) {
                         a.mutable_condition()->mutable_price_target()->set_comparison(
                             static_cast<v1::PriceTarget::Comparison>(99));
                       }),
                  "alert.condition.price_target.comparison"});
  rows.push_back({"100 percent down",
                  With(Percent("100"),
                       [](v1::Alert& a) {
                         a.mutable_condition()->mutable_percent_change()->set_direction(
                             v1::PercentChange::DIRECTION_DOWN);
                       }),
                  kPercent});
  rows.push_back({"100 percent either way",
                  With(Percent("100"),
                       [](v1::Alert& a) {
                         a.mutable_condition()->mutable_percent_change()->set_direction(
                             v1::PercentChange::DIRECTION_EITHER);
                       }),
                  kPercent});
  rows.push_back(
      {"no direction",
       With(Percent(), [](v1::Alert& a) { a.mutable_condition()->mutable_percent_change()->clear_direction(); }),
       "alert.condition.percent_change.direction"});
  rows.push_back(
      {"given price without GIVEN",
       With(Percent(), [](v1::Alert& a) { a.mutable_condition()->mutable_percent_change()->set_given_price("5"); }),
       "alert.condition.percent_change.given_price"});
  rows.push_back({"GIVEN without a price",
                  With(Percent(),
                       [](v1::Alert& a) {
                         a.mutable_condition()->mutable_percent_change()->set_reference(
                             v1::PercentChange::REFERENCE_GIVEN);
                       }),
                  "alert.condition.percent_change.given_price"});
  rows.push_back(
      {"window without WINDOW",
       With(Percent(),
            [](v1::Alert& a) { a.mutable_condition()->mutable_percent_change()->mutable_window()->set_seconds(5); }),
       "alert.condition.percent_change.window"});
  for (const auto& [seconds, nanos] : std::vector<std::pair<int64_t, int32_t>>{{0, 0},
                                                                               {-1, 0},
                                                                               {0, -1000},
                                                                               {1, 1},
                                                                               {0, 999},
                                                                               {1, -1000},
                                                                               {std::numeric_limits<int64_t>::max(), 0},
                                                                               {0, 1'000'000'000}}) {
    rows.push_back({"a bad window",
                    With(Percent(),
                         [seconds = seconds, nanos = nanos](v1::Alert& a) {
                           auto& change = *a.mutable_condition()->mutable_percent_change();
                           change.set_reference(v1::PercentChange::REFERENCE_WINDOW);
                           change.mutable_window()->set_seconds(seconds);
                           change.mutable_window()->set_nanos(nanos);
                         }),
                    "alert.condition.percent_change.window"});
  }
  rows.push_back({"WINDOW without a window",
                  With(Percent(),
                       [](v1::Alert& a) {
                         a.mutable_condition()->mutable_percent_change()->set_reference(
                             v1::PercentChange::REFERENCE_WINDOW);
                       }),
                  "alert.condition.percent_change.window"});
  rows.push_back(
      {"no distance",
       With(Trailing(), [](v1::Alert& a) { a.mutable_condition()->mutable_trailing_change()->clear_distance(); }),
       "alert.condition.trailing_change"});
  rows.push_back(
      {"a distance of 100 percent",
       With(Trailing(), [](v1::Alert& a) { a.mutable_condition()->mutable_trailing_change()->set_percent("100"); }),
       "alert.condition.trailing_change.percent"});
  rows.push_back(
      {"a negative amount",
       With(Trailing(), [](v1::Alert& a) { a.mutable_condition()->mutable_trailing_change()->set_amount("-2"); }),
       "alert.condition.trailing_change.amount"});
  rows.push_back(
      {"an activation price of 0",
       With(Trailing(),
            [](v1::Alert& a) { a.mutable_condition()->mutable_trailing_change()->set_activation_price("0"); }),
       "alert.condition.trailing_change.activation_price"});
  rows.push_back({"an empty channel", InChannel("100", "100"), "alert.condition.channel.low"});
  rows.push_back({"a channel upside down", InChannel("110", "90"), "alert.condition.channel.low"});
  rows.push_back({"a channel without a top", InChannel("90", ""), "alert.condition.channel.high"});
  rows.push_back({"hysteresis of more than half the channel",
                  With(InChannel(), [](v1::Alert& a) { a.set_hysteresis("10.000001"); }), "alert.hysteresis"});
  rows.push_back({"hysteresis of the target", With(Target("10"), [](v1::Alert& a) { a.set_hysteresis("10"); }),
                  "alert.hysteresis"});
  rows.push_back(
      {"negative hysteresis", With(Target(), [](v1::Alert& a) { a.set_hysteresis("-1"); }), "alert.hysteresis"});
  rows.push_back({"hysteresis that is no number", With(Target(), [](v1::Alert& a) { a.set_hysteresis("some"); }),
                  "alert.hysteresis"});
  rows.push_back({"hysteresis on a percent alert", With(Percent(), [](v1::Alert& a) { a.set_hysteresis("1"); }),
                  "alert.hysteresis"});
  rows.push_back({"cooldown with ONCE", With(Target(), [](v1::Alert& a) { a.mutable_cooldown()->set_seconds(1); }),
                  "alert.cooldown"});
  const auto repeating = [](v1::Alert& a) { a.set_trigger_policy(v1::Alert::TRIGGER_POLICY_REPEAT); };
  rows.push_back({"negative cooldown",
                  With(With(Target(), repeating), [](v1::Alert& a) { a.mutable_cooldown()->set_seconds(-1); }),
                  "alert.cooldown"});
  rows.push_back({"cooldown in nanoseconds",
                  With(With(Target(), repeating), [](v1::Alert& a) { a.mutable_cooldown()->set_nanos(1500); }),
                  "alert.cooldown"});
  rows.push_back({"unknown trigger policy",
                  With(Target(), [](v1::Alert& a) { a.set_trigger_policy(static_cast<v1::Alert::TriggerPolicy>(42)); }),
                  "alert.trigger_policy"});
  rows.push_back(
      {"unknown creation policy",
       With(Target(), [](v1::Alert& a) { a.set_creation_policy(static_cast<v1::Alert::CreationPolicy>(-1)); }),
       "alert.creation_policy"});
  rows.push_back({"unknown sessions",
                  With(Target(), [](v1::Alert& a) { a.set_sessions(static_cast<v1::Alert::Sessions>(3)); }),
                  "alert.sessions"});
  rows.push_back({"expiry before 1970", With(Target(), [](v1::Alert& a) { a.mutable_expire_time()->set_seconds(-1); }),
                  "alert.expire_time"});
  rows.push_back(
      {"expiry beyond the calendar",
       With(Target(), [](v1::Alert& a) { a.mutable_expire_time()->set_seconds(std::numeric_limits<int64_t>::max()); }),
       "alert.expire_time"});
  rows.push_back({"expiry with bad nanoseconds",
                  With(Target(), [](v1::Alert& a) { a.mutable_expire_time()->set_nanos(-5); }), "alert.expire_time"});
  rows.push_back({"long note", With(Target(), [](v1::Alert& a) { a.set_note(std::string(501, 'x')); }), "alert.note"});
  rows.push_back(
      {"note with NUL", With(Target(), [](v1::Alert& a) { a.set_note(std::string("a\0b", 3)); }), "alert.note"});
  rows.push_back({"note that is no UTF-8", With(Target(), [](v1::Alert& a) { a.set_note("\xc3\x28"); }), "alert.note"});
  for (const Row& row : rows) {
    INFO(row.what);
    CHECK(Violations(row.alert) == std::vector<std::string>{row.field});
  }
}

TEST_CASE("everything that is wrong is reported at once") {
  v1::Alert alert = InChannel("x", "-1");
  alert.set_symbol("");
  alert.set_note(std::string(501, 'x'));
  alert.set_hysteresis("?");
  alert.set_trigger_policy(static_cast<v1::Alert::TriggerPolicy>(9));
  const std::vector<std::string> fields = Violations(alert);
  CHECK(fields.size() == 6);
}

TEST_CASE("valid alerts are read exactly, with their defaults") {
  base::FieldViolations violations;
  auto wanted = ReadNewAlert(With(Target("000150.250000"), [](v1::Alert& a) { a.set_symbol(" aapl "); }), kUser,
                             "alert", violations);
  REQUIRE(wanted.has_value());
  CHECK(wanted->symbol == "AAPL");
  condition::Definition expected;
  expected.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, 150'250'000};
  CHECK(wanted->definition == expected);
  for (const char* price : {"0.000001", "1000000000000", "1.5000000000"}) CHECK(Violations(Target(price)).empty());
  // 500 characters, not bytes.
  std::string note;
  for (int i = 0; i < 500; ++i) note += "ü";
  CHECK(Violations(With(Target(), [&](v1::Alert& a) { a.set_note(note); })).empty());
  CHECK(Violations(With(InChannel(), [](v1::Alert& a) { a.set_hysteresis("10"); })).empty());
  CHECK(Violations(With(Percent("99.9999"), [](v1::Alert& a) {
          a.mutable_condition()->mutable_percent_change()->set_direction(v1::PercentChange::DIRECTION_DOWN);
        })).empty());
}

TEST_CASE("what is read is shown as it was, and reads the same again") {
  std::vector<v1::Alert> alerts = {Target(), Percent(), Trailing(), InChannel()};
  alerts.push_back(With(Percent(), [](v1::Alert& a) {
    auto& change = *a.mutable_condition()->mutable_percent_change();
    change.set_reference(v1::PercentChange::REFERENCE_WINDOW);
    change.mutable_window()->set_seconds(90);
    change.mutable_window()->set_nanos(1000);
    a.set_trigger_policy(v1::Alert::TRIGGER_POLICY_REPEAT);
    a.mutable_cooldown()->set_seconds(3);
    a.set_sessions(v1::Alert::SESSIONS_EXTENDED);
    a.set_creation_policy(v1::Alert::CREATION_POLICY_REJECT_IF_MET);
    a.mutable_expire_time()->set_seconds(1'800'000'000);
    a.mutable_expire_time()->set_nanos(123'456'000);
    a.set_note("mine");
  }));
  alerts.push_back(With(Percent(), [](v1::Alert& a) {
    a.mutable_condition()->mutable_percent_change()->set_reference(v1::PercentChange::REFERENCE_GIVEN);
    a.mutable_condition()->mutable_percent_change()->set_given_price("99.5");
  }));
  alerts.push_back(With(Trailing(), [](v1::Alert& a) {
    a.mutable_condition()->mutable_trailing_change()->set_amount("0.5");
    a.mutable_condition()->mutable_trailing_change()->set_activation_price("12");
  }));
  alerts.push_back(With(Target(), [](v1::Alert& a) { a.set_hysteresis("0.25"); }));
  alerts.push_back(With(Target(), [](v1::Alert& a) {
    a.add_destinations(DestinationName(kSecond));
    a.add_destinations(DestinationName(kFirst));
    a.set_critical(true);
  }));
  alerts.push_back(With(Target(), [](v1::Alert& a) { a.set_delivery(v1::Alert::DELIVERY_NONE); }));
  for (const v1::Alert& alert : alerts) {
    base::FieldViolations violations;
    const auto wanted = ReadNewAlert(alert, kUser, "alert", violations);
    REQUIRE(wanted.has_value());
    ShownAlert view;
    view.alert.id = "00000000-0000-4000-8000-000000000001";
    view.alert.user_id = "00000000-0000-4000-8000-0000000000aa";
    view.alert.symbol = wanted->symbol;
    view.alert.record.definition = wanted->definition;
    view.alert.note = wanted->note;
    view.alert.routing = wanted->routing;
    const v1::Alert shown = ToMessage(view, kNow);
    CHECK(shown.name() == "users/00000000-0000-4000-8000-0000000000aa/alerts/00000000-0000-4000-8000-000000000001");
    CHECK(shown.note() == alert.note());
    CHECK(!shown.etag().empty());
    const auto again = ReadNewAlert(shown, kUser, "alert", violations);
    REQUIRE(again.has_value());
    CHECK(again->definition == wanted->definition);
    CHECK(again->routing == wanted->routing);
    CHECK(shown.condition().SerializeAsString().size() >= alert.condition().SerializeAsString().size());
  }
}

TEST_CASE("a patch touches the fields that it names") {
  StoredAlert present;
  present.symbol = "AAPL";
  present.note = "old";
  present.record.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, 150'000'000};
  present.record.definition.hysteresis_micros = 1'000'000;
  present.record.definition.expire_time_us = kNow;

  v1::Alert message;
  message.set_note("new");
  auto wanted = ReadPatch(message, FieldsSetIn(message), present);
  REQUIRE(wanted.ok());
  CHECK(wanted->note == "new");
  CHECK(wanted->definition == present.record.definition);

  // Named and not set: back to the default.
  wanted = ReadPatch(v1::Alert(), {"expire_time", "hysteresis", "note"}, present);
  REQUIRE(wanted.ok());
  CHECK(!wanted->definition.expire_time_us.has_value());
  CHECK(wanted->definition.hysteresis_micros == 0);
  CHECK(wanted->note.empty());

  // The rules between fields hold for the whole alert.
  CHECK(FieldsOf(ReadPatch(Percent(), {"condition"}, present).status()) ==
        std::vector<std::string>{"alert.hysteresis"});
  CHECK(FieldsOf(ReadPatch(v1::Alert(), {"condition"}, present).status()) ==
        std::vector<std::string>{"alert.condition"});

  v1::Alert other_symbol = Target();
  other_symbol.set_symbol("MSFT");
  other_symbol.set_note(std::string(501, 'x'));
  CHECK(FieldsOf(ReadPatch(other_symbol, {"note"}, present).status()) ==
        std::vector<std::string>{"alert.symbol", "alert.note"});
  v1::Alert same_symbol = Target();
  same_symbol.set_symbol("aapl");
  CHECK(ReadPatch(same_symbol, {"condition"}, present).ok());
}

TEST_CASE("where notifications go is read with its rules, each refusal by its field") {
  const auto routed = [](v1::Alert::Delivery delivery, const std::vector<std::string>& names) {
    v1::Alert alert = Target();
    alert.set_delivery(delivery);
    for (const std::string& name : names) alert.add_destinations(name);
    return alert;
  };
  const auto read = [](const v1::Alert& alert) {
    base::FieldViolations violations;
    const auto wanted = ReadNewAlert(alert, kUser, "alert", violations);
    REQUIRE(wanted.has_value());
    return wanted->routing;
  };
  CHECK(read(Target()) == message::Routing());
  CHECK(read(routed(v1::Alert::DELIVERY_UNSPECIFIED, {DestinationName(kFirst)})) ==
        message::Routing{message::Route::kNamed, {kFirst}, false});
  CHECK(read(routed(v1::Alert::DELIVERY_NAMED, {DestinationName(kSecond, "me"), DestinationName(kFirst)})) ==
        message::Routing{message::Route::kNamed, {kSecond, kFirst}, false});
  CHECK(read(routed(v1::Alert::DELIVERY_NONE, {})).route == message::Route::kNone);

  using Fields = std::vector<std::string>;
  CHECK(Violations(routed(v1::Alert::DELIVERY_NAMED, {})) == Fields{"alert.destinations"});
  CHECK(Violations(routed(v1::Alert::DELIVERY_DEFAULTS, {DestinationName(kFirst)})) == Fields{"alert.destinations"});
  CHECK(Violations(routed(v1::Alert::DELIVERY_NONE, {DestinationName(kFirst)})) == Fields{"alert.destinations"});
  CHECK(Violations(routed(static_cast<v1::Alert::Delivery>(9), {})) == Fields{"alert.delivery"});
  CHECK(Violations(
            routed(v1::Alert::DELIVERY_NAMED, {DestinationName(kFirst), "destinations/1", DestinationName(kFirst),
                                               DestinationName(kSecond, "00000000-0000-4000-8000-0000000000bb")})) ==
        Fields{"alert.destinations[1]", "alert.destinations[2]", "alert.destinations[3]"});
  std::vector<std::string> many;
  for (int i = 0; i < 11; ++i)
    many.push_back(DestinationName("00000000-0000-4000-8000-0000000001" + std::to_string(10 + i)));
  CHECK(Violations(routed(v1::Alert::DELIVERY_NAMED, many)) == Fields{"alert.destinations"});
  many.pop_back();
  CHECK(read(routed(v1::Alert::DELIVERY_NAMED, many)).destination_ids.size() == 10);
}

TEST_CASE("a patch of where notifications go keeps to the rules of the whole") {
  StoredAlert present;
  present.user_id = kUser;
  present.symbol = "AAPL";
  present.record.definition.condition = condition::PriceTarget{condition::TargetOp::kAtOrAbove, 150'000'000};
  present.routing = {message::Route::kNamed, {kFirst}, true};
  v1::Alert message;
  message.set_delivery(v1::Alert::DELIVERY_NONE);
  auto wanted = ReadPatch(message, FieldsSetIn(message), present);
  REQUIRE(wanted.ok());
  // Those that it named go with NAMED; whether it is critical stays.
  CHECK(wanted->routing == message::Routing{message::Route::kNone, {}, true});
  wanted = ReadPatch(v1::Alert(), {"delivery", "destinations", "critical"}, present);
  REQUIRE(wanted.ok());
  CHECK(wanted->routing == message::Routing());
  CHECK(FieldsOf(ReadPatch(v1::Alert(), {"destinations"}, present).status()) ==
        std::vector<std::string>{"alert.destinations"});
  v1::Alert named;
  named.add_destinations(DestinationName(kSecond));
  CHECK(FieldsSetIn(named) == std::set<std::string>{"destinations"});
  wanted = ReadPatch(named, {"destinations"}, present);
  REQUIRE(wanted.ok());
  CHECK(wanted->routing == message::Routing{message::Route::kNamed, {kSecond}, true});
  // Of an alert with DEFAULTS: the delivery has to be asked for.
  present.routing = {};
  CHECK(FieldsOf(ReadPatch(named, {"destinations"}, present).status()) ==
        std::vector<std::string>{"alert.destinations"});
  CHECK(ReadPatch(named, {"delivery", "destinations"}, present)->routing.route == message::Route::kNamed);
  CHECK(ReadDestinations(named, kUser).value() == std::vector<std::string>{kSecond});
}

TEST_CASE("a trigger is converted with all its fields") {
  RecordedTrigger trigger;
  trigger.alert_id = "00000000-0000-4000-8000-000000000001";
  trigger.user_id = "00000000-0000-4000-8000-0000000000aa";
  trigger.symbol = "AAPL";
  trigger.number = 3;
  trigger.revision = 2;
  trigger.price_micros = 150'250'000;
  trigger.event_time_us = kNow + 1;
  trigger.partition = 5;
  trigger.offset = 77;
  v1::Trigger shown = ToMessage(trigger);
  CHECK(shown.name() ==
        "users/00000000-0000-4000-8000-0000000000aa/alerts/00000000-0000-4000-8000-000000000001/triggers/3");
  CHECK(shown.price() == "150.25");
  CHECK(shown.price_before().empty());
  CHECK(shown.event_time().nanos() == 1000);
  trigger.price_before_micros = 1;
  trigger.reference_micros = 150'000'000;
  shown = ToMessage(trigger);
  CHECK(shown.price_before() == "0.000001");
  CHECK(shown.reference() == "150");
}

TEST_CASE("an alert shows how many of its triggers were throttled, and until when its user is") {
  RecordedTrigger trigger;
  trigger.throttled = true;
  CHECK(ToMessage(trigger).throttled());
  ShownAlert view;
  view.alert.throttled_count = 7;
  view.alert.throttle_end_us = kNow + 30'000'000;
  v1::Alert shown = ToMessage(view, kNow);
  CHECK(shown.throttled_count() == 7);
  CHECK(rpc::TimestampToUs(shown.throttle_end_time(), "t").value() == kNow + 30'000'000);
  shown = ToMessage(view, kNow + 30'000'000);
  CHECK(shown.throttled_count() == 7);
  CHECK(!shown.has_throttle_end_time());
}

TEST_CASE("state filters name states that there are") {
  v1::ListAlertsRequest request;
  request.add_states(v1::Alert::STATE_PAUSED);
  request.add_states(v1::Alert::STATE_ACTIVE);
  request.add_states(v1::Alert::STATE_PAUSED);
  base::FieldViolations violations;
  CHECK(ReadStates(request, violations) == std::vector<ShownState>{ShownState::kActive, ShownState::kPaused});
  CHECK(violations.ok());
  request.add_states(v1::Alert::STATE_UNSPECIFIED);
  request.add_states(static_cast<v1::Alert::State>(8));
  ReadStates(request, violations);
  CHECK(FieldsOf(violations.ToStatus()) == std::vector<std::string>{"states[3]", "states[4]"});
}

}  // namespace stockalert::alert
